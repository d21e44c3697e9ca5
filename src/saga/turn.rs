//! One decision in the making: the state being changed, and what comes out beside it.

use std::time::Duration;

use super::definition::{CallPlan, Definition, StepPlan};
use super::effect::Effect;
use super::intent::{ForwardOutcome, Intent, Polling};
use super::key::{CallId, Fence, IdempotencyKey};
use super::location;
use super::machine::Transition;
use super::mode::Mode;
use super::note::{Level, Note, Occasion};
use super::plan::Plan;
use super::render::{self, Unrendered};
use super::state::{CallRecord, Failure, Open, OwnAttempt, Phase, State, StepRecord, Stored};
use super::time::{Monotonic, Now};
use super::wishes::Wishes;
use crate::api::Reason;
use crate::api::definition::Role;
use crate::api::run::Direction;

/// Calls of a run that may have a stored attempt at the same time.
pub const MAX_IN_FLIGHT: usize = 16;

/// One decision in the making.
pub(super) struct Turn<'a> {
    pub(super) plan: &'a Plan,
    pub(super) now: Now,
    pub(super) state: State,
    before: &'a State,
    /// Of the write that this decision will need, if it needs one.
    fence: Fence,
    effects: Vec<Effect>,
    pub(super) wake_at: Option<Monotonic>,
    notes: Vec<Note>,
    /// Attempts that answers of this decision made due.
    pub(super) retries: Vec<(CallId, Attempt)>,
    /// The store refused a larger status.
    pub(super) too_large: bool,
    /// A write is due although nothing is new: others must see that the owner is alive.
    pub(super) sign_of_life: bool,
}

/// How an attempt comes to be stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Attempt {
    /// The next number.
    Next {
        /// Wait before it is sent.
        wait: Duration,
    },
    /// The same number again: taken over, resumed, or told that it is still being worked on.
    Again {
        /// Wait before it is sent.
        wait: Duration,
    },
}

impl<'a> Turn<'a> {
    pub(super) fn new(plan: &'a Plan, before: &'a State, now: Now) -> Self {
        let fence = before.stored.fence.max(before.local.tried).next();
        Self {
            plan,
            now,
            state: before.clone(),
            before,
            fence,
            effects: Vec::new(),
            wake_at: None,
            notes: Vec::new(),
            retries: Vec::new(),
            too_large: false,
            sign_of_life: false,
        }
    }

    /// Of the write that this decision will need, if it needs one.
    pub(super) const fn fence(&self) -> Fence {
        self.fence
    }

    pub(super) fn mode(&self) -> Mode {
        self.state.stored.mode()
    }

    pub(super) fn mode_before(&self) -> Mode {
        self.before.stored.mode()
    }

