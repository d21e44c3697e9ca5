//! The fleets of this process: one for each shard that it leads, for as long as the term lasts.
//!
//! # Flow
//! [`Fleets::follow`] reads the [`Office`]: a term that begins gets an engine and a fleet, and whoever knows the runs is told to
//! offer those of its shard. A shard that is to be drained takes up nothing more; once its last run is let go, the elector is
//! told. A run that belongs to no shard of this process is nobody's business here.
//!
//! # Guarantees
//! Two terms of one shard never share a fleet: what the first one remembered of a run may be long out of date in the second.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::StreamExt as _;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use tokio::sync::mpsc;

use super::Ports;
use super::fleet::{Fleet, Places, places};
use super::urgency::most_urgent_first;
use crate::election::{Claim, Office, Shard, Share, Wish};
use crate::journal::Loaded;
use crate::saga::Identity;

/// Makes the engine of a term.
type Make<E> = Arc<dyn Fn(Shard, Claim) -> Arc<E> + Send + Sync>;

/// All runs of this process.
pub struct Fleets<E> {
    office: Office,
    make: Make<E>,
    places: Places,
    terms: Arc<Mutex<BTreeMap<Shard, Term<E>>>>,
}

struct Term<E> {
    epoch: u64,
    fleet: Fleet<E>,
}

/// Whom [`Fleets::follow`] tells.
#[derive(Clone, Debug)]
pub struct Told {
    /// Shards whose runs are to be offered from now on.
    pub begun: mpsc::UnboundedSender<Shard>,
    /// Shards on which nothing is under way any more; nobody asks without election.
    pub drained: Option<mpsc::Sender<Shard>>,
}

impl<E> Clone for Fleets<E> {
    fn clone(&self) -> Self {
        let (make, places, terms) = (self.make.clone(), self.places.clone(), self.terms.clone());
        Self { office: self.office.clone(), make, places, terms }
    }
}

impl<E: Ports> Fleets<E> {
    /// Nobody drives anything yet. `make`: the engine of a term, under an owner of its own.
    pub fn new(office: Office, make: impl Fn(Shard, Claim) -> Arc<E> + Send + Sync + 'static) -> Self {
        Self { office, make: Arc::new(make), places: places(), terms: Arc::default() }
    }

    /// Gives a run to the fleet of its shard, if this process leads that. Cheap; never waits.
    pub fn offer(&self, read: Loaded) {
        if let Some(term) = self.lock().get(&self.office.shard_of(&read.run.uid)) {
            term.fleet.offer(read);
        }
    }

    /// The same for many runs: the most urgent first, whatever their shards.
    pub fn offer_all(&self, read: Vec<Loaded>) {
        most_urgent_first(read).into_iter().for_each(|read| self.offer(read));
    }

    /// The run is gone: its task ends, and its open connections are closed.
    pub fn gone(&self, run: &Identity) {
        if let Some(term) = self.lock().get(&self.office.shard_of(&run.uid)) {
            term.fleet.gone(run);
        }
    }

    /// All runs were listed: those whose UID is not `there` are gone, though nobody said so.
    pub fn listed(&self, there: impl Fn(&str) -> bool) {
        self.lock().values().for_each(|term| term.fleet.listed(&there));
    }

    /// Runs that a task drives.
    pub fn len(&self) -> usize {
        self.lock().values().map(|term| term.fleet.len()).sum()
    }

    /// Whether no task drives a run.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Takes up no more runs in the terms that run, and lets those go that have nothing on the wire.
    pub fn drain(&self) {
        self.lock().values().for_each(|term| term.fleet.drain());
    }

    /// Waits until no task of the terms that run is left.
    pub async fn idle(&self) {
        let fleets: Vec<Fleet<E>> = self.lock().values().map(|term| term.fleet.clone()).collect();
        for fleet in fleets {
            fleet.idle().await;
        }
    }

    /// Begins and ends fleets as terms begin and end. Comes back with a shard whose claim ended before it was drained: the
    /// process must end, somebody else may lead it.
    pub async fn follow(&self, told: Told) -> Shard {
        let mut shares = self.office.shares();
        let mut watched: FuturesUnordered<BoxFuture<'static, (Shard, u64, End)>> = FuturesUnordered::new();
        // Terms on which nothing is under way any more. That may be so before anybody asks for it.
        let mut settled = BTreeSet::new();
        loop {
            let now = shares.borrow_and_update().clone();
            self.lock().retain(|shard, term| now.get(shard).is_some_and(|share| share.epoch == term.epoch));
            for (shard, Share { claim, epoch, wish }) in now {
                if !self.lock().contains_key(&shard) {
                    let fleet = Fleet::sharing((self.make)(shard, claim.clone()), self.places.clone());
                    let end = watch(claim, fleet.clone());
                    watched.push(Box::pin(async move { (shard, epoch, end.await) }));
                    self.lock().insert(shard, Term { epoch, fleet });
                    // Nobody listens only when the process is about to end.
                    let _ = told.begun.send(shard);
                }
                if wish == Wish::Drain {
                    self.lock().get(&shard).iter().for_each(|term| term.fleet.drain());
                    if settled.remove(&(shard, epoch))
                        && let Some(drained) = &told.drained
                    {
                        // Nobody listens only when the elector has ended, and with it the term.
                        let _ = drained.send(shard).await;
                    }
                }
            }
            tokio::select! {
                Some((shard, epoch, end)) = watched.next() => match end {
                    End::Settled => drop(settled.insert((shard, epoch))),
                    End::Lost => return shard,
                },
                changed = shares.changed() => if changed.is_err() {
                    return std::future::pending().await;
                },
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Shard, Term<E>>> {
        self.terms.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How the work of a term ends.
enum End {
    /// Nothing is under way any more.
    Settled,
    /// The claim ended before.
    Lost,
}

async fn watch<E: Ports>(claim: Claim, fleet: Fleet<E>) -> End {
    let drain = fleet.engine().engine().drain.clone();
    let settled = async {
        drain.cancelled().await;
        fleet.idle().await;
    };
    tokio::select! {
        biased;
        () = settled => End::Settled,
        () = claim.ended() => End::Lost,
    }
}
