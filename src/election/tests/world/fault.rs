//! What goes wrong in a world, and what people do to it.

use jiff::Timestamp;

use super::{Event, NAME, World};
use crate::election::record::Record;
use crate::election::tests::physics::Micros;

/// Something that goes wrong, or that a person does.
#[derive(Clone, Debug)]
pub(in crate::election::tests) enum Fault {
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
pub(in crate::election::tests) enum Edit {
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

impl World {
    pub(super) fn go_wrong(&mut self, fault: Fault) {
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
                // One that stands still is told when it goes on.
                if process.paused_until > time {
                    let at = process.paused_until;
                    return self.schedule(at, Event::Fault(fault));
                }
                process.own_end = None;
                process.replica.leave(process.candidate.skew.monotonic(time));
                self.turn(who);
            }
            Fault::Wall { who, seconds } => self.processes[who].candidate.skew.wall_seconds = seconds,
            Fault::Delete => {
                let name = self.any_lease();
                self.server.delete(&name);
            }
            Fault::Edit(edit) => self.edit(edit),
        }
    }

    fn edit(&mut self, edit: Edit) {
        let named =
            if let Edit::Candidate { who } = edit { self.processes[who].identity.to_string() } else { String::new() };
        let name = self.any_lease();
        self.server.edit(&name, |record| match edit {
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

    /// One of those that are there.
    fn any_lease(&self) -> String {
        let place = usize::try_from(self.serial).expect("it fits") % self.server.all().count().max(1);
        self.server.all().nth(place).map_or(NAME.to_owned(), |(name, _)| name.clone())
    }
}
