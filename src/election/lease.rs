//! One candidate at work: the machine against the API server.
//!
//! # Flow
//! [`Candidate::run`] asks the machine what to do, does it, and tells it what came of it, until the candidacy is over. What it
//! has come to is read from the [`Claim`].
//!
//! # Guarantees
//! Each request is sent once and waited for at most twice the retry period, and never beyond the end of the leadership.
//!
//! # Assumptions
//! The client repeats nothing (`default_retry = false`) and is used for nothing else, so that no other traffic delays a
//! renewal. Whoever cancels `release` has ended the work that the leadership guards.

use std::collections::BTreeMap;

use kube::Client;
use tokio_util::sync::CancellationToken;

use super::claim::{Claim, Herald};
use super::config::Durations;
use super::identity::Identity;
use super::machine::{Machine, Step};
use super::news::End;
use super::store::LeaseStore;
use crate::clock::Clock;

/// A process that lost its Lease ends, so there is no second.
const FIRST_TERM: u64 = 1;

/// Which Lease a candidate stands for.
#[derive(Clone, Debug)]
pub struct Place {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Labels that it gets when it has to be created.
    pub labels: BTreeMap<String, String>,
}

/// Who stands, and how.
#[derive(Clone, Debug)]
pub struct Stance {
    /// Fresh for this process.
    pub identity: Identity,
    /// How long a leadership lasts.
    pub durations: Durations,
    /// The clock that everybody uses who asks the claim.
    pub clock: Clock,
    /// Spreads the waits; drawn at the start of the process.
    pub seed: u64,
}

/// A candidate for one Lease and one term.
pub struct Candidate {
    store: LeaseStore,
    machine: Machine,
    stance: Stance,
    herald: Herald,
    claim: Claim,
}

impl Candidate {
    /// A candidate. No I/O.
    pub fn new(client: Client, place: Place, stance: Stance) -> Self {
        let (herald, claim) = Herald::new(stance.clock);
        let store = LeaseStore::new(client, place.namespace, place.name, place.labels);
        let machine = Machine::new(stance.identity.clone(), stance.durations, FIRST_TERM, stance.seed);
        Self { store, machine, stance, herald, claim }
    }

    /// The claim that this candidacy works for.
    pub fn claim(&self) -> Claim {
        self.claim.clone()
    }

    /// Stands for election, leads, and leads no more. Cancelling `release` gives up in good order; dropping this does not,
    /// and the others wait a lease duration.
    pub async fn run(mut self, release: CancellationToken) -> End {
        loop {
            let now = self.stance.clock.now();
            if release.is_cancelled() {
                self.machine.release(now.monotonic);
            }
            let step = self.machine.next(now);
            self.tell();
            match step {
                Step::Send(request, answer_by) => {
                    let within = answer_by.since(self.stance.clock.now().monotonic);
                    let answer = self.store.perform(&request, within).await;
                    self.machine.answered(answer, self.stance.clock.now().monotonic);
                    self.tell();
                }
                Step::Wait(until) => {
                    let until = tokio::time::sleep_until(self.stance.clock.instant(until));
                    if release.is_cancelled() {
                        until.await;
                    } else {
                        tokio::select! {
                            () = until => {}
                            () = release.cancelled() => {}
                        }
                    }
                }
                Step::Ended(end) => {
                    self.herald.close();
                    return end;
                }
            }
        }
    }

    /// The claim first, then the people.
    fn tell(&mut self) {
        self.herald.proclaim(self.machine.leadership());
        let (lease, identity) = (self.store.place(), self.stance.identity.as_str());
        for news in self.machine.take_news() {
            news.log(&lease, identity);
        }
    }
}
