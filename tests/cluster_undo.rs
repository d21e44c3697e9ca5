//! `plan --undo -n`: what it says of a run on a real API server is what a cancellation then does.

mod common;

use std::process::Stdio;

use common::shop::{Shop, call, checkout, good_order, hasty, stands};
use saga_operator::cli::participants::{Change, FaultMode};
use serde_json::{Value, json};
use tokio::process::Command;

struct Said {
    code: Option<i32>,
    out: String,
    err: String,
}

async fn plan(shop: &Shop, arguments: &[&str]) -> Said {
    let mut command = Command::new(env!("CARGO_BIN_EXE_saga-operator"));
    command.args(["plan", "--undo", "-n", &shop.namespace]).args(arguments).stdin(Stdio::null());
    command.env("KUBECONFIG", common::cluster::kubeconfig_path());
    let output = command.output().await.expect("it runs");
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    Said { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
}

async fn planned(shop: &Shop, run: &str) -> Value {
    let said = plan(shop, &["-o", "json", run]).await;
    assert_eq!((said.code, said.err.as_str()), (Some(0), ""), "{}", said.out);
    serde_json::from_str(&said.out).expect("JSON")
}

/// Path, key and what is meant, of each request.
fn requests(plan: &Value, base: &str) -> Vec<[String; 3]> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let requests = plan["requests"].as_array().expect("a list").iter().map(|planned| &planned["request"]);
    requests
        .map(|request| {
            let headers = request["headers"].as_array().expect("headers");
            let key = headers.iter().find(|header| header["name"] == "idempotency-key").map(|header| &header["value"]);
            let key = key.map(text).unwrap_or_default().trim_matches('"').to_owned();
            [text(&request["url"]).replace(base, ""), key, text(&request["body"]["key"])]
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_planned_is_what_a_cancellation_does() {
    let shop = Shop::open("undo").await;
    let _operator = shop.operator();
    let base = shop.services.base_url();
    shop.define("checkout", hasty(checkout(&base))).await;
    shop.fault("shipping", FaultMode::Hang);
    let run = shop.start("order", "checkout", good_order()).await;
    let uid = run.metadata.uid.clone().expect("a UID");
    shop.seen("the shipment hangs", |entry| entry.fault == Some(FaultMode::Hang)).await;
    // The run keeps the revision that it began with.
    let mut other = hasty(checkout(&base));
    other["steps"][0]["compensation"]["http"]["url"] = json!(format!("{base}/noop"));
    shop.edit("checkout", other).await;

    let plan = planned(&shop, "order").await;
    assert_eq!((&plan["verdict"], &plan["end"]), (&json!("Undone"), &json!("Compensated")), "{plan:#}");
    assert_eq!((&plan["uid"], &plan["underWay"][0]["step"]), (&json!(uid), &json!("ship")));
    let told = requests(&plan, &base);
    let steps: Vec<_> = told.iter().map(|[path, ..]| path.as_str()).collect();
    assert_eq!(steps, ["/shipping/cancellations", "/payment/refunds", "/inventory/releases"]);

    shop.services.faults().clear("shipping");
    shop.patch_run("order", json!({"cancellation": {"policy": "Compensate", "reason": "changed my mind"}})).await;
    let ended = shop.ended("order").await;
    assert_eq!(stands(&ended), "Compensated");
    // Of repetitions the first: on a busy machine an answer may come too late.
    let mut seen: Vec<[String; 3]> = Vec::new();
    for entry in shop.services.ledger().entries() {
        let call = entry.call;
        if entry.change == Change::Undone && call.run_uid.as_deref() == Some(&uid) {
            seen.push([call.path, call.key.expect("a key"), call.forward_key.expect("what is meant")]);
        }
    }
    assert_eq!(seen, told);
    let plan = planned(&shop, "order").await;
    assert_eq!((&plan["verdict"], &plan["requests"]), (&json!("Ended"), &json!([])));
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_past_its_commit_point_is_said_to_go_forward() {
    let shop = Shop::open("undo").await;
    let _operator = shop.operator();
    let base = shop.services.base_url();
    let mut spec = checkout(&base);
    let compensation = |step: &mut Value| step.as_object_mut().expect("a step").remove("compensation");
    spec["steps"][1]["role"] = json!("Pivot");
    compensation(&mut spec["steps"][1]);
    spec["steps"][2]["role"] = json!("Retriable");
    compensation(&mut spec["steps"][2]);
    spec["steps"][0]["confirm"] =
        call(&format!("{base}/inventory/confirmations"), json!({"key": "${call.forwardKey}"}));
    shop.define("prepaid", spec).await;
    shop.fault("shipping", FaultMode::Down);
    shop.start("order", "prepaid", good_order()).await;
    shop.seen("the shipping is down", |entry| entry.fault == Some(FaultMode::Down)).await;

    let plan = planned(&shop, "order").await;
    assert_eq!((&plan["verdict"], &plan["end"]), (&json!("Refused"), &json!("Succeeded")), "{plan:#}");
    let told = requests(&plan, &base);
    assert_eq!(told.last().map(|[path, ..]| path.as_str()), Some("/inventory/confirmations"));
    shop.patch_run("order", json!({"cancellation": {"policy": "Compensate"}})).await;
    shop.services.faults().clear("shipping");
    assert_eq!(stands(&shop.ended("order").await), "Succeeded");
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_there_is_named() {
    let shop = Shop::open("undo").await;
    let said = plan(&shop, &["nobody"]).await;
    assert_eq!((said.code, said.out.as_str()), (Some(2), ""));
    assert!(said.err.contains("failed to find the SagaRun 'nobody' in the namespace"), "{}", said.err);
    let said = plan(&shop, &["one", "two"]).await;
    assert_eq!(said.code, Some(2));
    assert!(said.err.contains("name one run"), "{}", said.err);
    // Nobody has looked at it: there is no operator.
    shop.create(&common::shop::definition("checkout", checkout(&shop.services.base_url()))).await;
    shop.start("order", "checkout", good_order()).await;
    let plan = planned(&shop, "order").await;
    assert_eq!((&plan["verdict"], &plan["requests"]), (&json!("NothingSent"), &json!([])));
    shop.close().await;
}
