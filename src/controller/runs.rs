//! Watches runs, and wakes the engine for them: nothing else.
//!
//! # Flow
//! Every change of a run goes to the [`Fleets`] as a reading. They take it if this process leads the run's shard; else it is
//! only remembered, and what is remembered of a shard is offered when this process comes to lead it. In the fleet the run's
//! own task decides what it means. A definition that changed wakes the runs that wait for it. Finished runs wait here for the
//! end of their time to live.
//!
//! # Guarantees
//! One object that cannot be decoded stops nobody else: it is named in the log and left alone.
//!
//! # Caveats
//! The cache may be behind. What is read from it is only ever the occasion to decide; the journal's compare-and-swap is
//! what makes a decision safe.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::StreamExt as _;
use kube::core::DeserializeGuard;
use kube::runtime::reflector::{ObjectRef, Store};
use kube::runtime::watcher::Event;
use kube::runtime::{WatchStreamExt as _, reflector, watcher};
use kube::{Api, Client, ResourceExt as _};
use tokio::sync::{broadcast, mpsc};

use super::definitions::Changed;
use super::finished::Finished;
use super::retention;
use crate::api::SagaRun;
use crate::clock::Clock;
use crate::election::{Office, Shard};
use crate::engine::{Fleets, Ports};
use crate::journal::Loaded;
use crate::journal::kubernetes::{KubernetesJournal, loaded};

/// A watch is renewed this often, so that one that died without a word is noticed.
const WATCH_TIMEOUT_SECONDS: u32 = 55;

pub(super) type Guarded = DeserializeGuard<SagaRun>;

/// The runs of the watched namespaces, as last seen.
pub type Runs = Store<Guarded>;

/// Watches runs for ever. `namespace`: only that one.
pub struct RunWatch<E> {
    /// Whom to ask.
    pub client: Client,
    /// Only this namespace.
    pub namespace: Option<String>,
    /// Who drives the runs.
    pub fleets: Fleets<E>,
    /// Shards that this process comes to lead.
    pub begun: mpsc::UnboundedReceiver<Shard>,
    /// Which shards it leads, by this clock.
    pub office: (Office, Clock),
    /// What remembers the objects as they were stored.
    pub journal: Arc<KubernetesJournal>,
    /// Definitions that changed.
    pub changes: broadcast::Receiver<Changed>,
    /// Set once the runs are listed.
    pub ready: Arc<AtomicBool>,
}

impl<E: Ports> RunWatch<E> {
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
        loop {
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
                        self.fleets.listed(|uid| listed.contains(uid));
                        self.fleets.offer_all(std::mem::take(&mut first));
                        self.ready.store(true, Ordering::Relaxed);
                    }
                    Ok(Event::Apply(run)) => {
                        let read = self.seen(&run, &mut finished);
                        read.into_iter().for_each(|read| self.fleets.offer(read));
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
                Some(run) = finished.next() => self.expire(&store, run, &mut finished),
                // What a follower saw is what it begins with as the leader.
                Some(shard) = self.begun.recv() => {
                    self.take_up(&store, shard);
                    finished.look_again();
                }
            }
        }
    }

    /// All runs of a shard that were seen so far: this process leads it from now on.
    fn take_up(&self, store: &Runs, shard: Shard) {
        let runs = store.state();
        let unsettled = runs.iter().filter_map(|run| run.0.as_ref().ok()).filter(|run| !is_settled(run));
        let (office, _) = &self.office;
        let of_shard = unsettled.filter(|run| run.uid().is_some_and(|uid| office.shard_of(&uid) == shard));
        self.fleets.offer_all(of_shard.filter_map(|run| loaded(run).ok()).collect());
    }

    fn leads(&self, run: &SagaRun) -> bool {
        let (office, clock) = &self.office;
        run.uid().is_some_and(|uid| office.leads(office.shard_of(&uid), clock.now().monotonic))
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
        self.journal.noticed(decoded);
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
        self.journal.gone(&uid);
        let namespace = run.namespace().unwrap_or_default();
        self.fleets.gone(&crate::saga::Identity { namespace, name: run.name_any(), uid });
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
                self.fleets.offer(read);
            }
        }
    }

    /// Deletes a finished run whose time is over, if it is still the one that was seen.
    fn expire(&self, store: &Runs, run: ObjectRef<Guarded>, finished: &mut Finished) {
        let Some(seen) = store.get(&run) else { return };
        let Ok(decoded) = &seen.0 else { return };
        match retention::due(decoded, jiff::Timestamp::now()) {
            Some(Duration::ZERO) if self.leads(decoded) => {}
            Some(Duration::ZERO) => return finished.leave_to_others(run),
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
