//! The parts of the controller at work, each a task of its own, and how they are taken apart.
//!
//! # Flow
//! [`Parts::failed`] comes back when one of them ends by itself: without it the process would look well and do nothing.
//! [`Parts::leave`] lets what is under way end, and gives the Leases back. [`Parts::stop`] ends all of them.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::elector::Elector;
use super::serve::RunError;
use crate::clock::Clock;
use crate::controller::definitions::KubernetesDefinitions;
use crate::controller::events::EventQueue;
use crate::election::{Claim, Shard};
use crate::engine::{Engine, Fleets, LogWitness};
use crate::journal::kubernetes::KubernetesJournal;
use crate::participant::HttpParticipant;
use crate::saga::{Holder, Owner, Tenure};

pub(super) type ClusterEngine =
    Engine<Arc<KubernetesJournal>, HttpParticipant, KubernetesDefinitions, (LogWitness, EventQueue)>;

/// What works on definitions and runs.
pub(super) struct Parts {
    pub(super) fleets: Fleets<ClusterEngine>,
    pub(super) elector: Elector,
    pub(super) definitions: JoinHandle<()>,
    pub(super) watch: JoinHandle<()>,
    /// Ends with a shard that was lost.
    pub(super) deposed: JoinHandle<Shard>,
    /// Ends the work on definitions once what is under way is done.
    pub(super) shutdown: CancellationToken,
}

impl Parts {
    /// Why the controller cannot go on.
    pub(super) async fn failed(&mut self) -> RunError {
        tokio::select! {
            _ = &mut self.deposed => RunError::Deposed,
            error = self.elector.ended() => error,
            _ = &mut self.definitions => RunError::Ended("definitions"),
            _ = &mut self.watch => RunError::Ended("runs"),
        }
    }

    /// Begins nothing new, waits for what is under way, at most for `grace`, and gives every Lease back.
    pub(super) async fn leave(&mut self, grace: Duration) -> Result<(), RunError> {
        tracing::info!("asked to end: nothing new is sent; calls on the wire are awaited");
        self.watch.abort();
        self.shutdown.cancel();
        self.fleets.drain();
        let settled = async {
            drop((&mut self.definitions).await);
            self.elector.leave(&self.fleets).await
        };
        tokio::select! {
            settled = tokio::time::timeout(grace, settled) => settled.unwrap_or_else(|_| {
                // Who comes next waits until the Lease has run out, and with it the sender of these calls.
                tracing::warn!(
                    runs = self.fleets.len(),
                    "calls are still on the wire: their Lease is not given back; whoever takes their runs over repeats them"
                );
                Ok(())
            }),
            _ = &mut self.deposed => Err(RunError::Deposed),
        }
    }

    /// Ends all that still runs, in order. A runtime that ends first ends tasks in any order, and kube's `Controller` panics
    /// when one that it waits for ends before it.
    pub(super) async fn stop(self) {
        self.deposed.abort();
        for task in [self.watch, self.definitions] {
            if !task.is_finished() {
                task.abort();
                drop(task.await);
            }
        }
    }
}

/// What the engines of all terms share.
pub(super) struct Shared {
    pub(super) journal: Arc<KubernetesJournal>,
    pub(super) participant: Arc<HttpParticipant>,
    pub(super) definitions: KubernetesDefinitions,
    pub(super) events: EventQueue,
    pub(super) clock: Clock,
    pub(super) tenure: Tenure,
}

impl Shared {
    /// The engine of one term.
    pub(super) fn engine(&self, shard: Shard, claim: Claim) -> ClusterEngine {
        let id = Holder::process(uuid::Uuid::new_v4().as_u128());
        tracing::info!(%shard, holder = id.as_str(), "drives the runs of this shard");
        Engine {
            journal: self.journal.clone(),
            participant: self.participant.clone(),
            definitions: self.definitions.clone(),
            witness: (LogWitness, self.events.clone()),
            clock: self.clock,
            owner: Owner { id, tenure: self.tenure },
            claim,
            drain: CancellationToken::new(),
        }
    }
}
