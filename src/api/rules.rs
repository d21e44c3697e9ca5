//! The admission rules: what the API server refuses beyond types and bounds.
//!
//! Each is a CEL expression that must hold. A rule on the items of a list names the item in its error; a rule on a whole
//! list can name only the list. Every list and string that a rule reads has a bound, because the API server refuses a CRD
//! whose rules might cost too much. The functions of lists and strings used here exist in Kubernetes 1.33.

use schemars::Schema;
use serde_json::{Value, json};

use super::names::{CEL_KEYWORDS, header};

/// How the API server files an error. (`FieldValueDuplicate` is not here: it hides the message.)
#[derive(Clone, Copy)]
enum Reason {
    Invalid,
    Required,
    Forbidden,
}

impl Reason {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Invalid => "FieldValueInvalid",
            Self::Required => "FieldValueRequired",
            Self::Forbidden => "FieldValueForbidden",
        }
    }
}

/// The names of steps, and of the outputs of a step, differ.
pub(super) fn unique_names(schema: &mut Schema) {
    add(
        schema,
        json!({
            "rule": "self.all(a, self.exists_one(b, b.name == a.name))",
            "message": "must not contain two items with the same `name`",
            "reason": Reason::Invalid.as_str(),
        }),
    );
}

/// `steps.<name>` and `outputs.<name>` must parse.
pub(super) fn not_a_keyword(schema: &mut Schema) {
    add(
        schema,
        json!({
            "rule": format!("!(self in [{}])", quoted(CEL_KEYWORDS)),
            "message": "must not be a keyword of CEL: expressions name it",
            "reason": Reason::Invalid.as_str(),
        }),
    );
}

/// The whole string is one expression.
pub(super) fn one_expression(schema: &mut Schema) {
    add(
        schema,
        json!({
            "rule": "self.size() > 3 && self.startsWith('${') && self.endsWith('}')",
            "message": "must be one expression in '${' and '}'",
            "reason": Reason::Invalid.as_str(),
        }),
    );
}

/// What holds between steps. An error can name the list only.
pub(super) fn steps(schema: &mut Schema) {
    add(
        schema,
        json!({
            "rule": "self.filter(s, s.role == 'Pivot').size() <= 1",
            "message": "must not contain more than one step with `role` 'Pivot'",
            "reason": Reason::Invalid.as_str(),
        }),
    );
    add(
        schema,
        json!({
            "rule": "self.exists(s, s.role == 'Pivot') || !self.exists(s, s.role == 'Retriable')",
            "message": "must contain a step with `role` 'Pivot' when one is 'Retriable'",
            "reason": Reason::Invalid.as_str(),
        }),
    );
    add(
        schema,
        json!({
            "rule": "self.all(i, s, !has(s.dependsOn) || s.dependsOn.all(x, self.exists(j, t, j < i && t.name == x)))",
            "message": "must contain every step that a `dependsOn` names, and earlier than the step that names it",
            "reason": Reason::Invalid.as_str(),
        }),
    );
    add(
        schema,
        json!({
            "rule": "self.exists(s, has(s.dependsOn)) || self.filter(s, s.role != 'ReadOnly')\
                     .map(s, s.role == 'Compensatable' ? 0 : s.role == 'Pivot' ? 1 : 2).isSorted()",
            "message": "must be in the order 'Compensatable', 'Pivot', 'Retriable' by `role`, with 'ReadOnly' anywhere, \
                        unless a step has `dependsOn`",
            "reason": Reason::Invalid.as_str(),
        }),
    );
}

/// A step says how it is undone exactly when there is something to undo.
pub(super) fn step(schema: &mut Schema) {
    add(
        schema,
        json!({
            "rule": "self.role != 'Compensatable' || has(self.compensation)",
            "message": "must be specified when `role` is 'Compensatable', which is the default",
            "fieldPath": ".compensation",
            "reason": Reason::Required.as_str(),
        }),
    );
    add(
        schema,
        json!({
            "rule": "self.role == 'Compensatable' || !has(self.compensation)",
            "message": "may not be specified unless `role` is 'Compensatable', which is the default",
            "fieldPath": ".compensation",
            "reason": Reason::Forbidden.as_str(),
        }),
    );
    add(
        schema,
        json!({
            "rule": "self.role == 'Compensatable' || !has(self.confirm)",
            "message": "may not be specified unless `role` is 'Compensatable', which is the default",
            "fieldPath": ".confirm",
            "reason": Reason::Forbidden.as_str(),
        }),
    );
    add(
        schema,
        json!({
            "rule": "self.role != 'Pivot' || !has(self.when)",
            "message": "may not be specified when `role` is 'Pivot': the run needs its go/no-go",
            "fieldPath": ".when",
            "reason": Reason::Forbidden.as_str(),
        }),
    );
}

