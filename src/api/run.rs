//! `SagaRun`: one execution of a saga.

use std::collections::BTreeMap;

use jiff::Timestamp;
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::condition::{Condition, TimeSchema};
use super::{rules, schema};

/// One execution of a saga.
#[allow(clippy::duplicated_attributes)] // columns of the same type; can go when clippy looks into the groups
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "sagas.dev",
    version = "v1alpha1",
    kind = "SagaRun",
    plural = "sagaruns",
    shortname = "sagarun",
    category = "saga",
    namespaced,
    doc = "SagaRun is one execution of a SagaDefinition of its namespace.",
    status = "SagaRunStatus",
    derive = "PartialEq",
    selectable = ".spec.definitionRef.name",
    printcolumn(
        name = "Definition",
        type_ = "string",
        json_path = ".spec.definitionRef.name",
        description = "The definition that is executed"
    ),
    printcolumn(
        name = "Succeeded",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Succeeded\")].status",
        description = "True or False at the end, Unknown until then"
    ),
    printcolumn(
        name = "Reason",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Succeeded\")].reason",
        description = "What the run is doing, or how it ended"
    ),
    printcolumn(
        name = "Progress",
        type_ = "string",
        json_path = ".status.progress",
        description = "Finished steps of all steps"
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(
        name = "Started",
        type_ = "date",
        json_path = ".status.startTime",
        description = "When the operator first took the run up",
        priority = 1
    ),
    printcolumn(
        name = "Completed",
        type_ = "date",
        json_path = ".status.completionTime",
        description = "When the run ended",
        priority = 1
    ),
    printcolumn(
        name = "Message",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Succeeded\")].message",
        description = "The reason in a sentence",
        priority = 1
    )
)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(description = "spec says which definition is executed, with which input, and how it may end.", transform = rules::run_spec)]
pub struct SagaRunSpec {
    /// definitionRef names the definition, in the namespace of the run; immutable.
    pub definition_ref: DefinitionRef,
    /// input is a JSON object, for expressions such as `${input.order}` in the definition, whose `inputSchema` it must
    /// satisfy. Immutable; default `{}`; at most 64 KiB.
    #[serde(default)]
    #[schemars(schema_with = "schema::any_object", transform = schema::default_empty)]
    pub input: Map<String, Value>,
    /// activeDeadlineSeconds counts from the start of the run; when it passes before the last step is done, the run
    /// compensates. The smaller of this and the definition's counts. Immutable; 1 to 2592000 (30 days).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 2_592_000))]
    pub active_deadline_seconds: Option<i32>,
    /// suspend holds everything that is not yet sent, while it is true: calls under way end, no new one starts. Deadlines
    /// keep counting. Default false.
    #[serde(default)]
    pub suspend: bool,
    /// cancellation ends the run early, once it is specified. It cannot be taken back; only its `policy` may still go from
    /// Compensate to Abandon.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cancellation: Option<Cancellation>,
    /// deletionPolicy says what deleting the unfinished run means. Compensate (the default): its steps are undone before it
    /// goes. Abandon: it goes and the steps stay as they are.
    #[serde(default)]
    pub deletion_policy: EndPolicy,
    /// ttlSecondsAfterFinished is how long the finished run is kept before it is deleted; for ever when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 2_147_483_647))]
    pub ttl_seconds_after_finished: Option<i32>,
}

/// The definition of a run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DefinitionRef {
    /// name of a SagaDefinition in the namespace of the run; at most 63 characters.
    #[schemars(length(min = 1, max = 63), regex(pattern = "^[a-z0-9]([-.a-z0-9]*[a-z0-9])?$"))]
    pub name: String,
}

/// A wish to end the run early.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Cancellation {
    /// policy says what becomes of the steps done so far. Compensate: they are undone. Abandon: they stay as they are and
    /// the run ends at once.
    pub policy: EndPolicy,
    /// reason is for people; at most 1024 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
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
#[schemars(
    description = "status is what is known of the run. The operator alone writes it; a field that says nothing is left out.",
    transform = schema::atomic_object
)]
pub struct SagaRunStatus {
    /// conditions are Succeeded (the summary: Unknown until the end), Completed (True at the end, good or bad), Reconciling
    /// (under way) and Stalled (needs a person, or ended without success).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), transform = schema::by_type)]
    pub conditions: Vec<Condition>,
    /// observedGeneration is the generation of the spec that was last taken into account; -1 before the first look.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = -1, max = 9_007_199_254_740_991_i64))]
    pub observed_generation: Option<i64>,
    /// startTime is when the operator first took the run up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<TimeSchema>")]
    pub start_time: Option<Timestamp>,
    /// completionTime is when the run ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<TimeSchema>")]
    pub completion_time: Option<Timestamp>,
    /// definitionRevision names the ControllerRevision that the run keeps to, whatever happens to its definition.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub definition_revision: Option<String>,
    /// progress is the number of finished steps of all steps, as `2/5`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 5))]
    pub progress: Option<String>,
    /// failure says why the run turned to compensation, or ended without success.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
    /// steps are the steps of the run, in the order of the definition.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), transform = schema::atomic)]
    pub steps: Vec<StepStatus>,
    /// journal is the operator's memory of the run: what it must know after a crash. Not for reading by programs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub journal: Option<Journal>,
}

