//! What happened to runs, as Kubernetes Events.
//!
//! # Flow
//! [`EventQueue`] is a [`Witness`]: notes for readers of Events go into a bounded queue, and a background task publishes
//! them one by one.
//!
//! # Guarantees
//! A note never waits and never fails anything: what does not fit is counted and dropped. Warnings still fit when the queue
//! is too full for the rest. At most [`MAX_PER_SECOND`] Events are published a second.
//!
//! # Caveats
//! Best effort: a run's status is the record. The same sentence about the same run within six minutes is one Event that
//! counts.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use k8s_openapi::api::core::v1::ObjectReference;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use kube::{Client, Resource};
use tokio::sync::mpsc;
use tokio::time::MissedTickBehavior;

use super::call::{CallError, call};
use crate::api::SagaRun;
use crate::api::names::CONTROLLER;
use crate::engine::Witness;
use crate::saga::{Identity, Level, Note, Stored};

/// Notes that wait to be published.
pub const QUEUE_LENGTH: usize = 1024;
/// From so many waiting notes on, only warnings are taken.
const STORIES: usize = QUEUE_LENGTH / 2;
/// Events are writes like any other: more would cost the API server as much as the runs themselves.
pub const MAX_PER_SECOND: u64 = 50;
/// The API server's bounds, in bytes.
const MAX_NOTE: usize = 1024;
const MAX_ACTION: usize = 128;

/// Takes notes for publishing.
#[derive(Clone, Debug)]
pub struct EventQueue {
    sender: mpsc::Sender<(Identity, Note)>,
    dropped: Arc<AtomicU64>,
}

/// The other end of an [`EventQueue`].
#[derive(Debug)]
pub struct EventPublisher {
    receiver: mpsc::Receiver<(Identity, Note)>,
}

/// A queue and its publisher, which does nothing until it is run.
pub fn queue() -> (EventQueue, EventPublisher) {
    let (sender, receiver) = mpsc::channel(QUEUE_LENGTH);
    (EventQueue { sender, dropped: Arc::default() }, EventPublisher { receiver })
}

impl EventQueue {
    /// Notes that did not fit.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }
}

impl Witness for EventQueue {
    fn noted(&self, run: &Identity, note: &Note) {
        let fits = match note.level {
            Level::Trace | Level::Detail => return,
            Level::Story => self.sender.capacity() > QUEUE_LENGTH - STORIES,
            Level::Warning => true,
        };
        if !fits || self.sender.try_send((run.clone(), note.clone())).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn stored(&self, _run: &Identity, _stored: &Stored) {}
}

impl EventPublisher {
    /// Publishes until every [`EventQueue`] is dropped.
    pub async fn run(mut self, client: Client) {
        let recorder = Recorder::new(client, Reporter::from(CONTROLLER));
        let mut pace = tokio::time::interval(Duration::from_millis(1000 / MAX_PER_SECOND));
        pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut complained = false;
        while let Some((run, note)) = self.receiver.recv().await {
            pace.tick().await;
            let (event, regarding) = (event(&note), reference(&run));
            if let Err(error) = call("publish an Event", recorder.publish(&event, &regarding)).await {
                complain(&run, &error, &mut complained);
            }
        }
    }
}

/// A namespace that is being deleted takes no Events; that is no news. A missing right is, once.
fn complain(run: &Identity, error: &CallError, complained: &mut bool) {
    let (namespace, name) = (run.namespace.as_str(), run.name.as_str());
    let refused = error.code() == Some(403) && !error.to_string().contains("being terminated");
    if refused && !std::mem::replace(complained, true) {
        tracing::warn!(namespace, run = name, %error, "Events cannot be published; further failures are logged as debug");
    } else {
        tracing::debug!(namespace, run = name, %error, "failed to publish an Event");
    }
}

fn event(note: &Note) -> Event {
    Event {
        type_: match note.level {
            Level::Warning => EventType::Warning,
            Level::Trace | Level::Detail | Level::Story => EventType::Normal,
        },
        reason: note.occasion.as_str().to_owned(),
        note: Some(cut(&note.text, MAX_NOTE).to_owned()),
        // The recorder counts Events of the same action as one and keeps the first note: so the action is the note.
        action: cut(if note.text.is_empty() { note.occasion.as_str() } else { &note.text }, MAX_ACTION).to_owned(),
        secondary: None,
    }
}

fn reference(run: &Identity) -> ObjectReference {
    ObjectReference {
        api_version: Some(SagaRun::api_version(&()).into_owned()),
        kind: Some(SagaRun::kind(&()).into_owned()),
        namespace: Some(run.namespace.clone()),
        name: Some(run.name.clone()),
        uid: Some(run.uid.clone()),
        ..ObjectReference::default()
    }
}

fn cut(text: &str, bytes: usize) -> &str {
    let mut end = text.len().min(bytes);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::saga::Occasion;

    fn note(level: Level) -> Note {
        Note { level, occasion: Occasion::StepSucceeded, text: "ä".repeat(1000) }
    }

    fn run() -> Identity {
        Identity { namespace: "shop".to_owned(), name: "a".to_owned(), uid: "u".to_owned() }
    }

    #[test]
    fn what_does_not_fit_is_counted_and_warnings_fit_longest() {
        let (queue, _publisher) = queue();
        for _ in 0..QUEUE_LENGTH {
            queue.noted(&run(), &note(Level::Detail));
            queue.noted(&run(), &note(Level::Story));
        }
        assert_eq!(queue.dropped(), (QUEUE_LENGTH - STORIES) as u64);
        for _ in 0..QUEUE_LENGTH {
            queue.noted(&run(), &note(Level::Warning));
        }
        assert_eq!(queue.dropped(), QUEUE_LENGTH as u64);
    }

    #[test]
    fn a_long_text_is_cut_between_characters() {
        let event = event(&note(Level::Warning));
        assert_eq!((event.note.expect("a note").len(), event.action.len()), (MAX_NOTE, MAX_ACTION));
        assert_eq!(cut("aä", 2), "a");
    }
}
