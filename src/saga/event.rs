//! What can happen to a run.

use super::key::{CallId, Fence};
use super::request::Answer;
use super::wishes::Wishes;

/// Something that happened. Events that arrive while a write is under way are decided together in the next.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// The spec was read.
    Wished(Wishes),
    /// An attempt of this process has its answer.
    Answered {
        /// The call.
        call: CallId,
        /// Of the intent: an answer to an intent that is no longer the stored one is late.
        fence: Fence,
        /// What became of it.
        answer: Answer,
    },
    /// A look at a call in progress brought this.
    Polled {
        /// The call.
        call: CallId,
        /// Of the intent that is followed.
        fence: Fence,
        /// What became of the look.
        answer: Answer,
    },
    /// The pinned revision turned out to be going away before anything was sent: pin the current one.
    RevisionGone,
    /// The store refused the write of this decision as too large: decide again what fits. The journal holds what it held
    /// before. When the store refuses that too, nothing more is to be sent.
    TooLarge,
    /// Time passed.
    Tick,
}

/// Events without their contents: rows of the transition table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EventKind {
    /// [`Event::Wished`]
    Wished,
    /// [`Event::Answered`]
    Answered,
    /// [`Event::Polled`]
    Polled,
    /// [`Event::RevisionGone`]
    RevisionGone,
    /// [`Event::TooLarge`]
    TooLarge,
    /// [`Event::Tick`]
    Tick,
}

impl EventKind {
    /// All kinds.
    pub const ALL: [Self; 6] =
        [Self::Wished, Self::Answered, Self::Polled, Self::RevisionGone, Self::TooLarge, Self::Tick];
}

impl Event {
    /// The kind of this event.
    pub const fn kind(&self) -> EventKind {
        match self {
            Self::Wished(_) => EventKind::Wished,
            Self::Answered { .. } => EventKind::Answered,
            Self::Polled { .. } => EventKind::Polled,
            Self::RevisionGone => EventKind::RevisionGone,
            Self::TooLarge => EventKind::TooLarge,
            Self::Tick => EventKind::Tick,
        }
    }
}
