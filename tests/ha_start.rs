//! What a leader does before and beside its work: it takes up all that is under way when it comes to lead, and writes next to
//! nothing when there is nothing to do.

mod common;
mod ha;

use std::collections::HashSet;
use std::time::{Duration, Instant};

use common::operator::Operator;
use common::proxy::Proxy;
use common::shop::{call, run};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use ha::{Replicas, names, told};
use kube::api::{ListParams, PostParams};
use kube::runtime::watcher::{self, Event};
use saga_operator::api::SagaRun;
use saga_operator::cli::participants::FaultMode;
use serde_json::json;

/// Requests of this test that are under way at a time.
const AT_ONCE: usize = 32;

/// How many runs are under way: 300, and 10,000 in a proof.
fn count() -> usize {
    let proof = std::env::var_os("SAGA_PROVE").is_some();
    if proof { 10_000 } else { 300 }
}

/// The most memory that a process has used so far, in MiB.
fn peak_of(operator: &Operator) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", operator.pid())).expect("a process");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a peak");
    line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") / 1024
}

/// Waits until `wished` was seen of so many runs.
async fn until_all(world: &Replicas, count: usize, what: &str, wished: impl Fn(&SagaRun) -> bool) {
    let watch = watcher::watcher(world.shop.runs.clone(), watcher::Config::default());
    let mut watch = std::pin::pin!(watch);
    let mut seen = HashSet::new();
    let patience = Duration::from_secs(900);
    let all = async {
        while seen.len() < count {
            let event = watch.try_next().await.expect("a watch").expect("it never ends");
            if let Event::InitApply(run) | Event::Apply(run) = event
                && wished(&run)
            {
                seen.insert(run.metadata.uid.expect("a UID"));
            }
        }
    };
    let done = tokio::time::timeout(patience, all).await;
    assert!(done.is_ok(), "{what}: {} of {count}", seen.len());
}

/// In a line of its own, whatever the test harness has begun to write.
fn say(line: &str) {
    println!("\n{line}");
}

fn holder(run: &SagaRun) -> Option<&str> {
    run.status.as_ref()?.journal.as_ref()?.holder.as_deref()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_starts_afresh_takes_up_every_run_that_is_under_way() {
    let world = Replicas::open_patient().await;
    let count = count();
    let first = world.start("first");
    let url = format!("{}/inventory/reservations", world.shop.services.base_url());
    let mut action = call(&url, json!({"sku": "teapot", "quantity": 1}));
    // Tried once, and again when this test is over.
    action["retryPolicy"] =
        json!({"maxAttempts": 3, "initialBackoffMilliseconds": 900_000, "maxBackoffMilliseconds": 900_000});
    let compensation = call(&url.replace("reservations", "releases"), json!({"key": "${call.forwardKey}"}));
    let step = json!({"name": "reserve", "action": action, "compensation": compensation});
    world.shop.define("long", json!({ "steps": [step] })).await;
    world.shop.fault("inventory", FaultMode::Error);

    let begin = Instant::now();
    let runs = names("r", count);
    let created = stream::iter(&runs).map(async |name| {
        let run = serde_json::from_value(run(name, json!({"definitionRef": {"name": "long"}}))).expect("a run");
        world.shop.runs.create(&PostParams::default(), &run).await.map(drop)
    });
    created.buffer_unordered(AT_ONCE).try_collect::<()>().await.expect("created");
    let waits = |run: &SagaRun| {
        let journal = run.status.as_ref().and_then(|status| status.journal.as_ref());
        journal.is_some_and(|journal| journal.in_flight.iter().any(|call| call.attempt == 2))
    };
    until_all(&world, count, "under way", waits).await;
    told(&format!("{count} runs were begun"), begin.elapsed());
    let listed = world.shop.runs.list(&ListParams::default()).await.expect("runs");
    let before: HashSet<&str> = listed.iter().filter_map(holder).collect();

    let leader = world.holder().await.expect("somebody leads");
    first.kill().await;
    let killed = Instant::now();
    let second = world.start("second");
    world.leader_after(&leader).await;
    let leads = killed.elapsed();
    until_all(&world, count, "taken up", |run| holder(run).is_some_and(|now| !before.contains(now))).await;
    let taken_up = killed.elapsed();
    say(&format!(
        "active runs taken up after a kill and a fresh start: {count} in {:.1} s, of which {:.1} s until somebody led",
        taken_up.as_secs_f64(),
        leads.as_secs_f64()
    ));
    say(&format!("memory of a leader that took them up: {} MiB at most", peak_of(&second)));
    // Nothing is sent again before its time.
    let sent = world.shop.services.ledger().entries().iter().filter(|entry| entry.call.service == "inventory").count();
    assert_eq!(sent, count, "each call was sent once");
    drop(second);
    world.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_leader_writes_once_in_a_retry_period() {
    let world = Replicas::open_as_by_default().await;
    let wall = Proxy::start(&world.shop.access).await;
    let operator = world.start_through("alone", Some(&wall.url()));
    world.leader_after("").await;
    world.define().await;
    let runs = names("r", 4);
    world.begin(&runs).await;
    world.all_ended_well(&runs).await;
    let writes = || wall.seen().iter().filter(|seen| seen.method != "GET").count();
    // What is left of the runs is written, their Events last.
    let mut before = 0;
    while writes() - std::mem::replace(&mut before, writes()) > 4 {
        tokio::time::sleep(Duration::from_secs(6)).await;
    }
    let (begin, before) = (Instant::now(), writes());
    tokio::time::sleep(Duration::from_secs(20)).await;
    let (written, seconds) = (writes() - before, begin.elapsed().as_secs_f64());
    say(&format!("writes of an idle operator: {:.2} per second", written as f64 / seconds));
    assert!(written >= 1, "it renews its Lease");
    assert!(written as f64 <= seconds, "{written} writes in {seconds} s");
    drop(operator);
    world.close().await;
}
