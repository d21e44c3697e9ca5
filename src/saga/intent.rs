//! What a stored decision to send looks like to those who send it.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::key::{CallId, Fence, IdempotencyKey};
use super::request::{HeaderValue, Request};
use super::time::Monotonic;

/// Who the run is; never changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Namespace; `local` without a cluster.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// UID: keys and fences belong to it, so that a second run of the same name starts afresh.
    pub uid: String,
}

/// One attempt to be sent at most once, by the process whose own write stored it: participants take it only as
/// [`Persisted`](crate::journal::Persisted).
#[derive(Clone, Debug, PartialEq)]
pub struct Intent {
    /// The run.
    pub run: Arc<Identity>,
    /// Which call.
    pub call: CallId,
    /// Name of the step.
    pub step: Arc<str>,
    /// From 1.
    pub attempt: u32,
    /// Of the write that stored the intent.
    pub fence: Fence,
    /// The same for all attempts.
    pub key: IdempotencyKey,
    /// The same for all attempts.
    pub request: Arc<Request>,
    /// From connect to the last byte of the answer.
    pub timeout: Duration,
    /// Earliest time to send: an attempt that waits.
    pub not_before: Option<Monotonic>,
    /// Sent as `Saga-Deadline`.
    pub deadline: Timestamp,
    /// The deadline on the own clock: after it nothing of this intent is sent.
    pub expires: Monotonic,
    /// Of the step's action; on compensations only.
    pub forward_outcome: Option<ForwardOutcome>,
}

/// A call in progress, to be looked at until it is done: GETs only, by the process whose own write stored the location,
/// or took it over. Participants take it only as [`Persisted`](crate::journal::Persisted).
#[derive(Clone, Debug, PartialEq)]
pub struct Polling {
    /// The run.
    pub run: Arc<Identity>,
    /// Which call.
    pub call: CallId,
    /// Name of the step.
    pub step: Arc<str>,
    /// Number of the attempt that is in progress.
    pub attempt: u32,
    /// Of the intent that is followed.
    pub fence: Fence,
    /// Where to look: the call's origin, with the location's path and query.
    pub url: String,
    /// The call's own headers.
    pub headers: Vec<(String, HeaderValue)>,
    /// Of one look, from connect to the last byte of the answer.
    pub timeout: Duration,
    /// When to look first.
    pub first: Monotonic,
    /// Nothing is sent after it: the end of polling on the own clock.
    pub expires: Monotonic,
}

/// What a compensation may tell its participant about the action.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ForwardOutcome {
    /// The action answered success.
    Succeeded,
    /// The action may or may not have taken effect.
    Unknown,
}

impl ForwardOutcome {
    /// As it stands on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::Unknown => "unknown",
        }
    }
}
