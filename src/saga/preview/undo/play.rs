//! The rehearsal of a cancellation: who answers what, and what is told of it.

use std::time::Duration;

use serde_json::Value;

use super::{NotUndone, Planned, RequestPreview, StalledCall};
use crate::api::Reason;
use crate::api::definition::Role;
use crate::api::run::{Direction, Intervention, InterventionAction};
use crate::expr::Reference;
use crate::saga::definition::{CallPlan, HeaderPlan, StepPlan};
use crate::saga::preview::call::{HeaderPreview, Own, own_headers};
use crate::saga::preview::leaf::{Leaf, path};
use crate::saga::preview::rehearsal::{DONE, REFUSED, Rehearsal, Sent};
use crate::saga::{CallId, CallRecord, End, HeaderValue, Phase, Stored};

pub(super) struct Play<'a> {
    pub(super) steps: &'a [StepPlan],
    pub(super) pivot: Option<usize>,
    /// As it was read.
    pub(super) stored: &'a Stored,
    /// Calls that cannot be rendered before the answers are known, and how many requests went before each.
    pub(super) unknown: Vec<(CallId, usize)>,
    pub(super) stalled: Vec<StalledCall>,
}

impl Play<'_> {
    pub(super) fn begin(&mut self, rehearsal: &mut Rehearsal) {
        let pivot = self.pivot;
        let mut cast = |call| answer(call, pivot);
        rehearsal.answer_open_calls(&mut cast);
        rehearsal.play(&mut cast);
    }

    pub(super) fn go_on(&mut self, rehearsal: &mut Rehearsal) {
        let pivot = self.pivot;
        rehearsal.play(&mut |call| answer(call, pivot));
    }

    /// Where the rehearsal stands still for want of an answer, or of a person, who would see to it: what comes after.
    pub(super) fn help(&mut self, rehearsal: &mut Rehearsal) {
        for number in 0..2 * self.steps.len() {
            let Some((call, action)) = self.next_help(rehearsal) else { return };
            // Ids of people are at most as long as this, and never begin so.
            let id = format!("(rehearsal {number})");
            let (step, direction, reason) = (self.name(call.step), call.direction, "rehearsed".to_owned());
            let person = Intervention { id, step, direction, action, reason, requested_by: "rehearsal".to_owned() };
            rehearsal.wishes.interventions.push(person);
            rehearsal.wishes.generation += 1;
            self.go_on(rehearsal);
        }
    }

    fn next_help(&mut self, rehearsal: &Rehearsal) -> Option<(CallId, InterventionAction)> {
        let stalled = rehearsal.state.stored.calls().filter(|(_, record)| record.phase == Phase::Stalled);
        for (call, record) in stalled {
            let known = self.stored.steps.get(call.step).and_then(|step| step.call(call.direction));
            let new = known.is_none_or(|known| known.phase != Phase::Stalled);
            if new && !self.open(call, rehearsal).is_empty() {
                self.unknown.push((call, rehearsal.sent.len()));
                return Some((call, InterventionAction::MarkSucceeded));
            }
            let stalled = self.stalled_call(call, record);
            if new && !self.stalled.contains(&stalled) {
                self.stalled.push(stalled);
            }
            if record.reason == Some(Reason::PivotInDoubt) {
                return Some((call, InterventionAction::MarkFailed));
            }
        }
        None
    }

    pub(super) fn note_stalls(&mut self, stored: &Stored) {
        let stalled = stored.calls().filter(|(_, record)| record.phase == Phase::Stalled);
        self.stalled = stalled.map(|(call, record)| self.stalled_call(call, record)).collect();
    }

    fn stalled_call(&self, call: CallId, record: &CallRecord) -> StalledCall {
        StalledCall {
            step: self.name(call.step),
            direction: call.direction,
            reason: record.reason,
            message: record.message.clone().unwrap_or_default(),
        }
    }

    fn name(&self, step: usize) -> String {
        self.steps.get(step).map(|step| step.name.to_string()).unwrap_or_default()
    }

    /// What a call needs, and nobody knows yet.
    fn open(&self, call: CallId, rehearsal: &Rehearsal) -> Vec<String> {
        let Some(step) = self.steps.get(call.step) else { return Vec::new() };
        let when = step.when.as_ref().filter(|_| call.direction == Direction::Forward);
        let plan = match call.direction {
            Direction::Forward => Some(&step.action),
            Direction::Compensate => step.compensation.as_ref(),
            Direction::Confirm => step.confirm.as_ref(),
        };
        let all = plan.into_iter().flat_map(references).chain(when.into_iter().flat_map(|when| when.references()));
        let assumed = |name: &str| {
            let index = self.steps.iter().position(|step| &*step.name == name);
            index.is_some_and(|index| {
                let record = rehearsal.state.stored.steps.get(index);
                let succeeded = record.is_some_and(|record| record.forward.phase == Phase::Succeeded);
                succeeded && (rehearsal.assumed.contains(&index) || self.is_marked(index))
            })
        };
        let mut open: Vec<String> = all.filter(|reference| assumed(&reference.step)).map(path).collect();
        open.dedup();
        open
    }

    fn is_marked(&self, step: usize) -> bool {
        self.unknown.iter().any(|(call, _)| *call == CallId::forward(step))
    }

    pub(super) fn requests(&self, rehearsal: &Rehearsal) -> Vec<Planned> {
        let mut planned = Vec::new();
        let (mut group, mut last) = (0, None);
        let mut unknown = self.unknown.iter().peekable();
        for (index, sent) in rehearsal.sent.iter().enumerate() {
            while let Some((call, _)) = unknown.next_if(|(_, before)| *before <= index) {
                group += 1;
                planned.push(self.unknown_request(*call, group, rehearsal));
            }
            group += usize::from(last != Some(sent.at));
            last = Some(sent.at);
            planned.push(Planned {
                group,
                step: sent.intent.step.to_string(),
                direction: sent.intent.call.direction,
                request: Some(request(sent)),
                depends_on: self.open(sent.intent.call, rehearsal),
            });
        }
        let skipped = self.perhaps_skipped(rehearsal).collect::<Vec<_>>();
        for call in unknown.map(|(call, _)| call).chain(&skipped) {
            group += 1;
            planned.push(self.unknown_request(*call, group, rehearsal));
        }
        planned
    }

    /// Steps that are not done in the rehearsal because of answers that were made up.
    fn perhaps_skipped(&self, rehearsal: &Rehearsal) -> impl Iterator<Item = CallId> {
        let phases = self.stored.steps.iter().zip(&rehearsal.state.stored.steps).enumerate();
        phases
            .filter(|(_, (before, after))| {
                before.forward.phase == Phase::Pending && after.forward.phase == Phase::Skipped
            })
            .map(|(index, _)| CallId::forward(index))
            .filter(|call| !self.open(*call, rehearsal).is_empty())
    }

    /// How the run ends; what the rehearsal marked itself was not done by hand.
    pub(super) fn end(&self, rehearsal: &Rehearsal) -> Option<Reason> {
        let end = rehearsal.state.stored.end.filter(|_| self.stalled.is_empty() || self.stored.end.is_some())?;
        let by_hand = self.stored.calls().any(|(_, record)| record.phase == Phase::Resolved);
        Some(if end == End::CompensatedByHand && !by_hand { Reason::Compensated } else { end.reason() })
    }

    fn unknown_request(&self, call: CallId, group: usize, rehearsal: &Rehearsal) -> Planned {
        Planned {
            group,
            step: self.name(call.step),
            direction: call.direction,
            request: None,
            depends_on: self.open(call, rehearsal),
        }
    }

    pub(super) fn not_undone(&self, rehearsal: &Rehearsal) -> Vec<NotUndone> {
        let records = self.stored.steps.iter().zip(&rehearsal.state.stored.steps).zip(self.steps);
        records
            .enumerate()
            .filter_map(|(index, ((before, after), plan))| {
                let asked = rehearsal.sent.iter().any(|sent| sent.intent.call == CallId::compensate(index))
                    || self.unknown.iter().any(|(call, _)| *call == CallId::compensate(index));
                let undone = before.compensation.as_ref().map(|call| call.phase);
                let why = match (after.forward.phase, plan.role, undone) {
                    (_, _, Some(Phase::Succeeded)) => "it is undone already",
                    (_, _, Some(Phase::Resolved)) => "it was undone by hand already",
                    (_, _, Some(Phase::Stalled)) => "its compensation is stalled and waits for a person",
                    (_, _, Some(Phase::Running | Phase::Waiting)) => return None,
                    (Phase::Pending, ..) => "it was not begun",
                    (Phase::Skipped, ..) => "it was skipped",
                    (Phase::Failed, ..) => "it failed, certainly without effect",
                    (_, Role::ReadOnly, _) => "it is ReadOnly and has no effect",
                    (_, Role::Pivot | Role::Retriable, _) => "nothing undoes it",
                    (_, Role::Compensatable, _) if asked => return None,
                    (_, Role::Compensatable, _) => "it waits for what is stalled",
                };
                Some(NotUndone { step: before.name.clone(), why: why.to_owned() })
            })
            .collect()
    }
}

