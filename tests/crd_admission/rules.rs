//! Every rule about a definition, and what keeps and breaks it.

use serde_json::{Value, json};

use super::common::strict::step;
use super::{ACCEPTED, Edit, edit};

/// Every rule: those about a step or its calls, then those about the list of steps.
pub(crate) fn rule_edits() -> Vec<(Edit, &'static str)> {
    let mut all = edits_of_a_step();
    all.extend(edits_of_the_list());
    all
}

/// For each rule an edit that keeps it and one that breaks it.
fn edits_of_a_step() -> Vec<(Edit, &'static str)> {
    let header = |header: Value| edit("/http/headers", json!([header]));
    let secret = json!({"secretKeyRef": {"name": "token", "key": "value"}});
    let backoff = |policy: Value| edit("/step/compensation/retryPolicy", policy);
    let no_undo = |role: &str| json!({"name": "look", "role": role, "action": {"http": {"url": "http://a/"}}});
    let with_role = |role: &str| {
        let mut step = step("look");
        step["role"] = json!(role);
        step
    };
    let outputs = |names: [&str; 2]| {
        edit("/step/outputs", json!(names.map(|name| json!({"name": name, "value": "${response.status}"}))))
    };
    let headers = |names: [&str; 2]| edit("/http/headers", json!(names.map(|name| json!({"name": name, "value": ""}))));
    let call = json!({"http": {"url": "http://a/"}});
    let pivot = || json!({"name": "pay", "role": "Pivot", "action": {"http": {"url": "http://a/"}}});
    let twice = "must not contain two items with the same `name`";
    let expression = "must be one expression in '${' and '}'";
    let keyword = "must not be a keyword of CEL: expressions name it";
    vec![
        (edit("/spec/steps", json!([step("a"), step("b")])), ACCEPTED),
        (
            edit("/spec/steps", json!([step("a"), step("b"), step("a")])),
            "spec.steps: Invalid value: must not contain two",
        ),
        (outputs(["a", "b"]), ACCEPTED),
        (outputs(["a", "a"]), twice),
        (edit("/step/name", json!("inStock")), ACCEPTED),
        (edit("/step/name", json!("in")), keyword),
        (edit("/step/outputs/0/name", json!("nullable")), ACCEPTED),
        (edit("/step/outputs/0/name", json!("null")), keyword),
        (edit("/step/when", json!("${true}")), ACCEPTED),
        (edit("/step/when", json!("true")), expression),
        (edit("/step/when", json!("${}")), expression),
        (edit("/step/action/responses/0/when", json!("response.status == 404")), expression),
        (edit("/spec/steps", json!([with_role("Compensatable")])), ACCEPTED),
        (
            edit("/spec/steps", json!([no_undo("Compensatable")])),
            "spec.steps[0].compensation: Required value: must be specified when `role` is 'Compensatable', which is the default",
        ),
        (edit("/spec/steps", json!([no_undo("ReadOnly")])), ACCEPTED),
        (
            edit("/spec/steps", json!([with_role("ReadOnly")])),
            "spec.steps[0].compensation: Forbidden: may not be specified unless `role` is 'Compensatable', which is the \
             default",
        ),
        (edit("/step/confirm", call.clone()), ACCEPTED),
        (
            edit(
                "/spec/steps",
                json!([pivot(), {"name": "look", "role": "ReadOnly", "action": call, "confirm": call}]),
            ),
            "spec.steps[1].confirm: Forbidden: may not be specified unless `role` is 'Compensatable', which is the default",
        ),
        (edit("/spec/steps", json!([no_undo("Pivot")])), ACCEPTED),
        (
            edit("/spec/steps", json!([{"name": "look", "role": "Pivot", "action": call, "when": "${true}"}])),
            "spec.steps[0].when: Forbidden: may not be specified when `role` is 'Pivot': the run needs its go/no-go",
        ),
        (headers(["X-A", "X-B"]), ACCEPTED),
        (
            headers(["X-A", "x-a"]),
            "must not contain two items with the same `name`, upper and lower case being the same",
        ),
        (header(json!({"name": "A", "valueFrom": secret})), ACCEPTED),
        (header(json!({"name": "A", "value": "a", "valueFrom": secret})), "must specify either `value` or `valueFrom`"),
        (header(json!({"name": "A"})), "must specify either `value` or `valueFrom`"),
        (header(json!({"name": "Saga", "value": ""})), ACCEPTED),
        (
            header(json!({"name": "Saga-Anything", "value": ""})),
            "must not be a header that the operator sets or that belongs to the connection",
        ),
        (backoff(json!({"initialBackoffMilliseconds": 500, "maxBackoffMilliseconds": 500})), ACCEPTED),
        (
            backoff(json!({"initialBackoffMilliseconds": 501, "maxBackoffMilliseconds": 500})),
            "must not be greater than",
        ),
        (
            backoff(json!({"initialBackoffMilliseconds": 30_001})),
            "spec.steps[0].compensation.retryPolicy.initialBackoffMilliseconds: Invalid value: must not be greater than \
             `maxBackoffMilliseconds`, which is 30000 when not specified",
        ),
        (backoff(json!({"maxBackoffMilliseconds": 199})), "must not be greater than"),
    ]
}

