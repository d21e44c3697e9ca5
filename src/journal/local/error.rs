//! What can go wrong with a state file, said so that the reader knows what to do.

use std::io;
use std::path::{Path, PathBuf};

use crate::journal::JournalError;
use crate::saga::{Problem, RecordError};

/// Why a state file, or something in it, cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LocalError {
    /// Another process has it open.
    #[error("failed to open the state file '{}': another process holds it; let that one end, or name another file", .0.display())]
    Locked(PathBuf),
    /// Its directory is missing.
    #[error("failed to open the state file '{}': its directory does not exist; create it, or name another file", .0.display())]
    NoDirectory(PathBuf),
    /// It was there, and is not any more.
    #[error("failed to open the state file '{}': it was moved or deleted while it was in use; put it back and start again", .0.display())]
    Vanished(PathBuf),
    /// Not allowed to write it.
    #[error("failed to open the state file '{}' for writing: {detail}; make it writable for this user, or name another file", path.display())]
    Denied {
        /// The file.
        path: PathBuf,
        /// What the system says.
        detail: String,
    },
    /// Something else than a state file.
    #[error("failed to open '{}': it is not a state file of saga-operator ({detail}); nothing was changed, name another file", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
        /// How that shows.
        detail: String,
    },
    /// Written by a later version.
    #[error("failed to open the state file '{}': its format {found} is newer than this version of saga-operator knows; use a newer one", path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: u64,
    },
    /// Damaged.
    #[error("failed to read the state file '{}': it is damaged ({detail}); keep a copy, and put back a backup or name another file", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What was found.
        detail: String,
    },
    /// No room.
    #[error("failed to write the state file '{}': no room is left ({detail}); free some space, what was stored before is intact", path.display())]
    Full {
        /// The file.
        path: PathBuf,
        /// What the system says.
        detail: String,
    },
    /// The disk did not confirm a write: what is in memory and what is on the disk may differ from now on.
    #[error("failed to make the state file '{}' durable: {detail}; check the disk, then start again", path.display())]
    NotDurable {
        /// The file.
        path: PathBuf,
        /// What the system says.
        detail: String,
    },
    /// Any other failure of the system below.
    #[error("failed to use the state file '{}': {detail}", path.display())]
    Failing {
        /// The file.
        path: PathBuf,
        /// What the system says.
        detail: String,
    },
    /// The thread that writes has ended.
    #[error("failed to write the state file '{}': its writer has stopped because of a defect; start again", .0.display())]
    Stopped(PathBuf),
    /// There is a run of that name that asks for something else.
    #[error(
        "failed to start the run '{name}': the state file '{}' holds a run of that name with another `spec.{field}`; \
         give the new run another name, or name another state file", path.display()
    )]
    NameTaken {
        /// Of the run.
        name: String,
        /// The first field that differs.
        field: &'static str,
        /// The file.
        path: PathBuf,
    },
    /// There is no run of that name.
    #[error("failed to find a run '{name}' in the state file '{}'", path.display())]
    NoSuchRun {
        /// Of the run.
        name: String,
        /// The file.
        path: PathBuf,
    },
    /// A change that a run does not allow.
    #[error("failed to change the run '{name}': {rule}")]
    NotAllowed {
        /// Of the run.
        name: String,
        /// What is not allowed.
        rule: &'static str,
    },
    /// A definition with mistakes.
    #[error("failed to accept the definition '{name}': {}", list(.problems))]
    Invalid {
        /// Of the definition.
        name: String,
        /// At least one.
        problems: Vec<Problem>,
    },
    /// Two contents of a definition with one revision name: as likely as a name of 40 random bits drawn twice.
    #[error("failed to store the definition: its revision '{0}' exists with another content; change the description")]
    RevisionTaken(String),
    /// A run that this version cannot read.
    #[error("failed to read the run '{name}' of the state file '{}'", path.display())]
    Unreadable {
        /// Of the run, or its UID.
        name: String,
        /// The file.
        path: PathBuf,
        /// Why.
        source: RecordError,
    },
}

fn list(problems: &[Problem]) -> String {
    problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

/// What an error of the system means for a file that is in use.
pub(super) fn io_error(path: &Path, error: &io::Error) -> LocalError {
    let (path, detail) = (path.to_owned(), error.to_string());
    if is_full(error) {
        LocalError::Full { path, detail }
    } else if matches!(error.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem) {
        LocalError::Denied { path, detail }
    } else {
        LocalError::Failing { path, detail }
    }
}

fn is_full(error: &io::Error) -> bool {
    use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
    matches!(error.kind(), StorageFull | QuotaExceeded | FileTooLarge)
}

/// What an error of the database means.
pub(super) fn store_error(path: &Path, error: impl Into<redb::Error>) -> LocalError {
    let error = error.into();
    let owned = || path.to_owned();
    #[expect(clippy::wildcard_enum_match_arm, reason = "redb's errors may grow; the rest say enough themselves")]
    match error {
        redb::Error::Io(error) => io_error(path, &error),
        redb::Error::DatabaseAlreadyOpen | redb::Error::LockProtocolMismatch => LocalError::Locked(owned()),
        redb::Error::Corrupted(detail) => LocalError::Damaged { path: owned(), detail },
        redb::Error::RepairAborted => LocalError::Damaged { path: owned(), detail: "it cannot be repaired".to_owned() },
        redb::Error::UpgradeRequired(found) => {
            LocalError::Foreign { path: owned(), detail: format!("database format {found}") }
        }
        other => LocalError::Failing { path: owned(), detail: other.to_string() },
    }
}

impl LocalError {
    /// Trying again cannot help before a person did something.
    pub const fn needs_a_person(&self) -> bool {
        match self {
            Self::Full { .. } | Self::Failing { .. } => false,
            Self::Locked(_)
            | Self::NoDirectory(_)
            | Self::Vanished(_)
            | Self::Denied { .. }
            | Self::Foreign { .. }
            | Self::Newer { .. }
            | Self::Damaged { .. }
            | Self::NotDurable { .. }
            | Self::Stopped(_)
            | Self::NameTaken { .. }
            | Self::NoSuchRun { .. }
            | Self::NotAllowed { .. }
            | Self::Invalid { .. }
            | Self::RevisionTaken(_)
            | Self::Unreadable { .. } => true,
        }
    }

    /// For a call that surely wrote nothing.
    pub(super) fn nothing_written(self) -> JournalError {
        let text = self.to_string();
        let needs_a_person = self.needs_a_person();
        if let Self::Unreadable { source, .. } = self {
            JournalError::Unreadable(source)
        } else if needs_a_person {
            JournalError::Fatal(text)
        } else {
            JournalError::Unavailable(text)
        }
    }
}
