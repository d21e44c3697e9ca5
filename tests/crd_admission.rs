//! What a real API server refuses, and with which words: every bound and every rule of the CRDs.
//!
//! Only an API server proves a CRD: it alone computes what the rules may cost, and it alone writes the errors.

mod common;
#[path = "crd_admission/rules.rs"]
mod rules;

use std::collections::BTreeSet;

use common::strict::{Fate, create, definition, errors, run, step};
use common::{cluster, strict};
use kube::Client;
use rules::rule_edits;
use saga_operator::api::names::{CEL_KEYWORDS, header};
use saga_operator::api::schema::crds;
use serde_json::{Value, json};

/// An edit of an otherwise good object: the value is put where the JSON pointer says. `/step` stands for the first step,
/// `/http` for the request of its action.
struct Edit {
    at: &'static str,
    value: Value,
}

fn edit(at: &'static str, value: Value) -> Edit {
    Edit { at, value }
}

fn edited(mut object: Value, edit: &Edit) -> Value {
    let pointer = match edit.at.split_once('/').expect("a pointer has a slash").1.split_once('/') {
        Some(("http", rest)) => format!("/spec/steps/0/action/http/{rest}"),
        Some(("step", rest)) => format!("/spec/steps/0/{rest}"),
        Some(_) | None => edit.at.to_owned(),
    };
    let (parent, last) = pointer.rsplit_once('/').expect("a pointer has a slash");
    object.pointer_mut(parent).expect("the parent of the edited field exists")[last] = edit.value.clone();
    object
}

/// A definition in which every field that has bounds is there to be edited.
fn full_definition() -> Value {
    let mut object = definition("edited");
    let call = json!({
        "http": {
            "method": "PUT",
            "url": "https://stock.shop.svc:8443/reservations/${input.order}?q=${input.q}",
            "headers": [{"name": "X-Tenant", "value": "${input.tenant}"}],
            "body": {"order": "${input.order}", "lines": [1, null, {"deep": true}]},
            "timeoutSeconds": 5,
        },
        "retryPolicy": {"maxAttempts": 3, "initialBackoffMilliseconds": 100},
        "responses": [{"when": "${response.status == 404}", "outcome": "Rejected"}],
    });
    object["spec"]["description"] = json!("an order");
    object["spec"]["inputSchema"] = json!({"type": "object", "properties": {"order": {"type": "string"}}});
    object["spec"]["activeDeadlineSeconds"] = json!(600);
    object["spec"]["steps"][0] = json!({
        "name": "reserve",
        "when": "${input.q != ''}",
        "action": call,
        "compensation": call,
        "confirm": call,
        "outputs": [{"name": "id", "value": "${response.body.id}"}],
    });
    object
}

fn full_run() -> Value {
    let mut object = run("edited");
    object["spec"] = json!({
        "definitionRef": {"name": "order"},
        "input": {"order": "4711", "nothing": null, "lines": [{"sku": "a", "count": 2}]},
        "activeDeadlineSeconds": 60,
        "suspend": true,
        "cancellation": {"policy": "Compensate", "reason": "the customer changed their mind"},
        "deletionPolicy": "Abandon",
        "ttlSecondsAfterFinished": 0,
    });
    object
}

/// A client, and a namespace to check objects in.
async fn server() -> (Client, String) {
    let client = cluster::admin().await;
    cluster::install_crds(&client).await;
    let namespace = cluster::namespace(&client, "crd-admission").await;
    (client, namespace)
}

/// Checks each edit of the object and returns what is wrong with the answers: an empty list is a pass.
async fn unexpected(object: &Value, edits: Vec<(Edit, &str)>) -> Vec<String> {
    let (client, namespace) = server().await;
    let mut unexpected = Vec::new();
    for (edit, expected) in edits {
        let answer = create(&client, &namespace, &edited(object.clone(), &edit), Fate::Checked).await;
        let shown: String = edit.value.to_string().chars().take(80).collect();
        match answer {
            Err(refusal) if !expected.is_empty() && errors(&refusal).contains(expected) => {}
            Ok(_) if expected.is_empty() => {}
            Err(refusal) => {
                unexpected.push(format!("{} = {shown}: wanted '{expected}', got '{}'", edit.at, errors(&refusal)))
            }
            Ok(_) => unexpected.push(format!("{} = {shown}: wanted '{expected}', got accepted", edit.at)),
        }
    }
    cluster::leave_namespace(&client, &namespace).await;
    unexpected
}

