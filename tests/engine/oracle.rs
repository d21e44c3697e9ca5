//! What must be true of every history, and of every end: the promises of the semantics, read off what was stored, what was
//! sent and what took effect. It shares no rule with the code that it judges.

use std::collections::{BTreeMap, BTreeSet};

use saga_operator::api::definition::{Role, SagaDefinitionSpec};
use saga_operator::api::run::Direction;
use saga_operator::journal::memory::Write;
use saga_operator::saga::{CallRecord, End, Intent, Phase, Request, StepRecord, Stored, Wishes};

use super::fate::lock;
use super::services::line;
use super::world::World;

/// Every promise that is broken, in words.
pub fn judge(world: &World) -> Vec<String> {
    let mut broken = std::mem::take(&mut *lock(&world.services.broken));
    for uid in world.store.uids() {
        let wishes: Vec<Wishes> =
            lock(&world.wishes).iter().filter(|(whose, _)| *whose == uid).map(|(_, wishes)| wishes.clone()).collect();
        let unsettled = world.store.get(&uid).filter(|run| !world.is_settled(run));
        let mut found = world.store.with_history(&uid, |history| {
            let mut judge = Judge { world, uid: &uid, wishes: &wishes, keys: BTreeMap::new(), undone: BTreeSet::new() };
            let mut found = Vec::new();
            let mut before = Stored::default();
            for write in history {
                judge.write(&before, write, &mut found);
                before = write.stored.clone();
            }
            judge.end(&before, &mut found);
            found
        });
        if let Some(run) = unsettled {
            found.push(format!("L1: it neither ended nor says why not: {:#?} {:?}", run.stored, run.wishes));
        }
        broken.extend(found.drain(..).map(|text| format!("{text} ({uid})")));
    }
    broken
}

struct Judge<'a> {
    world: &'a World,
    uid: &'a str,
    wishes: &'a [Wishes],
    keys: BTreeMap<String, Request>,
    /// Steps with a compensation intent.
    undone: BTreeSet<usize>,
}

