//! What a real API server does with an object after it was created: defaults, status, and what may still be changed.

mod common;
#[path = "crd_lifecycle/interventions.rs"]
mod interventions;

use std::process::Command;
use std::time::{Duration, Instant};

use common::cluster;
use common::strict::{Fate, create, definition, errors, get, replace, replace_status, run};
use kube::Client;
use kube::api::{Api, ListParams};
use saga_operator::api::definition::{CompensationOrder, Method, OnExhausted, Role};
use saga_operator::api::run::EndPolicy;
use saga_operator::api::schema::crds;
use saga_operator::api::{SagaDefinition, SagaRun};
use serde_json::{Value, json};

async fn server() -> (Client, String) {
    let client = cluster::admin().await;
    cluster::install_crds(&client).await;
    let namespace = cluster::namespace(&client, "crd-lifecycle").await;
    (client, namespace)
}

async fn stored(client: &Client, namespace: &str, object: &Value) -> Value {
    let answer = create(client, namespace, object, Fate::Stored).await.map_err(|refusal| errors(&refusal));
    answer.expect("the object must be accepted")
}

#[tokio::test]
async fn defaults_are_stored_and_read_back_as_types() {
    let (client, namespace) = server().await;
    let mut object = definition("defaults");
    object["spec"]["steps"][0]["action"]["retryPolicy"] = json!({});
    object["spec"]["steps"][0]["action"]["polling"] = json!({});
    object["spec"]["compensationPolicy"] = json!({});
    stored(&client, &namespace, &object).await;
    stored(&client, &namespace, &run("defaults")).await;

    let definition = Api::<SagaDefinition>::namespaced(client.clone(), &namespace).get("defaults").await;
    let definition = definition.expect("failed to read the definition");
    let step = &definition.spec.steps[0];
    assert_eq!(step.role, Role::Compensatable);
    assert_eq!(step.action.http.method, Method::Post);
    assert_eq!(step.action.http.timeout_seconds, 10);
    let retry = step.action.retry_policy.as_ref().expect("the policy was specified");
    assert_eq!(retry.max_attempts, None, "it depends on what the call is for, so it is computed and not stored");
    assert_eq!(retry.initial_backoff_milliseconds, Some(200));
    assert_eq!(retry.max_backoff_milliseconds, Some(30_000));
    assert_eq!(retry.backoff_multiplier, Some(2));
    assert_eq!(retry.jitter_percent, Some(20));
    let compensation = step.compensation.as_ref().expect("the compensation was specified");
    assert_eq!((compensation.call.retry_policy.as_ref(), compensation.priority), (None, 0));
    let polling = step.action.polling.expect("polling was specified");
    assert_eq!((polling.interval_seconds, polling.timeout_seconds), (2, 3600));
    assert_eq!(compensation.call.polling, None);
    assert_eq!(step.depends_on, None, "nothing is not the same as an empty list");
    let policy = definition.spec.compensation_policy.expect("the policy was specified");
    assert_eq!((policy.order, policy.on_exhausted), (CompensationOrder::Reverse, OnExhausted::Halt));

    let run = Api::<SagaRun>::namespaced(client.clone(), &namespace).get("defaults").await;
    let run = run.expect("failed to read the run");
    assert!(run.spec.input.is_empty());
    assert!(!run.spec.suspend);
    assert_eq!(run.spec.deletion_policy, EndPolicy::Compensate);
    cluster::leave_namespace(&client, &namespace).await;
}

