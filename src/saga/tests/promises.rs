//! What every history of a run must keep: I2 to I8 of semantics.md, read from the writes that landed.

use std::collections::BTreeMap;
use std::time::Duration;

use super::host::Landing;
use super::model::World;
use crate::api::Reason;
use crate::api::definition::{CompensationOrder, OnExhausted, Role};
use crate::api::run::Direction;
use crate::saga::state::{CallRecord, End, MARGIN, Phase};
use crate::saga::turn::MAX_IN_FLIGHT;
use crate::saga::{CallId, CallPlan, Definition, IdempotencyKey, Mode, Request, Stored};

/// Checks a history.
pub fn check(definition: &Definition, history: &[Landing], bound: usize) {
    let mut keys: BTreeMap<String, Request> = BTreeMap::new();
    let mut took_over: Option<Duration> = None;
    for (index, landing) in history.iter().enumerate() {
        let before = index.checked_sub(1).map_or_else(Stored::default, |previous| history[previous].stored.clone());
        let after = &landing.stored;
        if before.holder != after.holder && before.holder.is_some() {
            took_over = Some(landing.at.monotonic.0);
        }
        assert!(after.fence > before.fence, "I5: fence {} after {}", after.fence, before.fence);
        for intent in &landing.intents {
            assert_eq!(intent.fence, after.fence, "I5: an intent carries the fence of its write");
            let record = after.steps[intent.call.step].call(intent.call.direction).unwrap();
            let open = record.open.as_ref().expect("an intent stands in the write that stores it");
            assert_eq!((open.fence, record.attempts), (intent.fence, intent.attempt));
            if intent.call.direction == Direction::Forward {
                assert_eq!(after.mode(), Mode::Forward, "I3");
                assert!(after.steps[intent.call.step].compensation.is_none(), "I3");
            }
            same_request(&mut keys, &intent.key, &intent.request);
        }
        assert!(after.open_calls().count() <= MAX_IN_FLIGHT, "more than 16 calls in flight");
        check_commit_point(definition, &before, after);
        check_stall_order(definition, &before, after);
        for step in 0..after.steps.len() {
            check_step(definition, &before, landing, step, took_over);
        }
        check_size(after, bound);
    }
}

fn same_request(keys: &mut BTreeMap<String, Request>, key: &IdempotencyKey, request: &Request) {
    let known = keys.entry(key.as_str().to_owned()).or_insert_with(|| request.clone());
    assert_eq!(known, request, "I8: another request under the key {key:?}");
}

fn check_step(definition: &Definition, before: &Stored, landing: &Landing, step: usize, took_over: Option<Duration>) {
    let after = &landing.stored;
    let (plan, record) = (&definition.steps[step], &after.steps[step]);
    let forward = &record.forward;
    let doubted = forward.doubtful > 0;
    assert!(forward.phase != Phase::Unknown || doubted, "'{}' is Unknown without doubt", plan.name);
    let marked = after.failure.as_ref().is_some_and(|failure| failure.reason == Reason::MarkedFailed);
    let by_person = marked && plan.role == Role::Pivot;
    assert!(forward.phase != Phase::Failed || !doubted || by_person, "'{}' is Failed in doubt", plan.name);
    let within = |call: &CallRecord, plan: &CallPlan| call.attempts <= call.attempts_before + plan.retry.max_attempts;
    assert!(within(forward, &plan.action), "'{}': too many attempts", plan.name);
    assert!(after.end.is_none() || !matches!(forward.phase, Phase::Running | Phase::Waiting), "open at the end");
    assert!(record.confirm.is_none() || record.compensation.is_none(), "'{}': confirmed and compensated", plan.name);
    if let Some(confirm) = &record.confirm {
        assert!(within(confirm, plan.confirm.as_ref().unwrap()), "'{}': too many attempts", plan.name);
        check_confirm(definition, before, after, step);
    }
    let Some(undo) = &record.compensation else { return };
    let undo_plan = plan.compensation.as_ref().expect("only what has a compensation is compensated");
    assert!(within(undo, undo_plan), "'{}': too many attempts", plan.name);
    assert!(!matches!(undo.phase, Phase::Failed | Phase::Unknown | Phase::Skipped), "an outcome of actions only");
    let first = before.steps.get(step).is_none_or(|old| old.compensation.is_none());
    if !first {
        return;
    }
    assert!(matches!(forward.phase, Phase::Succeeded | Phase::Unknown), "I4: '{}' has no effect", plan.name);
    for (other, later) in definition.steps.iter().enumerate() {
        let waits = match definition.policy.order {
            CompensationOrder::Reverse => plan.dependents.contains(other),
            CompensationOrder::Parallel => later.priority > plan.priority,
        };
        assert!(
            !waits || is_over(definition, after, other),
            "I4: '{}' is compensated before '{}'",
            plan.name,
            later.name
        );
    }
    if let (true, Some(since)) = (doubted, took_over) {
        let waited = landing.at.monotonic.0 - since;
        let wait = plan.action.timeout + MARGIN;
        assert!(waited >= wait, "'{}' is compensated {waited:?} after a takeover, not {wait:?}", plan.name);
    }
}

