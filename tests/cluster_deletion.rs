//! A run that is deleted, with any propagation policy, at any of its writes; and a namespace that is: what was done is
//! undone, or finished where it cannot be undone any more, and nothing is left behind.
//!
//! By default each write meets one policy; with `SAGA_PROVE=1` each meets all of them.

mod common;
mod proof;

use std::sync::Arc;

use common::ledger::account;
use common::proxy::{Stage, Verdict};
use common::shop::{condition, eventually, stands};
use futures::StreamExt as _;
use k8s_openapi::api::core::v1::Namespace;
use kube::api::{Api, DeleteParams};
use kube::core::params::PropagationPolicy;
use proof::oracle::Evidence;
use proof::play::{Played, Theatre, play};
use proof::point::{Point, RUN, Trap};
use proof::story::{DIAMOND, SEQUENCE, SEQUENCE_UNDONE, Story, TRIP};
use proof::sweep::{everything, report};
use saga_operator::api::ConditionStatus;
use saga_operator::cli::participants::FaultMode;
use serde_json::json;
use tokio::sync::{Notify, Semaphore};

/// Worlds side by side.
static ROOM: Semaphore = Semaphore::const_new(4);

/// Every way in which kubectl deletes.
fn ways() -> [DeleteParams; 4] {
    let with = |policy| DeleteParams { propagation_policy: Some(policy), ..DeleteParams::default() };
    [
        with(PropagationPolicy::Background),
        with(PropagationPolicy::Foreground),
        with(PropagationPolicy::Orphan),
        // --force
        DeleteParams { grace_period_seconds: Some(0), ..with(PropagationPolicy::Background) },
    ]
}

/// Deletes before the n-th write of the run is passed on, which then conflicts. Nothing but what the story says may be left.
async fn deleted_at(story: &Story, write: usize, way: DeleteParams) {
    let _room = ROOM.acquire().await.expect("open");
    let stage = Theatre::open(story).await;
    let operator = stage.operator();
    let reached = Arc::new(Notify::new());
    let (point, reach) = (Point { label: RUN.to_owned(), nth: write, stage: Stage::Asked }, reached.clone());
    let trap = Trap::new(point, move || {
        reach.notify_one();
        Verdict::Held
    });
    stage.prepare(story, Some(trap));
    stage.shop.define("saga", stage.spec.clone()).await;
    let history = stage.begin(story).await;
    let run = stage.shop.runs.get("order").await.expect("there");
    reached.notified().await;
    stage.shop.runs.delete("order", &way).await.expect("deleted");
    stage.api.let_go();
    let evidence = stage.evidence(&run, history.until_gone().await, Vec::new());
    fits(story, &format!("deleted at write {write}"), &evidence);
    drop((operator, history));
    stage.close().await;
}

/// Fails when a promise is broken, or the run that is gone left something else than its last state says.
fn fits(story: &Story, how: &str, evidence: &Evidence) -> String {
    let mut found = evidence.violations();
    let end = evidence.states.last().expect("states")["status"]["conditions"][0]["reason"].as_str().unwrap_or_default();
    let standing = evidence.standing();
    let fits = match end {
        "Succeeded" => standing == story.standing,
        "Compensated" => standing.is_empty(),
        "" => evidence.wire.is_empty(),
        _ => false,
    };
    if !fits {
        found.push(format!("it ended '{end}', and {standing:?} stands"));
    }
    assert!(found.is_empty(), "{}, {how}: {found:#?}\n{}", story.name, evidence.told());
    end.to_owned()
}

