//! `SagaDefinition`: what a saga is.

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::condition::Condition;
use super::run::Direction;
use super::{rules, schema};

/// What a saga is: steps, each an HTTP call with its compensation.
#[allow(clippy::duplicated_attributes)] // columns of the same type; can go when clippy looks into the groups
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "sagas.dev",
    version = "v1alpha1",
    kind = "SagaDefinition",
    plural = "sagadefinitions",
    shortname = "sagadef",
    category = "saga",
    namespaced,
    doc = "SagaDefinition says what a saga is: a list of steps, each an HTTP call with the call that undoes it. A SagaRun executes it.",
    status = "SagaDefinitionStatus",
    derive = "PartialEq",
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].status",
        description = "Whether the definition can be run"
    ),
    printcolumn(
        name = "Reason",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].reason",
        description = "Why it can or cannot be run"
    ),
    printcolumn(name = "Steps", type_ = "integer", json_path = ".status.stepCount", description = "Number of steps"),
    printcolumn(
        name = "Active",
        type_ = "integer",
        json_path = ".status.activeRuns",
        description = "Number of unfinished runs"
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(description = "spec says what the saga is. Runs keep the revision of it that they started with.")]
pub struct SagaDefinitionSpec {
    /// description is for people; at most 1024 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub description: Option<String>,
    /// inputSchema is a JSON Schema (2020-12, no remote references) that the input of a run must satisfy; at most 32 KiB.
    /// Without one every input is accepted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::any_object")]
    pub input_schema: Option<Map<String, Value>>,
    /// activeDeadlineSeconds counts from the start of a run; when it passes before the last step is done, the run
    /// compensates. 1 to 2592000 (30 days); without it a run takes as long as its attempts do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 2_592_000))]
    pub active_deadline_seconds: Option<i32>,
    /// compensationPolicy says in which order steps are undone, and what happens when one cannot be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compensation_policy: Option<CompensationPolicy>,
    /// steps run one after the other, in this order, unless they say what they depend on; they are undone in the reverse
    /// order. 1 to 64, with different names.
    #[schemars(
        length(min = 1, max = 64),
        transform = schema::atomic,
        transform = rules::unique_names,
        transform = rules::steps
    )]
    pub steps: Vec<Step>,
    /// outputs of the run, evaluated when it succeeds; one that fails is left out. At most 32, with different names;
    /// 16 KiB together with those of the steps.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), transform = schema::atomic, transform = rules::unique_names)]
    pub outputs: Vec<Output>,
}

/// How a run is undone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CompensationPolicy {
    /// order in which steps are undone. Reverse (the default): a step when every step that depends on it is undone.
    /// Parallel: in groups of falling `compensation.priority`, whatever depends on what.
    #[serde(default)]
    pub order: CompensationOrder,
    /// onExhausted says what happens to the others while a compensation needs a person. Halt (the default): none is begun.
    /// Continue: they go on as if it were done.
    #[serde(default)]
    pub on_exhausted: OnExhausted,
}

/// The order of compensations.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum CompensationOrder {
    /// The reverse of the dependencies.
    #[default]
    Reverse,
    /// Side by side, in groups of falling priority.
    Parallel,
}

/// What becomes of the other compensations while one is stalled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum OnExhausted {
    /// None is begun.
    #[default]
    Halt,
    /// They go on.
    Continue,
}

