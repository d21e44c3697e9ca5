//! `SagaRun`: one execution of a saga.

use std::collections::BTreeMap;

use jiff::Timestamp;
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::condition::{Condition, TimeSchema};

/// One execution of a saga.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "sagas.dev",
    version = "v1alpha1",
    kind = "SagaRun",
    plural = "sagaruns",
    shortname = "sagarun",
    category = "saga",
    namespaced,
    status = "SagaRunStatus",
    derive = "PartialEq"
)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SagaRunSpec {
    /// definitionRef names the definition, in the namespace of the run; immutable.
    pub definition_ref: DefinitionRef,
    /// input is a JSON object for the expressions of the definition; immutable; at most 64 KiB.
    #[serde(default)]
    pub input: Map<String, Value>,
    /// activeDeadlineSeconds shortens the deadline of the definition; immutable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub active_deadline_seconds: Option<i32>,
    /// suspend holds everything that is not yet sent.
    #[serde(default)]
    pub suspend: bool,
    /// cancellation ends the run early; set once, only Compensate may become Abandon.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cancellation: Option<Cancellation>,
    /// deletionPolicy says what deleting the unfinished run means.
    #[serde(default)]
    pub deletion_policy: EndPolicy,
    /// ttlSecondsAfterFinished after which the finished run is deleted; kept for ever when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl_seconds_after_finished: Option<i32>,
}

/// The definition of a run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DefinitionRef {
    /// name of a SagaDefinition in the namespace of the run.
    pub name: String,
}

/// A wish to end the run early.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Cancellation {
    /// policy says what becomes of the steps done so far.
    pub policy: EndPolicy,
    /// reason is for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// What becomes of the steps done so far when a run is ended early.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum EndPolicy {
    /// They are undone.
    #[default]
    Compensate,
    /// They stay as they are.
    Abandon,
}

/// What is known of a run. One writer, one write path; a field that says nothing is left out.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SagaRunStatus {
    /// conditions: Succeeded, Completed, Reconciling and Stalled.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
    /// observedGeneration is the generation of the spec that was last taken into account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// startTime is when the operator first took the run up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<TimeSchema>")]
    pub start_time: Option<Timestamp>,
    /// completionTime is when the run ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<TimeSchema>")]
    pub completion_time: Option<Timestamp>,
    /// definitionRevision names the ControllerRevision that the run is pinned to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub definition_revision: Option<String>,
    /// progress is the number of finished steps of all steps, as `2/5`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub progress: Option<String>,
    /// failure says why the run turned to compensation, or ended without success.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
    /// steps, in the order of the definition.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<StepStatus>,
    /// journal is the operator's memory of the run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub journal: Option<Journal>,
}

/// Why a run turned to compensation, or ended without success.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Failure {
    /// step that failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<String>,
    /// reason, as a word.
    pub reason: String,
    /// message is for people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// httpStatusCode of the answer that decided it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http_status_code: Option<i32>,
}

/// One step of a run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StepStatus {
    /// name of the step.
    pub name: String,
    /// state of the step's action.
    pub state: StepState,
    /// attempts stored so far; left out when 1, or when 0 and Pending or Skipped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempts: Option<i32>,
    /// doubtfulAttempts may have taken effect without the operator knowing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub doubtful_attempts: Option<i32>,
    /// startTime of the first attempt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<TimeSchema>")]
    pub start_time: Option<Timestamp>,
    /// completionTime of the action.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<TimeSchema>")]
    pub completion_time: Option<Timestamp>,
    /// httpStatusCode of the last answer, while open, failed or stalled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http_status_code: Option<i32>,
    /// reason, while open, failed or stalled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// message, while open, failed or stalled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// outputs picked from the answer.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub outputs: BTreeMap<String, Value>,
    /// keySuffix of the idempotency key, when it is not the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_suffix: Option<i32>,
    /// digest of the rendered request, from the first intent under a key until the outcome.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// attemptsBefore a person last asked for a retry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempts_before: Option<i32>,
    /// takeovers of the open attempt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub takeovers: Option<i32>,
    /// compensation of the step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compensation: Option<UndoStatus>,
}

/// Where the action of a step stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum StepState {
    /// Not begun.
    #[default]
    Pending,
    /// An attempt is open.
    Running,
    /// Another attempt is due later.
    Waiting,
    /// Needs a person.
    Stalled,
    /// Done.
    Succeeded,
    /// Certainly without effect.
    Failed,
    /// Closed; may have taken effect.
    Unknown,
    /// Its `when` was false.
    Skipped,
}

/// The compensation of one step.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct UndoStatus {
    /// state of the compensation.
    pub state: UndoState,
    /// attempts stored so far; left out when 1, or when 0 and Pending.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempts: Option<i32>,
    /// doubtfulAttempts may have taken effect without the operator knowing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub doubtful_attempts: Option<i32>,
    /// completionTime of the compensation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<TimeSchema>")]
    pub completion_time: Option<Timestamp>,
    /// httpStatusCode of the last answer, while open or stalled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http_status_code: Option<i32>,
    /// reason, while open or stalled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// message, while open or stalled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// keySuffix of the idempotency key, when it is not the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_suffix: Option<i32>,
    /// digest of the rendered request, from the first intent under a key until the outcome.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// attemptsBefore a person last asked for a retry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempts_before: Option<i32>,
    /// takeovers of the open attempt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub takeovers: Option<i32>,
}

/// Where a compensation stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum UndoState {
    /// Not begun.
    #[default]
    Pending,
    /// An attempt is open.
    Running,
    /// Another attempt is due later.
    Waiting,
    /// Needs a person.
    Stalled,
    /// Done.
    Succeeded,
}

/// The operator's memory of a run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Journal {
    /// fence of the last write; rises with every one.
    #[serde(default)]
    pub fence: i64,
    /// holder is the process that owns the run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub holder: Option<String>,
    /// inFlight holds the intents without outcome.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub in_flight: Vec<InFlight>,
}

/// An intent without outcome.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct InFlight {
    /// step of the call.
    pub step: String,
    /// direction of the call.
    pub direction: Direction,
    /// attempt, from 1.
    pub attempt: i32,
    /// fence that the request carries.
    pub fence: i64,
    /// deadlineTime after which the attempt counts as unanswered.
    #[schemars(with = "TimeSchema")]
    pub deadline_time: Timestamp,
    /// notBeforeTime of an attempt that waits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<TimeSchema>")]
    pub not_before_time: Option<Timestamp>,
}

/// Which of a step's calls is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub enum Direction {
    /// The action.
    Forward,
    /// The compensation.
    Compensate,
}

impl Direction {
    /// As it stands in keys and headers.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Forward => "forward",
            Self::Compensate => "compensate",
        }
    }
}
