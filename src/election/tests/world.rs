//! Several candidates, one API server, and everything that may go wrong between them, in a time of its own.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use jiff::Timestamp;

use super::physics::{Fate, LONGEST, MILLI, Micros, SECOND, Served, Skew};
use super::server::Server;
use crate::election::config::Durations;
use crate::election::identity::Identity;
use crate::election::machine::{Answer, Machine, Request, Step};
use crate::election::news::{End, Loss};
use crate::election::record::Record;
use crate::saga::Monotonic;

pub(super) const NAME: &str = "operator";
/// How long a process takes to come up again.
const START: Micros = SECOND;

/// Something that goes wrong, or that a person does.
#[derive(Clone, Debug)]
pub(super) enum Fault {
    /// One process stands still.
    Pause {
        who: usize,
        micros: Micros,
    },
    /// Nothing gets from one process to the server, or back, or both.
    Cut {
        who: usize,
        requests: bool,
        answers: bool,
        micros: Micros,
    },
    /// The network gets slow for one process, and then fails.
    Fade {
        who: usize,
        late: Micros,
        slow: Micros,
        gone: Micros,
    },
    /// `kill -9`, and a new process in its place.
    Restart {
        who: usize,
    },
    /// It gives up in good order.
    Release {
        who: usize,
    },
    /// Its wall clock jumps.
    Wall {
        who: usize,
        seconds: i64,
    },
    Delete,
    Edit(Edit),
}

/// What people write into a Lease.
#[derive(Clone, Copy, Debug)]
pub(super) enum Edit {
    Nothing,
    Nobody,
    Somebody {
        seconds: i32,
    },
    Candidate {
        who: usize,
    },
    Transitions,
    Times,
    /// A label: the record stays.
    Touch,
}

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
    Arrive { who: usize, stamp: u64, request: Request, fate: Fate },
    Reply { who: usize, stamp: u64, answer: Answer },
    Fault(Fault),
    Start { who: usize },
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
    machine: Machine,
    identity: Identity,
    /// What is meant for an earlier moment of this process is void.
    stamp: u64,
    calling: bool,
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
    queue: BinaryHeap<Reverse<Scheduled>>,
    processes: Vec<Process>,
    tape: std::vec::IntoIter<u16>,
    /// From then on messages pass.
    calm_from: Micros,
    serial: u64,
    leaders: Vec<usize>,
}

