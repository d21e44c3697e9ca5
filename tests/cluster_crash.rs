//! The operator is killed (`kill -9`) before and after every write of the API server, and before and after every request of
//! a participant: whoever comes next ends the run as it should end, each effect is there once, and no promise is broken on
//! the way.
//!
//! By default a spread of a third of all points is tried; with `SAGA_PROVE=1` all of them. Each test prints how many.
//! `docs/faults.md` says which test stands for which fault.

mod common;
mod proof;

use common::proxy::Stage;
use futures::StreamExt as _;
use proof::forged::{FORGERIES, Forgery, OF_A_DIAMOND, OF_A_TRIP};
use proof::play::{Deed, Played, play, play_twice};
use proof::point::{DEFINITION, EVENT, Point, RUN, points};
use proof::story::{
    DIAMOND, DIAMOND_UNDONE, SEQUENCE, SEQUENCE_POLLED, SEQUENCE_POLLED_UNDONE, SEQUENCE_UNDONE, Story, TRIP,
    TRIP_CANCELLED,
};
use proof::sweep::{report, spread, sweep};
use serde_json::Value;

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
    each_is_found(&FORGERIES, &played);
    each_is_found(&OF_A_DIAMOND, &play(&DIAMOND, None).await);
    each_is_found(&OF_A_TRIP, &play(&TRIP, None).await);
}

fn each_is_found(forgeries: &[Forgery], played: &Played) {
    for (what, named, forge) in forgeries {
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

/// Kills at every point of a story at which a step is under way: its request, what is stored of it, and the first polls. The
/// others are the same as without polls, and a located call is taken over only after a minute.
async fn killed_everywhere_while_polled(story: Story, step: &str) {
    let reference = play(&story, None).await;
    let (call, poll) = (format!("forward {step}"), format!("poll of forward {step}"));
    let polls = reference.places.iter().filter(|(label, _)| *label == poll).count();
    assert!(polls >= 2, "{}", reference.evidence.told());
    let open = |write: usize| {
        let calls = |state: &Value| state["status"]["journal"]["inFlight"].to_string().contains(step);
        // The state before the write and the one after it; the first one is the creation.
        reference.evidence.states[write..=write + 1].iter().any(calls)
    };
    let counts = |(label, nth): &&(String, usize)| {
        (label == RUN && open(*nth)) || *label == call || (*label == poll && *nth < 2)
    };
    let places: Vec<_> = reference.places.iter().filter(counts).cloned().collect();
    let kills = spread(&story, points(&places)).into_iter().map(|point| (point, Deed::Kill));
    sweep(&story, &reference, "crash", &kills.collect::<Vec<_>>()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_anywhere_while_a_step_is_polled_it_is_polled_on() {
    let [succeeds, undone] = [SEQUENCE_POLLED, SEQUENCE_POLLED_UNDONE];
    tokio::join!(killed_everywhere_while_polled(succeeds, "ship"), killed_everywhere_while_polled(undone, "ship"));
}

/// Kills at each point of a story, and then the next operator. Second points are the first writes of its life, one for each
/// first point in turn: all pairs are for the simulation.
async fn killed_twice(story: Story) {
    let reference = play(&story, None).await;
    let of_run = |(label, _): &&(String, usize)| label != DEFINITION && label != EVENT;
    let places: Vec<_> = reference.places.iter().filter(of_run).cloned().collect();
    let second = points(&[0, 1, 2].map(|nth| (RUN.to_owned(), nth)));
    let pairs = points(&places).into_iter().enumerate();
    let pairs: Vec<_> = pairs.map(|(place, first)| [first, second[place % second.len()].clone()]).collect();
    let reference = &reference;
    // A ninth by default: each takes twice the time.
    let plays = spread(&story, spread(&story, pairs)).into_iter().map(|pair| async move {
        let played = play_twice(&story, &pair).await;
        assert_eq!(played.left, reference.left, "{}", played.evidence.told());
        usize::from(played.met)
    });
    let met: Vec<_> = futures::stream::iter(plays).buffer_unordered(usize::MAX).collect().await;
    let count = met.iter().sum::<usize>();
    assert!(count > met.len() / 2, "{}: only {count} of {} were killed twice", story.name, met.len());
    report("crash", count, &format!("{}, killed twice", story.name));
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_twice_a_saga_ends_as_undisturbed() {
    tokio::join!(killed_twice(SEQUENCE_UNDONE), killed_twice(DIAMOND_UNDONE), killed_twice(TRIP));
}
