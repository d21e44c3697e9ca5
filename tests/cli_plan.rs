//! `saga-operator plan`: what a run would do is shown, and nothing is called.

use std::process::{Command, Stdio};

use serde_json::{Value, json};

const DEFINITION: &str = "examples/checkout/definition.yaml";
const RUN: &str = "examples/checkout/run.yaml";
const REFUND: &str = "examples/refund/definition.yaml";

struct Said {
    code: Option<i32>,
    out: String,
    err: String,
}

fn plan(arguments: &[&str]) -> Said {
    let output = Command::new(env!("CARGO_BIN_EXE_saga-operator"))
        .arg("plan")
        .args(arguments)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .stdin(Stdio::null())
        .output()
        .expect("failed to run the operator");
    Said {
        code: output.status.code(),
        out: String::from_utf8_lossy(&output.stdout).into_owned(),
        err: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

fn planned(arguments: &[&str]) -> Value {
    let said = plan(&[&["-o", "json"], arguments].concat());
    assert_eq!(said.code, Some(0), "{}", said.err);
    serde_json::from_str(&said.out).expect("JSON")
}

fn header<'a>(call: &'a Value, name: &str) -> &'a Value {
    let headers = call["headers"].as_array().expect("headers");
    headers.iter().find(|header| header["name"] == name).map_or(&Value::Null, |header| &header["value"])
}

#[test]
fn steps_go_forward_in_order_and_are_undone_in_reverse() {
    let plan = planned(&[DEFINITION]);
    let names: Vec<&str> =
        plan["steps"].as_array().into_iter().flatten().filter_map(|step| step["name"].as_str()).collect();
    assert_eq!(names, ["reserveStock", "chargeCard", "shipParcel"]);
    assert_eq!(plan["undoOrder"], json!(["shipParcel", "chargeCard", "reserveStock"]));
    assert_eq!(plan["steps"][1]["after"], json!(["reserveStock"]));
    assert_eq!(plan["activeDeadlineSeconds"], 600);
}

#[test]
fn without_an_input_the_expressions_stand_and_say_what_they_wait_for() {
    let plan = planned(&[DEFINITION]);
    let charge = &plan["steps"][1]["action"];
    assert_eq!(charge["body"]["amount"], "${input.amount}");
    assert_eq!(charge["open"][1][0], "/reference");
    assert_eq!(charge["open"][1][1]["dependsOn"], json!(["steps.reserveStock.outputs.reservationId", "input"]));
}

#[test]
fn the_input_of_the_run_is_put_in() {
    let plan = planned(&[DEFINITION, RUN]);
    assert_eq!(plan["run"], "order-1001");
    assert_eq!(plan["steps"][0]["action"]["body"], json!({"orderId": "1001", "quantity": 2, "sku": "teapot"}));
    let reference = &plan["steps"][1]["action"]["body"]["reference"];
    assert_eq!(reference, "order ${input.orderId}, ${steps.reserveStock.outputs.reservationId}");
}

#[test]
fn an_output_that_is_given_completes_the_request() {
    let plan = planned(&[DEFINITION, RUN, "--output", "reserveStock.reservationId=\"r-1\""]);
    let charge = &plan["steps"][1]["action"];
    assert_eq!(charge["body"], json!({"amount": 750, "reference": "order 1001, r-1"}));
    assert_eq!(charge["open"], Value::Null);
}

#[test]
fn headers_of_the_operator_are_shown() {
    let plan = planned(&[DEFINITION, RUN]);
    let step = &plan["steps"][0];
    assert_eq!(header(&step["action"], "idempotency-key"), "\"RUN-UID/reserveStock/forward\"");
    assert_eq!(header(&step["action"], "saga-run"), "default/order-1001");
    assert_eq!(header(&step["action"], "saga-forward-outcome"), &Value::Null);
    assert_eq!(header(&step["compensation"], "idempotency-key"), "\"RUN-UID/reserveStock/compensate\"");
    assert_eq!(header(&step["compensation"], "saga-forward-outcome"), "(succeeded or unknown)");
    assert_eq!(step["compensation"]["body"]["key"], "RUN-UID/reserveStock/forward");
}

#[test]
fn a_secret_is_named_and_not_shown() {
    let plan = planned(&["examples/headers-from-secret"]);
    let text = plan.to_string();
    assert!(text.contains("of Secret '"), "{text}");
}

#[test]
fn a_condition_that_the_input_decides_skips_the_step() {
    let input = r#"{"returnId": "1", "sku": "teapot", "quantity": 1, "limit": 5}"#;
    let plan = planned(&[REFUND, "--input", input]);
    assert_eq!(plan["steps"][3]["when"]["value"], false);
    assert_eq!(plan["undoOrder"], json!(["payBack", "takeBack"]));
    assert_eq!(planned(&[REFUND])["steps"][3]["when"]["dependsOn"], json!(["input"]));
}

