//! A process as the engine's contract has it: decide, store, perform. Between any two of its steps it may die or stand
//! still, and others may act.

use std::collections::BTreeMap;
use std::sync::Arc;

use saga_operator::saga::{
    CallId, Effect, Event, Fence, Intent, Mode, Monotonic, Open, Plan, Polling, State, Stored, Transition, step,
};

use super::promise;
use super::scenario::Setup;
use super::world::{Broken, World, lost};

/// A process that drives the run.
#[derive(Clone)]
pub struct Process {
    pub life: u32,
    pub plan: Arc<Plan>,
    pub state: Arc<State>,
    /// Last read or written; 0: none.
    pub version: u32,
    /// Attempts that wait for their time.
    pub scheduled: BTreeMap<CallId, Arc<Intent>>,
    /// Calls in progress, and when to look next; none while nobody decided on what the last look brought.
    pub followed: BTreeMap<CallId, (Arc<Polling>, Option<Monotonic>)>,
    pub wake_at: Option<Monotonic>,
    /// Attempts that were handed to the sender and have not left.
    pub outbox: Vec<Arc<Intent>>,
    /// Attempts that were handed to the sender, and until when an answer is awaited.
    pub awaited: BTreeMap<(CallId, Fence), Monotonic>,
    /// Answers that wait to be decided on.
    pub inbox: Vec<Event>,
    pub writing: Writing,
    pub paused: bool,
    /// It began, or saw, a write that turns the run, and that landed or may still land.
    pub turned: bool,
    /// As `turned`, of a write that ends the run.
    pub ended: bool,
}

/// A decision, while it is being stored.
pub struct Decided {
    pub turn: Transition,
    pub events: Vec<Event>,
    intents: Vec<Arc<Intent>>,
    polls: Vec<Arc<Polling>>,
    /// Whether the process knew a turn and an end before.
    pub known: (bool, bool),
}

/// What became of the write under way.
#[derive(Clone)]
pub enum Writing {
    /// There is none.
    No,
    /// It is on its way.
    Sent(Arc<Decided>),
    /// The answer has arrived, and was not looked at.
    Answered(Arc<Decided>, Word),
}

/// What a writer hears.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Word {
    /// With the version that it made.
    Landed(u32),
    Conflict,
    Unclear,
    TooLarge,
}

impl Decided {
    fn new(turn: Transition, events: Vec<Event>, known: (bool, bool)) -> Self {
        let (mut intents, mut polls) = (Vec::new(), Vec::new());
        for effect in &turn.effects {
            match effect {
                Effect::Send(intent) => intents.push(Arc::new((**intent).clone())),
                Effect::Poll(polling) => polls.push(Arc::new((**polling).clone())),
                Effect::Withdraw(_) | Effect::Cut(_) | Effect::PollAgain { .. } | Effect::Release => {}
            }
        }
        Self { turn, events, intents, polls, known }
    }

    pub fn intents(&self) -> impl Iterator<Item = &Arc<Intent>> {
        self.intents.iter()
    }
}

impl Process {
    /// Fresh, and with an empty memory.
    pub fn new(setup: &Setup, place: usize, life: u32, version: u32) -> Self {
        Self {
            life,
            plan: setup.plan(place, life),
            state: Arc::default(),
            version,
            scheduled: BTreeMap::new(),
            followed: BTreeMap::new(),
            wake_at: None,
            outbox: Vec::new(),
            awaited: BTreeMap::new(),
            inbox: Vec::new(),
            writing: Writing::No,
            paused: false,
            turned: false,
            ended: false,
        }
    }

    pub fn name(&self) -> String {
        self.plan.owner.id.as_str().to_owned()
    }

    /// It waits for something to happen.
    pub const fn is_idle(&self) -> bool {
        matches!(self.writing, Writing::No)
    }

