//! What cancelling a run would do, if it were cancelled now.
//!
//! # Flow
//! The run is put on a stage as its owner knows it ([`Rehearsal`]), the cancellation is wished, and the core goes on with
//! it. Every call is answered with success; a Pivot whose outcome is not known is refused, because else nothing is undone.
//!
//! # Guarantees
//! What is listed is what the core sends, in its order. What depends on an answer that is made up here says so.
//!
//! # Caveats
//! The run goes on while somebody reads this: what is under way may be over when the cancellation comes.

mod play;
mod words;

use std::sync::Arc;

use serde::Serialize;
use serde_json::Value;

use self::play::Play;
use self::words::{message, under_way, verdict};
use super::call::HeaderPreview;
use super::rehearsal::{Rehearsal, stage};
use crate::api::Reason;
use crate::api::definition::{Method, SagaDefinitionSpec};
use crate::api::run::{Direction, EndPolicy};
use crate::saga::wishes::Cancellation;
use crate::saga::{End, Identity, Mode, Now, Problem, Stored, Wishes};

/// A run as it was read.
#[derive(Clone, Debug)]
pub struct Running {
    /// Who it is.
    pub run: Arc<Identity>,
    /// `spec.input`.
    pub input: Value,
    /// What is wished of it so far.
    pub wishes: Wishes,
    /// Its status.
    pub stored: Stored,
}

/// What a cancellation means to a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Verdict {
    /// The run turns: what took effect is undone.
    Undone,
    /// Nothing was sent yet: the run just ends.
    NothingSent,
    /// It is being undone already.
    UndoneAlready,
    /// Past the commit point: it goes forward to its end.
    Refused,
    /// Nobody knows yet whether it is past the commit point.
    WaitsForPivot,
    /// It is to be left as it stands: nothing is undone.
    Abandoned,
    /// It is over.
    Ended,
}

/// What cancelling would do.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Undo {
    /// What it means.
    pub verdict: Verdict,
    /// The same in words.
    pub message: String,
    /// The run is suspended: nothing is sent until it is resumed.
    pub suspended: bool,
    /// Calls that have an attempt now, and what becomes of them.
    pub under_way: Vec<UnderWay>,
    /// What is sent then, in this order.
    pub requests: Vec<Planned>,
    /// Steps whose effects, if they have any, stay.
    pub not_undone: Vec<NotUndone>,
    /// Calls that need a person, now or when it comes to them.
    pub stalled: Vec<StalledCall>,
    /// How the run ends then; none: it does not end by itself.
    pub end: Option<Reason>,
}

/// A call that has an attempt now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct UnderWay {
    /// Name of the step.
    pub step: String,
    /// Which call.
    pub direction: Direction,
    /// Number of the attempt.
    pub attempt: u32,
    /// What becomes of it.
    pub message: String,
}

/// A request that would be sent.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Planned {
    /// Those with the same number are sent side by side, those with a higher one when their predecessors are done.
    pub group: usize,
    /// Name of the step.
    pub step: String,
    /// Which call.
    pub direction: Direction,
    /// None: it cannot be told before the answers are known that it depends on.
    pub request: Option<RequestPreview>,
    /// Outputs that are not known yet; their names stand in their places.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub depends_on: Vec<String>,
}

/// A request as it would be sent.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RequestPreview {
    /// Method.
    pub method: Method,
    /// URL.
    pub url: String,
    /// The definition's own headers and those of the operator. No values of Secrets.
    pub headers: Vec<HeaderPreview>,
    /// The JSON document.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body: Option<Value>,
}

/// A step that is not undone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NotUndone {
    /// Name of the step.
    pub step: String,
    /// Why.
    pub why: String,
}

/// A call that needs a person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StalledCall {
    /// Name of the step.
    pub step: String,
    /// Which call.
    pub direction: Direction,
    /// As a word.
    pub reason: Option<Reason>,
    /// For people.
    pub message: String,
}

/// As [`undo`], for a run that sends nothing any more, or never did: its definition does not matter.
pub fn undo_without_definition(running: &Running) -> Option<Undo> {
    let (verdict, end) = match running.stored.mode() {
        Mode::Ended => (Verdict::Ended, running.stored.end.map(End::reason)),
        Mode::Pending | Mode::Forward | Mode::Confirming | Mode::Compensating if running.wishes.abandon() => {
            (Verdict::Abandoned, Some(Reason::Abandoned))
        }
        Mode::Pending => (Verdict::NothingSent, Some(Reason::Compensated)),
        Mode::Forward | Mode::Confirming | Mode::Compensating => return None,
    };
    Some(Undo {
        verdict,
        message: message(verdict, &running.stored, &[], None),
        suspended: false,
        under_way: Vec::new(),
        requests: Vec::new(),
        not_undone: Vec::new(),
        stalled: Vec::new(),
        end,
    })
}

/// Rehearses the cancellation of a run. `spec` is what its pinned revision holds.
///
/// # Errors
/// When the definition does not compile.
pub fn undo(spec: &SagaDefinitionSpec, running: &Running, now: Now) -> Result<Undo, Vec<Problem>> {
    if let Some(undo) = undo_without_definition(running) {
        return Ok(undo);
    }
    let (stored, wishes) = (&running.stored, cancelled(running));
    let stage = stage(spec);
    let revision = stored.revision.as_deref().unwrap_or_default();
    let cast = (running.run.clone(), running.input.clone(), wishes);
    let mut rehearsal = Rehearsal::new(cast, (&stage, revision), stored.clone(), now)?;
    let Some(plan) = rehearsal.plan.definition.as_ref().ok().cloned() else { return Err(Vec::new()) };
    let mut play = Play { steps: &plan.steps, pivot: plan.pivot, stored, unknown: Vec::new(), stalled: Vec::new() };
    play.note_stalls(stored);
    play.begin(&mut rehearsal);
    let verdict = verdict(stored, &rehearsal);
    let suspended = rehearsal.wishes.holds() && rehearsal.state.stored.end.is_none();
    if suspended {
        rehearsal.wishes.suspend = false;
        rehearsal.wishes.generation += 1;
        play.go_on(&mut rehearsal);
    }
    play.help(&mut rehearsal);
    Ok(Undo {
        verdict,
        message: message(verdict, stored, &plan.steps, plan.pivot),
        suspended,
        under_way: under_way(stored, verdict, now),
        requests: play.requests(&rehearsal),
        not_undone: match verdict {
            Verdict::Undone | Verdict::UndoneAlready | Verdict::WaitsForPivot => play.not_undone(&rehearsal),
            Verdict::NothingSent | Verdict::Refused | Verdict::Abandoned | Verdict::Ended => Vec::new(),
        },
        end: play.end(&rehearsal),
        stalled: play.stalled,
    })
}

/// What is wished, and the cancellation.
fn cancelled(running: &Running) -> Wishes {
    let mut wishes = running.wishes.clone();
    wishes.generation = wishes.generation.max(running.stored.observed_generation) + 1;
    let wish = Cancellation { policy: EndPolicy::Compensate, reason: String::new() };
    wishes.cancellation.get_or_insert(wish);
    wishes
}
