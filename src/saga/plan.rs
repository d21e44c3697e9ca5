//! A definition parsed and frozen, bound to one run and one process.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use super::definition::Definition;
use super::intent::Identity;
use super::key::Holder;
use crate::api::Reason;

/// All that `step` needs to know beside the state. Nothing in it changes while a process drives a run, the definition
/// apart: it may be missing at first.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Who the run is.
    pub run: Arc<Identity>,
    /// Name of the definition that the run refers to.
    pub definition_name: String,
    /// `spec.input`.
    pub input: Arc<Value>,
    /// The pinned revision once there is one, else the current one of the definition.
    pub definition: Result<Arc<Definition>, Unready>,
    /// Who this process is, and what it may take.
    pub owner: Owner,
}

/// Why a run has no definition at this time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unready {
    /// There is none of that name.
    NotFound,
    /// There is one, and it is not Ready: the text says why.
    NotReady(String),
    /// The pinned revision is gone, and the definition differs from it.
    RevisionNotFound(String),
}

impl Unready {
    /// As a word.
    pub const fn reason(&self) -> Reason {
        match self {
            Self::NotFound => Reason::DefinitionNotFound,
            Self::NotReady(_) => Reason::DefinitionNotReady,
            Self::RevisionNotFound(_) => Reason::RevisionNotFound,
        }
    }
}

/// A process that drives runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// Its identity, fresh whenever `Local` is empty: who forgot which fences it tried could take an older write of its
    /// own for the one under way, and send its intents twice.
    pub id: Holder,
    /// What it may take from another.
    pub tenure: Tenure,
}

/// When a process may take a run from the holder that it finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tenure {
    /// At once: it holds the store's exclusive lock, which outlives no process.
    Exclusive,
    /// At once, until it owned the run once: an election says that whoever held the run before is gone or has stopped. If
    /// it loses the run after that, somebody else believes the same, and the run is waited for as below.
    Elected,
    /// When the journal stayed unchanged for long enough: others may be alive.
    Contended,
}

impl Plan {
    /// How long a run waits for its definition before it ends, where nothing else is said.
    pub const START_PATIENCE: Duration = Duration::from_secs(60);

    /// How long it waits before it says so: a definition and its run are often applied together, and the definition is
    /// looked at a moment later. It is not worth a write and a warning.
    pub const SILENT_START: Duration = Duration::from_secs(1);
}
