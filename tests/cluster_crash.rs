//! The operator is killed (`kill -9`) before and after every write of the API server, and before and after every request of
//! a participant: whoever comes next ends the run as it should end, each effect is there once, and no promise is broken on
//! the way.
//!
//! By default a spread of a third of all points is tried; with `SAGA_PROVE=1` all of them. Each test prints how many.

mod common;
mod proof;

use common::proxy::Stage;
use proof::forged::FORGERIES;
use proof::play::{Deed, Played, play};
use proof::point::{DEFINITION, Point, RUN, points};
use proof::story::{DIAMOND, DIAMOND_UNDONE, SEQUENCE, SEQUENCE_UNDONE, Story, TRIP, TRIP_CANCELLED};
use proof::sweep::{spread, sweep};

/// All points of a story. Of the definition's writes those before the run begins: later ones count runs for people, and
/// whether there is one depends on who was first.
fn all_points(reference: &Played) -> Vec<Point> {
    let begin = reference.places.iter().position(|(label, _)| label == RUN).expect("writes");
    let counts = |place: usize, label: &str| label != DEFINITION || place < begin;
    let places = reference.places.iter().enumerate().filter(|(place, (label, _))| counts(*place, label));
    let places: Vec<_> = places.map(|(_, place)| place.clone()).collect();
    points(&places)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_judge_finds_every_kind_of_breach() {
    let point = Point { label: "forward reserve".to_owned(), nth: 0, stage: Stage::Answered };
    let played = play(&SEQUENCE_UNDONE, Some((&point, Deed::Kill))).await;
    assert!(played.met);
    for (what, named, forge) in FORGERIES {
        let mut forged = played.evidence.clone();
        forge(&mut forged);
        let found = forged.violations();
        assert!(found.iter().any(|found| found.contains(named)), "{what}: {found:?}\n{}", forged.told());
    }
}

/// Kills at every point of a story.
async fn killed_everywhere(story: Story, writes: usize) {
    let reference = play(&story, None).await;
    assert_eq!(reference.writes, writes, "{}", reference.evidence.told());
    let points = spread(&story, all_points(&reference));
    let kills: Vec<_> = points.into_iter().map(|point| (point, Deed::Kill)).collect();
    sweep(&story, &reference, "crash", &kills).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_anywhere_a_sequence_still_takes_effect_once() {
    killed_everywhere(SEQUENCE, 7).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_anywhere_a_failed_sequence_is_still_undone() {
    killed_everywhere(SEQUENCE_UNDONE, 10).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_anywhere_a_diamond_still_takes_effect_once() {
    killed_everywhere(DIAMOND, 8).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_anywhere_a_diamond_whose_pivot_is_refused_is_still_undone() {
    killed_everywhere(DIAMOND_UNDONE, 10).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_anywhere_what_was_tried_is_still_confirmed_once() {
    killed_everywhere(TRIP, 9).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_anywhere_what_was_tried_is_still_cancelled() {
    killed_everywhere(TRIP_CANCELLED, 8).await;
}
