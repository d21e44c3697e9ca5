//! The world around one run: a store, processes, a network and participants, with every choice open.

use std::sync::Arc;

use saga_operator::api::Reason;
use saga_operator::api::run::{Direction, EndPolicy, Intervention};
use saga_operator::saga::{Answer, CallId, Cancellation, Event, Fence, Intent, Monotonic, Now};

use super::process::{Process, Writing};
use super::promise::{self, Ledger};
use super::scenario::{Kind, Setup, Tenancy, Wish};
use super::service::Service;
use super::store::{Fate, Store};

/// A promise that does not hold, in words.
pub type Broken = String;

/// Everything there is at one moment.
#[derive(Clone)]
pub struct World {
    pub setup: Arc<Setup>,
    /// Milliseconds since the beginning.
    pub clock: u64,
    pub store: Store,
    pub processes: Vec<Arc<Process>>,
    pub packets: Vec<Packet>,
    pub services: Arc<Vec<Service>>,
    pub ledger: Ledger,
    /// How far the wall clock of each place is from the truth, in milliseconds.
    pub skew: Vec<i64>,
    /// What happens, in words; only while a trace is told.
    pub story: Option<Vec<String>>,
}

/// A request on its way.
#[derive(Clone)]
pub struct Packet {
    pub from: usize,
    pub life: u32,
    pub intent: Arc<Intent>,
    /// Time may pass before it arrives: it is held up by the network, or its sender was paused just before the socket.
    pub late: bool,
}

/// Something that may happen next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Move {
    /// A process goes on with what it has at hand.
    Act(usize),
    /// A process hears of the newest write.
    Notice(usize),
    /// A process hears of the write before the newest.
    NoticeStale(usize),
    /// A request leaves a process.
    Leave(usize, usize),
    /// A write arrives at the store.
    Reach(usize, Fate),
    /// A write that nobody waits for any more arrives at the store.
    LateLands(usize),
    /// A request arrives, or not.
    Serve(usize, Luck),
    /// A request is held up.
    Delay(usize),
    /// A process looks at a call in progress; the look may be lost.
    Look(usize, CallId, Luck),
    /// A participant finishes what it works on.
    Finish(usize),
    Crash(usize),
    /// As `Crash`, and the write under way may still land.
    CrashWriting(usize),
    Pause(usize),
    Resume(usize),
    Wish(Wish),
    /// The wall clock of a process is set an hour back.
    Jump(usize),
    /// Time passes, up to the next moment at which something may happen.
    Advance,
}

/// What becomes of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Luck {
    /// It is served and answered.
    Well,
    /// As `Well`, and the answer is reported twice.
    Echoed,
    /// As `Well`, and the network delivers the request again later.
    Doubled,
    /// The participant answers 500 and does nothing.
    Error,
    /// The participant answers 429 and does nothing.
    Busy,
    /// A proxy answers 502, and the request arrives later.
    Gateway,
    /// It is served, and the connection breaks before the answer.
    Reset,
    /// It is served, and nobody answers.
    Silent,
    /// It never arrives, and nobody answers.
    Lost,
    /// The connection is refused.
    Refused,
}

const NET: [Luck; 6] = [Luck::Echoed, Luck::Doubled, Luck::Reset, Luck::Silent, Luck::Lost, Luck::Refused];
const ERRORS: [Luck; 2] = [Luck::Error, Luck::Busy];
const UNCLEAR: [Fate; 3] = [Fate::UnclearLanded, Fate::UnclearLost, Fate::UnclearLate];

impl World {
    /// Nothing happened yet.
    pub fn new(setup: Arc<Setup>) -> Self {
        let places = match setup.scenario.tenancy {
            Tenancy::Exclusive => 1,
            Tenancy::Contended | Tenancy::Elected => 2,
        };
        Self {
            clock: 0,
            store: Store::new(),
            processes: (0..places).map(|place| Arc::new(Process::new(&setup, place, 1, 0))).collect(),
            packets: Vec::new(),
            services: Arc::new(vec![Service::default(); setup.definition.steps.len()]),
            ledger: Ledger::default(),
            skew: setup.scenario.skew[..places].to_vec(),
            story: None,
            setup,
        }
    }

    /// The clocks of a place.
    pub fn now(&self, place: usize) -> Now {
        let wall = self.setup.beginning + std::time::Duration::from_millis(self.clock);
        let wall = wall + jiff::SignedDuration::from_millis(self.skew[place]);
        Now { wall, monotonic: self.monotonic() }
    }

