//! Watches that lose events, bring them late, stand still or expire, and lists that show the past: what is seen is only ever
//! the occasion to decide, so a saga ends as it ends undisturbed, and nothing is sent again because of it.
//!
//! By default a third of the places is tried; with `SAGA_PROVE=1` all of them.

mod common;
mod proof;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use common::ledger::account;
use common::proxy::{Proxy, Seen, Stage, Verdict};
use common::shop::{Shop, has_ended, run, stands};
use common::watched::{Fate, Filter};
use futures::StreamExt as _;
use kube::ResourceExt as _;
use kube::api::DeleteParams;
use proof::history::version;
use proof::play::{Played, Theatre, judge, play, play_watched};
use proof::point::{Point, RUN};
use proof::story::{SEQUENCE, SEQUENCE_UNDONE, Story, TIMEOUT_SECONDS};
use proof::sweep::{report, spread};
use saga_operator::cli::participants::FaultMode;
use serde_json::{Value, json};

fn of_runs(watch: &Seen) -> bool {
    watch.path.ends_with("/sagaruns")
}

/// A filter that is asked about the n-th event of all watches of runs, from 0, bookmarks apart.
fn nth_event(fate: impl Fn(usize) -> Fate + Send + Sync + 'static) -> Filter {
    let count = AtomicUsize::new(0);
    Arc::new(move |watch, event| {
        let counts = of_runs(watch) && event["type"] != "BOOKMARK";
        if counts { fate(count.fetch_add(1, Ordering::SeqCst)) } else { Fate::Pass }
    })
}

/// Plays a story once for each filter; each must end as it ends undisturbed, with as many writes.
async fn each_ends_the_same(story: Story, what: &str, reference: &Played, filters: Vec<Filter>) {
    let count = filters.len();
    let plays = filters.into_iter().map(|filter| async move {
        let played = play_watched(&story, filter).await;
        assert_eq!(played.left, reference.left, "{}", played.evidence.told());
        assert!(played.writes <= reference.writes + played.repeated, "{}", played.evidence.told());
    });
    futures::stream::iter(plays).buffer_unordered(usize::MAX).for_each(async |()| {}).await;
    report(what, count, story.name);
}

