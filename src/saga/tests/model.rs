//! A small world for one run: a store, processes, a network, participants, and a tape of choices that says what goes
//! wrong. When the tape ends, nothing goes wrong any more.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

use super::fixtures::{self, not_sent};
use super::host::{Done, Fault, Process, Store};
use super::participant::Participant;
use crate::api::Reason;
use crate::api::run::{Direction, EndPolicy, InterventionAction};
use crate::saga::{
    Answer, CallId, Cancellation, Definition, Event, Fence, Intent, Monotonic, Now, Open, Polling, Tenure, Unready,
};

/// What chance decides. Zero is always the harmless choice.
pub struct Tape {
    choices: std::vec::IntoIter<u16>,
}

impl Tape {
    pub fn new(choices: Vec<u16>) -> Self {
        Self { choices: choices.into_iter() }
    }

    fn pick(&mut self, of: u16) -> u16 {
        self.choices.next().map_or(0, |choice| choice % of)
    }

    fn is_over(&self) -> bool {
        self.choices.len() == 0
    }
}

/// A request or its answer, under way.
#[derive(Debug)]
struct Flight {
    at: Monotonic,
    slot: usize,
    life: u32,
    what: Leg,
}

#[derive(Debug)]
enum Leg {
    Request(Box<Intent>),
    Look(Box<Polling>),
    /// What its sender will hear.
    Heard(Event),
}

fn heard(intent: &Intent, answer: Answer) -> Leg {
    Leg::Heard(Event::Answered { call: intent.call, fence: intent.fence, answer })
}

/// The world.
pub struct World {
    pub definition: Arc<Definition>,
    pub store: Store,
    pub processes: Vec<Process>,
    pub now: Now,
    lives: Vec<u32>,
    tenure: Tenure,
    tape: Tape,
    flights: Vec<Flight>,
    past: Vec<(usize, Event)>,
    participants: BTreeMap<usize, Participant>,
    sent: BTreeSet<(Fence, CallId)>,
    born: u32,
    /// A person said of a call what became of it, and may have been wrong.
    pub marked: bool,
    pub log: Vec<String>,
}

impl World {
    pub fn new(definition: Arc<Definition>, tenure: Tenure, processes: usize, tape: Vec<u16>) -> Self {
        let mut world = Self {
            definition,
            store: Store::new(),
            processes: Vec::new(),
            now: fixtures::at(0),
            lives: vec![0; processes],
            tenure,
            tape: Tape::new(tape),
            flights: Vec::new(),
            past: Vec::new(),
            participants: BTreeMap::new(),
            sent: BTreeSet::new(),
            born: 0,
            marked: false,
            log: Vec::new(),
        };
        for _ in 0..processes {
            let process = world.new_process();
            world.processes.push(process);
        }
        world
    }

    fn new_process(&mut self) -> Process {
        self.born += 1;
        let definition = Ok(self.definition.clone());
        let mut plan = fixtures::plan(definition, &format!("p{}", self.born), self.tenure);
        plan.input = Arc::new(json!({"n": 5}));
        Process::new(plan)
    }

    /// Runs until nothing more happens.
    pub fn run(&mut self) {
        let mut calm = false;
        for _ in 0..6000 {
            if self.tape.is_over() {
                if !calm {
                    calm = true;
                    self.calm_down();
                }
                self.watch();
            } else {
                self.meddle();
            }
            if !self.pass_time() && calm && !self.watch() {
                return;
            }
        }
        panic!("no end in sight:\n{}\n{:#?}", self.log.join("\n"), self.store.load());
    }

    fn calm_down(&mut self) {
        self.store.settle();
        for slot in 0..self.processes.len() {
            self.processes[slot].plan.definition = Ok(self.definition.clone());
            self.look(slot);
        }
    }

    /// Who has not seen the newest write sees it.
    fn watch(&mut self) -> bool {
        let mut any = false;
        for slot in 0..self.processes.len() {
            if self.processes[slot].version != self.store.version {
                self.look(slot);
                any = true;
            }
        }
        any
    }

