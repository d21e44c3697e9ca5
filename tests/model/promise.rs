//! I1 to I8 and L1 of semantics.md, where each can be seen.

use std::sync::Arc;
use std::time::Duration;

use saga_operator::api::definition::{CompensationOrder, OnExhausted, Role};
use saga_operator::api::run::{Direction, InterventionAction};
use saga_operator::saga::{
    CallId, Definition, Digest, End, Fence, IdempotencyKey, Intent, MARGIN, Mode, Phase, StepRecord, Stored,
};

use super::process::Process;
use super::world::{Broken, World, words};

/// What was promised by stored writes and is not sent yet, and which request belongs to which key.
#[derive(Clone, Default)]
pub struct Ledger {
    /// Intents that stand in a landed write of the process at a place, and were not sent.
    pub unsent: Vec<(usize, CallId, Fence)>,
    pub keys: Arc<Vec<(IdempotencyKey, Digest)>>,
}

impl Ledger {
    /// A write of the process at a place landed.
    pub fn stored<'a>(&mut self, place: usize, intents: impl Iterator<Item = &'a Arc<Intent>>) {
        self.unsent.extend(intents.map(|intent| (place, intent.call, intent.fence)));
    }

    /// The process at a place is gone.
    pub fn forget(&mut self, place: usize) {
        self.unsent.retain(|(of, ..)| *of != place);
    }

    /// I1: who sends has stored, and sends once.
    pub fn sent(&mut self, place: usize, intent: &Intent) -> Result<(), Broken> {
        let entry = (place, intent.call, intent.fence);
        let index = self.unsent.iter().position(|stored| *stored == entry);
        let index =
            index.ok_or_else(|| format!("I1: {} is sent by who did not store it, or a second time", words(intent)))?;
        self.unsent.remove(index);
        Ok(())
    }

    /// I8: the same key, the same request.
    pub fn requests(&mut self, intents: &[&Arc<Intent>]) -> Result<(), Broken> {
        for intent in intents {
            let digest = intent.request.digest();
            match self.keys.iter().find(|(key, _)| *key == intent.key) {
                Some((_, known)) if *known != digest => {
                    return Err(format!("I8: {} is another request under the same key", words(intent)));
                }
                Some(_) => {}
                None => Arc::make_mut(&mut self.keys).push((intent.key.clone(), digest)),
            }
        }
        Ok(())
    }
}

/// I3 and I7 where a process hands an attempt to its sender.
pub fn at_a_send(process: &Process, intent: &Intent) -> Result<(), Broken> {
    let forward = intent.call.direction == Direction::Forward;
    ensure(!(forward && process.turned), || {
        format!("I3: {} is sent although its sender began, or saw, the write that turns the run", words(intent))
    })?;
    ensure(!process.ended, || format!("I7: {} is sent although its sender knows of the end", words(intent)))
}

/// I2 to I5 and I7 where a write lands, beside what `invariant::check` has seen.
pub fn at_a_write(
    world: &World,
    before: &Stored,
    after: &Stored,
    intents: &[&Arc<Intent>],
    taken_at: Option<u64>,
) -> Result<(), Broken> {
    ensure(after.fence > before.fence, || format!("I5: fence {} after {}", after.fence, before.fence))?;
    let definition = &world.setup.definition;
    for intent in intents {
        let name = || words(intent);
        ensure(intent.fence == after.fence, || format!("I5: {} is stored by another write", name()))?;
        let record = after.steps.get(intent.call.step).and_then(|step| step.call(intent.call.direction));
        let open = record.and_then(|record| record.open.as_ref());
        ensure(open.is_some_and(|open| open.fence == intent.fence), || format!("I1: {} is not stored", name()))?;
        ensure(intent.call.direction != Direction::Forward || after.mode() == Mode::Forward, || {
            format!("I3: {} is stored after the run turned", name())
        })?;
        ensure(after.end.is_none(), || format!("I7: {} is stored with the end", name()))?;
        in_order(definition, after, intent)?;
    }
    for (step, record) in after.steps.iter().enumerate() {
        sane(definition, step, record)?;
        let begun = before.steps.get(step).is_none_or(|old| old.compensation.is_none());
        if begun && record.compensation.is_some() {
            first_undo(world, after, step, taken_at)?;
        }
    }
    Ok(())
}

/// Forward calls and confirms follow the order of dependencies, and confirms the commit point.
fn in_order(definition: &Definition, stored: &Stored, intent: &Intent) -> Result<(), Broken> {
    let mut before = definition.steps[intent.call.step].ancestors.iter();
    let done = |step: usize| matches!(stored.steps[step].forward.phase, Phase::Succeeded | Phase::Skipped);
    let confirmed = |step: usize| {
        let confirm = &stored.steps[step].confirm;
        definition.steps[step].confirm.is_none() || confirm.as_ref().is_some_and(|call| call.phase.is_done())
    };
    let fits = match intent.call.direction {
        Direction::Forward => before.all(done),
        Direction::Confirm => before.all(confirmed) && committed(definition, stored) && stored.failure.is_none(),
        Direction::Compensate => stored.failure.is_some(),
    };
    ensure(fits, || format!("{} is stored too early", words(intent)))
}