async fn deleted_at_every_write(story: Story) {
    let Played { writes, .. } = play(&story, None).await;
    let mut worlds = Vec::new();
    for write in 0..writes {
        for (kind, way) in ways().into_iter().enumerate() {
            if everything() || write % ways().len() == kind {
                worlds.push(async move { deleted_at(&story, write, way).await });
            }
        }
    }
    report("deletion", worlds.len(), story.name);
    futures::stream::iter(worlds).buffer_unordered(usize::MAX).for_each(async |()| {}).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sequence_deleted_at_any_write_is_undone_or_done() {
    deleted_at_every_write(SEQUENCE).await;
    deleted_at_every_write(SEQUENCE_UNDONE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_diamond_deleted_at_any_write_is_undone_before_its_pivot_and_done_after_it() {
    deleted_at_every_write(DIAMOND).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trip_deleted_at_any_write_is_cancelled_or_confirmed() {
    deleted_at_every_write(TRIP).await;
}

/// Deletes the namespace while a step waits for its service. Returns how the run ended.
async fn namespace_deleted(story: &Story, service: &str) -> String {
    let stage = Theatre::open(story).await;
    let operator = stage.operator();
    stage.shop.fault(service, FaultMode::Down);
    stage.shop.define("saga", stage.spec.clone()).await;
    let history = stage.begin(story).await;
    stage.shop.seen("a step waits", |entry| entry.fault == Some(FaultMode::Down)).await;
    let run = stage.shop.runs.get("order").await.expect("there");
    let namespaces: Api<Namespace> = Api::all(stage.shop.client.clone());
    namespaces.delete(&stage.shop.namespace, &DeleteParams::default()).await.expect("deleted");
    stage.shop.until("order", "deleted", |run| run.metadata.deletion_timestamp.is_some()).await;
    stage.shop.services.faults().clear(service);
    let evidence = stage.evidence(&run, history.until_gone().await, Vec::new());
    eventually("the namespace is gone", async || {
        let found = namespaces.get_opt(&stage.shop.namespace).await.expect("an answer");
        found.map_or(Ok(()), |namespace| Err(format!("{:#?}", namespace.status)))
    })
    .await;
    drop((operator, history));
    fits(story, "its namespace deleted", &evidence)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_deleted_on_the_way_goes_when_its_saga_is_undone_or_done() {
    assert_eq!(namespace_deleted(&SEQUENCE, "shipping").await, "Compensated");
    assert_eq!(namespace_deleted(&DIAMOND, "notification").await, "Succeeded", "its Pivot was through");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_saga_whose_secrets_go_before_its_namespace_says_that_it_needs_a_person() {
    let stage = Theatre::open(&SEQUENCE).await;
    let (shop, operator) = (&stage.shop, stage.operator());
    let mut spec = stage.spec.clone();
    let reference = json!({"secretKeyRef": {"name": "payment-api", "key": "authorization"}});
    spec["steps"][1]["compensation"]["http"]["headers"] = json!([{"name": "Authorization", "valueFrom": reference}]);
    shop.fault("shipping", FaultMode::Down);
    shop.define("saga", spec).await;
    let history = stage.begin(&SEQUENCE).await;
    shop.seen("a step waits", |entry| entry.fault == Some(FaultMode::Down)).await;
    let run = shop.runs.get("order").await.expect("there");
    // The Secret is gone already, and so is the right to read it.
    let namespaces: Api<Namespace> = Api::all(shop.client.clone());
    namespaces.delete(&shop.namespace, &DeleteParams::default()).await.expect("deleted");
    shop.until("order", "deleted", |run| run.metadata.deletion_timestamp.is_some()).await;
    shop.services.faults().clear("shipping");
    let stalled = shop.until("order", "stalled", |run| condition(run, "Stalled").status == ConditionStatus::True).await;
    assert_eq!(stands(&stalled), "Unrenderable", "{:#?}", stalled.status);
    assert!(condition(&stalled, "Succeeded").message.contains("charge"), "{:#?}", stalled.status);
    assert_eq!(account(shop, &run).standing(), ["reserve", "charge"], "nothing is undone out of order");
    shop.patch_run("order", json!({"deletionPolicy": "Abandon"})).await;
    let evidence = stage.evidence(&run, history.until_gone().await, Vec::new());
    assert_eq!(evidence.violations(), Vec::<String>::new(), "{}", evidence.told());
    eventually("the namespace is gone", async || {
        let found = namespaces.get_opt(&shop.namespace).await.expect("an answer");
        found.map_or(Ok(()), |namespace| Err(format!("{:#?}", namespace.status)))
    })
    .await;
    drop((operator, history));
}
