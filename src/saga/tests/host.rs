//! A process and a store as the engine's contract has them, without tasks and without waiting.

use std::collections::BTreeMap;

use super::fixtures::spec_of;
use crate::api::SagaRunStatus;
use crate::saga::{
    CallId, Effect, Event, Holder, Intent, Mode, Monotonic, Note, Now, Open, Plan, Polling, State, Stored, Transition,
    Wishes, invariant, step,
};

/// What may go wrong with one write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    None,
    /// Nobody answered, and it landed.
    UnclearLanded,
    /// Nobody answered, and it did not land.
    UnclearLost,
    /// Nobody answered, and it lands later if nothing else was written by then.
    UnclearLate,
    /// The size is refused.
    TooLarge,
    /// The process dies before the write.
    CrashBefore,
    /// The process dies after the write, before it acts on it.
    CrashAfter,
}

/// What came of one write, as its writer sees it.
enum Written {
    Landed,
    Conflict,
    Unclear,
    TooLarge,
}

/// A landed write.
#[derive(Clone, Debug)]
pub struct Landing {
    pub stored: Stored,
    pub intents: Vec<Intent>,
    pub at: Now,
    /// What users wished then.
    pub wishes: Wishes,
}

/// One run in a store with compare-and-swap.
pub struct Store {
    pub version: u64,
    pub wishes: Wishes,
    pub history: Vec<Landing>,
    json: Option<String>,
    late: Vec<(u64, Landing)>,
    previous: Option<String>,
}

impl Store {
    pub fn new() -> Self {
        Self { version: 1, wishes: spec_of(1), history: Vec::new(), json: None, late: Vec::new(), previous: None }
    }

    /// What a quorum read shows. It goes through the status as it is stored: nothing may be lost on the way.
    pub fn load(&self) -> Stored {
        read(self.json.as_deref())
    }

    /// What a cache may still show.
    pub fn stale(&self) -> Stored {
        read(self.previous.as_deref())
    }

    pub fn wish(&mut self, change: impl FnOnce(&mut Wishes)) {
        change(&mut self.wishes);
        self.wishes.generation += 1;
        self.version += 1;
    }

    fn write(&mut self, at: u64, landing: Landing, fault: Fault) -> Written {
        if fault == Fault::TooLarge {
            return Written::TooLarge;
        }
        if fault == Fault::UnclearLost {
            return Written::Unclear;
        }
        if fault == Fault::UnclearLate {
            self.late.push((at, landing));
            return Written::Unclear;
        }
        if at != self.version {
            return Written::Conflict;
        }
        self.land(landing);
        if fault == Fault::UnclearLanded { Written::Unclear } else { Written::Landed }
    }

    /// Writes that were under way for long arrive: those land that nothing overtook.
    pub fn settle(&mut self) -> bool {
        let mut landed = false;
        for (at, landing) in std::mem::take(&mut self.late) {
            if at == self.version {
                self.land(landing);
                landed = true;
            }
        }
        landed
    }

    fn land(&mut self, landing: Landing) {
        let before = self.load();
        invariant::check(&before, &landing.stored)
            .unwrap_or_else(|broken| panic!("{broken}\nbefore: {before:#?}\nafter: {:#?}", landing.stored));
        let json = serde_json::to_string(&landing.stored.to_status()).unwrap();
        assert!(json.len() <= 64 * 1024, "a status of {} bytes", json.len());
        self.previous = self.json.take();
        self.json = Some(json);
        assert_eq!(self.load(), landing.stored, "the status must hold all that is stored");
        self.version += 1;
        self.history.push(landing);
    }
}

fn read(json: Option<&str>) -> Stored {
    let status: Option<SagaRunStatus> = json.map(|json| serde_json::from_str(json).unwrap());
    Stored::from_status(status.as_ref()).unwrap()
}

/// Something that a process did.
#[derive(Debug)]
pub enum Done {
    Note(Note),
    Withdrew(CallId),
    Cut(CallId),
    Refused(Fault),
    Conflicted,
    Wrote(Box<Stored>),
    Scheduled(Box<Intent>),
    Sent(Box<Intent>),
    Follows(Box<Polling>),
    LooksAgain(CallId, Monotonic),
    Released,
}

/// A process that drives the run.
pub struct Process {
    pub plan: Plan,
    pub state: State,
    pub version: u64,
    pub scheduled: BTreeMap<CallId, Intent>,
    /// Calls in progress, and when to look next.
    pub followed: BTreeMap<CallId, (Polling, Option<Monotonic>)>,
    pub wake_at: Option<Monotonic>,
    pub alive: bool,
    /// It began, or saw, a write that turns the run, and that landed or may still land.
    pub turned: bool,
    /// As `turned`, of a write that ends the run.
    pub ended: bool,
}

