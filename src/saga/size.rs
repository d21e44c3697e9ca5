//! How large the status of a run can get: a definition that could outgrow the API server is refused before its first run.
//!
//! # Guarantees
//! A pure bound: it builds the largest status that a run of the definition may have, field by field, and measures it.
//!
//! # Assumptions
//! Messages need no escapes ([`super::text`]). Outputs are measured as they are stored: API servers write `<`, `>` and `&`
//! as six bytes.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::Value;

use super::condition::MAX_MESSAGES;
use super::intervention::MAX_INTERVENTIONS;
use super::key::{CallId, Digest, Fence, Holder};
use super::location::MAX_LOCATION;
use super::problem::Problem;
use super::render::{MAX_OUTPUT_BYTES, MAX_OUTPUTS_BYTES};
use super::retry::Retry;
use super::state::{CallRecord, Failure, Judged, Open, Phase, StepRecord, Stored};
use super::text::{MESSAGE, STEP_MESSAGE};
use super::turn::MAX_IN_FLIGHT;
use crate::api::condition::{COMPLETED, RECONCILING, STALLED, SUCCEEDED};
use crate::api::definition::{CompensationPolicy, OnExhausted, Role, SagaDefinitionSpec, Step};
use crate::api::run::{Direction, InterventionOutcome};
use crate::api::{Condition, ConditionStatus, Reason};

/// Largest status.
pub(super) const MAX_STATUS_BYTES: usize = 64 * 1024;
/// Longest name of a ControllerRevision.
const MAX_REVISION: usize = 253;

/// Refuses a definition whose runs could have a larger status.
pub(super) fn check(spec: &SagaDefinitionSpec) -> Option<Problem> {
    let bytes = worst_case(spec);
    (bytes > MAX_STATUS_BYTES).then(|| {
        let message = format!(
            "the status of a run could need {bytes} bytes, and at most {MAX_STATUS_BYTES} are stored; use fewer or \
             shorter outputs, shorter names, or fewer steps"
        );
        Problem::new("spec.steps", Reason::TooLarge, message)
    })
}

/// The bytes of the largest status that a run may have, as JSON.
pub(super) fn worst_case(spec: &SagaDefinitionSpec) -> usize {
    let policy = spec.compensation_policy.unwrap_or_default();
    let steps = spec.steps.iter().enumerate().map(|(index, step)| largest_step(step, index, policy));
    let stored = Stored {
        observed_generation: i64::MAX,
        start_time: Some(latest()),
        completion_time: Some(latest()),
        revision: Some(filler(MAX_REVISION)),
        failure: Some(Failure {
            step: spec.steps.iter().map(|step| step.name.clone()).max_by_key(String::len),
            reason: longest_reason(),
            message: filler(MESSAGE),
            http_status: Some(u16::MAX),
        }),
        end: None,
        revision_lost: false,
        steps: steps.collect(),
        outputs: BTreeMap::new(),
        judged: vec![largest_judgement(); MAX_INTERVENTIONS],
        fence: Fence(i64::MAX.unsigned_abs()),
        holder: Some(Holder::new(&filler(Holder::MAX_LEN))),
        conditions: [SUCCEEDED, COMPLETED, RECONCILING, STALLED].map(condition).into(),
    };
    let fixed = serde_json::to_string(&stored.to_status()).map_or(usize::MAX, |json| json.len());
    fixed.saturating_add(outputs(spec))
}

/// The size of a JSON text as an API server stores it.
pub(super) fn escaped(json: &str) -> usize {
    let more = |character: char| match character {
        '<' | '>' | '&' => 5,
        '\u{2028}' | '\u{2029}' => 3,
        '\0'..=char::MAX => 0,
    };
    json.len() + json.chars().map(more).sum::<usize>()
}

/// The size of an output, with its name.
pub(super) fn output((name, value): (&String, &Value)) -> usize {
    name.len() + escaped(&value.to_string())
}

/// The values are bounded together; what stands around them is not.
fn outputs(spec: &SagaDefinitionSpec) -> usize {
    let all = || spec.steps.iter().flat_map(|step| &step.outputs).chain(&spec.outputs);
    let values: usize = all().map(|output| output.name.len() + MAX_OUTPUT_BYTES * 6).sum();
    let around = all().count() * r#""":,"#.len() + (spec.steps.len() + 1) * r#","outputs":{}"#.len();
    values.min(MAX_OUTPUTS_BYTES) + around
}

