//! What becomes of a saga when its run or its definition is deleted, edited, cancelled or suspended on the way.

mod common;

use common::ledger::account;
use common::shop::{Shop, checkout, eventually, good_order, has_ended, hasty, sequence, stands};
use kube::ResourceExt as _;
use kube::api::{Api, DeleteParams, ListParams};
use saga_operator::api::SagaRun;
use saga_operator::cli::participants::FaultMode;
use serde_json::{Value, json};

/// A shop whose saga waits for its third step, the first two done.
async fn halfway(more: Value) -> (Shop, common::operator::Operator, SagaRun) {
    let shop = Shop::open("delete").await;
    let operator = shop.operator();
    shop.define("checkout", hasty(checkout(&shop.services.base_url()))).await;
    shop.fault("shipping", FaultMode::Down);
    let mut spec = json!({"definitionRef": {"name": "checkout"}, "input": good_order()});
    for (field, value) in more.as_object().expect("fields") {
        spec[field] = value.clone();
    }
    shop.start_with("order", spec).await;
    let run = shop.until("order", "waiting for its third step", |run| waits_for(run, "ship")).await;
    (shop, operator, run)
}

fn waits_for(run: &SagaRun, step: &str) -> bool {
    let steps = run.status.iter().flat_map(|status| &status.steps);
    steps.into_iter().any(|found| found.name == step && found.attempts >= Some(2))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_deleted_on_the_way_is_undone_and_then_goes() {
    let (shop, operator, run) = halfway(json!({})).await;
    assert_eq!(run.finalizers(), ["sagas.dev/compensate"]);
    shop.kubectl(&["delete", "sagarun", "order", "--wait=false"]).await;
    shop.until_gone_or("order", "compensating", |run| stands(run) == "Compensating").await;
    shop.services.faults().clear("shipping");
    shop.gone("order").await;
    let account = account(&shop, &run);
    account.check_gone(&[]);
    // The third step may have taken effect for all that is known: it is undone too.
    assert_eq!(account.asked("compensate"), ["ship", "charge", "reserve"]);
    drop(operator);
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_deleted_with_the_policy_abandon_goes_and_leaves_its_effects() {
    let (shop, operator, run) = halfway(json!({"deletionPolicy": "Abandon"})).await;
    shop.kubectl(&["delete", "sagarun", "order", "--timeout=60s"]).await;
    let account = account(&shop, &run);
    account.check_gone(&["reserve", "charge"]);
    assert_eq!(account.asked("compensate"), <[&str; 0]>::default());
    drop(operator);
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stuck_compensation_is_let_go_by_a_later_change_of_the_policy() {
    let (shop, operator, run) = halfway(json!({})).await;
    shop.fault("payment", FaultMode::Down);
    shop.kubectl(&["delete", "sagarun", "order", "--wait=false"]).await;
    shop.services.faults().clear("shipping");
    shop.until("order", "stuck", |run| {
        let mut steps = run.status.iter().flat_map(|status| &status.steps);
        steps.any(|step| step.compensation.as_ref().is_some_and(|undo| undo.attempts >= Some(2)))
    })
    .await;
    shop.patch_run("order", json!({"deletionPolicy": "Abandon"})).await;
    shop.gone("order").await;
    account(&shop, &run).check_gone(&["reserve", "charge"]);
    drop(operator);
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_deleted_before_its_start_goes_without_any_call() {
    let shop = Shop::open("delete").await;
    let operator = shop.operator();
    shop.define("sequence", sequence(&shop.services.base_url(), 2)).await;
    let waiting = shop.start("waiting", "missing", json!({})).await;
    let spec = json!({"definitionRef": {"name": "sequence"}, "suspend": true});
    let suspended = shop.start_with("suspended", spec).await;
    shop.until("waiting", "waiting", |run| stands(run) == "Pending").await;
    shop.until("suspended", "suspended", |run| stands(run) == "Suspended").await;
    for run in [&waiting, &suspended] {
        shop.kubectl(&["delete", "sagarun", &run.name_any(), "--timeout=60s"]).await;
        assert_eq!(account(&shop, run).entries, []);
    }
    drop(operator);
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_finished_run_goes_at_once_and_nothing_is_undone() {
    let shop = Shop::open("delete").await;
    let operator = shop.operator();
    shop.define("sequence", sequence(&shop.services.base_url(), 2)).await;
    shop.start("order", "sequence", json!({})).await;
    let run = shop.ended("order").await;
    shop.kubectl(&["delete", "sagarun", "order", "--timeout=60s"]).await;
    let account = account(&shop, &run);
    account.check(&run, &["s1", "s2"]);
    assert_eq!(account.entries.len(), 2, "{:#?}", account.entries);
    drop(operator);
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_keeps_to_the_definition_it_started_with_however_that_is_edited() {
    let (shop, operator, run) = halfway(json!({})).await;
    let pinned = run.status.as_ref().and_then(|status| status.definition_revision.clone());
    let mut edited = checkout(&shop.services.base_url());
    edited["steps"].as_array_mut().expect("steps").truncate(1);
    shop.edit("checkout", edited).await;
    let definition = shop.definitions.get("checkout").await.expect("there");
    assert_ne!(definition.status.and_then(|status| status.current_revision), pinned);
    // Who takes the run over keeps to it, too.
    operator.kill().await;
    shop.services.faults().clear("shipping");
    let operator = shop.operator();
    let ended = shop.ended("order").await;
    assert_eq!(stands(&ended), "Succeeded");
    assert_eq!(ended.status.as_ref().and_then(|status| status.definition_revision.clone()), pinned);
    account(&shop, &ended).check(&ended, &["reserve", "charge", "ship"]);

    shop.start("later", "checkout", good_order()).await;
    let later = shop.ended("later").await;
    account(&shop, &later).check(&later, &["reserve"]);
    drop(operator);
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_definition_deleted_on_the_way_stays_until_its_run_has_ended() {
    let (shop, operator, run) = halfway(json!({})).await;
    shop.definitions.delete("checkout", &DeleteParams::background()).await.expect("deleted");
    // Something that the operator does after it has seen the deletion.
    shop.define("other", sequence(&shop.services.base_url(), 1)).await;
    shop.start("other", "other", json!({})).await;
    shop.ended("other").await;
    let definition = shop.definitions.get("checkout").await.expect("still there");
    assert!(definition.metadata.deletion_timestamp.is_some());
    assert_eq!(definition.finalizers(), ["sagas.dev/in-use"]);

    shop.services.faults().clear("shipping");
    let ended = shop.ended("order").await;
    assert_eq!((stands(&ended), ended.uid()), ("Succeeded".to_owned(), run.uid()));
    account(&shop, &ended).check(&ended, &["reserve", "charge", "ship"]);
    eventually("the definition is gone", async || {
        let found = shop.definitions.get_opt("checkout").await.expect("an answer");
        found.map_or(Ok(()), |definition| Err(format!("{definition:#?}")))
    })
    .await;
    let revisions: Api<k8s_openapi::api::apps::v1::ControllerRevision> =
        Api::namespaced(shop.client.clone(), &shop.namespace);
    let of_it = ListParams::default().labels("sagas.dev/definition=checkout");
    eventually("its revisions are gone", async || {
        let left = revisions.list(&of_it).await.expect("listed").items;
        if left.is_empty() { Ok(()) } else { Err(format!("{left:#?}")) }
    })
    .await;
    drop(operator);
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_run_is_undone_and_stays_to_tell() {
    let (shop, operator, _) = halfway(json!({})).await;
    shop.patch_run("order", json!({"cancellation": {"policy": "Compensate", "reason": "changed my mind"}})).await;
    shop.until("order", "compensating", |run| stands(run) == "Compensating" || has_ended(run)).await;
    shop.services.faults().clear("shipping");
    let run = shop.ended("order").await;
    assert_eq!(stands(&run), "Compensated");
    let failure = run.status.as_ref().and_then(|status| status.failure.clone()).expect("a failure");
    assert_eq!(failure.reason, "Cancelled");
    assert!(failure.message.contains("changed my mind"), "{}", failure.message);
    account(&shop, &run).check(&run, &[]);
    drop(operator);
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_abandoned_run_ends_at_once_and_leaves_its_effects() {
    let (shop, operator, _) = halfway(json!({})).await;
    shop.patch_run("order", json!({"cancellation": {"policy": "Abandon"}})).await;
    let run = shop.ended("order").await;
    assert_eq!(stands(&run), "Abandoned");
    let account = account(&shop, &run);
    account.check(&run, &["reserve", "charge"]);
    assert_eq!(account.asked("compensate"), <[&str; 0]>::default());
    drop(operator);
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_suspended_run_sends_nothing_until_it_is_resumed() {
    let (shop, operator, run) = halfway(json!({})).await;
    shop.patch_run("order", json!({"suspend": true})).await;
    let open = |run: &SagaRun| {
        let journal = run.status.as_ref().and_then(|status| status.journal.clone()).unwrap_or_default();
        !journal.in_flight.is_empty()
    };
    shop.until("order", "suspended", |run| stands(run) == "Suspended" && !open(run)).await;
    shop.services.faults().clear("shipping");
    let before = account(&shop, &run).entries.len();
    // Everything else goes on meanwhile.
    shop.start("other", "checkout", good_order()).await;
    assert_eq!(stands(&shop.ended("other").await), "Succeeded");
    assert_eq!(account(&shop, &run).entries.len(), before);
    shop.patch_run("order", json!({"suspend": false})).await;
    let ended = shop.ended("order").await;
    assert_eq!(stands(&ended), "Succeeded");
    account(&shop, &ended).check(&ended, &["reserve", "charge", "ship"]);
    drop(operator);
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_finished_run_goes_when_its_time_to_live_is_over() {
    let shop = Shop::open("delete").await;
    let operator = shop.operator();
    shop.define("sequence", sequence(&shop.services.base_url(), 1)).await;
    let spec = json!({"definitionRef": {"name": "sequence"}, "ttlSecondsAfterFinished": 1});
    let short = shop.start_with("short", spec).await;
    shop.start("long", "sequence", json!({})).await;
    shop.gone("short").await;
    account(&shop, &short).check_gone(&["s1"]);
    let long = shop.ended("long").await;
    shop.patch_run("long", json!({"ttlSecondsAfterFinished": 0})).await;
    shop.gone("long").await;
    account(&shop, &long).check_gone(&["s1"]);
    drop(operator);
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_name_again_is_another_run() {
    let shop = Shop::open("delete").await;
    let operator = shop.operator();
    shop.define("sequence", sequence(&shop.services.base_url(), 2)).await;
    shop.start("order", "sequence", json!({})).await;
    let first = shop.ended("order").await;
    shop.kubectl(&["delete", "sagarun", "order", "--timeout=60s"]).await;
    shop.start("order", "sequence", json!({})).await;
    let second = shop.ended("order").await;
    assert_ne!(first.uid(), second.uid());
    for run in [&first, &second] {
        let account = account(&shop, run);
        account.check(run, &["s1", "s2"]);
        let uid = run.uid().expect("a UID");
        assert!(account.effects.iter().all(|effect| effect.key.starts_with(&uid)), "{:#?}", account.effects);
    }
    drop(operator);
    shop.close().await;
}
