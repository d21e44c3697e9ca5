//! Conditions as the Kubernetes API conventions want them.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Of a definition: can be run. The summary for `kubectl wait` and kstatus.
pub const READY: &str = "Ready";
/// Of a run: the summary. Unknown while active.
pub const SUCCEEDED: &str = "Succeeded";
/// Of a run: True in every terminal state, so that a script can wait for the end, good or bad.
pub const COMPLETED: &str = "Completed";
/// Of a run: True while active and not stalled (kstatus: InProgress).
pub const RECONCILING: &str = "Reconciling";
/// Of both kinds: needs a person, or ended without success (kstatus: Failed).
pub const STALLED: &str = "Stalled";

/// One aspect of an object's state; the fields of `metav1.Condition`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Condition {
    /// type names the aspect, such as Ready or Succeeded.
    #[serde(rename = "type")]
    #[schemars(
        length(min = 1, max = 316),
        regex(
            pattern = r"^([a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])$"
        )
    )]
    pub type_: String,
    /// status is True, False, or Unknown (not decided yet).
    pub status: ConditionStatus,
    /// observedGeneration is the generation of the spec that the condition was computed from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 9007199254740991_i64))]
    pub observed_generation: Option<i64>,
    /// lastTransitionTime is the time at which status last changed.
    #[schemars(with = "TimeSchema")]
    pub last_transition_time: Timestamp,
    /// reason is the cause of status as one CamelCase word, for programs.
    #[schemars(length(min = 1, max = 1024), regex(pattern = "^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$"))]
    pub reason: String,
    /// message says the same in a sentence, for people.
    #[schemars(length(max = 32768))]
    pub message: String,
}

/// Whether a condition holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ConditionStatus {
    /// It holds.
    True,
    /// It does not.
    False,
    /// Not decided yet.
    Unknown,
}

/// How a point in time stands in a schema: RFC 3339. 30 characters hold nanoseconds and `Z`.
#[derive(JsonSchema)]
#[schemars(transparent)]
pub struct TimeSchema(
    #[schemars(length(max = 30), extend("format" = "date-time"))]
    #[allow(dead_code)]
    pub String,
); // read by schemars only; goes when jiff has schemars 1
