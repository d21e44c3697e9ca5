//! Going forward: which steps are ready, and what the answers to their actions mean.

use std::time::Duration;

use super::key::CallId;
use super::mode::Mode;
use super::note::{Level, Occasion};
use super::outcome::{Reading, Verdict};
use super::render::{self, Unrendered};
use super::request::Answer;
use super::state::{Failure, Phase};
use super::text;
use super::turn::{Attempt, Turn};
use crate::api::Reason;
use crate::api::definition::Role;

impl Turn<'_> {
    /// Begins every step whose dependencies are done.
    pub(super) fn begin_ready(&mut self) {
        let Some(definition) = self.definition() else { return };
        for (index, step) in definition.steps.iter().enumerate() {
            let ready = self.mode() == Mode::Forward
                && self.record(index).is_some_and(|record| record.forward.phase == Phase::Pending)
                && step.dependencies.iter().all(|dependency| self.is_done(dependency));
            if !ready || !self.has_room() {
                continue;
            }
            let call = CallId::forward(index);
            match render::when(self.plan, self.stored(), step, call) {
                Ok(true) => self.attempt(call, Attempt::Next { wait: Duration::ZERO }),
                Ok(false) => {
                    self.close(call, Phase::Skipped);
                    let text = format!("{}: `when` is false", self.describe(call));
                    self.note(Level::Detail, Occasion::StepSkipped, text);
                }
                Err(unrendered) => self.forward_unrendered(call, &unrendered),
            }
        }
    }

    fn is_done(&self, step: usize) -> bool {
        self.record(step).is_some_and(super::state::StepRecord::is_done)
    }

    pub(super) fn forward_read(&mut self, call: CallId, reading: &Reading, answer: &Answer) {
        match &reading.verdict {
            Verdict::Succeeded => self.forward_succeeded(call, answer),
            Verdict::Rejected | Verdict::Unrenderable | Verdict::InProgress { .. } => {
                self.fail(call, reading.reason, &reading.message, reading.http_status);
                self.give_up(call, reading.reason, &reading.message, reading.http_status);
            }
            Verdict::Retry(after) => {
                self.fail(call, reading.reason, &reading.message, reading.http_status);
                if self.mode() == Mode::Compensating {
                    self.give_up(call, reading.reason, &reading.message, reading.http_status);
                } else if let Some(attempt) = self.next_attempt(call, *after) {
                    self.announce_retry(call, attempt, &reading.message);
                    self.retries.push((call, attempt));
                } else {
                    let attempts = self.call(call).map_or(0, |record| record.attempts);
                    let message =
                        format!("no answer to go on with in {attempts} attempts; the last: {}", reading.message);
                    self.give_up(call, Reason::AttemptsExhausted, &message, reading.http_status);
                }
            }
        }
    }

    fn forward_succeeded(&mut self, call: CallId, answer: &Answer) {
        let turns = self.turns_for_outputs(call.step);
        let (outputs, failed) = self
            .step_plan(call.step)
            .map(|step| render::outputs(self.plan, self.stored(), step, call, answer))
            .unwrap_or_default();
        self.close(call, Phase::Succeeded);
        let text = format!("{} succeeded", self.describe(call));
        self.note(Level::Detail, Occasion::StepSucceeded, text);
        if let Some(unrendered) = failed.first() {
            self.fail(call, unrendered.reason, &unrendered.message, None);
            if turns {
                let failure = self.failure(call, unrendered.reason, &unrendered.message, None);
                return self.turn(failure);
            }
        }
        for unrendered in failed {
            let text = format!("{}: {}; it goes on without", self.describe(call), unrendered.message);
            self.note(Level::Warning, Occasion::OutputLeftOut, text);
        }
        if let Some(record) = self.state.stored.steps.get_mut(call.step) {
            record.outputs = outputs;
        }
    }

    /// An action will not succeed by itself: it waits for a person where it must, and is closed and turns the run else.
    fn give_up(&mut self, call: CallId, reason: Reason, message: &str, http_status: Option<u16>) {
        if self.mode() != Mode::Compensating
            && let Some(stall) = self.must_succeed(call, reason)
        {
            return self.stall(call, stall, message, http_status);
        }
        self.close_without_success(call);
        let failure = self.failure(call, reason, message, http_status);
        let text = format!("{}: {message}", self.describe(call));
        self.note(Level::Detail, Occasion::StepFailed, text);
        self.turn(failure);
    }

    /// Failed if it certainly had no effect, else Unknown.
    fn close_without_success(&mut self, call: CallId) {
        let doubted = self.call(call).is_some_and(|record| record.doubtful > 0);
        self.close(call, if doubted { Phase::Unknown } else { Phase::Failed });
    }

    /// An action that cannot be made: refused without effect. A Pivot that was made before is not refused for that.
    pub(super) fn forward_unrendered(&mut self, call: CallId, unrendered: &Unrendered) {
        let pivot = self.step_plan(call.step).is_some_and(|step| step.role == Role::Pivot);
        if pivot && self.was_rendered(call) {
            return self.stall_unrendered(call, unrendered);
        }
        self.fail(call, unrendered.reason, &unrendered.message, None);
        self.give_up(call, unrendered.reason, &unrendered.message, None);
    }

    pub(super) fn failure(&self, call: CallId, reason: Reason, message: &str, http_status: Option<u16>) -> Failure {
        let step = self.record(call.step).map(|record| record.name.clone());
        let message = text::message(&format!("{}: {message}", self.describe(call)));
        Failure { step, reason, message, http_status }
    }

    /// The run turned: closes every action that nobody sent, or that is only waited for. What is on the wire is awaited.
    pub(super) fn stop_forward(&mut self) {
        for step in 0..self.stored().steps.len() {
            let call = CallId::forward(step);
            let Some(record) = self.call(call) else { continue };
            match (record.phase, &record.open, self.state.local.own.get(&call)) {
                (Phase::Running | Phase::Waiting, Some(_), Some(own)) if !own.sent => {
                    self.drop_attempt(call);
                    self.close_without_success(call);
                }
                (Phase::Running | Phase::Waiting, Some(open), Some(_)) if open.location.is_some() => {
                    self.doubt(call);
                    self.drop_attempt(call);
                    self.close_without_success(call);
                }
                // Sent, or another owner's: awaited, or closed as Unknown when it is taken over.
                (Phase::Running | Phase::Waiting, Some(_), _) => {}
                (Phase::Running | Phase::Waiting | Phase::Stalled, None, _) => self.close_without_success(call),
                (
                    Phase::Pending
                    | Phase::Succeeded
                    | Phase::Failed
                    | Phase::Unknown
                    | Phase::Skipped
                    | Phase::Resolved,
                    ..,
                )
                | (Phase::Stalled, Some(_), _) => {}
            }
        }
    }

    /// The run is abandoned: closes every action that was begun and has no outcome.
    pub(super) fn close_begun(&mut self) {
        for step in 0..self.stored().steps.len() {
            let call = CallId::forward(step);
            let begun = |record: &super::state::CallRecord| record.phase != Phase::Pending || record.doubtful > 0;
            if self.call(call).is_some_and(|record| begun(record) && !record.phase.is_outcome()) {
                self.close_without_success(call);
            }
        }
    }
}
