//! What users ask of a run: the part of its spec and metadata that may change.

use std::time::Duration;

pub use crate::api::run::Intervention;
use crate::api::run::{EndPolicy, SagaRunSpec};

/// Read with every load.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wishes {
    /// `metadata.generation`.
    pub generation: i64,
    /// Nothing new is sent.
    pub suspend: bool,
    /// `spec.cancellation`.
    pub cancellation: Option<Cancellation>,
    /// The run is being deleted, and what that means.
    pub deletion: Option<EndPolicy>,
    /// The run's own deadline.
    pub active_deadline: Option<Duration>,
    /// Decisions about stalled calls, in list order.
    pub interventions: Vec<Intervention>,
}

/// A wish to end the run early.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cancellation {
    /// What becomes of the steps done so far.
    pub policy: EndPolicy,
    /// For people; may be empty.
    pub reason: String,
}

impl Wishes {
    /// From the spec of a run and what its metadata say.
    pub fn new(spec: &SagaRunSpec, generation: i64, deleted: bool) -> Self {
        Self {
            generation,
            suspend: spec.suspend,
            cancellation: spec
                .cancellation
                .as_ref()
                .map(|wish| Cancellation { policy: wish.policy, reason: wish.reason.clone().unwrap_or_default() }),
            deletion: deleted.then_some(spec.deletion_policy),
            active_deadline: spec.active_deadline_seconds.map(seconds),
            interventions: spec.interventions.clone(),
        }
    }

    /// The run is to end as it stands.
    pub fn abandon(&self) -> bool {
        self.deletion == Some(EndPolicy::Abandon)
            || self.cancellation.as_ref().is_some_and(|wish| wish.policy == EndPolicy::Abandon)
    }

    /// The run is cancelled, or being deleted.
    pub const fn ask_for_the_end(&self) -> bool {
        self.cancellation.is_some() || self.deletion.is_some()
    }

    /// Nothing not yet sent may be sent. Deletion ends a suspension.
    pub const fn holds(&self) -> bool {
        self.suspend && self.deletion.is_none()
    }
}

/// A count of seconds that the schema bounds to be positive.
pub fn seconds(count: i32) -> Duration {
    Duration::from_secs(u64::try_from(count).unwrap_or_default())
}