    fn slot(&mut self) -> usize {
        let count = u16::try_from(self.processes.len()).unwrap();
        usize::from(self.tape.pick(count))
    }

    fn meddle(&mut self) {
        let slot = self.slot();
        match self.tape.pick(26) {
            1 => self.crash(slot),
            2 => {
                self.log("forgets the run", slot);
                self.processes[slot].forget();
                self.rename(slot);
            }
            3 => {
                self.log("forgets what it knows beside the store", slot);
                self.processes[slot].state.local = Default::default();
                self.processes[slot].scheduled.clear();
                self.processes[slot].followed.clear();
                self.rename(slot);
            }
            4..=7 => self.look(slot),
            8 => self.look_at_a_stale_copy(slot),
            9 => {
                let landed = self.store.settle();
                self.log(&format!("a late write lands: {landed}"), slot);
            }
            10 => self.wish(),
            11 => self.repeat_an_answer(),
            12 => self.toggle_definition(slot),
            13 | 14 => {
                let wait = Duration::from_millis(u64::from(self.tape.pick(20_000)));
                self.advance_to(self.now.monotonic.after(wait));
            }
            15 | 16 => self.intervene(),
            0 | 17..=25 => {}
            26..=u16::MAX => unreachable!(),
        }
    }

    fn advance_to(&mut self, at: Monotonic) {
        let at = at.max(self.now.monotonic);
        self.now = fixtures::at(u64::try_from(at.0.as_micros().div_ceil(1000)).unwrap());
    }

    fn crash(&mut self, slot: usize) {
        self.log("dies", slot);
        self.lives[slot] += 1;
        self.processes[slot] = self.new_process();
    }

    /// Who forgot which fences it tried must not take another's write, or its own older one, for the one under way.
    fn rename(&mut self, slot: usize) {
        self.born += 1;
        self.processes[slot].plan.owner.id = crate::saga::Holder::new(&format!("p{}", self.born));
    }

    fn look(&mut self, slot: usize) {
        self.act(slot, |process, store, now, fault| process.look(store, now, fault));
    }

    /// A fresh process starts from what its cache shows.
    fn look_at_a_stale_copy(&mut self, slot: usize) {
        if self.processes[slot].version != 0 {
            return;
        }
        self.act(slot, |process, store, now, fault| {
            process.observe(store.stale(), store.version.saturating_sub(1), now);
            process.decide(store, vec![Event::Wished(store.wishes.clone())], now, fault)
        });
    }

    fn wish(&mut self) {
        let kind = self.tape.pick(12);
        self.log.push(format!("{:?} a wish of kind {kind}", self.now.monotonic));
        self.store.wish(|wishes| match kind {
            0..=3 => wishes.suspend = false,
            4..=7 => wishes.suspend = true,
            8 | 9 => {
                let cancellation = Cancellation { policy: EndPolicy::Compensate, reason: "why not".into() };
                wishes.cancellation.get_or_insert(cancellation);
            }
            10 => wishes.deletion = Some(EndPolicy::Compensate),
            11.. => wishes.cancellation = Some(Cancellation { policy: EndPolicy::Abandon, reason: String::new() }),
        });
    }

    /// A person decides, mostly about a call that is stalled.
    fn intervene(&mut self) {
        let stored = self.store.load();
        let any =
            CallId { step: usize::from(self.tape.pick(8)), direction: Direction::ALL[usize::from(self.tape.pick(3))] };
        let call = stored.stalled().map_or(any, |(call, _)| call);
        let Some(step) = stored.steps.get(call.step).map(|step| step.name.clone()) else { return };
        if self.store.wishes.interventions.len() >= 32 {
            return;
        }
        let action = match self.tape.pick(6) {
            4 => InterventionAction::MarkSucceeded,
            5 if call.direction == Direction::Forward => InterventionAction::MarkFailed,
            0..=3 | 5.. => InterventionAction::Retry,
        };
        self.marked |= action != InterventionAction::Retry;
        self.log.push(format!("{:?} a person: {action:?} of {call:?}", self.now.monotonic));
        let id = format!("i{}", self.store.wishes.interventions.len());
        let decision = fixtures::decision(&id, &step, call.direction, action);
        self.store.wish(|wishes| wishes.interventions.push(decision));
    }

