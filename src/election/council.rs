//! How replicas share the shards without talking to each other. Pure.
//!
//! # Flow
//! Each replica keeps a small Lease of its own, which says nothing but that it changes. Everybody lists all Leases, takes
//! for alive whose Lease changes, and knows from that alone which shards are whose ([`assignment`]). Per shard the
//! [`Verdict`] says what to do about it.
//!
//! # Guarantees
//! None for safety: whatever is decided here, a shard is led by whoever holds its Lease. A replica counts as dead only when
//! a survey shows its Lease unchanged for a lease duration of the own clock; a server that does not answer kills nobody.
//! Who is dead for long is removed, by whoever leads the first shard, and only if it is still that very Lease.
//!
//! # Caveats
//! Replicas may see different sets for a while. A shard that nobody takes, because each believes it another's, may be
//! taken by anybody after a lease duration.
#![warn(clippy::disallowed_methods, clippy::wildcard_enum_match_arm)]

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::assignment::assignment;
use super::config::Durations;
use super::identity::Identity;
use super::jitter::Jitter;
use super::news::News;
use super::record::{LeaseObject, Record};
use super::shard::{Shard, Shards};
use crate::saga::{Monotonic, Now};

/// More replicas than this are not looked at: the Leases may be garbage.
const MAX_REPLICAS: usize = 256;
/// Lease durations without a change until a replica's Lease is removed.
const BURIED_AFTER: u32 = 10;
/// Lease durations that a shard is kept from a replica that lives but did not take it.
const LENT_FOR: u32 = 8;

/// A request about the Leases of replicas.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Chore {
    /// All Leases of this election, by quorum.
    Survey,
    /// Create our own.
    Enrol { name: String, record: Record },
    /// Show that we live.
    Renew { name: String, uid: String, version: String, record: Record },
    /// Remove one, if it is still this very one.
    Remove { name: String, uid: String, version: String },
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Report {
    Surveyed(Vec<(String, LeaseObject)>),
    Written(LeaseObject),
    /// Removed, or gone already.
    Gone,
    Conflict,
    Busy(Option<Duration>),
    Unclear(String),
}

/// What to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Move {
    Send(Chore, Monotonic),
    Wait(Monotonic),
    /// This replica is not part of it any more.
    Left,
}

/// What to do about a shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// We lead it and go on.
    Hold,
    /// Stand for it.
    Want,
    /// We lead it and it is another's: drain, then release.
    GiveUp,
    LeaveAlone,
}

/// Whether this replica leads a shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Seat {
    Ours,
    Others,
}

#[derive(Debug)]
pub(super) struct Council {
    identity: Identity,
    durations: Durations,
    shards: Shards,
    jitter: Jitter,
    /// Our own Lease as last seen.
    own: Option<LeaseObject>,
    /// Look before the next write.
    doubt: bool,
    renew_at: Monotonic,
    survey_at: Monotonic,
    gate: Monotonic,
    call: Option<(Chore, Monotonic, Monotonic)>,
    /// When the last survey was answered.
    surveyed: Option<Monotonic>,
    replicas: BTreeMap<Identity, Sighting>,
    seats: BTreeMap<Shard, (Option<LeaseObject>, Monotonic)>,
    live: BTreeSet<Identity>,
    live_since: Monotonic,
    assigned: BTreeMap<Shard, Identity>,
    /// Shards that we stood for because their replica did not take them.
    lent: BTreeMap<Shard, Monotonic>,
    leaving: Option<Monotonic>,
    trouble: Option<String>,
    news: Vec<News>,
}

#[derive(Debug)]
struct Sighting {
    lease: LeaseObject,
    since: Monotonic,
}

impl Council {
    pub(super) fn new(identity: Identity, durations: Durations, shards: Shards, seed: u64) -> Self {
        Self {
            identity,
            durations,
            shards,
            jitter: Jitter::seeded(seed),
            own: None,
            doubt: true,
            renew_at: Monotonic::default(),
            survey_at: Monotonic::default(),
            gate: Monotonic::default(),
            call: None,
            surveyed: None,
            replicas: BTreeMap::new(),
            seats: BTreeMap::new(),
            live: BTreeSet::new(),
            live_since: Monotonic::default(),
            assigned: BTreeMap::new(),
            lent: BTreeMap::new(),
            leaving: None,
            trouble: None,
            news: Vec::new(),
        }
    }

