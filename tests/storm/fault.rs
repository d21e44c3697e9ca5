//! What goes wrong in a storm, and how it is done. Each fault is over, or heals by itself, before the next one comes.

use std::time::{Duration, Instant};

use super::replica::End;
use super::wall::{Cut, Kind, Manner, Trap, Way};
use super::world::{Election, World};
use crate::common::proxy::Stage;

/// So long after the sagas were begun, in milliseconds, something goes wrong.
const MEANWHILE: usize = 400;
/// A request that was not made until then is not made.
const COMES_WITHIN: Duration = Duration::from_secs(3);

/// Right at a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Point {
    pub(crate) kind: Kind,
    pub(crate) stage: Stage,
    /// So many of its like pass before.
    pub(crate) pass: usize,
}

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// `kill -9` of the leader at a point.
    KillAt(Point),
    KillLeader,
    KillAny,
    KillAll,
    /// SIGSTOP, for longer than the Lease lasts; then SIGCONT.
    StopLeader,
    CutLeader(Way, Manner),
    CutAny(Way, Manner),
    /// Nobody can reach the participants.
    CutParticipants,
    /// SIGTERM.
    Terminate,
}

const WAYS: [(Way, Manner); 6] = [
    (Way::Both, Manner::Reset),
    (Way::Both, Manner::Silent),
    (Way::There, Manner::Reset),
    (Way::There, Manner::Silent),
    (Way::Back, Manner::Reset),
    (Way::Back, Manner::Silent),
];

/// The points that are tried first, one after the other.
pub(crate) fn points() -> Vec<Point> {
    let stages = [Stage::Asked, Stage::Answered, Stage::Passed];
    let kinds = [(Kind::Status, 6), (Kind::Finalizer, 1), (Kind::Lease, 1), (Kind::Call, 3)];
    let mut points = Vec::new();
    for (kind, count) in kinds {
        for stage in stages {
            points.extend((0..count).map(|nth| Point { kind, stage, pass: 2 * nth }));
        }
    }
    points
}

impl World {
    /// What goes wrong next, after the points.
    pub(crate) fn draw(&mut self) -> Fault {
        let (way, manner) = *self.dice.pick(&WAYS);
        let any = [
            (30, Fault::KillLeader),
            (18, Fault::KillAny),
            (4, Fault::KillAll),
            (12, Fault::StopLeader),
            (10, Fault::CutLeader(way, manner)),
            (8, Fault::CutAny(way, manner)),
            (6, Fault::CutParticipants),
            (12, Fault::Terminate),
        ];
        self.dice.weighed(&any)
    }

    /// Begins sagas, and lets something go wrong with them.
    pub(crate) async fn strike(&mut self, fault: Fault, sagas: usize) {
        let place = match self.make.election {
            Election::On => self.led().await,
            // Anybody is as good as a leader.
            Election::Off => {
                self.tend();
                self.dice.below(self.replicas.len())
            }
        };
        if let Fault::KillAt(point) = fault
            && (point.kind, self.make.election) != (Kind::Lease, Election::Off)
        {
            return self.kill_at(place, point, sagas).await;
        }
        self.begin(sagas).await;
        let meanwhile = self.dice.wait(0, MEANWHILE);
        self.pass(meanwhile).await;
        let leader = self.holder().map(|(holder, _)| holder).unwrap_or_default();
        let is_leader = self.replicas[place].is(&leader);
        match fault {
            // At a Lease of which there is none.
            Fault::KillAt(_) | Fault::KillLeader => self.kill(place, is_leader.then_some(&leader)).await,
            Fault::KillAny => {
                let any = self.dice.below(self.replicas.len());
                let named = self.replicas[any].is(&leader);
                self.kill(any, named.then_some(&leader)).await;
            }
            Fault::KillAll => {
                let count = self.replicas.iter().filter(|replica| replica.is_there()).count();
                for replica in &mut self.replicas {
                    replica.kill();
                }
                self.tally.count(|all| all.kills += count);
            }
            Fault::StopLeader => self.stop(place, is_leader.then_some(&leader)).await,
            Fault::CutLeader(way, manner) => self.cut(place, way, manner).await,
            Fault::CutAny(way, manner) => {
                let any = self.dice.below(self.replicas.len());
                self.cut(any, way, manner).await;
            }
            Fault::CutParticipants => {
                let until = Instant::now() + self.dice.wait(300, 1500);
                let manner = *self.dice.pick(&[Manner::Reset, Manner::Silent]);
                let way = *self.dice.pick(&[Way::Both, Way::There, Way::Back]);
                self.wire_wall.cut(Cut { way, manner, until });
                self.tally.count(|all| all.partitions += 1);
                self.pass(until.saturating_duration_since(Instant::now())).await;
            }
            Fault::Terminate => self.terminate(place, is_leader.then_some(&leader)).await,
        }
    }

