//! The operator is killed (`kill -9`) at every write that it stores, and while calls are on the wire: whoever comes next
//! ends the run as it should end, and each effect is there once.

mod common;

use std::sync::{Arc, Mutex};

use common::ledger::account;
use common::operator::Operator;
use common::proxy::{Proxy, Seen, Stage, Verdict};
use common::shop::{Shop, checkout, definition, good_order, hasty, stands, undeliverable_order};
use futures::StreamExt as _;
use saga_operator::cli::participants::{Fault, FaultMode};
use serde_json::Value;
use tokio::sync::Semaphore;

/// Worlds side by side: each has an operator and participants of its own.
const SIDE_BY_SIDE: usize = 8;
static ROOM: Semaphore = Semaphore::const_new(SIDE_BY_SIDE);

const STAGES: [Stage; 3] = [Stage::Asked, Stage::Answered, Stage::Passed];

/// How a saga ends, whatever happens to the operator.
#[derive(Clone)]
struct Story {
    order: Value,
    end: &'static str,
    standing: &'static [&'static str],
}

fn forward() -> Story {
    Story { order: good_order(), end: "Succeeded", standing: &["reserve", "charge", "ship"] }
}

fn compensating() -> Story {
    Story { order: undeliverable_order(), end: "Compensated", standing: &[] }
}

/// When the operator is killed.
#[derive(Clone, Copy, Debug)]
enum Point {
    Never,
    /// At the n-th write on the run, from 0.
    Run(usize, Stage),
    /// At the n-th write on the definition and its revisions.
    Definition(usize, Stage),
    /// When a service has taken effect and does not answer.
    Wire(&'static str, &'static str),
}

fn is_definition_write(seen: &Seen) -> bool {
    seen.is_write() && (seen.path.contains("/sagadefinitions/") || seen.path.contains("/controllerrevisions"))
}

/// Plays the story with an operator that is killed at `point`, and another after it. Returns the requests of the first.
async fn play(story: &Story, point: Point) -> Vec<Seen> {
    let _room = ROOM.acquire().await.expect("open");
    let shop = Shop::open("crash").await;
    let proxy = shop.proxy().await;
    let first = shop.operator_through(&proxy);
    match point {
        Point::Never => {}
        Point::Run(write, stage) => kill_at(&proxy, &first, Seen::is_run_write, write, stage),
        Point::Definition(write, stage) => kill_at(&proxy, &first, is_definition_write, write, stage),
        Point::Wire(service, direction) => {
            let fault = Fault { times: Some(1), direction: Some(direction.to_owned()), ..Fault::new(FaultMode::Hang) };
            shop.services.faults().set(service, fault);
        }
    }
    shop.create(&definition("checkout", hasty(checkout(&shop.services.base_url())))).await;
    if !matches!(point, Point::Definition(..)) {
        shop.ready("checkout").await;
    }
    shop.start("order", "checkout", story.order.clone()).await;
    let second = match point {
        Point::Never => None,
        Point::Run(..) | Point::Definition(..) => {
            first.gone().await;
            Some(shop.operator())
        }
        Point::Wire(..) => {
            shop.seen("a call hangs", |entry| entry.fault == Some(FaultMode::Hang)).await;
            first.kill().await;
            Some(shop.operator())
        }
    };
    let run = shop.ended("order").await;
    assert_eq!(stands(&run), story.end, "killed at {point:?}");
    account(&shop, &run).check(&run, story.standing);
    drop((first, second));
    shop.close().await;
    proxy.seen()
}

/// Kills the operator when its n-th write of a kind is at this stage.
fn kill_at(proxy: &Proxy, operator: &Operator, kind: fn(&Seen) -> bool, write: usize, stage: Stage) {
    let (victim, writes) = (operator.victim(), Mutex::new(Vec::new()));
    proxy.hook(move |seen, now| {
        let mut writes = writes.lock().expect("not poisoned");
        if kind(seen) && now == Stage::Asked {
            writes.push(seen.number);
        }
        if now == stage && writes.iter().position(|number| *number == seen.number) == Some(write) {
            victim.kill();
            return Verdict::Drop;
        }
        Verdict::Pass
    });
}

/// Plays a story once for each point, side by side.
async fn play_all(story: Story, points: Vec<Point>) {
    let story = Arc::new(story);
    let worlds = points.into_iter().map(|point| {
        let story = story.clone();
        async move { play(&story, point).await }
    });
    let _played: Vec<_> = futures::stream::iter(worlds).buffer_unordered(SIDE_BY_SIDE).collect().await;
}

/// Every write of a story before its answer, between answer and operator, and after it.
async fn killed_at_every_write(story: Story, at_least: usize) {
    let seen = play(&story, Point::Never).await;
    let writes = seen.iter().filter(|seen| seen.is_run_write()).count();
    assert!(writes >= at_least, "only {writes} writes were seen: {seen:#?}");
    play_all(story, (0..writes).flat_map(|write| STAGES.map(|stage| Point::Run(write, stage))).collect()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_any_write_a_saga_still_takes_effect_once() {
    killed_at_every_write(forward(), 6).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_any_write_a_failed_saga_is_still_undone() {
    killed_at_every_write(compensating(), 8).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_any_write_on_a_definition_its_runs_still_start() {
    let seen = play(&forward(), Point::Never).await;
    let writes = seen.iter().take_while(|seen| !seen.is_run_write()).filter(|seen| is_definition_write(seen)).count();
    assert!(writes >= 3, "finalizer, revision and status, but only {writes} writes were seen: {seen:#?}");
    // Later ones count runs for people; whether there is one depends on who was first.
    let points = (0..3).flat_map(|write| STAGES.map(|stage| Point::Definition(write, stage)));
    play_all(forward(), points.collect()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_with_a_call_on_the_wire_the_saga_repeats_it_under_the_same_key() {
    let points = ["inventory", "payment", "shipping"].map(|service| Point::Wire(service, "forward"));
    play_all(forward(), points.into()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_with_a_compensation_on_the_wire_the_saga_is_still_undone() {
    let points = ["inventory", "payment"].map(|service| Point::Wire(service, "compensate"));
    play_all(compensating(), points.into()).await;
}