const ACCEPTED: &str = "";

#[tokio::test]
async fn the_full_definition_and_the_full_run_are_accepted() {
    let (client, namespace) = server().await;
    for object in [full_definition(), full_run(), definition("small"), run("small")] {
        let answer = create(&client, &namespace, &object, Fate::Checked).await;
        assert!(answer.is_ok(), "{}", answer.err().map(|refusal| errors(&refusal)).unwrap_or_default());
    }
    cluster::leave_namespace(&client, &namespace).await;
}

#[tokio::test]
async fn unknown_fields_are_refused_wherever_they_stand() {
    let definitions = vec![
        (edit("/spec/stepz", json!([])), "unknown field \"spec.stepz\""),
        (edit("/step/dependson", json!([])), "unknown field \"spec.steps[0].dependson\""),
        (edit("/step/action/timeout", json!(1)), "unknown field \"spec.steps[0].action.timeout\""),
        (edit("/http/uri", json!("")), "unknown field \"spec.steps[0].action.http.uri\""),
        (
            edit("/step/compensation/retryPolicy/retries", json!(1)),
            "unknown field \"spec.steps[0].compensation.retryPolicy.retries\"",
        ),
        (edit("/step/outputs/0/from", json!("")), "unknown field \"spec.steps[0].outputs[0].from\""),
    ];
    let runs = vec![
        (edit("/spec/inputs", json!({})), "unknown field \"spec.inputs\""),
        (edit("/spec/definitionRef/namespace", json!("x")), "unknown field \"spec.definitionRef.namespace\""),
        (edit("/spec/input/anything", json!({"goes": [null]})), ACCEPTED),
    ];
    assert_eq!(unexpected(&full_definition(), definitions).await, Vec::<String>::new());
    assert_eq!(unexpected(&full_run(), runs).await, Vec::<String>::new());
}

