//! `saga-operator plan --undo`: what cancelling a run would do, from its manifest.
#![allow(clippy::unwrap_used, missing_docs)]

use std::process::{Command, Stdio};

use saga_operator::api::SagaDefinitionSpec;
use saga_operator::controller::revision;
use serde_json::{Value, json};

const UID: &str = "5429631c-ed4b-4460-b9e0-b2ce9026ca48";
/// Nobody's calls are due by then.
const FAR: &str = "2100-01-01T00:00:00Z";

struct Said {
    code: Option<i32>,
    out: String,
    err: String,
}

fn said(arguments: &[&str], manifests: &Value) -> Said {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("all.json");
    std::fs::write(&file, manifests.to_string()).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_saga-operator"))
        .args(["plan", "--undo"])
        .args(arguments)
        .arg(file)
        .env_remove("KUBECONFIG")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Said { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
}

fn planned(manifests: &Value) -> Value {
    let said = said(&["-o", "json"], manifests);
    assert_eq!((said.code, said.err.as_str()), (Some(0), ""), "{}", said.out);
    serde_json::from_str(&said.out).unwrap()
}

fn call(name: &str) -> Value {
    json!({"http": {"url": format!("http://shop.svc/{name}"), "body": {"key": "${call.forwardKey}"}}})
}

/// A Compensatable step after others.
fn step(name: &str, after: &[&str]) -> Value {
    json!({"name": name, "dependsOn": after, "action": call(name), "compensation": call(&format!("undo-{name}"))})
}

fn definition(spec: &Value) -> Value {
    json!({"apiVersion": "sagas.dev/v1alpha1", "kind": "SagaDefinition", "metadata": {"name": "order"}, "spec": spec})
}

/// A run of a definition that stands so.
fn run(spec: &Value, steps: &Value, status: Value) -> Value {
    let typed: SagaDefinitionSpec = serde_json::from_value(spec.clone()).unwrap();
    let mut all = json!({
        "observedGeneration": 1, "startTime": "2026-11-21T10:00:00.000Z", "steps": steps,
        "definitionRevision": revision::name("order", &typed),
        "journal": {"fence": 7, "holder": "operator-1"},
    });
    for (field, value) in status.as_object().unwrap() {
        all[field] = value.clone();
    }
    json!({
        "apiVersion": "sagas.dev/v1alpha1", "kind": "SagaRun",
        "metadata": {"name": "order-1", "namespace": "shop", "uid": UID, "generation": 1, "resourceVersion": "12"},
        "spec": {"definitionRef": {"name": "order"}, "input": {"amount": 10}},
        "status": all,
    })
}

fn list(items: &[Value]) -> Value {
    json!({"apiVersion": "v1", "kind": "List", "items": items})
}

fn done(name: &str) -> Value {
    json!({"name": name, "state": "Succeeded"})
}

fn open(step: &str, direction: &str, more: Value) -> Value {
    let mut open = json!({"step": step, "direction": direction, "attempt": 1, "fence": 7, "deadlineTime": FAR});
    for (field, value) in more.as_object().unwrap() {
        open[field] = value.clone();
    }
    json!({"fence": 7, "holder": "operator-1", "inFlight": [open]})
}

/// `2 b Compensate` of every request.
fn order(plan: &Value) -> Vec<String> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let requests = plan["requests"].as_array().unwrap().iter();
    requests
        .map(|planned| format!("{} {} {}", planned["group"], text(&planned["step"]), text(&planned["direction"])))
        .collect()
}

fn why<'a>(plan: &'a Value, step: &str) -> &'a str {
    let steps = plan["notUndone"].as_array().unwrap();
    steps.iter().find(|left| left["step"] == step).and_then(|left| left["why"].as_str()).unwrap_or_default()
}

fn diamond() -> Value {
    json!({"steps": [step("a", &[]), step("b", &["a"]), step("c", &["a"]), step("d", &["b", "c"])]})
}