impl World {
    pub(super) fn new(candidates: Vec<Candidate>, flaw: Flaw, tape: Vec<u16>, calm_from: Micros) -> Self {
        let mut world = Self {
            time: 0,
            server: Server::default(),
            tally: Tally::default(),
            queue: BinaryHeap::new(),
            processes: Vec::new(),
            tape: tape.into_iter(),
            calm_from,
            serial: 0,
            leaders: Vec::new(),
        };
        for (who, candidate) in candidates.into_iter().enumerate() {
            let (identity, machine) = world.fresh(who, &candidate);
            let process = Process {
                candidate,
                machine,
                identity,
                stamp: 0,
                calling: false,
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

    fn fresh(&mut self, who: usize, candidate: &Candidate) -> (Identity, Machine) {
        self.serial += 1;
        let identity = Identity::fresh(&format!("p{who}"), u128::from(self.serial) << 64);
        (identity.clone(), Machine::new(identity, candidate.durations, 1, self.serial))
    }

    pub(super) fn fault(&mut self, at: Micros, fault: Fault) {
        self.schedule(at, Event::Fault(fault));
    }

    /// Who leads now, at this very moment.
    pub(super) fn leaders(&self) -> &[usize] {
        &self.leaders
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
        let time = self.time;
        let leads = |process: &Process| {
            let now = process.candidate.skew.monotonic(time);
            let sound = process.machine.leadership().is_some_and(|leadership| leadership.is_current(now));
            sound || process.own_end.is_some_and(|end| now < end)
        };
        self.leaders = (0..self.processes.len()).filter(|who| leads(&self.processes[*who])).collect();
        if self.leaders.len() > 1 {
            return Err(format!("at {time} \u{b5}s {:?} lead; the Lease: {:?}", self.leaders, self.server.get(NAME)));
        }
        Ok(())
    }

    fn schedule(&mut self, at: Micros, event: Event) {
        self.serial += 1;
        self.queue.push(Reverse(Scheduled(at, self.serial, event)));
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Wake { who, stamp } | Event::Reply { who, stamp, .. } if self.processes[who].stamp != stamp => {}
            // It finds out when it goes on.
            Event::Wake { who, .. } | Event::Reply { who, .. } if self.processes[who].paused_until > self.time => {
                self.schedule(self.processes[who].paused_until, event);
            }
            Event::Wake { who, .. } => self.wake(who),
            Event::Reply { who, answer, .. } => self.reply(who, answer),
            Event::Arrive { who, stamp, request, fate } => self.arrive(who, stamp, &request, fate),
            Event::Fault(fault) => self.go_wrong(fault),
            Event::Start { who } => self.restart(who),
        }
    }

    fn wake(&mut self, who: usize) {
        if std::mem::take(&mut self.processes[who].calling) {
            self.tally.unclear += 1;
            return self.reply(who, Answer::Unclear("no answer in time".to_owned()));
        }
        let now = self.processes[who].candidate.skew.now(self.time);
        let process = &mut self.processes[who];
        process.stamp += 1;
        let stamp = process.stamp;
        match process.machine.next(now) {
            Step::Wait(at) => {
                let at = process.candidate.skew.reaches(at).max(self.time + 1);
                self.schedule(at, Event::Wake { who, stamp });
            }
            Step::Send(request, answer_by) => {
                process.calling = true;
                let patience = process.candidate.skew.reaches(answer_by).max(self.time + 1);
                self.schedule(patience, Event::Wake { who, stamp });
                let calm = self.time >= self.calm_from;
                let fate = if calm { Fate::calm() } else { self.tape.next().map_or(Fate::calm(), Fate::of) };
                let cut = self.processes[who].requests_cut_until > self.time;
                if let Some(there) = fate.there.filter(|_| !cut) {
                    self.schedule(self.time + there, Event::Arrive { who, stamp, request, fate });
                }
            }
            Step::Ended(end) => {
                match end {
                    End::Lost(Loss::Taken(_)) => self.tally.taken += 1,
                    End::Lost(Loss::NotRenewed(_)) => {
                        self.tally.not_renewed += 1;
                        if process.flaw == Flaw::KeepsLeading {
                            process.own_end = Some(now.monotonic.after(std::time::Duration::from_secs(5)));
                            return self.schedule(self.time + 6 * SECOND, Event::Start { who });
                        }
                    }
                    End::Released => self.tally.released += 1,
                    End::Withdrawn | End::Unreleased(_) => {}
                }
                self.schedule(self.time + START, Event::Start { who });
            }
        }
    }

    fn arrive(&mut self, who: usize, stamp: u64, request: &Request, fate: Fate) {
        let answer = match fate.answer {
            Served::Truly => self.server.perform(NAME, request),
            Served::Busy(seconds) => Answer::Busy(seconds.map(std::time::Duration::from_secs)),
            Served::Vaguely => {
                self.server.perform(NAME, request);
                Answer::Unclear("504".to_owned())
            }
            Served::Refused => Answer::Unclear("500".to_owned()),
        };
        let Some(back) = fate.back.filter(|_| self.processes[who].answers_cut_until <= self.time) else { return };
        let (late, until) = self.processes[who].slow;
        let late = if until > self.time { late } else { 0 };
        self.schedule(self.time + back + late, Event::Reply { who, stamp, answer });
    }

    fn reply(&mut self, who: usize, answer: Answer) {
        let process = &mut self.processes[who];
        process.calling = false;
        let now = process.candidate.skew.now(self.time);
        let led = process.machine.leadership();
        let heard = match (process.flaw, &answer) {
            (Flaw::JudgesByRemoteTime, Answer::Found(lease)) if is_past(&lease.record, now.wall) => {
                // As if it had stood so for long.
                Monotonic(now.monotonic.0.saturating_sub(std::time::Duration::from_secs(1000)))
            }
            _ => now.monotonic,
        };
        process.machine.answered(answer, heard);
        let leads = process.machine.leadership();
        if leads != led && leads.is_some() {
            self.tally.terms += u64::from(led.is_none());
            if process.flaw == Flaw::CountsFromTheAnswer {
                process.own_end = Some(now.monotonic.after(process.candidate.durations.renew_deadline()));
            }
        }
        self.wake(who);
    }

    fn go_wrong(&mut self, fault: Fault) {
        let time = self.time;
        match fault {
            Fault::Pause { who, micros } => {
                self.processes[who].paused_until = (time + micros).min(self.calm_from.max(time));
            }
            Fault::Cut { who, requests, answers, micros } => {
                let until = (time + micros).min(self.calm_from.max(time));
                let process = &mut self.processes[who];
                if requests {
                    process.requests_cut_until = until;
                }
                if answers {
                    process.answers_cut_until = until;
                }
            }
            Fault::Fade { who, late, slow, gone } => {
                let until = (time + slow).min(self.calm_from.max(time));
                self.processes[who].slow = (late, until);
                self.fault(until, Fault::Cut { who, requests: true, answers: true, micros: gone });
            }
            Fault::Restart { who } => self.restart(who),
            Fault::Release { who } => {
                let process = &mut self.processes[who];
                // A process that stands still is told when it goes on, and one that calls, when it is answered.
                if process.paused_until > time || process.calling {
                    let at = process.paused_until.max(time + 10 * MILLI);
                    return self.schedule(at, Event::Fault(fault));
                }
                process.own_end = None;
                process.machine.release(process.candidate.skew.monotonic(time));
                self.wake(who);
            }
            Fault::Wall { who, seconds } => self.processes[who].candidate.skew.wall_seconds = seconds,
            Fault::Delete => self.server.delete(NAME),
            Fault::Edit(edit) => self.edit(edit),
        }
    }

    fn edit(&mut self, edit: Edit) {
        let named =
            if let Edit::Candidate { who } = edit { self.processes[who].identity.to_string() } else { String::new() };
        self.server.edit(NAME, |record| match edit {
            Edit::Nothing => *record = Record::default(),
            Edit::Nobody => record.holder = None,
            Edit::Somebody { seconds } => {
                record.holder = Some("somebody".to_owned());
                record.duration_seconds = Some(seconds);
            }
            Edit::Candidate { .. } => record.holder = Some(named),
            Edit::Transitions => record.transitions = Some(i32::MIN),
            Edit::Times => {
                record.renewed = None;
                record.acquired = Some(Timestamp::MAX);
            }
            Edit::Touch => {}
        });
    }

    fn restart(&mut self, who: usize) {
        let candidate = self.processes[who].candidate.clone();
        let (identity, machine) = self.fresh(who, &candidate);
        let process = &mut self.processes[who];
        process.machine = machine;
        process.identity = identity;
        process.stamp += 1;
        process.calling = false;
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
