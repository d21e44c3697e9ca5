//! The mode of a run: derived from what is stored, never stored itself.

use super::state::{Phase, StepRecord, Stored};

/// What a run is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Mode {
    /// No revision is pinned: nothing was sent.
    Pending,
    /// Going forward.
    Forward,
    /// Every step is done and none failed: making final what was tried.
    Confirming,
    /// Turned: undoing what took effect.
    Compensating,
    /// Terminal.
    Ended,
}

impl Mode {
    /// All modes.
    pub const ALL: [Self; 5] = [Self::Pending, Self::Forward, Self::Confirming, Self::Compensating, Self::Ended];
}

impl Stored {
    /// The mode of the run.
    pub fn mode(&self) -> Mode {
        if self.end.is_some() {
            Mode::Ended
        } else if self.failure.is_some() {
            Mode::Compensating
        } else if self.revision.is_none() {
            Mode::Pending
        } else if self.steps.iter().all(StepRecord::is_done) {
            Mode::Confirming
        } else {
            Mode::Forward
        }
    }
}

impl StepRecord {
    /// What depends on the step may begin.
    pub const fn is_done(&self) -> bool {
        matches!(self.forward.phase, Phase::Succeeded | Phase::Skipped)
    }
}