/// Success after a moment; of a Pivot a refusal.
fn answer(call: CallId, pivot: Option<usize>) -> (Duration, u16) {
    let refused = pivot == Some(call.step) && call.direction == Direction::Forward;
    (Duration::from_secs(1), if refused { REFUSED } else { DONE })
}

fn request(sent: &Sent) -> RequestPreview {
    let intent = &sent.intent;
    let own = intent.request.headers.iter().map(|(name, value)| HeaderPreview {
        name: name.clone(),
        value: Leaf::known(Value::String(match value {
            HeaderValue::Literal(text) => text.clone(),
            HeaderValue::Secret(key) => format!("(key '{}' of Secret '{}')", key.key, key.name),
        })),
        of_operator: false,
    });
    let attempt = intent.attempt.to_string();
    let outcome = intent.forward_outcome.map(|outcome| outcome.as_str());
    let of_operator = own_headers(&Own {
        key: &intent.key,
        run: (&intent.run.namespace, &intent.run.name, &intent.run.uid),
        step: &intent.step,
        direction: intent.call.direction,
        attempt: &attempt,
        forward_outcome: outcome.unwrap_or_default(),
        has_body: intent.request.body.is_some(),
    });
    let body = intent.request.body.as_ref().map(|body| serde_json::from_slice(body).unwrap_or_default());
    RequestPreview {
        method: intent.request.method,
        url: intent.request.url.clone(),
        headers: own.chain(of_operator).collect(),
        body,
    }
}

fn references(call: &CallPlan) -> impl Iterator<Item = &Reference> {
    let headers = call.headers.iter().flat_map(|(_, value)| match value {
        HeaderPlan::Template(template) => template.references(),
        HeaderPlan::Secret(_) => &[],
    });
    call.url.references().iter().chain(headers).chain(call.body.iter().flat_map(|body| body.references()))
}
