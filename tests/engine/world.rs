//! Processes on one store, each with a watch that is late and forgets.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use saga_operator::api::SagaRunSpec;
use saga_operator::api::definition::{Call, HttpCall, Output, RetryPolicy, Role, SagaDefinitionSpec, Step};
use saga_operator::api::run::{DefinitionRef, EndPolicy};
use saga_operator::clock::Clock;
use saga_operator::engine::{Definitions, Engine, Fleet, Witness};
use saga_operator::journal::memory::MemoryJournal;
use saga_operator::journal::{JournalError, Loaded};
use saga_operator::saga::{Cancellation, Definition, Holder, Identity, Note, Owner, Stored, Tenure, Unready};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::chance::Chance;
use super::participant::{ProcessParticipant, Services};
use super::store::{Hooks, Process, ProcessJournal, Store};

/// The definitions of a world: the current one, and what is asked of a pinned one.
pub struct Book {
    pub current: Mutex<Arc<Definition>>,
    pub doomed: Mutex<Vec<String>>,
    pub panics: AtomicU32,
}

#[derive(Clone)]
pub struct Shelf(pub Arc<Book>);

impl Definitions for Shelf {
    async fn current(&self, _namespace: &str, _name: &str) -> Result<Arc<Definition>, Unready> {
        let left = self.0.panics.load(Ordering::Relaxed);
        if left > 0 {
            self.0.panics.store(left - 1, Ordering::Relaxed);
            panic!("the definitions were told to");
        }
        Ok(self.0.current.lock().unwrap().clone())
    }

    async fn pinned(&self, _namespace: &str, _name: &str, revision: &str) -> Result<Arc<Definition>, Unready> {
        let current = self.0.current.lock().unwrap().clone();
        if current.revision == revision { Ok(current) } else { Err(Unready::RevisionNotFound(revision.to_owned())) }
    }

    async fn holds(&self, _namespace: &str, revision: &str) -> Result<bool, JournalError> {
        Ok(!self.0.doomed.lock().unwrap().iter().any(|doomed| doomed == revision))
    }
}

#[derive(Clone, Default)]
pub struct Ears {
    pub notes: Arc<Mutex<Vec<Note>>>,
    pub stored: Arc<Mutex<Vec<Stored>>>,
}

impl Witness for Ears {
    fn noted(&self, _run: &Identity, note: &Note) {
        self.notes.lock().unwrap().push(note.clone());
    }

    fn stored(&self, _run: &Identity, stored: &Stored) {
        self.stored.lock().unwrap().push(stored.clone());
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
    pub chance: Arc<Chance>,
    pub hooks: Arc<Hooks>,
    pub store: Store,
    pub services: Arc<Services>,
    pub definition: Arc<Definition>,
    pub book: Arc<Book>,
    pub ears: Ears,
    pub processes: Vec<Running>,
    pub tenure: Tenure,
    born: u32,
}

impl World {
    pub fn new(seed: u64, definition: Arc<Definition>) -> Self {
        let chance = Arc::new(Chance::new(seed));
        let hooks = Arc::new(Hooks::new(chance.clone()));
        let current = Mutex::new(definition.clone());
        Self {
            store: MemoryJournal::new(hooks.clone()),
            chance,
            hooks,
            services: Arc::default(),
            definition,
            book: Arc::new(Book { current, doomed: Mutex::default(), panics: AtomicU32::new(0) }),
            ears: Ears::default(),
            processes: Vec::new(),
            tenure: Tenure::Contended,
            born: 0,
        }
    }

    /// A world in which nothing goes wrong unless it is told to.
    pub fn calm(definition: Arc<Definition>) -> Self {
        let world = Self::new(1, definition);
        world.chance.calm_down();
        world
    }

    pub fn submit(&self, uid: &str) -> Loaded {
        let run = Identity { namespace: "shop".to_owned(), name: uid.to_owned(), uid: uid.to_owned() };
        let definition_ref = DefinitionRef { name: "order".to_owned() };
        self.store.submit(run, SagaRunSpec { definition_ref, ..SagaRunSpec::default() })
    }

    /// Starts a process, and gives its place.
    pub fn start(&mut self) -> usize {
        self.born += 1;
        let name = format!("p{}", self.born);
        let (process, clock) = (Arc::new(Process::new(name.clone())), Clock::start());
        let drain = CancellationToken::new();
        let participant = ProcessParticipant {
            services: self.services.clone(),
            store: self.store.clone(),
            process: process.clone(),
            chance: self.chance.clone(),
            clock,
        };
        let engine = Engine {
            journal: ProcessJournal { store: self.store.clone(), process: process.clone() },
            participant: Arc::new(participant),
            definitions: Shelf(self.book.clone()),
            witness: self.ears.clone(),
            clock,
            owner: Owner { id: Holder::new(&name), tenure: self.tenure },
            drain: drain.clone(),
        };
        let fleet = Fleet::new(Arc::new(engine));
        let running = Running { process, fleet, drain, watches: Arc::new(AtomicBool::new(true)) };
        tokio::spawn(watch(self, &running));
        self.processes.push(running);
        self.processes.len() - 1
    }

