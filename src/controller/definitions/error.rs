//! What may go wrong with a definition that is not the definition's fault.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use kube::runtime::reflector::ObjectRef;

use super::Guarded;
use crate::controller::CallError;
use crate::journal::Class;

/// A definition could not be looked after.
#[derive(Debug, thiserror::Error)]
pub enum DefinitionError {
    /// The API server refused or did not answer.
    #[error(transparent)]
    Call(#[from] CallError),
    /// Every name for a revision is taken by one that is about to go.
    #[error(
        "failed to store the revision: every name from '{0}' on is taken by one that is being deleted or is not ours"
    )]
    NamesTaken(String),
    /// More runs than can be read page by page.
    #[error("failed to see which runs use the definition: more than {0} pages of them")]
    TooManyRuns(usize),
}

impl DefinitionError {
    /// What to do about it.
    pub fn class(&self) -> Class {
        match self {
            Self::Call(error) => error.class(),
            Self::NamesTaken(_) | Self::TooManyRuns(_) => Class::Retry,
        }
    }
}

/// How often in a row each definition failed.
#[derive(Debug, Default)]
pub(super) struct Failures(Mutex<HashMap<ObjectRef<Guarded>, u32>>);

impl Failures {
    /// One more; how many there were before.
    pub(super) fn count(&self, definition: &ObjectRef<Guarded>) -> u32 {
        let mut failures = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = failures.entry(definition.clone()).or_default();
        let before = *count;
        *count = before.saturating_add(1);
        before
    }

    /// It worked, or there is nothing left to fail.
    pub(super) fn forget(&self, definition: &ObjectRef<Guarded>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(definition);
    }
}
