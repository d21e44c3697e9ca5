//! An API server that is busy, a run that others write on all the time, a status that is too large for the store, and a
//! participant that is down: nothing is sent or written in a hurry, and a saga ends as it should.

mod common;
mod proof;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use common::ledger::account;
use common::proxy::{Stage, Verdict};
use common::shop::{Shop, has_ended, sequence, stands};
use futures::StreamExt as _;
use kube::api::{Patch, PatchParams};
use proof::play::{Theatre, play};
use proof::point::{Point, RUN, Trap};
use proof::story::{DIAMOND, SEQUENCE, SEQUENCE_UNDONE, Story};
use proof::sweep::{report, spread};
use saga_operator::cli::participants::FaultMode;
use serde_json::json;

/// How long the API server answers every write with 429 and `Retry-After: 1`.
const BUSY: Duration = Duration::from_secs(8);

#[tokio::test(flavor = "multi_thread")]
async fn a_busy_api_server_is_not_asked_all_the_time() {
    let story = SEQUENCE_UNDONE;
    let stage = Theatre::open(&story).await;
    let operator = stage.operator();
    stage.shop.define("saga", stage.spec.clone()).await;
    let begin = Instant::now();
    stage.api.hook(move |seen, at| {
        let busy = seen.is_write() && at == Stage::Asked && begin.elapsed() < BUSY;
        if busy { Verdict::Answer(429) } else { Verdict::Pass }
    });
    let history = stage.begin(&story).await;
    let ended = stage.shop.ended("order").await;
    let played = stage.judge(&story, None, &ended, &history, Vec::new()).await;
    let refused = played.evidence.api.iter().filter(|seen| seen.is_run_write() && seen.status == Some(429)).count();
    // Waits double from 50 ms, or are what the server asks for.
    assert!((1..=10).contains(&refused), "{refused} times: {}", played.evidence.told());
    drop((operator, history));
    stage.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_others_write_on_all_the_time_still_ends_without_doubt() {
    for story in [SEQUENCE_UNDONE, DIAMOND] {
        let stage = Theatre::open(&story).await;
        let operator = stage.operator();
        stage.prepare(&story, None::<Trap<fn() -> Verdict>>);
        stage.shop.define("saga", stage.spec.clone()).await;
        let history = stage.begin(&story).await;
        let (runs, over) = (stage.shop.runs.clone(), Arc::new(AtomicBool::new(false)));
        let stop = over.clone();
        let busybody = tokio::spawn(async move {
            let mut written = 0;
            while !stop.load(Ordering::SeqCst) {
                written += 1;
                let label = Patch::Merge(json!({"metadata": {"labels": {"busybody": written.to_string()}}}));
                runs.patch("order", &PatchParams::default(), &label).await.expect("patched");
                tokio::time::sleep(Duration::from_millis(30)).await;
            }
            written
        });
        stage.shop.until("order", "ended", has_ended).await;
        over.store(true, Ordering::SeqCst);
        let written = busybody.await.expect("no panic");
        let ended = stage.shop.ended("order").await;
        let played = stage.judge(&story, None, &ended, &history, Vec::new()).await;
        let conflicts =
            played.evidence.api.iter().filter(|seen| seen.is_run_write() && seen.status == Some(409)).count();
        assert!(conflicts > 0, "{written} writes disturbed nobody");
        assert_eq!(played.repeated, 0, "{}", played.evidence.told());
        drop((operator, history));
        stage.close().await;
    }
}

/// Refuses the size of the n-th write of the run, once. Returns how the run ended, and why it turned.
async fn too_large_at(story: &Story, write: usize) -> (String, String) {
    let stage = Theatre::open(story).await;
    let operator = stage.operator();
    let point = Point { label: RUN.to_owned(), nth: write, stage: Stage::Asked };
    stage.prepare(story, Some(Trap::new(point, || Verdict::Answer(413))));
    stage.shop.define("saga", stage.spec.clone()).await;
    let history = stage.begin(story).await;
    let ended = stage.shop.ended("order").await;
    let evidence = stage.evidence(&ended, history.until(&ended).await, Vec::new());
    let mut found = evidence.violations();
    let standing = evidence.standing();
    let fits = match stands(&ended).as_str() {
        "Succeeded" => standing == story.standing,
        _ => standing.is_empty(),
    };
    if !fits {
        found.push(format!("I6: {standing:?} stands"));
    }
    assert!(found.is_empty(), "at write {write}: {found:#?}\n{}", evidence.told());
    drop((operator, history));
    stage.close().await;
    let failure = ended.status.as_ref().and_then(|status| status.failure.clone()).unwrap_or_default();
    (stands(&ended), failure.reason)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_status_too_large_for_the_store_turns_the_run_before_its_commit_point_and_not_after_it() {
    let story = SEQUENCE;
    let reference = play(&story, None).await;
    // Without the finalizer's two. The last of the others reaches the commit point.
    let writes = spread(&story, (2..reference.writes - 1).collect());
    let count = writes.len();
    let last = reference.writes - 2;
    let worlds = writes.into_iter().map(|write| async move {
        let expected = if write == last { ("Succeeded", "") } else { ("Compensated", "StatusTooLarge") };
        let (end, reason) = too_large_at(&story, write).await;
        assert_eq!((end.as_str(), reason.as_str()), expected, "at write {write}");
    });
    futures::stream::iter(worlds).buffer_unordered(3).for_each(async |()| {}).await;
    report("fault", count, "a status that is too large");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_participant_that_is_down_costs_one_write_an_attempt_and_no_more() {
    let shop = Shop::open("pressure").await;
    let proxy = shop.proxy().await;
    let operator = shop.operator_through(&proxy);
    let mut spec = sequence(&shop.services.base_url(), 2);
    let policy = json!({"maxAttempts": 100, "initialBackoffMilliseconds": 200, "maxBackoffMilliseconds": 2000});
    spec["steps"][0]["action"]["retryPolicy"] = policy;
    shop.define("saga", spec).await;
    shop.fault("inventory", FaultMode::Down);
    shop.start("order", "saga", json!({})).await;
    shop.until("order", "at its sixth attempt", |run| {
        run.status.iter().flat_map(|status| &status.steps).any(|step| step.attempts >= Some(6))
    })
    .await;
    shop.services.faults().clear("inventory");
    let ended = shop.ended("order").await;
    assert_eq!(stands(&ended), "Succeeded");
    let account = account(&shop, &ended);
    account.check(&ended, &["s1", "s2"]);
    let writes = proxy.seen().iter().filter(|seen| seen.is_run_write()).count();
    // The finalizer twice, the first intents, one for each answer.
    assert_eq!(writes, 3 + account.entries.len(), "{:#?}", account.entries);
    drop(operator);
    shop.close().await;
}
