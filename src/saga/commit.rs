//! The commit point: from when on nothing turns the run any more.

use super::definition::Definition;
use super::key::CallId;
use super::mode::Mode;
use super::state::{Phase, StepRecord, Stored};
use super::turn::Turn;
use crate::api::Reason;
use crate::api::definition::Role;

impl Turn<'_> {
    /// The Pivot succeeded, or, without one, every step is done.
    pub(super) fn committed(&self) -> bool {
        self.definition().is_some_and(|definition| self.stored().committed(definition))
    }

    /// The same of the state that the decision was begun from.
    pub(super) fn was_committed(&self) -> bool {
        self.definition().is_some_and(|definition| self.stored_before().committed(definition))
    }

    /// Past the commit point, and not turned by the very write that reached it.
    pub(super) fn goes_forward_for_good(&self) -> bool {
        self.stored().failure.is_none() && self.committed()
    }

    fn pivot(&self) -> Option<usize> {
        self.definition()?.pivot
    }

    /// Nobody can tell whether the Pivot took effect, or will: until its outcome is known nothing turns the run. An
    /// attempt that is only scheduled, and that no other could have had an effect before, is taken back instead.
    pub(super) fn pivot_open(&self) -> bool {
        let Some(call) = self.pivot().map(CallId::forward) else { return false };
        let Some(record) = self.call(call) else { return false };
        let unsent = self.state.local.own.get(&call).is_some_and(|own| !own.sent);
        let stands = record.doubtful > 0 || record.phase == Phase::Stalled || (record.open.is_some() && !unsent);
        !record.phase.is_outcome() && stands
    }

    /// Whether something from outside may turn the run.
    pub(super) fn may_turn(&self) -> bool {
        self.mode() == Mode::Forward && !self.committed() && !self.pivot_open()
    }

    /// Why an action cannot be given up for `reason`: it must succeed in the end, or nobody knows whether it did. None: the
    /// run may turn for it.
    pub(super) fn must_succeed(&self, call: CallId, reason: Reason) -> Option<Reason> {
        let doubted = self.call(call).is_some_and(|record| record.doubtful > 0);
        match self.step_plan(call.step)?.role {
            Role::Compensatable => None,
            Role::ReadOnly if !self.committed() => None,
            Role::ReadOnly | Role::Retriable if reason == Reason::AttemptsExhausted => Some(Reason::RetriableExhausted),
            Role::ReadOnly | Role::Retriable if is_unrenderable(reason) => Some(Reason::Unrenderable),
            Role::ReadOnly | Role::Retriable => Some(Reason::RetriableRejected),
            Role::Pivot => doubted.then_some(Reason::PivotInDoubt),
        }
    }

    /// An intent was stored under the call's key.
    pub(super) fn was_rendered(&self, call: CallId) -> bool {
        self.call(call).is_some_and(|record| record.digest.is_some())
    }

    /// Whether a run turns because the outputs of a step cannot be taken.
    pub(super) fn turns_for_outputs(&self, step: usize) -> bool {
        match self.step_plan(step).map(|step| step.role) {
            Some(Role::Compensatable) => true,
            Some(Role::ReadOnly) => !self.committed(),
            Some(Role::Pivot | Role::Retriable) | None => false,
        }
    }
}

impl Stored {
    /// The Pivot succeeded, or, without one, every step is done.
    pub(super) fn committed(&self, definition: &Definition) -> bool {
        match definition.pivot {
            Some(pivot) => self.steps.get(pivot).is_some_and(|record| record.forward.phase == Phase::Succeeded),
            None => !self.steps.is_empty() && self.steps.iter().all(StepRecord::is_done),
        }
    }
}

fn is_unrenderable(reason: Reason) -> bool {
    matches!(reason, Reason::Unrenderable | Reason::ExpressionError)
}