    /// Notes how long it took until somebody else led than the one that was killed.
    async fn taken_over(&mut self, leader: &str, killed: Instant) {
        let took = self.led_after(leader).await.saturating_duration_since(killed);
        self.tally.count(|all| all.takeovers.push(took));
    }

    /// `leader`: what the Lease calls the one that is killed, if it leads.
    async fn kill(&mut self, place: usize, leader: Option<&String>) {
        let killed = self.replicas[place].kill();
        self.tally.count(|all| all.kills += 1);
        match leader {
            Some(leader) => self.taken_over(leader, killed).await,
            None => self.rest().await,
        }
    }

    async fn kill_at(&mut self, place: usize, Point { kind, stage, pass }: Point, sagas: usize) {
        let leader = self.holder().map(|(holder, _)| holder).unwrap_or_default();
        let Some(victim) = self.replicas[place].victim() else { return };
        let wall = if kind == Kind::Call { self.wire_wall.clone() } else { self.replicas[place].wall.clone() };
        self.replicas[place].will_end(End::Killed);
        wall.arm(Trap { kind, stage, pass, victim });
        self.begin(sagas).await;
        let armed = Instant::now();
        while wall.sprung().is_none() && armed.elapsed() < COMES_WITHIN {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let Some(killed) = wall.disarm() else {
            // It lost its leadership before, and others make the requests.
            return self.kill(place, None).await;
        };
        self.tally.count(|all| {
            all.kills += 1;
            all.at_points += 1;
        });
        if self.make.election == Election::On && !leader.is_empty() {
            self.taken_over(&leader, killed).await;
        }
    }

    async fn stop(&mut self, place: usize, leader: Option<&String>) {
        self.replicas[place].stop().await;
        self.tally.count(|all| all.pauses += 1);
        match leader {
            Some(leader) => {
                self.led_after(leader).await;
                let more = self.dice.wait(0, 500);
                self.pass(more).await;
                self.replicas[place].go_on().await;
                let wrong = self.replicas[place].deposed().await;
                self.tally.wrong(wrong);
            }
            None => {
                let long = self.dice.wait(500, 2500);
                self.pass(long).await;
                self.replicas[place].go_on().await;
            }
        }
    }

    async fn cut(&mut self, place: usize, way: Way, manner: Manner) {
        let lease = usize::try_from(self.make.times.lease.as_millis()).expect("short");
        let until = Instant::now() + self.dice.wait(lease / 3, lease * 3);
        self.replicas[place].will_be_cut();
        self.replicas[place].wall.cut(Cut { way, manner, until });
        self.tally.count(|all| all.partitions += 1);
        self.pass(until.saturating_duration_since(Instant::now())).await;
    }

    async fn terminate(&mut self, place: usize, leader: Option<&String>) {
        let asked = Instant::now();
        self.replicas[place].terminate().await;
        self.tally.count(|all| all.terminations += 1);
        match leader {
            Some(leader) => {
                let took = self.led_after(leader).await.saturating_duration_since(asked);
                self.tally.count(|all| all.handovers.push(took));
            }
            None => self.rest().await,
        }
    }

    async fn rest(&mut self) {
        let rest = self.dice.wait(300, 900);
        self.pass(rest).await;
    }
}
