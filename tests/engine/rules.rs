//! What a definition allows, read off the words of the definition alone.

use std::collections::BTreeSet;

use saga_operator::api::definition::{Call, CompensationOrder, OnExhausted, Role, SagaDefinitionSpec};
use saga_operator::api::run::Direction;
use saga_operator::saga::{CallId, CallRecord, Phase, Stored};

#[derive(Clone, Copy)]
pub struct Rules<'a>(pub &'a SagaDefinitionSpec);

impl Rules<'_> {
    /// Attempts of one set.
    pub fn limit(self, call: CallId) -> Option<u32> {
        let step = self.0.steps.get(call.step)?;
        let limit = |call: &Call| call.retry_policy.as_ref()?.max_attempts;
        let limit = match call.direction {
            Direction::Forward => limit(&step.action),
            Direction::Compensate => limit(&step.compensation.as_ref()?.call),
            Direction::Confirm => limit(step.confirm.as_ref()?),
        };
        limit.and_then(|limit| u32::try_from(limit).ok())
    }

    /// What a step names, or the step before it in the list.
    fn needs(self, step: usize) -> Vec<usize> {
        match &self.0.steps[step].depends_on {
            Some(names) => (0..step).filter(|other| names.contains(&self.0.steps[*other].name)).collect(),
            None => step.checked_sub(1).into_iter().collect(),
        }
    }

    /// All that a step depends on, directly or through others.
    fn ancestors(self, step: usize) -> BTreeSet<usize> {
        let mut found = BTreeSet::new();
        let mut open = self.needs(step);
        while let Some(next) = open.pop() {
            if found.insert(next) {
                open.extend(self.needs(next));
            }
        }
        found
    }

    pub fn may_begin(self, stored: &Stored, step: usize) -> bool {
        self.needs(step)
            .iter()
            .all(|other| matches!(stored.steps[*other].forward.phase, Phase::Succeeded | Phase::Skipped))
    }

    /// The Pivot is Succeeded; or, without a Pivot, all steps are Succeeded or Skipped.
    pub fn committed(self, stored: &Stored) -> bool {
        let phase = |step: usize| stored.steps.get(step).map(|record| record.forward.phase);
        match self.0.steps.iter().position(|step| step.role == Role::Pivot) {
            Some(pivot) => phase(pivot) == Some(Phase::Succeeded),
            None => (0..self.0.steps.len()).all(|step| matches!(phase(step), Some(Phase::Succeeded | Phase::Skipped))),
        }
    }

    /// The step has, or may still get, something to undo.
    pub fn may_undo(self, stored: &Stored, step: usize) -> bool {
        let record = &stored.steps[step];
        match record.forward.phase {
            Phase::Pending | Phase::Failed | Phase::Skipped => false,
            Phase::Running | Phase::Waiting | Phase::Stalled => true,
            Phase::Succeeded | Phase::Unknown | Phase::Resolved => {
                let undone = phase(record.compensation.as_ref());
                self.0.steps[step].role == Role::Compensatable
                    && !matches!(undone, Some(Phase::Succeeded | Phase::Resolved))
            }
        }
    }

    /// Why a compensation may not be begun now.
    pub fn wrong_undo(self, stored: &Stored, step: usize) -> Option<String> {
        let policy = self.0.compensation_policy.unwrap_or_default();
        if !matches!(stored.steps[step].forward.phase, Phase::Succeeded | Phase::Unknown) {
            return Some("it cannot have taken effect".to_owned());
        }
        let stalled = |other: usize| phase(stored.steps[other].compensation.as_ref()) == Some(Phase::Stalled);
        let all = 0..self.0.steps.len();
        if policy.on_exhausted == OnExhausted::Halt && all.clone().any(stalled) {
            return Some("a compensation is stalled".to_owned());
        }
        let priority = |step: usize| self.0.steps[step].compensation.as_ref().map(|undo| undo.priority);
        let comes_first = |other: &usize| match policy.order {
            CompensationOrder::Reverse => self.ancestors(*other).contains(&step),
            CompensationOrder::Parallel => priority(*other) > priority(step),
        };
        let waits = |other: &usize| {
            let given_up = policy.on_exhausted == OnExhausted::Continue && stalled(*other);
            self.may_undo(stored, *other) && !given_up
        };
        let first = all.filter(comes_first).find(waits)?;
        Some(format!("'{}' is not undone", self.0.steps[first].name))
    }

    /// Why a confirm may not be sent now.
    pub fn wrong_confirm(self, stored: &Stored, step: usize) -> Option<String> {
        let done = |phase: Phase| matches!(phase, Phase::Succeeded | Phase::Skipped);
        if let Some(open) = stored.steps.iter().find(|record| !done(record.forward.phase)) {
            return Some(format!("'{}' is not done", open.name));
        }
        if stored.steps[step].forward.phase != Phase::Succeeded {
            return Some("it was skipped".to_owned());
        }
        let confirmed = |other: &usize| {
            self.0.steps[*other].confirm.is_none()
                || stored.steps[*other].forward.phase == Phase::Skipped
                || matches!(phase(stored.steps[*other].confirm.as_ref()), Some(Phase::Succeeded | Phase::Resolved))
        };
        let first = self.ancestors(step).into_iter().find(|other| !confirmed(other))?;
        Some(format!("'{}' is not confirmed", self.0.steps[first].name))
    }
}

fn phase(call: Option<&CallRecord>) -> Option<Phase> {
    call.map(|call| call.phase)
}
