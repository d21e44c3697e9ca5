//! File operations whose errors name the file.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, symlink};
use std::path::{Path, PathBuf};

/// A file operation failed.
#[derive(Debug, thiserror::Error)]
#[error("failed to {verb} {}", path.display())]
pub(crate) struct FileError {
    verb: &'static str,
    path: PathBuf,
    #[source]
    source: io::Error,
}

fn named<T>(verb: &'static str, path: &Path, result: io::Result<T>) -> Result<T, FileError> {
    result.map_err(|source| FileError { verb, path: path.to_owned(), source })
}

/// Reads a file of text.
pub(crate) fn read(path: &Path) -> Result<String, FileError> {
    named("read", path, fs::read_to_string(path))
}

/// Reads a file of text that may not be there.
pub(crate) fn read_if_there(path: &Path) -> Result<Option<String>, FileError> {
    match fs::read_to_string(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        other => named("read", path, other.map(Some)),
    }
}

/// Reads a file of anything.
pub(crate) fn read_bytes(path: &Path) -> Result<Vec<u8>, FileError> {
    named("read", path, fs::read(path))
}

/// Writes a file of anything, with the directories above it.
pub(crate) fn write_bytes(path: &Path, content: &[u8]) -> Result<(), FileError> {
    if let Some(parent) = path.parent() {
        make_directory(parent)?;
    }
    named("write", path, fs::write(path, content))
}

/// Writes a file, with the directories above it.
pub(crate) fn write(path: &Path, content: &str) -> Result<(), FileError> {
    if let Some(parent) = path.parent() {
        make_directory(parent)?;
    }
    named("write", path, fs::write(path, content))
}

/// Writes a new file that only its owner may read; clients complain about kubeconfigs that others can read.
pub(crate) fn write_secret(path: &Path, content: &str) -> Result<(), FileError> {
    let file = File::options().create(true).truncate(true).write(true).mode(0o600).open(path);
    named("write", path, file.and_then(|mut file| file.write_all(content.as_bytes())))
}

/// Makes a directory and those above it.
pub(crate) fn make_directory(path: &Path) -> Result<(), FileError> {
    named("make the directory", path, fs::create_dir_all(path))
}

/// Makes a directory that only its owner may read: what lies in it needs no protection of its own.
pub(crate) fn make_private_directory(path: &Path) -> Result<(), FileError> {
    named("make the directory", path, fs::DirBuilder::new().recursive(true).mode(0o700).create(path))
}

/// Removes a directory and everything in it; it may be gone already.
pub(crate) fn remove_directory(path: &Path) -> Result<(), FileError> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => named("remove", path, other),
    }
}

/// Removes a file.
pub(crate) fn remove_file(path: &Path) -> Result<(), FileError> {
    named("remove", path, fs::remove_file(path))
}

/// All files below a directory, except in directories of these names right in it.
pub(crate) fn below(path: &Path, except: &[&str]) -> Result<Vec<PathBuf>, FileError> {
    let mut found = Vec::new();
    for name in names(path)? {
        let inner = path.join(&name);
        if inner.is_dir() && !inner.is_symlink() {
            if !except.contains(&name.as_str()) {
                found.append(&mut below(&inner, &[])?);
            }
        } else {
            found.push(inner);
        }
    }
    Ok(found)
}

/// Renames a file or directory.
pub(crate) fn rename(from: &Path, to: &Path) -> Result<(), FileError> {
    named("rename", from, fs::rename(from, to))
}

/// Makes a symbolic link.
pub(crate) fn link(target: &str, at: &Path) -> Result<(), FileError> {
    named("make the link", at, symlink(target, at))
}

/// The names of what lies in a directory, sorted; none when it is not there.
pub(crate) fn names(path: &Path) -> Result<Vec<String>, FileError> {
    let entries = match fs::read_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => named("list", path, other)?,
    };
    let mut names = Vec::new();
    for entry in entries {
        names.push(named("list", path, entry)?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names)
}

/// Takes the lock of a file, made when needed; `waiting` is called when somebody else holds it. The lock ends with the
/// value, also when the process is killed.
pub(crate) fn lock(path: &Path, waiting: impl FnOnce()) -> Result<File, FileError> {
    if let Some(parent) = path.parent() {
        make_directory(parent)?;
    }
    let file = named("open", path, File::options().create(true).append(true).open(path))?;
    if file.try_lock().is_err() {
        waiting();
        named("lock", path, file.lock())?;
    }
    Ok(file)
}
