//! Several replicas, one API server, and everything that may go wrong between them, in a time of its own.

mod fault;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};

use jiff::Timestamp;

pub(super) use fault::{Edit, Fault};

use super::physics::{Fate, LONGEST, MILLI, Micros, SECOND, Served, Skew};
use super::server::Server;
use crate::election::config::Durations;
use crate::election::council::Report;
use crate::election::identity::Identity;
use crate::election::machine::Answer;
use crate::election::news::{End, Loss};
use crate::election::record::Record;
use crate::election::replica::{Letter, Line, Replica, Reply, Turn};
use crate::election::shard::{Shard, Shards};
use crate::saga::Monotonic;

pub(super) const NAME: &str = "operator";
/// How long a process takes to come up again.
const START: Micros = SECOND;

/// What is wrong with a candidate on purpose: an oracle that finds nothing wrong with these is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flaw {
    /// Nothing.
    Sound,
    /// It takes a Lease whose `renewTime` lies further back than its duration.
    JudgesByRemoteTime,
    /// It leads until renew deadline after the answer of its last renewal.
    CountsFromTheAnswer,
    /// It leads on after the deadline, because its last renewal was merely unclear.
    KeepsLeading,
}

#[derive(Clone, Debug)]
pub(super) struct Candidate {
    pub(super) durations: Durations,
    pub(super) skew: Skew,
}

#[derive(Debug)]
enum Event {
    Wake { who: usize, stamp: u64 },
    Arrive { call: Call, letter: Letter, fate: Fate },
    Reply { call: Call, reply: Reply },
    Timeout { call: Call },
    Drained { who: usize, life: u64, shard: Shard },
    Fault(Fault),
    Start { who: usize, life: u64 },
}

#[derive(Clone, Copy, Debug)]
struct Call {
    who: usize,
    life: u64,
    line: Line,
    number: u64,
}

struct Scheduled(Micros, u64, Event);

impl PartialEq for Scheduled {
    fn eq(&self, other: &Self) -> bool {
        (self.0, self.1) == (other.0, other.1)
    }
}

impl Eq for Scheduled {}

impl PartialOrd for Scheduled {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Scheduled {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.0, self.1).cmp(&(other.0, other.1))
    }
}

struct Process {
    candidate: Candidate,
    replica: Replica,
    identity: Identity,
    /// Rises with each start.
    life: u64,
    /// A wake-up meant for an earlier moment is void.
    stamp: u64,
    calls: BTreeMap<Line, u64>,
    draining: BTreeSet<Shard>,
    paused_until: Micros,
    requests_cut_until: Micros,
    answers_cut_until: Micros,
    /// How late answers are, until then.
    slow: (Micros, Micros),
    flaw: Flaw,
    /// Of the flaws that keep a leadership of their own.
    own_end: Option<Monotonic>,
}

/// What happened in a world.
#[derive(Clone, Debug, Default)]
pub(super) struct Tally {
    pub(super) terms: u64,
    pub(super) taken: u64,
    pub(super) not_renewed: u64,
    pub(super) released: u64,
    pub(super) unclear: u64,
}

pub(super) struct World {
    pub(super) time: Micros,
    pub(super) server: Server,
    pub(super) tally: Tally,
    pub(super) shards: Shards,
    queue: BinaryHeap<Reverse<Scheduled>>,
    processes: Vec<Process>,
    tape: std::vec::IntoIter<u16>,
    /// From then on messages pass.
    calm_from: Micros,
    serial: u64,
    /// Who leads each shard.
    leaders: Vec<Vec<usize>>,
}