    pub const fn monotonic(&self) -> Monotonic {
        Monotonic(std::time::Duration::from_millis(self.clock))
    }

    /// Everything that may happen next, and what it costs in faults.
    pub fn moves(&self) -> Vec<(Move, u32)> {
        let mut moves = Vec::new();
        let allows = |kind: Kind| self.setup.scenario.kinds.contains(&kind);
        for place in 0..self.store.late.len() {
            moves.push((Move::LateLands(place), 0));
        }
        for (index, packet) in self.packets.iter().enumerate() {
            moves.push((Move::Serve(index, Luck::Well), 0));
            if packet.late {
                continue;
            }
            if allows(Kind::Net) {
                moves.extend(NET.map(|luck| (Move::Serve(index, luck), 1)));
            }
            if allows(Kind::Late) {
                moves.push((Move::Delay(index), 1));
            }
            if allows(Kind::Proxy) {
                moves.push((Move::Serve(index, Luck::Gateway), 1));
            }
            if allows(Kind::Error) {
                moves.extend(ERRORS.map(|luck| (Move::Serve(index, luck), 1)));
            }
        }
        let working = self.services.iter().enumerate().filter(|(_, service)| service.working.is_some());
        moves.extend(working.map(|(step, _)| (Move::Finish(step), 0)));
        for (place, process) in self.processes.iter().enumerate() {
            self.moves_of(place, process, &mut moves);
        }
        let wishes = self.setup.scenario.wishes.iter().filter(|wish| self.store.may(**wish));
        moves.extend(wishes.map(|wish| (Move::Wish(*wish), 1)));
        if !self.is_urgent() && self.next_moment().is_some() {
            moves.push((Move::Advance, 0));
        }
        moves
    }

    fn moves_of(&self, place: usize, process: &Process, moves: &mut Vec<(Move, u32)>) {
        let allows = |kind: Kind| self.setup.scenario.kinds.contains(&kind);
        if matches!(process.writing, Writing::Sent(_)) {
            moves.push((Move::Reach(place, Fate::Plain), 0));
            if allows(Kind::Write) {
                moves.extend(UNCLEAR.map(|fate| (Move::Reach(place, fate), 1)));
            }
            if allows(Kind::Size) {
                moves.push((Move::Reach(place, Fate::TooLarge), 1));
            }
        }
        if process.paused {
            moves.push((Move::Resume(place), 0));
        } else {
            moves.extend((0..process.outbox.len()).map(|index| (Move::Leave(place, index), 0)));
            for call in process.looks(self.monotonic()) {
                moves.push((Move::Look(place, call, Luck::Well), 0));
                if allows(Kind::Net) {
                    moves.push((Move::Look(place, call, Luck::Lost), 1));
                }
            }
            if process.has_work(self.monotonic()) {
                moves.push((Move::Act(place), 0));
            }
            if process.is_idle() && process.version < self.store.version {
                moves.push((Move::Notice(place), 0));
                if self.store.previous.as_ref().is_some_and(|(version, _)| process.version < *version) {
                    moves.push((Move::NoticeStale(place), 0));
                }
            }
        }
        let touched = process.is_touched();
        if touched && allows(Kind::Pause) && !process.paused {
            moves.push((Move::Pause(place), 1));
        }
        if touched && allows(Kind::Crash) {
            moves.push((Move::Crash(place), 1));
            if matches!(process.writing, Writing::Sent(_)) && process.version == self.store.version {
                moves.push((Move::CrashWriting(place), 1));
            }
        }
        if touched && allows(Kind::Jump) && self.skew[place] == self.setup.scenario.skew[place] {
            moves.push((Move::Jump(place), 1));
        }
    }

    /// Whether something happens before any time passes.
    fn is_urgent(&self) -> bool {
        self.packets.iter().any(|packet| !packet.late)
            || self.processes.iter().any(|process| !process.paused && process.is_busy(self.monotonic()))
    }

    fn next_moment(&self) -> Option<Monotonic> {
        let now = self.monotonic();
        self.processes.iter().flat_map(|process| process.moments()).filter(|at| *at > now).min()
    }

    /// The world after a move. An error is a broken promise.
    pub fn after(&self, next: Move) -> Result<Self, Broken> {
        let mut world = self.clone();
        world.make(next)?;
        if let Move::Act(place) | Move::Notice(place) | Move::NoticeStale(place) = next {
            world.let_go(place);
        }
        Ok(world)
    }

