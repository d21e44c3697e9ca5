//! What must be done about a decision, as data.

use super::intent::{Intent, Polling};
use super::key::{CallId, Fence};
use super::time::Monotonic;

/// Something to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Take an attempt back from the sender. Precondition: it was not sent. *Before* the write that drops it is begun.
    Withdraw(CallId),
    /// Stop waiting for an attempt, close its connection and ask no more at its location. *Before* the write that drops it is begun.
    Cut(CallId),
    /// Send an attempt, not before its time. Precondition: the write that holds it, and this very fence, has landed.
    Send(Box<Intent>),
    /// Follow a call that is in progress. Precondition: the write that holds its location, and this very fence, has landed.
    Poll(Box<Polling>),
    /// Look once more at a call that is followed already. Needs no write.
    PollAgain {
        /// The call.
        call: CallId,
        /// Of the intent that is followed.
        fence: Fence,
        /// When.
        at: Monotonic,
    },
    /// Nothing will ever be sent or written again: let the run go. Precondition: the terminal state is stored.
    Release,
}