impl World {
    pub(super) fn new(candidates: Vec<Candidate>, shards: u16, flaw: Flaw, tape: Vec<u16>, calm_from: Micros) -> Self {
        let mut world = Self {
            time: 0,
            server: Server::default(),
            tally: Tally::default(),
            shards: Shards::new(shards, NAME).expect("shards"),
            queue: BinaryHeap::new(),
            processes: Vec::new(),
            tape: tape.into_iter(),
            calm_from,
            serial: 0,
            leaders: vec![Vec::new(); usize::from(shards)],
        };
        for (who, candidate) in candidates.into_iter().enumerate() {
            let (identity, replica) = world.fresh(who, &candidate);
            let process = Process {
                candidate,
                replica,
                identity,
                life: 0,
                stamp: 0,
                calls: BTreeMap::new(),
                draining: BTreeSet::new(),
                paused_until: 0,
                requests_cut_until: 0,
                answers_cut_until: 0,
                slow: (0, 0),
                flaw,
                own_end: None,
            };
            world.processes.push(process);
            world.schedule(0, Event::Wake { who, stamp: 0 });
        }
        world
    }

    fn fresh(&mut self, who: usize, candidate: &Candidate) -> (Identity, Replica) {
        self.serial += 1;
        let identity = Identity::fresh(&format!("p{who}"), u128::from(self.serial) << 64);
        (identity.clone(), Replica::new(identity, candidate.durations, self.shards.clone(), self.serial))
    }

    pub(super) fn fault(&mut self, at: Micros, fault: Fault) {
        self.schedule(at, Event::Fault(fault));
    }

    /// Who leads the first shard now, at this very moment.
    pub(super) fn leaders(&self) -> &[usize] {
        &self.leaders[0]
    }

    /// How many shards each process leads; `None` while one has no leader.
    pub(super) fn shares(&self) -> Option<Vec<usize>> {
        let mut shares = vec![0; self.processes.len()];
        for leaders in &self.leaders {
            shares[*leaders.first()?] += 1;
        }
        Some(shares)
    }

    /// Who leads each shard.
    pub(super) fn owners(&self) -> Vec<Vec<usize>> {
        self.leaders.clone()
    }

    /// Lives on until then, or until two lead.
    pub(super) fn run_until(&mut self, until: Micros) -> Result<(), String> {
        while self.queue.peek().is_some_and(|Reverse(next)| next.0 <= until) {
            let Some(Reverse(Scheduled(at, _, event))) = self.queue.pop() else { break };
            self.time = at;
            self.happen(event);
            self.look()?;
        }
        self.time = until;
        self.look()
    }

    /// A leadership begins only in an event and time can only end one, so it is enough to look after each.
    fn look(&mut self) -> Result<(), String> {
        for shard in self.shards.all() {
            let leads = |process: &Process| {
                let now = process.candidate.skew.monotonic(self.time);
                let sound = process.replica.leadership(shard).is_some_and(|leadership| leadership.is_current(now));
                sound || process.own_end.is_some_and(|end| now < end)
            };
            let leaders: Vec<usize> = (0..self.processes.len()).filter(|who| leads(&self.processes[*who])).collect();
            if leaders.len() > 1 {
                let lease = self.server.get(&self.shards.lease_name(shard));
                return Err(format!("at {} \u{b5}s {leaders:?} lead; the Lease: {lease:?}", self.time));
            }
            self.leaders[usize::from(shard.0)] = leaders;
        }
        Ok(())
    }

    fn schedule(&mut self, at: Micros, event: Event) {
        self.serial += 1;
        self.queue.push(Reverse(Scheduled(at, self.serial, event)));
    }

