//! `SagaRun`: one execution of a saga.

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

pub use super::run_status::*;
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
    /// interventions are decisions of people about calls that are stalled, each judged once, in this order. Only to be
    /// added to, and not at creation; at most 32.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), transform = schema::by_id)]
    pub interventions: Vec<Intervention>,
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

/// A decision of a person about a stalled call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(transform = rules::intervention)]
pub struct Intervention {
    /// id is unique among the interventions of the run; at most 32 characters.
    #[schemars(length(min = 1, max = 32))]
    pub id: String,
    /// step whose call is stalled.
    #[schemars(length(min = 1, max = 63))]
    pub step: String,
    /// direction of the call: Forward (the action), Compensate or Confirm.
    pub direction: Direction,
    /// action to take. Retry: a fresh set of attempts. MarkSucceeded: somebody did by hand what the call was to do.
    /// MarkFailed: the action of the Pivot certainly has no effect, and the run compensates.
    pub action: InterventionAction,
    /// reason is for people; 1 to 1024 characters.
    #[schemars(length(min = 1, max = 1024))]
    pub reason: String,
    /// requestedBy names the person who decides; 1 to 253 characters.
    #[schemars(length(min = 1, max = 253))]
    pub requested_by: String,
}

/// What a person decides about a stalled call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum InterventionAction {
    /// A fresh set of attempts.
    Retry,
    /// It was done by hand.
    MarkSucceeded,
    /// It certainly has no effect; for the Pivot only.
    MarkFailed,
}

impl InterventionAction {
    /// As it stands in the spec.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Retry => "Retry",
            Self::MarkSucceeded => "MarkSucceeded",
            Self::MarkFailed => "MarkFailed",
        }
    }
}

/// Which of a step's calls is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub enum Direction {
    /// The action.
    Forward,
    /// The compensation.
    Compensate,
    /// The confirm.
    Confirm,
}

impl Direction {
    /// All directions.
    pub const ALL: [Self; 3] = [Self::Forward, Self::Compensate, Self::Confirm];

    /// The field of a step that holds the call.
    pub const fn field(self) -> &'static str {
        match self {
            Self::Forward => "action",
            Self::Compensate => "compensation",
            Self::Confirm => "confirm",
        }
    }

    /// As it stands in keys and headers.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Forward => "forward",
            Self::Compensate => "compensate",
            Self::Confirm => "confirm",
        }
    }
}
