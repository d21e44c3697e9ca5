//! One replica at work: its place in the council and its shards, against the API server.
//!
//! # Flow
//! [`Member::run`] keeps the replica's lines busy side by side. What it leads is read from its [`Office`]. Whoever works on a
//! shard that is to be drained ends that work and says so.
//!
//! # Guarantees
//! Those of the machine, for each shard. Each request is sent once and waited for at most twice the retry period, and never
//! beyond the end of a leadership. Nobody who is slow to read holds up a renewal.
//!
//! # Assumptions
//! The client repeats nothing (`default_retry = false`) and is used for nothing else, so that no other traffic delays a
//! renewal. A shard is said to be drained only after all work on it has ended.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures::StreamExt as _;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use kube::Client;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::claim::Herald;
use super::config::Durations;
use super::identity::Identity;
use super::news::{End, Loss};
use super::office::{Office, Share, Wish};
use super::replica::{Letter, Line, Replica, Reply, Turn};
use super::roster::Roster;
use super::shard::{Shard, Shards};
use super::store::LeaseStore;
use crate::api::names::ELECTION_LABEL;
use crate::clock::Clock;
use crate::saga::Monotonic;

/// Of which Leases the election consists.
#[derive(Clone, Debug)]
pub struct Ground {
    /// Where they are.
    pub namespace: String,
    /// What they are called.
    pub shards: Shards,
    /// Labels that they get beside [`ELECTION_LABEL`].
    pub labels: BTreeMap<String, String>,
}

/// Who stands, and how.
#[derive(Clone, Debug)]
pub struct Stance {
    /// Fresh for this process.
    pub identity: Identity,
    /// How long a leadership lasts.
    pub durations: Durations,
    /// The clock that everybody uses who asks a claim.
    pub clock: Clock,
    /// Spreads the waits; drawn at the start of the process.
    pub seed: u64,
}

/// A leadership was lost: the process must end.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("failed to stay the leader of shard {shard}: {}", End::Lost(loss.clone()))]
pub struct Deposed {
    /// Of which shard.
    pub shard: Shard,
    /// How.
    pub loss: Loss,
}

/// A replica that shares shards with others, or stands for the only one.
pub struct Member {
    replica: Replica,
    ground: Ground,
    stance: Stance,
    stores: BTreeMap<Shard, LeaseStore>,
    heralds: BTreeMap<Shard, (u64, Herald)>,
    office: Office,
    busy: BTreeSet<Line>,
}

/// A request under way; with its answer the store of its Lease comes back.
type Call = BoxFuture<'static, (Line, Reply, Option<(Shard, LeaseStore)>)>;
type Calls = FuturesUnordered<Call>;

impl Member {
    /// A replica that leads nothing yet. No I/O.
    pub fn new(ground: Ground, stance: Stance) -> Self {
        let replica = Replica::new(stance.identity.clone(), stance.durations, ground.shards.clone(), stance.seed);
        Self {
            replica,
            office: Office::vacant(ground.shards.clone(), stance.clock),
            ground,
            stance,
            stores: BTreeMap::new(),
            heralds: BTreeMap::new(),
            busy: BTreeSet::new(),
        }
    }

    /// Where to read what it leads.
    pub fn office(&self) -> Office {
        self.office.clone()
    }

    /// Takes part until `leave` is cancelled and every shard that it led has come over `drained`.
    ///
    /// # Errors
    /// When a leadership was lost. Dropping this is as good as being killed: the others wait a lease duration.
    pub async fn run(
        mut self,
        client: Client,
        mut drained: mpsc::Receiver<Shard>,
        leave: CancellationToken,
    ) -> Result<(), Deposed> {
        let clock = self.stance.clock;
        let roster = self.roster(client);
        let mut calls = Calls::new();
        let mut leaving = false;
        loop {
            self.office.beat();
            let wake = self.turn(&roster, &mut calls);
            self.tell();
            if let Some((shard, loss)) = self.replica.lost() {
                return Err(Deposed { shard: *shard, loss: loss.clone() });
            }
            if self.replica.is_over() {
                return Ok(());
            }
            tokio::select! {
                Some((line, reply, store)) = calls.next(), if !calls.is_empty() => {
                    self.busy.remove(&line);
                    self.stores.extend(store);
                    self.replica.answered(line, reply, clock.now().monotonic);
                }
                () = tokio::time::sleep_until(clock.instant(wake)) => {}
                Some(shard) = drained.recv() => self.replica.drained(shard, clock.now().monotonic),
                () = leave.cancelled(), if !leaving => {
                    leaving = true;
                    self.replica.leave(clock.now().monotonic);
                }
            }
        }
    }

