//! Hazards of the engine, each met on purpose.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

mod engine;

use std::sync::atomic::Ordering;
use std::time::Duration;

use engine::services::Part;
use engine::shape::{definition, definition_named};
use engine::world::World;
use saga_operator::api::run::{Direction, Intervention, InterventionAction};
use saga_operator::journal::memory::Fault;
use saga_operator::saga::{End, Occasion, Stored};

const NONE: Duration = Duration::ZERO;

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

/// A world with one process and one run, and what goes wrong first.
fn world(steps: usize, script: &[(&'static str, Fault, Duration)], parts: &[Part]) -> World {
    let mut world = World::calm(definition(steps, 10, 4, 1000));
    *world.hooks.script.lock().unwrap() = script.to_vec();
    *world.services.script.lock().unwrap() = parts.to_vec();
    world.start();
    world.submit("a");
    world
}

fn stored(world: &World, uid: &str) -> Stored {
    world.store.history(uid).last().map(|write| write.stored.clone()).unwrap_or_default()
}

#[tokio::test(start_paused = true)]
async fn a_write_that_landed_unheard_is_recognised_when_the_store_can_be_read_again() {
    let unread = ("load", Fault::Unavailable, seconds(3));
    let world = world(2, &[("persist", Fault::Unclear, NONE), unread, unread], &[]);
    assert!(world.settle(seconds(10)).await, "it waits for itself");
    let stored = stored(&world, "a");
    assert_eq!((stored.end, stored.steps[0].forward.doubtful), (Some(End::Succeeded), 0));
    assert_eq!(world.services.calls("a").len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_wish_that_is_read_together_with_the_own_write_is_not_lost() {
    let world = world(1, &[("persist", Fault::Unclear, NONE), ("load", Fault::None, seconds(1))], &[]);
    tokio::time::sleep(Duration::from_millis(500)).await;
    world.wish("a", 10);
    assert!(world.settle(seconds(20)).await);
    assert_eq!(stored(&world, "a").end, Some(End::Compensated));
    assert_eq!(world.services.calls("a"), [], "it was cancelled before anything was sent");
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_arrives_while_the_write_is_unclear_is_not_lost() {
    let mut world = world(1, &[], &[Part::Status(200, seconds(1))]);
    tokio::time::sleep(Duration::from_millis(600)).await;
    let lost = ("persist", Fault::UnclearLost, seconds(1));
    *world.hooks.script.lock().unwrap() = vec![lost, ("load", Fault::Unavailable, NONE), lost];
    // A wish makes a write that is under way when the answer comes.
    world.wish("a", 5);
    assert!(world.settle(seconds(20)).await);
    assert_eq!((stored(&world, "a").end, world.services.calls("a").len()), (Some(End::Succeeded), 1));
    world.crash(0);
}

#[tokio::test(start_paused = true)]
async fn any_number_of_runs_that_the_store_keeps_waiting_keeps_no_other_waiting() {
    let world = world(1, &[("persist", Fault::None, seconds(3600)); 200], &[]);
    (0..199).for_each(|number| drop(world.submit(&format!("slow-{number}"))));
    tokio::time::sleep(seconds(10)).await;
    world.submit("quick");
    tokio::time::sleep(seconds(10)).await;
    assert_eq!(stored(&world, "quick").end, Some(End::Succeeded));
    assert_eq!(stored(&world, "slow-0").end, None);
}

#[tokio::test(start_paused = true)]
async fn an_answer_whose_write_is_lost_is_decided_again() {
    let world = world(1, &[], &[Part::Status(200, seconds(1))]);
    tokio::time::sleep(Duration::from_millis(600)).await;
    *world.hooks.script.lock().unwrap() = vec![("persist", Fault::UnclearLost, NONE)];
    assert!(world.settle(seconds(20)).await);
    assert_eq!((stored(&world, "a").end, world.services.calls("a").len()), (Some(End::Succeeded), 1));
}

#[tokio::test(start_paused = true)]
async fn a_run_given_up_on_shutdown_is_taken_over_at_once() {
    let mut world = world(1, &[], &[Part::Status(429, NONE)]);
    tokio::time::sleep(Duration::from_millis(500)).await;
    world.stop(0).await;
    assert_eq!(stored(&world, "a").holder, None, "{:#?}", stored(&world, "a"));
    world.start();
    assert!(world.settle(seconds(5)).await);
    assert_eq!(stored(&world, "a").steps[0].forward.doubtful, 0);
}

#[tokio::test(start_paused = true)]
async fn a_process_that_is_asked_to_end_sends_nothing_new() {
    // The drain begins while the write of the first intents is under way.
    let mut world = world(1, &[("persist", Fault::None, seconds(2))], &[]);
    tokio::time::sleep(seconds(1)).await;
    world.processes[0].drain.cancel();
    world.submit("b");
    world.stop(0).await;
    assert_eq!(world.services.story(), Vec::<String>::new());
    assert_eq!(stored(&world, "a").holder, None);
    world.start();
    assert!(world.settle(seconds(5)).await, "given up, so taken over at once");
}

#[tokio::test(start_paused = true)]
async fn a_panic_of_the_sender_counts_as_a_lost_answer() {
    let world = world(1, &[], &[Part::Panic]);
    assert!(world.settle(seconds(20)).await);
    let forward = &stored(&world, "a").steps[0].forward;
    assert_eq!((forward.attempts, forward.doubtful), (2, 1));
}

#[tokio::test(start_paused = true)]
async fn a_hung_participant_of_one_run_delays_no_other_run_and_not_its_own_for_ever() {
    let world = world(2, &[], &[Part::Hang]);
    tokio::time::sleep(Duration::from_millis(300)).await;
    world.submit("b");
    tokio::time::sleep(seconds(2)).await;
    assert_eq!((stored(&world, "a").end, stored(&world, "b").end), (None, Some(End::Succeeded)));
    assert!(world.settle(seconds(30)).await);
    assert_eq!(stored(&world, "a").end, Some(End::Succeeded));
}

#[tokio::test(start_paused = true)]
async fn a_revision_pinned_in_vain_is_replaced_before_anything_is_sent() {
    let mut world = World::calm(definition(2, 10, 4, 1000));
    world.book.doomed.lock().unwrap().push("order-1".to_owned());
    world.start();
    world.submit("a");
    tokio::time::sleep(seconds(20)).await;
    assert_eq!(world.services.calls("a"), [], "the revision does not stay");
    assert!(world.hooks.count("persist") < 12, "{} writes", world.hooks.count("persist"));
    world.book.change(definition_named("order-2", 1, 10, 4, 1000));
    assert!(world.settle(seconds(30)).await);
    let stored = stored(&world, "a");
    assert_eq!((stored.revision.as_deref(), stored.end), (Some("order-2"), Some(End::Succeeded)));
}

#[tokio::test(start_paused = true)]
async fn a_run_that_keeps_a_revision_pinned_in_vain_sends_what_it_stored() {
    let mut world = World::calm(definition(2, 10, 4, 1000));
    world.book.doomed.lock().unwrap().push("order-1".to_owned());
    // The write that pins afresh is lost: from then on the first attempt counts as one that may have been sent.
    *world.hooks.script.lock().unwrap() = vec![("persist", Fault::None, NONE), ("persist", Fault::UnclearLost, NONE)];
    world.start();
    world.submit("a");
    assert!(world.settle(seconds(60)).await, "it hangs: {:#?}", stored(&world, "a"));
    assert_eq!(stored(&world, "a").end, Some(End::Succeeded));
}

#[tokio::test(start_paused = true)]
async fn a_revision_pinned_in_vain_is_given_up_by_a_process_that_is_asked_to_end() {
    let mut world = world(2, &[("persist", Fault::None, seconds(2))], &[]);
    world.book.doomed.lock().unwrap().push("order-1".to_owned());
    tokio::time::sleep(seconds(1)).await;
    let drain = world.processes[0].drain.clone();
    drain.cancel();
    let ends = tokio::time::timeout(seconds(5), world.processes[0].fleet.idle()).await;
    assert!(ends.is_ok(), "it ends at once");
    let given_up = stored(&world, "a");
    assert_eq!((given_up.revision, given_up.holder, given_up.steps.len()), (None, None, 0));
    world.book.doomed.lock().unwrap().clear();
    world.start();
    assert!(world.settle(seconds(10)).await);
    assert_eq!(stored(&world, "a").end, Some(End::Succeeded));
}

#[tokio::test(start_paused = true)]
async fn a_run_whose_task_failed_is_taken_up_again_though_nothing_changes() {
    let mut world = World::calm(definition(1, 10, 4, 1000));
    world.book.panics.store(1, Ordering::Relaxed);
    let place = world.start();
    world.submit("a");
    tokio::time::sleep(seconds(1)).await;
    world.processes[place].watches.store(false, Ordering::Relaxed);
    assert!(world.settle(seconds(60)).await);
}

#[tokio::test(start_paused = true)]
async fn a_store_that_cannot_prove_ownership_is_not_asked_all_the_time() {
    let world = world(1, &[("load", Fault::Unavailable, NONE); 200], &[Part::Status(500, NONE)]);
    tokio::time::sleep(seconds(61)).await;
    assert!((5..25).contains(&world.hooks.count("load")), "{} reads", world.hooks.count("load"));
    world.hooks.script.lock().unwrap().clear();
    assert!(world.settle(seconds(30)).await);
}

#[tokio::test(start_paused = true)]
async fn conflicts_in_a_row_are_met_with_patience() {
    let world = world(1, &[("persist", Fault::Overtaken, NONE); 500], &[]);
    tokio::time::sleep(seconds(60)).await;
    assert!(world.hooks.count("persist") < 25, "{} writes", world.hooks.count("persist"));
    world.hooks.script.lock().unwrap().clear();
    assert!(world.settle(seconds(30)).await);
}

#[tokio::test(start_paused = true)]
async fn a_run_is_let_go_once_and_news_that_arrive_meanwhile_are_not_lost() {
    let world = world(1, &[("release", Fault::None, seconds(2))], &[]);
    tokio::time::sleep(seconds(1)).await;
    assert_eq!(stored(&world, "a").end, Some(End::Succeeded));
    tokio::time::sleep(seconds(2)).await;
    assert_eq!(world.hooks.count("release"), 1, "the echo of the end is no news");
    world.wish("a", 5);
    tokio::time::sleep(seconds(1)).await;
    assert_eq!(stored(&world, "a").observed_generation, 2);
    assert!(world.processes[0].fleet.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_run_that_went_unseen_is_forgotten_and_what_is_gone_stays_gone() {
    let mut world = world(1, &[], &[]);
    world.wish("a", 0);
    tokio::time::sleep(seconds(1)).await;
    let last = world.store.get("a").unwrap();
    assert_eq!(world.processes[0].fleet.len(), 1);
    world.processes[0].watches.store(false, Ordering::Relaxed);
    world.store.remove("a");
    world.processes[0].fleet.listed(|_| false);
    world.processes[0].fleet.offer(last);
    tokio::time::sleep(seconds(1)).await;
    assert!(world.processes[0].fleet.is_empty());
    world.crash(0);
}

#[tokio::test(start_paused = true)]
async fn a_write_after_the_end_is_not_taken_for_the_one_that_ends_the_run() {
    let late = ("persist", Fault::UnclearLate(seconds(1)), NONE);
    let mut world = world(1, &[("persist", Fault::None, NONE), late, ("persist", Fault::None, seconds(5))], &[]);
    tokio::time::sleep(seconds(2)).await;
    let ended = stored(&world, "a");
    assert_eq!(ended.end, Some(End::Succeeded), "the first write of the end landed, and its writer tries again");
    world.start();
    tokio::time::sleep(seconds(1)).await;
    world.wish("a", 5);
    tokio::time::sleep(seconds(10)).await;
    let last = stored(&world, "a");
    assert_eq!((&last.steps, last.completion_time), (&ended.steps, ended.completion_time));
    assert_eq!(last.observed_generation, 2);
}

#[tokio::test(start_paused = true)]
async fn a_decision_judged_after_the_end_is_not_judged_again_for_an_old_reading() {
    let world = world(1, &[], &[]);
    assert!(world.settle(seconds(10)).await);
    tokio::time::sleep(seconds(1)).await;
    world.processes[0].watches.store(false, Ordering::Relaxed);
    world.wish("a", 5);
    let old = world.store.get("a").unwrap();
    world.ask("a", |wishes| {
        let (id, step, by) = ("i1".to_owned(), "s0".to_owned(), "ops".to_owned());
        let (direction, action) = (Direction::Forward, InterventionAction::Retry);
        let reason = "too late".to_owned();
        wishes.interventions.push(Intervention { id, step, direction, action, reason, requested_by: by });
    });
    world.processes[0].fleet.offer(world.store.get("a").unwrap());
    tokio::time::sleep(seconds(1)).await;
    let judged = stored(&world, "a").judged;
    assert_eq!(judged.len(), 1);
    world.processes[0].fleet.offer(old);
    tokio::time::sleep(seconds(1)).await;
    assert_eq!(stored(&world, "a").judged, judged, "the write of another was taken for its own");
}

#[tokio::test(start_paused = true)]
async fn a_size_refused_twice_sends_nothing_more_and_takes_nobody_down() {
    let world = world(2, &[("persist", Fault::TooLarge, NONE); 2], &[]);
    tokio::time::sleep(seconds(5)).await;
    assert_eq!(world.services.calls("a"), []);
    assert_eq!(world.store.history("a").len(), 0, "left alone until it changes");
    let told = world.ears.notes.lock().unwrap().iter().any(|note| note.occasion == Occasion::TooLarge);
    assert!(told, "a person must hear of it");
    world.submit("b");
    tokio::time::sleep(seconds(5)).await;
    assert_eq!(stored(&world, "b").end, Some(End::Succeeded));
}

#[tokio::test(start_paused = true)]
async fn a_waiting_attempt_is_not_sent_when_the_run_was_taken_or_cancelled_unseen() {
    let world = world(2, &[], &[Part::Status(200, NONE), Part::Status(500, NONE)]);
    tokio::time::sleep(Duration::from_millis(500)).await;
    world.processes[0].watches.store(false, Ordering::Relaxed);
    world.wish("a", 10);
    assert!(world.settle(seconds(30)).await);
    let forward = world.services.calls("a").iter().filter(|call| call.call.direction == Direction::Forward).count();
    assert_eq!((forward, stored(&world, "a").end), (2, Some(End::Compensated)));
}

#[tokio::test(start_paused = true)]
async fn notes_are_told_once_for_each_write_that_landed() {
    let lost = ("persist", Fault::UnclearLost, NONE);
    let world = world(1, &[lost, lost, ("persist", Fault::Unclear, NONE), lost], &[]);
    assert!(world.settle(seconds(30)).await);
    let told = world.ears.stored.lock().unwrap().clone();
    let landed: Vec<Stored> = world.store.history("a").into_iter().map(|write| write.stored).collect();
    assert_eq!(told, landed);
    let notes: Vec<String> = world.ears.notes.lock().unwrap().iter().map(ToString::to_string).collect();
    let unique: std::collections::BTreeSet<&String> = notes.iter().collect();
    assert_eq!(notes.len(), unique.len(), "{notes:?}");
}