/// Nothing more to undo, or nothing but for a person.
fn is_over(definition: &Definition, stored: &Stored, step: usize) -> bool {
    let (plan, record) = (&definition.steps[step], &stored.steps[step]);
    let open = matches!(record.forward.phase, Phase::Running | Phase::Waiting | Phase::Stalled);
    let effect = plan.role == Role::Compensatable && matches!(record.forward.phase, Phase::Succeeded | Phase::Unknown);
    let undone = record.compensation.as_ref().is_some_and(|call| match call.phase {
        Phase::Succeeded | Phase::Resolved => true,
        Phase::Stalled => definition.policy.on_exhausted == OnExhausted::Continue,
        Phase::Pending | Phase::Running | Phase::Waiting | Phase::Failed | Phase::Unknown | Phase::Skipped => false,
    });
    !open && (!effect || undone)
}

/// Past the commit point nothing turns a run, and while the Pivot is in doubt neither.
fn check_commit_point(definition: &Definition, before: &Stored, after: &Stored) {
    let committed = |stored: &Stored| match definition.pivot {
        Some(pivot) => stored.steps.get(pivot).is_some_and(|step| step.forward.phase == Phase::Succeeded),
        None => !stored.steps.is_empty() && stored.steps.iter().all(|step| step.is_done()),
    };
    if after.end == Some(End::Abandoned) {
        return;
    }
    assert!(before.failure.is_some() || !committed(before) || after.failure.is_none(), "turned past the commit point");
    let mut undone = after.steps.iter().filter(|step| step.compensation.is_some());
    assert!(after.failure.is_some() || undone.next().is_none(), "compensated without a failure");
    for (plan, record) in definition.steps.iter().zip(&after.steps) {
        let closed = matches!(record.forward.phase, Phase::Failed | Phase::Unknown);
        assert!(plan.role != Role::Retriable || !closed, "'{}' must succeed in the end", plan.name);
        let pivot_doubted = plan.role == Role::Pivot && record.forward.phase == Phase::Unknown;
        assert!(!pivot_doubted, "'{}' is given up in doubt", plan.name);
        let open = matches!(record.forward.phase, Phase::Running | Phase::Waiting | Phase::Stalled);
        let pivot_open = plan.role == Role::Pivot && open;
        assert!(after.failure.is_none() || !pivot_open, "turned while the Pivot is open");
    }
}

/// Where the policy is Halt none is begun while one is stalled.
fn check_stall_order(definition: &Definition, before: &Stored, after: &Stored) {
    if definition.policy.on_exhausted != OnExhausted::Halt {
        return;
    }
    let stalled = |stored: &Stored, step: usize| {
        let undo = stored.steps.get(step).and_then(|step| step.compensation.as_ref());
        undo.is_some_and(|call| call.phase == Phase::Stalled)
    };
    let still = (0..after.steps.len()).any(|step| stalled(before, step) && stalled(after, step));
    for (old, new) in before.steps.iter().zip(&after.steps) {
        let begun = old.compensation.is_none() && new.compensation.is_some();
        assert!(!still || !begun, "'{}' is begun to be compensated while another is stalled", new.name);
    }
}

