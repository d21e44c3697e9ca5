//! What users do, and what happens to processes.

use saga_operator::api::SagaRunSpec;
use saga_operator::api::definition::Role;
use saga_operator::api::run::{Direction, Intervention, InterventionAction};
use saga_operator::saga::{Phase, Tenure};

use super::fate::Source;
use super::shape::drawn;
use super::world::World;

/// Something that users or machines do.
pub async fn act(world: &mut World, uids: &mut Vec<String>) {
    let fate = world.fate.clone();
    let uid = &uids[below(world, uids.len())].clone();
    let place = below(world, world.processes.len());
    let name = world.processes[place].process.name.clone();
    match fate.below(Source::People, 20) {
        1 | 2 => {
            fate.fault("crash", || name);
            world.crash(place);
            world.start();
        }
        3 => {
            fate.fault("restart in order", || name);
            if world.tenure != Tenure::Exclusive {
                world.start();
            }
            world.stop(place).await;
            if world.tenure == Tenure::Exclusive {
                world.start();
            }
        }
        4 | 5 => {
            let wait = fate.millis(Source::People, 60_000);
            fate.fault("process stands still", || format!("{name} for {wait:?}"));
            world.processes[place].process.freeze(wait);
        }
        6..=8 => world.wish(uid, fate.below(Source::People, 16)),
        9 => {
            fate.fault("metadata changed", || uid.clone());
            world.store.touch(uid);
        }
        10 if fate.below(Source::People, 4) == 1 => {
            fate.fault("run removed by force", || uid.clone());
            world.store.remove(uid);
        }
        11 => {
            let revision = format!("order-{}", world.book.count() + 1);
            world.book.change(drawn(&fate, &revision));
        }
        12..=14 => resolve(world, uid),
        16 | 17 if uids.len() < 4 => {
            let uid = format!("run-{}", uids.len());
            submit(world, &uid);
            uids.push(uid);
        }
        15 => meddle(world, uid),
        _ => {}
    }
}

/// Asks for a run, in one case of five with a deadline of its own.
pub fn submit(world: &World, uid: &str) {
    let below = |bound| world.fate.below(Source::Shape, bound);
    let deadline = (below(5) == 4).then(|| 1 + below(90));
    let active_deadline_seconds = deadline.map(|seconds| i32::try_from(seconds).unwrap());
    let input = serde_json::Map::from_iter([("wanted".to_owned(), (below(2) == 0).into())]);
    world.submit_with(uid, SagaRunSpec { active_deadline_seconds, input, ..SagaRunSpec::default() });
}

/// A person ends a stall: has it tried again, or looks what became of it, does it by hand, and says so.
pub fn resolve(world: &World, uid: &str) {
    let Some(run) = world.store.get(uid).filter(|run| run.stored.end.is_none()) else { return };
    let stalled: Vec<_> =
        run.stored.calls().filter(|(_, call)| call.phase == Phase::Stalled).map(|(id, _)| id).collect();
    // Nobody decides on a call while another's decision is still to be judged: both would be taken at their word.
    let undecided = run.stored.judged.len() < run.wishes.interventions.len();
    if stalled.is_empty() || undecided || run.wishes.interventions.len() > 20 {
        return;
    }
    let call = stalled[below(world, stalled.len())];
    let step = run.stored.steps[call.step].name.clone();
    let pivot = run
        .stored
        .revision
        .as_ref()
        .and_then(|name| world.book.revision(name))
        .is_some_and(|saga| saga.spec.steps[call.step].role == Role::Pivot);
    let action = match world.fate.below(Source::People, 3) {
        1 => {
            world.services.by_hand(uid, &step, call.direction);
            InterventionAction::MarkSucceeded
        }
        2 if pivot && world.services.effects(uid, &step) == 0 => {
            world.services.closed_by_hand(uid, &step);
            InterventionAction::MarkFailed
        }
        _ => InterventionAction::Retry,
    };
    decide(world, uid, step, call.direction, action);
}

/// A decision that is no help: about any call, stalled or not.
fn meddle(world: &World, uid: &str) {
    let direction = [Direction::Forward, Direction::Compensate, Direction::Confirm][below(world, 3)];
    let step = format!("s{}", below(world, 8));
    decide(world, uid, step, direction, InterventionAction::Retry);
}

fn decide(world: &World, uid: &str, step: String, direction: Direction, action: InterventionAction) {
    world.ask(uid, |wishes| {
        if wishes.interventions.len() < 32 {
            let id = format!("i{}", wishes.interventions.len() + 1);
            let (reason, requested_by) = ("it looked so".to_owned(), "ops".to_owned());
            wishes.interventions.push(Intervention { id, step, direction, action, reason, requested_by });
        }
    });
}

fn below(world: &World, count: usize) -> usize {
    world.fate.below(Source::People, u32::try_from(count).unwrap()) as usize
}
