//! Undoing what took effect, in the order that the definition's policy says.

use std::cmp::Reverse;
use std::time::Duration;

use super::definition::Definition;
use super::key::CallId;
use super::note::{Level, Occasion};
use super::outcome::{Reading, Verdict};
use super::state::Phase;
use super::turn::{Attempt, Turn};
use crate::api::Reason;
use crate::api::definition::{CompensationOrder, OnExhausted, Role};

impl Turn<'_> {
    /// Begins every compensation that the policy allows: larger priorities first, then in list order.
    pub(super) fn undo_ready(&mut self) {
        let Some(definition) = self.definition() else { return };
        let mut due: Vec<usize> =
            (0..definition.steps.len()).filter(|step| self.undo_is_due(definition, *step)).collect();
        due.sort_by_key(|step| Reverse(definition.steps.get(*step).map(|plan| plan.priority)));
        for step in due {
            let begun = self.call(CallId::compensate(step)).is_some();
            let halted = match definition.policy.on_exhausted {
                // While one compensation is stalled no other is begun; one that a person asks for again was begun before.
                OnExhausted::Halt => !begun && self.stored().stalled().is_some(),
                OnExhausted::Continue => false,
            };
            if !halted && self.has_room() && !self.predecessor_may_act(step) {
                self.attempt(CallId::compensate(step), Attempt::Next { wait: Duration::ZERO });
            }
        }
    }

    fn undo_is_due(&self, definition: &Definition, step: usize) -> bool {
        let Some(plan) = definition.steps.get(step) else { return false };
        let begun = self.call(CallId::compensate(step)).is_some_and(|record| record.phase != Phase::Pending);
        let waits_for = |other: usize| match definition.policy.order {
            CompensationOrder::Reverse => plan.dependents.contains(other),
            CompensationOrder::Parallel => {
                definition.steps.get(other).is_some_and(|other| other.priority > plan.priority)
            }
        };
        let free = (0..definition.steps.len()).filter(|other| waits_for(*other)).all(|other| self.undo_is_over(other));
        self.needs_undo(step) && !begun && free
    }

    /// The step may have taken effect and is not undone yet.
    pub(super) fn needs_undo(&self, step: usize) -> bool {
        let (Some(plan), Some(record)) = (self.step_plan(step), self.record(step)) else { return false };
        let undone = record.compensation.as_ref().is_some_and(|call| call.phase.is_done());
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

    /// The step need not be waited for: nothing to undo, or, where the policy says so, nothing but for a person to do.
    fn undo_is_over(&self, step: usize) -> bool {
        let policy = self.definition().map(|definition| definition.policy.on_exhausted).unwrap_or_default();
        let given_up = match policy {
            OnExhausted::Halt => false,
            OnExhausted::Continue => {
                self.call(CallId::compensate(step)).is_some_and(|record| record.phase == Phase::Stalled)
            }
        };
        given_up || self.nothing_to_undo(step)
    }

    /// No action is open and nothing is left to undo.
    pub(super) fn undo_done(&self) -> bool {
        (0..self.stored().steps.len()).all(|step| self.nothing_to_undo(step))
    }

    pub(super) fn undo_read(&mut self, call: CallId, reading: &Reading) {
        match &reading.verdict {
            Verdict::Succeeded => {
                self.close(call, Phase::Succeeded);
                let text = format!("{} succeeded", self.describe(call));
                self.note(Level::Story, Occasion::StepCompensated, text);
            }
            Verdict::Retry(after) => self.again_or_stall(call, *after, reading, Reason::CompensationExhausted),
            Verdict::Rejected | Verdict::InProgress { .. } => {
                self.stall(call, Reason::CompensationExhausted, &reading.message, reading.http_status);
            }
            Verdict::Unrenderable => {
                self.stall(call, Reason::Unrenderable, &reading.message, reading.http_status);
            }
        }
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
