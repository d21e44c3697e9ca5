//! All runs of this process, each in a task of its own.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;
use tokio_util::task::TaskTracker;

use super::Ports;
use super::drive::{Inbox, drive};
use crate::journal::Loaded;
use crate::saga::Identity;

type Inboxes = Arc<Mutex<HashMap<String, watch::Sender<Option<Loaded>>>>>;

/// All runs of this process.
pub struct Fleet<E> {
    engine: Arc<E>,
    inboxes: Inboxes,
    tasks: TaskTracker,
}

impl<E> Clone for Fleet<E> {
    fn clone(&self) -> Self {
        Self { engine: self.engine.clone(), inboxes: self.inboxes.clone(), tasks: self.tasks.clone() }
    }
}

impl<E: Ports> Fleet<E> {
    /// Nobody drives anything yet.
    pub fn new(engine: Arc<E>) -> Self {
        Self { engine, inboxes: Arc::default(), tasks: TaskTracker::new() }
    }

    /// The ports.
    pub const fn engine(&self) -> &Arc<E> {
        &self.engine
    }

    /// Takes up a run, or tells its task that it was read again. Cheap; never waits.
    pub fn offer(&self, read: Loaded) {
        if rests(&read) {
            return;
        }
        let uid = read.run.uid.clone();
        let mut inboxes = self.inboxes.lock().unwrap_or_else(PoisonError::into_inner);
        match inboxes.entry(uid.clone()) {
            Entry::Occupied(inbox) => {
                // A reading that is older than the one that waits there is of no use.
                inbox.get().send_if_modified(|waiting| {
                    let newer = waiting.as_ref().is_none_or(|waiting| {
                        read.version.newer_than(&waiting.version) != Some(false) || read == *waiting
                    });
                    if newer {
                        *waiting = Some(read);
                    }
                    newer
                });
            }
            Entry::Vacant(place) => {
                let (sender, receiver) = watch::channel(Some(read));
                place.insert(sender);
                self.tasks.spawn(look_after(self.engine.clone(), self.inboxes.clone(), uid, receiver));
            }
        }
    }

    /// The run is gone: its task ends, and its open connections are closed.
    pub fn gone(&self, run: &Identity) {
        let inboxes = self.inboxes.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(inbox) = inboxes.get(&run.uid) {
            inbox.send_replace(None);
        }
    }

    /// Runs that a task drives.
    pub fn len(&self) -> usize {
        self.tasks.len()
    }

    /// Whether no task drives a run.
    pub fn is_empty(&self) -> bool {
        self.tasks.is_empty()
    }

    /// Waits until every task has ended. More can be offered meanwhile, by other clones.
    pub async fn idle(&self) {
        self.tasks.close();
        self.tasks.wait().await;
        self.tasks.reopen();
    }
}

/// Drives a run for as long as there is news of it.
async fn look_after<E: Ports>(engine: Arc<E>, inboxes: Inboxes, uid: String, receiver: Inbox) {
    let mut receiver = receiver;
    loop {
        // In a task of its own: a panic ends this run's task, not the process and not another run.
        let released;
        (receiver, released) = match tokio::spawn(drive(engine.clone(), receiver)).await {
            Ok(driven) => driven,
            Err(error) => {
                tracing::error!(uid, %error, "the task of a run failed; the run is taken up when it is read again");
                inboxes.lock().unwrap_or_else(PoisonError::into_inner).remove(&uid);
                return;
            }
        };
        let mut inboxes = inboxes.lock().unwrap_or_else(PoisonError::into_inner);
        // The echo of the last write, from before the finalizer went, would be driven for nothing.
        let is_echo = |read: &Loaded| released.as_ref().is_some_and(|at| read.version.newer_than(at) == Some(false));
        let news = receiver.has_changed().unwrap_or(false)
            && receiver.borrow_and_update().as_ref().is_some_and(|read| !rests(read) && !is_echo(read));
        if !news {
            inboxes.remove(&uid);
            return;
        }
        receiver.mark_changed();
    }
}

/// Whether nothing is to be done about a run: it ended, was let go, and its spec was taken in.
fn rests(read: &Loaded) -> bool {
    read.stored.end.is_some() && !read.retained && read.stored.observed_generation == read.wishes.generation
}