#[test]
fn a_diamond_is_undone_in_reverse_after_what_is_on_the_wire() {
    let spec = diamond();
    let steps = json!([done("a"), done("b"), done("c"), {"name": "d", "state": "Running", "attempts": 1}]);
    let run = run(&spec, &steps, json!({"journal": open("d", "Forward", json!({}))}));
    let plan = planned(&list(&[run.clone(), definition(&spec)]));
    assert_eq!((&plan["verdict"], &plan["end"]), (&json!("Undone"), &json!("Compensated")));
    assert_eq!(order(&plan), ["1 d Compensate", "2 b Compensate", "2 c Compensate", "3 a Compensate"]);
    let awaited = &plan["underWay"][0];
    assert_eq!((&awaited["step"], &awaited["attempt"]), (&json!("d"), &json!(1)));
    assert!(awaited["message"].as_str().unwrap().starts_with("is awaited first, at most until 2100-"), "{awaited}");
    let request = &plan["requests"][1]["request"];
    assert_eq!((&request["method"], &request["url"]), (&json!("POST"), &json!("http://shop.svc/undo-b")));
    assert_eq!(request["body"], json!({"key": format!("{UID}/b/forward")}));
    let header = |name: &str| {
        let headers = request["headers"].as_array().unwrap();
        headers.iter().find(|header| header["name"] == name).map(|header| header["value"].as_str().unwrap().to_owned())
    };
    assert_eq!(header("idempotency-key"), Some(format!("\"{UID}/b/compensate\"")));
    assert_eq!(header("saga-forward-outcome").as_deref(), Some("succeeded"));
    assert_eq!(header("saga-run").as_deref(), Some("shop/order-1"));

    let text = said(&[], &list(&[run, definition(&spec)])).out;
    assert!(text.contains("If it were cancelled now: the run turns, and what took effect is undone."), "{text}");
    assert!(text.contains("2. b (compensation)\n   POST http://shop.svc/undo-b\n"), "{text}");
    assert!(text.ends_with("End:       Compensated\n"), "{text}");
}

#[test]
fn groups_of_falling_priority_are_undone_whatever_depends_on_what() {
    let mut spec = diamond();
    spec["compensationPolicy"] = json!({"order": "Parallel"});
    for (index, priority) in [(0, 9), (1, 1), (2, 9), (3, 5)] {
        spec["steps"][index]["compensation"]["priority"] = json!(priority);
    }
    let steps = json!([done("a"), done("b"), done("c"), {"name": "d", "state": "Unknown", "doubtfulAttempts": 1}]);
    let failure = json!({"step": "d", "reason": "Cancelled", "message": "the run was cancelled"});
    let plan = planned(&list(&[run(&spec, &steps, json!({"failure": failure})), definition(&spec)]));
    assert_eq!(plan["verdict"], "UndoneAlready");
    assert_eq!(order(&plan), ["1 a Compensate", "1 c Compensate", "2 d Compensate", "3 b Compensate"]);
}

#[test]
fn steps_that_are_not_undone_say_why() {
    let mut spec = diamond();
    spec["steps"][1] = json!({"name": "b", "dependsOn": ["a"], "role": "ReadOnly", "action": call("b")});
    let steps = json!([done("a"), done("b"), {"name": "c", "state": "Skipped"}, {"name": "d", "state": "Pending"}]);
    let plan = planned(&list(&[run(&spec, &steps, json!({"journal": {"fence": 7}})), definition(&spec)]));
    assert_eq!(order(&plan), ["1 a Compensate"]);
    // Nobody holds the run and `d` can begin: whoever takes it up finds the cancellation first.
    assert_eq!(plan["underWay"], json!([]));
    assert!(why(&plan, "b").contains("ReadOnly"), "{plan}");
    assert_eq!((why(&plan, "c"), why(&plan, "d")), ("it was skipped", "it was not begun"));
}