/// The order of steps, roles and dependencies.
fn edits_of_the_list() -> Vec<(Edit, &'static str)> {
    let steps = |list: &[(&str, &str, Option<&[&str]>)]| edit("/spec/steps", list.iter().map(placed).collect());
    let (c, p, r, o) = ("Compensatable", "Pivot", "Retriable", "ReadOnly");
    let order = "spec.steps: Invalid value: must be in the order 'Compensatable', 'Pivot', 'Retriable' by `role`, with \
                 'ReadOnly' anywhere, unless a step has `dependsOn`";
    let earlier = "spec.steps: Invalid value: must contain every step that a `dependsOn` names, and earlier than the step \
                   that names it";
    vec![
        (steps(&[("a", c, None), ("p", p, None)]), ACCEPTED),
        (
            steps(&[("p", p, None), ("q", p, None)]),
            "spec.steps: Invalid value: must not contain more than one step with `role` 'Pivot'",
        ),
        (steps(&[("p", p, None), ("r", r, None)]), ACCEPTED),
        (
            steps(&[("a", c, None), ("r", r, None)]),
            "spec.steps: Invalid value: must contain a step with `role` 'Pivot' when one is 'Retriable'",
        ),
        (steps(&[("o", o, None), ("a", c, None), ("p", p, None), ("n", o, None), ("r", r, None)]), ACCEPTED),
        (steps(&[("p", p, None), ("a", c, None)]), order),
        (steps(&[("r", r, None), ("p", p, None)]), order),
        (steps(&[("a", c, None), ("p", p, None), ("b", c, None)]), order),
        (steps(&[("r", r, Some(&[])), ("p", p, Some(&["r"]))]), ACCEPTED),
        (steps(&[("a", c, None), ("b", c, Some(&["a"])), ("c", c, Some(&["a", "b"]))]), ACCEPTED),
        (steps(&[("a", c, Some(&["b"])), ("b", c, None)]), earlier),
        (steps(&[("a", c, Some(&["a"]))]), earlier),
        (steps(&[("a", c, None), ("b", c, Some(&["a", "nobody"]))]), earlier),
        (steps(&[("a", c, None), ("b", c, Some(&["a", "a"]))]), "spec.steps[1].dependsOn[1]: Duplicate value: \"a\""),
    ]
}

/// A step of a role, with what it depends on.
fn placed((name, role, after): &(&str, &str, Option<&[&str]>)) -> Value {
    let mut placed = step(name);
    placed["role"] = json!(role);
    if *role != "Compensatable" {
        placed.as_object_mut().map(|members| members.remove("compensation"));
    }
    if let Some(after) = after {
        placed["dependsOn"] = json!(after);
    }
    placed
}
