//! What a user of kubectl sees of sagas that succeed, fail and wait, told by the real operator on a real API server.

mod common;
#[path = "cluster_story/etcd.rs"]
mod etcd;

use common::ledger::account;
use common::shop::{
    Shop, checkout, condition, conditions, definition, good_order, has_ended, run, sequence, stands,
    undeliverable_order,
};
use kube::ResourceExt as _;
use kube::api::{Patch, PatchParams};
use saga_operator::api::{ConditionStatus, SagaDefinition};
use saga_operator::cli::participants::FaultMode;
use serde_json::json;

/// The columns of `kubectl get` for one object, without its age.
async fn columns(shop: &Shop, kind: &str, name: &str) -> Vec<String> {
    let text = shop.kubectl(&["get", kind, name, "--no-headers"]).await;
    let mut columns: Vec<_> = text.split_whitespace().map(str::to_owned).collect();
    columns.pop();
    columns
}

/// The reasons of a run's Events, as `kubectl describe` shows them, once there are all of these.
async fn described(shop: &Shop, name: &str, reasons: &[&str]) {
    common::shop::eventually(&format!("Events {reasons:?} are described"), async || {
        let text = shop.kubectl(&["describe", "sagarun", name]).await;
        let events = text.split_once("\nEvents:").map(|(_, events)| events).unwrap_or_default();
        let there = |reason: &&str| events.split_whitespace().any(|word| word == *reason);
        if reasons.iter().all(there) { Ok(()) } else { Err(text) }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_saga_that_succeeds_says_so_everywhere() {
    let shop = Shop::open("story").await;
    let _operator = shop.operator();
    shop.define("checkout", checkout(&shop.services.base_url())).await;
    assert_eq!(columns(&shop, "sagadefinition", "checkout").await[..4], ["checkout", "True", "Accepted", "3"]);

    shop.start("order", "checkout", good_order()).await;
    shop.kubectl(&["wait", "--for=condition=Completed", "sagarun/order", "--timeout=60s"]).await;
    let run = shop.ended("order").await;
    let expected = [
        "Succeeded=True/Succeeded",
        "Completed=True/Succeeded",
        "Reconciling=False/Succeeded",
        "Stalled=False/Succeeded",
    ];
    assert_eq!(conditions(&run), expected);
    assert_eq!(columns(&shop, "sagarun", "order").await, ["order", "checkout", "True", "Succeeded", "3/3"]);
    assert_eq!(run.labels()["sagas.dev/definition"], "checkout");
    let status = run.status.clone().expect("a status");
    assert_eq!((status.observed_generation, status.failure.clone()), (Some(1), None));
    assert!(status.start_time.is_some() && status.completion_time >= status.start_time, "{status:#?}");
    account(&shop, &run).check(&run, &["reserve", "charge", "ship"]);
    described(&shop, "order", &["Succeeded"]).await;

    // A change of the spec after the end is taken note of, and changes nothing else.
    shop.patch_run("order", json!({"ttlSecondsAfterFinished": 100_000})).await;
    let later = shop
        .until("order", "observed at its new generation", |run| {
            run.status.as_ref().is_some_and(|status| status.observed_generation == Some(2))
        })
        .await;
    assert_eq!(conditions(&later), expected);
    assert_eq!(later.status.expect("a status").completion_time, status.completion_time);
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_saga_that_fails_is_undone_in_reverse_and_says_why() {
    let shop = Shop::open("story").await;
    let _operator = shop.operator();
    shop.define("checkout", checkout(&shop.services.base_url())).await;
    shop.start("order", "checkout", undeliverable_order()).await;
    let run = shop.ended("order").await;
    let expected = [
        "Succeeded=False/Compensated",
        "Completed=True/Compensated",
        "Reconciling=False/Compensated",
        "Stalled=True/Compensated",
    ];
    assert_eq!(conditions(&run), expected);
    assert_eq!(columns(&shop, "sagarun", "order").await, ["order", "checkout", "False", "Compensated", "2/3"]);
    let failure = run.status.as_ref().and_then(|status| status.failure.clone()).expect("a failure");
    let facts = (failure.step.as_deref(), failure.reason.as_str(), failure.http_status_code);
    assert_eq!(facts, (Some("ship"), "Rejected", Some(422)));
    let account = account(&shop, &run);
    account.check(&run, &[]);
    assert_eq!(account.asked("forward"), ["reserve", "charge", "ship"]);
    assert_eq!(account.asked("compensate"), ["charge", "reserve"]);
    described(&shop, "order", &["Compensating", "StepCompensated", "Compensated"]).await;
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_participant_that_is_down_is_asked_again_until_it_is_up() {
    let shop = Shop::open("story").await;
    let _operator = shop.operator();
    shop.define("checkout", checkout(&shop.services.base_url())).await;
    shop.fault("payment", FaultMode::Down);
    shop.start("order", "checkout", good_order()).await;
    let waiting = shop
        .until("order", "at the third attempt of its charge", |run| {
            let steps = run.status.iter().flat_map(|status| &status.steps);
            steps.into_iter().any(|step| step.name == "charge" && step.attempts >= Some(3))
        })
        .await;
    assert_eq!(
        conditions(&waiting),
        ["Succeeded=Unknown/Running", "Completed=False/Running", "Reconciling=True/Running", "Stalled=False/Running"]
    );
    assert_eq!(columns(&shop, "sagarun", "order").await, ["order", "checkout", "Unknown", "Running", "1/3"]);
    assert_eq!(waiting.finalizers(), ["sagas.dev/compensate"]);
    shop.services.faults().clear("payment");
    let run = shop.ended("order").await;
    assert_eq!(stands(&run), "Succeeded");
    let account = account(&shop, &run);
    account.check(&run, &["reserve", "charge", "ship"]);
    let charges: Vec<_> = account.entries.iter().filter(|entry| entry.call.step.as_deref() == Some("charge")).collect();
    assert!(charges.iter().filter(|entry| entry.status == 503).count() >= 2, "{charges:#?}");
    assert!(charges.iter().all(|entry| entry.call.key == charges[0].call.key), "{charges:#?}");
    described(&shop, "order", &["AttemptFailed", "Succeeded"]).await;
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_definition_names_field_and_fix_and_its_runs_wait_for_their_time() {
    let shop = Shop::open("story").await;
    let _operator = shop.operator();
    let mut broken = checkout(&shop.services.base_url());
    broken["steps"][2]["action"]["http"]["body"] = json!({"address": "${steps.nobody.outputs.address}"});
    shop.create(&definition("checkout", broken)).await;
    let refused = shop.looked_at("checkout", "refused", |definition: &SagaDefinition| {
        let conditions = definition.status.iter().flat_map(|status| &status.conditions);
        conditions.into_iter().any(|condition| condition.type_ == "Ready" && condition.status == ConditionStatus::False)
    });
    let status = refused.await.status.expect("a status");
    let ready = status.conditions.iter().find(|condition| condition.type_ == "Ready").expect("the condition");
    assert_eq!(ready.reason, "InvalidExpression");
    assert!(ready.message.starts_with("spec.steps[2].action.http.body"), "{}", ready.message);
    assert!(ready.message.contains("nobody"), "{}", ready.message);

    let spec = json!({"definitionRef": {"name": "checkout"}, "input": good_order(), "activeDeadlineSeconds": 4});
    shop.start_with("order", spec).await;
    let waiting = shop.until("order", "looked at", |run| !stands(run).is_empty()).await;
    let message = &condition(&waiting, "Succeeded").message;
    assert!(message.contains("'checkout' is not Ready") && message.contains("nobody"), "{message}");
    let run = shop.ended("order").await;
    assert_eq!(condition(&run, "Succeeded").reason, "DefinitionNotReady");
    assert_eq!(condition(&run, "Succeeded").status, ConditionStatus::False);
    assert_eq!(account(&shop, &run).entries, []);
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_comes_before_its_definition_starts_when_that_is_there() {
    let shop = Shop::open("story").await;
    let _operator = shop.operator();
    shop.start("order", "checkout", good_order()).await;
    let waiting = shop.until("order", "waiting", |run| stands(run) == "Pending").await;
    let message = &condition(&waiting, "Succeeded").message;
    assert!(message.contains("no SagaDefinition 'checkout'"), "{message}");
    shop.define("checkout", checkout(&shop.services.base_url())).await;
    let run = shop.ended("order").await;
    assert_eq!(stands(&run), "Succeeded");
    account(&shop, &run).check(&run, &["reserve", "charge", "ship"]);
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_input_that_violates_the_schema_ends_the_run_before_any_call() {
    let shop = Shop::open("story").await;
    let _operator = shop.operator();
    let mut spec = checkout(&shop.services.base_url());
    spec["inputSchema"] = json!({
        "type": "object",
        "properties": {"lines": {"type": "array", "items": {"properties": {"quantity": {"type": "integer"}}}}},
    });
    shop.define("checkout", spec).await;
    shop.start("order", "checkout", json!({"lines": [{"quantity": 1}, {"quantity": "many"}]})).await;
    let run = shop.ended("order").await;
    assert_eq!(stands(&run), "InvalidInput");
    let message = &condition(&run, "Succeeded").message;
    assert!(message.contains("/lines/1/quantity"), "{message}");
    assert_eq!(account(&shop, &run).entries, []);
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn objects_that_this_version_cannot_read_stop_nobody_else() {
    let shop = Shop::open("story").await;
    let sane = sequence(&shop.services.base_url(), 1);
    shop.create(&definition("sane", sane.clone())).await;
    shop.create(&definition("strange", sane)).await;
    let spec = json!({"definitionRef": {"name": "sane"}});
    for name in ["strange-spec", "strange-status"] {
        shop.create(&run(name, spec.clone())).await;
    }
    // From a newer version, perhaps: the schema allows any word here.
    let status = json!({"status": {"startTime": "2026-01-01T00:00:00Z", "failure": {"reason": "OfTheFuture"}}});
    let patch = shop.runs.patch_status("strange-status", &PatchParams::default(), &Patch::Merge(status)).await;
    patch.expect("patched");
    // What no API server would take: only its store can be made to hold it.
    etcd::change(&shop.namespace, "sagaruns", "strange-spec", "/spec/definitionRef", json!(5)).await;
    etcd::change(&shop.namespace, "sagadefinitions", "strange", "/spec/steps", json!("none")).await;

    let operator = shop.operator();
    shop.start_with("order", spec).await;
    let run = shop.ended("order").await;
    assert_eq!(stands(&run), "Succeeded");
    let untouched = shop.runs.get("strange-status").await.expect("there");
    assert!(!has_ended(&untouched) && untouched.finalizers().is_empty(), "{untouched:#?}");
    let log = operator.log();
    for name in ["strange-spec", "strange-status", "strange"] {
        let named = |line: &&str| line.contains("ERROR") && line.contains(&format!("\"{name}\""));
        assert!(log.lines().any(|line| named(&line)), "nothing is said about '{name}':\n{log}");
    }
    // Nor does one stop those that come while it is there.
    shop.start_with("later", json!({"definitionRef": {"name": "sane"}})).await;
    assert_eq!(stands(&shop.ended("later").await), "Succeeded");
    drop(operator);
    etcd::change(&shop.namespace, "sagadefinitions", "strange", "/spec/steps", json!([])).await;
    shop.close().await;
}
