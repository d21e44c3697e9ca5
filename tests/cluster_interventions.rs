//! Stalled runs and the decisions of people about them, on a real API server.

mod common;

use common::ledger::account;
use common::shop::{Shop, call, condition, stands};
use k8s_openapi::api::core::v1::Event;
use kube::api::{Api, ListParams};
use saga_operator::api::SagaRun;
use saga_operator::api::run::InterventionOutcome::{self, Applied, Refused};
use saga_operator::cli::participants::{Fault, FaultMode};
use serde_json::{Value, json};

/// Two steps that can be undone, the go/no-go, and one step that must follow. Nothing is tried more than twice.
fn trip(base: &str) -> Value {
    let twice = |mut call: Value| {
        call["retryPolicy"] = json!({"maxAttempts": 2, "initialBackoffMilliseconds": 20});
        call
    };
    let key = json!({"key": "${call.forwardKey}"});
    let goods = json!({"sku": "teapot", "quantity": 1});
    json!({"steps": [
        {
            "name": "reserve",
            "action": twice(call(&format!("{base}/inventory/reservations"), goods)),
            "compensation": twice(call(&format!("{base}/inventory/releases"), key)),
        },
        {"name": "charge", "role": "Pivot", "action": twice(call(&format!("{base}/payment/charges"), json!({"amount": 7})))},
        {
            "name": "ship",
            "role": "Retriable",
            "action": twice(call(&format!("{base}/shipping/shipments"), json!({"address": "1 Harbour Street"}))),
        },
    ]})
}

async fn decide(shop: &Shop, decisions: &[Value]) {
    for decision in decisions {
        let mut decision = decision.clone();
        decision["reason"] = json!("looked at it");
        decision["requestedBy"] = json!("jane@example.com");
        let present = shop.runs.get("trip").await.expect("there").spec.interventions;
        let (path, value) = if present.is_empty() {
            ("/spec/interventions", json!([decision]))
        } else {
            ("/spec/interventions/-", decision)
        };
        let patch = json!([{"op": "add", "path": path, "value": value}]).to_string();
        shop.kubectl(&["patch", "sagarun", "trip", "--type=json", &format!("--patch={patch}")]).await;
    }
}

async fn stalled(shop: &Shop, reason: &str) -> SagaRun {
    shop.until("trip", reason, |run| stands(run) == reason).await
}

fn outcomes(run: &SagaRun) -> Vec<(&str, InterventionOutcome)> {
    let judged = run.status.iter().flat_map(|status| &status.interventions);
    judged.map(|judged| (judged.id.as_str(), judged.outcome)).collect()
}

