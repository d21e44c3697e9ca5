//! Undoing what took effect, in the reverse of the order of dependencies.

use std::time::Duration;

use super::key::CallId;
use super::note::{Level, Occasion};
use super::outcome::{Reading, Verdict};
use super::render::Unrendered;
use super::state::Phase;
use super::turn::{Attempt, Turn};
use crate::api::Reason;
use crate::api::definition::Role;

impl Turn<'_> {
    /// Begins every compensation whose step has nothing undone after it.
    pub(super) fn undo_ready(&mut self) {
        let Some(definition) = self.definition() else { return };
        for (index, step) in definition.steps.iter().enumerate().rev() {
            let due = self.needs_undo(index)
                && self.record(index).is_some_and(|record| record.compensation.is_none())
                && step.dependents.iter().all(|dependent| self.nothing_to_undo(dependent));
            // While one compensation is stalled no other is begun.
            if due && self.stored().stalled().is_none() && self.has_room() && !self.predecessor_may_act(index) {
                self.attempt(CallId::compensate(index), Attempt::Next { wait: Duration::ZERO });
            }
        }
    }

    /// The step may have taken effect and is not undone yet.
    pub(super) fn needs_undo(&self, step: usize) -> bool {
        let (Some(plan), Some(record)) = (self.step_plan(step), self.record(step)) else { return false };
        let undone = record.compensation.as_ref().is_some_and(|call| call.phase == Phase::Succeeded);
        let effect_possible = matches!(record.forward.phase, Phase::Succeeded | Phase::Unknown);
        plan.role == Role::Compensatable && effect_possible && !undone
    }

    /// The step has, and will have, nothing to undo.
    fn nothing_to_undo(&self, step: usize) -> bool {
        let closed = self
            .record(step)
            .is_some_and(|record| record.forward.phase.is_outcome() || record.forward.phase == Phase::Pending);
        closed && !self.needs_undo(step)
    }

    /// No action is open and nothing is left to undo.
    pub(super) fn undo_done(&self) -> bool {
        (0..self.stored().steps.len()).all(|step| self.nothing_to_undo(step))
    }

    pub(super) fn undo_read(&mut self, call: CallId, reading: &Reading) {
        match reading.verdict {
            Verdict::Succeeded => {
                self.close(call, Phase::Succeeded);
                let text = format!("{} succeeded", self.describe(call));
                self.note(Level::Story, Occasion::StepCompensated, text);
            }
            Verdict::Retry(after) => {
                self.fail(call, reading.reason, &reading.message, reading.http_status);
                if let Some(attempt) = self.next_attempt(call, after) {
                    self.announce_retry(call, attempt, &reading.message);
                    self.retries.push((call, attempt));
                } else {
                    self.stall(call, Reason::CompensationExhausted, &reading.message, reading.http_status);
                }
            }
            Verdict::Rejected => {
                self.stall(call, Reason::CompensationExhausted, &reading.message, reading.http_status);
            }
            Verdict::Unrenderable => {
                self.stall(call, Reason::Unrenderable, &reading.message, reading.http_status);
            }
        }
    }

    /// A compensation that must be sent and cannot be made.
    pub(super) fn undo_unrendered(&mut self, call: CallId, unrendered: &Unrendered) {
        self.stall(call, Reason::Unrenderable, &unrendered.message, None);
    }

    /// Only a person can help.
    fn stall(&mut self, call: CallId, reason: Reason, message: &str, http_status: Option<u16>) {
        self.fail(call, reason, message, http_status);
        self.state.local.own.remove(&call);
        if let Some(record) = self.call_mut(call) {
            record.phase = Phase::Stalled;
            record.open = None;
        }
        let text = format!("{}: {reason}: {message}", self.describe(call));
        self.note(Level::Warning, Occasion::Stalled, text);
    }

    /// What turning now would undo, in words.
    pub(super) fn effects_to_undo(&self) -> String {
        let names: Vec<&str> = self
            .stored()
            .steps
            .iter()
            .enumerate()
            .rev()
            .filter(|(index, record)| {
                self.step_plan(*index).is_some_and(|step| step.role == Role::Compensatable)
                    && !matches!(record.forward.phase, Phase::Pending | Phase::Failed | Phase::Skipped)
            })
            .map(|(_, record)| record.name.as_str())
            .collect();
        if names.is_empty() { "nothing to undo".to_owned() } else { format!("undoing {}", names.join(", ")) }
    }
}