#[tokio::test(flavor = "multi_thread")]
async fn any_event_of_a_run_under_way_may_be_lost_and_so_may_any_number_in_a_row() {
    let story = SEQUENCE_UNDONE;
    let reference = play(&story, None).await;
    let last = reference.writes;
    // From 1: the first says that there is a run at all.
    let ranges = (1..=last).flat_map(|first| (first..=last).map(move |end| (first, end)));
    let lost = |(first, end): (usize, usize)| {
        nth_event(move |event| if (first..=end).contains(&event) { Fate::Lost } else { Fate::Pass })
    };
    let filters = spread(&story, ranges.collect()).into_iter().map(lost).collect();
    each_ends_the_same(story, "lost events", &reference, filters).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_whose_history_expires_at_any_event_is_listed_again_and_nothing_is_repeated() {
    let story = SEQUENCE_UNDONE;
    let reference = play(&story, None).await;
    let expired = |at: usize| nth_event(move |event| if event == at { Fate::Expired } else { Fate::Pass });
    let filters = spread(&story, (0..=reference.writes).collect()).into_iter().map(expired);
    // Again and again.
    let storm = nth_event(|event| if event % 2 == 0 { Fate::Expired } else { Fate::Pass });
    each_ends_the_same(story, "expired history", &reference, filters.chain([storm]).collect()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn events_that_come_late_are_no_reason_to_do_anything_again() {
    let late = || nth_event(|_| Fate::Late(Duration::from_millis(700)));
    for story in [SEQUENCE, SEQUENCE_UNDONE] {
        let reference = play(&story, None).await;
        each_ends_the_same(story, "late events", &reference, vec![late()]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_that_dies_without_a_word_is_noticed() {
    let (dead, reference) = (AtomicBool::new(false), play(&SEQUENCE, None).await);
    // Only the first watch dies: the next one is another connection.
    let filter: Filter = Arc::new(move |watch, event| {
        let dies = of_runs(watch) && event["type"] != "BOOKMARK" && !dead.swap(true, Ordering::SeqCst);
        if dies { Fate::Silence } else { Fate::Pass }
    });
    each_ends_the_same(SEQUENCE, "dead watches", &reference, vec![filter]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancellation_that_no_watch_shows_is_seen_before_the_next_attempt() {
    let shop = Shop::open("watch").await;
    let proxy = shop.proxy().await;
    let cancelled = |event: &Value| !event["object"]["spec"]["cancellation"].is_null();
    proxy.filter(Arc::new(
        move |watch, event| if of_runs(watch) && cancelled(event) { Fate::Silence } else { Fate::Pass },
    ));
    let operator = shop.operator_through(&proxy);
    let spec = proof::story::SEQUENCE.spec;
    shop.define("saga", spec(&shop.services.base_url())).await;
    shop.fault("shipping", FaultMode::Down);
    shop.start("order", "saga", (SEQUENCE.input)()).await;
    shop.seen("the third step is tried", |entry| entry.call.step.as_deref() == Some("ship")).await;
    shop.patch_run("order", json!({"cancellation": {"policy": "Compensate"}})).await;
    shop.until("order", "compensating", |run| stands(run) == "Compensating" || has_ended(run)).await;
    shop.services.faults().clear("shipping");
    let ended = shop.ended("order").await;
    assert_eq!(stands(&ended), "Compensated");
    account(&shop, &ended).check(&ended, &[]);
    drop(operator);
    shop.close().await;
}

/// An operator that sees runs as they were, and goes on from there as fast as the watch goes.
fn shown_the_past(proxy: &Proxy, version: u64, then: Fate) {
    let listed = AtomicBool::new(false);
    proxy.hook(move |seen, stage| {
        let list = stage == Stage::Asked && of_runs(seen) && !seen.query.contains("watch=true");
        if list && !listed.swap(true, Ordering::SeqCst) { Verdict::AsOf(version) } else { Verdict::Pass }
    });
    proxy.filter(Arc::new(move |watch, _| if of_runs(watch) { then } else { Fate::Pass }));
}

/// Kills the operator when the run was stored so often; the next one sees it as it was at an earlier state, until long after
/// it may take the run over.
async fn shown_an_earlier_state(story: &Story, writes: usize, shown: usize) -> Played {
    let stage = Theatre::open(story).await;
    let first = stage.operator();
    let (victim, killed) = (first.victim(), Arc::new(AtomicBool::new(false)));
    let point = Point { label: RUN.to_owned(), nth: writes, stage: Stage::Asked };
    let happened = killed.clone();
    stage.prepare(
        story,
        Some(proof::point::Trap::new(point, move || {
            victim.kill();
            happened.store(true, Ordering::SeqCst);
            Verdict::Drop
        })),
    );
    stage.shop.define("saga", stage.spec.clone()).await;
    let history = stage.begin(story).await;
    assert!(stage.ended_or(&killed).await, "it was not killed");
    first.gone().await;
    let replaced = Instant::now();
    let left = stage.shop.runs.get("order").await.expect("there");
    let states = history.until(&left).await;
    let behind = stage.shop.proxy().await;
    shown_the_past(
        &behind,
        version(&states[shown]).parse().expect("a number"),
        Fate::Late(Duration::from_secs(TIMEOUT_SECONDS + 8)),
    );
    let second = stage.shop.operator_through(&behind);
    let ended = stage.shop.ended("order").await;
    let states = history.until(&ended).await;
    let mut evidence = stage.evidence(&ended, states, vec![replaced]);
    evidence.api.extend(behind.seen());
    let played = judge(story, &format!("shown state {shown} of {writes}"), &ended, evidence);
    drop((first, second, history));
    stage.close().await;
    played
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_that_is_shown_any_earlier_state_repeats_nothing_that_was_done() {
    let story = SEQUENCE_UNDONE;
    let reference = play(&story, None).await;
    // The compensations are under way, or all done.
    let cases = [reference.writes - 3, reference.writes - 1].into_iter();
    let cases: Vec<_> = cases.flat_map(|writes| (1..writes).map(move |shown| (writes, shown))).collect();
    let cases = spread(&story, cases);
    let count = cases.len();
    let reference = &reference;
    let plays = cases.into_iter().map(|(writes, shown)| async move {
        let played = shown_an_earlier_state(&story, writes, shown).await;
        assert_eq!(played.left, reference.left, "{}", played.evidence.told());
    });
    futures::stream::iter(plays).buffer_unordered(8).for_each(async |()| {}).await;
    report("time travel", count, story.name);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_is_gone_is_not_gone_on_with_for_one_of_the_same_name() {
    let story = SEQUENCE_UNDONE;
    let stage = Theatre::open(&story).await;
    let first = stage.operator();
    stage.shop.define("saga", stage.spec.clone()).await;
    let history = stage.begin(&story).await;
    let ended = stage.shop.ended("order").await;
    let states = history.until(&ended).await;
    first.kill().await;
    stage.shop.runs.delete("order", &DeleteParams::default()).await.expect("deleted");
    stage.shop.gone("order").await;
    let asked = account(&stage.shop, &ended).entries;
    stage.shop.create(&run("order", json!({"definitionRef": {"name": "saga"}, "input": (story.input)()}))).await;
    // Of the old run, half done; and what happened since comes late.
    let behind = stage.shop.proxy().await;
    let half = version(&states[states.len() / 2]).parse().expect("a number");
    shown_the_past(&behind, half, Fate::Late(Duration::from_secs(1)));
    let second = stage.shop.operator_through(&behind);
    let again = stage.shop.ended("order").await;
    assert_ne!(again.uid(), ended.uid());
    assert_eq!(account(&stage.shop, &ended).entries, asked, "the old run is over");
    let account = account(&stage.shop, &again);
    account.check(&again, &[]);
    assert_eq!(account.asked("compensate"), ["ship", "charge", "reserve"]);
    drop((second, history));
    stage.close().await;
}