#[tokio::test]
async fn json_of_users_is_stored_as_it_is() {
    let (client, namespace) = server().await;
    let free =
        json!({"a": null, "b": [1, null, {"c": {}}], "d": "${input.x}", "e": 9_007_199_254_740_993_i64, "f": {}});
    let mut definition = definition("json");
    definition["spec"]["inputSchema"] = free.clone();
    definition["spec"]["steps"][0]["action"]["http"]["body"] = free.clone();
    definition["spec"]["steps"][0]["compensation"]["http"]["body"] = Value::Null;
    let answer = stored(&client, &namespace, &definition).await;
    assert_eq!(answer["spec"]["inputSchema"], free);
    assert_eq!(answer["spec"]["steps"][0]["action"]["http"]["body"], free);
    let compensation = answer["spec"]["steps"][0]["compensation"]["http"].as_object().cloned().unwrap_or_default();
    assert_eq!(compensation.get("body"), Some(&Value::Null), "a body of null is not the absence of a body");

    let mut run = run("json");
    run["spec"]["input"] = free.clone();
    assert_eq!(stored(&client, &namespace, &run).await["spec"]["input"], free);
    cluster::leave_namespace(&client, &namespace).await;
}

#[tokio::test]
async fn the_status_of_a_new_object_says_not_looked_at_yet_whatever_the_user_claims() {
    let (client, namespace) = server().await;
    for mut object in [definition("new"), run("new")] {
        object["status"] = json!({"observedGeneration": 7});
        let answer = stored(&client, &namespace, &object).await;
        assert_eq!(answer["status"], json!({"observedGeneration": -1}), "{answer}");
    }
    cluster::leave_namespace(&client, &namespace).await;
}

/// A run with every field that may not change, and the change that is tried.
async fn changed(client: &Client, namespace: &str, name: &str, from: Value, to: Value) -> Result<Value, String> {
    let mut object = run(name);
    merge(&mut object["spec"], &from);
    let mut object = stored(client, namespace, &object).await;
    merge(&mut object["spec"], &to);
    replace(client, namespace, &object).await.map_err(|refusal| errors(&refusal))
}

/// Members are put over those that are there; null removes.
fn merge(into: &mut Value, members: &Value) {
    for (name, value) in members.as_object().into_iter().flatten() {
        if value.is_null() {
            into.as_object_mut().map(|members| members.remove(name));
        } else {
            into[name] = value.clone();
        }
    }
}

#[tokio::test]
async fn what_a_run_was_asked_for_cannot_be_changed() {
    let (client, namespace) = server().await;
    let other = "must not be changed: create another run instead";
    let once = "must not be changed once specified, except that `policy` may go from 'Compensate' to 'Abandon'";
    let cases = [
        ("definitionRef", json!({}), json!({"definitionRef": {"name": "other"}}), other),
        ("input", json!({"input": {"a": 1}}), json!({"input": {"a": 2}}), other),
        ("input", json!({}), json!({"input": {"a": 2}}), other),
        ("input", json!({"input": {"a": 1}}), json!({"input": null}), other),
        ("activeDeadlineSeconds", json!({"activeDeadlineSeconds": 5}), json!({"activeDeadlineSeconds": 6}), other),
        ("activeDeadlineSeconds", json!({"activeDeadlineSeconds": 5}), json!({"activeDeadlineSeconds": null}), other),
        ("activeDeadlineSeconds", json!({}), json!({"activeDeadlineSeconds": 6}), other),
        ("cancellation", json!({"cancellation": {"policy": "Compensate"}}), json!({"cancellation": null}), once),
        (
            "cancellation",
            json!({"cancellation": {"policy": "Compensate"}}),
            json!({"cancellation": {"policy": "Compensate", "reason": "another"}}),
            once,
        ),
        (
            "cancellation",
            json!({"cancellation": {"policy": "Abandon"}}),
            json!({"cancellation": {"policy": "Compensate"}}),
            once,
        ),
    ];
    for (index, (field, from, to, message)) in cases.into_iter().enumerate() {
        let case = format!("{from} -> {to}");
        let refusal = changed(&client, &namespace, &format!("fixed-{index}"), from, to).await;
        let refusal = refusal.err().unwrap_or_else(|| "accepted".to_owned());
        assert_eq!(refusal, format!("spec.{field}: Invalid value: {message}"), "{case}");
    }
    cluster::leave_namespace(&client, &namespace).await;
}

