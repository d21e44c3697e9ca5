//! Definitions in a state file: revisions that never change, and which one is the newest.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

use super::change::{Change, Refusal};
use super::error::LocalError;
use super::table::{DEFINITIONS, REVISIONS, bytes, text};
use super::writer::NotWritten;
use super::{LocalJournal, NAMESPACE};
use crate::api::SagaDefinitionSpec;
use crate::engine::Definitions;
use crate::journal::JournalError;
use crate::saga::{Definition, Unready};

/// Compiled revisions kept; the rest is compiled again when needed.
const MAX_COMPILED: usize = 256;

/// What was compiled, by the name of the revision.
#[derive(Debug, Default)]
pub(super) struct Compiled(Mutex<HashMap<String, Arc<Definition>>>);

impl Compiled {
    fn get(&self, revision: &str) -> Option<Arc<Definition>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(revision).cloned()
    }

    fn put(&self, definition: Definition) -> Arc<Definition> {
        let definition = Arc::new(definition);
        let mut compiled = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if compiled.len() >= MAX_COMPILED {
            compiled.clear();
        }
        compiled.insert(definition.revision.clone(), definition.clone());
        definition
    }
}

impl LocalJournal {
    /// Checks a definition and stores it: the newest of its name from now on. Gives the name of its revision. Runs that
    /// began keep theirs.
    ///
    /// # Errors
    /// [`LocalError::Invalid`] with everything that is wrong, or what prevents writing.
    pub async fn apply_definition(&self, name: &str, spec: &SagaDefinitionSpec) -> Result<String, LocalError> {
        let canonical = canonical_json(spec)
            .map_err(|error| LocalError::Failing { path: self.path().to_owned(), detail: error.to_string() })?;
        let revision = revision_name(name, &canonical);
        let definition = Definition::compile(spec, &revision)
            .map_err(|problems| LocalError::Invalid { name: name.to_owned(), problems })?;
        let change = Change::Define { name: name.to_owned(), revision: revision.clone(), spec: canonical };
        match self.write(change).await {
            Ok(_) => {
                self.inner.compiled.put(definition);
                Ok(revision)
            }
            Err(NotWritten::Refused(Refusal::Taken | Refusal::Conflict | Refusal::Gone)) => {
                Err(LocalError::RevisionTaken(revision))
            }
            Err(NotWritten::Nothing(error) | NotWritten::Unclear(error)) => {
                Err(LocalError::Failing { path: self.path().to_owned(), detail: error.to_string() })
            }
        }
    }

    /// A stored revision, compiled.
    fn revision(&self, revision: &str) -> Result<Arc<Definition>, Unready> {
        if let Some(definition) = self.inner.compiled.get(revision) {
            return Ok(definition);
        }
        let row = self.store().read(|read| bytes(read, REVISIONS, revision));
        let row = row.map_err(|error| Unready::NotReady(error.to_string()))?;
        let Some(row) = row else {
            return Err(Unready::RevisionNotFound(format!("'{revision}' is not in '{}'", self.path().display())));
        };
        let spec: SagaDefinitionSpec = serde_json::from_slice(&row).map_err(|error| {
            Unready::NotReady(format!("the revision '{revision}' was written by another version: {error}"))
        })?;
        let definition = Definition::compile(&spec, revision).map_err(|problems| {
            let problems: Vec<_> = problems.iter().map(ToString::to_string).collect();
            Unready::NotReady(problems.join("; "))
        })?;
        Ok(self.inner.compiled.put(definition))
    }
}

impl Definitions for LocalJournal {
    async fn current(&self, namespace: &str, name: &str) -> Result<Arc<Definition>, Unready> {
        if namespace != NAMESPACE {
            return Err(Unready::NotFound);
        }
        let revision = self.store().read(|read| text(read, DEFINITIONS, name));
        let revision = revision.map_err(|error| Unready::NotReady(error.to_string()))?.ok_or(Unready::NotFound)?;
        self.revision(&revision)
    }

    /// Revisions are never collected, so the name of the definition is not needed.
    async fn pinned(&self, namespace: &str, _name: &str, revision: &str) -> Result<Arc<Definition>, Unready> {
        if namespace != NAMESPACE {
            return Err(Unready::NotFound);
        }
        self.revision(revision)
    }

    async fn holds(&self, _namespace: &str, _revision: &str) -> Result<bool, JournalError> {
        Ok(true)
    }
}

/// `<definition>-<10 hexadecimal digits of the SHA-256 of the canonical JSON>`.
fn revision_name(definition: &str, canonical: &[u8]) -> String {
    let mut name = format!("{definition}-");
    for byte in &Sha256::digest(canonical)[..5] {
        let _infallible = write!(name, "{byte:02x}");
    }
    name
}

/// JSON with sorted keys: the same for equal specs, whatever the order of keys in the manifest.
fn canonical_json(spec: &SagaDefinitionSpec) -> Result<Vec<u8>, serde_json::Error> {
    serde_json::to_vec(&sorted(serde_json::to_value(spec)?))
}

fn sorted(value: Value) -> Value {
    match value {
        Value::Object(map) => {
            let mut entries: Vec<_> = map.into_iter().collect();
            entries.sort_by(|(left, _), (right, _)| left.cmp(right));
            Value::Object(entries.into_iter().map(|(key, value)| (key, sorted(value))).collect::<Map<_, _>>())
        }
        Value::Array(values) => Value::Array(values.into_iter().map(sorted).collect()),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value,
    }
}