/// One step of a saga.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(transform = rules::step)]
pub struct Step {
    /// name is an identifier, unique among the steps: expressions write `steps.<name>.outputs.<output>`. A lower-case
    /// letter, then letters and digits, at most 63; not a keyword of CEL.
    #[schemars(length(min = 1, max = 63), regex(pattern = "^[a-z][a-zA-Z0-9]{0,62}$"), transform = rules::not_a_keyword)]
    pub name: String,
    /// role says what may be done about the step when the run cannot go on. Compensatable (the default): `compensation`
    /// undoes it. Pivot: the go/no-go; once it succeeded the run goes forward, whatever happens. Retriable: comes after the
    /// Pivot and must succeed in the end. ReadOnly: it has no effect, so there is nothing to undo.
    #[serde(default)]
    pub role: Role,
    /// dependsOn names steps, earlier in the list, that must be done before this one begins. When absent, the step before
    /// it in the list; an empty list: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Vec<StepName>>", length(max = 64), transform = schema::set)]
    pub depends_on: Option<Vec<String>>,
    /// when is an expression in `${` and `}` that gives a bool, evaluated when the step's turn comes; false: the step is
    /// skipped. Not allowed on the Pivot. At most 1024 characters between the braces.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1027), transform = rules::one_expression)]
    pub when: Option<String>,
    /// action is the call that does the step.
    pub action: Call,
    /// compensation is the call that undoes the action; required when `role` is Compensatable, not allowed otherwise. It
    /// is also made when nobody knows whether the action took effect, so it must succeed when there is nothing to undo.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compensation: Option<Compensation>,
    /// confirm is the call that makes the action final once the run can no longer fail (Try-Confirm/Cancel: `action` tries,
    /// `compensation` cancels). Only allowed when `role` is Compensatable; like a compensation, it must succeed in the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confirm: Option<Call>,
    /// outputs are values picked from the response to the action, for the expressions of later steps and of the
    /// compensation. At most 16, with different names; 16 KiB for all steps of a run together.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), transform = schema::atomic, transform = rules::unique_names)]
    pub outputs: Vec<Output>,
}

impl Step {
    /// The calls that the step has.
    pub fn calls(&self) -> impl Iterator<Item = (Direction, &Call)> {
        let compensation = self.compensation.as_ref().map(|compensation| (Direction::Compensate, &compensation.call));
        let confirm = self.confirm.as_ref().map(|call| (Direction::Confirm, call));
        std::iter::once((Direction::Forward, &self.action)).chain(compensation).chain(confirm)
    }
}

/// What may be done about a step when its run cannot go on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Role {
    /// It can be undone.
    #[default]
    Compensatable,
    /// The go/no-go of the run.
    Pivot,
    /// After the Pivot; must succeed in the end.
    Retriable,
    /// It has no effect, so there is nothing to undo.
    ReadOnly,
}

/// A name of a step, where another step refers to it.
#[derive(JsonSchema)]
#[schemars(transparent)]
struct StepName(
    #[schemars(length(min = 1, max = 63))]
    #[allow(dead_code)]
    String,
);

/// A call that undoes an action.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Compensation {
    /// The request and how its answers are read.
    #[serde(flatten)]
    pub call: Call,
    /// priority among compensations that are due at the same time, and the group in which the step is undone when
    /// `compensationPolicy.order` is Parallel: larger ones first. Default 0.
    #[serde(default, skip_serializing_if = "is_zero")]
    #[schemars(range(min = i32::MIN, max = i32::MAX))]
    pub priority: i32,
}

impl From<Call> for Compensation {
    fn from(call: Call) -> Self {
        Self { call, priority: 0 }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
const fn is_zero(number: &i32) -> bool {
    *number == 0
}

/// One value picked from a response.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Output {
    /// name is an identifier, unique among the outputs of its step. A lower-case letter, then letters and digits, at most
    /// 63; not a keyword of CEL.
    #[schemars(length(min = 1, max = 63), regex(pattern = "^[a-z][a-zA-Z0-9]{0,62}$"), transform = rules::not_a_keyword)]
    pub name: String,
    /// value is a template, such as `${response.body.id}`; it may use `response.status`, `response.headers` and
    /// `response.body`. At most 4096 characters, and 1 KiB when evaluated.
    #[schemars(length(min = 1, max = 4096))]
    pub value: String,
}

/// One call of a participant.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Call {
    /// http is the request.
    pub http: HttpCall,
    /// retryPolicy says how often and when an attempt without a final answer is repeated. By default with waits that
    /// double from 200 ms to 30 s: 5 attempts for an action, 200 for a compensation, a confirm and the action of a
    /// Retriable step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_policy: Option<RetryPolicy>,
    /// responses are rules that win over the default reading of an answer (2xx succeeded; 408, 425, 429 and 5xx another
    /// attempt; 3xx and other 4xx rejected); the first that matches counts. At most 16. They read the answers to polls, too.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), transform = schema::atomic)]
    pub responses: Vec<ResponseRule>,
    /// polling says how a call is followed whose answer was 202 with a `Location`, or that a rule calls InProgress.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub polling: Option<Polling>,
}

