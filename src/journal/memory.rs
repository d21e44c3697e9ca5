//! A store in memory: for tests and simulation.
//!
//! # Flow
//! [`MemoryJournal::submit`] puts in a run, [`MemoryJournal::wish`] changes what is asked of it, and the engine uses it as
//! [`Journal`]. [`Faults`] decides what goes wrong with each operation, and hears of every change, as a watch would.
//!
//! # Guarantees
//! As every journal: a write is a compare-and-swap and lands whole or not at all; a load shows every write that landed
//! before it. What is stored goes through the status, so that nothing counts that a status does not hold.
//!
//! # Caveats
//! It keeps everything, each landed write of each run too, and forgets everything at the end.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::{Draft, Journal, JournalError, Landed, Loaded, Version};
use crate::api::SagaRunSpec;
use crate::election::Claim;
use crate::saga::{Identity, Intent, Stored, Wishes};

/// An operation on one run.
#[derive(Clone, Copy, Debug)]
pub enum Operation<'a> {
    /// [`Journal::load`]
    Load,
    /// [`Journal::retain`]
    Retain,
    /// [`Journal::persist`]
    Persist(&'a Draft),
    /// [`Journal::release`]
    Release,
}

/// What goes wrong with one operation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fault {
    /// Nothing.
    #[default]
    None,
    /// It is not done.
    Unavailable,
    /// Somebody changes the metadata of the run a moment before.
    Overtaken,
    /// It is done, and nobody answers.
    Unclear,
    /// It is not done, and nobody answers.
    UnclearLost,
    /// Nobody answers, and it is done so much later, if it still can be.
    UnclearLate(Duration),
    /// Writes only: the size is refused.
    TooLarge,
}

/// What goes wrong, and who watches.
pub trait Faults: Send + Sync + 'static {
    /// Called for every operation: how long it takes before and after it is done, and what goes wrong.
    fn fault(&self, run: &Identity, operation: Operation<'_>) -> (Duration, Fault, Duration);

    /// A run changed; `None`: it is gone.
    fn changed(&self, run: &Identity, now: Option<&Loaded>);
}

/// Nothing goes wrong, and nobody watches.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoFaults;

impl Faults for NoFaults {
    fn fault(&self, _run: &Identity, _operation: Operation<'_>) -> (Duration, Fault, Duration) {
        (Duration::ZERO, Fault::None, Duration::ZERO)
    }

    fn changed(&self, _run: &Identity, _now: Option<&Loaded>) {}
}

/// A write that landed.
#[derive(Clone, Debug)]
pub struct Write {
    /// What it stored.
    pub stored: Stored,
    /// The intents that it stored.
    pub intents: Vec<Intent>,
}

/// A store in memory. Clones share it.
#[derive(Debug)]
pub struct MemoryJournal<F> {
    runs: Arc<Mutex<BTreeMap<String, Row>>>,
    faults: Arc<F>,
}

impl<F> Clone for MemoryJournal<F> {
    fn clone(&self) -> Self {
        Self { runs: self.runs.clone(), faults: self.faults.clone() }
    }
}

#[derive(Debug)]
struct Row {
    loaded: Loaded,
    version: u64,
    history: Vec<Write>,
    gone: bool,
}

impl Row {
    fn touch(&mut self) -> Version {
        self.version += 1;
        self.loaded.version = Version(self.version.to_string());
        self.loaded.version.clone()
    }
}

impl<F: Faults> MemoryJournal<F> {
    /// An empty store.
    pub fn new(faults: Arc<F>) -> Self {
        Self { runs: Arc::default(), faults }
    }

    /// Puts in a run.
    pub fn submit(&self, run: Identity, spec: SagaRunSpec) -> Loaded {
        let loaded = Loaded {
            run: Arc::new(run),
            wishes: Wishes::new(&spec, 1, false),
            spec: Arc::new(spec),
            stored: Stored::default(),
            version: Version("1".to_owned()),
            retained: false,
        };
        let row = Row { loaded: loaded.clone(), version: 1, history: Vec::new(), gone: false };
        self.rows().insert(loaded.run.uid.clone(), row);
        self.faults.changed(&loaded.run, Some(&loaded));
        loaded
    }

    /// Changes what is asked of a run. One that is deleted goes at once unless it is retained.
    pub fn wish(&self, uid: &str, change: impl FnOnce(&mut Wishes)) {
        let _gone = self.change(uid, None, |row| {
            change(&mut row.loaded.wishes);
            row.loaded.wishes.generation += 1;
            row.touch();
            row.gone |= row.loaded.wishes.deletion.is_some() && !row.loaded.retained;
        });
    }

    /// Changes metadata that nobody here reads.
    pub fn touch(&self, uid: &str) {
        let _gone = self.change(uid, None, |row| {
            row.touch();
        });
    }

    /// Removes a run, retained or not.
    pub fn remove(&self, uid: &str) {
        let _gone = self.change(uid, None, |row| row.gone = true);
    }

