//! Making final what was tried, once nothing can fail any more (Try-Confirm/Cancel, Pardon and Pautasso 2014).

use std::time::Duration;

use super::key::CallId;
use super::note::{Level, Occasion};
use super::outcome::{Reading, Verdict};
use super::state::Phase;
use super::turn::{Attempt, Turn};
use crate::api::Reason;

impl Turn<'_> {
    /// Says once that nothing turns the run any more.
    pub(super) fn announce_confirming(&mut self) {
        let due: Vec<&str> = self
            .stored()
            .steps
            .iter()
            .enumerate()
            .filter(|(step, _)| self.needs_confirm(*step))
            .map(|(_, record)| record.name.as_str())
            .collect();
        let begun = self.stored().steps.iter().any(|record| record.confirm.is_some());
        if !due.is_empty() && !begun {
            let text = format!("every step is done; making final {}", due.join(", "));
            self.note(Level::Story, Occasion::Confirming, text);
        }
    }

    /// Begins every confirm whose step has nothing unconfirmed before it.
    pub(super) fn confirm_ready(&mut self) {
        let Some(definition) = self.definition() else { return };
        for (index, step) in definition.steps.iter().enumerate() {
            let call = CallId::confirm(index);
            let due = self.needs_confirm(index)
                && self.call(call).is_none_or(|record| record.phase == Phase::Pending)
                && !step.ancestors.iter().any(|ancestor| self.needs_confirm(ancestor));
            if due && self.has_room() {
                self.attempt(call, Attempt::Next { wait: Duration::ZERO });
            }
        }
    }

    /// The step was tried, and is not final yet. A skipped step was not tried.
    fn needs_confirm(&self, step: usize) -> bool {
        let (Some(plan), Some(record)) = (self.step_plan(step), self.record(step)) else { return false };
        let confirmed = record.confirm.as_ref().is_some_and(|call| call.phase.is_done());
        plan.confirm.is_some() && record.forward.phase == Phase::Succeeded && !confirmed
    }

    /// Nothing is left to be made final.
    pub(super) fn confirm_done(&self) -> bool {
        !(0..self.stored().steps.len()).any(|step| self.needs_confirm(step))
    }

    pub(super) fn confirm_read(&mut self, call: CallId, reading: &Reading) {
        match &reading.verdict {
            Verdict::Succeeded => {
                self.close(call, Phase::Succeeded);
                let text = format!("{} succeeded", self.describe(call));
                self.note(Level::Detail, Occasion::StepConfirmed, text);
            }
            Verdict::Retry(after) => self.again_or_stall(call, *after, reading, Reason::ConfirmExhausted),
            Verdict::Rejected | Verdict::InProgress { .. } => {
                self.stall(call, Reason::ConfirmExhausted, &reading.message, reading.http_status);
            }
            Verdict::Unrenderable => {
                self.stall(call, Reason::Unrenderable, &reading.message, reading.http_status);
            }
        }
    }
}
