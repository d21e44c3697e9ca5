//! Hazards of the engine that wrong edits in `seeded/` walk into.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

mod engine;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use engine::services::Part;
use engine::shape::{Saga, definition};
use engine::world::World;
use saga_operator::api::run::Direction;
use saga_operator::journal::Draft;
use saga_operator::journal::memory::Fault;
use saga_operator::saga::{Definition, End, Fence, Holder, Intent, Phase, Stored};

const NONE: Duration = Duration::ZERO;

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

/// A world with one process and one run, whose backoffs are of 20 s, and what goes wrong first.
fn world(saga: Arc<Saga>, script: &[(&'static str, Fault, Duration)], parts: &[Part]) -> World {
    let mut world = World::calm(saga);
    *world.hooks.script.lock().unwrap() = script.to_vec();
    *world.services.script.lock().unwrap() = parts.to_vec();
    world.start();
    world.submit("a");
    world
}

fn slow(steps: usize) -> Arc<Saga> {
    definition(steps, 10, 4, 20_000)
}

/// The same steps, side by side.
fn parallel(steps: usize) -> Arc<Saga> {
    let mut spec = slow(steps).spec.clone();
    spec.steps.iter_mut().for_each(|step| step.depends_on = Some(Vec::new()));
    let definition = Arc::new(Definition::compile(&spec, "order-1").unwrap());
    Arc::new(Saga { spec, definition })
}

fn stored(world: &World) -> Stored {
    world.store.history("a").last().map(|write| write.stored.clone()).unwrap_or_default()
}

fn actions(world: &World) -> Vec<Intent> {
    world.services.calls("a").into_iter().filter(|intent| intent.call.direction == Direction::Forward).collect()
}

fn broken(world: &World) -> Vec<String> {
    world.services.broken.lock().unwrap().clone()
}

fn cancel(world: &World) {
    world.wish("a", 10);
}

#[tokio::test(start_paused = true)]
async fn an_attempt_kept_from_before_another_owner_is_never_sent() {
    // The second attempt waits for some 20 s; then its owner cannot prove that it still is one, and another one takes over.
    let mut world = world(slow(1), &[], &[Part::Status(500, NONE), Part::Hang]);
    tokio::time::sleep(seconds(1)).await;
    *world.hooks.script.lock().unwrap() = vec![("load", Fault::Unavailable, NONE); 20];
    world.start();
    let taken = |world: &World| stored(world).steps.first().is_some_and(|step| step.forward.takeovers > 0);
    for _ in 0..60 {
        tokio::time::sleep(seconds(1)).await;
        if taken(&world) {
            break;
        }
    }
    assert!(taken(&world), "{:#?} {:?}", stored(&world).holder, world.services.story());
    world.hooks.script.lock().unwrap().clear();
    let holder = stored(&world).holder.unwrap();
    let place = usize::from(!holder.as_str().starts_with("p1-"));
    assert_eq!(place, 1, "the second process has it");
    world.crash(place);
    assert!(world.settle(seconds(120)).await);
    assert_eq!(broken(&world), Vec::<String>::new());
    let fences: Vec<Fence> = actions(&world).iter().map(|intent| intent.fence).collect();
    assert!(fences.len() == 3 && fences.is_sorted(), "{fences:?}");
    assert_eq!(stored(&world).end, Some(End::Succeeded));
}

#[tokio::test(start_paused = true)]
async fn a_copy_older_than_the_last_write_is_not_acted_on() {
    let world = world(slow(1), &[("persist", Fault::None, seconds(2))], &[Part::Status(500, NONE)]);
    tokio::time::sleep(seconds(1)).await;
    // While the first write is under way; no news comes from here on.
    let old = world.store.get("a").unwrap();
    assert!(old.retained && old.stored == Stored::default());
    world.processes[0].watches.store(false, Ordering::Relaxed);
    tokio::time::sleep(seconds(3)).await;
    assert_eq!(stored(&world).steps[0].forward.phase, Phase::Waiting);
    world.processes[0].fleet.offer(old);
    assert!(world.settle(seconds(120)).await);
    let forward = stored(&world).steps[0].forward.clone();
    assert_eq!((forward.attempts, forward.doubtful, forward.phase), (2, 1, Phase::Succeeded));
    assert_eq!(broken(&world), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn an_attempt_is_taken_back_before_the_write_that_drops_it() {
    let refusals = [Part::Status(429, NONE), Part::Status(429, NONE), Part::Status(429, NONE)];
    let world = world(slow(1), &[], &refusals);
    tokio::time::sleep(seconds(1)).await;
    *world.hooks.script.lock().unwrap() = vec![("persist", Fault::UnclearLost, NONE)];
    cancel(&world);
    assert!(world.settle(seconds(300)).await);
    assert_eq!((actions(&world).len(), broken(&world)), (1, Vec::new()), "{:?}", world.services.story());
    assert_eq!(stored(&world).end, Some(End::Compensated));
}

#[tokio::test(start_paused = true)]
async fn an_attempt_on_the_wire_is_awaited_when_the_run_is_cancelled() {
    let world = world(slow(1), &[], &[Part::Status(200, seconds(3))]);
    tokio::time::sleep(seconds(1)).await;
    cancel(&world);
    assert!(world.settle(seconds(60)).await);
    let step = stored(&world).steps[0].clone();
    assert_eq!((step.forward.phase, step.forward.doubtful), (Phase::Succeeded, 0));
    assert_eq!(step.compensation.map(|call| call.phase), Some(Phase::Succeeded));
}

#[tokio::test(start_paused = true)]
async fn answers_that_come_while_a_write_is_under_way_share_the_next() {
    let answers = [1, 2, 3].map(|after| Part::Status(200, seconds(after)));
    let slow_write = ("persist", Fault::None, seconds(5));
    let world = world(parallel(3), &[("persist", Fault::None, NONE), slow_write], &answers);
    assert!(world.settle(seconds(60)).await);
    assert_eq!(stored(&world).end, Some(End::Succeeded));
    assert_eq!(world.store.history("a").len(), 3, "the first intents, the first answer, and both others");
}

#[tokio::test(start_paused = true)]
async fn a_run_is_let_go_although_the_store_failed_the_first_time() {
    for fault in [Fault::Unavailable, Fault::UnclearLost, Fault::Unclear, Fault::Overtaken] {
        // Slowly, so that the last news of the run come before the failure and not after it.
        let world = world(slow(1), &[("release", fault, seconds(1))], &[]);
        assert!(world.settle(seconds(10)).await, "{fault:?}: {:#?}", world.store.get("a"));
        assert_eq!(stored(&world).end, Some(End::Succeeded));
        tokio::time::sleep(seconds(10)).await;
        assert!(world.store.get("a").is_some_and(|run| !run.retained), "{fault:?}: it is held for ever");
    }
}

#[tokio::test(start_paused = true)]
async fn a_write_of_another_under_the_same_fence_is_not_an_own_one() {
    let world = World::calm(slow(1));
    let mut read = world.submit("a");
    let by =
        |holder: &str, fence| Stored { holder: Some(Holder::new(holder)), fence: Fence(fence), ..Stored::default() };
    let draft = || Draft {
        run: read.run.clone(),
        version: read.version.clone(),
        stored: by("p1", 3),
        intents: Vec::new(),
        polls: Vec::new(),
    };
    let (draft, other, earlier) = (draft(), draft(), draft());
    read.stored = by("p2", 3);
    assert!(other.recognised(&read).is_err());
    read.stored = by("p1", 2);
    assert!(earlier.recognised(&read).is_err());
    read.stored = by("p1", 3);
    assert!(draft.recognised(&read).is_ok());
}
