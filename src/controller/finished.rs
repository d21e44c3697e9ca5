//! Finished runs, until their time to live is over.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use futures::StreamExt as _;
use kube::runtime::reflector::ObjectRef;
use tokio_util::time::DelayQueue;
use tokio_util::time::delay_queue::Key;

use super::runs::Guarded;

/// The queue takes no wait of years; who asks for one is looked at again in between.
const LONGEST_WAIT: Duration = Duration::from_secs(24 * 60 * 60);

/// Finished runs until the end of their time to live, each once, however often it is seen.
#[derive(Default)]
pub(super) struct Finished {
    queue: DelayQueue<ObjectRef<Guarded>>,
    places: HashMap<ObjectRef<Guarded>, Key>,
    /// Their time is over, and this process does not lead them.
    others: HashSet<ObjectRef<Guarded>>,
}

impl Finished {
    /// A run that has so long to live.
    pub(super) fn put(&mut self, run: ObjectRef<Guarded>, left: Duration) {
        let left = left.min(LONGEST_WAIT);
        match self.places.get(&run) {
            Some(place) => self.queue.reset(place, left),
            None => {
                let place = self.queue.insert(run.clone(), left);
                self.places.insert(run, place);
            }
        }
    }

    /// It is gone.
    pub(super) fn forget(&mut self, run: &ObjectRef<Guarded>) {
        self.others.remove(run);
        if let Some(place) = self.places.remove(run) {
            self.queue.remove(&place);
        }
    }

    /// The next whose time is over. Forgets nothing when it is not waited for to the end.
    pub(super) async fn next(&mut self) -> Option<ObjectRef<Guarded>> {
        let run = self.queue.next().await?.into_inner();
        self.places.remove(&run);
        Some(run)
    }

    /// Its time is over, and somebody else is to delete it.
    pub(super) fn leave_to_others(&mut self, run: ObjectRef<Guarded>) {
        self.others.insert(run);
    }

    /// This process leads other runs from now on: those that were left to others come up once more.
    pub(super) fn look_again(&mut self) {
        for run in std::mem::take(&mut self.others) {
            self.put(run, Duration::ZERO);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_finished_run_waits_once_however_often_it_is_seen_and_however_long_it_lives() {
        let mut finished = Finished::default();
        let run = ObjectRef::<Guarded>::new("a").within("shop");
        for _ in 0..3 {
            finished.put(run.clone(), Duration::from_secs(u64::from(u32::MAX)));
        }
        assert_eq!(finished.next().await, Some(run.clone()));
        assert_eq!(finished.next().await, None);
        finished.put(run.clone(), Duration::from_secs(1));
        finished.forget(&run);
        assert_eq!(finished.next().await, None);
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_left_to_others_comes_up_again_when_this_process_leads_it() {
        let mut finished = Finished::default();
        let [a, b] = ["a", "b"].map(|name| ObjectRef::<Guarded>::new(name).within("shop"));
        for run in [&a, &b] {
            finished.leave_to_others(run.clone());
        }
        assert_eq!(finished.next().await, None);
        finished.forget(&b);
        finished.look_again();
        assert_eq!(finished.next().await, Some(a));
        assert_eq!(finished.next().await, None);
    }
}
