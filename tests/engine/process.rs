//! A process: it can die, and it can stop for a while without knowing it.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use saga_operator::election::Claim;
use saga_operator::journal::{Draft, Journal, JournalError, Landed, Loaded, Version};
use saga_operator::saga::{Fence, Identity, Mode, Stored};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::fate::{Fate, lock, said};
use super::store::{Store, told};

/// What a process began or saw of a run, and must respect.
#[derive(Clone, Copy, Debug, Default)]
pub struct Known {
    pub turned: bool,
    pub ended: bool,
    /// The fence of a write that may still land. No write of an older version lands once one of this fence is stored.
    unclear: Option<Fence>,
}

impl Known {
    fn of(stored: &Stored) -> Self {
        let ended = stored.mode() == Mode::Ended;
        Self { turned: ended || stored.mode() == Mode::Compensating, ended, unclear: None }
    }

    fn or(self, other: Self) -> Self {
        let unclear = self.unclear.max(other.unclear);
        Self { turned: self.turned || other.turned, ended: self.ended || other.ended, unclear }
    }
}

/// A process, dead or alive.
pub struct Process {
    pub name: String,
    pub fate: Arc<Fate>,
    pub dead: CancellationToken,
    pub known: Mutex<BTreeMap<String, Known>>,
    frozen_until: Mutex<Option<Instant>>,
}

impl Process {
    pub fn new(name: String, fate: Arc<Fate>) -> Self {
        let dead = CancellationToken::new();
        Self { name, fate, dead, known: Mutex::default(), frozen_until: Mutex::default() }
    }

    /// Stands still for a while. Its clocks go on.
    pub fn freeze(&self, wait: Duration) {
        *lock(&self.frozen_until) = Some(Instant::now() + wait);
    }

    /// Nothing comes back to the dead, and what they were doing stops where it is.
    pub async fn while_alive<T>(&self, work: impl Future<Output = T>) -> T {
        tokio::select! {
            biased;
            () = self.dead.cancelled() => std::future::pending().await,
            result = work => result,
        }
    }

    /// Waits while the process stands still.
    pub async fn thaw(&self) {
        loop {
            let until = *lock(&self.frozen_until);
            match until {
                Some(until) if until > Instant::now() => tokio::time::sleep_until(until).await,
                _ => return,
            }
        }
    }

    async fn does<T>(&self, work: impl Future<Output = T>) -> T {
        let work = async {
            self.thaw().await;
            let result = work.await;
            self.thaw().await;
            result
        };
        self.while_alive(work).await
    }
}

/// The store in the hands of one process.
pub struct ProcessJournal {
    pub store: Store,
    pub process: Arc<Process>,
}

impl Journal for ProcessJournal {
    async fn load(&self, run: &Identity) -> Result<Option<Loaded>, JournalError> {
        let read = self.process.does(self.store.load(run)).await;
        self.process.fate.tell(|| {
            let what = match &read {
                Ok(Some(read)) => format!("version {}: {}", read.version, told(&read.stored)),
                Ok(None) => "gone".to_owned(),
                Err(error) => error.to_string(),
            };
            format!("{} reads {}: {what}", self.process.name, run.uid)
        });
        if let Ok(Some(read)) = &read {
            let mut known = lock(&self.process.known);
            let known = known.entry(run.uid.clone()).or_default();
            let settled = known.unclear.is_none_or(|fence| read.stored.fence >= fence);
            let seen = Known::of(&read.stored);
            *known = if settled { seen } else { known.or(seen) };
        }
        read
    }

    async fn retain(&self, run: &Identity, at: &Version, claim: &Claim) -> Result<Version, JournalError> {
        let retained = self.process.does(self.store.retain(run, at, claim)).await;
        self.process.fate.tell(|| format!("{} retains {}: {}", self.process.name, run.uid, said(&retained)));
        retained
    }

    async fn persist(&self, draft: Draft, claim: &Claim) -> Result<Landed, JournalError> {
        let (uid, begun) = (draft.run.uid.clone(), Known::of(&draft.stored));
        let know = |known| lock(&self.process.known).insert(uid.clone(), known).unwrap_or_default();
        let fence = draft.stored.fence;
        // What was handed to the sender before counts as sent before: let it leave.
        tokio::task::yield_now().await;
        self.process.fate.tell(|| {
            let (name, at) = (&self.process.name, &draft.version);
            format!("{name} writes {uid} over version {at}: {}", told(&draft.stored))
        });
        let before = know(begun);
        know(before.or(begun));
        let result = self.process.does(self.store.persist(draft, claim)).await;
        self.process.fate.tell(|| format!("{} hears of write {fence} of {uid}: {}", self.process.name, said(&result)));
        match &result {
            Ok(_) => drop(know(begun)),
            Err(JournalError::Unclear(_)) => drop(know(Known { unclear: Some(fence), ..before.or(begun) })),
            Err(_) => drop(know(before)),
        }
        result
    }

    async fn release(&self, run: &Identity, at: &Version, claim: &Claim) -> Result<(), JournalError> {
        let released = self.process.does(self.store.release(run, at, claim)).await;
        self.process.fate.tell(|| format!("{} releases {}: {}", self.process.name, run.uid, said(&released)));
        released
    }
}
