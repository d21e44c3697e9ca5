//! Processes on one store, with users in front and participants behind.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use saga_operator::api::SagaRunSpec;
use saga_operator::api::run::{DefinitionRef, EndPolicy};
use saga_operator::clock::Clock;
use saga_operator::election::Claim;
use saga_operator::engine::{Engine, Fleet, Witness};
use saga_operator::journal::Loaded;
use saga_operator::journal::memory::MemoryJournal;
use saga_operator::saga::{Cancellation, Holder, Identity, Note, Owner, Stored, Tenure, Wishes};
use tokio_util::sync::CancellationToken;

use super::definitions::{Book, Shelf};
use super::fate::{Choices, Fate, Source, Telling, lock};
use super::participant::ProcessParticipant;
use super::process::{Process, ProcessJournal};
use super::services::{Services, Weakness};
use super::shape::Saga;
use super::store::{Hooks, Store};
use super::watch::Watch;

/// What processes said and stored.
#[derive(Clone)]
pub struct Ears {
    pub notes: Arc<Mutex<Vec<Note>>>,
    pub stored: Arc<Mutex<Vec<Stored>>>,
    fate: Arc<Fate>,
    keeps: Arc<AtomicBool>,
}

impl Ears {
    fn new(fate: Arc<Fate>) -> Self {
        Self { notes: Arc::default(), stored: Arc::default(), fate, keeps: Arc::default() }
    }
}

impl Witness for Ears {
    fn noted(&self, run: &Identity, note: &Note) {
        self.fate.tell(|| format!("    of {}: {note}", run.uid));
        if self.keeps.load(Ordering::Relaxed) {
            lock(&self.notes).push(note.clone());
        }
    }

    fn stored(&self, _run: &Identity, stored: &Stored) {
        if self.keeps.load(Ordering::Relaxed) {
            lock(&self.stored).push(stored.clone());
        }
    }
}

pub type TestEngine = Engine<ProcessJournal, ProcessParticipant, Shelf, Ears>;

/// A process that runs.
pub struct Running {
    pub process: Arc<Process>,
    pub fleet: Fleet<TestEngine>,
    pub drain: CancellationToken,
    pub watches: Arc<AtomicBool>,
}

pub struct World {
    pub fate: Arc<Fate>,
    pub hooks: Arc<Hooks>,
    pub store: Store,
    pub services: Arc<Services>,
    pub book: Arc<Book>,
    pub ears: Ears,
    pub processes: Vec<Running>,
    pub tenure: Tenure,
    /// What was asked of runs, by each change.
    pub wishes: Mutex<Vec<(String, Wishes)>>,
    born: u32,
}

impl World {
    pub fn new(fate: Arc<Fate>, saga: Arc<Saga>, tenure: Tenure, weakness: Option<Weakness>) -> Self {
        // A store that is locked by one process writes nothing for another.
        let hooks = Arc::new(Hooks::new(fate.clone(), tenure != Tenure::Exclusive));
        Self {
            store: MemoryJournal::new(hooks.clone()),
            hooks,
            services: Arc::new(Services::weak(weakness)),
            book: Arc::new(Book::new(fate.clone(), saga)),
            ears: Ears::new(fate.clone()),
            processes: Vec::new(),
            tenure,
            wishes: Mutex::default(),
            born: 0,
            fate,
        }
    }

    /// A world in which nothing goes wrong unless it is told to.
    pub fn calm(saga: Arc<Saga>) -> Self {
        let fate = Arc::new(Fate::new(Choices::Seed(1), Telling::Untold));
        fate.calm_down();
        let world = Self::new(fate, saga, Tenure::Contended, None);
        world.ears.keeps.store(true, Ordering::Relaxed);
        world
    }

    pub fn submit(&self, uid: &str) -> Loaded {
        self.submit_with(uid, SagaRunSpec::default())
    }

    pub fn submit_with(&self, uid: &str, spec: SagaRunSpec) -> Loaded {
        self.fate.tell(|| format!("{uid} is submitted"));
        let run = Identity { namespace: "shop".to_owned(), name: uid.to_owned(), uid: uid.to_owned() };
        let definition_ref = DefinitionRef { name: "order".to_owned() };
        let loaded = self.store.submit(run, SagaRunSpec { definition_ref, ..spec });
        lock(&self.wishes).push((uid.to_owned(), loaded.wishes.clone()));
        loaded
    }

