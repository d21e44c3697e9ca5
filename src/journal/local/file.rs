//! Opening a state file.
//!
//! # Guarantees
//! The file is locked for this process alone, readable by its user alone (it may hold answers of participants), and its
//! name is durable. A file that is not ours is not touched.

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;

use redb::{Builder, Database, DatabaseError, ReadableDatabase, StorageError, TableHandle};

use super::disk::{Disk, Faults};
use super::error::{LocalError, io_error, store_error};
use super::table::{FORMAT, FORMAT_KEY, META, create_all};

/// Pages kept in memory. What is needed often is small; the system caches the file once more.
const CACHE_BYTES: usize = 64 * 1024 * 1024;

/// Whether a file may be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Missing {
    /// It is made.
    Create,
    /// It is an error: the file was there before.
    Refuse,
}

/// Opens and locks a state file, and repairs what a crash left.
///
/// # Errors
/// All of [`LocalError`] that name a file.
pub(super) fn open(path: &Path, missing: Missing, faults: &Arc<Faults>) -> Result<Database, LocalError> {
    if faults.distrust() {
        return Err(LocalError::NotDurable { path: path.to_owned(), detail: "an earlier write failed".to_owned() });
    }
    let fresh = !path.exists();
    let file = open_file(path, missing)?;
    let disk = Disk::new(file, faults.clone()).map_err(|error| store_error(path, error))?;
    let database =
        Builder::new().set_cache_size(CACHE_BYTES).create_with_backend(disk).map_err(|error| explain(path, error))?;
    settle(path, &database)?;
    if fresh {
        sync_directory(path).map_err(|error| io_error(path, &error))?;
    }
    Ok(database)
}

fn open_file(path: &Path, missing: Missing) -> Result<File, LocalError> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(missing == Missing::Create).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path).map_err(|error| {
        let path = path.to_owned();
        match (error.kind(), missing) {
            (io::ErrorKind::NotFound, Missing::Create) => LocalError::NoDirectory(path),
            (io::ErrorKind::NotFound, Missing::Refuse) => LocalError::Vanished(path),
            (io::ErrorKind::NotADirectory, _) => LocalError::NoDirectory(path),
            (io::ErrorKind::IsADirectory, _) => LocalError::Foreign { path, detail: "it is a directory".to_owned() },
            _ => io_error(&path, &error),
        }
    })
}

/// redb says of everything without its first bytes that it is invalid data.
fn explain(path: &Path, error: DatabaseError) -> LocalError {
    if let DatabaseError::Storage(StorageError::Io(error)) = &error
        && error.kind() == io::ErrorKind::InvalidData
    {
        return LocalError::Foreign { path: path.to_owned(), detail: content(path).to_owned() };
    }
    store_error(path, error)
}

fn content(path: &Path) -> &'static str {
    let mut start = [0; 16];
    let read = File::open(path).and_then(|mut file| file.read(&mut start));
    match read {
        Ok(1..) if start == [0; 16] => "it is blank, as when a crash cut its creation short: then it can be deleted",
        _ => "it has another content",
    }
}

/// Makes the tables of a new file, and looks whether an old one is ours.
fn settle(path: &Path, database: &Database) -> Result<(), LocalError> {
    let wrong = |error: redb::Error| store_error(path, error);
    let read = database.begin_read().map_err(|error| wrong(error.into()))?;
    let names: Vec<String> =
        read.list_tables().map_err(|error| wrong(error.into()))?.map(|table| table.name().to_owned()).collect();
    if names.is_empty() {
        drop(read);
        return create_all(database).map_err(wrong);
    }
    if !names.iter().any(|name| name == META.name()) {
        return Err(LocalError::Foreign {
            path: path.to_owned(),
            detail: "it is a database of another program".into(),
        });
    }
    let table = read.open_table(META).map_err(|error| wrong(error.into()))?;
    let found = table.get(FORMAT_KEY).map_err(|error| wrong(error.into()))?.map_or(0, |value| value.value());
    match found {
        FORMAT => Ok(()),
        0 => Err(LocalError::Damaged { path: path.to_owned(), detail: "it has no format number".to_owned() }),
        found => Err(LocalError::Newer { path: path.to_owned(), found }),
    }
}

/// Without it a new file may be gone after a power failure, however durable its content is.
fn sync_directory(path: &Path) -> io::Result<()> {
    if cfg!(not(unix)) {
        return Ok(()); // directories cannot be opened there
    }
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
    File::open(parent)?.sync_all()
}