impl Process {
    pub fn new(plan: Plan) -> Self {
        Self {
            plan,
            state: State::default(),
            version: 0,
            scheduled: BTreeMap::new(),
            followed: BTreeMap::new(),
            wake_at: None,
            alive: true,
            turned: false,
            ended: false,
        }
    }

    pub fn id(&self) -> &Holder {
        &self.plan.owner.id
    }

    /// Forgets everything that is not stored, as if the process had never seen the run.
    pub fn forget(&mut self) {
        self.scheduled.clear();
        self.followed.clear();
        self.state = State::default();
        (self.turned, self.ended) = (false, false);
        self.version = 0;
        self.wake_at = None;
    }

    /// Takes in what was read at a version.
    pub fn observe(&mut self, stored: Stored, version: u64, now: Now) {
        self.version = version;
        self.saw(&stored);
        self.state.observe(stored, now);
        if !self.state.local.owned {
            self.scheduled.clear();
            self.followed.clear();
        }
    }

    fn saw(&mut self, stored: &Stored) {
        self.turned |= matches!(stored.mode(), Mode::Compensating | Mode::Ended);
        self.ended |= stored.end.is_some();
    }

    /// Reads by quorum and decides.
    pub fn look(&mut self, store: &mut Store, now: Now, fault: &mut dyn FnMut() -> Fault) -> Vec<Done> {
        self.observe(store.load(), store.version, now);
        let event = Event::Wished(store.wishes.clone());
        self.decide(store, vec![event], now, fault)
    }

    /// Decides, stores and performs, and decides the same events again when the write did not land.
    pub fn decide(
        &mut self,
        store: &mut Store,
        mut events: Vec<Event>,
        now: Now,
        fault: &mut dyn FnMut() -> Fault,
    ) -> Vec<Done> {
        let mut done = Vec::new();
        for _ in 0..20 {
            let decided = step(&self.plan, &self.state, &events, now);
            assert_same(&decided, &step(&self.plan, &self.state, &events, now));
            self.take_back(&decided, &mut done);
            if !decided.changed {
                self.adopt(decided, now, &mut done);
                return done;
            }
            let known = (self.turned, self.ended);
            self.saw(&decided.state.stored);
            let fault = fault();
            if fault == Fault::CrashBefore {
                self.alive = false;
                return done;
            }
            let (stored, wishes) = (decided.state.stored.clone(), store.wishes.clone());
            let landing = Landing { stored, intents: intents(&decided), at: now, wishes };
            let written = store.write(self.version, landing, fault);
            if fault == Fault::CrashAfter {
                self.alive = false;
                return done;
            }
            if fault != Fault::None {
                done.push(Done::Refused(fault));
            }
            let read = store.load();
            let mine = read.fence == decided.state.stored.fence && read.holder == decided.state.stored.holder;
            match written {
                Written::Landed => {}
                Written::Conflict | Written::Unclear if mine && read.holder.is_some() => {}
                Written::Conflict | Written::Unclear | Written::TooLarge => {
                    if !matches!(written, Written::Unclear) {
                        // It certainly did not land, and never will.
                        (self.turned, self.ended) = known;
                    }
                    if matches!(written, Written::Conflict) {
                        done.push(Done::Conflicted);
                    }
                    self.state.not_landed(&decided);
                    self.observe(read, store.version, now);
                    events.push(Event::Wished(store.wishes.clone()));
                    if matches!(written, Written::TooLarge) {
                        events.push(Event::TooLarge);
                    }
                    continue;
                }
            }
            self.version = store.version;
            self.adopt(decided, now, &mut done);
            return done;
        }
        panic!("the process goes on writing: {events:?}\n{:#?}", self.state);
    }

    fn take_back(&mut self, decided: &Transition, done: &mut Vec<Done>) {
        for effect in &decided.effects {
            match effect {
                Effect::Withdraw(call) => {
                    let own = self.state.local.own.get(call);
                    assert!(own.is_none_or(|own| !own.sent), "{call:?} is withdrawn although it was sent");
                    self.scheduled.remove(call);
                    done.push(Done::Withdrew(*call));
                }
                Effect::Cut(call) => {
                    self.followed.remove(call);
                    done.push(Done::Cut(*call));
                }
                Effect::Send(_) | Effect::Poll(_) | Effect::PollAgain { .. } | Effect::Release => {}
            }
        }
    }