impl Judge<'_> {
    fn write(&mut self, before: &Stored, write: &Write, broken: &mut Vec<String>) {
        let Write { stored, intents } = write;
        if stored.fence <= before.fence {
            broken.push(format!("I5: fence {} after {}", stored.fence, before.fence));
        }
        if before.failure.is_some() && before.failure != stored.failure {
            broken.push("I2: the failure of the run changed".to_owned());
        }
        if before.end.is_some() && (stored.end != before.end || stored.steps != before.steps || !intents.is_empty()) {
            broken.push(format!("I7: something happened after the end: {stored:?}"));
        }
        if stored.end.is_some() && (!intents.is_empty() || stored.open_calls().next().is_some()) {
            broken.push("I7: an intent stands at the end".to_owned());
        }
        if before.revision == stored.revision {
            self.outcomes_stay(before, stored, broken);
        } else if before.revision.is_some() && self.sent_before(stored) {
            broken.push("I2: another revision is pinned although something was sent".to_owned());
        }
        let Some(saga) = stored.revision.as_ref().and_then(|name| self.world.book.revision(name)) else { return };
        for (step, record) in saga.spec.steps.iter().zip(&stored.steps) {
            attempts_are_counted(step, record, broken);
        }
        for intent in intents {
            self.intent(&saga.spec, stored, intent, broken);
        }
        let held = self.wishes.iter().find(|wishes| wishes.generation == stored.observed_generation);
        if held.is_some_and(|wishes| wishes.suspend && wishes.deletion.is_none()) && !intents.is_empty() {
            broken.push(format!("an intent is stored while the run is suspended: {}", line(&intents[0])));
        }
    }

    fn sent_before(&self, stored: &Stored) -> bool {
        let ledger = lock(&self.world.services.ledger);
        ledger.iter().any(|left| left.intent.run.uid == self.uid && left.intent.fence < stored.fence)
    }

    /// I2, and doubt that stays
    fn outcomes_stay(&self, before: &Stored, after: &Stored, broken: &mut Vec<String>) {
        for (old, new) in before.steps.iter().zip(&after.steps) {
            let pairs =
                [(Some(&old.forward), Some(&new.forward)), (old.compensation.as_ref(), new.compensation.as_ref())];
            for (old, new) in pairs {
                let Some(old) = old else { continue };
                let Some(new) = new else {
                    broken.push("I2: a compensation was forgotten".to_owned());
                    continue;
                };
                if is_outcome(old.phase) && old.phase != new.phase {
                    broken.push(format!("I2: an outcome went from {:?} to {:?}", old.phase, new.phase));
                }
                if new.doubtful < old.doubtful || new.attempts < old.attempts {
                    broken.push("I2: doubt or attempts were forgotten".to_owned());
                }
            }
            if new.forward.phase == Phase::Failed && new.forward.doubtful > 0 {
                broken.push(format!("I2: '{}' is called Failed in spite of doubt", new.name));
            }
        }
    }

    fn intent(&mut self, saga: &SagaDefinitionSpec, stored: &Stored, intent: &Intent, broken: &mut Vec<String>) {
        let step = intent.call.step;
        let record = stored.steps.get(step).and_then(|step| step.call(intent.call.direction));
        let open = record.and_then(|record| record.open.as_ref());
        if intent.fence != stored.fence || open.is_none_or(|open| open.fence != intent.fence) {
            broken.push(format!("I5: {} does not stand in its write", line(intent)));
        }
        let known = self.keys.entry(intent.key.as_str().to_owned()).or_insert_with(|| (*intent.request).clone());
        if *known != *intent.request {
            broken.push(format!("I8: another request under {}", intent.key.as_str()));
        }
        match intent.call.direction {
            Direction::Forward => {
                if stored.failure.is_some() {
                    broken.push(format!("I3: {} is stored after the run turned", line(intent)));
                }
                if self.undone.contains(&step) {
                    broken.push(format!("I3: {} is stored after its compensation", line(intent)));
                }
                for earlier in needs(saga, step) {
                    if !matches!(stored.steps[earlier].forward.phase, Phase::Succeeded | Phase::Skipped) {
                        broken.push(format!("order: {} before '{}'", line(intent), stored.steps[earlier].name));
                    }
                }
            }
            Direction::Compensate => {
                if self.undone.insert(step) {
                    self.first_undo(saga, stored, intent, broken);
                }
            }
        }
    }

    /// I4
    fn first_undo(&self, saga: &SagaDefinitionSpec, stored: &Stored, intent: &Intent, broken: &mut Vec<String>) {
        let step = intent.call.step;
        if !matches!(stored.steps[step].forward.phase, Phase::Succeeded | Phase::Unknown) {
            broken.push(format!("I4: {} although it cannot have taken effect", line(intent)));
        }
        for later in 0..saga.steps.len() {
            if needs(saga, later).contains(&step) && may_undo(saga.steps[later].role, &stored.steps[later]) {
                broken.push(format!("I4: {} before '{}' is undone", line(intent), stored.steps[later].name));
            }
        }
    }

    /// I6
    fn end(&self, last: &Stored, broken: &mut Vec<String>) {
        let Some(saga) = last.revision.as_ref().and_then(|name| self.world.book.revision(name)) else { return };
        for (step, record) in saga.spec.steps.iter().zip(&last.steps) {
            let done = match (last.end, record.forward.phase) {
                (Some(End::Succeeded), Phase::Succeeded) => true,
                (Some(End::Succeeded), Phase::Skipped) => continue,
                (Some(End::Succeeded), phase) => {
                    broken.push(format!("the run succeeded, and '{}' is {phase:?}", record.name));
                    continue;
                }
                (Some(End::Compensated), _) => {
                    if may_undo(step.role, record) {
                        broken.push(format!("the run is compensated, and '{}' is not undone", record.name));
                    }
                    false
                }
                _ => continue,
            };
            if step.role == Role::Compensatable && self.world.services.effect(self.uid, &record.name) != done {
                let what = if done { "is missing" } else { "is still there" };
                broken.push(format!("I6: the run ended {:?}, and the effect of '{}' {what}", last.end, record.name));
            }
        }
    }
}

/// All steps that a step depends on, directly or through others.
fn needs(saga: &SagaDefinitionSpec, step: usize) -> BTreeSet<usize> {
    let _ = saga;
    (0..step).collect()
}

/// The step has, or may still get, something to undo.
fn may_undo(role: Role, record: &StepRecord) -> bool {
    match record.forward.phase {
        Phase::Pending | Phase::Failed | Phase::Skipped => false,
        Phase::Running | Phase::Waiting | Phase::Stalled => true,
        Phase::Succeeded | Phase::Unknown => {
            let undone = record.compensation.as_ref().is_some_and(|call| call.phase == Phase::Succeeded);
            role == Role::Compensatable && !undone
        }
    }
}

const fn is_outcome(phase: Phase) -> bool {
    matches!(phase, Phase::Succeeded | Phase::Failed | Phase::Unknown | Phase::Skipped)
}

fn attempts_are_counted(step: &saga_operator::api::definition::Step, record: &StepRecord, broken: &mut Vec<String>) {
    let limit = |call: &saga_operator::api::definition::Call, record: &CallRecord| {
        let limit = call.retry_policy.as_ref().and_then(|policy| policy.max_attempts);
        limit.is_none_or(|limit| i64::from(record.attempts) <= i64::from(record.attempts_before) + i64::from(limit))
    };
    let undo = step.compensation.as_ref().zip(record.compensation.as_ref());
    if !limit(&step.action, &record.forward) || undo.is_some_and(|(call, record)| !limit(call, record)) {
        broken.push(format!("'{}' has more attempts than it may", record.name));
    }
}
