//! What goes when it is over, and what is counted while it is not.

mod common;

use common::shop::{Shop, eventually, hasty, sequence};
use kube::ResourceExt as _;
use kube::api::ListParams;
use saga_operator::cli::participants::FaultMode;
use serde_json::json;

const RUNS: usize = 60;

#[tokio::test(flavor = "multi_thread")]
async fn under_load_every_finished_run_goes_and_no_other() {
    let shop = Shop::open("retention").await;
    let operator = shop.operator();
    shop.define("short", sequence(&shop.services.base_url(), 1)).await;
    let mut stuck = sequence(&shop.services.base_url(), 1);
    stuck["steps"][0]["action"]["http"]["url"] = json!(format!("{}/payment/charges", shop.services.base_url()));
    stuck["steps"][0]["action"]["http"]["body"] = json!({"amount": 1});
    shop.fault("payment", FaultMode::Down);
    shop.define("stuck", stuck).await;
    for index in 0..RUNS {
        let spec = json!({"definitionRef": {"name": "short"}, "ttlSecondsAfterFinished": index % 3});
        shop.start_with(&format!("short-{index}"), spec).await;
        if index % 10 == 0 {
            let spec = json!({"definitionRef": {"name": "stuck"}, "ttlSecondsAfterFinished": 0});
            shop.start_with(&format!("stuck-{index}"), spec).await;
        }
    }
    let left = eventually("only unfinished runs are left", async || {
        let left: Vec<String> = shop
            .runs
            .list(&ListParams::default())
            .await
            .expect("listed")
            .items
            .iter()
            .map(|run| run.name_any())
            .collect();
        if left.iter().any(|name| name.starts_with("short")) { Err(format!("{left:?}")) } else { Ok(left) }
    })
    .await;
    assert_eq!(left.len(), RUNS / 10, "{left:?}");
    shop.services.faults().clear("payment");
    eventually("the others end and go, too", async || {
        let left = shop.runs.list(&ListParams::default()).await.expect("listed").items.len();
        if left == 0 { Ok(()) } else { Err(format!("{left} are left")) }
    })
    .await;
    drop(operator);
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn unfinished_runs_are_counted_right_after_a_restart() {
    let shop = Shop::open("retention").await;
    let first = shop.operator();
    shop.define("sequence", hasty(sequence(&shop.services.base_url(), 1))).await;
    shop.fault("inventory", FaultMode::Down);
    for name in ["a", "b", "c"] {
        shop.start(name, "sequence", json!({})).await;
    }
    let counts = |wanted: i32| {
        let shop = &shop;
        async move {
            let active = |definition: &saga_operator::api::SagaDefinition| {
                definition.status.as_ref().and_then(|status| status.active_runs)
            };
            shop.looked_at("sequence", "counted", |definition| active(definition) == Some(wanted)).await;
        }
    };
    counts(3).await;
    first.kill().await;
    // One ends while nobody watches: it is deleted by force.
    let free = kube::api::Patch::Merge(json!({"metadata": {"finalizers": null}}));
    shop.runs.patch("a", &kube::api::PatchParams::default(), &free).await.expect("patched");
    shop.runs.delete("a", &kube::api::DeleteParams::default()).await.expect("deleted");
    let second = shop.operator();
    counts(2).await;
    shop.services.faults().clear("inventory");
    counts(0).await;
    drop(second);
    shop.close().await;
}
