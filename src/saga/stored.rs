//! What the journal holds of a run. It reads back from the run's status exactly as it was written ([`super::record`]).

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::Value;

use super::key::{CallId, Digest, Fence, Holder};
use crate::api::run::{Direction, InterventionOutcome};
use crate::api::{Condition, Reason};

/// What the journal holds of a run.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Stored {
    /// Generation of the spec last taken into account.
    pub observed_generation: i64,
    /// When the run was first taken up.
    pub start_time: Option<Timestamp>,
    /// When it ended.
    pub completion_time: Option<Timestamp>,
    /// The pinned revision of the definition: set in the write of the first intents.
    pub revision: Option<String>,
    /// Why the run turned or ended without success. Never removed.
    pub failure: Option<Failure>,
    /// The terminal state. Never changes.
    pub end: Option<End>,
    /// The pinned revision cannot be found.
    pub revision_lost: bool,
    /// In the order of the definition; empty until pinned.
    pub steps: Vec<StepRecord>,
    /// Of the run, once it succeeded.
    pub outputs: BTreeMap<String, Value>,
    /// Decisions of people that were judged, in the order of judgement.
    pub judged: Vec<Judged>,
    /// Of the last write.
    pub fence: Fence,
    /// The owner.
    pub holder: Option<Holder>,
    /// What users are told.
    pub conditions: Vec<Condition>,
}

/// A decision of a person that was judged; never judged again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judged {
    /// As in the spec.
    pub id: String,
    /// Applied or refused.
    pub outcome: InterventionOutcome,
    /// When.
    pub time: Timestamp,
}

/// Why a run turned to compensation or ended without success.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The step that failed.
    pub step: Option<String>,
    /// As a word.
    pub reason: Reason,
    /// For people, at most 256 characters.
    pub message: String,
    /// Of the answer that decided it.
    pub http_status: Option<u16>,
}

/// A terminal state: absorbing (I7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// All steps are done.
    Succeeded,
    /// All effects are undone.
    Compensated,
    /// All effects are undone, some of them by hand.
    CompensatedByHand,
    /// Left as it stood, on request.
    Abandoned,
    /// Refused before any call.
    InvalidInput,
    /// Refused before any call.
    DefinitionNotFound,
    /// Refused before any call.
    DefinitionNotReady,
}

impl End {
    /// All ends.
    pub const ALL: [Self; 7] = [
        Self::Succeeded,
        Self::Compensated,
        Self::CompensatedByHand,
        Self::Abandoned,
        Self::InvalidInput,
        Self::DefinitionNotFound,
        Self::DefinitionNotReady,
    ];

    /// The reason of the conditions.
    pub const fn reason(self) -> Reason {
        match self {
            Self::Succeeded => Reason::Succeeded,
            Self::Compensated => Reason::Compensated,
            Self::CompensatedByHand => Reason::CompensatedByHand,
            Self::Abandoned => Reason::Abandoned,
            Self::InvalidInput => Reason::InvalidInput,
            Self::DefinitionNotFound => Reason::DefinitionNotFound,
            Self::DefinitionNotReady => Reason::DefinitionNotReady,
        }
    }
}

/// One step of a run.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StepRecord {
    /// Name, as in the definition.
    pub name: String,
    /// The action.
    pub forward: CallRecord,
    /// Picked from the answer to the action.
    pub outputs: BTreeMap<String, Value>,
    /// The compensation, once it was begun.
    pub compensation: Option<CallRecord>,
    /// The confirm, once it was begun.
    pub confirm: Option<CallRecord>,
}

/// One call: a step's action, its compensation or its confirm.
#[derive(Clone, Debug, PartialEq)]
pub struct CallRecord {
    /// Where it stands.
    pub phase: Phase,
    /// Attempts stored so far.
    pub attempts: u32,
    /// Those of them whose effect is possible and unknown. Sticky: never falls.
    pub doubtful: u32,
    /// Of the open attempt.
    pub takeovers: u32,
    /// Attempts when a person last asked for a retry: the limit counts from there.
    pub attempts_before: u32,
    /// Number of the idempotency key, from 1.
    pub key_suffix: u32,
    /// Of the rendered request; from the first intent under a key until the outcome.
    pub digest: Option<Digest>,
    /// The attempt without outcome.
    pub open: Option<Open>,
    /// Of the first attempt (actions only).
    pub start_time: Option<Timestamp>,
    /// Of the outcome.
    pub completion_time: Option<Timestamp>,
    /// Of the last answer; while open, failed or stalled.
    pub http_status: Option<u16>,
    /// While open, failed or stalled.
    pub reason: Option<Reason>,
    /// For people; while open, failed or stalled.
    pub message: Option<String>,
}

