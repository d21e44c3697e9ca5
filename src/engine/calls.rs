//! The calls of one run: those on the wire, and those that wait for their time.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::task::{AbortHandle, JoinSet};

use crate::api::Reason;
use crate::clock::Clock;
use crate::journal::Persisted;
use crate::participant::Participant;
use crate::saga::{Answer, CallId, Event, Fence, Intent, MARGIN, Monotonic};

/// The calls of one run. Dropping it closes their connections.
#[derive(Default)]
pub(super) struct Calls {
    on_the_wire: JoinSet<(CallId, Fence, Answer)>,
    handles: BTreeMap<CallId, (Fence, AbortHandle)>,
    scheduled: BTreeMap<CallId, Persisted<Intent>>,
}

impl Calls {
    /// Keeps an intent until its time.
    pub(super) fn schedule(&mut self, intent: Persisted<Intent>) {
        self.scheduled.insert(intent.get().call, intent);
    }

    /// Takes an attempt back: it will not be sent.
    pub(super) fn withdraw(&mut self, call: CallId) {
        drop(self.scheduled.remove(&call));
    }

    /// Closes the connection of an attempt; its answer is lost.
    pub(super) fn cut(&mut self, call: CallId) {
        if let Some((_, handle)) = self.handles.remove(&call) {
            handle.abort();
        }
    }

    /// When the next attempt is due.
    pub(super) fn next_due(&self) -> Option<Monotonic> {
        self.scheduled.values().map(|intent| intent.get().not_before.unwrap_or_default()).min()
    }

    /// Takes out the attempts that are due.
    pub(super) fn take_due(&mut self, now: Monotonic) -> Vec<Persisted<Intent>> {
        let due = self.scheduled.extract_if(.., |_, intent| is_due(intent, now));
        due.map(|(_, intent)| intent).collect()
    }

    /// Forgets what is scheduled: another process owns the run.
    pub(super) fn drop_scheduled(&mut self) {
        self.scheduled.clear();
    }

    /// Sends an attempt. A sender that is still silent some seconds after the attempt expired is given up: it broke its
    /// word, and the run must not hang on it.
    pub(super) fn send<P: Participant>(&mut self, participant: &Arc<P>, clock: Clock, intent: Persisted<Intent>) {
        let (call, fence) = (intent.get().call, intent.get().fence);
        let given_up = clock.instant(intent.get().expires.after(MARGIN));
        let participant = participant.clone();
        let answer = async move {
            let answer = tokio::time::timeout_at(given_up, participant.call(intent)).await;
            (call, fence, answer.unwrap_or_else(|_| lost("the sender gave no answer in time")))
        };
        let handle = self.on_the_wire.spawn(answer);
        self.handles.insert(call, (fence, handle));
    }

    /// The next answer. Never, while nothing is on the wire.
    pub(super) async fn answer(&mut self) -> Event {
        loop {
            let Some(joined) = self.on_the_wire.join_next_with_id().await else { std::future::pending().await };
            if let Some(event) = self.answered(joined) {
                return event;
            }
        }
    }

    /// An answer that is already there.
    pub(super) fn answer_at_hand(&mut self) -> Option<Event> {
        loop {
            let joined = self.on_the_wire.try_join_next_with_id()?;
            if let Some(event) = self.answered(joined) {
                return Some(event);
            }
        }
    }

    fn answered(&mut self, joined: Joined) -> Option<Event> {
        match joined {
            Ok((_, (call, fence, answer))) => {
                if self.handles.get(&call).is_some_and(|(current, _)| *current == fence) {
                    self.handles.remove(&call);
                }
                Some(Event::Answered { call, fence, answer })
            }
            Err(error) if error.is_cancelled() => None,
            Err(error) => {
                // A panic in the sender: what it did is unknown, as with a lost connection.
                let failed = self.handles.iter().find(|(_, (_, handle))| handle.id() == error.id());
                let (call, fence) = failed.map(|(call, (fence, _))| (*call, *fence))?;
                self.handles.remove(&call);
                tracing::error!(%error, "failed to send a call: the sender panicked");
                let answer = lost("the sender failed; see the log of the operator");
                Some(Event::Answered { call, fence, answer })
            }
        }
    }
}

type Joined = Result<(tokio::task::Id, (CallId, Fence, Answer)), tokio::task::JoinError>;

fn lost(message: &str) -> Answer {
    Answer::Lost { reason: Reason::Timeout, message: message.to_owned() }
}

fn is_due(intent: &Persisted<Intent>, now: Monotonic) -> bool {
    intent.get().not_before.is_none_or(|at| at <= now)
}
