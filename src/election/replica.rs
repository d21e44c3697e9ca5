//! One replica: its place in the council and a machine for each shard that it leads or stands for. Pure.
//!
//! # Flow
//! Every [`Line`] has at most one request under way. After each answer and at each point in time that was asked for, every
//! line is asked for its next. A shard in [`Replica::draining`] is another's from now on: whoever does its work ends it and
//! says [`Replica::drained`]. There is no way back within a term: who should have it after all stands for it again.
//!
//! # Guarantees
//! Those of the machine, for each shard. When one is lost, the replica is over: a process that lost one leadership may
//! have lost its clock or its network, and the others are taken over from it in good time.
//!
//! With one shard there is no council: the replica stands for its Lease and writes nothing else.
#![warn(clippy::disallowed_methods, clippy::wildcard_enum_match_arm)]

use std::collections::{BTreeMap, BTreeSet};

use super::config::Durations;
use super::council::{Chore, Council, Move, Report, Seat, Verdict};
use super::identity::Identity;
use super::leadership::Leadership;
use super::machine::{Answer, Machine, Request, Step};
use super::news::{End, Loss, News};
use super::shard::{Shard, Shards};
use crate::saga::{Monotonic, Now};

/// One of the things a replica does side by side.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Line {
    Council,
    /// One term on one shard.
    Term(Shard, u64),
}

/// A request, and which Lease it is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Letter {
    Lease(String, Request),
    Council(Chore),
}

/// Its answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Reply {
    Lease(Answer),
    Council(Report),
}

/// What a line does next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    Send(Letter, Monotonic),
    Wait(Monotonic),
    /// Nothing, for good.
    Done,
}

#[derive(Debug)]
pub(super) struct Replica {
    identity: Identity,
    durations: Durations,
    shards: Shards,
    seed: u64,
    council: Option<Council>,
    terms: BTreeMap<Shard, (u64, Machine)>,
    begun: u64,
    draining: BTreeSet<Shard>,
    leaving: bool,
    lost: Option<(Shard, Loss)>,
    ended: Vec<(Shard, End)>,
    news: Vec<(Option<Shard>, News)>,
}

impl Replica {
    pub(super) fn new(identity: Identity, durations: Durations, shards: Shards, seed: u64) -> Self {
        let several = shards.count() > 1;
        let council = several.then(|| Council::new(identity.clone(), durations, shards.clone(), seed));
        let mut replica = Self {
            identity,
            durations,
            shards,
            seed,
            council,
            terms: BTreeMap::new(),
            begun: 0,
            draining: BTreeSet::new(),
            leaving: false,
            lost: None,
            ended: Vec::new(),
            news: Vec::new(),
        };
        if !several {
            replica.stand(Shard(0));
        }
        replica
    }

    /// The leadership of a shard.
    pub(super) fn leadership(&self, shard: Shard) -> Option<Leadership> {
        self.terms.get(&shard).and_then(|(_, machine)| machine.leadership())
    }

    /// Shards that are to be given up: nothing new is begun for them, and what is under way is ended.
    pub(super) const fn draining(&self) -> &BTreeSet<Shard> {
        &self.draining
    }

    /// Whether there is nothing more to do, and why if not by own will.
    pub(super) fn is_over(&self) -> bool {
        self.lost.is_some() || (self.leaving && self.terms.is_empty() && self.council.is_none())
    }

    /// Which leadership was lost.
    pub(super) const fn lost(&self) -> Option<&(Shard, Loss)> {
        self.lost.as_ref()
    }

    /// How terms ended since this was last asked.
    pub(super) fn take_ended(&mut self) -> Vec<(Shard, End)> {
        std::mem::take(&mut self.ended)
    }

    /// What happened, and to which shard.
    pub(super) fn take_news(&mut self) -> Vec<(Option<Shard>, News)> {
        let mut news = std::mem::take(&mut self.news);
        news.extend(self.council.iter_mut().flat_map(Council::take_news).map(|news| (None, news)));
        for (shard, (_, machine)) in &mut self.terms {
            news.extend(machine.take_news().into_iter().map(|news| (Some(*shard), news)));
        }
        news
    }

    /// The work on a shard has ended: its Lease is given up.
    pub(super) fn drained(&mut self, shard: Shard, now: Monotonic) {
        if let Some((_, machine)) = self.terms.get_mut(&shard).filter(|_| self.draining.contains(&shard)) {
            machine.release(now);
        }
    }