/// HTTP does not tell `X-Key` from `x-key`.
pub(super) fn unique_headers(schema: &mut Schema) {
    add(
        schema,
        json!({
            "rule": "self.map(h, h.name.lowerAscii()).all(n, self.exists_one(h, h.name.lowerAscii() == n))",
            "message": "must not contain two items with the same `name`, upper and lower case being the same",
            "reason": Reason::Invalid.as_str(),
        }),
    );
}

/// Some headers are the operator's, and some are the connection's.
pub(super) fn header_name(schema: &mut Schema) {
    add(
        schema,
        json!({
            "rule": format!(
                "!(self.lowerAscii() in [{}]) && !self.lowerAscii().startsWith('{}')",
                quoted(header::RESERVED),
                header::RESERVED_PREFIX,
            ),
            "message": "must not be a header that the operator sets or that belongs to the connection",
            "reason": Reason::Invalid.as_str(),
        }),
    );
}

/// A header has one source.
pub(super) fn header_source(schema: &mut Schema) {
    add(
        schema,
        json!({
            "rule": "has(self.value) != has(self.valueFrom)",
            "message": "must specify either `value` or `valueFrom`",
            "reason": Reason::Invalid.as_str(),
        }),
    );
}

/// The first wait cannot be longer than the longest.
pub(super) fn retry_policy(schema: &mut Schema) {
    add(
        schema,
        json!({
            "rule": "self.initialBackoffMilliseconds <= self.maxBackoffMilliseconds",
            "message": "must not be greater than `maxBackoffMilliseconds`, which is 30000 when not specified",
            "fieldPath": ".initialBackoffMilliseconds",
            "reason": Reason::Invalid.as_str(),
        }),
    );
}

/// Only the Pivot can be marked as failed: everything else is undone, or must succeed.
pub(super) fn intervention(schema: &mut Schema) {
    add(
        schema,
        json!({
            "rule": "self.action != 'MarkFailed' || self.direction == 'Forward'",
            "message": "must not be 'MarkFailed' unless `direction` is 'Forward'",
            "fieldPath": ".action",
            "reason": Reason::Invalid.as_str(),
        }),
    );
}

/// What was asked for stays what was asked for; only how it ends may still be chosen.
pub(super) fn run_spec(schema: &mut Schema) {
    add(schema, unchanged("self.definitionRef == oldSelf.definitionRef", ".definitionRef"));
    add(schema, unchanged("self.input == oldSelf.input", ".input"));
    add(
        schema,
        unchanged(
            "has(self.activeDeadlineSeconds) == has(oldSelf.activeDeadlineSeconds) && \
             (!has(self.activeDeadlineSeconds) || self.activeDeadlineSeconds == oldSelf.activeDeadlineSeconds)",
            ".activeDeadlineSeconds",
        ),
    );
    add(
        schema,
        json!({
            "rule": "!has(oldSelf.cancellation) || (has(self.cancellation) && \
                     (self.cancellation == oldSelf.cancellation || \
                     oldSelf.cancellation.policy == 'Compensate' && self.cancellation.policy == 'Abandon'))",
            "message": "must not be changed once specified, except that `policy` may go from 'Compensate' to 'Abandon'",
            "fieldPath": ".cancellation",
            "reason": Reason::Invalid.as_str(),
        }),
    );
    add(
        schema,
        json!({
            "rule": "!has(oldSelf.interventions) || (has(self.interventions) && \
                     self.interventions.size() >= oldSelf.interventions.size() && \
                     oldSelf.interventions.all(i, o, self.interventions[i] == o))",
            "message": "must only be added to, at the end: what was decided stays as it is",
            "fieldPath": ".interventions",
            "reason": Reason::Invalid.as_str(),
        }),
    );
    add(
        schema,
        json!({
            "rule": "oldSelf.hasValue() || !has(self.interventions)",
            "message": "may not be specified when the run is created: nothing can be stalled yet",
            "fieldPath": ".interventions",
            "optionalOldSelf": true,
            "reason": Reason::Forbidden.as_str(),
        }),
    );
}

fn unchanged(rule: &str, field_path: &str) -> Value {
    json!({
        "rule": rule,
        "message": "must not be changed: create another run instead",
        "fieldPath": field_path,
        "reason": Reason::Invalid.as_str(),
    })
}

fn add(schema: &mut Schema, rule: Value) {
    let rules = schema.ensure_object().entry("x-kubernetes-validations").or_insert_with(|| json!([]));
    if let Value::Array(rules) = rules {
        rules.push(rule);
    }
}

fn quoted(words: &[&str]) -> String {
    words.iter().map(|word| format!("'{word}'")).collect::<Vec<_>>().join(",")
}