/// How a call is followed that is still in progress.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Polling {
    /// intervalSeconds between two looks at the `Location`, where the participant names no other by `Retry-After` (which
    /// counts up to ten times this). 1 to 3600, default 2.
    #[serde(default = "Polling::default_interval_seconds")]
    #[schemars(range(min = 1, max = 3600))]
    pub interval_seconds: i32,
    /// timeoutSeconds after which the attempt counts as unanswered. 1 to 604800 (7 days), default 3600.
    #[serde(default = "Polling::default_timeout_seconds")]
    #[schemars(range(min = 1, max = 604_800))]
    pub timeout_seconds: i32,
}

impl Polling {
    /// 2 seconds.
    pub const fn default_interval_seconds() -> i32 {
        2
    }

    /// 1 hour.
    pub const fn default_timeout_seconds() -> i32 {
        3600
    }
}

impl Default for Polling {
    fn default() -> Self {
        Self { interval_seconds: Self::default_interval_seconds(), timeout_seconds: Self::default_timeout_seconds() }
    }
}

/// An HTTP request; strings may hold expressions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HttpCall {
    /// method of the request: GET, POST (the default), PUT, PATCH or DELETE.
    #[serde(default)]
    pub method: Method,
    /// url that is called, such as `http://stock.shop.svc/orders/${input.order}`. Scheme (http or https), host and port
    /// are literal; path and query may hold expressions, whose values are percent-encoded. 8 to 2048 characters, without
    /// user information.
    #[schemars(length(min = 8, max = 2048), regex(pattern = r"^https?://[^/?#@\\\s${}]+([/?#].*)?$"))]
    pub url: String,
    /// headers sent beside those of the operator (`Idempotency-Key`, `Saga-*`, `traceparent`), which may not be set. At
    /// most 32, with different names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), transform = schema::atomic, transform = rules::unique_headers)]
    pub headers: Vec<Header>,
    /// body is a JSON document whose strings may hold expressions; sent as `application/json`; at most 64 KiB. Nothing is
    /// sent when it is absent.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "some_value")]
    #[schemars(schema_with = "schema::any_value")]
    pub body: Option<Value>,
    /// timeoutSeconds of one attempt, from connect to the last byte of the answer. 1 to 3600, default 10.
    #[serde(default = "HttpCall::default_timeout_seconds")]
    #[schemars(range(min = 1, max = 3600))]
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
#[schemars(transform = rules::header_source)]
pub struct Header {
    /// name of the header, unique without regard to case. 1 to 64 letters, digits and ``!#$%&'*+-.^_`|~``; not one that
    /// the operator sets (`Idempotency-Key`, `Content-Type`, `Saga-*`, `traceparent`, ...) or that belongs to the
    /// connection (`Host`, `Content-Length`, `Connection`, ...).
    #[schemars(
        length(min = 1, max = 64),
        regex(pattern = "^[!#$%&'*+.^_`|~0-9A-Za-z-]+$"),
        transform = rules::header_name
    )]
    pub name: String,
    /// value is a template, such as `Bearer ${input.token}`; at most 4096 characters. Either this or `valueFrom`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 4096))]
    pub value: Option<String>,
    /// valueFrom takes the value from a Secret when the request is sent. Either this or `value`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value_from: Option<HeaderSource>,
}

/// Where the value of a header comes from.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HeaderSource {
    /// secretKeyRef names a key of a Secret in the namespace of the run. A definition may name 8 different Secrets.
    pub secret_key_ref: SecretKeyRef,
}