#[tokio::test]
async fn how_a_run_goes_on_and_ends_can_be_changed() {
    let (client, namespace) = server().await;
    let cases = [
        (json!({"suspend": true}), json!({"suspend": false})),
        (json!({}), json!({"deletionPolicy": "Abandon"})),
        (json!({"deletionPolicy": "Abandon"}), json!({"deletionPolicy": "Compensate"})),
        (json!({}), json!({"ttlSecondsAfterFinished": 60})),
        (json!({"ttlSecondsAfterFinished": 60}), json!({"ttlSecondsAfterFinished": null})),
        (json!({}), json!({"cancellation": {"policy": "Compensate"}})),
        (json!({}), json!({"cancellation": {"policy": "Abandon", "reason": "gone"}})),
        (
            json!({"cancellation": {"policy": "Compensate", "reason": "a"}}),
            json!({"cancellation": {"policy": "Abandon", "reason": "b"}}),
        ),
        (json!({"input": {"a": null}, "activeDeadlineSeconds": 5}), json!({"suspend": true})),
    ];
    for (index, (from, to)) in cases.into_iter().enumerate() {
        let case = format!("{from} -> {to}");
        let answer = changed(&client, &namespace, &format!("free-{index}"), from, to).await;
        assert!(answer.is_ok(), "{case}: {}", answer.err().unwrap_or_default());
    }
    cluster::leave_namespace(&client, &namespace).await;
}

/// Which update broke which rule is shown above; here, that no rule was forgotten.
#[test]
fn no_rule_about_a_run_is_without_an_update_that_breaks_it() {
    let crd = serde_json::to_value(&crds()[1]).expect("a CRD is plain data");
    let schema = &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
    let fields: Vec<_> = schema["properties"]["spec"]["x-kubernetes-validations"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|rule| rule["fieldPath"].as_str().unwrap_or_default())
        .collect();
    let of_spec =
        [".definitionRef", ".input", ".activeDeadlineSeconds", ".cancellation", ".interventions", ".interventions"];
    assert_eq!(fields, of_spec);
    let of_intervention = &schema["properties"]["spec"]["properties"]["interventions"]["items"];
    assert_eq!(of_intervention["x-kubernetes-validations"][0]["fieldPath"], ".action");
    assert_eq!(schema.to_string().matches("\"rule\"").count(), 7, "rules elsewhere in a run");
}

#[tokio::test]
async fn a_definition_can_be_changed_and_gets_another_generation() {
    let (client, namespace) = server().await;
    let mut object = stored(&client, &namespace, &definition("changing")).await;
    object["spec"]["steps"][0]["action"]["http"]["timeoutSeconds"] = json!(11);
    let answer = replace(&client, &namespace, &object).await.map_err(|refusal| errors(&refusal));
    assert_eq!(answer.map(|object| object["metadata"]["generation"].clone()), Ok(json!(2)));
    cluster::leave_namespace(&client, &namespace).await;
}