/// In dependency order, when everything is done.
fn check_confirm(definition: &Definition, before: &Stored, after: &Stored, step: usize) {
    if before.steps.get(step).is_some_and(|old| old.confirm.is_some()) {
        return;
    }
    assert!(after.steps.iter().all(|step| step.is_done()) && after.failure.is_none(), "confirmed too early");
    for ancestor in definition.steps[step].ancestors.iter() {
        let record = &after.steps[ancestor];
        let needs = definition.steps[ancestor].confirm.is_some() && record.forward.phase == Phase::Succeeded;
        let done = record.confirm.as_ref().is_some_and(|call| call.phase.is_done());
        assert!(!needs || done, "'{}' is confirmed before '{}'", after.steps[step].name, record.name);
    }
}

fn check_size(stored: &Stored, bound: usize) {
    let bytes = serde_json::to_string(&stored.to_status()).unwrap().len();
    assert!(bytes <= bound, "a status of {bytes} bytes where at most {bound} were computed");
    let messages: Vec<&String> = stored.calls().filter_map(|(_, call)| call.message.as_ref()).collect();
    assert!(messages.len() <= 16, "{messages:?}");
    let printable = |text: &str| text.chars().all(|character| (' '..='~').contains(&character));
    assert!(messages.iter().all(|message| message.len() <= 128 && printable(message)));
    let conditions = stored.conditions.iter().map(|condition| &condition.message);
    let long: Vec<&String> = conditions.chain(stored.failure.as_ref().map(|failure| &failure.message)).collect();
    assert!(long.iter().all(|message| message.len() <= 256 && printable(message)), "{long:?}");
}

/// What must be true when nothing happens any more: L1 and I6.
pub fn check_end(world: &World) {
    let stored = world.store.load();
    let story = || format!("{}\n{stored:#?}", world.log.join("\n"));
    let summary = stored.conditions.iter().find(|condition| condition.type_ == "Succeeded");
    let reason = summary.map_or("", |condition| condition.reason.as_str());
    const STALLS: [&str; 6] = [
        "CompensationExhausted",
        "ConfirmExhausted",
        "RetriableExhausted",
        "RetriableRejected",
        "PivotInDoubt",
        "Unrenderable",
    ];
    let stands = (stored.stalled().is_some() && STALLS.contains(&reason))
        || (world.store.wishes.holds() && reason == "Suspended");
    assert!(stored.end.is_some() || stands, "L1: the run neither ended nor says why not\n{}", story());
    if stored.end.is_some() {
        assert_eq!(stored.observed_generation, world.store.wishes.generation, "the spec is observed\n{}", story());
    }
    for (step, record) in stored.steps.iter().enumerate() {
        if world.definition.steps[step].role == Role::ReadOnly || world.marked {
            continue;
        }
        let effect = world.effect(step);
        match stored.end {
            Some(End::Succeeded) => {
                let wanted = record.forward.phase == Phase::Succeeded;
                assert_eq!(effect, wanted, "I6: '{}' of a run that succeeded\n{}", record.name, story());
                let wanted = wanted && world.definition.steps[step].confirm.is_some();
                assert_eq!(world.confirmed(step), wanted, "I6: '{}' is not made final\n{}", record.name, story());
            }
            Some(End::Compensated | End::CompensatedByHand) => {
                assert!(!effect, "I6: '{}' of a run that compensated\n{}", record.name, story());
            }
            Some(End::Abandoned | End::InvalidInput | End::DefinitionNotFound | End::DefinitionNotReady) | None => {}
        }
    }
}

/// A compensation's fence is above every fence of its step's forward calls (I5).
pub fn check_fences(history: &[Landing]) {
    let mut forward: BTreeMap<usize, u64> = BTreeMap::new();
    for intent in history.iter().flat_map(|landing| &landing.intents) {
        let CallId { step, direction } = intent.call;
        match direction {
            Direction::Forward => {
                forward.insert(step, intent.fence.0);
            }
            Direction::Confirm => {}
            Direction::Compensate => assert!(forward.get(&step).is_none_or(|fence| *fence < intent.fence.0), "I5"),
        }
    }
}