    /// It can go on by itself.
    pub fn has_work(&self, now: Monotonic) -> bool {
        match self.writing {
            Writing::Answered(..) => true,
            Writing::Sent(_) => false,
            Writing::No => !self.inbox.is_empty() || self.timers().any(|at| at <= now),
        }
    }

    /// Something of it, or of its write, happens before time passes.
    pub fn is_busy(&self, now: Monotonic) -> bool {
        matches!(self.writing, Writing::Sent(_))
            || !self.outbox.is_empty()
            || self.looks(now).next().is_some()
            || self.has_work(now)
    }

    /// The times at which something of it happens.
    pub fn moments(&self) -> impl Iterator<Item = Monotonic> {
        self.timers().chain(self.followed.values().filter_map(|(_, due)| *due))
    }

    /// The looks at calls in progress that are due.
    pub fn looks(&self, now: Monotonic) -> impl Iterator<Item = CallId> {
        self.followed.iter().filter(move |(_, (_, due))| due.is_some_and(|due| due <= now)).map(|(call, _)| *call)
    }

    /// The times at which it acts by itself.
    fn timers(&self) -> impl Iterator<Item = Monotonic> {
        let scheduled = self.scheduled.values().map(|intent| intent.not_before.unwrap_or_default());
        let on_the_wire = self.awaited.iter().filter(|((call, fence), _)| !self.holds(*call, *fence));
        self.wake_at.into_iter().chain(scheduled).chain(on_the_wire.map(|(_, until)| *until))
    }

    /// The attempt is with the sender and has not left.
    fn holds(&self, call: CallId, fence: Fence) -> bool {
        self.outbox.iter().any(|intent| (intent.call, intent.fence) == (call, fence))
    }

    /// It has seen the run.
    pub fn is_touched(&self) -> bool {
        self.state.local.unchanged_since.is_some()
    }

    /// Whether the connection of an attempt is still open.
    pub fn awaits(&self, call: CallId, fence: Fence, now: Monotonic) -> bool {
        self.awaited.get(&(call, fence)).is_some_and(|until| now < *until || self.paused)
    }

    fn saw(&mut self, stored: &Stored) {
        self.turned |= matches!(stored.mode(), Mode::Compensating | Mode::Ended);
        self.ended |= stored.end.is_some();
    }

    fn take_back(&mut self, turn: &Transition) -> Result<(), Broken> {
        for effect in &turn.effects {
            match effect {
                Effect::Withdraw(call) => {
                    if self.state.local.own.get(call).is_some_and(|own| own.sent) {
                        return Err(format!("{call:?} is withdrawn although it was sent"));
                    }
                    self.scheduled.remove(call);
                }
                Effect::Cut(call) => {
                    self.followed.remove(call);
                    // The newest attempt of the call; an older one has lost its handle already.
                    let newest = self.awaited.keys().filter(|(of, _)| of == call).map(|(_, fence)| *fence).max();
                    if let Some(fence) = newest {
                        self.awaited.remove(&(*call, fence));
                        self.outbox.retain(|intent| (intent.call, intent.fence) != (*call, fence));
                    }
                }
                Effect::Send(_) | Effect::Poll(_) | Effect::PollAgain { .. } | Effect::Release => {}
            }
        }
        Ok(())
    }
}

impl World {
    /// A process goes on with what it has at hand.
    pub fn act(&mut self, place: usize) -> Result<(), Broken> {
        let now = self.monotonic();
        match self.processes[place].writing.clone() {
            Writing::Answered(decided, word) => return self.hear_of_write(place, &decided, word),
            Writing::Sent(_) => return Ok(()),
            Writing::No => {}
        }
        let process = self.process(place);
        let over = process.awaited.iter().filter(|((call, fence), at)| **at <= now && !process.holds(*call, *fence));
        let over: Vec<_> = over.map(|(key, _)| *key).collect();
        for (call, fence) in over {
            process.awaited.remove(&(call, fence));
            process.inbox.push(Event::Answered { call, fence, answer: lost("no answer in time") });
        }
        if !process.inbox.is_empty() {
            let events = std::mem::take(&mut process.inbox);
            return self.decide(place, events);
        }
        if process.scheduled.values().any(|intent| intent.not_before.unwrap_or_default() <= now) {
            return self.send_due(place);
        }
        process.wake_at = None;
        self.decide(place, vec![Event::Tick])
    }

