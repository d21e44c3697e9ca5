//! The open database, and what becomes of it when something below fails.
//!
//! # Flow
//! After a failure the database is closed; the next call opens it again, which repairs it and shows what really landed.
//!
//! # Guarantees
//! A failure that came before the commit was begun wrote nothing. Any later one is *unclear*: the commit may have landed
//! although it said otherwise.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use redb::{Database, ReadTransaction, ReadableDatabase};

use super::change::{Change, Verdict, apply};
use super::disk::Faults;
use super::error::{LocalError, store_error};
use super::file::{Missing, open};
use super::table::{Tables, begin};

/// A state file.
#[derive(Debug)]
pub(super) struct Store {
    path: PathBuf,
    database: RwLock<Option<Database>>,
    abandoned: AtomicBool,
    pub(super) faults: Arc<Faults>,
}

/// Why a batch was not written.
#[derive(Debug)]
pub(super) enum Failure {
    /// Surely nothing of it landed.
    Nothing(LocalError),
    /// It may have landed.
    Unclear(LocalError),
}

impl Store {
    pub(super) fn open(path: &Path) -> Result<Self, LocalError> {
        let faults = Arc::default();
        let database = open(path, Missing::Create, &faults)?;
        Ok(Self {
            path: path.to_owned(),
            database: RwLock::new(Some(database)),
            abandoned: AtomicBool::new(false),
            faults,
        })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Reads from a snapshot that holds every write that was acknowledged before.
    pub(super) fn read<T>(
        &self,
        read: impl FnOnce(&ReadTransaction) -> Result<T, redb::Error>,
    ) -> Result<T, LocalError> {
        let guard = self.database()?;
        let Some(database) = guard.as_ref() else { return Err(self.closed()) };
        let result = database.begin_read().map_err(redb::Error::from).and_then(|transaction| read(&transaction));
        drop(guard);
        result.map_err(|error| self.failed(error))
    }

    /// Applies changes in one transaction that is durable when this returns; each is judged by itself.
    pub(super) fn write(&self, changes: &[Change]) -> Result<Vec<Verdict>, Failure> {
        let guard = self.database().map_err(Failure::Nothing)?;
        let Some(database) = guard.as_ref() else { return Err(Failure::Nothing(self.closed())) };
        let prepared = begin(database).and_then(|write| {
            let mut tables = Tables::open(&write)?;
            let verdicts = changes.iter().map(|change| apply(&mut tables, change)).collect::<Result<Vec<_>, _>>()?;
            drop(tables);
            Ok((write, verdicts))
        });
        let (write, verdicts) = match prepared {
            Ok(prepared) => prepared,
            Err(error) => {
                drop(guard);
                return Err(Failure::Nothing(self.failed(error)));
            }
        };
        let done = if verdicts.iter().any(Result::is_ok) { write.commit().map_err(redb::Error::from) } else { Ok(()) };
        drop(guard);
        done.map(|()| verdicts).map_err(|error| Failure::Unclear(self.failed(error)))
    }

    /// After a panic in the middle of a write: nothing is done any more.
    pub(super) fn abandon(&self) {
        self.abandoned.store(true, Ordering::Release);
        let database = self.database.write().unwrap_or_else(PoisonError::into_inner).take();
        // It may panic once more: its own locks are poisoned. The next process repairs the file.
        let _panicked = catch_unwind(AssertUnwindSafe(|| drop(database)));
    }

    /// The database, opened again if it was closed.
    fn database(&self) -> Result<RwLockReadGuard<'_, Option<Database>>, LocalError> {
        if self.abandoned.load(Ordering::Acquire) {
            return Err(LocalError::Stopped(self.path.clone()));
        }
        let guard = self.database.read().unwrap_or_else(PoisonError::into_inner);
        if guard.is_some() {
            return Ok(guard);
        }
        drop(guard);
        let mut guard = self.database.write().unwrap_or_else(PoisonError::into_inner);
        if guard.is_none() {
            *guard = Some(open(&self.path, Missing::Refuse, &self.faults)?);
        }
        drop(guard);
        Ok(self.database.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Closes the database, and says why.
    fn failed(&self, error: redb::Error) -> LocalError {
        *self.database.write().unwrap_or_else(PoisonError::into_inner) = None;
        let error = store_error(&self.path, error);
        if self.faults.distrust() {
            return LocalError::NotDurable { path: self.path.clone(), detail: error.to_string() };
        }
        error
    }

    /// Another thread's call failed just now.
    fn closed(&self) -> LocalError {
        LocalError::Failing { path: self.path.clone(), detail: "it is being opened again after a failure".to_owned() }
    }
}