#[tokio::test]
async fn the_status_of_a_run_survives_the_api_server_unchanged() {
    let (client, namespace) = server().await;
    let mut object = stored(&client, &namespace, &run("status")).await;
    let time = "2026-11-21T11:22:33.123456789Z";
    let status = json!({
        "conditions": [{
            "type": "Succeeded", "status": "Unknown", "observedGeneration": 1, "lastTransitionTime": time,
            "reason": "Running", "message": "",
        }],
        "observedGeneration": 1,
        "startTime": time,
        "definitionRevision": "order-1",
        "progress": "0/1",
        "failure": {"reason": "Rejected", "message": "m", "step": "reserve", "httpStatusCode": 999},
        "steps": [{
            "name": "reserve", "state": "Waiting", "attempts": 2, "doubtfulAttempts": 1, "startTime": time,
            "httpStatusCode": 503, "reason": "ServerError", "message": "m", "digest": "0123456789abcdefghijkl",
            "outputs": {"id": "1", "free": {"a": null, "b": [1.5]}}, "takeovers": 1, "keySuffix": 2, "attemptsBefore": 5,
            "compensation": {"state": "Pending"},
        }, {
            "name": "charge", "state": "Succeeded",
            "confirm": {
                "state": "Stalled", "attempts": 200, "doubtfulAttempts": 3, "httpStatusCode": 503,
                "reason": "ConfirmExhausted", "keySuffix": 99, "digest": "0123456789abcdefghijkl", "takeovers": 1,
                "attemptsBefore": 100,
            },
        }],
        "outputs": {"id": "1", "free": [null, {}]},
        "interventions": [
            {"id": "a", "outcome": "Applied", "time": time}, {"id": "b", "outcome": "Refused", "time": time},
        ],
        "journal": {
            "fence": 3, "holder": "0123456789abcdef",
            "inFlight": [{
                "step": "reserve", "direction": "Forward", "attempt": 2, "fence": 3, "deadlineTime": time,
                "notBeforeTime": time,
            }, {
                "step": "charge", "direction": "Confirm", "attempt": 1, "fence": 3, "deadlineTime": time,
                "location": "/operations/4?poll=1",
            }],
        },
    });
    object["status"] = status.clone();
    let answer = replace_status(&client, &namespace, &object).await.map_err(|refusal| errors(&refusal));
    assert_eq!(answer.map(|object| object["status"].clone()), Ok(status.clone()));
    let read = get(&client, &namespace, &object).await;
    assert_eq!(read["status"], status);
    assert_eq!(read["metadata"]["generation"], 1, "a status is no change of what was asked for");
    let typed: SagaRun = serde_json::from_value(read).expect("failed to read the run as a type");
    assert_eq!(serde_json::to_value(typed.status).expect("a status is plain data"), status, "nothing may get lost");
    cluster::leave_namespace(&client, &namespace).await;
}

#[tokio::test]
async fn a_status_beyond_its_bounds_is_refused() {
    let (client, namespace) = server().await;
    let mut object = stored(&client, &namespace, &run("bounds")).await;
    let cases = [
        (json!({"steps": vec![json!({"name": "a", "state": "Pending"}); 65]}), "status.steps: Too many"),
        (json!({"steps": [{"name": "a", "state": "Undone"}]}), "status.steps[0].state: Unsupported value"),
        (
            json!({"steps": [{"name": "a", "state": "Failed", "message": "m".repeat(129)}]}),
            "status.steps[0].message: Too long",
        ),
        (json!({"startTime": "yesterday"}), "status.startTime: Invalid value"),
        (json!({"unknown": 1}), "unknown field \"status.unknown\""),
    ];
    for (status, expected) in cases {
        object["status"] = status;
        let refusal = replace_status(&client, &namespace, &object).await.err();
        let refusal = refusal.map_or_else(|| "accepted".to_owned(), |refusal| errors(&refusal));
        assert!(refusal.contains(expected), "wanted '{expected}', got '{refusal}'");
    }
    cluster::leave_namespace(&client, &namespace).await;
}

#[tokio::test]
async fn runs_are_listed_by_their_definition() {
    let (client, namespace) = server().await;
    stored(&client, &namespace, &run("one")).await;
    let mut other = run("two");
    other["spec"]["definitionRef"]["name"] = json!("other");
    stored(&client, &namespace, &other).await;
    let runs: Api<SagaRun> = Api::namespaced(client.clone(), &namespace);
    let list = runs.list(&ListParams::default().fields("spec.definitionRef.name=other")).await;
    let names: Vec<_> = list.expect("failed to list runs").items.into_iter().map(|run| run.metadata.name).collect();
    assert_eq!(names, [Some("two".to_owned())]);
    cluster::leave_namespace(&client, &namespace).await;
}