fn largest_step(step: &Step, index: usize, policy: CompensationPolicy) -> StepRecord {
    let in_flight = index < MAX_IN_FLIGHT;
    let crowded = |may_pile_up: bool| if in_flight || may_pile_up { Crowd::Busy } else { Crowd::Done };
    let mut record = StepRecord::new(&step.name);
    if step.compensation.is_some() {
        let forward = if in_flight { Crowd::Failed } else { Crowd::Done };
        record.forward = largest_call(forward, attempts(step, Direction::Forward), 0);
        // There is never a confirm beside a compensation, and it is no larger.
        let undo = crowded(step.confirm.is_some() || policy.on_exhausted == OnExhausted::Continue);
        let attempts = attempts(step, Direction::Compensate).max(attempts(step, Direction::Confirm));
        record.compensation = Some(CallRecord { start_time: None, ..largest_call(undo, attempts, retries(index)) });
    } else {
        // A Retriable that is stalled does not keep others from stalling; past the Pivot a ReadOnly is one, too.
        let attempts = attempts(step, Direction::Forward);
        let piles_up = matches!(step.role, Role::Retriable | Role::ReadOnly);
        record.forward = largest_call(crowded(piles_up), attempts, retries(index));
    }
    record.forward.message = (index < MAX_MESSAGES).then(|| filler(STEP_MESSAGE));
    if in_flight {
        let direction = if step.compensation.is_some() { CallId::compensate(0) } else { CallId::forward(0) }.direction;
        record.call_mut(direction).open = Some(Open {
            fence: Fence(i64::MAX.unsigned_abs()),
            deadline: latest(),
            not_before: None,
            location: Some(filler(MAX_LOCATION)),
        });
    }
    record
}

/// As the policy says, and, where a person may ask for more, as many again each time.
fn attempts(step: &Step, direction: Direction) -> u32 {
    let Some((_, call)) = step.calls().find(|(found, _)| *found == direction) else { return 0 };
    let once = Retry::new(call.retry_policy.as_ref(), direction, step.role).max_attempts;
    let never_stalls = direction == Direction::Forward && step.role == Role::Compensatable;
    if never_stalls { once } else { once.saturating_mul(1 + MAX_INTERVENTIONS as u32) }
}

/// Each intervention retries one call.
const fn retries(index: usize) -> u32 {
    if index < MAX_INTERVENTIONS { 99 } else { 0 }
}

/// How many calls may be in a state at the same time.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Crowd {
    /// Open or stalled.
    Busy,
    /// Closed without success.
    Failed,
    /// Closed and quiet.
    Done,
}

fn largest_call(crowd: Crowd, attempts: u32, retries: u32) -> CallRecord {
    let (busy, quiet) = (crowd == Crowd::Busy, crowd == Crowd::Done);
    CallRecord {
        phase: Phase::Succeeded,
        attempts,
        doubtful: attempts,
        takeovers: if busy { 10 } else { 0 },
        attempts_before: if retries > 0 { attempts } else { 0 },
        key_suffix: retries.max(1),
        digest: busy.then(|| Digest::stored(filler(22))),
        open: None,
        start_time: Some(latest()),
        completion_time: Some(latest()),
        http_status: (!quiet).then_some(u16::MAX),
        reason: (!quiet).then(longest_reason),
        message: None,
    }
}

fn largest_judgement() -> Judged {
    Judged { id: filler(32), outcome: InterventionOutcome::Refused, time: latest() }
}

fn condition(type_: &str) -> Condition {
    Condition {
        type_: type_.to_owned(),
        status: ConditionStatus::Unknown,
        observed_generation: Some(i64::MAX),
        last_transition_time: latest(),
        reason: longest_reason().as_str().to_owned(),
        message: filler(if type_ == SUCCEEDED { MESSAGE } else { 0 }),
    }
}

fn longest_reason() -> Reason {
    Reason::ALL.iter().copied().max_by_key(|reason| reason.as_str().len()).unwrap_or(Reason::Pending)
}

/// A time with a millisecond that is not zero.
fn latest() -> Timestamp {
    Timestamp::from_millisecond(4_102_444_799_999).unwrap_or(Timestamp::MAX)
}

fn filler(length: usize) -> String {
    "x".repeat(length)
}
