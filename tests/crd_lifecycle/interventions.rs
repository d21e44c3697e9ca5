//! Decisions of people: added one after the other, never changed, in whatever way they are sent.

use http::Request;
use kube::Client;
use kube::core::Status;
use serde_json::{Value, json};

use super::common::cluster;
use super::common::strict::{Fate, create, errors, get, replace, run};
use super::{server, stored};

const APPEND_ONLY: &str =
    "spec.interventions: Invalid value: must only be added to, at the end: what was decided stays as it is";

fn decision(id: &str) -> Value {
    json!({
        "id": id, "step": "reserve", "direction": "Compensate", "action": "Retry", "reason": "the inventory is back",
        "requestedBy": "alice@example.com",
    })
}

/// The same, with one member changed; null leaves it out.
fn with(member: &str, value: Value) -> Value {
    let mut decision = decision("a");
    if value.is_null() {
        decision.as_object_mut().map(|members| members.remove(member));
    } else {
        decision[member] = value;
    }
    decision
}

/// How a run is patched.
#[derive(Clone, Copy)]
enum By<'a> {
    JsonPatch,
    Apply(&'a str),
}

async fn patch(client: &Client, namespace: &str, name: &str, by: By<'_>, patch: &Value) -> Result<Value, String> {
    let (format, manager) = match by {
        By::JsonPatch => ("application/json-patch+json", "tests"),
        By::Apply(manager) => ("application/apply-patch+yaml", manager),
    };
    let path = format!("/apis/sagas.dev/v1alpha1/namespaces/{namespace}/sagaruns/{name}");
    let request = Request::patch(format!("{path}?fieldValidation=Strict&fieldManager={manager}"))
        .header("Content-Type", format)
        .body(patch.to_string().into_bytes())
        .expect("failed to make a request");
    client.request::<Value>(request).await.map_err(|error| match error {
        kube::Error::Api(status) => said(&status),
        error => error.to_string(),
    })
}

fn said(refusal: &Status) -> String {
    errors(refusal)
}

/// What becomes of a run whose list of decisions is replaced.
async fn replaced(client: &Client, namespace: &str, name: &str, from: &[Value], to: Value) -> Result<Value, String> {
    let mut object = stored(client, namespace, &run(name)).await;
    if !from.is_empty() {
        object["spec"]["interventions"] = json!(from);
        object = replace(client, namespace, &object).await.map_err(|refusal| said(&refusal)).expect("the first list");
    }
    if to.is_null() {
        object["spec"].as_object_mut().map(|spec| spec.remove("interventions"));
    } else {
        object["spec"]["interventions"] = to;
    }
    replace(client, namespace, &object).await.map_err(|refusal| said(&refusal))
}

#[tokio::test]
async fn nothing_is_decided_about_a_run_that_is_only_created() {
    let (client, namespace) = server().await;
    for decisions in [json!([decision("a")]), json!([])] {
        let mut object = run("new");
        object["spec"]["interventions"] = decisions.clone();
        let refusal = create(&client, &namespace, &object, Fate::Checked).await.err();
        let wanted =
            "spec.interventions: Forbidden: may not be specified when the run is created: nothing can be stalled yet";
        assert_eq!(refusal.map(|refusal| said(&refusal)).as_deref(), Some(wanted), "{decisions}");
    }
    cluster::leave_namespace(&client, &namespace).await;
}

#[tokio::test]
async fn what_was_decided_is_neither_changed_nor_removed_nor_moved() {
    let (client, namespace) = server().await;
    let (a, b, c) = (decision("a"), decision("b"), decision("c"));
    let kept = [json!([a, b]), json!([a, b, c])];
    for (index, to) in kept.into_iter().enumerate() {
        let answer = replaced(&client, &namespace, &format!("kept-{index}"), &[a.clone(), b.clone()], to.clone()).await;
        assert_eq!(answer.map(|run| run["spec"]["interventions"].clone()), Ok(to));
    }
    let broken = [
        Value::Null,
        json!([]),
        json!([a]),
        json!([b]),
        json!([b, a]),
        json!([c, a, b]),
        json!([a, c, b]),
        json!([with("reason", json!("another")), b]),
        json!([with("requestedBy", json!("mallory")), b, c]),
    ];
    for (index, to) in broken.into_iter().enumerate() {
        let case = to.to_string();
        let answer = replaced(&client, &namespace, &format!("broken-{index}"), &[a.clone(), b.clone()], to).await;
        assert_eq!(answer.err().as_deref(), Some(APPEND_ONLY), "{case}");
    }
    cluster::leave_namespace(&client, &namespace).await;
}