fn sane(definition: &Definition, step: usize, record: &StepRecord) -> Result<(), Broken> {
    let (plan, forward) = (&definition.steps[step], &record.forward);
    let name = &record.name;
    ensure(forward.phase != Phase::Unknown || forward.doubtful > 0, || format!("'{name}' is Unknown without doubt"))?;
    let plans = [Some(&plan.action), plan.compensation.as_ref(), plan.confirm.as_ref()];
    for (direction, call) in record.calls() {
        let plan = plans[direction as usize];
        let limit = call.attempts_before + plan.map_or(0, |plan| plan.retry.max_attempts);
        ensure(call.attempts <= limit, || format!("'{name}': too many attempts to {}", direction.as_str()))?;
        let outcome = match direction {
            Direction::Forward => call.phase != Phase::Resolved,
            Direction::Compensate | Direction::Confirm => {
                !matches!(call.phase, Phase::Failed | Phase::Unknown | Phase::Skipped)
            }
        };
        ensure(outcome, || format!("I2: '{name}' {} is {:?}", direction.as_str(), call.phase))?;
    }
    Ok(())
}

/// I4, and the wait of a new owner.
fn first_undo(world: &World, after: &Stored, step: usize, taken_at: Option<u64>) -> Result<(), Broken> {
    let definition = &world.setup.definition;
    let (plan, record) = (&definition.steps[step], &after.steps[step]);
    let name = &record.name;
    ensure(matches!(record.forward.phase, Phase::Succeeded | Phase::Unknown), || {
        format!("I4: '{name}' is compensated and has no effect")
    })?;
    ensure(!committed(definition, after), || format!("'{name}' is compensated past the commit point"))?;
    for (later, other) in after.steps.iter().enumerate() {
        let waits = match definition.policy.order {
            CompensationOrder::Reverse => definition.steps[later].ancestors.contains(step),
            CompensationOrder::Parallel => definition.steps[later].priority > plan.priority,
        };
        let open = matches!(other.forward.phase, Phase::Running | Phase::Waiting | Phase::Stalled);
        let effect = definition.steps[later].role == Role::Compensatable
            && matches!(other.forward.phase, Phase::Succeeded | Phase::Unknown);
        let over = other.compensation.as_ref().is_some_and(|call| {
            let given_up = definition.policy.on_exhausted == OnExhausted::Continue && call.phase == Phase::Stalled;
            matches!(call.phase, Phase::Succeeded | Phase::Resolved) || given_up
        });
        ensure(!waits || (!open && (!effect || over)), || {
            format!("I4: '{name}' is compensated before '{}', which is to be undone first", other.name)
        })?;
    }
    if let (true, Some(taken_at)) = (record.forward.doubtful > 0, taken_at) {
        let waited = Duration::from_millis(world.clock - taken_at);
        let wait = plan.action.timeout + MARGIN;
        ensure(waited >= wait, || {
            format!("'{name}', which is in doubt, is compensated {waited:?} after the run was taken over, not {wait:?}")
        })?;
    }
    Ok(())
}

/// The Pivot succeeded; or, without one, all is done.
fn committed(definition: &Definition, stored: &Stored) -> bool {
    let done = |step: usize| matches!(stored.steps[step].forward.phase, Phase::Succeeded | Phase::Skipped);
    match definition.pivot {
        Some(pivot) => done(pivot),
        None => stored.failure.is_none() && (0..stored.steps.len()).all(done),
    }
}

/// I6, when nothing is under way. Of participants that keep less: whatever breaks has a name.
pub fn at_rest(world: &World) -> Result<(), Broken> {
    let stored = &world.store.stored;
    // A person may be wrong about what was done.
    let marked = world.store.wishes.interventions.iter().any(|one| one.action != InterventionAction::Retry);
    for (step, record) in stored.steps.iter().enumerate() {
        let wanted = match stored.end {
            Some(End::Succeeded) => record.forward.phase == Phase::Succeeded,
            Some(End::Compensated) => false,
            Some(
                End::CompensatedByHand
                | End::Abandoned
                | End::InvalidInput
                | End::DefinitionNotFound
                | End::DefinitionNotReady,
            )
            | None => continue,
        };
        let service = &world.services[step];
        let plan = &world.setup.definition.steps[step];
        let unconfirmed = wanted && plan.confirm.is_some() && !service.confirmed;
        if marked || plan.role == Role::ReadOnly || (service.effect == i8::from(wanted) && !unconfirmed) {
            continue;
        }
        let known = service.anomalies.iter().any(|anomaly| world.setup.scenario.anomalies.contains(anomaly));
        ensure(known, || {
            format!("I6: the run ended {:?}, and '{}' took effect {} times", stored.end, record.name, service.effect)
        })?;
    }
    Ok(())
}

/// What may need a person.
const STALLS: [&str; 5] =
    ["CompensationExhausted", "ConfirmExhausted", "RetriableExhausted", "RetriableRejected", "PivotInDoubt"];

/// L1, when nothing goes wrong any more and nothing more happens.
pub fn at_the_end(world: &World) -> Result<(), Broken> {
    let stored = &world.store.stored;
    let summary = stored.conditions.iter().find(|condition| condition.type_ == "Succeeded");
    let reason = summary.map_or("", |condition| condition.reason.as_str());
    let stalled = stored.stalled().and_then(|(_, call)| call.reason);
    let stands = stalled.is_some_and(|why| why.as_str() == reason && STALLS.contains(&reason))
        || (world.store.wishes.holds() && reason == "Suspended");
    ensure(stored.end.is_some() || stands, || format!("L1: the run neither ended nor says why not ({reason})"))?;
    ensure(stored.end.is_none() || stored.observed_generation == world.store.wishes.generation, || {
        "L1: the run ended, and does not say that it has seen the last change of its spec".to_owned()
    })?;
    at_rest(world)
}

fn ensure(holds: bool, broken: impl FnOnce() -> String) -> Result<(), Broken> {
    if holds { Ok(()) } else { Err(broken()) }
}
