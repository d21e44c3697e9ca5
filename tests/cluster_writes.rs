//! What runs cost the API server, and what comes of writes that are refused, lost or forgotten.

#[path = "cluster_writes/audit.rs"]
mod audit;
mod common;

use std::sync::Mutex;

use common::ledger::account;
use common::operator::Operator;
use common::proxy::{Proxy, Seen, Stage, Verdict};
use common::shop::{Shop, checkout, definition, good_order, sequence, stands, undeliverable_order};
use futures::StreamExt as _;
use saga_operator::api::SagaRun;
use saga_operator::cli::participants::{Fault, FaultMode};
use serde_json::{Value, json};

/// Worlds side by side.
const SIDE_BY_SIDE: usize = 4;

#[tokio::test(flavor = "multi_thread")]
async fn a_run_of_n_steps_costs_at_most_n_plus_three_writes_each_by_its_documented_verb() {
    let shop = Shop::open("writes").await;
    let operator = shop.operator();
    for count in [1, 3, 8] {
        let name = format!("of-{count}");
        shop.define(&name, sequence(&shop.services.base_url(), count)).await;
        shop.start(&name, &name, json!({})).await;
        let run = shop.ended(&name).await;
        assert_eq!(stands(&run), "Succeeded");
        let writes = audit::writes_on_run(&shop.namespace, &name);
        let verbs: Vec<_> = writes.iter().map(String::as_str).collect();
        // The finalizer; the first intents; each outcome with the next intents; the finalizer again.
        let mut expected = vec!["patch 200"];
        expected.extend(vec!["update status 200"; count + 1]);
        expected.push("patch 200");
        assert_eq!(verbs, expected, "{count} steps");
    }
    drop(operator);
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_operator_never_needs_a_right_that_it_does_not_have() {
    let shop = Shop::open("writes").await;
    let operator = shop.operator();
    shop.define("checkout", checkout(&shop.services.base_url())).await;
    shop.start("good", "checkout", good_order()).await;
    let spec = json!({
        "definitionRef": {"name": "checkout"}, "input": undeliverable_order(), "ttlSecondsAfterFinished": 0,
    });
    shop.start_with("bad", spec).await;
    shop.ended("good").await;
    shop.gone("bad").await;
    let edited = sequence(&shop.services.base_url(), 1);
    shop.edit("checkout", edited).await;
    shop.kubectl(&["delete", "sagadefinition", "checkout", "--timeout=60s"]).await;
    assert!(operator.stop().await.success());
    assert_eq!(audit::refused(&shop.namespace), Vec::<String>::new());
    shop.close().await;
}

/// What becomes of one write.
#[derive(Clone, Copy, Debug)]
enum Trouble {
    /// It is answered with 409 and does not arrive.
    Conflict,
    /// It arrives and is answered with 504.
    Forgotten,
    /// It arrives and is not answered.
    Lost,
    /// It is answered with 429 and does not arrive.
    Busy,
}

/// The n-th write on a run meets trouble.
fn trouble_at(proxy: &Proxy, write: usize, trouble: Trouble) {
    let writes = Mutex::new(Vec::new());
    proxy.hook(move |seen, stage| {
        let mut writes = writes.lock().expect("not poisoned");
        if seen.is_run_write() && stage == Stage::Asked {
            writes.push(seen.number);
        }
        if writes.iter().position(|number| *number == seen.number) != Some(write) {
            return Verdict::Pass;
        }
        match (trouble, stage) {
            (Trouble::Conflict, Stage::Asked) => Verdict::Answer(409),
            (Trouble::Busy, Stage::Asked) => Verdict::Answer(429),
            (Trouble::Forgotten, Stage::Answered) => Verdict::Answer(504),
            (Trouble::Lost, Stage::Answered) => Verdict::Drop,
            (_, Stage::Asked | Stage::Answered | Stage::Passed) => Verdict::Pass,
        }
    });
}

/// Plays a saga of three steps, and how it ends. Returns what the API server was asked.
async fn play(order: Value, end: &str, standing: &[&str], trouble: Option<(usize, Trouble)>) -> Vec<Seen> {
    let shop = Shop::open("writes").await;
    let proxy = shop.proxy().await;
    let operator = shop.operator_through(&proxy);
    shop.define("checkout", checkout(&shop.services.base_url())).await;
    if let Some((write, trouble)) = trouble {
        trouble_at(&proxy, write, trouble);
    }
    shop.start("order", "checkout", order).await;
    let run = shop.ended("order").await;
    assert_eq!(stands(&run), end, "{trouble:?}");
    account(&shop, &run).check(&run, standing);
    let doubts = run.status.iter().flat_map(|status| &status.steps).filter(|step| step.doubtful_attempts.is_some());
    // A process that knows what it did has no doubt, whatever it was answered.
    assert_eq!(doubts.count(), 0, "{trouble:?}: {:#?}", run.status);
    drop(operator);
    shop.close().await;
    proxy.seen()
}

/// What the journal promises about every sequence of writes; an empty list is a pass.
fn blind_writes(seen: &[Seen]) -> Vec<String> {
    let (mut found, mut fences, mut bodies) = (Vec::new(), Vec::new(), Vec::new());
    let of_runs: Vec<_> = seen.iter().filter(|seen| seen.is_run_write() || seen.is_run_read()).collect();
    for pair in of_runs.windows(2) {
        // Without a 200 in hand the next is a read.
        if pair[0].is_run_write() && pair[0].status != Some(200) && pair[1].is_run_write() {
            found.push(format!("{} {} follows an unclear write", pair[1].method, pair[1].path));
        }
    }
    for write in of_runs.iter().filter(|seen| seen.is_run_write()) {
        let body = write.json();
        if body["metadata"]["resourceVersion"].as_str().is_none_or(str::is_empty) {
            found.push(format!("{} {} names no version", write.method, write.path));
        }
        // A patch of finalizers that is known not to have landed may come again as it was.
        if write.method == "PUT" && bodies.contains(&&write.body) {
            found.push(format!("{} {} was sent twice", write.method, write.path));
        }
        bodies.push(&write.body);
        fences.extend(body["status"]["journal"]["fence"].as_u64());
    }
    if !fences.is_sorted_by(|a, b| a < b) {
        found.push(format!("fences of attempted writes do not rise: {fences:?}"));
    }
    found
}

async fn every_write_meets(trouble: Trouble, order: Value, end: &str, standing: &[&str]) {
    let seen = play(order.clone(), end, standing, None).await;
    assert_eq!(blind_writes(&seen), Vec::<String>::new());
    let writes = seen.iter().filter(|seen| seen.is_run_write()).count();
    assert!(writes >= 6, "only {writes} writes were seen: {seen:#?}");
    let worlds = (0..writes).map(|write| {
        let order = order.clone();
        async move { (write, play(order, end, standing, Some((write, trouble))).await) }
    });
    let played: Vec<_> = futures::stream::iter(worlds).buffer_unordered(SIDE_BY_SIDE).collect().await;
    for (write, seen) in played {
        assert_eq!(blind_writes(&seen), Vec::<String>::new(), "{trouble:?} at write {write}: {seen:#?}");
        let asked = seen.iter().filter(|seen| seen.is_run_write()).count();
        let expected = match trouble {
            Trouble::Conflict | Trouble::Busy => writes + 1,
            // It landed: that is found out by reading, not by writing.
            Trouble::Forgotten | Trouble::Lost => writes,
        };
        assert_eq!(asked, expected, "{trouble:?} at write {write}: {seen:#?}");
    }
}

const ALL: [&str; 3] = ["reserve", "charge", "ship"];

#[tokio::test(flavor = "multi_thread")]
async fn any_write_may_be_refused_as_a_conflict() {
    every_write_meets(Trouble::Conflict, good_order(), "Succeeded", &ALL).await;
    every_write_meets(Trouble::Conflict, undeliverable_order(), "Compensated", &[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn any_write_may_land_and_be_answered_with_a_timeout() {
    every_write_meets(Trouble::Forgotten, good_order(), "Succeeded", &ALL).await;
    every_write_meets(Trouble::Forgotten, undeliverable_order(), "Compensated", &[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn any_write_may_land_and_lose_its_answer() {
    every_write_meets(Trouble::Lost, good_order(), "Succeeded", &ALL).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn any_write_may_meet_a_busy_api_server() {
    every_write_meets(Trouble::Busy, good_order(), "Succeeded", &ALL).await;
}

fn holder(run: &SagaRun) -> Option<String> {
    let journal = run.status.as_ref().and_then(|status| status.journal.clone());
    journal.and_then(|journal| journal.holder).filter(|holder| !holder.is_empty())
}

/// A saga whose second step takes a while, and its operator, asked to end meanwhile.
async fn asked_to_end_on_the_way(grace: &str, milliseconds: u64) -> (Shop, SagaRun) {
    let shop = Shop::open("writes").await;
    let slow = Fault { times: Some(1), milliseconds: Some(milliseconds), ..Fault::new(FaultMode::Slow) };
    shop.services.faults().set("payment", slow);
    shop.create(&definition("checkout", checkout(&shop.services.base_url()))).await;
    let more = ["--shutdown-grace-seconds", grace];
    let operator = Operator::start_with(&shop.access, &shop.namespace, None, &more);
    shop.start("order", "checkout", good_order()).await;
    shop.until("order", "charging", |run| {
        let journal = run.status.as_ref().and_then(|status| status.journal.clone()).unwrap_or_default();
        journal.in_flight.iter().any(|call| call.step == "charge")
    })
    .await;
    // The call is on its way, as soon as the service has picked up its fault.
    common::shop::eventually("the call is on the wire", async || {
        let faults = shop.services.faults().all();
        if faults.is_empty() { Ok(()) } else { Err(format!("{faults:?}")) }
    })
    .await;
    assert!(operator.stop().await.success(), "SIGTERM is an orderly end");
    let run = shop.runs.get("order").await.expect("there");
    (shop, run)
}

#[tokio::test(flavor = "multi_thread")]
async fn asked_to_end_the_operator_waits_for_its_calls_and_gives_the_run_up() {
    let (shop, run) = asked_to_end_on_the_way("30", 1500).await;
    assert_eq!(holder(&run), None, "{:#?}", run.status);
    let status = run.status.clone().expect("a status");
    assert_eq!(status.progress.as_deref(), Some("2/3"), "the answer was heard: {status:#?}");
    assert!(status.journal.is_none_or(|journal| journal.in_flight.is_empty()), "nothing is in doubt");
    let operator = shop.operator();
    let ended = shop.ended("order").await;
    assert_eq!(stands(&ended), "Succeeded");
    let account = account(&shop, &ended);
    account.check(&ended, &ALL);
    assert_eq!(account.entries.len(), 3, "no call was repeated: {:#?}", account.entries);
    drop(operator);
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn asked_to_end_the_operator_ends_in_time_although_a_call_does_not() {
    let (shop, run) = asked_to_end_on_the_way("1", 8000).await;
    let journal = run.status.as_ref().and_then(|status| status.journal.clone()).unwrap_or_default();
    assert_eq!(journal.in_flight.len(), 1, "what is unknown stays known as unknown: {:#?}", run.status);
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_api_server_that_is_away_at_the_start_is_waited_for() {
    let shop = Shop::open("writes").await;
    let proxy = shop.proxy().await;
    proxy.hook(|_, stage| if stage == Stage::Asked { Verdict::Drop } else { Verdict::Pass });
    let operator = shop.operator_through(&proxy);
    let says = async |what: &'static str| {
        common::shop::eventually(what, async || {
            let log = operator.log();
            if log.contains(what) { Ok(()) } else { Err(log) }
        })
        .await;
    };
    says("failed to ask the API server for the kind SagaDefinition").await;
    proxy.unhook();
    says("the operator is up").await;
    assert!(!operator.log().contains("install it with"), "the kinds were there all the time: {}", operator.log());
    assert!(operator.stop().await.success());
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn asked_to_end_while_it_waits_for_its_kinds_the_operator_ends() {
    let shop = Shop::open("writes").await;
    let proxy = shop.proxy().await;
    proxy.hook(|seen, stage| {
        let of_kind = seen.path.contains("/customresourcedefinitions/");
        if of_kind && stage == Stage::Asked { Verdict::Answer(404) } else { Verdict::Pass }
    });
    let operator = shop.operator_through(&proxy);
    common::shop::eventually("it waits", async || {
        let log = operator.log();
        if log.contains("waiting for the kind") { Ok(()) } else { Err(log) }
    })
    .await;
    assert!(operator.stop().await.success());
    shop.close().await;
}
