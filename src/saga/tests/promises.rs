//! What every history of a run must keep: I2 to I8 of semantics.md, read from the writes that landed.

use std::collections::BTreeMap;
use std::time::Duration;

use super::host::Landing;
use super::model::World;
use crate::api::definition::Role;
use crate::api::run::Direction;
use crate::saga::state::{End, MARGIN, Phase};
use crate::saga::{CallId, Definition, IdempotencyKey, Mode, Request, Stored};

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
    assert!(forward.phase != Phase::Failed || !doubted, "'{}' is Failed in doubt", plan.name);
    assert!(forward.attempts <= plan.action.retry.max_attempts, "'{}': too many attempts", plan.name);
    assert!(after.end.is_none() || !matches!(forward.phase, Phase::Running | Phase::Waiting), "open at the end");
    let Some(undo) = &record.compensation else { return };
    let undo_plan = plan.compensation.as_ref().expect("only what has a compensation is compensated");
    assert!(undo.attempts <= undo_plan.retry.max_attempts, "'{}': too many attempts", plan.name);
    assert!(!matches!(undo.phase, Phase::Failed | Phase::Unknown | Phase::Skipped), "an outcome of actions only");
    let first = before.steps.get(step).is_none_or(|old| old.compensation.is_none());
    if !first {
        return;
    }
    assert!(matches!(forward.phase, Phase::Succeeded | Phase::Unknown), "I4: '{}' has no effect", plan.name);
    for dependent in plan.dependents.iter() {
        let (plan, later) = (&definition.steps[dependent], &after.steps[dependent]);
        let effect =
            plan.role == Role::Compensatable && matches!(later.forward.phase, Phase::Succeeded | Phase::Unknown);
        let undone = later.compensation.as_ref().is_some_and(|call| call.phase == Phase::Succeeded);
        let open = matches!(later.forward.phase, Phase::Running | Phase::Waiting);
        assert!(!open && (!effect || undone), "I4: '{}' is compensated before '{}'", record.name, later.name);
    }
    if let (true, Some(since)) = (doubted, took_over) {
        let waited = landing.at.monotonic.0 - since;
        let wait = plan.action.timeout + MARGIN;
        assert!(waited >= wait, "'{}' is compensated {waited:?} after a takeover, not {wait:?}", plan.name);
    }
}

fn check_size(stored: &Stored, bound: usize) {
    let bytes = serde_json::to_string(&stored.to_status()).unwrap().len();
    assert!(bytes <= bound, "a status of {bytes} bytes where at most {bound} were computed");
    let calls = stored.steps.iter().flat_map(|step| std::iter::once(&step.forward).chain(&step.compensation));
    let messages: Vec<&String> = calls.filter_map(|call| call.message.as_ref()).collect();
    assert!(messages.len() <= 2, "a sequence needs few messages: {messages:?}");
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
    let stands = (stored.stalled().is_some() && reason == "CompensationExhausted")
        || (stored.stalled().is_some() && reason == "Unrenderable")
        || (world.store.wishes.holds() && reason == "Suspended");
    assert!(stored.end.is_some() || stands, "L1: the run neither ended nor says why not\n{}", story());
    if stored.end.is_some() {
        assert_eq!(stored.observed_generation, world.store.wishes.generation, "the spec is observed\n{}", story());
    }
    for (step, record) in stored.steps.iter().enumerate() {
        if world.definition.steps[step].role == Role::ReadOnly {
            continue;
        }
        let effect = world.effect(step);
        match stored.end {
            Some(End::Succeeded) => {
                let wanted = record.forward.phase == Phase::Succeeded;
                assert_eq!(effect, wanted, "I6: '{}' of a run that succeeded\n{}", record.name, story());
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
