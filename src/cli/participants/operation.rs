//! Work that takes long: accepted at once, done later, asked for at `/operations/ID`.
//!
//! *Guarantees* Accepting is remembered as everything else is; what was accepted in time is done, whatever the deadline of
//! the call. A compensation of work that is not done yet is accepted, too, and undoes it as soon as it stands.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::Value;

use super::call::Call;
use super::state::Entry;

/// All work that was ever accepted, by the number of its entry: in the order of acceptance.
#[derive(Debug, Default)]
pub(super) struct Operations(BTreeMap<u64, Operation>);

/// Work that was accepted.
#[derive(Debug)]
pub(super) struct Operation {
    /// The request, body apart.
    pub(super) call: Call,
    /// When it is done.
    pub(super) due: Timestamp,
    /// Status and body, once it is done.
    pub(super) answer: Option<(u16, Value)>,
}

/// What the work accepted as entry `number` is called.
pub(super) fn name(number: u64) -> String {
    format!("operation-{number}")
}

impl Operations {
    /// Keeps what an entry says about work.
    pub(super) fn apply(&mut self, entry: &Entry) {
        if let Some(due) = entry.due {
            self.0.insert(entry.number, Operation { call: entry.call.clone(), due, answer: None });
        }
        let finished = entry.operation.as_deref().filter(|_| entry.finish).and_then(number);
        if let Some(operation) = finished.and_then(|number| self.0.get_mut(&number)) {
            operation.answer = Some((entry.status, entry.answer.clone()));
        }
    }

    /// The work that has to be finished next, if its time has come.
    pub(super) fn due(&self, now: Timestamp) -> Option<(u64, &Operation)> {
        // Of two due at the same time the one accepted first: an undo after what it undoes.
        let (number, first) = self.open().min_by_key(|(number, operation)| (operation.due, *number))?;
        (first.due <= now).then_some((number, first))
    }

    /// The work accepted under a key and not done yet.
    pub(super) fn working(&self, service: &str, key: &str) -> Option<(u64, &Operation)> {
        self.open()
            .find(|(_, operation)| operation.call.service == service && operation.call.key.as_deref() == Some(key))
    }

    /// By its name.
    pub(super) fn get(&self, name: &str) -> Option<&Operation> {
        self.0.get(&number(name)?)
    }

    fn open(&self) -> impl Iterator<Item = (u64, &Operation)> {
        self.0
            .iter()
            .filter(|(_, operation)| operation.answer.is_none())
            .map(|(number, operation)| (*number, operation))
    }
}

fn number(name: &str) -> Option<u64> {
    name.strip_prefix("operation-")?.parse().ok()
}
