//! What must be true of every history, and of every end: the promises of the semantics, read off what was stored, what was
//! sent and what took effect. It shares no rule with the code that it judges.

use std::collections::BTreeMap;

use saga_operator::api::definition::Role;
use saga_operator::api::run::{Direction, InterventionAction, InterventionOutcome};
use saga_operator::journal::memory::Write;
use saga_operator::saga::{CallId, CallRecord, End, Intent, Phase, Request, Stored, Wishes};

use super::fate::lock;
use super::rules::Rules;
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
            let mut judge = Judge { world, uid: &uid, wishes: &wishes, keys: BTreeMap::new(), broken: Vec::new() };
            let nothing = Stored::default();
            let mut before = &nothing;
            for write in history {
                judge.write(before, write);
                before = &write.stored;
            }
            judge.end(before);
            judge.broken
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
    broken: Vec<String>,
}

impl Judge<'_> {
    fn ensure(&mut self, holds: bool, otherwise: impl FnOnce() -> String) {
        if !holds {
            self.broken.push(otherwise());
        }
    }

    fn write(&mut self, before: &Stored, write: &Write) {
        let Write { stored, intents } = write;
        self.ensure(stored.fence > before.fence, || format!("I5: fence {} after {}", stored.fence, before.fence));
        self.ensure(before.failure.is_none() || before.failure == stored.failure, || {
            "I2: the failure of the run changed".to_owned()
        });
        let ended = before.end.is_some();
        self.ensure(!ended || (stored.end == before.end && stored.steps == before.steps && intents.is_empty()), || {
            format!("I7: something happened after the end: {stored:?}")
        });
        let quiet = intents.is_empty() && stored.open_calls().next().is_none();
        self.ensure(stored.end.is_none() || quiet, || "I7: an intent stands at the end".to_owned());
        self.ensure(stored.judged.starts_with(&before.judged), || {
            "I2: what was judged of interventions changed".to_owned()
        });
        if before.revision == stored.revision {
            self.calls_go_on(before, stored);
        } else {
            let sent = before.revision.is_some() && self.sent_before(stored);
            self.ensure(!sent, || "I2: another revision is pinned although something was sent".to_owned());
            // Keys of requests that nobody ever sent are free.
            self.keys.clear();
        }
        let held = self.wishes.iter().find(|wishes| wishes.generation == stored.observed_generation);
        let held = held.is_some_and(|wishes| wishes.suspend && wishes.deletion.is_none());
        self.ensure(!held || intents.is_empty(), || format!("an intent while suspended: {}", line(&intents[0])));
        let Some(saga) = stored.revision.as_ref().and_then(|name| self.world.book.revision(name)) else { return };
        let rules = Rules(&saga.spec);
        for (call, record) in stored.calls() {
            let counted = rules.limit(call).is_none_or(|limit| record.attempts <= record.attempts_before + limit);
            self.ensure(counted, || format!("{call:?} has more attempts than it may"));
        }
        for intent in intents {
            self.intent(rules, before, stored, intent);
        }
        self.turn(rules, before, stored);
    }

    fn sent_before(&self, stored: &Stored) -> bool {
        let ledger = lock(&self.world.services.ledger);
        ledger.iter().any(|left| left.intent.run.uid == self.uid && left.intent.fence < stored.fence)
    }

    /// I2, doubt that stays, and stalls that only people end.
    fn calls_go_on(&mut self, before: &Stored, after: &Stored) {
        for (id, old) in before.calls() {
            let Some(new) = after.steps.get(id.step).and_then(|step| step.call(id.direction)) else {
                self.broken.push(format!("I2: {id:?} was forgotten"));
                continue;
            };
            self.ensure(!is_outcome(id, old.phase) || old.phase == new.phase, || {
                format!("I2: the outcome of {id:?} went from {:?} to {:?}", old.phase, new.phase)
            });
            self.ensure(new.doubtful >= old.doubtful && new.attempts >= old.attempts, || {
                format!("I2: doubt or attempts of {id:?} were forgotten")
            });
            let left_a_stall = old.phase == Phase::Stalled && new.phase != Phase::Stalled;
            let by_a_person = after.judged.len() > before.judged.len() || after.end == Some(End::Abandoned);
            self.ensure(!left_a_stall || by_a_person, || format!("nobody ended the stall of {id:?}"));
        }
        for record in &after.steps {
            let doubt = record.forward.phase == Phase::Failed && record.forward.doubtful > 0;
            self.ensure(!doubt || self.marked(after, &record.name, InterventionAction::MarkFailed), || {
                format!("I2: '{}' is called Failed in spite of doubt", record.name)
            });
        }
    }

    /// A person said so of the action of that step, and it was taken.
    fn marked(&self, stored: &Stored, step: &str, action: InterventionAction) -> bool {
        let Some(wishes) = self.wishes.last() else { return false };
        wishes.interventions.iter().any(|one| {
            (one.step.as_str(), one.direction, one.action) == (step, Direction::Forward, action)
                && stored.judged.iter().any(|done| done.id == one.id && done.outcome == InterventionOutcome::Applied)
        })
    }

    fn intent(&mut self, rules: Rules<'_>, before: &Stored, stored: &Stored, intent: &Intent) {
        let CallId { step, direction } = intent.call;
        let open = stored.steps.get(step).and_then(|step| step.call(direction)).and_then(|call| call.open.as_ref());
        let stands = intent.fence == stored.fence && open.is_some_and(|open| open.fence == intent.fence);
        self.ensure(stands, || format!("I5: {} does not stand in its write", line(intent)));
        let known = self.keys.entry(intent.key.as_str().to_owned()).or_insert_with(|| (*intent.request).clone());
        let same = *known == *intent.request;
        self.ensure(same, || format!("I8: another request under {}", intent.key.as_str()));
        let begun = before.steps.get(step).and_then(|step| step.call(direction)).is_some_and(|call| call.attempts > 0);
        let forward = stored.failure.is_none();
        match direction {
            Direction::Forward => {
                self.ensure(forward, || format!("I3: {} is stored after the run turned", line(intent)));
                self.ensure(stored.steps[step].compensation.is_none(), || {
                    format!("I3: {} is stored after its compensation", line(intent))
                });
                self.ensure(rules.may_begin(stored, step), || format!("order: {} comes too early", line(intent)));
            }
            Direction::Compensate if begun => {}
            Direction::Compensate => {
                let wrong = rules.wrong_undo(stored, step);
                self.ensure(wrong.is_none(), || format!("I4: {}: {}", line(intent), wrong.unwrap_or_default()));
            }
            Direction::Confirm => {
                let wrong = rules.wrong_confirm(stored, step);
                self.ensure(forward && wrong.is_none(), || {
                    format!("confirm: {}: {}", line(intent), wrong.unwrap_or_default())
                });
            }
        }
    }

    /// The commit point, and the Pivot.
    fn turn(&mut self, rules: Rules<'_>, before: &Stored, stored: &Stored) {
        let abandoned = stored.end == Some(End::Abandoned);
        let turns = before.failure.is_none() && stored.failure.is_some() && !abandoned;
        let same = before.revision == stored.revision;
        self.ensure(!(turns && same && rules.committed(before)), || {
            format!("commit: the run turned past its commit point: {:?}", stored.failure)
        });
        if stored.failure.is_some() && !abandoned {
            for (step, record) in rules.0.steps.iter().zip(&stored.steps) {
                let allowed: &[Phase] = match step.role {
                    Role::Pivot => &[Phase::Pending, Phase::Failed],
                    Role::Retriable => &[Phase::Pending],
                    Role::Compensatable | Role::ReadOnly => continue,
                };
                self.ensure(allowed.contains(&record.forward.phase), || {
                    format!("commit: the run turned, and '{}' is {:?}", record.name, record.forward.phase)
                });
            }
        }
    }

    /// I6, and what ends say.
    fn end(&mut self, last: &Stored) {
        let Some(saga) = last.revision.as_ref().and_then(|name| self.world.book.revision(name)) else { return };
        let rules = Rules(&saga.spec);
        let by_hand = last.steps.iter().any(|step| phase(step.compensation.as_ref()) == Some(Phase::Resolved));
        let all = match last.end {
            Some(End::Succeeded) => true,
            Some(End::Compensated) => {
                self.ensure(!by_hand, || "the run is called Compensated, and a person undid a step".to_owned());
                false
            }
            Some(End::CompensatedByHand) => {
                self.ensure(by_hand, || "the run is called CompensatedByHand, and no person undid a step".to_owned());
                false
            }
            Some(End::Abandoned | End::InvalidInput | End::DefinitionNotFound | End::DefinitionNotReady) | None => {
                return;
            }
        };
        for (index, step) in saga.spec.steps.iter().enumerate() {
            let record = &last.steps[index];
            let skipped = record.forward.phase == Phase::Skipped;
            let done = match (all, record.forward.phase) {
                (true, phase) => phase == Phase::Succeeded || skipped,
                (false, _) => !rules.may_undo(last, index),
            };
            self.ensure(done, || format!("the run ended {:?}, and '{}' is not done with", last.end, step.name));
            let confirmed =
                step.confirm.is_none() || skipped || !all || phase(record.confirm.as_ref()).is_some_and(is_done);
            self.ensure(confirmed, || format!("the run succeeded, and '{}' is not confirmed", step.name));
            if step.role == Role::ReadOnly {
                continue;
            }
            let services = &self.world.services;
            let found = (services.effects(self.uid, &step.name), services.confirmed(self.uid, &step.name));
            let wanted = all && !skipped;
            self.ensure(found == (u32::from(wanted), wanted && step.confirm.is_some()), || {
                let (end, (effects, confirmed)) = (last.end, found);
                format!("I6: the run ended {end:?}; '{}' has {effects} effects, confirmed: {confirmed}", step.name)
            });
        }
    }
}

fn phase(call: Option<&CallRecord>) -> Option<Phase> {
    call.map(|call| call.phase)
}

const fn is_done(phase: Phase) -> bool {
    matches!(phase, Phase::Succeeded | Phase::Resolved)
}

const fn is_outcome(call: CallId, phase: Phase) -> bool {
    match call.direction {
        Direction::Forward => matches!(phase, Phase::Succeeded | Phase::Failed | Phase::Unknown | Phase::Skipped),
        Direction::Compensate | Direction::Confirm => is_done(phase),
    }
}