    fn happen(&mut self, event: Event) {
        let (who, life) = match &event {
            Event::Wake { who, .. } => (*who, self.processes[*who].life),
            Event::Reply { call, .. } | Event::Timeout { call } => (call.who, call.life),
            Event::Drained { who, life, .. } | Event::Start { who, life } => (*who, *life),
            Event::Arrive { .. } | Event::Fault(_) => return self.happen_outside(event),
        };
        if self.processes[who].life != life {
            return;
        }
        // It finds out when it goes on.
        let paused = self.processes[who].paused_until;
        if paused > self.time {
            return self.schedule(paused, event);
        }
        match event {
            Event::Wake { stamp, .. } if self.processes[who].stamp != stamp => {}
            Event::Wake { .. } => self.turn(who),
            Event::Reply { call, reply } => self.reply(call, reply),
            Event::Timeout { call } => {
                if self.processes[who].calls.get(&call.line) == Some(&call.number) {
                    self.tally.unclear += 1;
                    let silence = "no answer in time".to_owned();
                    let reply = match call.line {
                        Line::Council => Reply::Council(Report::Unclear(silence)),
                        Line::Term(..) => Reply::Lease(Answer::Unclear(silence)),
                    };
                    self.reply(call, reply);
                }
            }
            Event::Drained { shard, .. } => {
                let process = &mut self.processes[who];
                process.draining.remove(&shard);
                process.replica.drained(shard, process.candidate.skew.monotonic(self.time));
                self.turn(who);
            }
            Event::Start { .. } => self.restart(who),
            Event::Arrive { .. } | Event::Fault(_) => {}
        }
    }

    fn happen_outside(&mut self, event: Event) {
        match event {
            Event::Arrive { call, letter, fate } => self.arrive(call, &letter, fate),
            Event::Fault(fault) => self.go_wrong(fault),
            event => panic!("{event:?} happens to somebody"),
        }
    }

    /// Asks every line that is free what it does next.
    fn turn(&mut self, who: usize) {
        let now = self.processes[who].candidate.skew.now(self.time);
        let mut wake: Option<Micros> = None;
        for line in self.processes[who].replica.lines() {
            if self.processes[who].calls.contains_key(&line) {
                continue;
            }
            match self.processes[who].replica.next(line, now) {
                Turn::Send(letter, answer_by) => self.send(who, line, letter, answer_by),
                Turn::Wait(at) => {
                    let at = self.processes[who].candidate.skew.reaches(at).max(self.time + 1);
                    wake = Some(wake.map_or(at, |wake| wake.min(at)));
                }
                Turn::Done => {}
            }
        }
        self.take_stock(who);
        let process = &mut self.processes[who];
        process.stamp += 1;
        let stamp = process.stamp;
        if let Some(at) = wake {
            self.schedule(at, Event::Wake { who, stamp });
        }
    }

    fn send(&mut self, who: usize, line: Line, letter: Letter, answer_by: Monotonic) {
        self.serial += 1;
        let process = &mut self.processes[who];
        let call = Call { who, life: process.life, line, number: self.serial };
        process.calls.insert(line, call.number);
        let patience = process.candidate.skew.reaches(answer_by).max(self.time + 1);
        let cut = process.requests_cut_until > self.time;
        self.schedule(patience, Event::Timeout { call });
        let calm = self.time >= self.calm_from;
        let fate = if calm { Fate::calm() } else { self.tape.next().map_or(Fate::calm(), Fate::of) };
        if let Some(there) = fate.there.filter(|_| !cut) {
            self.schedule(self.time + there, Event::Arrive { call, letter, fate });
        }
    }

    /// What has ended, and what is to end.
    fn take_stock(&mut self, who: usize) {
        let (time, serial) = (self.time, self.serial);
        let process = &mut self.processes[who];
        let life = process.life;
        let mut kept = false;
        for (_, end) in process.replica.take_ended() {
            match end {
                End::Lost(Loss::Taken(_)) => self.tally.taken += 1,
                End::Lost(Loss::NotRenewed(_)) => {
                    self.tally.not_renewed += 1;
                    kept = process.flaw == Flaw::KeepsLeading;
                }
                End::Released => self.tally.released += 1,
                End::Withdrawn | End::Unreleased(_) => {}
            }
        }
        let new: Vec<Shard> =
            process.replica.draining().iter().filter(|shard| !process.draining.contains(shard)).copied().collect();
        process.draining.extend(&new);
        if kept {
            let now = process.candidate.skew.monotonic(time);
            process.own_end = Some(now.after(std::time::Duration::from_secs(5)));
        }
        let over = process.replica.is_over();
        for shard in new {
            // Work takes its time to end.
            self.schedule(time + MILLI + serial * 37 % 300 * MILLI, Event::Drained { who, life, shard });
        }
        if over {
            self.schedule(time + if kept { 6 * SECOND } else { START }, Event::Start { who, life });
        }
    }

