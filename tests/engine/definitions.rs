//! The definitions as processes find them.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use saga_operator::engine::Definitions;
use saga_operator::journal::JournalError;
use saga_operator::saga::{Definition, Unready};

use super::fate::{Fate, Source, lock};
use super::shape::Saga;

/// The definitions of a world: the current one, all that ever were, and what is asked of a pinned one.
pub struct Book {
    pub fate: Arc<Fate>,
    current: Mutex<Arc<Saga>>,
    all: Mutex<BTreeMap<String, Arc<Saga>>>,
    pub doomed: Mutex<Vec<String>>,
    pub panics: AtomicU32,
}

impl Book {
    pub fn new(fate: Arc<Fate>, first: Arc<Saga>) -> Self {
        let all = BTreeMap::from([(first.definition.revision.clone(), first.clone())]);
        let (current, all) = (Mutex::new(first), Mutex::new(all));
        Self { fate, current, all, doomed: Mutex::default(), panics: AtomicU32::new(0) }
    }

    /// The definition is changed.
    pub fn change(&self, new: Arc<Saga>) {
        self.fate.tell(|| format!("the definition is changed: revision {}", new.definition.revision));
        lock(&self.all).insert(new.definition.revision.clone(), new.clone());
        *lock(&self.current) = new;
    }

    pub fn revision(&self, name: &str) -> Option<Arc<Saga>> {
        lock(&self.all).get(name).cloned()
    }

    pub fn count(&self) -> usize {
        lock(&self.all).len()
    }
}

#[derive(Clone)]
pub struct Shelf(pub Arc<Book>);

impl Definitions for Shelf {
    async fn current(&self, _namespace: &str, _name: &str) -> Result<Arc<Definition>, Unready> {
        let left = self.0.panics.load(Ordering::Relaxed);
        if left > 0 {
            self.0.panics.store(left - 1, Ordering::Relaxed);
            panic!("the definitions were told to");
        }
        match self.0.fate.mishap(Source::Store, 12) {
            1 => {
                self.0.fault("definition not found");
                Err(Unready::NotFound)
            }
            2 => {
                self.0.fault("definition not ready");
                Err(Unready::NotReady("not now".to_owned()))
            }
            _ => Ok(lock(&self.0.current).definition.clone()),
        }
    }

    async fn pinned(&self, _namespace: &str, _name: &str, revision: &str) -> Result<Arc<Definition>, Unready> {
        let lost = Unready::RevisionNotFound(revision.to_owned());
        match self.0.fate.mishap(Source::Store, 12) {
            1 => {
                self.0.fault("revision not found");
                Err(lost)
            }
            2 => {
                self.0.fault("revision not read");
                Err(Unready::NotReady("not now".to_owned()))
            }
            _ => self.0.revision(revision).map(|saga| saga.definition.clone()).ok_or(lost),
        }
    }

    async fn holds(&self, _namespace: &str, revision: &str) -> Result<bool, JournalError> {
        match self.0.fate.mishap(Source::Store, 12) {
            1 => {
                self.0.fault("nobody says whether the revision stays");
                Err(JournalError::Unavailable("it was told to be".to_owned()))
            }
            2 => {
                self.0.fault("the revision is about to go");
                Ok(false)
            }
            _ => Ok(!lock(&self.0.doomed).iter().any(|doomed| doomed == revision)),
        }
    }
}

impl Book {
    fn fault(&self, kind: &'static str) {
        self.fate.fault(kind, || "the next look".to_owned());
    }
}
