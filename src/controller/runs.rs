//! Watches runs, and wakes the engine for them: nothing else.
//!
//! # Flow
//! Every change of a run goes to the [`Fleet`] as a reading, if this process leads; the others only remember it, and take up
//! what they remember when they come to lead. In the fleet the run's own task decides what it means. A definition that
//! changed wakes the runs that wait for it. Finished runs wait here for the end of their time to live.
//!
//! # Guarantees
//! One object that cannot be decoded stops nobody else: it is named in the log and left alone.
//!
//! # Caveats
//! The cache may be behind. What is read from it is only ever the occasion to decide; the journal's compare-and-swap is
//! what makes a decision safe.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::{FutureExt as _, StreamExt as _};
use kube::core::DeserializeGuard;
use kube::runtime::reflector::{ObjectRef, Store};
use kube::runtime::watcher::Event;
use kube::runtime::{WatchStreamExt as _, reflector, watcher};
use kube::{Api, Client, ResourceExt as _};
use tokio::sync::broadcast;
use tokio_util::time::DelayQueue;
use tokio_util::time::delay_queue::Key;

use super::definitions::Changed;
use super::retention;
use crate::api::SagaRun;
use crate::engine::{Engine, Fleet, Ports};
use crate::journal::Loaded;
use crate::journal::kubernetes::{KubernetesJournal, loaded};

/// A watch is renewed this often, so that one that died without a word is noticed.
const WATCH_TIMEOUT_SECONDS: u32 = 55;

type Guarded = DeserializeGuard<SagaRun>;

/// The runs of the watched namespaces, as last seen.
pub type Runs = Store<Guarded>;

/// Watches runs for ever. `namespace`: only that one.
pub struct RunWatch<E> {
    /// Whom to ask.
    pub client: Client,
    /// Only this namespace.
    pub namespace: Option<String>,
    /// Who drives the runs.
    pub fleet: Fleet<E>,
    /// Definitions that changed.
    pub changes: broadcast::Receiver<Changed>,
    /// Set once the runs are listed.
    pub ready: Arc<AtomicBool>,
}

impl<E: Ports<Journal = KubernetesJournal>> RunWatch<E> {
    fn api<K>(&self) -> Api<K>
    where
        K: kube::Resource<DynamicType = (), Scope = kube::core::NamespaceResourceScope>,
    {
        match &self.namespace {
            Some(namespace) => Api::namespaced(self.client.clone(), namespace),
            None => Api::all(self.client.clone()),
        }
    }

    /// Runs until the process ends. `writer` fills the store that others read.
    pub async fn run(mut self, writer: reflector::store::Writer<Guarded>) {
        let store = writer.as_reader();
        let config = watcher::Config::default().timeout(WATCH_TIMEOUT_SECONDS);
        let watch = watcher(self.api::<Guarded>(), config).default_backoff();
        // What others wrote about fields is half of a small object, and nobody here reads it.
        let watch = watch.modify(|run| run.managed_fields_mut().clear()).reflect(writer);
        let mut watch = std::pin::pin!(watch);
        let mut finished = Finished::default();
        let (mut listed, mut first) = (HashSet::new(), Vec::new());
        let Engine { claim, clock, .. } = self.fleet.engine().engine();
        let (claim, clock) = (claim.clone(), *clock);
        let mut won = std::pin::pin!(claim.won().fuse());
        loop {
            let leads = claim.current(clock.now().monotonic).is_some();
            tokio::select! {
                Some(event) = watch.next() => match event {
                    Ok(Event::Init) => (listed, first) = Default::default(),
                    Ok(Event::InitApply(run)) => {
                        listed.extend(run.uid());
                        first.extend(self.seen(&run, &mut finished));
                    }
                    // What went while nobody watched is told by no other event.
                    Ok(Event::InitDone) => {
                        let listed = std::mem::take(&mut listed);
                        self.fleet.listed(|uid| listed.contains(uid));
                        self.fleet.offer_all(std::mem::take(&mut first));
                        self.ready.store(true, Ordering::Relaxed);
                    }
                    Ok(Event::Apply(run)) => {
                        let read = self.seen(&run, &mut finished);
                        read.into_iter().for_each(|read| self.fleet.offer(read));
                    }
                    Ok(Event::Delete(run)) => {
                        finished.forget(&ObjectRef::from_obj(&run));
                        self.deleted(&run);
                    }
                    Err(error) => tracing::warn!(%error, "failed to watch SagaRuns; watching again"),
                },
                changed = self.changes.recv() => match changed {
                    Ok(changed) => self.wake_waiting(&store, Some(&changed)),
                    Err(broadcast::error::RecvError::Lagged(_)) => self.wake_waiting(&store, None),
                    Err(broadcast::error::RecvError::Closed) => return,
                },
                Some(run) = finished.next(), if leads => self.expire(&store, run, &mut finished),
                // What a follower saw is what it begins with as the leader.
                _ = &mut won => self.take_up(&store),
            }
        }
    }