    pub(super) fn take_news(&mut self) -> Vec<News> {
        std::mem::take(&mut self.news)
    }

    /// This replica is about to end: it wants nothing any more, and tells the others by removing its Lease.
    pub(super) fn leave(&mut self, now: Monotonic) {
        if self.leaving.is_none() {
            self.leaving = Some(now.after(self.durations.answer_within() * 2));
            self.gate = now;
        }
    }

    /// What to do now. `first`: who leads the first shard removes the dead.
    pub(super) fn next(&mut self, first: Seat, now: Now) -> Move {
        let time = now.monotonic;
        let overdue = self.leaving.is_some_and(|until| time >= until);
        if overdue || (self.leaving.is_some() && !self.doubt && self.own.is_none() && self.call.is_none()) {
            return Move::Left;
        }
        if let Some((_, _, answer_by)) = &self.call {
            return Move::Wait(*answer_by);
        }
        let (chore, at) = self.plan(first, now);
        if time < at {
            return Move::Wait(self.leaving.map_or(at, |until| at.min(until)));
        }
        let answer_by = time.after(self.durations.answer_within());
        self.call = Some((chore.clone(), time, answer_by));
        Move::Send(chore, answer_by)
    }

    fn plan(&self, first: Seat, now: Now) -> (Chore, Monotonic) {
        if self.doubt {
            return (Chore::Survey, self.gate);
        }
        let name = self.shards.replica_name(&self.identity);
        let (identity, lease) = (&self.identity, self.durations.lease());
        let renew_at = self.renew_at.max(self.gate);
        let survey_at = self.survey_at.max(self.gate);
        match &self.own {
            Some(own) if self.leaving.is_some() => {
                (Chore::Remove { name, uid: own.uid.clone(), version: own.version.clone() }, self.gate)
            }
            None if renew_at <= survey_at => {
                (Chore::Enrol { name, record: Record::default().taken(identity, lease, now.wall) }, renew_at)
            }
            Some(own) if renew_at <= survey_at => {
                let record = own.record.renewed(identity, lease, now.wall);
                (Chore::Renew { name, uid: own.uid.clone(), version: own.version.clone(), record }, renew_at)
            }
            Some(_) | None => match self.buried(now.monotonic).filter(|_| first == Seat::Ours) {
                Some(chore) => (chore, self.gate),
                None => (Chore::Survey, survey_at),
            },
        }
    }

    /// The Lease of one who is dead for long.
    fn buried(&self, now: Monotonic) -> Option<Chore> {
        let long = self.durations.lease() * BURIED_AFTER;
        let dead = |(identity, seen): &(&Identity, &Sighting)| {
            **identity != self.identity && !self.live.contains(identity) && now >= seen.since.after(long)
        };
        let (identity, seen) = self.replicas.iter().find(dead)?;
        let name = self.shards.replica_name(identity);
        Some(Chore::Remove { name, uid: seen.lease.uid.clone(), version: seen.lease.version.clone() })
    }

    pub(super) fn answered(&mut self, report: Report, now: Monotonic) {
        let Some((chore, sent, _)) = self.call.take() else { return };
        match report {
            Report::Surveyed(leases) => self.surveyed(leases, sent, now),
            Report::Written(lease) => {
                self.own = Some(lease);
                self.renew_at = sent.after(self.jitter.stretch(self.durations.lease() / 3));
            }
            Report::Gone => self.removed(&chore),
            Report::Conflict => {
                self.doubt = true;
                self.gate = sent.after(self.jitter.stretch(self.durations.look_period())).max(now);
            }
            Report::Busy(wait) => {
                let wait = wait.unwrap_or(self.durations.retry_period()).min(self.durations.lease());
                self.gate = now.after(self.jitter.stretch(wait));
            }
            Report::Unclear(what) => {
                self.doubt = true;
                self.gate = sent.after(self.jitter.stretch(self.durations.retry_period())).max(now);
                if self.trouble.is_none() {
                    self.news.push(News::Blind(what.clone()));
                }
                self.trouble = Some(what);
            }
        }
    }

    fn removed(&mut self, chore: &Chore) {
        let Chore::Remove { name, .. } = chore else { return };
        match self.shards.replica_of(name) {
            Some(identity) if identity == self.identity => self.own = None,
            Some(identity) => drop(self.replicas.remove(&identity)),
            None => {}
        }
    }

