//! Who may act for a run.
//!
//! # Guarantees
//! Two owners never both believe that an intent is theirs to send: each intent belongs to the write, and so to the fence,
//! that stored it, and the store refuses the write of the one who came second. What is decided here is only *when* a
//! process tries to become the owner, so that owners do not take runs from each other for nothing.
//!
//! # Assumptions
//! Monotonic clocks of two processes run at about the same rate. Stored times may be wrong: they are used for the length of
//! a backoff, never for safety.

use std::time::Duration;

use super::key::CallId;
use super::note::{Level, Occasion};
use super::plan::Tenure;
use super::state::{MARGIN, OwnAttempt, Phase};
use super::time::Monotonic;
use super::turn::{Attempt, Turn};
use super::wishes::Wishes;
use crate::api::run::Direction;

/// So many takeovers of one attempt count it as used: an attempt that kills its owners must not go on for ever.
const MAX_TAKEOVERS: u32 = 10;
/// An owner may have nothing to write for days while a participant works on a call: it writes all the same, so often,
const SIGN_OF_LIFE: Duration = Duration::from_secs(20);
/// and is given this long.
const LOCATED_SILENCE: Duration = Duration::from_secs(60);

impl Turn<'_> {
    /// Whether this process may decide: the run is its own, or nobody's, or becomes its own with the write of this
    /// decision.
    pub(super) fn claim(&mut self, wishes: &Wishes) -> bool {
        let me = &self.plan.owner.id;
        let holder = self.stored().holder.clone();
        if holder.is_none() && self.stored().revision.is_none() {
            // Nothing is sent before a revision is pinned, and a process that is about to end pins none.
            return !self.state.local.draining;
        }
        if self.state.local.owned && holder.as_ref() == Some(me) {
            return true;
        }
        if self.state.local.draining {
            return false;
        }
        if !self.something_to_decide(wishes) {
            self.state.local.due_since = None;
            return false;
        }
        self.state.local.due_since.get_or_insert(self.now.monotonic);
        if let Some(at) = self.free_at()
            && at > self.now.monotonic
        {
            self.wake(at);
            return false;
        }
        let from = holder.map_or_else(|| "nobody".to_owned(), |holder| format!("'{}'", holder.as_str()));
        self.note(Level::Detail, Occasion::TakenOver, format!("taken over from {from}"));
        self.own_run();
        self.state.local.taking_over = true;
        self.state.local.took_over = None;
        // Compensations that must wait for the takeover to land are looked at right after it.
        self.wake(self.now.monotonic);
        true
    }

    /// Makes this process the holder.
    pub(super) fn own_run(&mut self) {
        self.state.stored.holder = Some(self.plan.owner.id.clone());
        self.state.local.owned = true;
    }

    /// Whether anything but the holder would change if the run were this process's own. If not yet, comes back when it
    /// may: the owner may be gone by then.
    fn something_to_decide(&mut self, wishes: &Wishes) -> bool {
        let mut rehearsal = self.rehearsal();
        rehearsal.proceed(wishes);
        rehearsal.say();
        let differs = rehearsal.state.stored != self.state.stored;
        if !differs && let Some(at) = rehearsal.wake_at {
            self.wake(at);
        }
        differs
    }

    /// When the run may be taken from its holder; None: at once.
    fn free_at(&self) -> Option<Monotonic> {
        match self.plan.owner.tenure {
            Tenure::Exclusive => None,
            Tenure::Elected if !self.state.local.owned_once => None,
            Tenure::Elected | Tenure::Contended if self.stored().holder.is_none() => None,
            Tenure::Elected | Tenure::Contended => {
                let since = self.state.local.unchanged_since.unwrap_or(self.now);
                let due = self.state.local.due_since.unwrap_or(self.now.monotonic);
                // An owner that had nothing to do for long is not silent: it gets its time from when it has.
                let quiet = since.monotonic.after(self.longest_silence(since.wall)).max(due);
                Some(quiet.after(MARGIN))
            }
        }
    }

    /// How long a healthy owner may have no reason to write.
    fn longest_silence(&self, since: jiff::Timestamp) -> Duration {
        let open = self.stored().open_calls().filter_map(|(call, _, open)| {
            let plan = self.call_plan(call)?;
            if open.location.is_some() {
                return Some(LOCATED_SILENCE);
            }
            let wait = open.not_before.map(|at| at.duration_since(since));
            let wait = wait.and_then(|wait| Duration::try_from(wait).ok()).unwrap_or_default();
            // The clock that wrote it may have been wrong by years.
            Some(plan.timeout + plan.retry.capped(wait))
        });
        let undo = (0..self.stored().steps.len())
            .filter(|step| self.needs_undo(*step) && self.stored().failure.is_some())
            .filter_map(|step| Some(self.step_plan(step)?.action.timeout + MARGIN));
        open.chain(undo).max().unwrap_or_default()
    }

    /// Shows others that the owner of a call in progress is alive, where no lock or election does.
    pub(super) fn keep_alive(&mut self) {
        let followed = self.state.local.own.keys().any(|call| self.is_located(*call));
        let contended = match self.plan.owner.tenure {
            Tenure::Exclusive | Tenure::Elected => false,
            Tenure::Contended => self.state.local.owned && !self.state.local.draining,
        };
        if !followed || !contended {
            return;
        }
        let last = self.state.local.unchanged_since.map_or(self.now.monotonic, |since| since.monotonic);
        let next = last.after(SIGN_OF_LIFE);
        if next > self.now.monotonic {
            self.wake(next);
        } else {
            self.sign_of_life = true;
            self.wake(self.now.monotonic.after(SIGN_OF_LIFE));
        }
    }

    /// Stores again what another owner stored and may have sent, or closes it where it must not be sent again.
    pub(super) fn adopt(&mut self, wishes: &Wishes) {
        let orphans: Vec<CallId> = self
            .stored()
            .open_calls()
            .map(|(call, ..)| call)
            .filter(|call| !self.state.local.own.contains_key(call))
            .collect();
        for call in orphans {
            self.adopt_call(call, wishes);
        }
    }

    fn adopt_call(&mut self, call: CallId, wishes: &Wishes) {
        let now = self.now;
        let longest = self.call_plan(call).map_or(Duration::ZERO, |plan| plan.retry.capped(Duration::MAX));
        let turned = self.stored().failure.is_some() && call.direction == Direction::Forward;
        if self.is_located(call) && !turned {
            return self.adopt_located(call);
        }
        let Some(record) = self.call_mut(call) else { return };
        let not_before = record.open.as_ref().and_then(|open| open.not_before);
        let wait = not_before.map_or(Duration::ZERO, |at| {
            Duration::try_from(at.duration_since(now.wall)).unwrap_or_default().min(longest)
        });
        if record.takeovers == 0 {
            record.doubtful = record.doubtful.saturating_add(1).min(record.attempts);
        }
        record.takeovers = record.takeovers.saturating_add(1);
        let worn_out = record.takeovers >= MAX_TAKEOVERS;
        let doubted = OwnAttempt { sent: false, counted: true, since: now.monotonic.after(wait), polled_until: None };
        if turned {
            self.close(call, Phase::Unknown);
        } else if worn_out {
            self.state.local.own.insert(call, doubted);
            self.unanswered(call, "taken over ten times without an answer");
        } else if self.holds(wishes) {
            self.wait_without_intent(call);
        } else {
            self.state.local.own.insert(call, doubted);
            self.attempt(call, Attempt::Again { wait });
        }
    }

    /// A call in progress is followed on, not sent again: nothing about it is in doubt.
    fn adopt_located(&mut self, call: CallId) {
        let fence = self.fence();
        if let Some(open) = self.call_mut(call).and_then(|record| record.open.as_mut()) {
            open.fence = fence;
        }
        if let Err(unrendered) = self.follow(call, self.now.monotonic) {
            self.unanswered(call, &unrendered.message);
        }
    }

    /// Whether a compensation must wait because the previous owner's last action may still be on its way.
    pub(super) fn predecessor_may_act(&mut self, step: usize) -> bool {
        let doubted = self.record(step).is_some_and(|record| record.forward.doubtful > 0);
        if !doubted {
            return false;
        }
        if self.state.local.taking_over {
            return true;
        }
        let timeout = self.step_plan(step).map_or(Duration::ZERO, |plan| plan.action.timeout);
        let Some(until) = self.state.local.took_over.map(|at| at.after(timeout + MARGIN)) else { return false };
        if until > self.now.monotonic {
            self.wake(until);
            return true;
        }
        false
    }
}
