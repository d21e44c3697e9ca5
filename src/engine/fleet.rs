//! The runs of one engine, each in a task of its own.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Semaphore, watch};
use tokio_util::task::TaskTracker;

use super::drive::{Inbox, drive};
use super::{Engine, Ports};
use crate::journal::{Loaded, Version};
use crate::saga::Identity;

/// Before a run is taken up again whose task failed: what made it fail is probably still there.
const AFTER_PANIC: Duration = Duration::from_secs(30);

type Inboxes = Arc<Mutex<BTreeMap<String, watch::Sender<Option<Loaded>>>>>;

/// Runs whose first decision is under way side by side: a process that comes to lead ten thousand runs must not ask
/// everything of everybody at once.
const TAKEN_UP_AT_ONCE: usize = 64;

/// The places of runs whose first decision is under way, given out in the order of asking.
pub(super) type Places = Arc<Semaphore>;

/// All of them.
pub(super) fn places() -> Places {
    Arc::new(Semaphore::new(TAKEN_UP_AT_ONCE))
}

/// Runs that one engine drives. An engine has one fleet: here it counts under which identity it takes a run up.
pub struct Fleet<E> {
    engine: Arc<E>,
    inboxes: Inboxes,
    tasks: TaskTracker,
    /// Runs taken up so far, each with an empty memory.
    taken_up: Arc<AtomicU64>,
    places: Places,
}

impl<E> Clone for Fleet<E> {
    fn clone(&self) -> Self {
        let (inboxes, tasks, taken_up) = (self.inboxes.clone(), self.tasks.clone(), self.taken_up.clone());
        Self { engine: self.engine.clone(), inboxes, tasks, taken_up, places: self.places.clone() }
    }
}

impl<E: Ports> Fleet<E> {
    /// Nobody drives anything yet.
    pub fn new(engine: Arc<E>) -> Self {
        Self::sharing(engine, places())
    }

    /// The same, with places that other fleets use, too.
    pub(super) fn sharing(engine: Arc<E>, places: Places) -> Self {
        Self { engine, inboxes: Arc::default(), tasks: TaskTracker::new(), taken_up: Arc::default(), places }
    }

    /// The ports.
    pub const fn engine(&self) -> &Arc<E> {
        &self.engine
    }

    /// Takes up a run, or tells its task that it was read again. Cheap; never waits.
    pub fn offer(&self, read: Loaded) {
        let mut inboxes = lock(&self.inboxes);
        match inboxes.entry(read.run.uid.clone()) {
            Entry::Occupied(inbox) => {
                inbox.get().send_if_modified(|waiting| {
                    // A reading that is older than the one that waits there is of no use; what is gone stays gone.
                    let newer = waiting.as_ref().is_some_and(|waiting| {
                        read.version.newer_than(&waiting.version) != Some(false) || read == *waiting
                    });
                    if newer {
                        *waiting = Some(read);
                    }
                    newer
                });
            }
            Entry::Vacant(_) if rests(&read) || !self.may_take_up() => {}
            Entry::Vacant(place) => {
                let uid = place.key().clone();
                let (sender, receiver) = watch::channel(Some(read));
                place.insert(sender);
                self.tasks.spawn(look_after(self.clone(), uid, receiver));
            }
        }
    }

    fn may_take_up(&self) -> bool {
        let Engine { claim, clock, drain, .. } = self.engine.engine();
        !drain.is_cancelled() && claim.current(clock.now().monotonic).is_some()
    }

    /// The run is gone: its task ends, and its open connections are closed.
    pub fn gone(&self, run: &Identity) {
        if let Some(inbox) = lock(&self.inboxes).get(&run.uid) {
            inbox.send_replace(None);
        }
    }

    /// All runs were listed: those whose UID is not `there` are gone, though nobody said so.
    pub fn listed(&self, there: impl Fn(&str) -> bool) {
        for (_, inbox) in lock(&self.inboxes).iter().filter(|(uid, _)| !there(uid)) {
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

    /// Takes up no more runs, and lets those that it drives go as soon as nothing of them is on the wire.
    pub fn drain(&self) {
        self.engine.engine().drain.cancel();
        // Whoever asked before that has spawned its task once the lock is free.
        drop(lock(&self.inboxes));
    }

    /// Waits until every task has ended. More can be offered meanwhile, by other clones.
    pub async fn idle(&self) {
        self.tasks.close();
        self.tasks.wait().await;
        self.tasks.reopen();
    }
}

/// Drives a run for as long as there is news of it.
async fn look_after<E: Ports>(fleet: Fleet<E>, uid: String, receiver: Inbox) {
    let mut receiver = receiver;
    loop {
        let time = fleet.taken_up.fetch_add(1, Ordering::Relaxed) + 1;
        // In a task of its own: a panic ends this run's task, not the process and not another run.
        let place = fleet.places.clone().acquire_owned().await.ok();
        let next = match tokio::spawn(drive(fleet.engine.clone(), time, place, receiver)).await {
            Ok((receiver, known)) => news(&fleet.inboxes, &uid, receiver, known.as_ref()),
            // Nobody else ends a task than a process that ends.
            Err(error) if error.is_cancelled() => return,
            Err(error) => {
                tracing::error!(uid, %error, "the task of a run failed; the run is taken up again in a while");
                tokio::time::sleep(AFTER_PANIC).await;
                again(&fleet.inboxes, &uid)
            }
        };
        match next {
            Some(next) => receiver = next,
            None => return,
        }
    }
}

/// What came while a task ended is not lost: under the lock that `offer` takes, either it is there, or the place is free.
fn news(inboxes: &Inboxes, uid: &str, mut receiver: Inbox, known: Option<&Version>) -> Option<Inbox> {
    let mut inboxes = lock(inboxes);
    let is_news =
        |read: &Loaded| !rests(read) && known.is_none_or(|known| read.version.newer_than(known) != Some(false));
    if receiver.has_changed().unwrap_or(false) && receiver.borrow_and_update().as_ref().is_some_and(is_news) {
        return Some(receiver);
    }
    inboxes.remove(uid);
    None
}

/// The inbox of a run whose task failed.
fn again(inboxes: &Inboxes, uid: &str) -> Option<Inbox> {
    let mut inboxes = lock(inboxes);
    let receiver = inboxes.get(uid)?.subscribe();
    if receiver.borrow().as_ref().is_some_and(|read| !rests(read)) {
        return Some(receiver);
    }
    inboxes.remove(uid);
    None
}

fn lock(inboxes: &Inboxes) -> MutexGuard<'_, BTreeMap<String, watch::Sender<Option<Loaded>>>> {
    inboxes.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether nothing is to be done about a run: it ended, was let go, and its spec was taken in.
fn rests(read: &Loaded) -> bool {
    read.stored.end.is_some() && !read.retained && read.stored.observed_generation == read.wishes.generation
}