    fn surveyed(&mut self, leases: Vec<(String, LeaseObject)>, sent: Monotonic, now: Monotonic) {
        if self.trouble.take().is_some() {
            self.news.push(News::Recovered);
        }
        self.doubt = false;
        self.surveyed = Some(now);
        self.survey_at = sent.after(self.jitter.stretch(self.durations.look_period()));
        let mut replicas = BTreeMap::new();
        let mut seats: BTreeMap<Shard, LeaseObject> = BTreeMap::new();
        for (name, lease) in leases {
            if let Some(identity) = self.shards.replica_of(&name) {
                if identity == self.identity || replicas.len() < MAX_REPLICAS {
                    replicas.insert(identity, lease);
                }
            } else if let Some(shard) = self.shards.of_lease(&name) {
                seats.insert(shard, lease);
            }
        }
        self.own = replicas.get(&self.identity).cloned();
        if self.own.is_none() {
            self.renew_at = now;
        }
        let mut before = std::mem::take(&mut self.replicas);
        for (identity, lease) in replicas {
            let same = before.remove(&identity).filter(|seen| seen.lease == lease);
            self.replicas.insert(identity, same.unwrap_or(Sighting { lease, since: now }));
        }
        for shard in self.shards.all() {
            let lease = seats.remove(&shard);
            let seat = self.seats.entry(shard).or_insert_with(|| (lease.clone(), now));
            if seat.0 != lease {
                *seat = (lease, now);
            }
        }
        self.count(now);
    }

    /// Who lives, and what follows from that.
    fn count(&mut self, now: Monotonic) {
        let own_lease = self.durations.lease();
        let lives = |(identity, seen): &(&Identity, &Sighting)| {
            **identity == self.identity || now < seen.since.after(seen.lease.record.believed(own_lease))
        };
        let live: BTreeSet<Identity> =
            self.replicas.iter().filter(lives).map(|(identity, _)| identity.clone()).collect();
        if live != self.live {
            self.assigned = assignment(&live, &self.shards);
            self.live_since = now;
            self.lent.clear();
            self.news.push(News::Replicas(live.iter().map(ToString::to_string).collect()));
            self.live = live;
        }
    }

    /// What to do about a shard, given whether we lead it.
    pub(super) fn verdict(&mut self, shard: Shard, seat: Seat, now: Monotonic) -> Verdict {
        if self.leaving.is_some() {
            return if seat == Seat::Ours { Verdict::GiveUp } else { Verdict::LeaveAlone };
        }
        let assigned = self.assigned.get(&shard);
        match (seat, assigned) {
            (Seat::Ours, Some(replica)) if *replica == self.identity => Verdict::Hold,
            (Seat::Others, Some(replica)) if *replica == self.identity => Verdict::Want,
            (Seat::Ours, Some(_)) => self.given_up(shard, now),
            (Seat::Others, Some(_)) if self.live.contains(&self.identity) && self.is_left_lying(shard, now) => {
                self.lent.insert(shard, now);
                Verdict::Want
            }
            // Nobody is seen alive, not even we.
            (Seat::Ours, None) => Verdict::Hold,
            (Seat::Others, Some(_) | None) => Verdict::LeaveAlone,
        }
    }

    /// Not before the others can have seen the same replicas; and not at once to one who did not take it.
    fn given_up(&self, shard: Shard, now: Monotonic) -> Verdict {
        let lease = self.durations.lease();
        let settled = now >= self.live_since.after(lease / 3);
        let lent = self.lent.get(&shard).is_some_and(|since| now < since.after(lease * LENT_FOR));
        if settled && !lent { Verdict::GiveUp } else { Verdict::Hold }
    }

    /// The Lease of a shard as the last survey showed it, and since when it has stood so.
    pub(super) fn seat(&self, shard: Shard) -> Option<(Option<LeaseObject>, Monotonic)> {
        self.seats.get(&shard).cloned()
    }

    /// Whether a shard has been free for a lease duration.
    fn is_left_lying(&self, shard: Shard, now: Monotonic) -> bool {
        let lease = self.durations.lease();
        let Some((seen, since)) = self.seats.get(&shard) else { return false };
        let free = match seen {
            Some(seen) if !seen.record.is_given_up() => since.after(seen.record.believed(lease)),
            Some(_) | None => *since,
        };
        // Judged by what a survey has shown, not by silence.
        self.surveyed.is_some_and(|surveyed| surveyed.min(now) >= free.after(lease))
    }
}
