//! `Stored` as the status of a run and back, losing nothing.
//!
//! Lean: a field that says nothing is left out, because what is written is what the API server spends its time on.

use crate::api::ConditionStatus;
use crate::api::Reason;
use crate::api::condition::COMPLETED;
use crate::api::run::{
    self, CallState, CallStatus, InFlight, InterventionStatus, Journal, SagaRunStatus, StepState, StepStatus,
};

use super::key::{Digest, Fence, Holder};
use super::state::{CallRecord, End, Failure, Judged, Open, Phase, StepRecord, Stored};

/// Why a status cannot be read. The object is left alone: nobody knows what it promised.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// A number below zero or above its type.
    #[error("failed to read `status.{field}`: {value} is out of range")]
    OutOfRange {
        /// Path below `status`.
        field: &'static str,
        /// What was found.
        value: i64,
    },
    /// A word that this version does not know.
    #[error("failed to read `status.{field}`: this version does not know '{value}'")]
    Unknown {
        /// Path below `status`.
        field: &'static str,
        /// What was found.
        value: String,
    },
    /// Not of the form that this version knows.
    #[error("failed to read the run: {0}")]
    Undecodable(String),
    /// An intent of a step that is not in `steps`.
    #[error("failed to read `status.journal.inFlight`: there is no step '{0}' in `status.steps`")]
    Orphan(String),
}

impl Stored {
    /// The status that holds this.
    pub fn to_status(&self) -> SagaRunStatus {
        let pinned = self.revision.is_some();
        SagaRunStatus {
            conditions: self.conditions.clone(),
            observed_generation: Some(self.observed_generation),
            start_time: self.start_time,
            completion_time: self.completion_time,
            definition_revision: self.revision.clone(),
            progress: pinned.then(|| format!("{}/{}", self.progress(), self.steps.len())),
            failure: self.failure.as_ref().map(failure),
            steps: self.steps.iter().map(step).collect(),
            outputs: self.outputs.clone(),
            interventions: self.judged.iter().map(judged).collect(),
            journal: (self.fence > Fence(0)).then(|| Journal {
                fence: clamp(self.fence.0),
                holder: self.holder.as_ref().map(|holder| holder.as_str().to_owned()),
                in_flight: self.in_flight(),
            }),
        }
    }

    fn in_flight(&self) -> Vec<InFlight> {
        let intent = |(id, call, open): (super::key::CallId, &CallRecord, &Open)| InFlight {
            step: self.steps[id.step].name.clone(),
            direction: id.direction,
            attempt: count(call.attempts),
            fence: clamp(open.fence.0),
            deadline_time: open.deadline,
            not_before_time: open.not_before,
            location: open.location.clone(),
        };
        self.open_calls().map(intent).collect()
    }

    /// What a status holds; `None` is the status of a run that nobody took up.
    ///
    /// # Errors
    /// When the status cannot have been written by this version or an older one.
    pub fn from_status(status: Option<&SagaRunStatus>) -> Result<Self, RecordError> {
        let Some(status) = status else { return Ok(Self { observed_generation: -1, ..Self::default() }) };
        let journal = status.journal.clone().unwrap_or_default();
        let mut stored = Self {
            observed_generation: status.observed_generation.unwrap_or(-1),
            start_time: status.start_time,
            completion_time: status.completion_time,
            revision: status.definition_revision.clone(),
            failure: status.failure.as_ref().map(read_failure).transpose()?,
            end: end(status)?,
            revision_lost: false,
            steps: status.steps.iter().map(read_step).collect::<Result<_, _>>()?,
            outputs: status.outputs.clone(),
            judged: status.interventions.iter().map(read_judged).collect(),
            fence: Fence(unsigned("journal.fence", journal.fence)?),
            holder: journal.holder.as_deref().map(Holder::new),
            conditions: status.conditions.clone(),
        };
        stored.revision_lost = stored.end.is_none()
            && status.conditions.iter().any(|condition| condition.reason == Reason::RevisionNotFound.as_str());
        for intent in &journal.in_flight {
            let step = stored.steps.iter_mut().find(|step| step.name == intent.step);
            let Some(step) = step else { return Err(RecordError::Orphan(intent.step.clone())) };
            let call = step.call_mut(intent.direction);
            call.attempts = small("journal.inFlight.attempt", intent.attempt)?;
            call.open = Some(Open {
                fence: Fence(unsigned("journal.inFlight.fence", intent.fence)?),
                deadline: intent.deadline_time,
                not_before: intent.not_before_time,
                location: intent.location.clone(),
            });
        }
        Ok(stored)
    }
}