    /// A run as it is now; `None`: it is gone.
    pub fn get(&self, uid: &str) -> Option<Loaded> {
        self.rows().get(uid).filter(|row| !row.gone).map(|row| row.loaded.clone())
    }

    /// What was stored of a run, gone or not, write by write.
    pub fn history(&self, uid: &str) -> Vec<Write> {
        self.rows().get(uid).map(|row| row.history.clone()).unwrap_or_default()
    }

    /// A look at what was stored of a run, write by write, without a copy.
    pub fn with_history<T>(&self, uid: &str, look: impl FnOnce(&[Write]) -> T) -> T {
        look(self.rows().get(uid).map_or(&[], |row| &row.history))
    }

    /// A look at a run as it is now, without a copy; `None`: it is gone.
    pub fn with<T>(&self, uid: &str, look: impl FnOnce(Option<&Loaded>) -> T) -> T {
        look(self.rows().get(uid).filter(|row| !row.gone).map(|row| &row.loaded))
    }

    /// UIDs of all runs, those that are gone too.
    pub fn uids(&self) -> Vec<String> {
        self.rows().keys().cloned().collect()
    }

    fn rows(&self) -> MutexGuard<'_, BTreeMap<String, Row>> {
        self.runs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes a run, if it is still at that version.
    fn change<T>(
        &self,
        uid: &str,
        at: Option<&Version>,
        change: impl FnOnce(&mut Row) -> T,
    ) -> Result<T, JournalError> {
        let mut rows = self.rows();
        let row = rows.get_mut(uid).filter(|row| !row.gone).ok_or(JournalError::Gone)?;
        if at.is_some_and(|at| row.loaded.version != *at) {
            return Err(JournalError::Conflict);
        }
        let result = change(row);
        let (loaded, gone) = (row.loaded.clone(), row.gone);
        drop(rows);
        self.faults.changed(&loaded.run, (!gone).then_some(&loaded));
        Ok(result)
    }

    /// Does something to the store as well or badly as the faults have it.
    async fn attempt<T: Send + 'static>(
        &self,
        run: &Identity,
        operation: Operation<'_>,
        what: impl FnOnce(&Self) -> Result<T, JournalError> + Send + 'static,
    ) -> Result<T, JournalError> {
        let (before, fault, after) = self.faults.fault(run, operation);
        pause(before).await;
        let nobody = || JournalError::Unclear("nobody answered".to_owned());
        let result = match fault {
            Fault::None => what(self),
            Fault::Unavailable => Err(JournalError::Unavailable("it was told to be".to_owned())),
            Fault::Overtaken => {
                self.touch(&run.uid);
                what(self)
            }
            Fault::Unclear => what(self).and_then(|_done| Err(nobody())),
            Fault::UnclearLost => Err(nobody()),
            Fault::UnclearLate(late) => {
                let journal = self.clone();
                tokio::spawn(async move {
                    pause(late).await;
                    what(&journal)
                });
                Err(nobody())
            }
            Fault::TooLarge => Err(JournalError::TooLarge("it was told to be".to_owned())),
        };
        pause(after).await;
        result
    }
}

async fn pause(wait: Duration) {
    if !wait.is_zero() {
        tokio::time::sleep(wait).await;
    }
}

impl<F: Faults> Journal for MemoryJournal<F> {
    async fn load(&self, run: &Identity) -> Result<Option<Loaded>, JournalError> {
        let uid = run.uid.clone();
        self.attempt(run, Operation::Load, move |journal| Ok(journal.get(&uid))).await
    }

    async fn retain(&self, run: &Identity, at: &Version, _claim: &Claim) -> Result<Version, JournalError> {
        let (uid, at) = (run.uid.clone(), at.clone());
        let retain = move |journal: &Self| {
            journal.change(&uid, Some(&at), |row| {
                row.loaded.retained = true;
                row.touch()
            })
        };
        self.attempt(run, Operation::Retain, retain).await
    }

    async fn persist(&self, draft: Draft, _claim: &Claim) -> Result<Landed, JournalError> {
        let stored = Stored::from_status(Some(&draft.stored.to_status()))?;
        let (run, kept) = (draft.run.clone(), draft.clone());
        let persist = move |journal: &Self| {
            journal.change(&kept.run.uid, Some(&kept.version), |row| {
                row.history.push(Write { stored: stored.clone(), intents: kept.intents });
                row.loaded.stored = stored;
                row.touch()
            })
        };
        let version = self.attempt(&run, Operation::Persist(&draft), persist).await?;
        Ok(draft.landed(version))
    }

    async fn release(&self, run: &Identity, at: &Version, _claim: &Claim) -> Result<(), JournalError> {
        let (uid, at) = (run.uid.clone(), at.clone());
        let release = move |journal: &Self| {
            let released = journal.change(&uid, Some(&at), |row| {
                row.loaded.retained = false;
                row.gone = row.loaded.wishes.deletion.is_some();
                row.touch();
            });
            match released {
                Err(JournalError::Gone) => Ok(()),
                other => other,
            }
        };
        self.attempt(run, Operation::Release, release).await
    }
}
