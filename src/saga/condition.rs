//! What users are told of a run: computed from what is stored, so that it never needs a write of its own.

use jiff::Timestamp;

use super::mode::Mode;
use super::note::{Level, Occasion};
use super::plan::Plan;
use super::state::{CallRecord, End, Phase, State, StepRecord, Stored};
use super::text;
use super::time::Now;
use super::turn::Turn;
use crate::api::condition::{COMPLETED, RECONCILING, STALLED, SUCCEEDED};
use crate::api::{Condition, ConditionStatus, Reason};

impl Turn<'_> {
    /// Brings what users are told up to date. Only for who may write.
    pub(super) fn say(&mut self) {
        let told = |state: &State| {
            let reason = Reason::Suspended.as_str();
            state.stored.conditions.iter().any(|condition| condition.reason == reason)
        };
        let before = told(&self.state);
        update(&mut self.state, self.plan, self.now);
        match (before, told(&self.state)) {
            (false, true) => {
                let text = "nothing new is sent until `spec.suspend` is false".to_owned();
                self.note(Level::Story, Occasion::Suspended, text);
            }
            (true, false) if self.mode() != Mode::Ended => {
                self.note(Level::Story, Occasion::Resumed, "goes on".to_owned());
            }
            (true, false) | (false, false) | (true, true) => {}
        }
    }
}

/// `lastTransitionTime` moves only with a status.
fn update(state: &mut State, plan: &Plan, now: Now) {
    let stored = &state.stored;
    if state.local.wishes.is_none() || (stored.start_time.is_none() && stored.end.is_none()) {
        return;
    }
    let suspended = state.local.wishes.as_ref().is_some_and(super::wishes::Wishes::holds);
    let at = now.wall.round(jiff::TimestampRound::new().smallest(jiff::Unit::Second).mode(jiff::RoundMode::Trunc));
    let at = at.unwrap_or(now.wall);
    let wanted = conditions(stored, plan, suspended);
    let conditions = wanted.into_iter().map(|wanted| stamp(wanted, &stored.conditions, stored.observed_generation, at));
    state.stored.conditions = conditions.collect();
}

struct Wanted {
    type_: &'static str,
    status: ConditionStatus,
    reason: Reason,
    message: String,
}

fn stamp(wanted: Wanted, before: &[Condition], generation: i64, now: Timestamp) -> Condition {
    let same = before.iter().find(|old| old.type_ == wanted.type_ && old.status == wanted.status);
    Condition {
        type_: wanted.type_.to_owned(),
        status: wanted.status,
        observed_generation: Some(generation),
        last_transition_time: same.map_or(now, |old| old.last_transition_time),
        reason: wanted.reason.as_str().to_owned(),
        message: wanted.message,
    }
}

fn conditions(stored: &Stored, plan: &Plan, suspended: bool) -> Vec<Wanted> {
    let (reason, message) = summary(stored, plan, suspended);
    let message = text::message(&message);
    let succeeded = match stored.end {
        Some(End::Succeeded) => ConditionStatus::True,
        Some(_) => ConditionStatus::False,
        None => ConditionStatus::Unknown,
    };
    let ended = stored.end.is_some();
    let waits_for_person = !ended && (stored.stalled().is_some() || stored.revision_lost);
    let stalled = waits_for_person || (ended && stored.end != Some(End::Succeeded));
    let reconciling = !ended && !waits_for_person;
    let holds = |yes: bool| if yes { ConditionStatus::True } else { ConditionStatus::False };
    let condition = |type_, status| Wanted { type_, status, reason, message: String::new() };
    vec![
        Wanted { type_: SUCCEEDED, status: succeeded, reason, message },
        condition(COMPLETED, holds(ended)),
        condition(RECONCILING, holds(reconciling)),
        condition(STALLED, holds(stalled)),
    ]
}

/// The reason and message of `Succeeded`: the end; else a stall, before a suspension, before the mode.
fn summary(stored: &Stored, plan: &Plan, suspended: bool) -> (Reason, String) {
    if let Some(end) = stored.end {
        let why = stored.failure.as_ref().map_or(String::new(), |failure| failure.message.clone());
        return (end.reason(), if why.is_empty() { progress(stored) } else { why });
    }
    if stored.revision_lost
        && let Err(unready) = &plan.definition
    {
        return (Reason::RevisionNotFound, text::sentence(unready));
    }
    if let Some((step, call)) = stored.stalled() {
        return (call.reason.unwrap_or(Reason::CompensationExhausted), stall(step, call));
    }
    if suspended {
        return (Reason::Suspended, format!("{}; set `spec.suspend` to false to go on", progress(stored)));
    }
    match stored.mode() {
        Mode::Pending => match &plan.definition {
            Err(unready) => (Reason::Pending, text::waiting_for(&plan.definition_name, unready)),
            Ok(_) => (Reason::Pending, "about to start".to_owned()),
        },
        Mode::Compensating => {
            let why = stored.failure.as_ref().map_or("", |failure| failure.message.as_str());
            (Reason::Compensating, why.to_owned())
        }
        Mode::Forward | Mode::Ended => (Reason::Running, progress(stored)),
    }
}

fn stall(step: &StepRecord, call: &CallRecord) -> String {
    let why = call.message.as_deref().unwrap_or("");
    format!(
        "the compensation of '{}' needs a person after {} attempts: {why}; undo it by hand, then end the run as it \
         stands with `spec.cancellation.policy: Abandon`",
        step.name, call.attempts
    )
}

fn progress(stored: &Stored) -> String {
    let done = stored.progress();
    let all = stored.steps.len();
    if all == 0 {
        return "not started".to_owned();
    }
    let open = stored
        .steps
        .iter()
        .find(|step| matches!(step.forward.phase, Phase::Waiting))
        .map(|step| format!("; '{}' waits for attempt {}", step.name, step.forward.attempts));
    format!("{done} of {all} steps done{}", open.unwrap_or_default())
}

impl Stored {
    /// Steps whose action is Succeeded or Skipped.
    pub fn progress(&self) -> usize {
        let done = |step: &&StepRecord| matches!(step.forward.phase, Phase::Succeeded | Phase::Skipped);
        self.steps.iter().filter(done).count()
    }
}
