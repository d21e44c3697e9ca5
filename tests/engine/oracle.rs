//! What must be true of every history, and of every end.

use std::collections::BTreeMap;

use saga_operator::api::run::Direction;
use saga_operator::journal::memory::Write;
use saga_operator::saga::{Definition, End, Fence, Phase, Request, Stored, invariant};

use super::world::World;

/// Every promise that is broken, in words.
pub fn judge(world: &World) -> Vec<String> {
    let mut broken = std::mem::take(&mut *world.hooks.broken.lock().unwrap());
    broken.append(&mut world.services.broken.lock().unwrap());
    for uid in world.store.uids() {
        let history = world.store.history(&uid);
        let mut found = Vec::new();
        check_history(&world.definition, &history, &mut found);
        check_end(world, &uid, &history, &mut found);
        broken.extend(found.into_iter().map(|text| format!("{uid}: {text}")));
    }
    broken
}

fn check_history(definition: &Definition, history: &[Write], broken: &mut Vec<String>) {
    let mut before = Stored::default();
    let mut keys: BTreeMap<String, Request> = BTreeMap::new();
    let mut forward: BTreeMap<usize, Fence> = BTreeMap::new();
    for Write { stored, intents } in history {
        if let Err(text) = invariant::check(&before, stored) {
            broken.push(text);
        }
        if stored.fence <= before.fence {
            broken.push(format!("I5: fence {} after {}", stored.fence, before.fence));
        }
        for intent in intents {
            let record = stored.steps.get(intent.call.step).and_then(|step| step.call(intent.call.direction));
            let open = record.and_then(|record| record.open.as_ref());
            if intent.fence != stored.fence || open.is_none_or(|open| open.fence != intent.fence) {
                broken.push(format!("I5: {:?} does not stand in its write", intent.call));
            }
            let known = keys.entry(intent.key.as_str().to_owned()).or_insert_with(|| (*intent.request).clone());
            if *known != *intent.request {
                broken.push(format!("I8: another request under {:?}", intent.key));
            }
            match intent.call.direction {
                Direction::Forward => drop(forward.insert(intent.call.step, intent.fence)),
                Direction::Compensate if forward.get(&intent.call.step) >= Some(&intent.fence) => {
                    broken.push(format!("I5: {:?} below its action", intent.call));
                }
                Direction::Compensate | Direction::Confirm => {}
            }
        }
        check_order(definition, &before, stored, broken);
        before = stored.clone();
    }
}

/// I4
fn check_order(definition: &Definition, before: &Stored, after: &Stored, broken: &mut Vec<String>) {
    for (step, record) in after.steps.iter().enumerate() {
        let begun = before.steps.get(step).is_some_and(|old| old.compensation.is_some());
        if record.compensation.is_none() || begun {
            continue;
        }
        for later in definition.steps[step].dependents.iter() {
            let (plan, later) = (&definition.steps[later], &after.steps[later]);
            let open = matches!(later.forward.phase, Phase::Running | Phase::Waiting);
            let effect =
                plan.compensation.is_some() && matches!(later.forward.phase, Phase::Succeeded | Phase::Unknown);
            let undone = later.compensation.as_ref().is_some_and(|call| call.phase == Phase::Succeeded);
            if open || (effect && !undone) {
                broken.push(format!("I4: '{}' is compensated before '{}'", record.name, later.name));
            }
        }
    }
}

/// L1 and I6
fn check_end(world: &World, uid: &str, history: &[Write], broken: &mut Vec<String>) {
    let stored = history.last().map(|write| write.stored.clone()).unwrap_or_default();
    if let Some(run) = world.store.get(uid)
        && !world.is_settled(&run)
    {
        broken.push(format!("L1: it neither ended nor says why not: {stored:#?} {:?}", run.wishes));
    }
    for (step, record) in stored.steps.iter().enumerate() {
        if world.definition.steps[step].compensation.is_none() {
            continue;
        }
        let wanted = match stored.end {
            Some(End::Succeeded) => record.forward.phase == Phase::Succeeded,
            Some(End::Compensated) => false,
            _ => continue,
        };
        if world.services.effect(uid, step) != wanted {
            broken.push(format!("I6: the effect of '{}' at the end {:?}", record.name, stored.end));
        }
    }
}