impl Default for CallRecord {
    fn default() -> Self {
        Self {
            phase: Phase::Pending,
            attempts: 0,
            doubtful: 0,
            takeovers: 0,
            attempts_before: 0,
            key_suffix: 1,
            digest: None,
            open: None,
            start_time: None,
            completion_time: None,
            http_status: None,
            reason: None,
            message: None,
        }
    }
}

/// Where a call stands. `Failed`, `Unknown` and `Skipped` are for actions only, `Resolved` for the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Phase {
    /// Not begun.
    #[default]
    Pending,
    /// An attempt may be on the wire.
    Running,
    /// Another attempt is due later.
    Waiting,
    /// Needs a person.
    Stalled,
    /// Done.
    Succeeded,
    /// Certainly without effect.
    Failed,
    /// Closed, and may have taken effect.
    Unknown,
    /// Its `when` was false.
    Skipped,
    /// Done by hand, as a person said.
    Resolved,
}

impl Phase {
    /// No attempt is open or scheduled, and none will be.
    pub const fn is_outcome(self) -> bool {
        match self {
            Self::Succeeded | Self::Failed | Self::Unknown | Self::Skipped | Self::Resolved => true,
            Self::Pending | Self::Running | Self::Waiting | Self::Stalled => false,
        }
    }

    /// What the call was to do is done, by the call or by hand.
    pub const fn is_done(self) -> bool {
        match self {
            Self::Succeeded | Self::Resolved => true,
            Self::Pending
            | Self::Running
            | Self::Waiting
            | Self::Stalled
            | Self::Failed
            | Self::Unknown
            | Self::Skipped => false,
        }
    }
}

/// A stored attempt without outcome.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Open {
    /// Fence of the write that stored it.
    pub fence: Fence,
    /// After it the attempt counts as unanswered. Of a located call: the end of polling.
    pub deadline: Timestamp,
    /// Earliest time to send.
    pub not_before: Option<Timestamp>,
    /// Where to ask for a call that is in progress (a *located* call): path and query at the origin of the call.
    pub location: Option<String>,
}

impl StepRecord {
    /// Of a step that was not begun.
    pub fn new(name: &str) -> Self {
        Self { name: name.to_owned(), ..Self::default() }
    }

    /// The call of a direction, if begun.
    pub const fn call(&self, direction: Direction) -> Option<&CallRecord> {
        match direction {
            Direction::Forward => Some(&self.forward),
            Direction::Compensate => self.compensation.as_ref(),
            Direction::Confirm => self.confirm.as_ref(),
        }
    }

    /// The call of a direction, begun now if it was not.
    pub fn call_mut(&mut self, direction: Direction) -> &mut CallRecord {
        match direction {
            Direction::Forward => &mut self.forward,
            Direction::Compensate => self.compensation.get_or_insert_default(),
            Direction::Confirm => self.confirm.get_or_insert_default(),
        }
    }

    /// Every call that was begun, and the action.
    pub fn calls(&self) -> impl Iterator<Item = (Direction, &CallRecord)> {
        Direction::ALL.into_iter().filter_map(|direction| Some((direction, self.call(direction)?)))
    }

    /// Every call that was begun, and the action.
    pub fn calls_mut(&mut self) -> impl Iterator<Item = &mut CallRecord> {
        [Some(&mut self.forward), self.compensation.as_mut(), self.confirm.as_mut()].into_iter().flatten()
    }
}

impl Stored {
    /// Every call that was begun, and every action, in list order.
    pub fn calls(&self) -> impl Iterator<Item = (CallId, &CallRecord)> {
        self.steps
            .iter()
            .enumerate()
            .flat_map(|(step, record)| record.calls().map(move |(direction, call)| (CallId { step, direction }, call)))
    }

    /// Calls with a stored attempt and no outcome, in list order; of a step the action first.
    pub fn open_calls(&self) -> impl Iterator<Item = (CallId, &CallRecord, &Open)> {
        self.calls().filter_map(|(id, call)| Some((id, call, call.open.as_ref()?)))
    }

    /// The first stalled call in list order.
    pub fn stalled(&self) -> Option<(CallId, &CallRecord)> {
        self.calls().find(|(_, call)| call.phase == Phase::Stalled)
    }
}
