//! The store as one process sees it, and what goes wrong with it.

use std::collections::{BTreeMap, HashMap};
use std::future::Future;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use saga_operator::journal::memory::{Fault, Faults, MemoryJournal, Operation};
use saga_operator::journal::{Draft, Journal, JournalError, Landed, Loaded, Version};
use saga_operator::saga::{Identity, Mode, Stored, invariant};
use tokio::sync::mpsc::UnboundedSender;
use tokio_util::sync::CancellationToken;

use super::chance::Chance;

pub type Store = MemoryJournal<Hooks>;
pub type News = (Identity, Option<Loaded>);

/// What goes wrong, who watches, and what must never happen.
pub struct Hooks {
    pub chance: Arc<Chance>,
    /// Faults that come first, in this order, whatever chance says: (operation, fault, how long it takes).
    pub script: Mutex<Vec<(&'static str, Fault, Duration)>>,
    pub watchers: Mutex<Vec<UnboundedSender<News>>>,
    pub broken: Mutex<Vec<String>>,
    pub operations: Mutex<BTreeMap<&'static str, u32>>,
    last: Mutex<HashMap<String, Stored>>,
}

impl Hooks {
    pub fn new(chance: Arc<Chance>) -> Self {
        Self {
            chance,
            script: Mutex::default(),
            watchers: Mutex::default(),
            broken: Mutex::default(),
            operations: Mutex::default(),
            last: Mutex::default(),
        }
    }

    pub fn count(&self, operation: &str) -> u32 {
        self.operations.lock().unwrap().get(operation).copied().unwrap_or_default()
    }
}

fn name(operation: Operation<'_>) -> &'static str {
    match operation {
        Operation::Load => "load",
        Operation::Retain => "retain",
        Operation::Persist(_) => "persist",
        Operation::Release => "release",
    }
}

impl Faults for Hooks {
    fn fault(&self, _run: &Identity, operation: Operation<'_>) -> (Duration, Fault, Duration) {
        let name = name(operation);
        *self.operations.lock().unwrap().entry(name).or_default() += 1;
        let mut script = self.script.lock().unwrap();
        if let Some(place) = script.iter().position(|(which, ..)| *which == name) {
            let (_, fault, takes) = script.remove(place);
            return (takes, fault, Duration::ZERO);
        }
        let fault = match self.chance.mishap(30) {
            1 => Fault::Unavailable,
            2 => Fault::Overtaken,
            3 => Fault::Unclear,
            4 => Fault::UnclearLost,
            5 => Fault::UnclearLate(self.chance.millis(3000)),
            6 if name == "persist" && self.chance.below(6) == 0 => Fault::TooLarge,
            _ => Fault::None,
        };
        let slow = if self.chance.mishap(20) == 1 { 9000 } else { 30 };
        (self.chance.millis(slow), fault, self.chance.millis(slow))
    }

    fn changed(&self, run: &Identity, now: Option<&Loaded>) {
        if let Some(now) = now {
            let before = self.last.lock().unwrap().insert(run.uid.clone(), now.stored.clone());
            if let Err(broken) = invariant::check(&before.unwrap_or_default(), &now.stored) {
                self.broken.lock().unwrap().push(format!("{}: {broken}", run.uid));
            }
        }
        self.watchers.lock().unwrap().retain(|watcher| watcher.send((run.clone(), now.cloned())).is_ok());
    }
}

/// What a process began or saw of a run, and must respect.
#[derive(Clone, Copy, Debug, Default)]
pub struct Known {
    pub turned: bool,
    pub ended: bool,
}

impl Known {
    fn of(stored: &Stored) -> Self {
        let ended = stored.mode() == Mode::Ended;
        Self { turned: ended || stored.mode() == Mode::Compensating, ended }
    }

    fn or(self, other: Self) -> Self {
        Self { turned: self.turned || other.turned, ended: self.ended || other.ended }
    }
}

/// A process, dead or alive.
pub struct Process {
    pub name: String,
    pub dead: CancellationToken,
    pub known: Mutex<HashMap<String, Known>>,
}

impl Process {
    pub fn new(name: String) -> Self {
        Self { name, dead: CancellationToken::new(), known: Mutex::default() }
    }

    /// Nothing comes back to the dead, and what they were doing stops where it is.
    pub async fn while_alive<T>(&self, work: impl Future<Output = T>) -> T {
        tokio::select! {
            biased;
            () = self.dead.cancelled() => std::future::pending().await,
            result = work => result,
        }
    }
}

/// The store in the hands of one process.
pub struct ProcessJournal {
    pub store: Store,
    pub process: Arc<Process>,
}

impl Journal for ProcessJournal {
    async fn load(&self, run: &Identity) -> Result<Option<Loaded>, JournalError> {
        let read = self.process.while_alive(self.store.load(run)).await?;
        if let Some(read) = &read {
            let mut known = self.process.known.lock().unwrap();
            let known = known.entry(run.uid.clone()).or_default();
            *known = known.or(Known::of(&read.stored));
        }
        Ok(read)
    }

    async fn retain(&self, run: &Identity, at: &Version) -> Result<Version, JournalError> {
        self.process.while_alive(self.store.retain(run, at)).await
    }

    async fn persist(&self, draft: Draft) -> Result<Landed, JournalError> {
        let (uid, begun) = (draft.run.uid.clone(), Known::of(&draft.stored));
        let know = |known| self.process.known.lock().unwrap().insert(uid.clone(), known).unwrap_or_default();
        // What was handed to the sender before counts as sent before: let it leave.
        tokio::task::yield_now().await;
        let before = know(begun);
        know(before.or(begun));
        let result = self.process.while_alive(self.store.persist(draft)).await;
        match &result {
            Ok(_) => drop(know(begun)),
            Err(JournalError::Unclear(_)) => {}
            Err(_) => drop(know(before)),
        }
        result
    }

    async fn release(&self, run: &Identity, at: &Version) -> Result<(), JournalError> {
        self.process.while_alive(self.store.release(run, at)).await
    }
}