#[test]
fn an_attempt_that_waits_is_taken_back() {
    let spec = json!({"steps": [step("a", &[]), step("b", &["a"])]});
    for (doubtful, expected) in [(0, vec!["1 a Compensate"]), (1, vec!["1 b Compensate", "2 a Compensate"])] {
        let waiting = json!({"name": "b", "state": "Waiting", "attempts": 2, "doubtfulAttempts": doubtful, "reason": "ServerError"});
        let journal = open("b", "Forward", json!({"attempt": 2, "notBeforeTime": FAR}));
        let run = run(&spec, &json!([done("a"), waiting]), json!({"journal": journal}));
        let plan = planned(&list(&[run, definition(&spec)]));
        assert_eq!(order(&plan), expected);
        assert!(plan["underWay"][0]["message"].as_str().unwrap().contains("taken back"), "{plan}");
    }
}

fn committed() -> Value {
    let retriable = json!({
        "name": "ship", "role": "Retriable", "action": call("ship"),
        "outputs": [{"name": "id", "value": "${response.body.id}"}],
    });
    let mail = json!({
        "name": "mail", "role": "Retriable",
        "action": {"http": {"url": "http://shop.svc/mail", "body": {"text": "on its way: ${steps.ship.outputs.id}"}}},
    });
    let hold =
        json!({"name": "hold", "action": call("hold"), "compensation": call("release"), "confirm": call("take")});
    json!({"steps": [hold, {"name": "pay", "role": "Pivot", "action": call("pay")}, retriable, mail]})
}

#[test]
fn past_the_commit_point_the_cancellation_is_refused_and_what_comes_is_shown() {
    let spec = committed();
    let steps =
        json!([done("hold"), done("pay"), {"name": "ship", "state": "Pending"}, {"name": "mail", "state": "Pending"}]);
    let plan = planned(&list(&[run(&spec, &steps, json!({})), definition(&spec)]));
    assert_eq!((&plan["verdict"], &plan["end"]), (&json!("Refused"), &json!("Succeeded")));
    assert!(plan["message"].as_str().unwrap().contains("the Pivot 'pay' succeeded"), "{plan}");
    assert_eq!(order(&plan), ["1 ship Forward", "2 mail Forward", "3 hold Confirm"]);
    // Its answer is not there yet: the name of the output stands for it.
    let mail = &plan["requests"][1];
    assert_eq!(mail["dependsOn"], json!(["steps.ship.outputs.id"]));
    assert_eq!(mail["request"]["body"]["text"], "on its way: ~steps.ship.outputs.id~");
    assert_eq!(plan["requests"][0].get("dependsOn"), None);
}

#[test]
fn nothing_turns_a_run_whose_pivot_is_on_the_wire() {
    let spec = committed();
    let pay = json!({"name": "pay", "state": "Running", "attempts": 1});
    let steps = json!([done("hold"), pay, {"name": "ship", "state": "Pending"}, {"name": "mail", "state": "Pending"}]);
    let plan =
        planned(&list(&[run(&spec, &steps, json!({"journal": open("pay", "Forward", json!({}))})), definition(&spec)]));
    assert_eq!(plan["verdict"], "WaitsForPivot");
    assert!(plan["message"].as_str().unwrap().contains("waits for its outcome"), "{plan}");
    assert_eq!(order(&plan), ["1 hold Compensate"]);
    assert_eq!(plan["end"], "Compensated");
}

#[test]
fn a_pivot_in_doubt_needs_a_person_first() {
    let spec = committed();
    let pay = json!({
        "name": "pay", "state": "Stalled", "attempts": 5, "doubtfulAttempts": 5, "reason": "PivotInDoubt",
        "message": "503",
    });
    let steps = json!([done("hold"), pay, {"name": "ship", "state": "Pending"}, {"name": "mail", "state": "Pending"}]);
    let plan = planned(&list(&[run(&spec, &steps, json!({})), definition(&spec)]));
    assert_eq!((&plan["verdict"], &plan["end"]), (&json!("WaitsForPivot"), &Value::Null));
    assert_eq!(plan["stalled"][0]["reason"], "PivotInDoubt");
    // If the person says MarkFailed.
    assert_eq!(order(&plan), ["1 hold Compensate"]);
}