#[tokio::test]
async fn every_bound_of_a_definition_holds_and_the_error_names_the_field() {
    let steps = |count: usize| json!((0..count).map(|index| step(&format!("s{index}"))).collect::<Vec<_>>());
    let headers =
        |count: usize| json!((0..count).map(|n| json!({"name": format!("H{n}"), "value": ""})).collect::<Vec<_>>());
    let rules = |count: usize| json!(vec![json!({"when": "${true}", "outcome": "Retry"}); count]);
    let outputs =
        |count: usize| json!((0..count).map(|n| json!({"name": format!("o{n}"), "value": "${1}"})).collect::<Vec<_>>());
    let url = |length: usize| json!(format!("http://a/{}", "b".repeat(length - 9)));
    let expression = |length: usize| json!(format!("${{{}}}", "a".repeat(length)));
    let edits = vec![
        (edit("/metadata/name", json!("a".repeat(63))), ACCEPTED),
        (edit("/metadata/name", json!("a".repeat(64))), "metadata.name: Too long"),
        (edit("/spec/description", json!("ä".repeat(1024))), ACCEPTED),
        (edit("/spec/description", json!("a".repeat(1025))), "spec.description: Too long"),
        (edit("/spec/inputSchema", json!("object")), "spec.inputSchema: Invalid value: \"string\""),
        (edit("/spec/activeDeadlineSeconds", json!(0)), "spec.activeDeadlineSeconds: Invalid value: 0"),
        (edit("/spec/activeDeadlineSeconds", json!(2_592_000)), ACCEPTED),
        (edit("/spec/activeDeadlineSeconds", json!(2_592_001)), "spec.activeDeadlineSeconds: Invalid value: 2592001"),
        (edit("/spec/activeDeadlineSeconds", json!("10m")), "spec.activeDeadlineSeconds: Invalid value: \"string\""),
        (edit("/spec/steps", json!([])), "spec.steps: Invalid value: 0"),
        (edit("/spec/steps", json!(null)), "spec.steps: Required value"),
        (edit("/spec/steps", json!({})), "spec.steps: Invalid value: \"object\""),
        (edit("/spec/steps", steps(64)), ACCEPTED),
        (edit("/spec/steps", steps(65)), "spec.steps: Too many: 65: must have at most 64 items"),
        (edit("/step/name", json!("a".repeat(63))), ACCEPTED),
        (edit("/step/name", json!("a".repeat(64))), "spec.steps[0].name: Too long"),
        (edit("/step/name", json!("")), "spec.steps[0].name: Invalid value: \"\""),
        (edit("/step/name", json!("Reserve")), "spec.steps[0].name: Invalid value: \"Reserve\""),
        (edit("/step/name", json!("reserve-stock")), "spec.steps[0].name: Invalid value: \"reserve-stock\""),
        (edit("/step/role", json!("compensatable")), "spec.steps[0].role: Unsupported value: \"compensatable\""),
        (edit("/step/when", expression(1024)), ACCEPTED),
        (edit("/step/when", expression(1025)), "spec.steps[0].when: Too long"),
        (edit("/step/action", json!({})), "spec.steps[0].action.http: Required value"),
        (edit("/step/outputs", outputs(16)), ACCEPTED),
        (edit("/step/outputs", outputs(17)), "spec.steps[0].outputs: Too many"),
        (edit("/step/outputs/0/name", json!("Id")), "spec.steps[0].outputs[0].name: Invalid value"),
        (edit("/step/outputs/0/value", json!("")), "spec.steps[0].outputs[0].value: Invalid value"),
        (edit("/step/outputs/0/value", json!("a".repeat(4096))), ACCEPTED),
        (edit("/step/outputs/0/value", json!("a".repeat(4097))), "spec.steps[0].outputs[0].value: Too long"),
        (edit("/step/action/responses", rules(16)), ACCEPTED),
        (edit("/step/action/responses", rules(17)), "spec.steps[0].action.responses: Too many"),
        (
            edit("/step/action/responses/0/outcome", json!("Ignored")),
            "spec.steps[0].action.responses[0].outcome: Unsupported value",
        ),
        (edit("/step/action/responses/0/when", expression(1025)), "spec.steps[0].action.responses[0].when: Too long"),
        (edit("/http/method", json!("get")), "spec.steps[0].action.http.method: Unsupported value"),
        (edit("/http/method", json!("HEAD")), "spec.steps[0].action.http.method: Unsupported value"),
        (edit("/http/url", url(2048)), ACCEPTED),
        (edit("/http/url", url(2049)), "spec.steps[0].action.http.url: Too long"),
        (edit("/http/timeoutSeconds", json!(0)), "http.timeoutSeconds: Invalid value: 0"),
        (edit("/http/timeoutSeconds", json!(3600)), ACCEPTED),
        (edit("/http/timeoutSeconds", json!(3601)), "http.timeoutSeconds: Invalid value: 3601"),
        (edit("/http/timeoutSeconds", json!(1.5)), "http.timeoutSeconds: Invalid value: \"float64\""),
        (edit("/http/headers", headers(32)), ACCEPTED),
        (edit("/http/headers", headers(33)), "spec.steps[0].action.http.headers: Too many"),
        (edit("/http/headers/0/name", json!("")), "http.headers[0].name: Invalid value: \"\""),
        (edit("/http/headers/0/name", json!("a".repeat(64))), ACCEPTED),
        (edit("/http/headers/0/name", json!("a".repeat(65))), "http.headers[0].name: Too long"),
        (edit("/http/headers/0/name", json!("X Y")), "http.headers[0].name: Invalid value: \"X Y\""),
        (edit("/http/headers/0/name", json!("X:Y")), "http.headers[0].name: Invalid value: \"X:Y\""),
        (edit("/http/headers/0/value", json!("a".repeat(4096))), ACCEPTED),
        (edit("/http/headers/0/value", json!("a".repeat(4097))), "http.headers[0].value: Too long"),
        (edit("/http/body", json!(null)), ACCEPTED),
        (edit("/http/body", json!([1, "a", null, {"b": 0.5}])), ACCEPTED),
        (edit("/http/body", json!("${input}")), ACCEPTED),
        (edit("/step/action/retryPolicy/maxAttempts", json!(0)), "retryPolicy.maxAttempts: Invalid value: 0"),
        (edit("/step/action/retryPolicy/maxAttempts", json!(1000)), ACCEPTED),
        (edit("/step/action/retryPolicy/maxAttempts", json!(1001)), "retryPolicy.maxAttempts: Invalid value: 1001"),
        (
            edit("/step/action/retryPolicy", json!({"initialBackoffMilliseconds": 0})),
            "retryPolicy.initialBackoffMilliseconds: Invalid value: 0",
        ),
        (
            edit(
                "/step/action/retryPolicy",
                json!({"initialBackoffMilliseconds": 3_600_000, "maxBackoffMilliseconds": 86_400_000}),
            ),
            ACCEPTED,
        ),
        (
            edit(
                "/step/action/retryPolicy",
                json!({"initialBackoffMilliseconds": 3_600_001, "maxBackoffMilliseconds": 86_400_000}),
            ),
            "retryPolicy.initialBackoffMilliseconds: Invalid value: 3600001",
        ),
        (
            edit("/step/action/retryPolicy", json!({"maxBackoffMilliseconds": 86_400_001})),
            "retryPolicy.maxBackoffMilliseconds: Invalid value: 86400001",
        ),
        (
            edit("/step/action/retryPolicy", json!({"backoffMultiplier": 0})),
            "retryPolicy.backoffMultiplier: Invalid value: 0",
        ),
        (
            edit("/step/action/retryPolicy", json!({"backoffMultiplier": 11})),
            "retryPolicy.backoffMultiplier: Invalid value: 11",
        ),
        (
            edit("/step/action/retryPolicy", json!({"jitterPercent": -1})),
            "retryPolicy.jitterPercent: Invalid value: -1",
        ),
        (
            edit("/step/action/retryPolicy", json!({"jitterPercent": 101})),
            "retryPolicy.jitterPercent: Invalid value: 101",
        ),
        (edit("/step/action/retryPolicy", json!({"jitterPercent": 0, "backoffMultiplier": 1})), ACCEPTED),
    ];
    assert_eq!(unexpected(&full_definition(), edits).await, Vec::<String>::new());
}

