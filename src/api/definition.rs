//! `SagaDefinition`: what a saga is.

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::condition::Condition;

/// What a saga is: steps, each an HTTP call with its compensation.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "sagas.dev",
    version = "v1alpha1",
    kind = "SagaDefinition",
    plural = "sagadefinitions",
    shortname = "sagadef",
    category = "saga",
    namespaced,
    status = "SagaDefinitionStatus",
    derive = "PartialEq"
)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SagaDefinitionSpec {
    /// description is for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// inputSchema is a JSON Schema (2020-12, no remote references) that the input of a run must satisfy; at most 32 KiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input_schema: Option<Map<String, Value>>,
    /// activeDeadlineSeconds counts from the start of a run; when it passes, the run compensates.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub active_deadline_seconds: Option<i32>,
    /// steps run one after the other, in this order.
    pub steps: Vec<Step>,
}

/// One step of a saga.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Step {
    /// name is an identifier, unique among the steps.
    pub name: String,
    /// role says what may be done about the step when the run cannot go on.
    #[serde(default)]
    pub role: Role,
    /// when is an expression that gives a bool; the step is Skipped when it is false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub when: Option<String>,
    /// action is the forward call.
    pub action: Call,
    /// compensation undoes the action; required for Compensatable, not allowed for ReadOnly.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compensation: Option<Call>,
    /// outputs are picked from the response to the action.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub outputs: Vec<Output>,
}

/// What may be done about a step when its run cannot go on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Role {
    /// It can be undone.
    #[default]
    Compensatable,
    /// It has no effect, so there is nothing to undo.
    ReadOnly,
}

/// One value picked from a response.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Output {
    /// name is an identifier, unique among the outputs of its step.
    pub name: String,
    /// value is a template over `response`, at most 1 KiB when evaluated.
    pub value: String,
}

/// One call of a participant.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Call {
    /// http is the request.
    pub http: HttpCall,
    /// retryPolicy says how often and when an attempt without a final answer is repeated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_policy: Option<RetryPolicy>,
    /// responses are rules that win over the default reading of an answer; the first match counts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub responses: Vec<ResponseRule>,
}

/// An HTTP request; strings may hold expressions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HttpCall {
    /// method of the request.
    #[serde(default)]
    pub method: Method,
    /// url whose scheme, host and port are literal; path and query may hold expressions.
    pub url: String,
    /// headers sent beside those of the operator.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<Header>,
    /// body is a JSON document, sent as `application/json`; at most 64 KiB.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "some_value")]
    pub body: Option<Value>,
    /// timeoutSeconds of one attempt, from connect to the last byte of the answer.
    #[serde(default = "HttpCall::default_timeout_seconds")]
    pub timeout_seconds: i32,
}

/// `body: null` is the JSON document `null`, not a missing body.
fn some_value<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}

impl HttpCall {
    /// 10 seconds.
    pub const fn default_timeout_seconds() -> i32 {
        10
    }
}

impl Default for HttpCall {
    fn default() -> Self {
        Self {
            method: Method::default(),
            url: String::new(),
            headers: Vec::new(),
            body: None,
            timeout_seconds: Self::default_timeout_seconds(),
        }
    }
}

/// The method of a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum Method {
    /// GET
    Get,
    /// POST
    #[default]
    Post,
    /// PUT
    Put,
    /// PATCH
    Patch,
    /// DELETE
    Delete,
}

impl Method {
    /// The method as it stands on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
        }
    }
}

/// A header with either a value or a reference to a Secret.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Header {
    /// name of the header, unique without regard to case.
    pub name: String,
    /// value is a template.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// valueFrom takes the value from elsewhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value_from: Option<HeaderSource>,
}

/// Where the value of a header comes from.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HeaderSource {
    /// secretKeyRef names a key of a Secret in the namespace of the run.
    pub secret_key_ref: SecretKeyRef,
}

/// A key of a Secret in the namespace of the run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SecretKeyRef {
    /// name of the Secret.
    pub name: String,
    /// key within the Secret.
    pub key: String,
}

/// How often and when an attempt without a final answer is repeated.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RetryPolicy {
    /// maxAttempts counts the first one too. Default 5, for compensations 200.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_attempts: Option<i32>,
    /// initialBackoffMilliseconds before the second attempt. Default 200.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub initial_backoff_milliseconds: Option<i32>,
    /// maxBackoffMilliseconds bounds the growing wait. Default 30000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_backoff_milliseconds: Option<i32>,
    /// backoffMultiplier grows the wait from one attempt to the next. Default 2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backoff_multiplier: Option<i32>,
    /// jitterPercent spreads the wait by that part up or down, the same for the same attempt. Default 20.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jitter_percent: Option<i32>,
}

/// A rule that reads an answer differently from the default.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ResponseRule {
    /// when is an expression over `response` that gives a bool.
    pub when: String,
    /// outcome of the attempt when the rule matches.
    pub outcome: RuleOutcome,
}

/// How a rule reads an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum RuleOutcome {
    /// The call is done.
    Succeeded,
    /// The participant refused, without effect.
    Rejected,
    /// Another attempt is needed.
    Retry,
}

/// What is known of a definition.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SagaDefinitionStatus {
    /// conditions: Ready and Stalled.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
    /// observedGeneration is the generation that the rest of the status was computed from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// currentRevision names the ControllerRevision of this generation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub current_revision: Option<String>,
    /// stepCount is the number of steps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step_count: Option<i32>,
    /// activeRuns is the number of unfinished runs of any revision.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub active_runs: Option<i32>,
}
