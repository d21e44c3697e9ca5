//! The calls of one run: those on the wire, those that wait for their time, and those in progress at their participants.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::task::{AbortHandle, JoinSet};

use crate::api::Reason;
use crate::clock::Clock;
use crate::election::Claim;
use crate::journal::Persisted;
use crate::participant::Participant;
use crate::saga::{Answer, CallId, Event, Fence, Intent, MARGIN, Monotonic, Polling, Stored};

/// The calls of one run. Dropping it closes their connections.
#[derive(Default)]
pub(super) struct Calls {
    on_the_wire: JoinSet<Event>,
    handles: BTreeMap<CallId, (Fence, AbortHandle)>,
    scheduled: BTreeMap<CallId, Persisted<Intent>>,
    followed: BTreeMap<CallId, Followed>,
}

/// A call in progress.
struct Followed {
    polling: Arc<Persisted<Polling>>,
    /// When to look next; none while a look is on the wire, or nobody decided yet on what the last one brought.
    due: Option<Monotonic>,
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

    /// Follows a call in progress.
    pub(super) fn follow(&mut self, polling: Persisted<Polling>) {
        let (call, due) = (polling.get().call, Some(polling.get().first));
        self.followed.insert(call, Followed { polling: Arc::new(polling), due });
    }

    /// Looks at a followed call again.
    pub(super) fn look_again(&mut self, call: CallId, fence: Fence, at: Monotonic) {
        let followed = self.followed.get_mut(&call).filter(|followed| followed.polling.get().fence == fence);
        if let Some(followed) = followed {
            followed.due = Some(at);
        }
    }

    /// Follows only what the journal calls in progress.
    pub(super) fn follow_only(&mut self, stored: &Stored) {
        self.followed.retain(|call, followed| {
            stored.open_calls().any(|(id, _, open)| {
                id == *call && open.location.is_some() && open.fence == followed.polling.get().fence
            })
        });
    }

    /// When the next look is due.
    pub(super) fn next_look(&self) -> Option<Monotonic> {
        self.followed.values().filter_map(|followed| followed.due).min()
    }

    /// Takes the looks that are due.
    pub(super) fn look<P: Participant>(&mut self, participant: &Arc<P>, clock: Clock, now: Monotonic) {
        let due = self.followed.iter_mut().filter(|(_, followed)| followed.due.is_some_and(|due| due <= now));
        for (call, followed) in due {
            followed.due = None;
            let (call, polling, participant) = (*call, followed.polling.clone(), participant.clone());
            let fence = polling.get().fence;
            let given_up = clock.instant(now.after(polling.get().timeout).after(MARGIN));
            let handle = self.on_the_wire.spawn(async move {
                let answer = tokio::time::timeout_at(given_up, participant.poll(polling)).await;
                let answer = answer.unwrap_or_else(|_| lost("the sender gave no answer in time"));
                Event::Polled { call, fence, answer }
            });
            self.handles.insert(call, (fence, handle));
        }
    }

    /// Closes the connection of an attempt, and follows it no more; its answer is lost.
    pub(super) fn cut(&mut self, call: CallId) {
        self.followed.remove(&call);
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

    /// Forgets what is scheduled or followed: another process owns the run.
    pub(super) fn drop_scheduled(&mut self) {
        self.scheduled.clear();
        self.followed.clear();
    }

    /// Sends an attempt. A sender that is still silent some seconds after the attempt expired is given up: it broke its
    /// word, and the run must not hang on it.
    pub(super) fn send<P: Participant>(
        &mut self,
        participant: &Arc<P>,
        clock: Clock,
        claim: &Claim,
        intent: Persisted<Intent>,
    ) {
        let (call, fence) = (intent.get().call, intent.get().fence);
        let given_up = clock.instant(intent.get().expires.after(MARGIN));
        let (participant, claim) = (participant.clone(), claim.clone());
        let answer = async move {
            let answer = tokio::time::timeout_at(given_up, participant.call(intent, &claim)).await;
            let answer = answer.unwrap_or_else(|_| lost("the sender gave no answer in time"));
            Event::Answered { call, fence, answer }
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
            Ok((id, event)) => {
                self.handles.retain(|_, (_, handle)| handle.id() != id);
                Some(event)
            }
            Err(error) if error.is_cancelled() => None,
            Err(error) => {
                // A panic in the sender: what it did is unknown, as with a lost connection.
                let failed = self.handles.iter().find(|(_, (_, handle))| handle.id() == error.id());
                let (call, fence) = failed.map(|(call, (fence, _))| (*call, *fence))?;
                self.handles.remove(&call);
                tracing::error!(%error, "failed to send a call: the sender panicked");
                let answer = lost("the sender failed; see the log of the operator");
                Some(if self.followed.contains_key(&call) {
                    Event::Polled { call, fence, answer }
                } else {
                    Event::Answered { call, fence, answer }
                })
            }
        }
    }
}

type Joined = Result<(tokio::task::Id, Event), tokio::task::JoinError>;

fn lost(message: &str) -> Answer {
    Answer::Lost { reason: Reason::Timeout, message: message.to_owned() }
}

fn is_due(intent: &Persisted<Intent>, now: Monotonic) -> bool {
    intent.get().not_before.is_none_or(|at| at <= now)
}