    /// The process is asked to end: the others get its shards, each as soon as it is drained.
    pub(super) fn leave(&mut self, now: Monotonic) {
        self.leaving = true;
        if let Some(council) = &mut self.council {
            council.leave(now);
        }
        self.decide(now);
    }

    /// What it does side by side.
    pub(super) fn lines(&self) -> Vec<Line> {
        let terms = self.terms.iter().map(|(shard, (term, _))| Line::Term(*shard, *term));
        self.council.iter().map(|_| Line::Council).chain(terms).collect()
    }

    /// What one line does next.
    pub(super) fn next(&mut self, line: Line, now: Now) -> Turn {
        match line {
            Line::Council => self.confer(now),
            Line::Term(shard, term) => self.act(shard, term, now),
        }
    }

    fn confer(&mut self, now: Now) -> Turn {
        let first = self.seat(Shard(0));
        let Some(council) = &mut self.council else { return Turn::Done };
        match council.next(first, now) {
            Move::Send(chore, answer_by) => Turn::Send(Letter::Council(chore), answer_by),
            Move::Wait(until) => Turn::Wait(until),
            Move::Left => {
                self.news.extend(council.take_news().into_iter().map(|news| (None, news)));
                self.council = None;
                Turn::Done
            }
        }
    }

    fn act(&mut self, shard: Shard, term: u64, now: Now) -> Turn {
        let Some((_, machine)) = self.terms.get_mut(&shard).filter(|(own, _)| *own == term) else { return Turn::Done };
        match machine.next(now) {
            Step::Send(request, answer_by) => {
                Turn::Send(Letter::Lease(self.shards.lease_name(shard), request), answer_by)
            }
            Step::Wait(until) => Turn::Wait(until),
            Step::Ended(end) => {
                self.news.extend(machine.take_news().into_iter().map(|news| (Some(shard), news)));
                self.terms.remove(&shard);
                self.draining.remove(&shard);
                if let End::Lost(loss) = &end {
                    self.lost = Some((shard, loss.clone()));
                }
                self.ended.push((shard, end));
                Turn::Done
            }
        }
    }

    /// Takes what came of a line's request. An answer to a term that is over goes nowhere.
    pub(super) fn answered(&mut self, line: Line, reply: Reply, now: Monotonic) {
        match (line, reply) {
            (Line::Council, Reply::Council(report)) => {
                if let Some(council) = &mut self.council {
                    council.answered(report, now);
                    self.decide(now);
                }
            }
            (Line::Term(shard, term), Reply::Lease(answer)) => {
                if let Some((_, machine)) = self.terms.get_mut(&shard).filter(|(own, _)| *own == term) {
                    machine.answered(answer, now);
                    self.decide(now);
                }
            }
            (Line::Council, Reply::Lease(_)) | (Line::Term(..), Reply::Council(_)) => {}
        }
    }

    fn seat(&self, shard: Shard) -> Seat {
        if self.leadership(shard).is_some() { Seat::Ours } else { Seat::Others }
    }

    /// Stands for what it should have and gives up what it should not.
    fn decide(&mut self, now: Monotonic) {
        for shard in self.shards.all() {
            let seat = self.seat(shard);
            let verdict = match &mut self.council {
                Some(council) => council.verdict(shard, seat, now),
                None if self.leaving && seat == Seat::Ours => Verdict::GiveUp,
                None if self.leaving => Verdict::LeaveAlone,
                None if seat == Seat::Ours => Verdict::Hold,
                None => Verdict::Want,
            };
            match verdict {
                Verdict::Hold => {}
                Verdict::GiveUp => drop(self.draining.insert(shard)),
                Verdict::Want if !self.terms.contains_key(&shard) && self.shards.count() > 1 => self.stand(shard),
                Verdict::Want => {}
                Verdict::LeaveAlone => {
                    if let Some((_, machine)) = self.terms.get_mut(&shard) {
                        machine.release(now);
                    }
                }
            }
        }
    }

    fn stand(&mut self, shard: Shard) {
        self.begun += 1;
        let seed = self.seed ^ (self.begun << 32);
        let machine = Machine::new(self.identity.clone(), self.durations, self.begun, seed);
        // What the council has watched counts: else the shards of the dead would wait two lease durations.
        let machine = match self.council.as_ref().and_then(|council| council.seat(shard)) {
            Some((lease, since)) => machine.informed(lease, since),
            None => machine,
        };
        self.terms.insert(shard, (self.begun, machine));
    }
}