#[test]
fn while_a_compensation_is_stalled_the_others_wait_or_not_as_the_policy_says() {
    for (policy, expected, waits) in [("Halt", vec![], true), ("Continue", vec!["1 a Compensate"], false)] {
        let mut spec = json!({"steps": [step("a", &[]), step("b", &["a"])]});
        spec["compensationPolicy"] = json!({"onExhausted": policy});
        let stalled =
            json!({"state": "Stalled", "attempts": 200, "reason": "CompensationExhausted", "httpStatusCode": 422});
        let steps = json!([done("a"), {"name": "b", "state": "Succeeded", "compensation": stalled}]);
        let failure = json!({"reason": "Cancelled", "message": "the run was cancelled"});
        let plan = planned(&list(&[run(&spec, &steps, json!({"failure": failure})), definition(&spec)]));
        assert_eq!(order(&plan), expected, "{policy}");
        assert_eq!((&plan["stalled"][0]["step"], &plan["end"]), (&json!("b"), &Value::Null));
        assert_eq!(why(&plan, "a").contains("waits for what is stalled"), waits, "{plan}");
    }
}

#[test]
fn a_compensation_that_needs_its_own_output_is_told_apart() {
    let mut spec = json!({"steps": [step("a", &[]), step("b", &["a"])]});
    spec["steps"][1]["outputs"] = json!([{"name": "count", "value": "${response.body.count}"}]);
    let undo = |url: &str| json!({"http": {"url": url}});
    let steps = json!([done("a"), {"name": "b", "state": "Running", "attempts": 1}]);
    let at = |spec: &Value| {
        let run = run(spec, &steps, json!({"journal": open("b", "Forward", json!({}))}));
        planned(&list(&[run, definition(spec)]))
    };
    spec["steps"][1]["compensation"] = undo("http://shop.svc/undo/${steps.b.outputs.count}");
    let plan = at(&spec);
    assert_eq!(order(&plan), ["1 b Compensate", "2 a Compensate"]);
    assert_eq!(plan["requests"][0]["dependsOn"], json!(["steps.b.outputs.count"]));
    assert_eq!(plan["requests"][0]["request"]["url"], "http://shop.svc/undo/~steps.b.outputs.count~");
    // A name cannot stand for a number that is reckoned with: the request is not known, and what comes after is.
    spec["steps"][1]["compensation"] = undo("http://shop.svc/undo/${steps.b.outputs.count + 1}");
    let plan = at(&spec);
    assert_eq!(order(&plan), ["1 b Compensate", "2 a Compensate"]);
    assert_eq!((&plan["requests"][0]["request"], &plan["end"]), (&Value::Null, &json!("Compensated")));
    assert_eq!(plan["stalled"], json!([]));
    // The answer is there: so is the request.
    let known = json!([done("a"), {"name": "b", "state": "Succeeded", "outputs": {"count": 4}}]);
    let failure = json!({"reason": "Cancelled", "message": "the run was cancelled"});
    let plan = planned(&list(&[run(&spec, &known, json!({"failure": failure})), definition(&spec)]));
    assert_eq!(plan["requests"][0]["request"]["url"], "http://shop.svc/undo/5");
}

#[test]
fn a_secret_is_named_and_not_shown() {
    let mut spec = json!({"steps": [step("a", &[])]});
    let header = json!({"name": "Authorization", "valueFrom": {"secretKeyRef": {"name": "bank", "key": "token"}}});
    spec["steps"][0]["compensation"]["http"]["headers"] = json!([header]);
    let steps = json!([{"name": "a", "state": "Running", "attempts": 1}]);
    let run = run(&spec, &steps, json!({"journal": open("a", "Forward", json!({}))}));
    let text = said(&[], &list(&[run, definition(&spec)])).out;
    assert!(text.contains("Authorization: (key 'token' of Secret 'bank')"), "{text}");
}

