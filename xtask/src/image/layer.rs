//! One layer: files in a tar, in gzip, the same bytes every time.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::path::Path;

use flate2::{Compression, GzBuilder};
use sha2::{Digest as _, Sha256};
use tar::{Builder, EntryType, Header};

use super::ImageError;

/// A file, owned by root.
#[derive(Debug)]
pub(super) struct Entry<'a> {
    /// From the root, without a leading slash.
    pub(super) path: &'a str,
    /// Its permissions.
    pub(super) mode: u32,
    /// What it holds.
    pub(super) content: &'a [u8],
}

/// A packed layer.
#[derive(Debug)]
pub(super) struct Layer {
    /// tar in gzip.
    pub(super) blob: Vec<u8>,
    /// Of the tar.
    pub(super) diff_id: String,
    /// What its files take.
    pub(super) unpacked: u64,
}

impl Layer {
    /// Packs files; they and their directories carry this time.
    pub(super) fn pack(entries: &[Entry<'_>], time: u64) -> Result<Self, ImageError> {
        let tar = archive(entries, time).map_err(|source| ImageError::Pack { what: "a layer", source })?;
        let blob = gzip(&tar).map_err(|source| ImageError::Pack { what: "a layer", source })?;
        let unpacked = entries.iter().map(|entry| entry.content.len() as u64).sum();
        Ok(Self { blob, diff_id: digest(&tar), unpacked })
    }
}

/// `sha256:` and the hash.
pub(super) fn digest(bytes: &[u8]) -> String {
    let mut text = "sha256:".to_owned();
    for byte in Sha256::digest(bytes) {
        // Writing to a string does not fail.
        let _always_ok = write!(text, "{byte:02x}");
    }
    text
}

/// A tar of files, sorted by path.
pub(super) fn archive(entries: &[Entry<'_>], time: u64) -> io::Result<Vec<u8>> {
    let mut tar = Builder::new(Vec::new());
    let directories: BTreeSet<_> = entries.iter().flat_map(|entry| Path::new(entry.path).ancestors().skip(1)).collect();
    for directory in directories.into_iter().filter(|directory| !directory.as_os_str().is_empty()) {
        tar.append_data(&mut header(EntryType::Directory, 0o755, 0, time), directory, io::empty())?;
    }
    let mut files: Vec<_> = entries.iter().collect();
    files.sort_by_key(|entry| entry.path);
    for entry in files {
        let size = entry.content.len() as u64;
        tar.append_data(&mut header(EntryType::Regular, entry.mode, size, time), entry.path, entry.content)?;
    }
    tar.into_inner()
}

fn header(kind: EntryType, mode: u32, size: u64, time: u64) -> Header {
    let mut header = Header::new_ustar();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_uid(0);
    header.set_gid(0);
    header.set_size(size);
    header.set_mtime(time);
    header
}

/// Without a name and a time in its head.
fn gzip(bytes: &[u8]) -> io::Result<Vec<u8>> {
    let mut gzip = GzBuilder::new().mtime(0).write(Vec::new(), Compression::best());
    gzip.write_all(bytes)?;
    gzip.finish()
}
