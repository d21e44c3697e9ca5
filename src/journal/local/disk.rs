//! The state file as the database sees it: a plain file that remembers whether the system ever failed to make it durable.
//!
//! # Guarantees
//! After a failed sync the memory of the system may show what the disk does not hold, and a second sync would succeed
//! without having written anything. [`Disk::distrust`] stays set then, and the file is not used any more.

use std::fs::File;
use std::io;
use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
#[cfg(test)]
use std::sync::{Mutex, PoisonError};

use redb::backends::FileBackend;
use redb::{BackendError, DatabaseError, StorageBackend};

/// See the module.
#[derive(Debug)]
pub(super) struct Disk {
    file: FileBackend,
    faults: Arc<Faults>,
}

/// What went wrong below, kept over reopening.
#[derive(Debug, Default)]
pub(super) struct Faults {
    unsynced: AtomicBool,
    #[cfg(test)]
    pub(super) planned: Planned,
}

impl Faults {
    /// A sync has failed.
    pub(super) fn distrust(&self) -> bool {
        self.unsynced.load(Ordering::Acquire)
    }
}

impl Disk {
    /// The file must not be used otherwise while the database is open.
    pub(super) fn new(file: File, faults: Arc<Faults>) -> Result<Self, DatabaseError> {
        Ok(Self { file: FileBackend::new(file)?, faults })
    }
}

impl StorageBackend for Disk {
    fn len(&self) -> Result<u64, io::Error> {
        self.file.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), io::Error> {
        self.file.read(offset, out)
    }

    fn set_len(&self, len: u64) -> Result<(), io::Error> {
        self.file.set_len(len)
    }

    fn sync_data(&self) -> Result<(), io::Error> {
        #[cfg(test)]
        self.faults.planned.sync().inspect_err(|_| self.faults.unsynced.store(true, Ordering::Release))?;
        self.file.sync_data().inspect_err(|_| self.faults.unsynced.store(true, Ordering::Release))
    }

    fn write(&self, offset: u64, data: &[u8]) -> Result<(), io::Error> {
        #[cfg(test)]
        self.faults.planned.write(offset, data)?;
        self.file.write(offset, data)
    }

    fn close(&self) -> Result<(), io::Error> {
        self.file.close()
    }

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.file.try_lock_range(start, end)
    }

    fn try_lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.file.try_lock_shared_range(start, end)
    }

    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.file.unlock_range(start, end)
    }

    fn lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.file.lock_range(start, end)
    }

    fn lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.file.lock_shared_range(start, end)
    }

    fn query_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.file.query_lock_range(start, end)
    }
}

/// Faults on demand.
#[cfg(test)]
#[derive(Debug, Default)]
pub(super) struct Planned {
    /// Every write says that the disk is full.
    pub(super) full: AtomicBool,
    /// The next sync fails.
    pub(super) unsynced: AtomicBool,
    /// The next write panics.
    pub(super) panics: AtomicBool,
    /// The power fails.
    pub(super) power: Mutex<Option<super::power::Power>>,
}

#[cfg(test)]
impl Planned {
    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        if let Some(power) = self.power.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
            power.write(offset, data);
        }
        assert!(!self.panics.load(Ordering::Acquire), "a planned panic");
        if self.full.load(Ordering::Acquire) { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }

    fn sync(&self) -> io::Result<()> {
        if let Some(power) = self.power.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
            power.sync();
        }
        let failing = self.unsynced.swap(false, Ordering::AcqRel);
        if failing { Err(io::Error::other("a planned failure")) } else { Ok(()) }
    }
}
