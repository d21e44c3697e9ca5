//! Everything a run remembers.
//!
//! # Guarantees
//! [`Stored`] reads back from a run's status exactly as it was written ([`super::record`]); [`Local`] is lost when the
//! process ends and is never written. An empty `Local` is always safe: what it does not know is taken to be in doubt.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;

use super::effect::Effect;
use super::key::{CallId, Digest, Fence, Holder};
use super::machine::Transition;
use super::time::{Monotonic, Now};
use super::wishes::Wishes;
use crate::api::run::Direction;
use crate::api::{Condition, Reason};

/// A run, as one process knows it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct State {
    /// What the journal holds.
    pub stored: Stored,
    /// What this process knows beyond it.
    pub local: Local,
}

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
    /// Of the last write.
    pub fence: Fence,
    /// The owner.
    pub holder: Option<Holder>,
    /// What users are told.
    pub conditions: Vec<Condition>,
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
    pub const ALL: [Self; 6] = [
        Self::Succeeded,
        Self::Compensated,
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
}

/// One call: a step's action or its compensation.
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

/// Where a call stands. `Failed`, `Unknown` and `Skipped` are for actions only.
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
}

impl Phase {
    /// No attempt is open or scheduled, and none will be.
    pub const fn is_outcome(self) -> bool {
        match self {
            Self::Succeeded | Self::Failed | Self::Unknown | Self::Skipped => true,
            Self::Pending | Self::Running | Self::Waiting | Self::Stalled => false,
        }
    }
}

/// A stored attempt without outcome.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Open {
    /// Fence of the write that stored it.
    pub fence: Fence,
    /// After it the attempt counts as unanswered.
    pub deadline: Timestamp,
    /// Earliest time to send.
    pub not_before: Option<Timestamp>,
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
        }
    }

    /// The call of a direction, begun now if it was not.
    pub fn call_mut(&mut self, direction: Direction) -> &mut CallRecord {
        match direction {
            Direction::Forward => &mut self.forward,
            Direction::Compensate => self.compensation.get_or_insert_default(),
        }
    }
}

impl Stored {
    /// Calls with a stored attempt and no outcome, in list order, actions before compensations.
    pub fn open_calls(&self) -> impl Iterator<Item = (CallId, &CallRecord, &Open)> {
        self.steps.iter().enumerate().flat_map(|(step, record)| {
            let forward = Some((CallId::forward(step), &record.forward));
            let compensation = record.compensation.as_ref().map(|call| (CallId::compensate(step), call));
            forward.into_iter().chain(compensation).filter_map(|(id, call)| Some((id, call, call.open.as_ref()?)))
        })
    }

    /// The first stalled call in list order.
    pub fn stalled(&self) -> Option<(&StepRecord, &CallRecord)> {
        self.steps.iter().find_map(|step| {
            [Some(&step.forward), step.compensation.as_ref()]
                .into_iter()
                .flatten()
                .find(|call| call.phase == Phase::Stalled)
                .map(|call| (step, call))
        })
    }
}

/// What this process knows of a run beyond what is stored.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Local {
    /// The highest fence that this process tried, landed or not.
    pub tried: Fence,
    /// This process's own write made it the owner, and no other owner was seen since.
    pub owned: bool,
    /// The write under way makes this process the owner.
    pub taking_over: bool,
    /// When the write landed by which this process took the run from another owner.
    pub took_over: Option<Monotonic>,
    /// Since when the journal is unchanged, as far as this process saw.
    pub unchanged_since: Option<Now>,
    /// This process is about to end: it sends nothing new, and gives up what has no call on the wire.
    pub draining: bool,
    /// Since when this process sees that another owner should have written.
    pub due_since: Option<Monotonic>,
    /// Since when this process waits for the definition.
    pub waiting_since: Option<Monotonic>,
    /// The spec as last read. Without it nothing new begins.
    pub wishes: Option<Wishes>,
    /// Attempts that this process stored.
    pub own: BTreeMap<CallId, OwnAttempt>,
}

/// An attempt that this process stored, and so knows about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OwnAttempt {
    /// It was handed to the sender.
    pub sent: bool,
    /// It is already counted as doubtful.
    pub counted: bool,
    /// When this process first sent this attempt number, or took it over; ahead while it waits.
    pub since: Monotonic,
}

/// Added to a timeout wherever safety waits for somebody else's call to be over.
pub const MARGIN: Duration = Duration::from_secs(5);

impl State {
    /// Takes in what was read from the journal. What this process knows of its own attempts stays only if the journal
    /// still holds this process's own last landed write.
    pub fn observe(&mut self, stored: Stored, now: Now) {
        let same_write = self.stored.fence == stored.fence && self.stored.holder == stored.holder;
        if !same_write || self.local.unchanged_since.is_none() {
            self.local.unchanged_since = Some(now);
        }
        if !same_write {
            self.local.owned = false;
            self.local.due_since = None;
            self.local.own.clear();
        }
        self.stored = stored;
    }

    /// Notes that the write of this very state has landed.
    pub fn landed(&mut self, now: Now) {
        self.local.unchanged_since = Some(now);
        if self.local.taking_over {
            self.local.taking_over = false;
            self.local.took_over = Some(now.monotonic);
        }
    }

    /// Notes that the write of `decided` did not land, as far as is known: its fence counts as tried all the same, and
    /// what was withdrawn or cut before the write is no longer with the sender.
    pub fn not_landed(&mut self, decided: &Transition) {
        self.local.tried = self.local.tried.max(decided.state.local.tried);
        for effect in &decided.effects {
            match effect {
                Effect::Withdraw(call) | Effect::Cut(call) => {
                    self.local.own.remove(call);
                }
                Effect::Send(_) | Effect::Release => {}
            }
        }
    }

    /// Notes that an attempt was handed to the sender.
    pub fn sent(&mut self, call: CallId) {
        if let Some(own) = self.local.own.get_mut(&call) {
            own.sent = true;
        }
    }
}
