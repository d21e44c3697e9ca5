//! The services' memory: one lock, and a file where one is wanted.

use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io::{BufRead as _, BufReader, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;

use axum::http::HeaderMap;

use super::call::{Call, Kind, LOOK, Service};
use super::fault::Fault;
use super::state::{Effect, EffectState, Entry, State};

/// Entries that can be listed; older ones are forgotten, what they did is not.
const LISTED: usize = 100_000;

/// Remembers every call, its answer and its effect, in one transaction (P5): a line of the file, synced before the answer
/// leaves. Without a file, in memory.
#[derive(Debug, Default)]
pub struct Ledger {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    state: State,
    entries: VecDeque<Entry>,
    file: Option<File>,
}

/// Why the file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// Reading or writing failed.
    #[error("failed to use the ledger {}: {source}", file.display())]
    Io {
        /// The file.
        file: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// It holds something else.
    #[error("failed to read line {line} of the ledger {}: {source}; use another file", file.display())]
    Line {
        /// The file.
        file: PathBuf,
        /// From 1.
        line: usize,
        /// What is wrong with it.
        source: serde_json::Error,
    },
}

impl Ledger {
    /// Reads `path`, or makes it. A last line without its end was never answered: it is cut off.
    pub fn open(path: &Path) -> Result<Self, LedgerError> {
        let io = |source| LedgerError::Io { file: path.to_owned(), source };
        let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path).map_err(io)?;
        let mut inner = Inner::default();
        let mut whole = 0;
        let mut reader = BufReader::new(&file);
        for line in 1.. {
            let mut text = Vec::new();
            let read = reader.read_until(b'\n', &mut text).map_err(io)?;
            if !text.ends_with(b"\n") {
                break;
            }
            let entry = serde_json::from_slice(&text);
            inner.keep(entry.map_err(|source| LedgerError::Line { file: path.to_owned(), line, source })?);
            whole += read as u64;
        }
        file.set_len(whole).map_err(io)?;
        file.seek(SeekFrom::Start(whole)).map_err(io)?;
        inner.file = Some(file);
        Ok(Self { inner: Mutex::new(inner) })
    }

    /// The transaction: looks the key up, decides, writes, and only then is it so. Fails without effect.
    pub(super) fn handle(&self, service: &Service, call: Call, fault: Option<&Fault>) -> std::io::Result<Entry> {
        let now = Timestamp::now();
        let mut inner = self.lock();
        inner.settle(now)?;
        let entry = inner.state.decide(service, call, fault, now);
        inner.write(&entry)?;
        inner.keep(entry.clone());
        Ok(entry)
    }

    /// A question about the work called `operation`.
    pub(super) fn look(&self, operation: &str, headers: &HeaderMap) -> std::io::Result<Entry> {
        let service = self.lock().state.service_of(operation).unwrap_or_default().to_owned();
        self.handle(&LOOK, Call::look(&service, operation, headers), None)
    }

    /// The requests seen, and the ends of accepted work, oldest first; at most the last 100,000.
    pub fn entries(&self) -> Vec<Entry> {
        self.settled().entries.iter().cloned().collect()
    }

    /// The effects of a run that are there now: what its participants were left with.
    pub fn net_effects(&self, run_uid: &str) -> Vec<Effect> {
        let of_run =
            |effect: &Effect| effect.run_uid.as_deref() == Some(run_uid) && effect.state != EffectState::Undone;
        self.effects().into_iter().filter(of_run).collect()
    }

    /// The effects made under `key`, of any service, undone or not; at most one a service.
    pub fn effects_of_key(&self, key: &str) -> Vec<Effect> {
        self.effects().into_iter().filter(|effect| effect.key == key).collect()
    }

    /// All effects, undone ones too, in the order they were made.
    pub fn effects(&self) -> Vec<Effect> {
        self.settled().state.effects().cloned().collect()
    }

    /// As it stands now: work whose time has come is done.
    fn settled(&self) -> MutexGuard<'_, Inner> {
        let mut inner = self.lock();
        // What cannot be written is not done: nobody saw it, and the next who looks tries again.
        drop(inner.settle(Timestamp::now()));
        inner
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// Ends the work whose time has come. Nobody can tell that it was not done in that moment: whoever looks does this first.
    fn settle(&mut self, now: Timestamp) -> std::io::Result<()> {
        while let Some(entry) = self.state.finish(now) {
            self.write(&entry)?;
            self.keep(entry);
        }
        Ok(())
    }

    fn keep(&mut self, entry: Entry) {
        self.state.apply(&entry);
        if self.entries.len() == LISTED {
            self.entries.pop_front();
        }
        self.entries.push_back(entry);
    }

    fn write(&mut self, entry: &Entry) -> std::io::Result<()> {
        let Some(file) = &mut self.file else { return Ok(()) };
        let mut line = serde_json::to_vec(entry)?;
        line.push(b'\n');
        let start = file.stream_position()?;
        let written = file.write_all(&line).and_then(|()| match entry.call.kind {
            Kind::Read | Kind::Look => Ok(()),
            Kind::Do | Kind::Confirm | Kind::Undo => file.sync_data(),
        });
        if written.is_err() {
            // Half a line must not stand before the next.
            file.set_len(start)?;
            file.seek(SeekFrom::Start(start))?;
        }
        written
    }
}
