//! Everything a run remembers.
//!
//! # Guarantees
//! [`Stored`] is what the journal holds; [`Local`] is lost when the process ends and is never written. An empty `Local` is
//! always safe: what it does not know is taken to be in doubt.

use std::collections::BTreeMap;
use std::time::Duration;

use super::effect::Effect;
use super::key::{CallId, Fence};
use super::machine::Transition;
pub use super::stored::*;
use super::time::{Monotonic, Now};
use super::wishes::Wishes;

/// A run, as one process knows it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct State {
    /// What the journal holds.
    pub stored: Stored,
    /// What this process knows beyond it.
    pub local: Local,
}

/// What this process knows of a run beyond what is stored.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Local {
    /// The highest fence that this process tried, landed or not.
    pub tried: Fence,
    /// This process's own write made it the owner, and no other owner was seen since.
    pub owned: bool,
    /// This process owned the run before, whoever owns it now.
    pub owned_once: bool,
    /// The write under way makes this process the owner.
    pub taking_over: bool,
    /// When the write landed by which this process took the run from another owner.
    pub took_over: Option<Monotonic>,
    /// Since when the journal is unchanged, as far as this process saw.
    pub unchanged_since: Option<Now>,
    /// This process is about to end: it sends nothing new, and gives up what has no call on the wire.
    pub draining: bool,
    /// Since when this process sees that another owner should have written.
    pub due_since: Option<Monotonic>,
    /// Since when this process waits for the definition.
    pub waiting_since: Option<Monotonic>,
    /// The spec as last read. Without it nothing new begins.
    pub wishes: Option<Wishes>,
    /// Attempts that this process stored.
    pub own: BTreeMap<CallId, OwnAttempt>,
}

/// An attempt that this process stored, and so knows about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OwnAttempt {
    /// It was handed to the sender.
    pub sent: bool,
    /// It is already counted as doubtful.
    pub counted: bool,
    /// When this process first sent this attempt number, or took it over; ahead while it waits.
    pub since: Monotonic,
    /// Of a located call: when polling ends.
    pub polled_until: Option<Monotonic>,
}

/// Added to a timeout wherever safety waits for somebody else's call to be over.
pub const MARGIN: Duration = Duration::from_secs(5);

impl State {
    /// Takes in what was read from the journal. What this process knows of its own attempts stays only if the journal
    /// still holds this process's own last landed write.
    pub fn observe(&mut self, stored: Stored, now: Now) {
        let same_write = self.stored.fence == stored.fence && self.stored.holder == stored.holder;
        if !same_write || self.local.unchanged_since.is_none() {
            self.local.unchanged_since = Some(now);
        }
        if !same_write {
            self.local.owned = false;
            self.local.due_since = None;
            self.local.own.clear();
        }
        self.stored = stored;
    }

    /// Notes that the write of this very state has landed.
    pub fn landed(&mut self, now: Now) {
        self.local.unchanged_since = Some(now);
        self.local.owned_once |= self.local.owned;
        if self.local.taking_over {
            self.local.taking_over = false;
            self.local.took_over = Some(now.monotonic);
        }
    }

    /// Notes that the write of `decided` did not land, as far as is known: its fence counts as tried all the same, and
    /// what was withdrawn or cut before the write is no longer with the sender.
    pub fn not_landed(&mut self, decided: &Transition) {
        self.local.tried = self.local.tried.max(decided.state.local.tried);
        for effect in &decided.effects {
            match effect {
                Effect::Withdraw(call) | Effect::Cut(call) => {
                    self.local.own.remove(call);
                }
                Effect::Send(_) | Effect::Poll(_) | Effect::PollAgain { .. } | Effect::Release => {}
            }
        }
    }

    /// Whether the run may begin again with another revision: this process stored its first intents and sent none of them.
    /// Who asks for that with another definition at hand must look here first: the run keeps the one that it pinned else.
    pub fn may_pin_afresh(&self) -> bool {
        let unsent = |(step, record): (usize, &StepRecord)| match record.forward.phase {
            Phase::Pending | Phase::Skipped => true,
            Phase::Running | Phase::Waiting => {
                // In doubt: sent before, or stored by another owner.
                let first = record.forward.attempts == 1 && record.forward.doubtful == 0;
                first && self.local.own.get(&CallId::forward(step)).is_some_and(|own| !own.sent)
            }
            Phase::Stalled | Phase::Succeeded | Phase::Failed | Phase::Unknown | Phase::Resolved => false,
        };
        self.local.owned && self.stored.steps.iter().enumerate().all(unsent)
    }

    /// Notes that an attempt was handed to the sender.
    pub fn sent(&mut self, call: CallId) {
        if let Some(own) = self.local.own.get_mut(&call) {
            own.sent = true;
        }
    }
}