    fn repeat_an_answer(&mut self) {
        let count = self.past.len();
        if count == 0 {
            return;
        }
        let which = usize::from(self.tape.pick(u16::try_from(count).unwrap()));
        let (slot, event) = self.past[which].clone();
        self.hand_over(slot, event);
    }

    fn toggle_definition(&mut self, slot: usize) {
        let pinned = self.processes[slot].state.stored.revision.clone();
        let plan = &mut self.processes[slot].plan;
        plan.definition = match (&plan.definition, pinned) {
            (Err(_), _) => Ok(self.definition.clone()),
            (Ok(_), Some(revision)) => Err(Unready::RevisionNotFound(revision)),
            (Ok(_), None) => Err(Unready::NotFound),
        };
        self.look(slot);
    }

    /// The next thing that time brings; false: there is none.
    fn pass_time(&mut self) -> bool {
        let flights = self.flights.iter().map(|flight| flight.at);
        let wakes = self.processes.iter().filter_map(Process::next);
        let Some(next) = flights.chain(wakes).min() else { return false };
        self.advance_to(next);
        let now = self.now.monotonic;
        if let Some(index) = self.flights.iter().position(|flight| flight.at <= now) {
            let flight = self.flights.swap_remove(index);
            self.land(flight);
            return true;
        }
        for slot in 0..self.processes.len() {
            if self.processes[slot].is_due(self.now) {
                self.act(slot, |process, store, now, fault| process.send_due(store, now, fault));
                return true;
            }
            if self.processes[slot].wake_at.is_some_and(|at| at <= now) {
                self.processes[slot].wake_at = None;
                self.act(slot, |process, store, now, fault| process.decide(store, vec![Event::Tick], now, fault));
                return true;
            }
            for polling in self.processes[slot].looks_due(self.now) {
                self.follow(slot, polling);
            }
        }
        true
    }

    /// A look leaves: only for who stored the location, or took it over.
    fn follow(&mut self, slot: usize, polling: Polling) {
        let process = &self.processes[slot];
        let stored = self.store.history.iter().any(|landing| {
            let located = |(call, _, open): (CallId, &_, &Open)| {
                call == polling.call && open.fence == polling.fence && open.location.is_some()
            };
            landing.stored.holder.as_ref() == Some(process.id()) && landing.stored.open_calls().any(located)
        });
        assert!(stored, "{polling:?} was not stored by who asks\n{}", self.log.join("\n"));
        assert!(!process.ended, "I7: {polling:?} is asked after the end\n{}", self.log.join("\n"));
        let (at, life) = (self.now.monotonic.after(Duration::from_millis(40)), self.lives[slot]);
        self.flights.push(Flight { at, slot, life, what: Leg::Look(Box::new(polling)) });
    }

    fn act(
        &mut self,
        slot: usize,
        what: impl FnOnce(&mut Process, &mut Store, Now, &mut dyn FnMut() -> Fault) -> Vec<Done>,
    ) {
        let (process, store, tape) = (&mut self.processes[slot], &mut self.store, &mut self.tape);
        let mut fault = || match tape.pick(30) {
            1 => Fault::UnclearLanded,
            2 => Fault::UnclearLost,
            3 => Fault::UnclearLate,
            4 => Fault::CrashBefore,
            5 => Fault::CrashAfter,
            6 => {
                if tape.pick(5) == 4 {
                    Fault::TooLarge
                } else {
                    Fault::None
                }
            }
            0 | 7.. => Fault::None,
        };
        let done = what(process, store, self.now, &mut fault);
        let alive = self.processes[slot].alive;
        for one in done {
            self.log(&format!("{one:?}"), slot);
            if let Done::Sent(intent) = one {
                self.send(slot, *intent);
            }
        }
        if !alive {
            self.crash(slot);
        }
    }

