//! The store of `saga-operator local` and `demo`: one file, no cluster.
//!
//! # Flow
//! [`LocalJournal::open`] locks the file; [`LocalJournal::apply_definition`] and [`LocalJournal::submit`] put in what
//! users wrote; the engine uses it as [`Journal`] and [`Definitions`](crate::engine::Definitions).
//! Decisions of runs that go on side by side share one transaction, and so one sync of the disk.
//!
//! # Guarantees
//! A write that was acknowledged outlives a crash of the process and of the machine. The lock is exclusive and outlives no
//! process, so whoever has the file may take over every run in it at once. When the disk is full nothing that was stored
//! is lost, and the journal goes on by itself once there is room.
//!
//! # Assumptions
//! The disk keeps what it confirmed; locks of files work (a network file system may lack them).
//!
//! # Caveats
//! Reads go to the file in the calling thread: from memory as a rule, for some milliseconds after a failure, when the
//! database is repaired. Finished runs stay in the file: it grows until another one is named.

mod change;
mod definitions;
mod disk;
mod error;
mod file;
mod run;
mod store;
mod table;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use uuid::Uuid;

pub use error::LocalError;
pub use run::Wish;

use self::change::{Change, Refusal};
use self::store::Store;
use self::writer::{NotWritten, Writer};
use super::{Draft, Journal, JournalError, Landed, Loaded, Version};
use crate::election::Claim;
use crate::saga::Identity;

/// The namespace of all runs of a state file.
pub const NAMESPACE: &str = "local";

/// Largest status, as JSON: far above what the engine writes.
const MAX_STATUS_BYTES: usize = 1024 * 1024;

/// A state file in use. Clones share it; the last one closes it.
#[derive(Clone, Debug)]
pub struct LocalJournal {
    inner: Arc<Inner>,
}

/// Fields are dropped in this order: the writer ends, the file is closed, the directory goes.
#[derive(Debug)]
struct Inner {
    writer: Writer,
    store: Arc<Store>,
    compiled: definitions::Compiled,
    _directory: Option<Temporary>,
}

impl LocalJournal {
    /// Opens a state file for this process alone, and makes it if there is none.
    ///
    /// # Errors
    /// Locked by another process, not writable, no directory, not a state file, a newer format, damaged, no room.
    pub fn open(path: &Path) -> Result<Self, LocalError> {
        Self::open_in(path, None)
    }

    /// A state file in a directory of its own, which is deleted at the end.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn temporary() -> Result<Self, LocalError> {
        let directory = std::env::temp_dir().join(format!("saga-operator-{}", Uuid::new_v4()));
        std::fs::create_dir(&directory).map_err(|error| error::io_error(&directory, &error))?;
        let file = directory.join("state.redb");
        Self::open_in(&file, Some(Temporary(directory)))
    }

    fn open_in(path: &Path, directory: Option<Temporary>) -> Result<Self, LocalError> {
        let store = Arc::new(Store::open(path)?);
        let writer = Writer::start(store.clone()).map_err(|error| error::io_error(path, &error))?;
        let compiled = definitions::Compiled::default();
        Ok(Self { inner: Arc::new(Inner { writer, store, compiled, _directory: directory }) })
    }

    /// Of the file.
    pub fn path(&self) -> &Path {
        self.inner.store.path()
    }

    fn store(&self) -> &Store {
        &self.inner.store
    }

    async fn write(&self, change: Change) -> Result<u64, NotWritten> {
        self.inner.writer.write(change).await
    }
}

impl Journal for LocalJournal {
    async fn load(&self, run: &Identity) -> Result<Option<Loaded>, JournalError> {
        run::load(self.store(), &run.uid).map_err(LocalError::nothing_written)
    }

    /// A run of a state file never vanishes.
    async fn retain(&self, _run: &Identity, at: &Version, _claim: &Claim) -> Result<Version, JournalError> {
        Ok(at.clone())
    }

    async fn persist(&self, draft: Draft, _claim: &Claim) -> Result<Landed, JournalError> {
        let status = serde_json::to_vec(&draft.stored.to_status())
            .map_err(|error| JournalError::Fatal(format!("the status is not JSON: {error}")))?;
        if status.len() > MAX_STATUS_BYTES {
            return Err(JournalError::TooLarge(format!("{} bytes, at most {MAX_STATUS_BYTES}", status.len())));
        }
        let Some(version) = number(&draft.version) else { return Err(JournalError::Conflict) };
        let change = Change::Persist { run: draft.run.uid.clone(), version, status };
        let version = self.write(change).await.map_err(journal_error)?;
        Ok(draft.landed(Version(version.to_string())))
    }

    async fn release(&self, run: &Identity, at: &Version, _claim: &Claim) -> Result<(), JournalError> {
        let Some(version) = number(at) else { return Err(JournalError::Conflict) };
        match self.write(Change::Release { run: run.uid.clone(), version }).await {
            Ok(_) | Err(NotWritten::Refused(Refusal::Gone)) => Ok(()),
            Err(error) => Err(journal_error(error)),
        }
    }
}

fn number(version: &Version) -> Option<u64> {
    version.0.parse().ok()
}

fn journal_error(error: NotWritten) -> JournalError {
    match error {
        NotWritten::Refused(Refusal::Gone) => JournalError::Gone,
        NotWritten::Refused(Refusal::Conflict | Refusal::Taken) => JournalError::Conflict,
        NotWritten::Nothing(error) if error.needs_a_person() => JournalError::Fatal(error.to_string()),
        NotWritten::Nothing(error) => JournalError::Unavailable(error.to_string()),
        NotWritten::Unclear(error) => JournalError::Unclear(error.to_string()),
    }
}

/// A directory that goes when nobody needs it.
#[derive(Debug)]
struct Temporary(PathBuf);

impl Drop for Temporary {
    fn drop(&mut self) {
        let _stays = std::fs::remove_dir_all(&self.0); // in the system's directory for such
    }
}

#[cfg(test)]
mod power;
#[cfg(test)]
mod tests;