/// A key of a Secret in the namespace of the run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SecretKeyRef {
    /// name of the Secret; at most 253 characters.
    #[schemars(length(min = 1, max = 253), regex(pattern = "^[a-z0-9]([-.a-z0-9]*[a-z0-9])?$"))]
    pub name: String,
    /// key within the Secret; at most 253 letters, digits, `-`, `_` and `.`.
    #[schemars(length(min = 1, max = 253), regex(pattern = "^[-._a-zA-Z0-9]+$"))]
    pub key: String,
}

/// How often and when an attempt without a final answer is repeated.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(transform = rules::retry_policy)]
pub struct RetryPolicy {
    /// maxAttempts is the number of attempts, the first one included. 1 to 1000; when absent 5 for an action and 200 for
    /// a compensation, a confirm and the action of a Retriable step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000))]
    pub max_attempts: Option<i32>,
    /// initialBackoffMilliseconds is the wait before the second attempt. 1 to 3600000 (1 hour), default 200; not greater
    /// than maxBackoffMilliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 3_600_000), transform = schema::default(Self::INITIAL_BACKOFF_MILLISECONDS))]
    pub initial_backoff_milliseconds: Option<i32>,
    /// maxBackoffMilliseconds bounds the growing wait. 1 to 86400000 (1 day), default 30000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 86_400_000), transform = schema::default(Self::MAX_BACKOFF_MILLISECONDS))]
    pub max_backoff_milliseconds: Option<i32>,
    /// backoffMultiplier is what the wait is multiplied by from one attempt to the next. 1 (the wait stays the same) to 10,
    /// default 2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10), transform = schema::default(Self::BACKOFF_MULTIPLIER))]
    pub backoff_multiplier: Option<i32>,
    /// jitterPercent is how far a wait is moved up or down at most, in percent of itself, so that runs that failed together
    /// do not come back together; always the same for the same attempt. 0 to 100, default 20.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 100), transform = schema::default(Self::JITTER_PERCENT))]
    pub jitter_percent: Option<i32>,
}

impl RetryPolicy {
    /// Where `initialBackoffMilliseconds` is not specified.
    pub const INITIAL_BACKOFF_MILLISECONDS: i32 = 200;
    /// Where `maxBackoffMilliseconds` is not specified.
    pub const MAX_BACKOFF_MILLISECONDS: i32 = 30_000;
    /// Where `backoffMultiplier` is not specified.
    pub const BACKOFF_MULTIPLIER: i32 = 2;
    /// Where `jitterPercent` is not specified.
    pub const JITTER_PERCENT: i32 = 20;
}

/// A rule that reads an answer differently from the default.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ResponseRule {
    /// when is an expression in `${` and `}` that gives a bool, such as `${response.status == 404}`. At most 1024
    /// characters between the braces.
    #[schemars(length(min = 1, max = 1027), transform = rules::one_expression)]
    pub when: String,
    /// outcome of the attempt when the rule matches. Succeeded: the call is done. Rejected: the participant refused and
    /// nothing took effect. Retry: another attempt is needed. InProgress: ask at the `Location` of the answer.
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
    /// The participant works on it: ask again at its `Location`.
    InProgress,
}

/// What is known of a definition.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(description = "status is what the operator found out about the definition.")]
pub struct SagaDefinitionStatus {
    /// conditions are Ready (it can be run) and Stalled (it cannot until somebody changes it).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), transform = schema::by_type)]
    pub conditions: Vec<Condition>,
    /// observedGeneration is the generation of the spec that the rest of the status was computed from; -1 before the first
    /// look.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = -1, max = 9_007_199_254_740_991_i64))]
    pub observed_generation: Option<i64>,
    /// currentRevision names the ControllerRevision that holds this generation of the spec; new runs use it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub current_revision: Option<String>,
    /// stepCount is the number of steps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 64))]
    pub step_count: Option<i32>,
    /// activeRuns is the number of unfinished runs of any revision.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 2_147_483_647))]
    pub active_runs: Option<i32>,
}
