//! What is due now: one pass over the run after its events were taken in.

use super::effect::Effect;
use super::key::CallId;
use super::mode::Mode;
use super::note::{Level, Occasion};
use super::plan::Unready;
use super::render;
use super::state::{End, Failure, Phase};
use super::text;
use super::turn::{Attempt, Turn};
use super::wishes::Wishes;
use crate::api::Reason;
use crate::api::run::Direction;

impl Turn<'_> {
    /// Begins whatever is due.
    pub(super) fn advance(&mut self) {
        let Some(wishes) = self.state.local.wishes.clone() else { return };
        if self.mode() == Mode::Ended {
            // Follows every change of the spec also after the end, or `kubectl wait` would wait for it.
            self.state.stored.observed_generation = wishes.generation;
            self.judge(&wishes);
        } else if self.claim(&wishes) {
            self.proceed(&wishes);
            self.hand_over();
        } else {
            return;
        }
        self.say();
        if self.too_large && self.mode_before() != Mode::Ended {
            self.strip();
        }
    }

    /// As `advance`, for a run that is this process's own.
    pub(super) fn proceed(&mut self, wishes: &Wishes) {
        if self.waits_silently(wishes) {
            return;
        }
        let news = self.asks_otherwise(wishes) || !self.was_committed();
        self.state.stored.observed_generation = wishes.generation;
        if wishes.abandon() {
            return self.abandon(wishes);
        }
        if self.mode() == Mode::Pending {
            self.start(wishes);
        }
        if !matches!(self.mode(), Mode::Forward | Mode::Confirming | Mode::Compensating) {
            return;
        }
        if let Err(unready) = &self.plan.definition {
            if !matches!(unready, Unready::RevisionNotFound(_)) {
                // It could not be read this time: nobody said that it is gone. Looked for again.
                return;
            }
            if !self.state.stored.revision_lost {
                let text = text::sentence(unready);
                self.note(Level::Warning, Occasion::RevisionGone, text);
            }
            self.state.stored.revision_lost = true;
            return;
        }
        self.state.stored.revision_lost = false;
        self.end_polling();
        self.judge(wishes);
        self.end_early(wishes);
        self.adopt(wishes);
        self.retry(wishes);
        if self.holds(wishes) {
            self.hold();
        } else {
            self.resume();
            self.begin();
        }
        self.conclude();
        if news {
            self.refuse_to_turn(wishes);
        }
        self.keep_alive();
    }

    /// Begins what is ready. A step that cannot even be begun turns the run, and then there is something to undo.
    fn begin(&mut self) {
        if self.mode() == Mode::Forward {
            self.begin_ready();
        }
        if self.mode() == Mode::Confirming {
            self.announce_confirming();
            self.confirm_ready();
        }
        if self.mode() == Mode::Compensating {
            self.undo_ready();
        }
    }

    /// Whether nothing new is to be sent: users wish it, or this process is about to end.
    pub(super) const fn holds(&self, wishes: &Wishes) -> bool {
        wishes.holds() || self.state.local.draining
    }

    /// A process that is about to end gives up what has no call on the wire, so that the next one need not wait for it.
    fn hand_over(&mut self) {
        let quiet = self.stored().open_calls().all(|(_, _, open)| open.location.is_some());
        if self.state.local.draining && self.mode() != Mode::Ended && quiet {
            let followed: Vec<CallId> = self.stored().open_calls().map(|(call, ..)| call).collect();
            for call in followed {
                self.state.local.own.remove(&call);
                self.effect(Effect::Cut(call));
            }
            self.state.stored.holder = None;
            self.state.local.owned = false;
        }
    }

    /// Cancellation, deletion and deadline turn the run, unless it is past its commit point, or nobody knows whether it is:
    /// then they are judged again when the outcome of the Pivot is known.
    fn end_early(&mut self, wishes: &Wishes) {
        if self.mode() != Mode::Forward || self.committed() {
            return;
        }
        let failure = asked_to_end(wishes).or_else(|| self.overdue()).or_else(|| self.outgrown());
        match failure {
            Some(failure) if self.may_turn() => self.turn(failure),
            Some(_) => {}
            None => {
                if let Some(deadline) = self.run_deadline() {
                    self.wake(self.now.monotonic_at(deadline));
                }
            }
        }
    }

    /// Whether the wish to end the run early is another than the one known so far.
    fn asks_otherwise(&self, wishes: &Wishes) -> bool {
        let known = self.before().local.wishes.as_ref();
        wishes.generation > self.stored().observed_generation
            && known.is_none_or(|known| known.cancellation != wishes.cancellation || known.deletion != wishes.deletion)
    }

    /// Says once that a run past its commit point is not undone.
    fn refuse_to_turn(&mut self, wishes: &Wishes) {
        if wishes.ask_for_the_end() && self.mode() != Mode::Ended && self.goes_forward_for_good() {
            let text = "past its commit point a run is not undone: it goes on to its end".to_owned();
            self.note(Level::Warning, Occasion::TooLate, text);
        }
    }

    /// The failure of a run whose deadline has passed.
    pub(super) fn overdue(&self) -> Option<Failure> {
        (self.run_deadline()? <= self.now.wall).then(|| Failure {
            step: None,
            reason: Reason::DeadlineExceeded,
            message: "the run's activeDeadlineSeconds passed".to_owned(),
            http_status: None,
        })
    }

    /// When the run must be done: the smaller of its own and the definition's deadline, from its start.
    pub(super) fn run_deadline(&self) -> Option<jiff::Timestamp> {
        let own = self.state.local.wishes.as_ref().and_then(|wishes| wishes.active_deadline);
        let defined = self.definition().and_then(|definition| definition.active_deadline);
        let limit = own.into_iter().chain(defined).min()?;
        let limit = jiff::SignedDuration::try_from(limit).ok()?;
        self.stored().start_time?.checked_add(limit).ok()
    }

    /// Stores the attempts that answers of this decision made due.
    fn retry(&mut self, wishes: &Wishes) {
        for (call, attempt) in std::mem::take(&mut self.retries) {
            if self.call(call).is_none_or(|record| record.phase.is_outcome() || record.open.is_some()) {
                continue;
            }
            if self.holds(wishes) {
                // The number is taken now; it is stored as an intent when the run is resumed.
                if let (Attempt::Next { .. }, Some(record)) = (attempt, self.call_mut(call)) {
                    record.attempts += 1;
                    record.takeovers = 0;
                    self.state.local.own.remove(&call);
                }
                self.wait_without_intent(call);
            } else {
                self.attempt(call, attempt);
            }
        }
    }

    /// Stores an attempt, or says that it cannot be made.
    pub(super) fn attempt(&mut self, call: CallId, attempt: Attempt) {
        if let Err(unrendered) = self.store_attempt(call, attempt) {
            match call.direction {
                Direction::Forward => self.forward_unrendered(call, &unrendered),
                Direction::Compensate | Direction::Confirm => self.stall_unrendered(call, &unrendered),
            }
        }
    }

    /// Takes back what was not sent; what is on the wire goes on and is recorded.
    fn hold(&mut self) {
        let unsent: Vec<CallId> = self
            .stored()
            .open_calls()
            .map(|(call, ..)| call)
            .filter(|call| self.state.local.own.get(call).is_some_and(|own| !own.sent))
            .collect();
        for call in unsent {
            self.take_back(call);
            self.wait_without_intent(call);
        }
    }

    pub(super) fn wait_without_intent(&mut self, call: CallId) {
        if let Some(record) = self.call_mut(call) {
            record.open = None;
            record.phase = Phase::Waiting;
        }
    }

    /// Stores again what a suspension took back: same number, new deadline.
    fn resume(&mut self) {
        let held = self.stored().calls().filter(|(_, record)| record.phase == Phase::Waiting && record.open.is_none());
        let held: Vec<CallId> = held.map(|(call, _)| call).collect();
        for call in held {
            self.attempt(call, Attempt::Again { wait: std::time::Duration::ZERO });
        }
    }

    /// Ends the run as it stands.
    fn abandon(&mut self, wishes: &Wishes) {
        let open: Vec<CallId> = self.stored().open_calls().map(|(call, ..)| call).collect();
        for call in open {
            if self.state.local.own.get(&call).is_none_or(|own| own.sent) {
                self.doubt(call);
            }
            self.drop_attempt(call);
        }
        self.close_begun();
        if self.state.stored.failure.is_none() {
            self.state.stored.failure = asked_to_end(wishes);
        }
        let text = "ended as it stands; effects of finished steps remain".to_owned();
        self.note(Level::Warning, Occasion::Abandoned, text);
        self.end(End::Abandoned);
    }

    /// Ends the run when nothing is left to do.
    fn conclude(&mut self) {
        match self.mode() {
            Mode::Confirming if self.confirm_done() => {
                let text = match self.stored().steps.len() {
                    1 => "the one step is done".to_owned(),
                    count => format!("all {count} steps are done"),
                };
                self.note(Level::Story, Occasion::Succeeded, text);
                self.pick_outputs();
                self.end(End::Succeeded);
            }
            Mode::Compensating if self.undo_done() => {
                let undone = self.stored().steps.iter().filter_map(|step| step.compensation.as_ref());
                let by_hand = undone.clone().filter(|call| call.phase == Phase::Resolved).count();
                let text = match undone.count() {
                    0 => "nothing had to be undone".to_owned(),
                    1 => "the effect of 1 step is undone".to_owned(),
                    n => format!("the effects of {n} steps are undone"),
                };
                if by_hand == 0 {
                    self.note(Level::Warning, Occasion::Compensated, text);
                    self.end(End::Compensated);
                } else {
                    let text = format!("{text}, {by_hand} of them by hand");
                    self.note(Level::Warning, Occasion::CompensatedByHand, text);
                    self.end(End::CompensatedByHand);
                }
            }
            Mode::Pending | Mode::Forward | Mode::Confirming | Mode::Compensating | Mode::Ended => {}
        }
    }

    /// The outputs of the run. One that fails is left out: the run succeeded all the same.
    fn pick_outputs(&mut self) {
        let Some(definition) = self.definition() else { return };
        let (outputs, failed) = render::run_outputs(self.plan, self.stored(), definition);
        self.state.stored.outputs = outputs;
        for unrendered in failed {
            let text = format!("{}: {} is left out", unrendered.reason, unrendered.message);
            self.note(Level::Warning, Occasion::OutputLeftOut, text);
        }
    }

    /// Ends the run.
    pub(super) fn end(&mut self, end: End) {
        self.state.stored.end = Some(end);
        self.state.stored.completion_time = Some(self.now.wall);
        self.state.stored.revision_lost = false;
        self.state.stored.start_time.get_or_insert(self.now.wall);
        self.effect(Effect::Release);
    }
}

/// The failure of a run that users asked to end.
pub(super) fn asked_to_end(wishes: &Wishes) -> Option<Failure> {
    let (reason, message) = match (&wishes.cancellation, wishes.deletion) {
        (Some(wish), _) if wish.reason.is_empty() => (Reason::Cancelled, "the run was cancelled".to_owned()),
        (Some(wish), _) => (Reason::Cancelled, format!("the run was cancelled: {}", wish.reason)),
        (None, Some(_)) => (Reason::Deleted, "the run was deleted".to_owned()),
        (None, None) => return None,
    };
    Some(Failure { step: None, reason, message: text::message(&message), http_status: None })
}