    /// What this decision began with.
    pub(super) const fn before(&self) -> &'a State {
        self.before
    }

    pub(super) const fn stored(&self) -> &Stored {
        &self.state.stored
    }

    pub(super) const fn stored_before(&self) -> &Stored {
        &self.before.stored
    }

    pub(super) fn definition(&self) -> Option<&'a Definition> {
        self.plan.definition.as_deref().ok()
    }

    pub(super) fn step_plan(&self, step: usize) -> Option<&'a StepPlan> {
        self.definition()?.steps.get(step)
    }

    pub(super) fn call_plan(&self, call: CallId) -> Option<&'a CallPlan> {
        let step = self.step_plan(call.step)?;
        match call.direction {
            Direction::Forward => Some(&step.action),
            Direction::Compensate => step.compensation.as_ref(),
            Direction::Confirm => step.confirm.as_ref(),
        }
    }

    pub(super) fn record(&self, step: usize) -> Option<&StepRecord> {
        self.state.stored.steps.get(step)
    }

    pub(super) fn call(&self, call: CallId) -> Option<&CallRecord> {
        self.record(call.step)?.call(call.direction)
    }

    /// The record of a call, begun now if it was not. None only for a step that does not exist.
    pub(super) fn call_mut(&mut self, call: CallId) -> Option<&mut CallRecord> {
        Some(self.state.stored.steps.get_mut(call.step)?.call_mut(call.direction))
    }

    /// Takes in the spec, unless it is older than what was decided on already.
    pub(super) fn wished(&mut self, wishes: &Wishes) {
        let known = self.state.local.wishes.as_ref().map_or(0, |known| known.generation);
        if wishes.generation < known.max(self.stored().observed_generation) {
            let text = format!("generation {} of the spec is older than what was decided on", wishes.generation);
            return self.note(Level::Trace, Occasion::Ignored, text);
        }
        self.state.local.wishes = Some(wishes.clone());
    }

    pub(super) fn note(&mut self, level: Level, occasion: Occasion, text: String) {
        self.notes.push(Note { level, occasion, text });
    }

    /// Come back at `at`, or earlier.
    pub(super) fn wake(&mut self, at: Monotonic) {
        self.wake_at = Some(self.wake_at.map_or(at, |earlier| earlier.min(at)));
    }

    pub(super) fn effect(&mut self, effect: Effect) {
        self.effects.push(effect);
    }

    /// A call in words.
    pub(super) fn describe(&self, call: CallId) -> String {
        let name = self.record(call.step).map_or("?", |step| step.name.as_str());
        match call.direction {
            Direction::Forward => format!("step '{name}'"),
            Direction::Compensate => format!("the compensation of '{name}'"),
            Direction::Confirm => format!("the confirm of '{name}'"),
        }
    }

    /// Room for another stored attempt.
    pub(super) fn has_room(&self) -> bool {
        self.stored().open_calls().count() < MAX_IN_FLIGHT
    }

    /// Stores an attempt of a call and has it sent. The run's deadline cuts the time of actions.
    ///
    /// # Errors
    /// When the request cannot be rendered, or not as it was before. Nothing is changed then.
    pub(super) fn store_attempt(&mut self, call: CallId, attempt: Attempt) -> Result<(), Unrendered> {
        let Some(plan) = self.call_plan(call) else {
            return Err(Unrendered::new("the definition has no such call"));
        };
        let (wait, advance) = match attempt {
            Attempt::Next { wait } => (wait, 1),
            Attempt::Again { wait } => (wait, 0),
        };
        let record = self.call(call).cloned().unwrap_or_default();
        let number = record.attempts.saturating_add(advance).max(1);
        let key = self.key(call, record.key_suffix);
        let request = render::request(self.plan, self.stored(), plan, call, &key)?;
        let digest = request.digest();
        if record.digest.as_ref().is_some_and(|stored| *stored != digest) {
            return Err(Unrendered::new("the request would differ from the one sent before under the same key"));
        }
        let timeout = self.cut_to_deadline(call, plan.timeout, wait);
        let deadline = self.now.wall_after(wait.saturating_add(timeout));
        let not_before = (!wait.is_zero()).then(|| self.now.wall_after(wait));
        let (fence, started) = (self.fence, self.now.wall);
        if let Some(record) = self.call_mut(call) {
            record.attempts = number;
            record.takeovers = if advance == 1 { 0 } else { record.takeovers };
            record.digest = Some(digest);
            record.phase = if wait.is_zero() { Phase::Running } else { Phase::Waiting };
            record.open = Some(Open { fence, deadline, not_before, location: None });
            if call.direction == Direction::Forward {
                record.start_time.get_or_insert(started);
            }
        }
        self.own(call, advance == 1, self.now.monotonic.after(wait));
        let intent = Intent {
            run: self.plan.run.clone(),
            call,
            step: self.step_plan(call.step).map_or_else(|| "".into(), |step| step.name.clone()),
            attempt: number,
            fence,
            key,
            request: request.into(),
            timeout,
            not_before: (!wait.is_zero()).then(|| self.now.monotonic.after(wait)),
            deadline,
            expires: self.now.monotonic.after(wait.saturating_add(timeout)),
            forward_outcome: self.forward_outcome(call),
        };
        self.effect(Effect::Send(Box::new(intent)));
        Ok(())
    }

    /// Has a call in progress followed from the write of this decision on, first at `first`.
    ///
    /// # Errors
    /// When its request, which says whom to ask, cannot be rendered. Nothing is changed then.
    pub(super) fn follow(&mut self, call: CallId, first: Monotonic) -> Result<(), Unrendered> {
        let (Some(plan), Some(record)) = (self.call_plan(call), self.call(call).cloned()) else {
            return Err(Unrendered::new("the definition has no such call"));
        };
        let Some(open) = &record.open else { return Err(Unrendered::new("no attempt is open")) };
        let key = self.key(call, record.key_suffix);
        let request = render::request(self.plan, self.stored(), plan, call, &key)?;
        let url = open.location.as_ref().and_then(|path| location::url(&request.url, path));
        let url = url.ok_or_else(|| Unrendered::new("the location cannot be read"))?;
        // The clock that wrote the deadline may have been wrong by years.
        let until = self.now.monotonic_at(open.deadline).min(self.now.monotonic.after(plan.poll_timeout));
        let new = OwnAttempt {
            sent: true,
            counted: record.takeovers > 0,
            since: self.now.monotonic,
            polled_until: Some(until),
        };
        let own = self.state.local.own.entry(call).or_insert(new);
        (own.sent, own.polled_until) = (true, Some(until));
        let polling = Polling {
            run: self.plan.run.clone(),
            call,
            step: self.step_plan(call.step).map_or_else(|| "".into(), |step| step.name.clone()),
            attempt: record.attempts,
            fence: open.fence,
            url,
            headers: request.headers,
            timeout: plan.timeout,
            first,
            expires: until,
        };
        self.effect(Effect::Poll(Box::new(polling)));
        Ok(())
    }

    /// Remembers an attempt as this process's own, to be sent at `due`.
    fn own(&mut self, call: CallId, fresh: bool, due: Monotonic) {
        let new = OwnAttempt { sent: false, counted: false, since: due, polled_until: None };
        let own = self.state.local.own.entry(call).or_insert(new);
        if fresh {
            *own = new;
        }
        own.sent = false;
    }

    pub(super) fn key(&self, call: CallId, suffix: u32) -> IdempotencyKey {
        let name = self.record(call.step).map_or("", |step| step.name.as_str());
        IdempotencyKey::new(&self.plan.run.uid, name, call.direction, suffix)
    }

    /// Only what can still be undone is cut to the run's deadline.
    fn cut_to_deadline(&self, call: CallId, timeout: Duration, wait: Duration) -> Duration {
        let role = self.step_plan(call.step).map(|step| step.role);
        let cut = match (call.direction, role) {
            (Direction::Forward, Some(Role::Compensatable | Role::ReadOnly)) => !self.committed(),
            (Direction::Forward, Some(Role::Pivot | Role::Retriable) | None) => false,
            (Direction::Compensate | Direction::Confirm, _) => false,
        };
        match self.run_deadline() {
            Some(deadline) if cut => {
                let left = self.now.monotonic_at(deadline).since(self.now.monotonic);
                timeout.min(left.saturating_sub(wait))
            }
            Some(_) | None => timeout,
        }
    }

    fn forward_outcome(&self, call: CallId) -> Option<ForwardOutcome> {
        match call.direction {
            Direction::Forward | Direction::Confirm => None,
            Direction::Compensate => match self.record(call.step)?.forward.phase {
                Phase::Succeeded => Some(ForwardOutcome::Succeeded),
                Phase::Pending
                | Phase::Running
                | Phase::Waiting
                | Phase::Stalled
                | Phase::Failed
                | Phase::Unknown
                | Phase::Skipped
                | Phase::Resolved => Some(ForwardOutcome::Unknown),
            },
        }
    }

    /// Takes an attempt out of the journal without an outcome. If it was not handed to the sender yet, it never will be.
    pub(super) fn drop_attempt(&mut self, call: CallId) {
        self.take_back(call);
        self.state.local.own.remove(&call);
    }

    /// The same, of an attempt that is stored again under its number: what this process knows of it stays.
    pub(super) fn take_back(&mut self, call: CallId) {
        if let Some(own) = self.state.local.own.get(&call).copied() {
            self.effect(if own.sent { Effect::Cut(call) } else { Effect::Withdraw(call) });
            // An intent of this very decision is not worth withdrawing: it was never stored.
            self.effects.retain(|effect| match effect {
                Effect::Send(intent) => intent.call != call,
                Effect::Poll(polling) => polling.call != call,
                Effect::PollAgain { call: other, .. } => *other != call,
                Effect::Withdraw(_) | Effect::Cut(_) | Effect::Release => true,
            });
        }
        if let Some(record) = self.call_mut(call) {
            record.open = None;
        }
    }

    /// Closes a call with an outcome. An attempt that is still open is dropped.
    pub(super) fn close(&mut self, call: CallId, phase: Phase) {
        let now = self.now.wall;
        self.state.local.own.remove(&call);
        if let Some(record) = self.call_mut(call) {
            record.phase = phase;
            record.open = None;
            record.digest = None;
            record.takeovers = 0;
            record.completion_time = Some(now);
            if matches!(phase, Phase::Succeeded | Phase::Skipped | Phase::Resolved) {
                record.reason = None;
                record.message = None;
                record.http_status = None;
            }
        }
    }

    /// Counts the open attempt as doubtful, once.
    pub(super) fn doubt(&mut self, call: CallId) {
        let counted = self.state.local.own.get_mut(&call).is_some_and(|own| std::mem::replace(&mut own.counted, true));
        // A takeover counted it, too.
        if let Some(record) = self.call_mut(call)
            && !counted
            && record.takeovers == 0
        {
            record.doubtful = record.doubtful.saturating_add(1).min(record.attempts);
        }
    }

    /// Turns the run: from now on only compensations are begun. Whoever calls this has looked at the commit point.
    pub(super) fn turn(&mut self, failure: Failure) {
        match self.mode() {
            Mode::Forward | Mode::Confirming => {}
            Mode::Pending | Mode::Compensating | Mode::Ended => return,
        }
        let (reason, message) = (failure.reason, failure.message.clone());
        self.state.stored.failure = Some(failure);
        self.stop_forward();
        let text = format!("{reason}: {message}; {}", self.effects_to_undo());
        self.note(Level::Warning, Occasion::Compensating, text);
    }

    /// Performs nothing that this decision does not need, and says what changed.
    pub(super) fn finish(mut self) -> Transition {
        // A takeover is a write even when it says nothing else: what was sent before it must be waited for from a known time.
        let taken = self.state.local.taking_over && !self.before.local.taking_over;
        let changed = taken || self.sign_of_life || self.state.stored != self.before.stored;
        if changed {
            if self.before.stored.end.is_some() {
                // Holder and fence tell a write from every other, also where nobody owns the run any more.
                self.state.stored.holder = Some(self.plan.owner.id.clone());
            }
            self.state.stored.fence = self.fence;
            self.state.local.tried = self.fence;
        }
        debug_assert!(
            !changed || super::invariant::check(&self.before.stored, &self.state.stored).is_ok(),
            "{:?}",
            super::invariant::check(&self.before.stored, &self.state.stored)
        );
        Transition { state: self.state, changed, effects: self.effects, wake_at: self.wake_at, notes: self.notes }
    }

    /// A second look at the same state, to see what would be done if it were this process's own.
    pub(super) fn rehearsal(&self) -> Turn<'a> {
        Turn {
            plan: self.plan,
            now: self.now,
            state: self.state.clone(),
            before: self.before,
            fence: self.fence,
            effects: Vec::new(),
            wake_at: None,
            notes: Vec::new(),
            retries: self.retries.clone(),
            too_large: self.too_large,
            sign_of_life: false,
        }
    }

    pub(super) fn fail(&mut self, call: CallId, reason: Reason, message: &str, http_status: Option<u16>) {
        let message = super::text::step_message(message);
        if let Some(record) = self.call_mut(call) {
            record.reason = Some(reason);
            record.message = (!message.is_empty()).then_some(message);
            record.http_status = http_status;
        }
    }
}
