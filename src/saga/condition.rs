//! What users are told of a run: computed from what is stored, so that it never needs a write of its own.

use jiff::Timestamp;

use super::key::CallId;
use super::mode::Mode;
use super::note::{Level, Occasion};
use super::plan::Plan;
use super::state::{CallRecord, End, Phase, State, StepRecord, Stored};
use super::text;
use super::time::Now;
use super::turn::Turn;
use super::wishes::Wishes;
use crate::api::condition::{COMPLETED, RECONCILING, STALLED, SUCCEEDED};
use crate::api::run::Direction;
use crate::api::{Condition, ConditionStatus, Reason};

impl Turn<'_> {
    /// Brings what users are told up to date. Only for who may write.
    pub(super) fn say(&mut self) {
        let told = |state: &State| {
            let reason = Reason::Suspended.as_str();
            state.stored.conditions.iter().any(|condition| condition.reason == reason)
        };
        let before = told(&self.state);
        self.limit_messages();
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

/// So many steps carry a message: a status has a bound.
pub(super) const MAX_MESSAGES: usize = 16;

impl Turn<'_> {
    /// Keeps the messages of stalled calls first, then those of open ones, then the latest.
    fn limit_messages(&mut self) {
        let rank = |(id, call): (CallId, &CallRecord)| {
            let standing = match call.phase {
                Phase::Stalled => 0,
                Phase::Running | Phase::Waiting | Phase::Pending => 1,
                Phase::Succeeded | Phase::Failed | Phase::Unknown | Phase::Skipped | Phase::Resolved => 2,
            };
            (standing, std::cmp::Reverse(call.completion_time), id)
        };
        let mut said: Vec<_> = self.stored().calls().filter(|(_, call)| call.message.is_some()).map(rank).collect();
        if said.len() <= MAX_MESSAGES {
            return;
        }
        said.sort_unstable();
        for (_, _, id) in said.split_off(MAX_MESSAGES) {
            if let Some(call) = self.call_mut(id) {
                call.message = None;
            }
        }
    }
}

/// `lastTransitionTime` moves only with a status.
fn update(state: &mut State, plan: &Plan, now: Now) {
    let stored = &state.stored;
    let Some(wishes) = state.local.wishes.as_ref().filter(|_| stored.start_time.is_some() || stored.end.is_some())
    else {
        return;
    };
    let at = now.wall.round(jiff::TimestampRound::new().smallest(jiff::Unit::Second).mode(jiff::RoundMode::Trunc));
    let at = at.unwrap_or(now.wall);
    let wanted = conditions(stored, plan, wishes);
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

fn conditions(stored: &Stored, plan: &Plan, wishes: &Wishes) -> Vec<Wanted> {
    let (reason, message) = summary(stored, plan, wishes);
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
fn summary(stored: &Stored, plan: &Plan, wishes: &Wishes) -> (Reason, String) {
    if let Some(end) = stored.end {
        let why = stored.failure.as_ref().map_or(String::new(), |failure| failure.message.clone());
        return (end.reason(), if why.is_empty() { progress(stored) } else { why });
    }
    if stored.revision_lost
        && let Err(unready) = &plan.definition
    {
        return (Reason::RevisionNotFound, text::sentence(unready));
    }
    if let Some((id, call)) = stored.stalled() {
        return (call.reason.unwrap_or(Reason::CompensationExhausted), stall(stored, id, call, wishes));
    }
    if wishes.holds() {
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
        Mode::Confirming => {
            let late = too_late(stored, plan, wishes);
            (Reason::Confirming, format!("every step is done; making final what was tried{late}"))
        }
        Mode::Forward | Mode::Ended => (Reason::Running, progress(stored) + too_late(stored, plan, wishes)),
    }
}

/// A wish that came after the commit point.
fn too_late(stored: &Stored, plan: &Plan, wishes: &Wishes) -> &'static str {
    let committed = plan.definition.as_ref().is_ok_and(|definition| stored.committed(definition));
    match (committed, &wishes.cancellation, wishes.deletion) {
        (true, Some(_), _) => "; its cancellation came after the commit point and is refused",
        (true, None, Some(_)) => "; it is being deleted, and goes when it has ended",
        (true, None, None) | (false, ..) => "",
    }
}

/// What happened, and what a person can do about it.
fn stall(stored: &Stored, id: CallId, call: &CallRecord, wishes: &Wishes) -> String {
    let name = stored.steps.get(id.step).map_or("?", |step| step.name.as_str());
    let what = match id.direction {
        Direction::Forward => format!("'{name}'"),
        Direction::Compensate | Direction::Confirm => format!("the {} of '{name}'", id.direction.field()),
    };
    let help = match call.reason {
        Some(_) | None if wishes.deletion.is_some() => "add an intervention, or set `spec.deletionPolicy` to Abandon",
        Some(Reason::PivotInDoubt) => {
            "find out whether it took effect, then add an intervention: MarkSucceeded, MarkFailed or Retry"
        }
        Some(_) | None => "do it by hand and add an intervention MarkSucceeded, or mend the cause and add Retry",
    };
    let why = text::plain(call.message.as_deref().unwrap_or(""), 60);
    format!("{what} needs a person after {}: {why}; {help}", text::count(call.attempts as usize, "attempt"))
}

fn progress(stored: &Stored) -> String {
    let done = stored.progress();
    let all = stored.steps.len();
    if all == 0 {
        return "not started".to_owned();
    }
    let waits = |step: &StepRecord| match (step.forward.phase, step.forward.reason) {
        (Phase::Waiting, Some(Reason::InProgress)) => Some(format!("; '{}' is in progress", step.name)),
        (Phase::Waiting, _) => Some(format!("; '{}' waits for attempt {}", step.name, step.forward.attempts)),
        (_, _) => None,
    };
    let open = stored.steps.iter().find_map(waits);
    format!("{done} of {all} steps done{}", open.unwrap_or_default())
}

impl Stored {
    /// Steps whose action is Succeeded or Skipped.
    pub fn progress(&self) -> usize {
        self.steps.iter().filter(|step| step.is_done()).count()
    }
}
