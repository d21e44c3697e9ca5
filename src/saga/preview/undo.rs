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

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde_json::Value;

use super::call::{HeaderPreview, Own, own_headers};
use super::leaf::{Leaf, path};
use super::rehearsal::{DONE, REFUSED, Rehearsal, Sent, stage};
use crate::api::definition::{Method, Role, SagaDefinitionSpec};
use crate::api::run::{Direction, EndPolicy, Intervention, InterventionAction};
use crate::api::{Reason, names::header};
use crate::expr::Reference;
use crate::saga::definition::{CallPlan, HeaderPlan, StepPlan};
use crate::saga::wishes::Cancellation;
use crate::saga::{CallId, End, HeaderValue, Identity, Mode, Now, Occasion, Phase, Problem, Stored, Wishes};

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

struct Play<'a> {
    steps: &'a [StepPlan],
    pivot: Option<usize>,
    /// As it was read.
    stored: &'a Stored,
    /// Calls that cannot be rendered before the answers are known, and how many requests went before each.
    unknown: Vec<(CallId, usize)>,
    stalled: Vec<StalledCall>,
}

impl Play<'_> {
    fn begin(&mut self, rehearsal: &mut Rehearsal) {
        let pivot = self.pivot;
        let mut cast = |call| answer(call, pivot);
        rehearsal.answer_open_calls(&mut cast);
        rehearsal.play(&mut cast);
    }

    fn go_on(&mut self, rehearsal: &mut Rehearsal) {
        let pivot = self.pivot;
        rehearsal.play(&mut |call| answer(call, pivot));
    }

    /// Where the rehearsal stands still for want of an answer, or of a person, who would see to it: what comes after.
    fn help(&mut self, rehearsal: &mut Rehearsal) {
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

    fn note_stalls(&mut self, stored: &Stored) {
        let stalled = stored.calls().filter(|(_, record)| record.phase == Phase::Stalled);
        self.stalled = stalled.map(|(call, record)| self.stalled_call(call, record)).collect();
    }

    fn stalled_call(&self, call: CallId, record: &crate::saga::CallRecord) -> StalledCall {
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

    fn requests(&self, rehearsal: &Rehearsal) -> Vec<Planned> {
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
    fn end(&self, rehearsal: &Rehearsal) -> Option<Reason> {
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

    fn not_undone(&self, rehearsal: &Rehearsal) -> Vec<NotUndone> {
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

fn verdict(before: &Stored, rehearsal: &Rehearsal) -> Verdict {
    let too_late = rehearsal.notes.iter().any(|note| note.occasion == Occasion::TooLate);
    match before.mode() {
        // Answered without a rehearsal.
        Mode::Ended => Verdict::Ended,
        Mode::Pending => Verdict::NothingSent,
        Mode::Compensating => Verdict::UndoneAlready,
        Mode::Confirming => Verdict::Refused,
        Mode::Forward if too_late => Verdict::Refused,
        Mode::Forward if rehearsal.turned_at_once() => Verdict::Undone,
        Mode::Forward => Verdict::WaitsForPivot,
    }
}

fn message(verdict: Verdict, stored: &Stored, steps: &[StepPlan], pivot: Option<usize>) -> String {
    let pivot = pivot.and_then(|pivot| steps.get(pivot)).map(|step| step.name.to_string());
    match verdict {
        Verdict::Undone => "the run turns, and what took effect is undone".to_owned(),
        Verdict::NothingSent => "nothing was sent yet: the run ends Compensated, without a request".to_owned(),
        Verdict::UndoneAlready => {
            let why = stored.failure.as_ref().map(|failure| failure.message.clone()).unwrap_or_default();
            format!("the run is being undone already, and cancelling it changes nothing: {why}")
        }
        Verdict::Refused => {
            let point =
                pivot.map_or_else(|| "every step is done".to_owned(), |pivot| format!("the Pivot '{pivot}' succeeded"));
            format!("the run is past its commit point ({point}): the cancellation is refused and it goes forward")
        }
        Verdict::WaitsForPivot => {
            let pivot = pivot.unwrap_or_default();
            format!(
                "nobody knows yet whether the Pivot '{pivot}' takes effect: the cancellation waits for its outcome. If it \
                 succeeds, the cancellation is refused and the run goes forward. What follows is done if it is refused \
                 without effect"
            )
        }
        Verdict::Abandoned => "the run is to be left as it stands (Abandon): nothing is undone".to_owned(),
        Verdict::Ended => {
            let end = stored.end.map_or("over", |end| end.reason().as_str());
            format!("the run has ended ({end}): nothing is sent for it any more")
        }
    }
}

fn under_way(stored: &Stored, verdict: Verdict, now: Now) -> Vec<UnderWay> {
    let turns = matches!(verdict, Verdict::Undone);
    let open = stored.open_calls().map(|(call, record, open)| {
        let waits = open.not_before.filter(|at| *at > now.wall);
        let forward = call.direction == Direction::Forward;
        let message = match (waits, &open.location) {
            (Some(_), _) if forward && turns && record.doubtful == 0 => {
                "is due later and was not sent: taken back, nothing to undo".to_owned()
            }
            (Some(_), _) if forward && turns => {
                "is due later and was not sent: taken back; an earlier attempt may have taken effect: undone".to_owned()
            }
            (None, Some(_)) if forward && turns => {
                "is in progress at the participant: no longer asked for; nobody knows its outcome: undone".to_owned()
            }
            (None, None) if forward && turns => format!(
                "is awaited first, at most until {}; here it is taken to succeed: refused, there is nothing to undo",
                open.deadline
            ),
            (Some(at), _) => format!("is sent at {at}"),
            (None, Some(_)) => format!("is in progress at the participant, and asked for until {}", open.deadline),
            (None, None) => format!("is awaited, at most until {}", open.deadline),
        };
        let step = stored.steps.get(call.step).map(|step| step.name.clone()).unwrap_or_default();
        UnderWay { step, direction: call.direction, attempt: record.attempts, message }
    });
    match verdict {
        Verdict::NothingSent | Verdict::Ended => Vec::new(),
        Verdict::Undone | Verdict::UndoneAlready | Verdict::Refused | Verdict::WaitsForPivot | Verdict::Abandoned => {
            open.collect()
        }
    }
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

impl RequestPreview {
    /// The key that tells repetitions apart.
    pub fn key(&self) -> Option<&HeaderPreview> {
        self.headers.iter().find(|known| known.name == header::IDEMPOTENCY_KEY)
    }
}

fn references(call: &CallPlan) -> impl Iterator<Item = &Reference> {
    let headers = call.headers.iter().flat_map(|(_, value)| match value {
        HeaderPlan::Template(template) => template.references(),
        HeaderPlan::Secret(_) => &[],
    });
    call.url.references().iter().chain(headers).chain(call.body.iter().flat_map(|body| body.references()))
}
