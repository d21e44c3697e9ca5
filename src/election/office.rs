//! What this process leads at the moment, from term to term.
//!
//! # Flow
//! The elector writes it, and everybody reads it who works on what is led: for each shard a claim, and whether the work is to
//! go on or to be ended. Without election there is one shard, and it is led for ever.
//!
//! # Guarantees
//! A share that is to be drained stays so until its term is over: whoever ended the work need not fear that it begins again.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures::Stream;
use tokio::sync::watch;

use super::claim::Claim;
use super::shard::{Shard, Shards};
use crate::clock::Clock;
use crate::saga::Monotonic;

/// What to do with a shard that this process leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// Go on.
    Keep,
    /// It is to be another's: begin nothing new, end what is under way, then say that it is drained.
    Drain,
}

/// A shard that this process leads.
#[derive(Clone, Debug)]
pub struct Share {
    /// The claim of this term.
    pub claim: Claim,
    /// Which term of this process it is.
    pub epoch: u64,
    /// What to do.
    pub wish: Wish,
}

/// All shards that this process leads.
pub type Shares = BTreeMap<Shard, Share>;

/// What this process leads. Clones agree.
#[derive(Clone, Debug)]
pub struct Office {
    shards: Shards,
    shares: Arc<watch::Sender<Shares>>,
    /// Nothing without one.
    elector: Option<Elector>,
}

/// What the elector tells of itself.
#[derive(Clone, Debug)]
struct Elector {
    /// When it last did something, in milliseconds of the clock.
    pulse: Arc<AtomicU64>,
    clock: Clock,
    terms: Arc<AtomicU64>,
}

impl Office {
    /// The office of a process that nobody has to elect: all runs, for ever.
    pub fn unelected() -> Self {
        let all = Share { claim: Claim::unelected(), epoch: 0, wish: Wish::Keep };
        let shares = Shares::from([(Shard(0), all)]);
        Self { shards: Shards::undivided(), shares: Arc::new(watch::Sender::new(shares)), elector: None }
    }

    /// The office of a process that leads nothing yet.
    pub(super) fn vacant(shards: Shards, clock: Clock) -> Self {
        let elector = Elector { pulse: Arc::default(), clock, terms: Arc::default() };
        let office = Self { shards, shares: Arc::default(), elector: Some(elector) };
        office.beat();
        office
    }

    /// The shard of a run.
    pub fn shard_of(&self, run_uid: &str) -> Shard {
        self.shards.of(run_uid)
    }

    /// What is led, now and from now on.
    pub fn shares(&self) -> watch::Receiver<Shares> {
        self.shares.subscribe()
    }

    /// Whether work on this shard may begin.
    pub fn leads(&self, shard: Shard, now: Monotonic) -> bool {
        let shares = self.shares.borrow();
        let share = shares.get(&shard).filter(|share| share.wish == Wish::Keep);
        share.is_some_and(|share| share.claim.current(now).is_some())
    }

    /// An item for each term in which this process comes to lead the shard; the one that it is in counts.
    pub fn terms(&self, shard: Shard) -> impl Stream<Item = ()> + Send + use<> {
        let state = (self.shares.subscribe(), None);
        futures::stream::unfold(state, move |(mut shares, mut last)| async move {
            loop {
                let epoch = shares.borrow_and_update().get(&shard).map(|share| share.epoch);
                if epoch.is_some() && epoch != last {
                    return Some(((), (shares, epoch)));
                }
                last = epoch.or(last);
                if shares.changed().await.is_err() {
                    return None;
                }
            }
        })
    }

    /// The Lease of each shard, and whether this process leads it now; none without election.
    pub fn leases(&self, now: Monotonic) -> Vec<(String, bool)> {
        let shards = self.shards.all().filter(|_| self.elector.is_some());
        let shares = self.shares.borrow();
        let leads = |shard| shares.get(&shard).is_some_and(|share: &Share| share.claim.current(now).is_some());
        shards.map(|shard| (self.shards.lease_name(shard), leads(shard))).collect()
    }

    /// In how many terms this process has led a shard so far.
    pub fn terms_begun(&self) -> u64 {
        self.elector.as_ref().map(|elector| elector.terms.load(Ordering::Relaxed)).unwrap_or_default()
    }

    /// How long ago the elector last did something: there is always something to do within a lease duration. For health
    /// checks; zero without election.
    pub fn silent_for(&self) -> Duration {
        let since = |Elector { pulse, clock, .. }: &Elector| {
            clock.now().monotonic.since(Monotonic(Duration::from_millis(pulse.load(Ordering::Relaxed))))
        };
        self.elector.as_ref().map(since).unwrap_or_default()
    }