#[test]
fn attempts_and_the_worst_case_are_told_in_words() {
    let said = plan(&[DEFINITION]);
    assert_eq!(said.code, Some(0), "{}", said.err);
    assert!(said.out.contains("Forward:   reserveStock -> chargeCard -> shipParcel\n"), "{}", said.out);
    let line = "5 attempts within about 3 s, give or take 20 %, each at most 3 s; 18.6 s at most";
    assert!(said.out.contains(line), "{}", said.out);
    assert!(said.out.contains("/amount <- depends on input\n"), "{}", said.out);
}

/// a, then b and c side by side, then the Pivot, then what must succeed. Every call is made once, with these timeouts.
const GRAPH: &str = r#"
apiVersion: sagas.dev/v1alpha1
kind: SagaDefinition
metadata: {name: graph}
spec:
  compensationPolicy: {onExhausted: Continue}
  steps:
    - name: a
      action: &once {http: {url: "http://shop.svc/x", timeoutSeconds: 1}, retryPolicy: {maxAttempts: 1}}
      confirm: {http: {url: "http://shop.svc/x", timeoutSeconds: 2}, retryPolicy: {maxAttempts: 1}}
      compensation: *once
    - name: b
      action: {http: {url: "http://shop.svc/x", timeoutSeconds: 5}, retryPolicy: {maxAttempts: 1}, polling: {intervalSeconds: 5, timeoutSeconds: 600}}
      compensation: {http: {url: "http://shop.svc/x", timeoutSeconds: 4}, retryPolicy: {maxAttempts: 1}, priority: 3}
    - name: c
      dependsOn: [a]
      action: {http: {url: "http://shop.svc/x", timeoutSeconds: 2}, retryPolicy: {maxAttempts: 1}}
      compensation: *once
    - {name: pay, role: Pivot, dependsOn: [b, c], action: *once}
    - name: ship
      role: Retriable
      action: {http: {url: "http://shop.svc/x", timeoutSeconds: 3}, retryPolicy: {maxAttempts: 1}}
      outputs: [{name: id, value: "${response.body.id}"}]
  outputs: [{name: shipment, value: "${steps.ship.outputs.id}"}]
"#;

fn graph(change: impl FnOnce(String) -> String) -> (tempfile::TempDir, String) {
    let directory = tempfile::tempdir().expect("failed to make a directory");
    let file = directory.path().join("graph.yaml");
    std::fs::write(&file, change(GRAPH.to_owned())).expect("failed to write a file");
    let file = file.to_str().expect("text").to_owned();
    (directory, file)
}

#[test]
fn a_graph_shows_what_runs_side_by_side_and_where_it_is_committed() {
    let (_directory, file) = graph(|text| text);
    let plan = planned(&[&file]);
    assert_eq!(plan["forward"], json!([["a"], ["b", "c"], ["pay"], ["ship"]]));
    assert_eq!(plan["steps"][3]["after"], json!(["b", "c"]));
    assert_eq!(plan["commitPoint"], json!({"pivot": "pay"}));
    assert_eq!(plan["confirm"], json!([["a"]]));
    assert_eq!(plan["undo"], json!([["b", "c"], ["a"]]));
    assert_eq!(plan["undoOrder"], json!(["b", "c", "a"]));
    assert_eq!(plan["outputs"], json!({"shipment": "${steps.ship.outputs.id}"}));
    assert_eq!(plan["steps"][1]["priority"], 3);
    assert_eq!(header(&plan["steps"][0]["confirm"], "saga-direction"), "confirm");
    assert_eq!(
        plan["steps"][1]["action"]["polling"],
        json!({"defined": true, "intervalSeconds": 5, "timeoutSeconds": 600})
    );
    let said = plan_text(&file);
    for line in [
        "Forward:   a -> (b, c) -> pay -> ship\n",
        "Commit:    when pay, the Pivot, succeeded; from then on nothing is undone\n",
        "Confirm:   a, when every step is done\n",
        "Undo:      (b, c) -> a; a stalled one does not hold the others\n",
        "Output:    shipment = ${steps.ship.outputs.id}\n",
        "   confirm: POST http://shop.svc/x\n",
        "   compensation, priority 3: POST http://shop.svc/x\n",
        "     work that takes long: asked every 5 s, for 10 min\n",
        "At most:   10 s forward (7 s to the commit point), 2 s to confirm, 5 s to undo everything, without",
    ] {
        assert!(said.contains(line), "{line:?} in {said}");
    }
}

fn plan_text(file: &str) -> String {
    let said = plan(&[file]);
    assert_eq!(said.code, Some(0), "{}", said.err);
    said.out
}

#[test]
fn the_longest_time_is_that_of_the_longest_way_and_not_a_sum() {
    let (_directory, file) = graph(|text| text);
    let plan = planned(&[&file]);
    let seconds = |name: &str| plan[name].as_f64().expect("a number");
    // a 1, b 5 beside c 2, pay 1, ship 3.
    assert!((seconds("worstCaseForwardSeconds") - 10.0).abs() < 1e-9, "{plan}");
    assert!((seconds("worstCaseCommitSeconds") - 7.0).abs() < 1e-9, "{plan}");
    assert!((seconds("worstCaseConfirmSeconds") - 2.0).abs() < 1e-9, "{plan}");
    // b 4 beside c 1, then a 1.
    assert!((seconds("worstCaseCompensationSeconds") - 5.0).abs() < 1e-9, "{plan}");
}

