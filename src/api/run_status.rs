//! The status of a `SagaRun`: what is known of one execution, and the operator's memory of it.

use std::collections::BTreeMap;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::condition::{Condition, TimeSchema};
use super::run::Direction;
use super::schema;

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
    /// outputs of the run, by name, once it succeeded.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "schema::any_object", extend("maxProperties" = 32))]
    pub outputs: BTreeMap<String, Value>,
    /// interventions that were judged.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), transform = schema::atomic)]
    pub interventions: Vec<InterventionStatus>,
    /// journal is the operator's memory of the run: what it must know after a crash. Not for reading by programs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub journal: Option<Journal>,
}

/// What became of an intervention.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct InterventionStatus {
    /// id as in the spec.
    #[schemars(length(min = 1, max = 32))]
    pub id: String,
    /// outcome is Applied or Refused; an Event says why it was refused.
    pub outcome: InterventionOutcome,
    /// time of the judgement.
    #[schemars(with = "TimeSchema")]
    pub time: Timestamp,
}

/// What became of an intervention.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum InterventionOutcome {
    /// It took effect.
    Applied,
    /// It did not fit what it found, and never will take effect.
    Refused,
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
    pub compensation: Option<CallStatus>,
    /// confirm of the step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confirm: Option<CallStatus>,
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

/// The compensation or the confirm of one step.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CallStatus {
    /// state of the call. Pending: not begun. Running: an attempt is open. Waiting: another attempt is due later. Stalled:
    /// needs a person. Succeeded: done. Resolved: a person said that it was done by hand.
    pub state: CallState,
    /// attempts begun so far; left out when 1, or when 0 and Pending.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 99_999))]
    pub attempts: Option<i32>,
    /// doubtfulAttempts is the number of attempts that may have taken effect without the operator knowing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 99_999))]
    pub doubtful_attempts: Option<i32>,
    /// completionTime of the call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<TimeSchema>")]
    pub completion_time: Option<Timestamp>,
    /// httpStatusCode of the last answer; left out when the call succeeded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 100, max = 999))]
    pub http_status_code: Option<i32>,
    /// reason for the state as one CamelCase word; left out when the call succeeded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 32))]
    pub reason: Option<String>,
    /// message says the same in a sentence, at most 128 characters; left out when the call succeeded, and when more
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

/// Where a compensation or a confirm stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum CallState {
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
    /// Done by hand, as a person said.
    Resolved,
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
    /// direction of the call: Forward (the action), Compensate or Confirm.
    pub direction: Direction,
    /// attempt is its number, from 1.
    #[schemars(range(min = 1, max = 99_999))]
    pub attempt: i32,
    /// fence that the request carries.
    #[schemars(range(min = 0, max = 9_007_199_254_740_991_i64))]
    pub fence: i64,
    /// deadlineTime after which the attempt counts as unanswered; of a call with a location, the end of polling.
    #[schemars(with = "TimeSchema")]
    pub deadline_time: Timestamp,
    /// notBeforeTime of an attempt that waits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<TimeSchema>")]
    pub not_before_time: Option<Timestamp>,
    /// location of a call that is in progress: path and query, at the origin of the call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512))]
    pub location: Option<String>,
}