    fn log(&mut self, text: &str, slot: usize) {
        let text: String = text.chars().take(600).collect();
        self.log.push(format!("{:?} {}: {text}", self.now.monotonic.0, self.processes[slot].id().as_str()));
    }

    /// I1, I3 and I7 where a request leaves.
    fn send(&mut self, slot: usize, intent: Intent) {
        let process = &self.processes[slot];
        let stored = self.store.history.iter().any(|landing| {
            landing.stored.fence == intent.fence
                && landing.stored.holder.as_ref() == Some(process.id())
                && landing.intents.contains(&intent)
        });
        let story = || self.log.join("\n");
        assert!(stored, "I1: {intent:?} was not stored by its sender\n{}", story());
        assert!(self.sent.insert((intent.fence, intent.call)), "I1: {intent:?} is sent twice\n{}", story());
        let forward = intent.call.direction == Direction::Forward;
        assert!(
            !(forward && process.turned),
            "I3: {intent:?} is sent although its sender knows that the run turned\n{}",
            story()
        );
        assert!(!process.ended, "I7: {intent:?} is sent although its sender knows that the run ended\n{}", story());
        let (life, now) = (self.lives[slot], self.now.monotonic);
        if now >= intent.expires {
            let what = heard(&intent, not_sent(Reason::Timeout));
            self.flights.push(Flight { at: now, slot, life, what });
            return;
        }
        let soon = now.after(Duration::from_millis(40));
        let lost = || heard(&intent, fixtures::lost());
        let failed = |reason| heard(&intent, not_sent(reason));
        let request = || Leg::Request(Box::new(intent.clone()));
        let legs = match self.tape.pick(16) {
            1 => vec![(intent.expires, lost())],
            2 => {
                let late = Duration::from_millis(u64::from(self.tape.pick(40_000)));
                vec![(now.after(late), request()), (intent.expires, lost())]
            }
            3 => vec![(soon, failed(Reason::ConnectionFailed))],
            4 if self.tape.pick(4) == 3 => vec![(soon, failed(Reason::SecretForbidden))],
            5 => vec![(soon, failed(Reason::SecretNotFound))],
            6 => vec![(soon, request()), (soon, lost())],
            0 | 4 | 7.. => vec![(soon, request())],
        };
        self.flights.extend(legs.into_iter().map(|(at, what)| Flight { at, slot, life, what }));
    }

    fn land(&mut self, flight: Flight) {
        let (slot, life) = (flight.slot, flight.life);
        let at = self.now.monotonic.after(Duration::from_millis(40));
        match flight.what {
            Leg::Request(intent) => {
                let participant = self.participants.entry(intent.call.step).or_default();
                let answer = participant.serve(&intent, self.tape.pick(24));
                // A late answer finds its connection closed.
                let answer = if at < intent.expires { answer } else { fixtures::lost() };
                self.flights.push(Flight { at, slot, life, what: heard(&intent, answer) });
            }
            Leg::Look(polling) => {
                let participant = self.participants.entry(polling.call.step).or_default();
                let answer = participant.look(&polling, self.tape.pick(12));
                let what = Leg::Heard(Event::Polled { call: polling.call, fence: polling.fence, answer });
                self.flights.push(Flight { at, slot, life, what });
            }
            Leg::Heard(event) => {
                if self.lives[slot] == life {
                    self.past.push((slot, event.clone()));
                    self.hand_over(slot, event);
                }
            }
        }
    }

    fn hand_over(&mut self, slot: usize, event: Event) {
        self.log(&format!("hears {event:?}"), slot);
        self.act(slot, |process, store, now, fault| process.decide(store, vec![event], now, fault));
    }

    /// Whether a step's effect stands.
    pub fn effect(&self, step: usize) -> bool {
        self.participants.get(&step).is_some_and(|participant| participant.effect())
    }

    /// Whether it is final.
    pub fn confirmed(&self, step: usize) -> bool {
        self.participants.get(&step).is_some_and(|participant| participant.confirmed())
    }
}
