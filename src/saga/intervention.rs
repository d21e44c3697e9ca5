//! Decisions of people about stalled calls: judged once, in list order, in the same write as their effect.
//!
//! # Guarantees
//! Each is judged against the state that the one before left. What does not apply is refused for good, so that a decision
//! made on an old look at the run cannot take effect on another.

use super::key::CallId;
use super::mode::Mode;
use super::note::{Level, Occasion};
use super::state::{Judged, Phase};
use super::text;
use super::turn::Turn;
use super::wishes::{Intervention, Wishes};
use crate::api::Reason;
use crate::api::definition::Role;
use crate::api::run::{Direction, InterventionAction, InterventionOutcome};

/// As many as the spec may hold.
pub(super) const MAX_INTERVENTIONS: usize = 32;
/// Longest chain of keys: a person cannot retry more often than there are entries.
const MAX_KEYS: u32 = 99;

impl Turn<'_> {
    /// Judges every decision that was not judged yet.
    pub(super) fn judge(&mut self, wishes: &Wishes) {
        for intervention in wishes.interventions.iter().take(MAX_INTERVENTIONS) {
            if self.stored().judged.iter().any(|judged| judged.id == intervention.id) {
                continue;
            }
            let outcome = match self.apply(intervention) {
                Ok(()) => InterventionOutcome::Applied,
                Err(why) => {
                    let text = text::message(&format!("{} is refused: {why}", describe(intervention)));
                    self.note(Level::Warning, Occasion::InterventionRefused, text);
                    InterventionOutcome::Refused
                }
            };
            let judged = Judged { id: intervention.id.clone(), outcome, time: self.now.wall };
            self.state.stored.judged.push(judged);
        }
    }

    fn apply(&mut self, intervention: &Intervention) -> Result<(), String> {
        let call = self.stalled_call(intervention)?;
        let text = text::message(&format!("{}: {}", describe(intervention), intervention.reason));
        match intervention.action {
            InterventionAction::Retry => {
                self.note(Level::Story, Occasion::Intervened, text);
                self.begin_afresh(call);
            }
            InterventionAction::MarkSucceeded => {
                self.note(Level::Story, Occasion::Intervened, text);
                self.close(call, if call.direction == Direction::Forward { Phase::Succeeded } else { Phase::Resolved });
            }
            InterventionAction::MarkFailed => {
                let role = self.step_plan(call.step).map(|step| step.role);
                if (call.direction, role) != (Direction::Forward, Some(Role::Pivot)) {
                    return Err("only the action of the Pivot can be marked as failed".to_owned());
                }
                self.note(Level::Story, Occasion::Intervened, text);
                self.fail(call, Reason::MarkedFailed, &intervention.reason, None);
                self.close(call, Phase::Failed);
                let failure = self.failure(call, Reason::MarkedFailed, &intervention.reason, None);
                self.turn(failure);
            }
        }
        Ok(())
    }

    fn stalled_call(&self, intervention: &Intervention) -> Result<CallId, String> {
        if self.mode() == Mode::Ended {
            return Err("the run has ended".to_owned());
        }
        let step = self.stored().steps.iter().position(|record| record.name == intervention.step);
        let step = step.ok_or_else(|| format!("the run has no step '{}'", intervention.step))?;
        let call = CallId { step, direction: intervention.direction };
        match self.call(call).map(|record| record.phase) {
            Some(Phase::Stalled) => Ok(call),
            Some(phase) => Err(format!("{} is {phase:?}, not Stalled", self.describe(call))),
            None => Err(format!("{} was not begun", self.describe(call))),
        }
    }

    /// A fresh set of attempts. Under the next key only if the participant cannot have an effect under the one before: a
    /// refusal that it remembers would come back for ever.
    fn begin_afresh(&mut self, call: CallId) {
        if let Some(record) = self.call_mut(call) {
            if record.doubtful == 0 && record.digest.take().is_some() {
                record.key_suffix = record.key_suffix.saturating_add(1).min(MAX_KEYS);
            }
            record.attempts_before = record.attempts;
            record.takeovers = 0;
            record.phase = Phase::Pending;
            record.reason = None;
            record.message = None;
            record.http_status = None;
        }
    }
}

fn describe(intervention: &Intervention) -> String {
    let Intervention { id, step, direction, action, requested_by, .. } = intervention;
    format!("'{id}' by {requested_by}: {} of {} of '{step}'", action.as_str(), direction.field())
}