#[test]
fn a_suspended_run_sends_nothing_before_it_is_resumed() {
    let spec = json!({"steps": [step("a", &[]), step("b", &["a"])]});
    let waiting = json!({"name": "b", "state": "Waiting", "attempts": 2, "reason": "ServerError"});
    let mut run = run(&spec, &json!([done("a"), waiting]), json!({}));
    run["spec"]["suspend"] = json!(true);
    let plan = planned(&list(&[run, definition(&spec)]));
    assert_eq!((&plan["suspended"], &plan["verdict"]), (&json!(true), &json!("Undone")));
    assert_eq!(order(&plan), ["1 a Compensate"]);
}

#[test]
fn a_run_that_has_ended_or_not_begun_needs_no_definition() {
    let spec = diamond();
    let completed = json!([{
        "type": "Completed", "status": "True", "reason": "Compensated", "message": "",
        "lastTransitionTime": "2026-11-21T10:00:00Z",
    }, {
        "type": "Succeeded", "status": "False", "reason": "Compensated", "message": "",
        "lastTransitionTime": "2026-11-21T10:00:00Z",
    }]);
    let failure = json!({"reason": "Cancelled", "message": "the run was cancelled"});
    let steps = json!([done("a"), done("b"), done("c"), done("d")]);
    let ended = run(
        &spec,
        &steps,
        json!({
            "conditions": completed, "failure": failure, "completionTime": "2026-11-21T10:01:00.000Z",
        }),
    );
    let plan = planned(&ended);
    assert_eq!((&plan["verdict"], &plan["end"]), (&json!("Ended"), &json!("Compensated")));
    let mut new = ended;
    new["status"] = Value::Null;
    let plan = planned(&new);
    assert_eq!((&plan["verdict"], &plan["end"]), (&json!("NothingSent"), &json!("Compensated")));
}

#[test]
fn what_cannot_be_told_is_an_error_that_says_what_to_add() {
    let spec = diamond();
    let steps = json!([done("a"), done("b"), done("c"), {"name": "d", "state": "Pending"}]);
    let run = run(&spec, &steps, json!({}));
    let mut other = spec.clone();
    other["steps"][0]["action"]["http"]["url"] = json!("http://elsewhere.svc/a");
    let mut bare = run.clone();
    bare["metadata"] = json!({"name": "order-1"});
    let mut second = run.clone();
    second["metadata"]["name"] = json!("order-2");
    let secret = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x"}});
    for (manifests, words) in [
        (run.clone(), "kubectl get controllerrevision order-"),
        (list(&[run.clone(), definition(&other)]), "says something else"),
        (list(&[bare, definition(&spec)]), "get sagarun order-1 -o yaml"),
        (list(&[definition(&spec)]), "failed to find a SagaRun"),
        (list(&[run.clone(), second]), "choose one with --run"),
        (list(&[run, secret]), "kind 'ConfigMap'"),
    ] {
        let said = said(&[], &manifests);
        assert_eq!((said.code, said.out.as_str()), (Some(2), ""), "{}", said.err);
        assert!(said.err.contains(words), "{words}: {}", said.err);
    }
}

#[test]
fn the_pinned_revision_is_taken_where_it_is_given() {
    let spec = diamond();
    let steps = json!([done("a"), done("b"), done("c"), {"name": "d", "state": "Running", "attempts": 1}]);
    let run = run(&spec, &steps, json!({"journal": open("d", "Forward", json!({}))}));
    let typed: SagaDefinitionSpec = serde_json::from_value(spec.clone()).unwrap();
    let pinned = json!({
        "apiVersion": "apps/v1", "kind": "ControllerRevision", "metadata": {"name": revision::name("order", &typed)},
        "data": serde_json::to_value(&typed).unwrap(), "revision": 1,
    });
    let mut other = spec;
    other["steps"][0]["compensation"]["http"]["url"] = json!("http://elsewhere.svc/a");
    let plan = planned(&list(&[run, definition(&other), pinned]));
    assert_eq!(plan["requests"][3]["request"]["url"], "http://shop.svc/undo-a");
}