    fn journal(&self) -> &KubernetesJournal {
        &self.fleet.engine().engine().journal
    }

    /// All runs that were seen so far: this process leads from now on.
    fn take_up(&self, store: &Runs) {
        let runs = store.state();
        let unsettled = runs.iter().filter_map(|run| run.0.as_ref().ok()).filter(|run| !is_settled(run));
        self.fleet.offer_all(unsettled.filter_map(|run| loaded(run).ok()).collect());
    }

    /// A run as it is now; nothing, if it cannot be read.
    fn seen(&self, run: &Guarded, finished: &mut Finished) -> Option<Loaded> {
        let Ok(decoded) = &run.0 else {
            let (namespace, name) = (run.namespace().unwrap_or_default(), run.name_any());
            let error = run.0.as_ref().err().map(ToString::to_string).unwrap_or_default();
            tracing::error!(
                namespace,
                run = name,
                error,
                "failed to read a SagaRun; it is left alone until it changes"
            );
            return None;
        };
        self.journal().noticed(decoded);
        if let Some(left) = retention::due(decoded, jiff::Timestamp::now()) {
            finished.put(ObjectRef::from_obj(run), left);
        }
        let unreadable = |error: &_| {
            tracing::error!(
                namespace = decoded.namespace().unwrap_or_default(), run = decoded.name_any(), %error,
                "failed to read the status of a SagaRun; it is left alone until it changes"
            );
        };
        loaded(decoded).inspect_err(unreadable).ok()
    }

    fn deleted(&self, run: &Guarded) {
        let Some(uid) = run.uid() else { return };
        self.journal().gone(&uid);
        let namespace = run.namespace().unwrap_or_default();
        self.fleet.gone(&crate::saga::Identity { namespace, name: run.name_any(), uid });
    }

    /// Wakes the runs that have no definition yet, or lost theirs.
    fn wake_waiting(&self, store: &Runs, changed: Option<&Changed>) {
        for run in store.state() {
            let Ok(decoded) = &run.0 else { continue };
            let concerned = changed.is_none_or(|changed| {
                decoded.namespace().as_deref() == Some(&changed.namespace)
                    && decoded.spec.definition_ref.name == changed.name
            });
            // Nearly all of a large cache: told by a glance.
            if !concerned || decoded.status.as_ref().is_some_and(retention::is_finished) {
                continue;
            }
            if let Ok(read) = loaded(decoded)
                && (read.stored.revision.is_none() || read.stored.revision_lost)
            {
                self.fleet.offer(read);
            }
        }
    }

    /// Deletes a finished run whose time is over, if it is still the one that was seen.
    fn expire(&self, store: &Runs, run: ObjectRef<Guarded>, finished: &mut Finished) {
        let Some(seen) = store.get(&run) else { return };
        let Ok(decoded) = &seen.0 else { return };
        match retention::due(decoded, jiff::Timestamp::now()) {
            Some(Duration::ZERO) => {}
            // The time to live was longer than the queue holds, or changed, or the wall clock went back.
            Some(left) => return finished.put(run, left),
            None => return,
        }
        let (client, run) = (self.client.clone(), Arc::new(decoded.clone()));
        tokio::spawn(async move {
            if let Err(error) = retention::delete(&client, &run).await {
                let (namespace, name) = (run.namespace().unwrap_or_default(), run.name_any());
                tracing::warn!(namespace, run = name, %error, "failed to delete a finished run; it stays until it is seen again");
            }
        });
    }
}

/// Told by a glance, for nearly all of a large cache is: it ended, was let go, and its spec was taken in.
fn is_settled(run: &SagaRun) -> bool {
    let finished = run.status.as_ref().filter(|status| retention::is_finished(status));
    let taken_in = finished.is_some_and(|status| status.observed_generation == run.metadata.generation);
    taken_in && run.finalizers().is_empty()
}

/// The queue takes no wait of years; who asks for one is looked at again in between.
const LONGEST_WAIT: Duration = Duration::from_secs(24 * 60 * 60);

/// Finished runs until the end of their time to live, each once, however often it is seen.
#[derive(Default)]
struct Finished {
    queue: DelayQueue<ObjectRef<Guarded>>,
    places: HashMap<ObjectRef<Guarded>, Key>,
}

impl Finished {
    fn put(&mut self, run: ObjectRef<Guarded>, left: Duration) {
        let left = left.min(LONGEST_WAIT);
        match self.places.get(&run) {
            Some(place) => self.queue.reset(place, left),
            None => {
                let place = self.queue.insert(run.clone(), left);
                self.places.insert(run, place);
            }
        }
    }

    fn forget(&mut self, run: &ObjectRef<Guarded>) {
        if let Some(place) = self.places.remove(run) {
            self.queue.remove(&place);
        }
    }

    /// The next whose time is over. Forgets nothing when it is not waited for to the end.
    async fn next(&mut self) -> Option<ObjectRef<Guarded>> {
        let run = self.queue.next().await?.into_inner();
        self.places.remove(&run);
        Some(run)
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
}
