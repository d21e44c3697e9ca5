//! Where the runs of this process stand, for commands that wait for their end.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use tokio::sync::watch;

use crate::engine::Witness;
use crate::saga::{Identity, Mode, Note, Phase, Stored};

/// Hears of every stored decision and keeps the last of each run.
pub(super) struct Board {
    last: Mutex<HashMap<String, Stored>>,
    news: watch::Sender<u64>,
}

/// Where a run rests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rest {
    /// It goes on by itself.
    None,
    /// It ended.
    Ended,
    /// Only a person can move it: stalled or suspended, and nothing is on the wire.
    NeedsPerson,
}

impl Board {
    pub(super) fn new() -> Self {
        Self { last: Mutex::default(), news: watch::Sender::new(0) }
    }

    /// Puts up a run as it was read.
    pub(super) fn put(&self, run: &Identity, stored: &Stored) {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).insert(run.uid.clone(), stored.clone());
        self.news.send_modify(|count| *count += 1);
    }

    /// The last that is known of a run.
    pub(super) fn get(&self, uid: &str) -> Option<Stored> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).get(uid).cloned()
    }

    /// Waits until only a person can move the run, although it knows what is asked of it in `generation`: what was read may
    /// be older than a wish that moves it.
    pub(super) async fn stuck(&self, uid: &str, generation: i64) {
        let mut news = self.news.subscribe();
        let stuck = |stored: &Stored| stored.observed_generation >= generation && rest(stored) == Rest::NeedsPerson;
        while !self.get(uid).is_some_and(|stored| stuck(&stored)) {
            if news.changed().await.is_err() {
                return;
            }
        }
    }
}

/// Where a run rests.
pub(super) fn rest(stored: &Stored) -> Rest {
    if stored.mode() == Mode::Ended {
        return Rest::Ended;
    }
    let suspended =
        stored.conditions.iter().any(|condition| condition.reason == crate::api::Reason::Suspended.as_str());
    let stuck = stored.stalled().is_some() || stored.revision_lost || suspended;
    let moving = stored.open_calls().next().is_some()
        || stored.steps.iter().any(|step| step.forward.phase == Phase::Waiting && !suspended);
    if stuck && !moving { Rest::NeedsPerson } else { Rest::None }
}

impl Witness for Board {
    fn noted(&self, _run: &Identity, _note: &Note) {}

    fn stored(&self, run: &Identity, stored: &Stored) {
        self.put(run, stored);
    }
}