#[test]
fn groups_of_falling_priority_are_undone_one_after_the_other() {
    let (_directory, file) = graph(|text| text.replace("{onExhausted: Continue}", "{order: Parallel}"));
    assert_eq!(planned(&[&file])["undo"], json!([["b"], ["a", "c"]]));
    assert!(plan_text(&file).contains("Undo:      b -> (a, c), by priority\n"));
}

#[test]
fn sixteen_calls_at_a_time_bound_what_runs_side_by_side() {
    let step = |number: usize| {
        let name = format!("s{number}");
        let call =
            json!({"http": {"url": "http://shop.svc/x", "timeoutSeconds": 3}, "retryPolicy": {"maxAttempts": 1}});
        json!({"name": name, "dependsOn": [], "action": call, "compensation": call})
    };
    let steps: Vec<Value> = (0..20).map(step).collect();
    let (_directory, file) = graph(|_| {
        let metadata = json!({"name": "wide"});
        json!({"apiVersion": "sagas.dev/v1alpha1", "kind": "SagaDefinition", "metadata": metadata, "spec": {"steps": steps}})
            .to_string()
    });
    let plan = planned(&[&file]);
    let sizes: Vec<usize> =
        plan["forward"].as_array().into_iter().flatten().filter_map(|group| Some(group.as_array()?.len())).collect();
    assert_eq!(sizes, [16, 4]);
    assert!((plan["worstCaseForwardSeconds"].as_f64().expect("a number") - 6.0).abs() < 1e-9, "{plan}");
    assert_eq!(plan["commitPoint"], json!({"pivot": null}));
}

#[test]
fn an_input_may_stand_in_a_file() {
    let directory = tempfile::tempdir().expect("failed to make a directory");
    let file = directory.path().join("input.json");
    let input = r#"{"orderId": "7", "sku": "a", "quantity": 1, "amount": 9, "address": "x"}"#;
    std::fs::write(&file, input).expect("failed to write a file");
    let plan = planned(&[DEFINITION, "--input", &format!("@{}", file.display())]);
    assert_eq!(plan["steps"][0]["action"]["body"]["orderId"], "7");
}

#[test]
fn an_input_that_violates_the_schema_is_a_mistake() {
    let said = plan(&[DEFINITION, "--input", "{}"]);
    assert_eq!(said.code, Some(1));
    assert!(said.err.contains("violates `inputSchema`"), "{}", said.err);
}

#[test]
fn an_expression_that_fails_on_the_input_is_a_mistake_and_the_rest_is_shown() {
    let directory = tempfile::tempdir().expect("failed to make a directory");
    let file = directory.path().join("a.yaml");
    let manifest = "apiVersion: sagas.dev/v1alpha1\nkind: SagaDefinition\nmetadata: {name: a}\nspec:\n  steps:\n  \
                    - name: read\n    role: ReadOnly\n    action: {http: {url: \"http://a.b/${input.missing}\"}}\n";
    std::fs::write(&file, manifest).expect("failed to write a file");
    let said = plan(&[file.to_str().expect("text"), "--input", "{}"]);
    assert_eq!(said.code, Some(1));
    assert!(said.err.contains("read.action.url: "), "{}", said.err);
    assert!(said.out.contains("<- fails: "), "{}", said.out);
}

#[test]
fn a_definition_with_mistakes_has_no_plan() {
    let said = plan(&["examples/invalid/expression-unknown-step.yaml"]);
    assert_eq!((said.code, said.out.as_str()), (Some(1), ""));
    assert!(said.err.contains("(InvalidExpression)"), "{}", said.err);
}

#[test]
fn what_does_not_exist_is_unusable() {
    for (arguments, words) in [
        (&["no-such-file.yaml"][..], "no-such-file.yaml"),
        (&[RUN], "failed to find a SagaDefinition"),
        (&[DEFINITION, "--run", "nobody"], "failed to find the SagaRun 'nobody'"),
        (&[DEFINITION, "--definition", "other"], "there: checkout"),
        (&[DEFINITION, "--input", "[]"], "must be a JSON object"),
        (&[DEFINITION, "--input", "@no-such-file"], "no-such-file"),
        (&[DEFINITION, "--output", "reserveStock"], "STEP.OUTPUT=JSON"),
        (&[DEFINITION, "--output", "reserveStock.other=1"], "no step 'reserveStock' with such an output"),
        (&[DEFINITION, "--output", "reserveStock.reservationId=x"], "not JSON"),
        (&[DEFINITION, REFUND], "choose one with --definition"),
    ] {
        let said = plan(arguments);
        assert_eq!(said.code, Some(2), "{arguments:?}: {}", said.err);
        assert!(said.err.contains(words), "{arguments:?}: {}", said.err);
    }
}
