//! What stands between a replica and the API server, or between all replicas and the participants: a cut, a trap, or nothing.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::dice::Dice;
use crate::common::operator::Victim;
use crate::common::proxy::{Proxy, Seen, Stage, Verdict};
use crate::common::watched::Fate;

/// Which way is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    Both,
    /// Requests do not get there; what the server sends by itself does.
    There,
    /// Requests get there, answers and events do not get back.
    Back,
}

/// What becomes of what does not pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Manner {
    /// It is lost, and whoever sent it is told at once.
    Reset,
    /// It passes when the cut is healed; nobody is told anything until then.
    Silent,
}

/// A cut that heals by itself.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cut {
    pub(crate) way: Way,
    pub(crate) manner: Manner,
    pub(crate) until: Instant,
}

/// A kind of request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A write of a run's status.
    Status,
    /// A write of its finalizer.
    Finalizer,
    /// A write of a Lease.
    Lease,
    /// A request to a participant.
    Call,
}

/// A request at which an operator is killed.
pub(crate) struct Trap {
    pub(crate) kind: Kind,
    pub(crate) stage: Stage,
    /// So many of its like pass before.
    pub(crate) pass: usize,
    pub(crate) victim: Victim,
}

#[derive(Default)]
struct State {
    cut: Option<Cut>,
    trap: Option<Trap>,
    sprung: Option<Instant>,
    slow: Option<(Dice, usize)>,
}

/// What stands there now.
#[derive(Clone, Default)]
pub(crate) struct Wall(Arc<Mutex<State>>);

impl Wall {
    /// Puts it into a proxy.
    pub(crate) fn before(proxy: &Proxy) -> Self {
        let wall = Self::default();
        let (hook, filter) = (wall.clone(), wall.clone());
        proxy.hook(move |seen, at| hook.judge(seen, at));
        proxy.filter_blindly(move || filter.event());
        wall
    }

    /// From now on requests take a while, up to so many milliseconds.
    pub(crate) fn slow(&self, dice: Dice, most: usize) {
        self.with(|state| state.slow = Some((dice, most)));
    }

    pub(crate) fn cut(&self, cut: Cut) {
        self.with(|state| state.cut = Some(cut));
    }

    /// Whether it is cut at this moment.
    pub(crate) fn is_cut(&self) -> bool {
        self.with(|state| state.remaining().is_some())
    }

    pub(crate) fn arm(&self, trap: Trap) {
        self.with(|state| (state.trap, state.sprung) = (Some(trap), None));
    }

    /// When the trap sprang.
    pub(crate) fn sprung(&self) -> Option<Instant> {
        self.with(|state| state.sprung)
    }

    /// Takes the trap away. Whether it sprang before.
    pub(crate) fn disarm(&self) -> Option<Instant> {
        self.with(|state| {
            state.trap = None;
            state.sprung.take()
        })
    }

    fn with<T>(&self, act: impl FnOnce(&mut State) -> T) -> T {
        act(&mut self.0.lock().expect("not poisoned"))
    }

    fn judge(&self, seen: &Seen, at: Stage) -> Verdict {
        self.with(|state| {
            if state.springs(seen, at) {
                return Verdict::Drop;
            }
            if let Some((cut, remaining)) = state.remaining()
                && stops(cut.way, at)
            {
                return match cut.manner {
                    Manner::Reset => Verdict::Drop,
                    Manner::Silent => Verdict::Later(remaining),
                };
            }
            match &mut state.slow {
                Some((dice, most)) if at == Stage::Asked => Verdict::Later(dice.wait(0, *most)),
                _ => Verdict::Pass,
            }
        })
    }

    /// An event of a watch comes when the cut is healed, as a connection would bring it.
    fn event(&self) -> Fate {
        match self.with(|state| state.remaining()) {
            Some((Cut { way: Way::Both | Way::Back, .. }, remaining)) => Fate::Late(remaining),
            _ => Fate::Pass,
        }
    }
}

impl State {
    fn remaining(&self) -> Option<(Cut, Duration)> {
        let cut = self.cut?;
        let remaining = cut.until.checked_duration_since(Instant::now())?;
        Some((cut, remaining))
    }

    fn springs(&mut self, seen: &Seen, at: Stage) -> bool {
        let Some(trap) = self.trap.as_mut().filter(|trap| trap.stage == at && kind(seen) == Some(trap.kind)) else {
            return false;
        };
        if trap.pass > 0 {
            trap.pass -= 1;
            return false;
        }
        trap.victim.kill();
        (self.trap, self.sprung) = (None, Some(Instant::now()));
        true
    }
}

fn stops(way: Way, at: Stage) -> bool {
    match at {
        Stage::Asked => way != Way::Back,
        Stage::Answered => way != Way::There,
        Stage::Passed => false,
    }
}

fn kind(seen: &Seen) -> Option<Kind> {
    if seen.header("saga-run-uid").is_some() {
        return Some(Kind::Call);
    }
    match seen.method.as_str() {
        "PUT" if seen.is_run_write() => Some(Kind::Status),
        "PATCH" if seen.is_run_write() => Some(Kind::Finalizer),
        "PUT" if seen.path.contains("/leases/") => Some(Kind::Lease),
        _ => None,
    }
}