fn broken(shop: &Shop, service: &str, mode: FaultMode, direction: &str) {
    let fault = Fault { direction: Some(direction.to_owned()), ..Fault::new(mode) };
    shop.services.faults().set(service, fault);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stalled_compensation_is_retried_when_a_person_says_so() {
    let shop = Shop::open("decide").await;
    let operator = shop.operator();
    shop.define("trip", trip(&shop.services.base_url())).await;
    broken(&shop, "payment", FaultMode::Reject, "forward");
    broken(&shop, "inventory", FaultMode::Error, "compensate");
    shop.start("trip", "trip", json!({})).await;
    let run = stalled(&shop, "CompensationExhausted").await;
    assert!(condition(&run, "Succeeded").message.contains("'reserve'"), "{:?}", condition(&run, "Succeeded"));

    // Nothing is wrong with this one; then the same decision while it does not help; then when it does.
    decide(&shop, &[json!({"id": "a", "step": "ship", "direction": "Forward", "action": "Retry"})]).await;
    shop.until("trip", "judged", |run| outcomes(run) == [("a", Refused)]).await;
    decide(&shop, &[json!({"id": "b", "step": "reserve", "direction": "Compensate", "action": "Retry"})]).await;
    let run = shop
        .until("trip", "stalled again", |run| {
            let undo = run.status.as_ref().and_then(|status| status.steps[0].compensation.as_ref());
            stands(run) == "CompensationExhausted" && undo.is_some_and(|undo| undo.attempts == Some(4))
        })
        .await;
    assert_eq!(outcomes(&run), [("a", Refused), ("b", Applied)]);
    shop.services.faults().clear("inventory");
    decide(&shop, &[json!({"id": "c", "step": "reserve", "direction": "Compensate", "action": "Retry"})]).await;

    let run = shop.ended("trip").await;
    assert_eq!(stands(&run), "Compensated");
    assert_eq!(outcomes(&run), [("a", Refused), ("b", Applied), ("c", Applied)]);
    account(&shop, &run).check(&run, &[]);
    let events: Api<Event> = Api::namespaced(shop.client.clone(), &shop.namespace);
    let told: Vec<String> = events
        .list(&ListParams::default())
        .await
        .expect("listed")
        .items
        .into_iter()
        .filter_map(|event| event.reason)
        .collect();
    for reason in ["Stalled", "InterventionRefused", "Intervened"] {
        assert!(told.iter().any(|told| told == reason), "{reason} in {told:?}");
    }
    drop(operator);
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_compensation_made_by_hand_ends_the_run_by_hand() {
    let shop = Shop::open("decide").await;
    let operator = shop.operator();
    shop.define("trip", trip(&shop.services.base_url())).await;
    broken(&shop, "payment", FaultMode::Reject, "forward");
    broken(&shop, "inventory", FaultMode::Down, "compensate");
    shop.start("trip", "trip", json!({})).await;
    stalled(&shop, "CompensationExhausted").await;
    decide(
        &shop,
        &[
            json!({"id": "done", "step": "reserve", "direction": "Compensate", "action": "MarkSucceeded"}),
            json!({"id": "again", "step": "reserve", "direction": "Compensate", "action": "Retry"}),
        ],
    )
    .await;
    let run = shop.ended("trip").await;
    assert_eq!(stands(&run), "CompensatedByHand");
    shop.until("trip", "wholly judged", |run| outcomes(run) == [("done", Applied), ("again", Refused)]).await;
    drop(operator);
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pivot_in_doubt_waits_for_a_person_and_so_does_its_cancellation() {
    for (action, end, standing) in [
        ("MarkFailed", "Compensated", &[][..]),
        ("MarkSucceeded", "Succeeded", &["reserve", "ship"]),
        ("Retry", "Succeeded", &["reserve", "charge", "ship"]),
    ] {
        let shop = Shop::open("decide").await;
        let operator = shop.operator();
        shop.define("trip", trip(&shop.services.base_url())).await;
        broken(&shop, "payment", FaultMode::Error, "forward");
        shop.start("trip", "trip", json!({})).await;
        stalled(&shop, "PivotInDoubt").await;
        shop.patch_run("trip", json!({"cancellation": {"policy": "Compensate", "reason": "too slow"}})).await;
        let observed = |run: &SagaRun| {
            run.status.as_ref().and_then(|status| status.observed_generation) == run.metadata.generation
        };
        let run = shop.until("trip", "looked at", observed).await;
        assert_eq!(stands(&run), "PivotInDoubt", "nothing turns the run while its Pivot is in doubt");
        shop.services.faults().clear("payment");
        decide(&shop, &[json!({"id": "x", "step": "charge", "direction": "Forward", "action": action})]).await;
        let run = shop.ended("trip").await;
        assert_eq!((stands(&run).as_str(), outcomes(&run)), (end, vec![("x", Applied)]), "{action}");
        account(&shop, &run).check(&run, standing);
        drop(operator);
        shop.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retriable_that_is_refused_goes_on_under_its_next_key() {
    let shop = Shop::open("decide").await;
    let operator = shop.operator();
    shop.define("trip", trip(&shop.services.base_url())).await;
    broken(&shop, "shipping", FaultMode::Reject, "forward");
    shop.start("trip", "trip", json!({})).await;
    stalled(&shop, "RetriableRejected").await;
    shop.services.faults().clear("shipping");
    decide(&shop, &[json!({"id": "x", "step": "ship", "direction": "Forward", "action": "Retry"})]).await;
    let run = shop.ended("trip").await;
    assert_eq!(stands(&run), "Succeeded");
    let account = account(&shop, &run);
    let keys: Vec<&str> = account.effects.iter().map(|effect| effect.key.as_str()).collect();
    assert!(keys.iter().any(|key| key.ends_with("/ship/forward/2")), "{keys:?}");
    assert!(!keys.iter().any(|key| key.ends_with("/ship/forward")), "{keys:?}");
    drop(operator);
    shop.close().await;
}
