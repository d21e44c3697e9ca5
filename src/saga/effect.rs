//! What must be done about a decision, as data.

use super::intent::Intent;
use super::key::CallId;

/// Something to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Take an attempt back from the sender. Precondition: it was not sent. *Before* the write that drops it is begun.
    Withdraw(CallId),
    /// Stop waiting for an attempt and close its connection. *Before* the write that drops it is begun.
    Cut(CallId),
    /// Send an attempt, not before its time. Precondition: the write that holds it, and this very fence, has landed.
    Send(Box<Intent>),
    /// Nothing will ever be sent or written again: let the run go. Precondition: the terminal state is stored.
    Release,
}
