//! Writes that are refused, lost or forgotten, requests and answers that are lost, late or doubled: a saga ends as it ends
//! undisturbed, each effect is there once, and no promise is broken on the way.
//!
//! By default each place meets one kind of trouble; with `SAGA_PROVE=1` every place meets every kind.

mod common;
mod proof;

use std::time::Duration;

use common::ledger::account;
use common::proxy::{Stage, Verdict};
use common::shop::eventually;
use proof::play::{Deed, Played, Theatre, play};
use proof::point::{DEFINITION, EVENT, Point, RUN, Trap};
use proof::story::{
    DIAMOND, DIAMOND_UNDONE, SEQUENCE, SEQUENCE_TRIED_ONCE, SEQUENCE_UNDONE, Story, TIMEOUT_SECONDS, TRIP,
    TRIP_CANCELLED,
};
use proof::sweep::{everything, sweep};
use saga_operator::cli::participants::{Change, Entry};

/// Longer than any call of a story may take.
const TOO_LATE: Duration = Duration::from_millis(1000 * TIMEOUT_SECONDS + 500);

/// What a write on the run may meet.
const WRITE_TROUBLE: [(Stage, Verdict); 6] = [
    // It conflicts and does not land.
    (Stage::Asked, Verdict::Answer(409)),
    (Stage::Asked, Verdict::Answer(429)),
    // It does not land, which nobody says.
    (Stage::Asked, Verdict::Answer(504)),
    (Stage::Asked, Verdict::Drop),
    // It lands, which nobody says.
    (Stage::Answered, Verdict::Answer(504)),
    (Stage::Answered, Verdict::Drop),
];

/// What a request to a participant may meet.
const CALL_TROUBLE: [(Stage, Verdict); 6] = [
    (Stage::Asked, Verdict::Drop),
    (Stage::Asked, Verdict::Answer(503)),
    // It is heard when nobody waits for the answer any more.
    (Stage::Asked, Verdict::Later(TOO_LATE)),
    // The same, and the connection is lost: the next attempt comes first.
    (Stage::Asked, Verdict::Stray(TOO_LATE)),
    // It takes effect, and the answer is lost.
    (Stage::Answered, Verdict::Drop),
    // It takes effect, and the answer comes when nobody waits for it any more.
    (Stage::Answered, Verdict::Later(TOO_LATE)),
];

/// Every place whose label is wished with every kind of trouble, or with one kind each.
fn disturbances(reference: &Played, wished: impl Fn(&str) -> bool, trouble: &[(Stage, Verdict)]) -> Vec<(Point, Deed)> {
    let mut all = Vec::new();
    for (place, (label, nth)) in reference.places.iter().filter(|(label, _)| wished(label)).enumerate() {
        for (kind, (stage, verdict)) in trouble.iter().enumerate() {
            if everything() || (place + reference.places.len()) % trouble.len() == kind {
                all.push((Point { label: label.clone(), nth: *nth, stage: *stage }, Deed::Meet(*verdict)));
            }
        }
    }
    all
}

async fn every_write_meets_trouble(story: Story) {
    let reference = play(&story, None).await;
    let all = disturbances(&reference, |label| label == RUN, &WRITE_TROUBLE);
    sweep(&story, &reference, "fault", &all).await;
}

async fn every_request_meets_trouble(story: Story) {
    let reference = play(&story, None).await;
    let all = disturbances(&reference, |label| ![RUN, EVENT, DEFINITION].contains(&label), &CALL_TROUBLE);
    sweep(&story, &reference, "fault", &all).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn any_write_of_a_sequence_may_meet_trouble() {
    every_write_meets_trouble(SEQUENCE).await;
    every_write_meets_trouble(SEQUENCE_UNDONE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn any_write_of_a_diamond_may_meet_trouble() {
    every_write_meets_trouble(DIAMOND).await;
    every_write_meets_trouble(DIAMOND_UNDONE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn any_write_of_a_trip_may_meet_trouble() {
    every_write_meets_trouble(TRIP).await;
    every_write_meets_trouble(TRIP_CANCELLED).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn any_request_of_a_sequence_may_be_lost_late_or_unanswered() {
    every_request_meets_trouble(SEQUENCE).await;
    every_request_meets_trouble(SEQUENCE_UNDONE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn any_request_of_a_diamond_may_be_lost_late_or_unanswered() {
    every_request_meets_trouble(DIAMOND).await;
    every_request_meets_trouble(DIAMOND_UNDONE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn any_request_of_a_trip_may_be_lost_late_or_unanswered() {
    every_request_meets_trouble(TRIP).await;
    every_request_meets_trouble(TRIP_CANCELLED).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_again_after_the_end_changes_nothing() {
    for story in [SEQUENCE_UNDONE, TRIP, TRIP_CANCELLED] {
        let stage = Theatre::open(&story).await;
        let operator = stage.operator();
        stage.shop.define("saga", stage.spec.clone()).await;
        let history = stage.begin(&story).await;
        let ended = stage.shop.ended("order").await;
        stage.judge(&story, None, &ended, &history, Vec::new()).await;
        let effects = account(&stage.shop, &ended).effects;
        let asked = stage.wire.seen();
        for request in asked.iter().chain(asked.iter().rev()) {
            stage.wire.replay(request).await;
        }
        assert_eq!(account(&stage.shop, &ended).entries.len(), 3 * asked.len(), "each came three times");
        assert_eq!(account(&stage.shop, &ended).effects, effects, "{}", story.name);
        drop(operator);
        stage.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_after_its_compensation_takes_no_effect() {
    let story = SEQUENCE_TRIED_ONCE;
    let stage = Theatre::open(&story).await;
    let operator = stage.operator();
    let late = Point { label: "forward restock".to_owned(), nth: 0, stage: Stage::Asked };
    // The compensation waits for nothing: the operator itself has given the attempt up.
    stage.prepare(&story, Some(Trap::new(late, || Verdict::Stray(3 * TOO_LATE))));
    stage.shop.define("saga", stage.spec.clone()).await;
    let history = stage.begin(&story).await;
    let ended = stage.shop.ended("order").await;
    let heard = |direction: &str| {
        let entries = account(&stage.shop, &ended).entries;
        let of_step = |entry: &Entry| entry.call.step.as_deref() == Some("restock");
        entries.into_iter().find(|entry| of_step(entry) && entry.call.direction.as_deref() == Some(direction))
    };
    assert_eq!(heard("forward"), None, "it is still on its way");
    assert_eq!(heard("compensate").map(|entry| entry.change), Some(Change::Prevented));
    let late = eventually("the late request came", async || heard("forward").ok_or_else(String::new)).await;
    assert_eq!((late.change, late.effect_id), (Change::None, None), "{} {}", late.status, late.answer);
    stage.judge(&story, None, &ended, &history, Vec::new()).await;
    drop(operator);
    stage.close().await;
}
