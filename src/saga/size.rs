//! How large the status of a run can get: a definition that could outgrow the API server is refused before its first run.
//!
//! # Guarantees
//! A pure bound: it builds the largest status that a run of the definition may have, field by field, and measures it.
//!
//! # Assumptions
//! Messages need no escapes ([`super::text`]). Outputs are measured as they are stored: API servers write `<`, `>` and `&`
//! as six bytes.

use jiff::Timestamp;
use serde_json::Value;

use super::key::{CallId, Digest, Fence, Holder};
use super::problem::Problem;
use super::render::{MAX_OUTPUT_BYTES, MAX_OUTPUTS_BYTES};
use super::state::{CallRecord, Failure, Open, Phase, StepRecord, Stored};
use super::text::{MESSAGE, STEP_MESSAGE};
use super::turn::MAX_IN_FLIGHT;
use crate::api::condition::{COMPLETED, RECONCILING, STALLED, SUCCEEDED};
use crate::api::definition::{SagaDefinitionSpec, Step};
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
             shorter outputs, or fewer steps"
        );
        Problem::new("spec.steps", Reason::TooLarge, message)
    })
}

/// The bytes of the largest status that a run may have, as JSON.
pub(super) fn worst_case(spec: &SagaDefinitionSpec) -> usize {
    let steps = spec.steps.iter().enumerate().map(|(index, step)| largest_step(step, index < MAX_IN_FLIGHT));
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
        fence: Fence(i64::MAX.unsigned_abs()),
        holder: Some(Holder::new(&filler(Holder::MAX_LEN))),
        conditions: [SUCCEEDED, COMPLETED, RECONCILING, STALLED].map(condition).into(),
    };
    let fixed = serde_json::to_string(&stored.to_status()).map_or(usize::MAX, |json| json.len());
    fixed.saturating_add(outputs(&spec.steps))
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
fn outputs(steps: &[Step]) -> usize {
    let all = || steps.iter().flat_map(|step| &step.outputs);
    let values: usize = all().map(|output| output.name.len() + MAX_OUTPUT_BYTES * 6).sum();
    let around = all().count() * r#""":,"#.len() + steps.len() * r#","outputs":{}"#.len();
    values.min(MAX_OUTPUTS_BYTES) + around
}

fn largest_step(step: &Step, busy: bool) -> StepRecord {
    let mut record = StepRecord { forward: largest_call(busy), ..StepRecord::new(&step.name) };
    if step.compensation.is_some() {
        record.compensation = Some(CallRecord { start_time: None, ..largest_call(busy) });
    }
    if busy {
        let direction = if step.compensation.is_some() { CallId::compensate(0) } else { CallId::forward(0) }.direction;
        record.call_mut(direction).open =
            Some(Open { fence: Fence(i64::MAX.unsigned_abs()), deadline: latest(), not_before: Some(latest()) });
    }
    record
}

/// What only open, failed and stalled calls hold, as many as may be busy at a time hold.
fn largest_call(busy: bool) -> CallRecord {
    CallRecord {
        phase: Phase::Succeeded,
        attempts: 99_999,
        doubtful: 99_999,
        takeovers: if busy { 10 } else { 0 },
        attempts_before: if busy { 99_999 } else { 0 },
        key_suffix: 99,
        digest: busy.then(|| Digest::stored(filler(22))),
        open: None,
        start_time: Some(latest()),
        completion_time: Some(latest()),
        http_status: busy.then_some(u16::MAX),
        reason: busy.then(longest_reason),
        message: busy.then(|| filler(STEP_MESSAGE)),
    }
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