#[tokio::test]
async fn every_bound_of_branches_polling_and_undoing_holds_and_the_error_names_the_field() {
    let names = |count: usize| json!((0..count).map(|n| format!("s{n}")).collect::<Vec<_>>());
    let outputs =
        |count: usize| json!((0..count).map(|n| json!({"name": format!("o{n}"), "value": "${1}"})).collect::<Vec<_>>());
    let polling = |policy: Value| edit("/step/action/polling", policy);
    let edits = vec![
        (edit("/step/dependsOn", json!([])), ACCEPTED),
        (edit("/step/dependsOn", json!("reserve")), "spec.steps[0].dependsOn: Invalid value: \"string\""),
        (edit("/step/dependsOn", names(65)), "spec.steps[0].dependsOn: Too many: 65: must have at most 64 items"),
        (edit("/step/dependsOn", json!([""])), "spec.steps[0].dependsOn[0]: Invalid value: \"\""),
        (edit("/step/dependsOn", json!(["a".repeat(64)])), "spec.steps[0].dependsOn[0]: Too long"),
        (polling(json!({})), ACCEPTED),
        (polling(json!({"intervalSeconds": 3600, "timeoutSeconds": 604_800})), ACCEPTED),
        (polling(json!({"intervalSeconds": 0})), "action.polling.intervalSeconds: Invalid value: 0"),
        (polling(json!({"intervalSeconds": 3601})), "action.polling.intervalSeconds: Invalid value: 3601"),
        (polling(json!({"timeoutSeconds": 0})), "action.polling.timeoutSeconds: Invalid value: 0"),
        (polling(json!({"timeoutSeconds": 604_801})), "action.polling.timeoutSeconds: Invalid value: 604801"),
        (edit("/step/compensation/polling", json!({"intervalSeconds": 0})), "compensation.polling.intervalSeconds"),
        (edit("/step/confirm/polling", json!({"intervalSeconds": 0})), "confirm.polling.intervalSeconds"),
        (edit("/step/confirm/http/timeoutSeconds", json!(0)), "confirm.http.timeoutSeconds: Invalid value: 0"),
        (edit("/step/action/responses/0/outcome", json!("InProgress")), ACCEPTED),
        (edit("/step/compensation/priority", json!(i32::MIN)), ACCEPTED),
        (edit("/step/compensation/priority", json!(i32::MAX)), ACCEPTED),
        (edit("/step/compensation/priority", json!(2_147_483_648_i64)), "compensation.priority: Invalid value"),
        (edit("/step/action/priority", json!(1)), "unknown field \"spec.steps[0].action.priority\""),
        (edit("/step/confirm/priority", json!(1)), "unknown field \"spec.steps[0].confirm.priority\""),
        (edit("/spec/compensationPolicy", json!({})), ACCEPTED),
        (edit("/spec/compensationPolicy", json!({"order": "Parallel", "onExhausted": "Continue"})), ACCEPTED),
        (
            edit("/spec/compensationPolicy", json!({"order": "parallel"})),
            "spec.compensationPolicy.order: Unsupported value: \"parallel\"",
        ),
        (
            edit("/spec/compensationPolicy", json!({"onExhausted": "Stop"})),
            "spec.compensationPolicy.onExhausted: Unsupported value: \"Stop\"",
        ),
        (edit("/spec/outputs", outputs(32)), ACCEPTED),
        (edit("/spec/outputs", outputs(33)), "spec.outputs: Too many: 33: must have at most 32 items"),
        (edit("/spec/outputs", json!([{"name": "Id", "value": "x"}])), "spec.outputs[0].name: Invalid value: \"Id\""),
        (edit("/spec/outputs", json!([{"name": "id"}])), "spec.outputs[0].value: Required value"),
        (edit("/spec/outputs", json!([{"name": "id", "value": "a".repeat(4097)}])), "spec.outputs[0].value: Too long"),
    ];
    assert_eq!(unexpected(&full_definition(), edits).await, Vec::<String>::new());
}