    /// Reads the newest write and decides.
    pub fn notice(&mut self, place: usize) -> Result<(), Broken> {
        self.tell(|world| format!("{} looks at the run", world.name(place)));
        self.observe(place, self.store.version, &self.store.stored.clone());
        self.decide_on_wishes(place)
    }

    /// Takes in an old copy, and decides.
    pub fn notice_stale(&mut self, place: usize) -> Result<(), Broken> {
        let Some((version, stored)) = self.store.previous.clone() else { return Ok(()) };
        self.tell(|world| format!("{} looks at an old copy of the run", world.name(place)));
        self.observe(place, version, &stored);
        self.decide_on_wishes(place)
    }

    fn decide_on_wishes(&mut self, place: usize) -> Result<(), Broken> {
        let mut events = vec![Event::Wished((*self.store.wishes).clone())];
        events.append(&mut self.process(place).inbox);
        self.decide(place, events)
    }

    fn observe(&mut self, place: usize, version: u32, stored: &Stored) {
        let now = self.now(place);
        let process = self.process(place);
        process.version = version;
        process.saw(stored);
        Arc::make_mut(&mut process.state).observe(stored.clone(), now);
        if !process.state.local.owned {
            process.scheduled.clear();
            process.followed.clear();
        }
    }

    fn decide(&mut self, place: usize, events: Vec<Event>) -> Result<(), Broken> {
        let now = self.now(place);
        let process = self.process(place);
        let turn = step(&process.plan, &process.state, &events, now);
        process.take_back(&turn)?;
        if !turn.changed {
            return self.adopt(place, &Decided::new(turn, Vec::new(), (false, false)), Keep::No);
        }
        let known = (process.turned, process.ended);
        process.saw(&turn.state.stored);
        let fence = turn.state.stored.fence;
        let notes: Vec<String> = turn.notes.iter().map(ToString::to_string).collect();
        process.writing = Writing::Sent(Arc::new(Decided::new(turn, events, known)));
        self.tell(|world| {
            format!("{} decides, and begins to write fence {fence}: {}", world.name(place), notes.join("; "))
        });
        Ok(())
    }

    fn hear_of_write(&mut self, place: usize, decided: &Decided, word: Word) -> Result<(), Broken> {
        self.process(place).writing = Writing::No;
        if let Word::Landed(version) = word {
            self.tell(|world| format!("{} hears that its write landed", world.name(place)));
            self.process(place).version = version;
            return self.adopt(place, decided, Keep::No);
        }
        self.tell(|world| format!("{} hears {word:?} and reads again", world.name(place)));
        let (wanted, stored) = (&decided.turn.state.stored, self.store.stored.clone());
        let wishes = (*self.store.wishes).clone();
        let mine = stored.fence == wanted.fence && stored.holder == wanted.holder && stored.holder.is_some();
        if mine && word != Word::TooLarge {
            self.process(place).version = self.store.version;
            // What was read with it may be newer than what was decided on: decided again before anything is sent.
            let news = decided.turn.state.local.wishes.as_ref() != Some(&wishes);
            self.adopt(place, decided, if news { Keep::Yes } else { Keep::No })?;
            return if news { self.decide(place, vec![Event::Wished(wishes)]) } else { Ok(()) };
        }
        let process = self.process(place);
        if word != Word::Unclear {
            // It certainly did not land, and never will.
            (process.turned, process.ended) = decided.known;
        }
        Arc::make_mut(&mut process.state).not_landed(&decided.turn);
        let version = self.store.version;
        self.observe(place, version, &stored);
        let kept = decided.events.iter().filter(|event| !matches!(event, Event::Wished(_)));
        let mut events: Vec<Event> = kept.cloned().collect();
        if word == Word::TooLarge {
            events.push(Event::TooLarge);
        }
        events.push(Event::Wished(wishes));
        self.decide(place, events)
    }