    /// The elector did something.
    pub(super) fn beat(&self) {
        if let Some(Elector { pulse, clock, .. }) = &self.elector {
            let now = clock.now().monotonic.0.as_millis();
            pulse.store(u64::try_from(now).unwrap_or(u64::MAX), Ordering::Relaxed);
        }
    }

    /// What is led now, to be changed and set again.
    pub(super) fn current(&self) -> Shares {
        self.shares.borrow().clone()
    }

    /// Readers are woken only by what they can see.
    pub(super) fn set(&self, shares: Shares) {
        let told = |shares: &Shares| -> Vec<_> {
            shares.iter().map(|(shard, share)| (*shard, share.epoch, share.wish)).collect()
        };
        self.shares.send_if_modified(|before| {
            let known = |shard: &Shard, share: &Share| before.get(shard).is_some_and(|old| old.epoch == share.epoch);
            let begun = shares.iter().filter(|(shard, share)| !known(shard, share)).count();
            if let Some(elector) = &self.elector {
                elector.terms.fetch_add(u64::try_from(begun).unwrap_or_default(), Ordering::Relaxed);
            }
            let changed = told(before) != told(&shares);
            *before = shares;
            changed
        });
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use futures::{FutureExt as _, StreamExt as _};

    use super::super::claim::Herald;
    use super::super::leadership::Leadership;
    use super::*;

    fn share(clock: Clock, epoch: u64, wish: Wish) -> (Herald, Shares) {
        let (herald, claim) = Herald::new(clock);
        herald.proclaim(Some(Leadership::until(epoch, clock.now().monotonic.after(Duration::from_secs(10)))));
        (herald, Shares::from([(Shard(1), Share { claim, epoch, wish })]))
    }

    #[tokio::test(start_paused = true)]
    async fn work_begins_under_a_current_claim_and_not_once_the_shard_is_to_be_drained() {
        let clock = Clock::start();
        let office = Office::vacant(Shards::new(2, "x").unwrap(), clock);
        let leads = || office.leads(Shard(1), clock.now().monotonic);
        assert!(!leads());
        let (_herald, mut shares) = share(clock, 1, Wish::Keep);
        office.set(shares.clone());
        assert!(leads());
        assert!(!office.leads(Shard(0), clock.now().monotonic));
        shares.values_mut().for_each(|share| share.wish = Wish::Drain);
        office.set(shares.clone());
        assert!(!leads());
        shares.values_mut().for_each(|share| share.wish = Wish::Keep);
        office.set(shares);
        tokio::time::sleep(Duration::from_secs(10)).await;
        assert!(!leads(), "its time is up");
    }

    #[tokio::test(start_paused = true)]
    async fn each_term_is_told_once_and_the_one_that_runs_already_counts() {
        let clock = Clock::start();
        let office = Office::vacant(Shards::new(2, "x").unwrap(), clock);
        let (_first, shares) = share(clock, 1, Wish::Keep);
        office.set(shares.clone());
        let mut terms = pin!(office.terms(Shard(1)));
        assert_eq!(terms.next().now_or_never(), Some(Some(())));
        office.set(shares);
        assert_eq!(terms.next().now_or_never(), None);
        office.set(Shares::new());
        assert_eq!(terms.next().now_or_never(), None);
        let (_second, shares) = share(clock, 4, Wish::Keep);
        office.set(shares);
        assert_eq!(terms.next().now_or_never(), Some(Some(())));
        assert_eq!(office.terms_begun(), 2);
        let held = [("x-0".to_owned(), false), ("x-1".to_owned(), true)];
        assert_eq!(office.leases(clock.now().monotonic), held);
        assert!(Office::unelected().leases(clock.now().monotonic).is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn the_pulse_is_that_of_the_elector_and_without_one_nobody_is_silent() {
        let office = Office::vacant(Shards::undivided(), Clock::start());
        tokio::time::sleep(Duration::from_secs(7)).await;
        assert_eq!(office.silent_for(), Duration::from_secs(7));
        office.beat();
        assert_eq!(office.silent_for(), Duration::ZERO);
        let unelected = Office::unelected();
        tokio::time::sleep(Duration::from_secs(7)).await;
        assert_eq!(unelected.silent_for(), Duration::ZERO);
        assert!(unelected.leads(unelected.shard_of("any"), Monotonic(Duration::MAX)));
    }
}