    /// Starts a process, and gives its place.
    pub fn start(&mut self) -> usize {
        self.born += 1;
        let name = format!("p{}", self.born);
        let (process, clock) = (Arc::new(Process::new(name.clone(), self.fate.clone())), self.clock(&name));
        let drain = CancellationToken::new();
        let participant = ProcessParticipant {
            services: self.services.clone(),
            store: self.store.clone(),
            process: process.clone(),
            fate: self.fate.clone(),
            clock,
        };
        let engine = Engine {
            journal: ProcessJournal { store: self.store.clone(), process: process.clone() },
            participant: Arc::new(participant),
            definitions: Shelf(self.book.clone()),
            witness: self.ears.clone(),
            clock,
            owner: Owner { id: Holder::new(&name), tenure: self.tenure },
            claim: Claim::unelected(),
            drain: drain.clone(),
        };
        let fleet = Fleet::new(Arc::new(engine));
        let (sender, news) = tokio::sync::mpsc::unbounded_channel();
        lock(&self.hooks.watchers).push(sender);
        let watches = Arc::new(AtomicBool::new(true));
        let watch = Watch {
            store: self.store.clone(),
            fate: self.fate.clone(),
            fleet: fleet.clone(),
            process: process.clone(),
            news,
            hears: watches.clone(),
        };
        tokio::spawn(watch.run());
        self.processes.push(Running { process, fleet, drain, watches });
        self.processes.len() - 1
    }

    /// The clock of a new process: its wall may be off by up to an hour, and run at up to half or twice the pace.
    fn clock(&self, name: &str) -> Clock {
        let epoch = Timestamp::from_second(1_800_000_000).unwrap();
        let true_wall = epoch + SignedDuration::try_from(self.fate.elapsed()).unwrap();
        let (off, percent) = match self.fate.mishap(Source::Shape, 4) {
            1 => (i64::from(self.fate.below(Source::Shape, 3600)), 100),
            2 => (-i64::from(self.fate.below(Source::Shape, 3600)), 100),
            3 => (0, 50 + self.fate.below(Source::Shape, 101)),
            _ => (0, 100),
        };
        if (off, percent) != (0, 100) {
            self.fate.fault("wrong wall clock", || format!("that of {name} is {off} s ahead, at {percent} %"));
        }
        self.fate.tell(|| format!("{name} starts"));
        Clock::following(true_wall + SignedDuration::from_secs(off), percent)
    }

    /// A process dies: nothing comes back to it, and nothing leaves it any more.
    pub fn crash(&mut self, place: usize) {
        let dead = self.processes.swap_remove(place).process;
        self.fate.tell(|| format!("{} dies", dead.name));
        dead.dead.cancel();
    }

    /// A process ends in order.
    pub async fn stop(&mut self, place: usize) {
        let running = self.processes.swap_remove(place);
        self.fate.tell(|| format!("{} is asked to end", running.process.name));
        running.drain.cancel();
        let _overdue = tokio::time::timeout(Duration::from_secs(25), running.fleet.idle()).await;
        self.fate.tell(|| format!("{} ends", running.process.name));
        running.process.dead.cancel();
    }

    pub fn is_settled(&self, run: &Loaded) -> bool {
        let stored = &run.stored;
        let says = |type_: &str, reason: &str| {
            stored.conditions.iter().any(|one| one.type_ == type_ && (reason.is_empty() || one.reason == reason))
        };
        let quiet = stored.open_calls().next().is_none();
        (stored.end.is_some() && !run.retained && says("Completed", ""))
            || (stored.stalled().is_some() && quiet && says("Stalled", "") && self.judged(run))
            || (run.wishes.holds() && quiet && says("Succeeded", "Suspended"))
    }

    /// Every decision of a person was judged.
    fn judged(&self, run: &Loaded) -> bool {
        run.stored.judged.len() == run.wishes.interventions.len()
    }

    /// Waits until every run has settled.
    pub async fn settle(&self, within: Duration) -> bool {
        let until = tokio::time::Instant::now() + within;
        loop {
            let changed = self.hooks.changed.notified();
            if self
                .store
                .uids()
                .iter()
                .all(|uid| self.store.with(uid, |run| run.is_none_or(|run| self.is_settled(run))))
            {
                return true;
            }
            if tokio::time::timeout_at(until, changed).await.is_err() {
                return false;
            }
        }
    }

    pub fn wish(&self, uid: &str, kind: u32) {
        self.ask(uid, |wishes| match kind {
            0..=4 => wishes.suspend = true,
            5..=9 => wishes.suspend = false,
            10..=12 => {
                let reason = "why not".to_owned();
                wishes.cancellation.get_or_insert(Cancellation { policy: EndPolicy::Compensate, reason });
            }
            13 | 14 => {
                wishes.deletion.get_or_insert(EndPolicy::Compensate);
            }
            _ => wishes.cancellation = Some(Cancellation { policy: EndPolicy::Abandon, reason: String::new() }),
        });
    }

    /// Changes what is asked of a run.
    pub fn ask(&self, uid: &str, change: impl FnOnce(&mut Wishes)) {
        let mut told = None;
        self.store.wish(uid, |wishes| {
            change(wishes);
            told = Some(Wishes { generation: wishes.generation + 1, ..wishes.clone() });
        });
        if let Some(wishes) = told {
            self.fate.tell(|| format!("somebody asks of {uid}: {wishes:?}"));
            lock(&self.wishes).push((uid.to_owned(), wishes));
        }
    }
}