    /// The decision is stored, or changed nothing: it is the state now, and its intents may be sent.
    fn adopt(&mut self, place: usize, decided: &Decided, keep: Keep) -> Result<(), Broken> {
        let turn = &decided.turn;
        let now = self.now(place);
        let process = self.process(place);
        process.state = Arc::new(turn.state.clone());
        process.wake_at = turn.wake_at;
        if turn.changed {
            Arc::make_mut(&mut process.state).landed(now);
            // Whatever this process began before and never heard of has not landed: this write overtook it.
            (process.turned, process.ended) = (false, false);
            process.saw(&turn.state.stored);
        }
        let sends = !decided.intents.is_empty() || !decided.polls.is_empty();
        if sends && !turn.changed {
            return Err("I1: something is to be sent, and nothing is stored".to_owned());
        }
        for intent in &decided.intents {
            if intent.not_before.is_some() || keep == Keep::Yes {
                process.scheduled.insert(intent.call, intent.clone());
            } else {
                process.hand_over(intent.clone())?;
            }
        }
        process.follow(decided);
        Ok(())
    }

    /// An ended run is let go; whoever hears of it again starts with an empty memory.
    pub fn let_go(&mut self, place: usize) {
        let process = &self.processes[place];
        if process.is_idle() && process.state.stored.end.is_some() {
            let version = process.version;
            self.replace(place, version);
        }
    }

    /// Sends what is due, after proving by a quorum read that the run is this process's own.
    fn send_due(&mut self, place: usize) -> Result<(), Broken> {
        let known = self.processes[place].state.local.wishes.clone();
        self.tell(|world| format!("{} proves that the run is its own", world.name(place)));
        self.observe(place, self.store.version, &self.store.stored.clone());
        if !self.processes[place].state.local.owned || known.as_ref() != Some(&*self.store.wishes) {
            return self.decide(place, vec![Event::Wished((*self.store.wishes).clone())]);
        }
        let now = self.monotonic();
        let process = self.process(place);
        let due = process.scheduled.extract_if(.., |_, intent| intent.not_before.unwrap_or_default() <= now);
        let due: Vec<_> = due.map(|(_, intent)| intent).collect();
        due.into_iter().try_for_each(|intent| process.hand_over(intent))
    }
}

/// Whether intents are kept because the next decision may take them back.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Keep {
    Yes,
    No,
}

impl Process {
    fn follow(&mut self, decided: &Decided) {
        for polling in &decided.polls {
            self.followed.insert(polling.call, (polling.clone(), Some(polling.first)));
        }
        for effect in &decided.turn.effects {
            if let Effect::PollAgain { call, fence, at } = effect
                && let Some((_, due)) = self.followed.get_mut(call).filter(|(polling, _)| polling.fence == *fence)
            {
                *due = Some(*at);
            }
        }
        let stored = &self.state.stored;
        self.followed.retain(|call, (polling, _)| {
            let located = |open: &Open| open.location.is_some() && open.fence == polling.fence;
            stored.open_calls().any(|(id, _, open)| id == *call && located(open))
        });
    }

    /// Hands an attempt to the sender.
    fn hand_over(&mut self, intent: Arc<Intent>) -> Result<(), Broken> {
        promise::at_a_send(self, &intent)?;
        Arc::make_mut(&mut self.state).sent(intent.call);
        self.awaited.insert((intent.call, intent.fence), intent.expires);
        self.outbox.push(intent);
        Ok(())
    }
}
