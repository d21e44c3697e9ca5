//! What must hold from one stored write to the next, whatever happens: I2 to I5 and I7 of the semantics, as a check that
//! tests, the simulator and debug builds share.

use super::mode::Mode;
use super::state::{CallRecord, Phase, StepRecord, Stored};
use crate::api::Reason;

/// Checks two writes that follow each other.
///
/// # Errors
/// The first broken promise, in words.
pub fn check(before: &Stored, after: &Stored) -> Result<(), String> {
    ensure(after.fence > before.fence || after == before, || {
        format!("I5: the fence went from {} to {}", before.fence, after.fence)
    })?;
    ensure(before.failure.is_none() || before.failure == after.failure, || {
        "a failure was removed or changed".to_owned()
    })?;
    if before.end.is_some() {
        return ensure(
            before.end == after.end && before.steps == after.steps && after.open_calls().next().is_none(),
            || "I7: something happened after the end".to_owned(),
        );
    }
    ensure(after.end.is_none() || after.open_calls().next().is_none(), || {
        "I7: an intent stands at the end".to_owned()
    })?;
    if before.revision != after.revision {
        // Started, or pinned afresh before anything was sent: the steps are new.
        return Ok(());
    }
    let marked = |step: &StepRecord| {
        after.failure.as_ref().is_some_and(|failure| {
            failure.reason == Reason::MarkedFailed && failure.step.as_deref() == Some(step.name.as_str())
        })
    };
    for (old, new) in before.steps.iter().zip(&after.steps) {
        calls_stay(old, new).map_err(|broken| format!("step '{}': {broken}", new.name))?;
        ensure(new.forward.phase != Phase::Failed || new.forward.doubtful == 0 || marked(new), || {
            format!("step '{}': a step in doubt is called Failed", new.name)
        })?;
        let forward_intent = new.forward.open.as_ref().is_some_and(|open| open.fence == after.fence);
        ensure(!forward_intent || new.compensation.is_none(), || {
            format!("I3: a forward intent of '{}' after its compensation", new.name)
        })?;
        ensure(!forward_intent || after.mode() == Mode::Forward, || {
            format!("I3: a forward intent of '{}' after the run turned", new.name)
        })?;
        let undo_new = old.compensation.is_none() && new.compensation.is_some();
        ensure(!undo_new || matches!(new.forward.phase, Phase::Succeeded | Phase::Unknown), || {
            format!("I4: '{}' is compensated although it cannot have taken effect", new.name)
        })?;
        ensure(new.confirm.is_none() || new.compensation.is_none(), || {
            format!("'{}' is both confirmed and compensated", new.name)
        })?;
    }
    Ok(())
}

fn calls_stay(before: &StepRecord, after: &StepRecord) -> Result<(), String> {
    for (direction, old) in before.calls() {
        match after.call(direction) {
            Some(new) => outcomes_stay(old, new)?,
            None => return Err(format!("the {} was forgotten", direction.field())),
        }
    }
    Ok(())
}

fn outcomes_stay(before: &CallRecord, after: &CallRecord) -> Result<(), String> {
    ensure(!before.phase.is_outcome() || before.phase == after.phase, || {
        format!("I2: the outcome went from {:?} to {:?}", before.phase, after.phase)
    })?;
    ensure(after.doubtful >= before.doubtful, || "doubt was forgotten".to_owned())?;
    ensure(after.attempts >= before.attempts, || "attempts were forgotten".to_owned())?;
    ensure(after.doubtful <= after.attempts, || "more doubtful attempts than attempts".to_owned())
}

fn ensure(holds: bool, broken: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(broken()) }
}
