//! What only a person can help with.

use super::key::CallId;
use super::note::{Level, Occasion};
use super::outcome::{After, Reading};
use super::render::Unrendered;
use super::state::Phase;
use super::turn::Turn;
use crate::api::Reason;

impl Turn<'_> {
    /// The next attempt of a call that is never given up; without one it needs a person.
    pub(super) fn again_or_stall(&mut self, call: CallId, after: After, reading: &Reading, exhausted: Reason) {
        self.fail(call, reading.reason, &reading.message, reading.http_status);
        if let Some(attempt) = self.next_attempt(call, after) {
            self.announce_retry(call, attempt, &reading.message);
            self.retries.push((call, attempt));
        } else {
            self.stall(call, exhausted, &reading.message, reading.http_status);
        }
    }

    /// A call that must be sent and cannot be made.
    pub(super) fn stall_unrendered(&mut self, call: CallId, unrendered: &Unrendered) {
        self.stall(call, Reason::Unrenderable, &unrendered.message, None);
    }

    /// Only a person can help.
    pub(super) fn stall(&mut self, call: CallId, reason: Reason, message: &str, http_status: Option<u16>) {
        self.fail(call, reason, message, http_status);
        self.state.local.own.remove(&call);
        if let Some(record) = self.call_mut(call) {
            record.phase = Phase::Stalled;
            record.open = None;
        }
        let text = format!("{}: {reason}: {message}", self.describe(call));
        self.note(Level::Warning, Occasion::Stalled, text);
    }
}