    fn adopt(&mut self, decided: Transition, now: Now, done: &mut Vec<Done>) {
        self.state = decided.state;
        self.wake_at = decided.wake_at;
        done.extend(decided.notes.into_iter().map(Done::Note));
        if decided.changed {
            self.state.landed(now);
            // Whatever this process began before and never heard of has not landed: this write overtook it.
            (self.turned, self.ended) = (false, false);
            self.saw(&self.state.stored.clone());
            done.push(Done::Wrote(Box::new(self.state.stored.clone())));
        }
        for effect in decided.effects {
            match effect {
                Effect::Send(intent) if intent.not_before.is_some() => {
                    assert!(decided.changed, "an intent without a write");
                    self.scheduled.insert(intent.call, (*intent).clone());
                    done.push(Done::Scheduled(intent));
                }
                Effect::Send(intent) => {
                    assert!(decided.changed, "an intent without a write");
                    self.state.sent(intent.call);
                    done.push(Done::Sent(intent));
                }
                Effect::Poll(polling) => {
                    assert!(decided.changed, "a location without a write");
                    self.followed.insert(polling.call, ((*polling).clone(), Some(polling.first)));
                    done.push(Done::Follows(polling));
                }
                Effect::PollAgain { call, fence, at } => {
                    if let Some((_, due)) = self.followed.get_mut(&call).filter(|(polling, _)| polling.fence == fence) {
                        *due = Some(at);
                        done.push(Done::LooksAgain(call, at));
                    }
                }
                Effect::Release => done.push(Done::Released),
                Effect::Withdraw(_) | Effect::Cut(_) => {}
            }
        }
        let stored = &self.state.stored;
        self.followed.retain(|call, (polling, _)| {
            let located = |open: &Open| open.location.is_some() && open.fence == polling.fence;
            stored.open_calls().any(|(id, _, open)| id == *call && located(open))
        });
    }

    /// Takes the looks that are due.
    pub fn looks_due(&mut self, now: Now) -> Vec<Polling> {
        let due = |due: &Option<Monotonic>| due.is_some_and(|at| at <= now.monotonic);
        let looks = self.followed.values_mut().filter(|(_, at)| due(at));
        looks.map(|(polling, at)| (at.take(), polling.clone()).1).collect()
    }

    /// Sends what is due, after proving by a quorum read that the run is this process's own.
    pub fn send_due(&mut self, store: &mut Store, now: Now, fault: &mut dyn FnMut() -> Fault) -> Vec<Done> {
        let known = self.state.local.wishes.clone();
        self.observe(store.load(), store.version, now);
        if !self.state.local.owned || known.as_ref() != Some(&store.wishes) {
            let event = Event::Wished(store.wishes.clone());
            return self.decide(store, vec![event], now, fault);
        }
        let due = |intent: &Intent| intent.not_before.is_none_or(|at| at <= now.monotonic);
        let calls: Vec<CallId> =
            self.scheduled.values().filter(|intent| due(intent)).map(|intent| intent.call).collect();
        let mut done = Vec::new();
        for call in calls {
            let Some(intent) = self.scheduled.remove(&call) else { continue };
            self.state.sent(call);
            done.push(Done::Sent(Box::new(intent)));
        }
        done
    }

    /// When this process has something to do next.
    pub fn next(&self) -> Option<Monotonic> {
        let look = self.followed.values().filter_map(|(_, due)| *due).min();
        self.next_decision().into_iter().chain(look).min()
    }

    /// When this process has something to decide or to send next.
    pub fn next_decision(&self) -> Option<Monotonic> {
        let due = self.scheduled.values().filter_map(|intent| intent.not_before).min();
        self.wake_at.into_iter().chain(due).min()
    }

    /// Something scheduled is due.
    pub fn is_due(&self, now: Now) -> bool {
        self.scheduled.values().any(|intent| intent.not_before.is_none_or(|at| at <= now.monotonic))
    }
}

fn intents(decided: &Transition) -> Vec<Intent> {
    let intent = |effect: &Effect| match effect {
        Effect::Send(intent) => Some((**intent).clone()),
        Effect::Withdraw(_) | Effect::Cut(_) | Effect::Poll(_) | Effect::PollAgain { .. } | Effect::Release => None,
    };
    decided.effects.iter().filter_map(intent).collect()
}

fn assert_same(one: &Transition, other: &Transition) {
    assert_eq!(one.state, other.state, "the same arguments, another state");
    assert_eq!(one.effects, other.effects);
    assert_eq!(one.notes, other.notes);
    assert_eq!((one.changed, one.wake_at), (other.changed, other.wake_at));
}
