//! What is counted in a storm, and how it is printed: one figure a line, so that it can be read by a program.

use std::io::Write as _;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Times of an election.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Times {
    pub(crate) lease: Duration,
    pub(crate) deadline: Duration,
    pub(crate) retry: Duration,
}

impl Times {
    /// Until the next one leads after a leader fell silent: what the documentation promises of a machine that has time.
    pub(crate) fn bound(&self) -> Duration {
        self.lease + self.retry * 12 / 10 + Duration::from_secs(1)
    }
}

/// Everything that was counted.
#[derive(Clone, Debug, Default)]
pub(crate) struct Count {
    pub(crate) kills: usize,
    /// Of them, those right at a request.
    pub(crate) at_points: usize,
    pub(crate) pauses: usize,
    pub(crate) partitions: usize,
    pub(crate) terminations: usize,
    /// Leaders that lost their leadership without a fault of ours.
    pub(crate) sagas: usize,
    pub(crate) begun: usize,
    pub(crate) lost: usize,
    pub(crate) unsent: usize,
    pub(crate) doubles: usize,
    pub(crate) inversions: usize,
    /// Calls of a process that did not own the run any more; all of them were decided and stored before.
    pub(crate) late: usize,
    /// After `kill -9`.
    pub(crate) takeovers: Vec<Duration>,
    /// After SIGTERM.
    pub(crate) handovers: Vec<Duration>,
    /// What must not be, in words.
    pub(crate) wrong: Vec<String>,
}

/// The count of all worlds of a storm.
#[derive(Clone, Default)]
pub(crate) struct Tally(Arc<Mutex<Count>>);

impl Tally {
    pub(crate) fn count(&self, act: impl FnOnce(&mut Count)) {
        act(&mut self.0.lock().expect("not poisoned"));
    }

    pub(crate) fn read(&self) -> Count {
        self.0.lock().expect("not poisoned").clone()
    }

    /// Notes what must not be.
    pub(crate) fn wrong(&self, what: impl IntoIterator<Item = String>) {
        self.count(|count| count.wrong.extend(what));
    }

    pub(crate) fn is_good(&self) -> bool {
        self.0.lock().expect("not poisoned").wrong.is_empty()
    }
}

impl Count {
    /// Fails when anything is wrong, or a saga that was begun did not end.
    pub(crate) fn judge(&self) {
        let first: Vec<_> = self.wrong.iter().take(2).map(String::as_str).collect();
        assert!(first.is_empty(), "{} are wrong, among them: {}", self.wrong.len(), first.join("\n"));
        assert_eq!(self.sagas, self.begun);
    }

    /// Prints the figures.
    pub(crate) fn print(&self, times: Times) {
        say(&format!("storm kills: {}", self.kills));
        say(&format!("storm kills right at a request: {}", self.at_points));
        say(&format!("storm pauses: {}", self.pauses));
        say(&format!("storm partitions: {}", self.partitions));
        say(&format!("storm terminations: {}", self.terminations));
        say(&format!("storm sagas: {}", self.sagas));
        say(&format!("storm sagas lost: {}", self.lost));
        say(&format!("storm sends without intent: {}", self.unsent));
        say(&format!("storm double effects: {}", self.doubles));
        say(&format!("storm fence inversions accepted: {}", self.inversions));
        say(&format!("storm late calls of zombies: {}", self.late));
        told("takeover after kill -9", &self.takeovers, times);
        told("graceful hand-over", &self.handovers, times);
    }
}

/// Says it, also where the output of tests that pass is not shown.
pub(crate) fn say(line: &str) {
    writeln!(std::io::stdout().lock(), "{line}").expect("written");
}

fn told(what: &str, took: &[Duration], times: Times) {
    if took.is_empty() {
        return;
    }
    let mut millis: Vec<_> = took.iter().map(Duration::as_millis).collect();
    millis.sort_unstable();
    let at = |percent: usize| millis[(millis.len() * percent).div_ceil(100).max(1) - 1];
    let of_lease =
        |millis: u128| Duration::from_millis(u64::try_from(millis).expect("short")).div_duration_f64(times.lease);
    let (half, most) = (at(50), at(99));
    let (leases, most_leases) = (of_lease(half), of_lease(most));
    let count = millis.len();
    say(&format!(
        "{what}: p50 {half} ms, {leases:.2} lease durations; p99 {most} ms, {most_leases:.2} lease durations; {count} in all"
    ));
    let all: Vec<_> = millis.iter().map(ToString::to_string).collect();
    say(&format!("{what}, each in ms, of {}: {}", times.lease.as_millis(), all.join(" ")));
}
