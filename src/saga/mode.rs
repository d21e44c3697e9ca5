//! The mode of a run: derived from what is stored, never stored itself.

use super::state::Stored;

/// What a run is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Mode {
    /// No revision is pinned: nothing was sent.
    Pending,
    /// Going forward.
    Forward,
    /// Turned: undoing what took effect.
    Compensating,
    /// Terminal.
    Ended,
}

impl Mode {
    /// All modes.
    pub const ALL: [Self; 4] = [Self::Pending, Self::Forward, Self::Compensating, Self::Ended];
}

impl Stored {
    /// The mode of the run.
    pub const fn mode(&self) -> Mode {
        if self.end.is_some() {
            Mode::Ended
        } else if self.failure.is_some() {
            Mode::Compensating
        } else if self.revision.is_some() {
            Mode::Forward
        } else {
            Mode::Pending
        }
    }
}