/// What kubectl prints. The API server publishes the descriptions and categories of a new CRD a moment after it is
/// Established, so a failure is tried again.
pub(crate) async fn kubectl(arguments: &[&str]) -> String {
    let program = std::env::var("SAGA_TEST_KUBECTL").expect("this test needs kubectl: run `cargo xtask test`");
    let cache = tempfile::tempdir().expect("failed to make a directory for kubectl's cache");
    let started = Instant::now();
    loop {
        let output = Command::new(&program)
            .args(["--kubeconfig", &cluster::kubeconfig_path(), "--cache-dir"])
            .arg(cache.path())
            .args(arguments)
            .output()
            .expect("failed to start kubectl");
        if output.status.success() && !output.stdout.is_empty() {
            return String::from_utf8_lossy(&output.stdout).into_owned();
        }
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(started.elapsed() < Duration::from_secs(30), "kubectl {arguments:?}: {said}");
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

/// Text without its line breaks, which depend on the width of kubectl's page.
fn flowing(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[tokio::test]
async fn kubectl_explains_the_spec_of_a_run() {
    let (client, namespace) = server().await;
    let text = flowing(&kubectl(&["explain", "sagarun.spec"]).await);
    for part in [
        "spec says which definition is executed, with which input, and how it may end.",
        "definitionRef <Object> -required- definitionRef names the definition",
        "deletionPolicy <string> enum: Compensate, Abandon deletionPolicy says what deleting the unfinished run means.",
        "suspend <boolean> suspend holds everything that is not yet sent",
    ] {
        assert!(text.contains(part), "'{part}' is missing in: {text}");
    }
    let text = flowing(&kubectl(&["explain", "sagadef.spec.steps.action.http.timeoutSeconds"]).await);
    assert!(text.contains("timeoutSeconds of one attempt, from connect to the last byte of the answer. 1 to 3600"));
    for (field, part) in [
        ("sagadef.spec.steps.dependsOn", "dependsOn names steps, earlier in the list, that must be done before"),
        (
            "sagadef.spec.steps.confirm",
            "confirm is the call that makes the action final once the run can no longer fail",
        ),
        ("sagadef.spec.steps.role", "Pivot: the go/no-go; once it succeeded the run goes forward, whatever happens."),
        (
            "sagadef.spec.steps.action.polling",
            "timeoutSeconds after which the attempt counts as unanswered. 1 to 604800",
        ),
        ("sagadef.spec.steps.compensation.priority", "priority among compensations that are due at the same time"),
        ("sagadef.spec.compensationPolicy", "onExhausted <string> enum: Halt, Continue onExhausted says what happens"),
        ("sagarun.spec.interventions", "requestedBy <string> -required- requestedBy names the person who decides"),
        ("sagarun.status.interventions", "outcome is Applied or Refused; an Event says why it was refused."),
    ] {
        let text = flowing(&kubectl(&["explain", field]).await);
        assert!(text.contains(part), "'{part}' is missing in: {text}");
    }
    cluster::leave_namespace(&client, &namespace).await;
}

#[tokio::test]
async fn kubectl_lists_both_kinds_as_the_category_saga_with_their_columns() {
    let (client, namespace) = server().await;
    stored(&client, &namespace, &definition("order")).await;
    stored(&client, &namespace, &run("order-1")).await;
    let text = flowing(&kubectl(&["get", "saga", "-n", &namespace]).await);
    assert!(text.contains("NAME READY REASON STEPS ACTIVE AGE sagadefinition.sagas.dev/order"), "{text}");
    assert!(text.contains("NAME DEFINITION SUCCEEDED REASON PROGRESS AGE sagarun.sagas.dev/order-1 order"), "{text}");
    let text = flowing(&kubectl(&["get", "sagarun", "-o", "wide", "-n", &namespace]).await);
    assert!(text.contains("PROGRESS AGE STARTED COMPLETED MESSAGE"), "{text}");
    cluster::leave_namespace(&client, &namespace).await;
}
