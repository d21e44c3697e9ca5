//! What is left out, and what becomes of the run, when the store refuses the size of its status.
//!
//! Definitions whose worst case would not fit are refused, so this needs a store with a smaller limit than
//! that, or an object that others filled.

use super::note::{Level, Occasion};
use super::state::Failure;
use super::turn::Turn;
use crate::api::Reason;

impl Turn<'_> {
    /// The failure of a run whose status the store refused: going forward would only make it larger.
    pub(super) fn outgrown(&self) -> Option<Failure> {
        self.too_large.then(|| Failure {
            step: None,
            reason: Reason::StatusTooLarge,
            message: "the status of the run is too large for the store".to_owned(),
            http_status: None,
        })
    }

    /// Leaves out what only people read: messages, and the times of calls. Outputs, doubt, fences and digests stay.
    pub(super) fn strip(&mut self) {
        for step in &mut self.state.stored.steps {
            for call in step.calls_mut() {
                call.message = None;
                call.start_time = None;
                call.completion_time = None;
            }
        }
        for condition in &mut self.state.stored.conditions {
            condition.message.clear();
        }
        let text =
            "the store refused the size of the status; it is stored without messages and times of calls".to_owned();
        self.note(Level::Warning, Occasion::TooLarge, text);
    }
}