/// Why a run turned to compensation, or ended without success.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Failure {
    /// step that failed; absent when no step is to blame.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub step: Option<String>,
    /// reason is one CamelCase word, such as Rejected, AttemptsExhausted, DeadlineExceeded or Cancelled.
    #[schemars(length(min = 1, max = 32))]
    pub reason: String,
    /// message says the same in a sentence, for people; at most 256 characters.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 256))]
    pub message: String,
    /// httpStatusCode of the answer that decided it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 100, max = 999))]
    pub http_status_code: Option<i32>,
}

/// One step of a run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StepStatus {
    /// name of the step.
    #[schemars(length(min = 1, max = 63))]
    pub name: String,
    /// state of the step's action. Pending: not begun. Running: an attempt is open. Waiting: another attempt is due later.
    /// Stalled: needs a person. Succeeded: done. Failed: certainly without effect. Unknown: ended, and may have taken
    /// effect. Skipped: its `when` was false.
    pub state: StepState,
    /// attempts begun so far; left out when 1, or when 0 and Pending or Skipped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 99_999))]
    pub attempts: Option<i32>,
    /// doubtfulAttempts is the number of attempts that may have taken effect without the operator knowing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 99_999))]
    pub doubtful_attempts: Option<i32>,
    /// startTime of the first attempt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<TimeSchema>")]
    pub start_time: Option<Timestamp>,
    /// completionTime of the action.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<TimeSchema>")]
    pub completion_time: Option<Timestamp>,
    /// httpStatusCode of the last answer; left out when the action succeeded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 100, max = 999))]
    pub http_status_code: Option<i32>,
    /// reason for the state as one CamelCase word; left out when the action succeeded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 32))]
    pub reason: Option<String>,
    /// message says the same in a sentence, at most 128 characters; left out when the action succeeded, and when more than
    /// 16 steps have one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 128))]
    pub message: Option<String>,
    /// outputs picked from the answer, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "schema::any_object", extend("maxProperties" = 16))]
    pub outputs: BTreeMap<String, Value>,
    /// keySuffix of the idempotency key, from the second key on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 2, max = 99))]
    pub key_suffix: Option<i32>,
    /// digest of the request, so that a repetition is known to be the same; until the outcome.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 22))]
    pub digest: Option<String>,
    /// attemptsBefore is the number of attempts made before a person last asked for a retry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 99_999))]
    pub attempts_before: Option<i32>,
    /// takeovers is how often another process went on with the open attempt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 99))]
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
    /// state of the compensation. Pending: not begun. Running: an attempt is open. Waiting: another attempt is due later.
    /// Stalled: needs a person. Succeeded: done.
    pub state: UndoState,
    /// attempts begun so far; left out when 1, or when 0 and Pending.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 99_999))]
    pub attempts: Option<i32>,
    /// doubtfulAttempts is the number of attempts that may have taken effect without the operator knowing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 99_999))]
    pub doubtful_attempts: Option<i32>,
    /// completionTime of the compensation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<TimeSchema>")]
    pub completion_time: Option<Timestamp>,
    /// httpStatusCode of the last answer; left out when the compensation succeeded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 100, max = 999))]
    pub http_status_code: Option<i32>,
    /// reason for the state as one CamelCase word; left out when the compensation succeeded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 32))]
    pub reason: Option<String>,
    /// message says the same in a sentence, at most 128 characters; left out when the compensation succeeded, and when more
    /// than 16 steps have one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 128))]
    pub message: Option<String>,
    /// keySuffix of the idempotency key, from the second key on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 2, max = 99))]
    pub key_suffix: Option<i32>,
    /// digest of the request, so that a repetition is known to be the same; until the outcome.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 22))]
    pub digest: Option<String>,
    /// attemptsBefore is the number of attempts made before a person last asked for a retry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 99_999))]
    pub attempts_before: Option<i32>,
    /// takeovers is how often another process went on with the open attempt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 99))]
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
    #[schemars(range(min = 0, max = 9_007_199_254_740_991_i64))]
    pub fence: i64,
    /// holder is the process that owns the run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 32))]
    pub holder: Option<String>,
    /// inFlight are the calls that are open or scheduled, 16 at most at a time.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), transform = schema::atomic)]
    pub in_flight: Vec<InFlight>,
}

/// An intent without outcome.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct InFlight {
    /// step of the call.
    #[schemars(length(min = 1, max = 63))]
    pub step: String,
    /// direction of the call: Forward (the action) or Compensate.
    pub direction: Direction,
    /// attempt is its number, from 1.
    #[schemars(range(min = 1, max = 99_999))]
    pub attempt: i32,
    /// fence that the request carries.
    #[schemars(range(min = 0, max = 9_007_199_254_740_991_i64))]
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
