//! Going forward: which steps are ready, and what the answers to their actions mean.

use std::time::Duration;

use super::key::{CallId, Fence};
use super::mode::Mode;
use super::note::{Level, Occasion};
use super::outcome::{self, After, Reading, Verdict};
use super::render::{self, Unrendered};
use super::request::Answer;
use super::state::{Failure, Phase};
use super::text;
use super::turn::{Attempt, Turn};
use crate::api::Reason;
use crate::api::run::Direction;

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
        self.record(step).is_some_and(|record| matches!(record.forward.phase, Phase::Succeeded | Phase::Skipped))
    }

    /// Every step is Succeeded or Skipped.
    pub(super) fn forward_done(&self) -> bool {
        !self.stored().steps.is_empty() && (0..self.stored().steps.len()).all(|step| self.is_done(step))
    }

    /// Takes in an answer, if it belongs to the stored attempt.
    pub(super) fn answered(&mut self, call: CallId, fence: Fence, answer: &Answer) {
        let current = self.state.local.own.contains_key(&call)
            && self.call(call).and_then(|record| record.open.as_ref()).is_some_and(|open| open.fence == fence);
        if !current {
            let text = format!("{} answered an attempt that is no longer the stored one", self.describe(call));
            return self.note(Level::Trace, Occasion::Ignored, text);
        }
        let doubted = self.call(call).is_some_and(|record| record.doubtful > 0);
        let Some(plan) = self.call_plan(call) else {
            // Its rules and outputs are unknown: as if the answer were lost. It is asked for again under the same key.
            self.state.local.own.remove(&call);
            let text = format!("{} answered while the definition is not there", self.describe(call));
            return self.note(Level::Warning, Occasion::Ignored, text);
        };
        let rule = render::rule(self.plan, self.stored(), plan, call, answer);
        let reading = outcome::read(call.direction, answer, doubted, rule);
        if reading.effect_possible && reading.verdict != Verdict::Succeeded {
            self.doubt(call);
        }
        if let Some(record) = self.call_mut(call) {
            record.open = None;
        }
        match call.direction {
            Direction::Forward => self.forward_read(call, &reading, answer),
            Direction::Compensate => self.undo_read(call, &reading),
        }
    }

    /// Takes the open attempt as lost.
    pub(super) fn unanswered(&mut self, call: CallId, why: &str) {
        if let Some(fence) = self.call(call).and_then(|record| Some(record.open.as_ref()?.fence)) {
            self.answered(call, fence, &Answer::Lost { reason: Reason::Timeout, message: why.to_owned() });
        }
    }

    fn forward_read(&mut self, call: CallId, reading: &Reading, answer: &Answer) {
        match reading.verdict {
            Verdict::Succeeded => self.forward_succeeded(call, answer),
            Verdict::Rejected | Verdict::Unrenderable => {
                self.fail(call, reading.reason, &reading.message, reading.http_status);
                self.give_up(call, reading.reason, &reading.message, reading.http_status);
            }
            Verdict::Retry(after) => {
                self.fail(call, reading.reason, &reading.message, reading.http_status);
                if self.mode() == Mode::Compensating {
                    self.give_up(call, reading.reason, &reading.message, reading.http_status);
                } else if let Some(attempt) = self.next_attempt(call, after) {
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

    /// The next attempt of a call, if it may have one.
    pub(super) fn next_attempt(&self, call: CallId, after: After) -> Option<Attempt> {
        let (record, plan) = (self.call(call)?, self.call_plan(call)?);
        let backoff = plan.retry.backoff(&self.plan.run.uid, call, record.attempts);
        let wait = match after {
            After::Backoff | After::SameAttempt(None) => backoff,
            After::AtLeast(least) | After::SameAttempt(Some(least)) => backoff.max(plan.retry.capped(least)),
        };
        let since = self.state.local.own.get(&call).map(|own| own.since.after(plan.timeout));
        let still_same = matches!(after, After::SameAttempt(_))
            && record.doubtful > 0
            && since.is_some_and(|until| self.now.monotonic < until);
        if still_same {
            return Some(Attempt::Again { wait });
        }
        let limit = record.attempts_before.saturating_add(plan.retry.max_attempts);
        (record.attempts < limit).then_some(Attempt::Next { wait })
    }

    pub(super) fn announce_retry(&mut self, call: CallId, attempt: Attempt, why: &str) {
        let tried = self.call(call).map_or(0, |record| record.attempts);
        let (Attempt::Next { wait } | Attempt::Again { wait }) = attempt;
        let text = format!("{}: attempt {tried} got {why}; again in {}", self.describe(call), text::wait(wait));
        // One Event for a call is enough: the log has them all, and Events cost the API server as much as the run does.
        let level = if tried == 1 { Level::Warning } else { Level::Detail };
        self.note(level, Occasion::AttemptFailed, text);
    }

    fn forward_succeeded(&mut self, call: CallId, answer: &Answer) {
        self.close(call, Phase::Succeeded);
        let text = format!("{} succeeded", self.describe(call));
        self.note(Level::Detail, Occasion::StepSucceeded, text);
        let picked = self
            .step_plan(call.step)
            .map(|step| render::outputs(self.plan, self.stored(), step, call, answer))
            .unwrap_or_else(|| Ok(std::collections::BTreeMap::new()));
        match picked {
            Ok(outputs) => {
                if let Some(record) = self.state.stored.steps.get_mut(call.step) {
                    record.outputs = outputs;
                }
            }
            Err(unrendered) => {
                self.fail(call, unrendered.reason, &unrendered.message, None);
                let failure = self.failure(call, unrendered.reason, &unrendered.message, None);
                self.turn(failure);
            }
        }
    }

    /// Closes an action without success: Failed if it certainly had no effect, else Unknown; and turns the run.
    fn give_up(&mut self, call: CallId, reason: Reason, message: &str, http_status: Option<u16>) {
        self.close_without_success(call);
        let failure = self.failure(call, reason, message, http_status);
        let text = format!("{}: {message}", self.describe(call));
        self.note(Level::Detail, Occasion::StepFailed, text);
        self.turn(failure);
    }

    fn close_without_success(&mut self, call: CallId) {
        let doubted = self.call(call).is_some_and(|record| record.doubtful > 0);
        self.close(call, if doubted { Phase::Unknown } else { Phase::Failed });
    }

    /// An action that cannot be made: refused without effect.
    pub(super) fn forward_unrendered(&mut self, call: CallId, unrendered: &Unrendered) {
        self.fail(call, unrendered.reason, &unrendered.message, None);
        self.give_up(call, unrendered.reason, &unrendered.message, None);
    }

    fn failure(&self, call: CallId, reason: Reason, message: &str, http_status: Option<u16>) -> Failure {
        let step = self.record(call.step).map(|record| record.name.clone());
        let message = text::message(&format!("{}: {message}", self.describe(call)));
        Failure { step, reason, message, http_status }
    }

    /// The run turned: closes every action that nobody sent. What is on the wire is awaited.
    pub(super) fn stop_forward(&mut self) {
        for step in 0..self.stored().steps.len() {
            let call = CallId::forward(step);
            let Some(record) = self.call(call) else { continue };
            match (record.phase, &record.open, self.state.local.own.get(&call)) {
                (Phase::Running | Phase::Waiting, Some(_), Some(own)) if !own.sent => {
                    self.drop_attempt(call);
                    self.close_without_success(call);
                }
                // Sent, or another owner's: awaited, or closed as Unknown when it is taken over.
                (Phase::Running | Phase::Waiting, Some(_), _) => {}
                (Phase::Running | Phase::Waiting | Phase::Stalled, None, _) => self.close_without_success(call),
                (Phase::Pending | Phase::Succeeded | Phase::Failed | Phase::Unknown | Phase::Skipped, ..)
                | (Phase::Stalled, Some(_), _) => {}
            }
        }
    }

    /// The run is abandoned: closes every action that was begun and has no outcome.
    pub(super) fn close_begun(&mut self) {
        for step in 0..self.stored().steps.len() {
            let call = CallId::forward(step);
            if self.call(call).is_some_and(|record| record.phase != Phase::Pending && !record.phase.is_outcome()) {
                self.close_without_success(call);
            }
        }
    }
}
