//! The operator is killed (`kill -9`) before and after every write of the API server, and before and after every request of
//! a participant: whoever comes next ends the run as it should end, each effect is there once, and no promise is broken on
//! the way.
//!
//! By default a spread of a third of all points is tried; with `SAGA_PROVE=1` all of them. Each test prints how many.

mod common;
mod proof;

use std::io::Write as _;

use common::proxy::Stage;
use futures::StreamExt as _;
use proof::forged::FORGERIES;
use proof::play::{Deed, Played, play};
use proof::point::{DEFINITION, Point, RUN, points};
use proof::story::{DIAMOND, DIAMOND_UNDONE, SEQUENCE, SEQUENCE_UNDONE, Story, TRIP, TRIP_CANCELLED};

/// So often a story is played until a point is met that was not met at once.
const PLAYS: usize = 4;
/// One of so many points is tried by default.
const SPREAD: usize = 3;

/// Writes on the run that a kill may cost: the one that takes the run over, and for a call in doubt the one that begins its
/// compensation and the one that ends it.
const MORE_WRITES: usize = 3;

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

/// Kills at every point of a story, and says how many there were.
async fn killed_everywhere(story: Story, places: &[(&str, usize)]) {
    let reference = play(&story, None).await;
    for (label, count) in places {
        let seen = reference.places.iter().filter(|(seen, _)| seen == label).count();
        assert_eq!(seen, *count, "{label}: {:#?}", reference.places);
    }
    let mut chosen = all_points(&reference);
    if std::env::var("SAGA_PROVE").is_err() {
        let first = story.name.len() % SPREAD;
        chosen = chosen.into_iter().skip(first).step_by(SPREAD).collect();
    }
    let reference = &reference;
    let plays = chosen.iter().map(|point| async move {
        for _ in 1..PLAYS {
            let played = play(&story, Some((point, Deed::Kill))).await;
            if played.met {
                return (point, played);
            }
        }
        (point, play(&story, Some((point, Deed::Kill))).await)
    });
    let played: Vec<_> = futures::stream::iter(plays).buffer_unordered(usize::MAX).collect().await;
    for (point, played) in &played {
        assert!(played.met, "{}: {point} does not come", story.name);
        assert_eq!(played.left, reference.left, "{}, {point}", story.name);
        let most = reference.writes + MORE_WRITES + played.repeated;
        assert!(played.writes <= most, "{}, {point}: {} writes of {most}", story.name, played.writes);
    }
    // Also where the output of tests that pass is not shown.
    writeln!(std::io::stdout().lock(), "crash points: {} ({})", played.len(), story.name).expect("written");
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_anywhere_a_sequence_still_takes_effect_once() {
    killed_everywhere(SEQUENCE, &[(RUN, 7)]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_anywhere_a_failed_sequence_is_still_undone() {
    killed_everywhere(SEQUENCE_UNDONE, &[(RUN, 10)]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_anywhere_a_diamond_still_takes_effect_once() {
    killed_everywhere(DIAMOND, &[(RUN, 8)]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_anywhere_a_diamond_whose_pivot_is_refused_is_still_undone() {
    killed_everywhere(DIAMOND_UNDONE, &[(RUN, 10)]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_anywhere_what_was_tried_is_still_confirmed_once() {
    killed_everywhere(TRIP, &[(RUN, 9)]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_anywhere_what_was_tried_is_still_cancelled() {
    killed_everywhere(TRIP_CANCELLED, &[(RUN, 8)]).await;
}