    fn roster(&self, client: Client) -> Roster {
        let Ground { namespace, shards, labels } = self.ground.clone();
        let own = (ELECTION_LABEL.to_owned(), shards.name().to_owned());
        Roster { client, namespace, labels: labels.into_iter().chain([own]).collect() }
    }

    /// Gives every line that is free its next request. Returns when to look again.
    fn turn(&mut self, roster: &Roster, calls: &mut Calls) -> Monotonic {
        let clock = self.stance.clock;
        // Only a bound: with every line busy an answer comes first.
        let mut wake = clock.now().monotonic.after(self.stance.durations.lease());
        for line in self.replica.lines() {
            if self.busy.contains(&line) {
                continue;
            }
            match self.replica.next(line, clock.now()) {
                Turn::Send(letter, answer_by) => {
                    self.busy.insert(line);
                    let within = answer_by.since(clock.now().monotonic);
                    calls.push(self.call(roster.clone(), line, letter, within));
                }
                Turn::Wait(until) => wake = wake.min(until),
                Turn::Done => {}
            }
        }
        wake
    }

    fn call(&mut self, roster: Roster, line: Line, letter: Letter, within: Duration) -> Call {
        match (line, letter) {
            (Line::Term(shard, _), Letter::Lease(name, request)) => {
                let store = self.stores.remove(&shard);
                Box::pin(async move {
                    let mut store = store.unwrap_or_else(|| roster.store(name));
                    let answer = store.perform(&request, within).await;
                    (line, Reply::Lease(answer), Some((shard, store)))
                })
            }
            (Line::Council, Letter::Lease(name, request)) => Box::pin(async move {
                let answer = roster.store(name).perform(&request, within).await;
                (line, Reply::Lease(answer), None)
            }),
            (_, Letter::Council(chore)) => {
                Box::pin(async move { (line, Reply::Council(roster.perform(chore, within).await), None) })
            }
        }
    }

    /// The claims first, then who reads them, then the people.
    fn tell(&mut self) {
        let mut shares = self.office.current();
        for shard in self.ground.shards.all() {
            let leadership = self.replica.leadership(shard);
            let known = self.heralds.get(&shard).map(|(epoch, _)| *epoch);
            if let Some(epoch) = known.filter(|epoch| leadership.is_none_or(|now| now.epoch() != *epoch)) {
                tracing::debug!(%shard, epoch, "the term is over");
                if let Some((_, herald)) = self.heralds.remove(&shard) {
                    herald.close();
                }
                shares.remove(&shard);
            }
            let Some(leadership) = leadership else { continue };
            let (_, herald) = self.heralds.entry(shard).or_insert_with(|| {
                let (herald, claim) = Herald::new(self.stance.clock);
                shares.insert(shard, Share { claim, epoch: leadership.epoch(), wish: Wish::Keep });
                (leadership.epoch(), herald)
            });
            herald.proclaim(Some(leadership));
            if let Some(share) = shares.get_mut(&shard) {
                let drains = self.replica.draining().contains(&shard);
                share.wish = if drains { Wish::Drain } else { Wish::Keep };
            }
        }
        self.office.set(shares);
        let identity = self.stance.identity.as_str();
        for (shard, news) in self.replica.take_news() {
            let lease = shard
                .map_or_else(|| self.ground.shards.name().to_owned(), |shard| self.ground.shards.lease_name(shard));
            news.log(&lease, identity);
        }
        self.replica.take_ended();
    }
}