    /// A process dies: nothing comes back to it, and nothing leaves it any more.
    pub fn crash(&mut self, place: usize) {
        self.processes.swap_remove(place).process.dead.cancel();
    }

    /// A process ends in order.
    pub async fn stop(&mut self, place: usize) {
        let running = self.processes.swap_remove(place);
        running.drain.cancel();
        let _overdue = tokio::time::timeout(Duration::from_secs(25), running.fleet.idle()).await;
        running.process.dead.cancel();
    }

    pub fn is_settled(&self, run: &Loaded) -> bool {
        let stored = &run.stored;
        let says = |reason: &str| {
            stored.conditions.iter().any(|one| one.type_ == "Succeeded" && one.reason.as_str() == reason)
        };
        let quiet = stored.open_calls().next().is_none();
        (stored.end.is_some() && !run.retained)
            || (stored.stalled().is_some() && quiet)
            || (run.wishes.holds() && quiet && says("Suspended"))
    }

    pub async fn settle(&self, within: Duration) -> bool {
        let until = tokio::time::Instant::now() + within;
        while tokio::time::Instant::now() < until {
            tokio::time::sleep(Duration::from_millis(500)).await;
            let runs = self.store.uids().into_iter().filter_map(|uid| self.store.get(&uid));
            if runs.into_iter().all(|run| self.is_settled(&run)) {
                return true;
            }
        }
        false
    }

    pub fn wish(&self, uid: &str, kind: u64) {
        self.store.wish(uid, |wishes| match kind {
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
}

/// Tells a process of changes: late, not of each, and of all runs now and then.
fn watch(world: &World, running: &Running) -> impl Future<Output = ()> + Send + use<> {
    let (sender, mut news) = mpsc::unbounded_channel();
    world.hooks.watchers.lock().unwrap().push(sender);
    let (store, chance, watches) = (world.store.clone(), world.chance.clone(), running.watches.clone());
    let (fleet, process) = (running.fleet.clone(), running.process.clone());
    let list = move |store: &Store| {
        let all: Vec<Loaded> = store.uids().iter().filter_map(|uid| store.get(uid)).collect();
        fleet.listed(|uid| all.iter().any(|run| run.run.uid == uid));
        all.into_iter().for_each(|run| fleet.offer(run));
    };
    let fleet = running.fleet.clone();
    let work = async move {
        list(&store);
        loop {
            let every = Duration::from_secs(if chance.is_calm() { 30 } else { 4 });
            match tokio::time::timeout(every, news.recv()).await {
                Err(_) if watches.load(Ordering::Relaxed) => list(&store),
                Err(_) => {}
                Ok(None) => return,
                Ok(Some(_)) if chance.mishap(8) == 1 || !watches.load(Ordering::Relaxed) => {}
                Ok(Some((run, now))) => {
                    tokio::time::sleep(chance.millis(if chance.mishap(10) == 1 { 3000 } else { 40 })).await;
                    match now {
                        Some(now) => fleet.offer(now),
                        None => fleet.gone(&run),
                    }
                }
            }
        }
    };
    async move {
        process.while_alive(work).await;
    }
}

/// A definition of that many steps.
pub fn definition(steps: usize, timeout: i32, attempts: i32, backoff: i32) -> Arc<Definition> {
    definition_named("order-1", steps, timeout, attempts, backoff)
}

pub fn definition_named(revision: &str, steps: usize, timeout: i32, attempts: i32, backoff: i32) -> Arc<Definition> {
    let call = |path: String, attempts: i32| Call {
        http: HttpCall { url: format!("http://p.svc/{path}"), timeout_seconds: timeout, ..HttpCall::default() },
        retry_policy: Some(RetryPolicy {
            max_attempts: Some(attempts),
            initial_backoff_milliseconds: Some(backoff),
            ..RetryPolicy::default()
        }),
        responses: Vec::new(),
        polling: None,
    };
    let step = |index: usize| Step {
        name: format!("s{index}"),
        role: if index % 4 == 3 { Role::ReadOnly } else { Role::Compensatable },
        action: call(format!("do/{index}"), attempts),
        compensation: (index % 4 != 3).then(|| call(format!("undo/{index}"), attempts + 2).into()),
        outputs: vec![Output { name: "id".into(), value: "${response.body.id}".into() }],
        ..Step::default()
    };
    let spec = SagaDefinitionSpec { steps: (0..steps).map(step).collect(), ..SagaDefinitionSpec::default() };
    Arc::new(Definition::compile(&spec, revision).unwrap_or_else(|problems| panic!("{problems:?}")))
}