fn end(status: &SagaRunStatus) -> Result<Option<End>, RecordError> {
    let completed =
        |condition: &&crate::api::Condition| condition.type_ == COMPLETED && condition.status == ConditionStatus::True;
    let Some(condition) = status.conditions.iter().find(completed) else { return Ok(None) };
    let end = End::ALL.into_iter().find(|end| end.reason().as_str() == condition.reason);
    end.map(Some).ok_or_else(|| RecordError::Unknown { field: "conditions.reason", value: condition.reason.clone() })
}

fn judged(judged: &Judged) -> InterventionStatus {
    InterventionStatus { id: judged.id.clone(), outcome: judged.outcome, time: judged.time }
}

fn read_judged(status: &InterventionStatus) -> Judged {
    Judged { id: status.id.clone(), outcome: status.outcome, time: status.time }
}

fn failure(failure: &Failure) -> run::Failure {
    run::Failure {
        step: failure.step.clone(),
        reason: failure.reason.as_str().to_owned(),
        message: failure.message.clone(),
        http_status_code: failure.http_status.map(i32::from),
    }
}

fn read_failure(failure: &run::Failure) -> Result<Failure, RecordError> {
    Ok(Failure {
        step: failure.step.clone(),
        reason: reason("failure.reason", &failure.reason)?,
        message: failure.message.clone(),
        http_status: status_code("failure.httpStatusCode", failure.http_status_code)?,
    })
}

fn step(record: &StepRecord) -> StepStatus {
    let call = &record.forward;
    StepStatus {
        name: record.name.clone(),
        state: step_state(call.phase),
        attempts: attempts(call),
        doubtful_attempts: some(call.doubtful),
        start_time: call.start_time,
        completion_time: call.completion_time,
        http_status_code: call.http_status.map(i32::from),
        reason: call.reason.map(|reason| reason.as_str().to_owned()),
        message: call.message.clone(),
        outputs: record.outputs.clone(),
        key_suffix: (call.key_suffix > 1).then(|| count(call.key_suffix)),
        digest: call.digest.as_ref().map(|digest| digest.as_str().to_owned()),
        attempts_before: some(call.attempts_before),
        takeovers: some(call.takeovers),
        compensation: record.compensation.as_ref().map(call_status),
        confirm: record.confirm.as_ref().map(call_status),
    }
}

fn read_step(status: &StepStatus) -> Result<StepRecord, RecordError> {
    let phase = match status.state {
        StepState::Pending => Phase::Pending,
        StepState::Running => Phase::Running,
        StepState::Waiting => Phase::Waiting,
        StepState::Stalled => Phase::Stalled,
        StepState::Succeeded => Phase::Succeeded,
        StepState::Failed => Phase::Failed,
        StepState::Unknown => Phase::Unknown,
        StepState::Skipped => Phase::Skipped,
    };
    let forward = CallRecord {
        phase,
        attempts: read_attempts("steps.attempts", status.attempts, phase)?,
        doubtful: small("steps.doubtfulAttempts", status.doubtful_attempts.unwrap_or(0))?,
        takeovers: small("steps.takeovers", status.takeovers.unwrap_or(0))?,
        attempts_before: small("steps.attemptsBefore", status.attempts_before.unwrap_or(0))?,
        key_suffix: small("steps.keySuffix", status.key_suffix.unwrap_or(1))?,
        digest: status.digest.clone().map(Digest::stored),
        open: None,
        start_time: status.start_time,
        completion_time: status.completion_time,
        http_status: status_code("steps.httpStatusCode", status.http_status_code)?,
        reason: status.reason.as_deref().map(|text| reason("steps.reason", text)).transpose()?,
        message: status.message.clone(),
    };
    Ok(StepRecord {
        name: status.name.clone(),
        forward,
        outputs: status.outputs.clone(),
        compensation: status.compensation.as_ref().map(read_call).transpose()?,
        confirm: status.confirm.as_ref().map(read_call).transpose()?,
    })
}