    fn make(&mut self, next: Move) -> Result<(), Broken> {
        match next {
            Move::Act(place) => self.act(place)?,
            Move::Notice(place) => self.notice(place)?,
            Move::NoticeStale(place) => self.notice_stale(place)?,
            Move::Leave(place, index) => self.leave(place, index)?,
            Move::Reach(place, fate) => self.reach(place, fate)?,
            Move::LateLands(index) => self.late_lands(index)?,
            Move::Serve(index, luck) => self.serve(index, luck),
            Move::Delay(index) => {
                let packet = &mut self.packets[index];
                packet.late = true;
                let text = format!("{} is held up", words(&packet.intent));
                self.tell(|_| text);
            }
            Move::Look(place, call, luck) => self.look(place, call, luck),
            Move::Finish(step) => {
                self.tell(|_| format!("the work on step {step} is finished"));
                Arc::make_mut(&mut self.services)[step].finish();
            }
            Move::Crash(place) => {
                self.tell(|world| format!("{} dies", world.name(place)));
                self.replace(place, 0);
            }
            Move::CrashWriting(place) => {
                self.tell(|world| format!("{} dies, and its write is still on its way", world.name(place)));
                self.give_up_write(place);
                self.replace(place, 0);
            }
            Move::Pause(place) => {
                self.tell(|world| format!("{} is paused", world.name(place)));
                self.process(place).paused = true;
            }
            Move::Resume(place) => {
                self.tell(|world| format!("{} goes on", world.name(place)));
                self.process(place).paused = false;
            }
            Move::Wish(wish) => self.wish(wish),
            Move::Jump(place) => {
                self.tell(|world| format!("the wall clock of {} is set back by an hour", world.name(place)));
                self.skew[place] -= 3_600_000;
            }
            Move::Advance => {
                let at = self.next_moment().unwrap_or_default();
                self.clock = u64::try_from(at.0.as_micros().div_ceil(1000)).unwrap();
                self.tell(|_| "time passes".to_owned());
            }
        }
        Ok(())
    }

    pub fn process(&mut self, place: usize) -> &mut Process {
        Arc::make_mut(&mut self.processes[place])
    }

    /// Another process, with an empty memory, that knows which version is no news.
    pub fn replace(&mut self, place: usize, version: u32) {
        let life = self.processes[place].life + 1;
        self.ledger.forget(place);
        self.processes[place] = Arc::new(Process::new(&self.setup, place, life, version));
    }

    /// I1 where a request leaves; a request whose time is over stays.
    fn leave(&mut self, place: usize, index: usize) -> Result<(), Broken> {
        let now = self.monotonic();
        let intent = self.process(place).outbox.remove(index);
        if now >= intent.expires {
            self.tell(|world| format!("{}: {} is too old to be sent", world.name(place), words(&intent)));
            let answer = Answer::NotSent { reason: Reason::Timeout, message: "out of time".into() };
            self.hear(place, intent.call, intent.fence, answer);
            return Ok(());
        }
        self.tell(|world| format!("{} sends {}", world.name(place), words(&intent)));
        self.ledger.sent(place, &intent)?;
        let life = self.processes[place].life;
        self.packets.push(Packet { from: place, life, intent, late: false });
        Ok(())
    }

    fn serve(&mut self, index: usize, luck: Luck) {
        let packet = match luck {
            Luck::Doubled | Luck::Gateway => {
                self.packets[index].late = true;
                self.packets[index].clone()
            }
            Luck::Well
            | Luck::Echoed
            | Luck::Error
            | Luck::Busy
            | Luck::Reset
            | Luck::Silent
            | Luck::Lost
            | Luck::Refused => self.packets.remove(index),
        };
        let intent = &packet.intent;
        let answer = match luck {
            Luck::Lost | Luck::Refused => None,
            Luck::Error => Some(super::service::answer(500)),
            Luck::Busy => Some(super::service::answer(429)),
            Luck::Gateway => Some(super::service::answer(502)),
            Luck::Well | Luck::Echoed | Luck::Doubled | Luck::Reset | Luck::Silent => {
                let now = self.now_true();
                Some(Arc::make_mut(&mut self.services)[intent.call.step].serve(&self.setup.scenario, intent, now))
            }
        };
        self.tell(|_| {
            let said = match &answer {
                Some(Answer::Response(response)) => format!("is answered {}", response.status),
                Some(Answer::Lost { .. } | Answer::NotSent { .. }) | None => "does not arrive".to_owned(),
            };
            format!("{} {said} ({luck:?})", words(intent))
        });
        let heard = match luck {
            Luck::Well | Luck::Echoed | Luck::Doubled | Luck::Error | Luck::Busy | Luck::Gateway => answer,
            Luck::Reset => Some(lost("the connection broke")),
            Luck::Refused => {
                Some(Answer::NotSent { reason: Reason::ConnectionFailed, message: "connection refused".into() })
            }
            Luck::Silent | Luck::Lost => None,
        };
        let alive = self.processes[packet.from].life == packet.life;
        if let Some(answer) = heard.filter(|_| alive) {
            if luck == Luck::Echoed {
                let event = Event::Answered { call: intent.call, fence: intent.fence, answer: answer.clone() };
                self.process(packet.from).inbox.push(event);
            }
            self.hear(packet.from, intent.call, intent.fence, answer);
        }
    }