#[tokio::test]
async fn every_bound_of_a_run_holds_and_the_error_names_the_field() {
    let edits = vec![
        (edit("/metadata/name", json!("a".repeat(64))), "metadata.name: Too long"),
        (edit("/spec/definitionRef", json!(null)), "spec.definitionRef: Required value"),
        (edit("/spec/definitionRef", json!({})), "spec.definitionRef.name: Required value"),
        (edit("/spec/definitionRef/name", json!("")), "spec.definitionRef.name: Invalid value: \"\""),
        (edit("/spec/definitionRef/name", json!("Order")), "spec.definitionRef.name: Invalid value: \"Order\""),
        (edit("/spec/definitionRef/name", json!("a".repeat(63))), ACCEPTED),
        (edit("/spec/definitionRef/name", json!("a".repeat(64))), "spec.definitionRef.name: Too long"),
        (edit("/spec/input", json!([])), "spec.input: Invalid value: \"array\""),
        (edit("/spec/input", json!("a")), "spec.input: Invalid value: \"string\""),
        (edit("/spec/activeDeadlineSeconds", json!(0)), "spec.activeDeadlineSeconds: Invalid value: 0"),
        (edit("/spec/activeDeadlineSeconds", json!(2_592_001)), "spec.activeDeadlineSeconds: Invalid value: 2592001"),
        (edit("/spec/suspend", json!("true")), "spec.suspend: Invalid value: \"string\""),
        (edit("/spec/cancellation", json!({})), "spec.cancellation.policy: Required value"),
        (
            edit("/spec/cancellation/policy", json!("Terminate")),
            "spec.cancellation.policy: Unsupported value: \"Terminate\"",
        ),
        (edit("/spec/cancellation/reason", json!("a".repeat(1025))), "spec.cancellation.reason: Too long"),
        (edit("/spec/deletionPolicy", json!("Orphan")), "spec.deletionPolicy: Unsupported value: \"Orphan\""),
        (edit("/spec/ttlSecondsAfterFinished", json!(-1)), "spec.ttlSecondsAfterFinished: Invalid value: -1"),
    ];
    assert_eq!(unexpected(&full_run(), edits).await, Vec::<String>::new());
}