#[tokio::test]
async fn every_bound_of_a_decision_holds_and_the_error_names_the_field() {
    let (client, namespace) = server().await;
    let many = |count: usize| json!((0..count).map(|index| decision(&format!("d{index}"))).collect::<Vec<_>>());
    let accepted = [
        many(32),
        json!([with("id", json!("i".repeat(32)))]),
        json!([with("step", json!("s".repeat(63)))]),
        json!([with("reason", json!("ä".repeat(1024)))]),
        json!([with("requestedBy", json!("u".repeat(253)))]),
        json!([with("direction", json!("Confirm"))]),
        json!([with("action", json!("MarkSucceeded"))]),
        json!([{
            "id": "a", "step": "charge", "direction": "Forward", "action": "MarkFailed", "reason": "no charge is there",
            "requestedBy": "alice",
        }]),
    ];
    for (index, decisions) in accepted.into_iter().enumerate() {
        let answer = replaced(&client, &namespace, &format!("accepted-{index}"), &[], decisions).await;
        assert!(answer.is_ok(), "{index}: {}", answer.err().unwrap_or_default());
    }
    let only_forward =
        "spec.interventions[0].action: Invalid value: must not be 'MarkFailed' unless `direction` is 'Forward'";
    let refused = [
        (many(33), "spec.interventions: Too many: 33: must have at most 32 items"),
        (
            json!([decision("a"), decision("b"), decision("a")]),
            "spec.interventions[2]: Duplicate value: {\"id\":\"a\"}",
        ),
        (json!([with("id", json!(""))]), "spec.interventions[0].id: Invalid value: \"\""),
        (json!([with("id", json!("i".repeat(33)))]), "spec.interventions[0].id: Too long"),
        (json!([with("id", Value::Null)]), "spec.interventions[0].id: Required value"),
        (json!([with("step", json!(""))]), "spec.interventions[0].step: Invalid value: \"\""),
        (json!([with("step", json!("s".repeat(64)))]), "spec.interventions[0].step: Too long"),
        (json!([with("step", Value::Null)]), "spec.interventions[0].step: Required value"),
        (
            json!([with("direction", json!("forward"))]),
            "spec.interventions[0].direction: Unsupported value: \"forward\"",
        ),
        (json!([with("direction", Value::Null)]), "spec.interventions[0].direction: Required value"),
        (json!([with("action", json!("Skip"))]), "spec.interventions[0].action: Unsupported value: \"Skip\""),
        (json!([with("action", Value::Null)]), "spec.interventions[0].action: Required value"),
        (json!([with("reason", json!(""))]), "spec.interventions[0].reason: Invalid value: \"\""),
        (json!([with("reason", json!("r".repeat(1025)))]), "spec.interventions[0].reason: Too long"),
        (json!([with("reason", Value::Null)]), "spec.interventions[0].reason: Required value"),
        (json!([with("requestedBy", json!(""))]), "spec.interventions[0].requestedBy: Invalid value: \"\""),
        (json!([with("requestedBy", json!("u".repeat(254)))]), "spec.interventions[0].requestedBy: Too long"),
        (json!([with("requestedBy", Value::Null)]), "spec.interventions[0].requestedBy: Required value"),
        (json!([with("until", json!("tomorrow"))]), "unknown field \"spec.interventions[0].until\""),
        (json!([with("action", json!("MarkFailed"))]), only_forward),
    ];
    for (index, (decisions, expected)) in refused.into_iter().enumerate() {
        let answer = replaced(&client, &namespace, &format!("refused-{index}"), &[], decisions).await;
        let refusal = answer.err().unwrap_or_else(|| "accepted".to_owned());
        assert!(refusal.contains(expected), "wanted '{expected}', got '{refusal}'");
    }
    cluster::leave_namespace(&client, &namespace).await;
}

#[tokio::test]
async fn a_json_patch_adds_one_decision_at_the_end() {
    let (client, namespace) = server().await;
    let object = stored(&client, &namespace, &run("patched")).await;
    let append = |id: &str| json!([{"op": "add", "path": "/spec/interventions/-", "value": decision(id)}]);
    let first = |id: &str| {
        json!([
            {"op": "add", "path": "/spec/interventions", "value": []},
            {"op": "add", "path": "/spec/interventions/-", "value": decision(id)},
        ])
    };
    let answer = patch(&client, &namespace, "patched", By::JsonPatch, &append("a")).await;
    assert!(answer.is_err(), "there is no list yet to add to");
    for (step, decisions) in
        [(first("a"), json!([decision("a")])), (append("b"), json!([decision("a"), decision("b")]))]
    {
        let answer = patch(&client, &namespace, "patched", By::JsonPatch, &step).await;
        assert_eq!(answer.map(|run| run["spec"]["interventions"].clone()), Ok(decisions));
    }
    // The patch for the first decision would empty the list of a run that has some.
    let answer = patch(&client, &namespace, "patched", By::JsonPatch, &first("c")).await;
    assert_eq!(answer.err().as_deref(), Some(APPEND_ONLY));
    let in_front = json!([{"op": "add", "path": "/spec/interventions/0", "value": decision("c")}]);
    let answer = patch(&client, &namespace, "patched", By::JsonPatch, &in_front).await;
    assert_eq!(answer.err().as_deref(), Some(APPEND_ONLY));
    let now = get(&client, &namespace, &object).await;
    assert_eq!(now["spec"]["interventions"], json!([decision("a"), decision("b")]), "what is refused changes nothing");
    cluster::leave_namespace(&client, &namespace).await;
}

#[tokio::test]
async fn server_side_apply_adds_decisions_of_others_and_drops_none_of_its_own() {
    let (client, namespace) = server().await;
    stored(&client, &namespace, &run("applied")).await;
    let applied = |decisions: Value| {
        json!({
            "apiVersion": "sagas.dev/v1alpha1", "kind": "SagaRun", "metadata": {"name": "applied"},
            "spec": {"definitionRef": {"name": "order"}, "interventions": decisions},
        })
    };
    let send = async |manager: &str, decisions: Value| {
        let answer = patch(&client, &namespace, "applied", By::Apply(manager), &applied(decisions)).await;
        answer.map(|run| run["spec"]["interventions"].clone())
    };
    let (a, b, c) = (decision("a"), decision("b"), decision("c"));
    assert_eq!(send("alice", json!([a])).await, Ok(json!([a])));
    assert_eq!(send("bob", json!([b])).await, Ok(json!([a, b])), "merged by id: bob need not repeat what alice said");
    // Whoever applies again without an entry of theirs removes it, which is refused.
    assert_eq!(send("alice", json!([c])).await, Err(APPEND_ONLY.to_owned()));
    assert_eq!(send("alice", json!([a, c])).await, Ok(json!([a, b, c])));
    cluster::leave_namespace(&client, &namespace).await;
}