    fn arrive(&mut self, call: Call, letter: &Letter, fate: Fate) {
        let reply = match (fate.answer, letter) {
            (Served::Truly, letter) => self.serve(letter),
            (Served::Busy(seconds), Letter::Lease(..)) => {
                Reply::Lease(Answer::Busy(seconds.map(std::time::Duration::from_secs)))
            }
            (Served::Busy(seconds), Letter::Council(_)) => {
                Reply::Council(Report::Busy(seconds.map(std::time::Duration::from_secs)))
            }
            (how, letter) => {
                if how == Served::Vaguely {
                    self.serve(letter);
                }
                match letter {
                    Letter::Lease(..) => Reply::Lease(Answer::Unclear("50x".to_owned())),
                    Letter::Council(_) => Reply::Council(Report::Unclear("50x".to_owned())),
                }
            }
        };
        let process = &self.processes[call.who];
        let Some(back) = fate.back.filter(|_| process.answers_cut_until <= self.time) else { return };
        let (late, until) = process.slow;
        let late = if until > self.time { late } else { 0 };
        self.schedule(self.time + back + late, Event::Reply { call, reply });
    }

    fn serve(&mut self, letter: &Letter) -> Reply {
        match letter {
            Letter::Lease(name, request) => Reply::Lease(self.server.perform(name, request)),
            Letter::Council(chore) => Reply::Council(self.server.run(chore)),
        }
    }

    fn reply(&mut self, call: Call, reply: Reply) {
        let process = &mut self.processes[call.who];
        if process.calls.get(&call.line) != Some(&call.number) {
            return;
        }
        process.calls.remove(&call.line);
        let now = process.candidate.skew.now(self.time);
        let standing = |process: &Process| match call.line {
            Line::Term(shard, _) => process.replica.leadership(shard),
            Line::Council => None,
        };
        let led = standing(process);
        let heard = match (process.flaw, &reply) {
            (Flaw::JudgesByRemoteTime, Reply::Lease(Answer::Found(lease))) if is_past(&lease.record, now.wall) => {
                // As if it had stood so for long.
                Monotonic(now.monotonic.0.saturating_sub(std::time::Duration::from_secs(1000)))
            }
            _ => now.monotonic,
        };
        process.replica.answered(call.line, reply, heard);
        let leads = standing(process);
        if leads != led && leads.is_some() {
            self.tally.terms += u64::from(led.is_none());
            if process.flaw == Flaw::CountsFromTheAnswer {
                process.own_end = Some(now.monotonic.after(process.candidate.durations.renew_deadline()));
            }
        }
        self.turn(call.who);
    }

    fn restart(&mut self, who: usize) {
        let candidate = self.processes[who].candidate.clone();
        let (identity, replica) = self.fresh(who, &candidate);
        let process = &mut self.processes[who];
        process.replica = replica;
        process.identity = identity;
        process.life += 1;
        process.stamp += 1;
        process.calls.clear();
        process.draining.clear();
        process.paused_until = 0;
        process.own_end = None;
        let stamp = process.stamp;
        self.schedule(self.time + MILLI, Event::Wake { who, stamp });
    }

    /// Ends the time in which things go wrong. What is on its way still arrives.
    pub(super) fn settled(&self) -> Micros {
        self.calm_from + LONGEST + START
    }
}

fn is_past(record: &Record, wall: Timestamp) -> bool {
    let duration = jiff::SignedDuration::from_secs(record.duration_seconds.unwrap_or_default().into());
    record.renewed.and_then(|renewed| renewed.checked_add(duration).ok()).is_some_and(|end| end < wall)
}