    /// A look at a call in progress: it changes nothing, so when it arrives does not matter.
    fn look(&mut self, place: usize, call: CallId, luck: Luck) {
        let Some((polling, due)) = self.process(place).followed.get_mut(&call) else { return };
        *due = None;
        let polling = polling.clone();
        let answer = if luck == Luck::Well { self.services[call.step].shown() } else { lost("the look was lost") };
        self.tell(|world| {
            format!("{} looks at '{}', which is in progress ({luck:?})", world.name(place), polling.step)
        });
        self.process(place).inbox.push(Event::Polled { call, fence: polling.fence, answer });
    }

    /// The time by a clock that is right.
    fn now_true(&self) -> jiff::Timestamp {
        self.setup.beginning + std::time::Duration::from_millis(self.clock)
    }

    /// An answer arrives, if its connection is still there.
    fn hear(&mut self, place: usize, call: CallId, fence: Fence, answer: Answer) {
        if !self.processes[place].awaits(call, fence, self.monotonic()) {
            return;
        }
        let process = self.process(place);
        process.awaited.remove(&(call, fence));
        process.inbox.push(Event::Answered { call, fence, answer });
    }

    fn wish(&mut self, wish: Wish) {
        self.tell(|_| format!("a wish: {wish:?}"));
        let stored = self.store.stored.clone();
        let stalled = stored.stalled().map(|(call, _)| (stored.steps[call.step].name.clone(), call.direction));
        self.store.wish(|wishes| match wish {
            Wish::Suspend => wishes.suspend = true,
            Wish::Resume => wishes.suspend = false,
            Wish::Cancel | Wish::Abandon => {
                let policy = if wish == Wish::Cancel { EndPolicy::Compensate } else { EndPolicy::Abandon };
                wishes.cancellation = Some(Cancellation { policy, reason: String::new() });
            }
            Wish::Delete => wishes.deletion = Some(EndPolicy::Compensate),
            Wish::Person(action) => {
                let (step, direction) = stalled.clone().unwrap_or_else(|| ("a".to_owned(), Direction::Forward));
                wishes.interventions.push(Intervention {
                    id: format!("i{}", wishes.interventions.len()),
                    step,
                    direction,
                    action,
                    reason: "seen".into(),
                    requested_by: "me".into(),
                });
            }
        });
    }

    /// Nothing is under way: what is true now stays true until somebody decides.
    pub fn is_quiet(&self) -> bool {
        self.packets.is_empty() && self.processes.iter().all(|process| !process.is_busy(self.monotonic()))
    }

    pub fn name(&self, place: usize) -> String {
        self.processes[place].name()
    }

    pub fn tell(&mut self, what: impl FnOnce(&Self) -> String) {
        if self.story.is_some() {
            let line = format!("{:>7.3} s  {}", self.clock as f64 / 1000.0, what(self));
            self.story.iter_mut().for_each(|story| story.push(line.clone()));
        }
    }

    /// What must hold in every state.
    pub fn check(&self) -> Result<(), Broken> {
        if self.is_quiet() { promise::at_rest(self) } else { Ok(()) }
    }
}

/// Nobody answered.
pub fn lost(message: &str) -> Answer {
    Answer::Lost { reason: Reason::Timeout, message: message.to_owned() }
}

/// A request in words.
pub fn words(intent: &Intent) -> String {
    let direction = intent.call.direction.as_str();
    format!("'{}' {direction} (attempt {}, fence {})", intent.step, intent.attempt, intent.fence)
}