const fn step_state(phase: Phase) -> StepState {
    match phase {
        Phase::Pending => StepState::Pending,
        Phase::Running => StepState::Running,
        Phase::Waiting => StepState::Waiting,
        Phase::Stalled => StepState::Stalled,
        Phase::Succeeded => StepState::Succeeded,
        Phase::Failed => StepState::Failed,
        Phase::Unknown => StepState::Unknown,
        Phase::Skipped => StepState::Skipped,
        // Of compensations and confirms only.
        Phase::Resolved => StepState::Succeeded,
    }
}

fn call_status(call: &CallRecord) -> CallStatus {
    CallStatus {
        state: match call.phase {
            Phase::Running => CallState::Running,
            Phase::Waiting => CallState::Waiting,
            Phase::Stalled => CallState::Stalled,
            Phase::Succeeded => CallState::Succeeded,
            Phase::Resolved => CallState::Resolved,
            // The others are for actions only.
            Phase::Pending | Phase::Failed | Phase::Unknown | Phase::Skipped => CallState::Pending,
        },
        attempts: attempts(call),
        doubtful_attempts: some(call.doubtful),
        completion_time: call.completion_time,
        http_status_code: call.http_status.map(i32::from),
        reason: call.reason.map(|reason| reason.as_str().to_owned()),
        message: call.message.clone(),
        key_suffix: (call.key_suffix > 1).then(|| count(call.key_suffix)),
        digest: call.digest.as_ref().map(|digest| digest.as_str().to_owned()),
        attempts_before: some(call.attempts_before),
        takeovers: some(call.takeovers),
    }
}

fn read_call(status: &CallStatus) -> Result<CallRecord, RecordError> {
    let phase = match status.state {
        CallState::Pending => Phase::Pending,
        CallState::Running => Phase::Running,
        CallState::Waiting => Phase::Waiting,
        CallState::Stalled => Phase::Stalled,
        CallState::Succeeded => Phase::Succeeded,
        CallState::Resolved => Phase::Resolved,
    };
    Ok(CallRecord {
        phase,
        attempts: read_attempts("steps.call.attempts", status.attempts, phase)?,
        doubtful: small("steps.call.doubtfulAttempts", status.doubtful_attempts.unwrap_or(0))?,
        takeovers: small("steps.call.takeovers", status.takeovers.unwrap_or(0))?,
        attempts_before: small("steps.call.attemptsBefore", status.attempts_before.unwrap_or(0))?,
        key_suffix: small("steps.call.keySuffix", status.key_suffix.unwrap_or(1))?,
        digest: status.digest.clone().map(Digest::stored),
        open: None,
        start_time: None,
        completion_time: status.completion_time,
        http_status: status_code("steps.call.httpStatusCode", status.http_status_code)?,
        reason: status.reason.as_deref().map(|text| reason("steps.call.reason", text)).transpose()?,
        message: status.message.clone(),
    })
}

/// Left out when 1, or when 0 and Pending or Skipped.
fn attempts(call: &CallRecord) -> Option<i32> {
    (call.attempts != usual_attempts(call.phase)).then(|| count(call.attempts))
}

fn read_attempts(field: &'static str, attempts: Option<i32>, phase: Phase) -> Result<u32, RecordError> {
    attempts.map_or(Ok(usual_attempts(phase)), |attempts| small(field, attempts))
}

const fn usual_attempts(phase: Phase) -> u32 {
    match phase {
        Phase::Pending | Phase::Skipped => 0,
        Phase::Running
        | Phase::Waiting
        | Phase::Stalled
        | Phase::Succeeded
        | Phase::Failed
        | Phase::Unknown
        | Phase::Resolved => 1,
    }
}

fn some(number: u32) -> Option<i32> {
    (number > 0).then(|| count(number))
}

fn count(number: u32) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

fn clamp(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn small(field: &'static str, value: i32) -> Result<u32, RecordError> {
    u32::try_from(value).map_err(|_| RecordError::OutOfRange { field, value: value.into() })
}

fn unsigned(field: &'static str, value: i64) -> Result<u64, RecordError> {
    u64::try_from(value).map_err(|_| RecordError::OutOfRange { field, value })
}

fn status_code(field: &'static str, value: Option<i32>) -> Result<Option<u16>, RecordError> {
    value
        .map(|value| u16::try_from(value).map_err(|_| RecordError::OutOfRange { field, value: value.into() }))
        .transpose()
}

fn reason(field: &'static str, text: &str) -> Result<Reason, RecordError> {
    text.parse().map_err(|_| RecordError::Unknown { field, value: text.to_owned() })
}