#[tokio::test]
async fn the_authority_of_a_url_is_literal() {
    let url = |text: &str, expected| (edit("/http/url", json!(text)), expected);
    let refused = "spec.steps[0].action.http.url: Invalid value";
    let edits = vec![
        url("http://a", ACCEPTED),
        url("https://a.b:8443", ACCEPTED),
        url("http://[::1]:80/x", ACCEPTED),
        url("http://a/${input.x}?y=${input.y}", ACCEPTED),
        url("http://a?x=${input.x}", ACCEPTED),
        url("ftp://a.example", refused),
        url("HTTP://a.example", refused),
        url("//a.example/x", refused),
        url("${input.url}", refused),
        url("http://${input.host}/x", refused),
        url("http://a.${input.domain}/x", refused),
        url("http://a:${input.port}/x", refused),
        url("http://user@a.example/", refused),
        url("http://user:pass@a.example/", refused),
        url("http://a\\b.example/", refused),
        url("http://a b.example/", refused),
        url("http:///path", refused),
        url("http://a/x\ny", refused),
    ];
    assert_eq!(unexpected(&full_definition(), edits).await, Vec::<String>::new());
}

#[tokio::test]
async fn every_rule_about_a_definition_accepts_the_good_and_refuses_the_bad() {
    assert_eq!(unexpected(&full_definition(), rule_edits()).await, Vec::<String>::new());
}

#[test]
fn no_rule_about_a_definition_is_without_an_edit_that_breaks_it() {
    let edits = rule_edits();
    let schema = serde_json::to_value(&crds()[0]).expect("a CRD is plain data");
    let mut messages = BTreeSet::new();
    collect_messages(&schema, &mut messages);
    assert!(messages.len() >= 14, "only {} rules found", messages.len());
    let untested: Vec<_> = messages
        .iter()
        .filter(|message| !edits.iter().any(|(_, expected)| expected.contains(message.as_str())))
        .collect();
    assert_eq!(untested, Vec::<&String>::new());
}

fn collect_messages(schema: &Value, into: &mut BTreeSet<String>) {
    match schema {
        Value::Object(members) => {
            let rules = members.get("x-kubernetes-validations").and_then(Value::as_array);
            into.extend(rules.into_iter().flatten().filter_map(|rule| rule["message"].as_str().map(str::to_owned)));
            members.values().for_each(|member| collect_messages(member, into));
        }
        Value::Array(items) => items.iter().for_each(|item| collect_messages(item, into)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[tokio::test]
async fn every_keyword_and_every_reserved_header_is_refused() {
    let keywords =
        CEL_KEYWORDS.iter().map(|word| (edit("/step/name", json!(word)), "spec.steps[0].name: Invalid value: "));
    let headers = header::RESERVED.iter().map(|name| {
        let name = name.to_uppercase();
        (edit("/http/headers/0/name", json!(name)), "http.headers[0].name: Invalid value: ")
    });
    assert_eq!(unexpected(&full_definition(), keywords.chain(headers).collect()).await, Vec::<String>::new());
}

/// The rules have a budget when they run, too: what the bounds allow must be affordable.
#[tokio::test]
async fn the_definition_with_the_most_of_everything_is_accepted() {
    let (client, namespace) = server().await;
    let headers: Vec<_> =
        (0..32).map(|n| json!({"name": format!("{}{n:02}", "H".repeat(62)), "value": "${input.x}"})).collect();
    let call = json!({
        "http": {"url": "http://a.example/", "headers": headers},
        "retryPolicy": {"maxAttempts": 1000},
        "responses": vec![json!({"when": "${response.status == 404}", "outcome": "Retry"}); 16],
    });
    let outputs: Vec<_> =
        (0..16).map(|n| json!({"name": format!("{}{n:02}", "o".repeat(61)), "value": "${1}"})).collect();
    let name = |n: usize| format!("{}{n:02}", "s".repeat(61));
    let steps: Vec<_> = (0..64)
        .map(|n| {
            json!({
                "name": name(n), "when": "${true}",
                "action": call, "compensation": call, "confirm": call, "outputs": outputs,
                "dependsOn": (0..n).map(name).collect::<Vec<_>>(),
            })
        })
        .collect();
    let mut object = definition("largest");
    object["spec"]["steps"] = json!(steps);
    let answer = create(&client, &namespace, &object, Fate::Checked).await;
    assert!(answer.is_ok(), "{}", answer.err().map(|refusal| strict::errors(&refusal)).unwrap_or_default());
    cluster::leave_namespace(&client, &namespace).await;
}
