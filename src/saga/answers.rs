//! What is heard of a call: answers to its attempts, and to looks at it while it is in progress.

use std::time::Duration;

use super::effect::Effect;
use super::key::{CallId, Fence};
use super::mode::Mode;
use super::note::{Level, Occasion};
use super::outcome::{self, After, Look, Reading, Verdict};
use super::render;
use super::request::Answer;
use super::state::Phase;
use super::text;
use super::turn::{Attempt, Turn};
use crate::api::Reason;
use crate::api::run::Direction;

/// Between two looks at a call in progress, whatever its participant wishes.
const SHORTEST_POLL: Duration = Duration::from_millis(100);
/// Between two looks while the definition is not there to read the answers.
const BLIND_POLL: Duration = Duration::from_secs(5);

impl Turn<'_> {
    /// Takes in an answer, if it belongs to the stored attempt.
    pub(super) fn answered(&mut self, call: CallId, fence: Fence, answer: &Answer) {
        if !self.is_current(call, fence) || self.is_located(call) {
            let text = format!("{} answered an attempt that is no longer the stored one", self.describe(call));
            return self.note(Level::Trace, Occasion::Ignored, text);
        }
        let Some(plan) = self.call_plan(call) else {
            // Its rules and outputs are unknown: as if the answer were lost. It is asked for again under the same key.
            self.state.local.own.remove(&call);
            let text = format!("{} answered while the definition is not there", self.describe(call));
            return self.note(Level::Warning, Occasion::Ignored, text);
        };
        let record = self.call(call).cloned().unwrap_or_default();
        let rule = render::rule(self.plan, self.stored(), plan, call, answer);
        let url = if outcome::asks_for_location(answer, &rule) {
            let key = self.key(call, record.key_suffix);
            // The same as when it was sent, so it can be rendered.
            render::request(self.plan, self.stored(), plan, call, &key).map(|request| request.url).unwrap_or_default()
        } else {
            String::new()
        };
        let reading = outcome::read(call.direction, answer, record.doubtful > 0, rule, &url);
        self.heard(call, &reading, answer);
    }

    /// Takes in what a look at a call in progress brought.
    pub(super) fn polled(&mut self, call: CallId, fence: Fence, answer: &Answer) {
        if !self.is_current(call, fence) || !self.is_located(call) {
            let text = format!("{} is no longer followed where this answer comes from", self.describe(call));
            return self.note(Level::Trace, Occasion::Ignored, text);
        }
        let Some(plan) = self.call_plan(call) else {
            return self.effect(Effect::PollAgain { call, fence, at: self.now.monotonic.after(BLIND_POLL) });
        };
        match outcome::look(answer, render::rule(self.plan, self.stored(), plan, call, answer)) {
            Look::Over(reading) => self.heard(call, &reading, answer),
            Look::GoesOn { after } => {
                let at = self.now.monotonic.after(poll_wait(plan.poll_interval, after));
                self.effect(Effect::PollAgain { call, fence, at });
            }
        }
    }

    fn is_current(&self, call: CallId, fence: Fence) -> bool {
        self.state.local.own.contains_key(&call)
            && self.call(call).and_then(|record| record.open.as_ref()).is_some_and(|open| open.fence == fence)
    }

    /// The call is in progress: it is followed, not repeated.
    pub(super) fn is_located(&self, call: CallId) -> bool {
        self.call(call).and_then(|record| record.open.as_ref()).is_some_and(|open| open.location.is_some())
    }

    fn heard(&mut self, call: CallId, reading: &Reading, answer: &Answer) {
        let turned = self.mode() == Mode::Compensating && call.direction == Direction::Forward;
        if let Verdict::InProgress { location, after } = &reading.verdict
            && !turned
        {
            return self.progresses(call, reading, location, *after);
        }
        if reading.effect_possible && reading.verdict != Verdict::Succeeded {
            self.doubt(call);
        }
        if let Some(record) = self.call_mut(call) {
            record.open = None;
        }
        match call.direction {
            Direction::Forward => self.forward_read(call, reading, answer),
            Direction::Compensate => self.undo_read(call, reading),
            Direction::Confirm => self.confirm_read(call, reading),
        }
    }

    /// The participant works on it: from now on it is asked, not told again.
    fn progresses(&mut self, call: CallId, reading: &Reading, location: &str, after: Option<Duration>) {
        let Some(plan) = self.call_plan(call) else { return };
        let wait = poll_wait(plan.poll_interval, after);
        let deadline = self.now.wall_after(plan.poll_timeout);
        self.fail(call, reading.reason, &reading.message, reading.http_status);
        if let Some(record) = self.call_mut(call) {
            record.phase = Phase::Waiting;
            if let Some(open) = &mut record.open {
                open.location = Some(location.to_owned());
                open.deadline = deadline;
                open.not_before = None;
            }
        }
        let text = format!("{} is in progress; asked again in {}", self.describe(call), text::wait(wait));
        self.note(Level::Detail, Occasion::InProgress, text);
        if let Err(unrendered) = self.follow(call, self.now.monotonic.after(wait)) {
            self.unanswered(call, &unrendered.message);
        }
    }

    /// Ends the looks at calls that were in progress for too long.
    pub(super) fn end_polling(&mut self) {
        let polled: Vec<_> =
            self.state.local.own.iter().filter_map(|(call, own)| Some((*call, own.polled_until?))).collect();
        for (call, until) in polled {
            if until > self.now.monotonic {
                self.wake(until);
            } else if self.is_located(call) {
                self.effect(Effect::Cut(call));
                self.unanswered(call, "still in progress when `polling.timeoutSeconds` had passed");
            }
        }
    }

    /// Takes the open attempt as lost.
    pub(super) fn unanswered(&mut self, call: CallId, why: &str) {
        let answer = Answer::Lost { reason: Reason::Timeout, message: why.to_owned() };
        let doubted = self.call(call).is_some_and(|record| record.doubtful > 0);
        let reading = outcome::read(call.direction, &answer, doubted, outcome::Rule::None, "");
        self.heard(call, &reading, &answer);
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
}

/// The participant's wish counts up to ten times the interval.
fn poll_wait(interval: Duration, wish: Option<Duration>) -> Duration {
    wish.map_or(interval, |wish| wish.min(interval.saturating_mul(10)).max(SHORTEST_POLL))
}
