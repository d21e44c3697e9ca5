//! Which runs are taken up first when there are many.

use jiff::{SignedDuration, Timestamp};

use crate::journal::Loaded;
use crate::saga::Mode;

/// The same runs in the order in which they are taken up.
pub(super) fn most_urgent_first(mut read: Vec<Loaded>) -> Vec<Loaded> {
    read.sort_by_cached_key(urgency);
    read
}

/// Smaller is more urgent.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Urgency {
    /// Somebody's money or stock is held by what is being undone.
    Undoing(Timestamp),
    /// It has a deadline, the earlier the more urgent.
    Deadline(Timestamp),
    /// Under way, the oldest first.
    UnderWay(Timestamp),
    /// Nothing was begun.
    Pending,
}

/// How urgent a run is.
fn urgency(read: &Loaded) -> Urgency {
    let started = read.stored.start_time.unwrap_or(Timestamp::MAX);
    let deadline = read.wishes.active_deadline.and_then(|limit| SignedDuration::try_from(limit).ok());
    let deadline = deadline.and_then(|limit| started.checked_add(limit).ok());
    match (read.stored.mode(), deadline) {
        (Mode::Compensating, _) => Urgency::Undoing(started),
        (Mode::Forward, Some(deadline)) => Urgency::Deadline(deadline),
        (Mode::Forward | Mode::Confirming, _) => Urgency::UnderWay(started),
        (Mode::Pending | Mode::Ended, _) => Urgency::Pending,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::api::Reason;
    use crate::saga::{Failure, Identity, StepRecord, Stored, Wishes};

    fn run(started: i64, deadline: Option<u64>, turned: bool) -> Loaded {
        let failure = turned.then(|| Failure {
            step: None,
            reason: Reason::Cancelled,
            message: String::new(),
            http_status: None,
        });
        let stored = Stored {
            start_time: Timestamp::from_second(started).ok(),
            revision: Some("r-1".to_owned()),
            steps: vec![StepRecord::new("a")],
            failure,
            ..Stored::default()
        };
        let wishes = Wishes { active_deadline: deadline.map(Duration::from_secs), ..Wishes::default() };
        let run = Identity { namespace: String::new(), name: String::new(), uid: String::new() };
        let version = crate::journal::Version("1".to_owned());
        Loaded { run: run.into(), spec: std::sync::Arc::default(), wishes, stored, version, retained: true }
    }

    #[test]
    fn what_is_being_undone_comes_first_then_what_has_a_deadline_then_what_is_old() {
        let order = [
            run(9, None, true),
            run(5, Some(3), false),
            run(1, Some(9), false),
            run(1, None, false),
            run(2, None, false),
        ];
        let keys: Vec<Urgency> = order.iter().map(urgency).collect();
        assert!(keys.is_sorted(), "{keys:?}");
        assert!(keys.windows(2).all(|pair| pair[0] < pair[1]), "{keys:?}");
        let nothing = Loaded { stored: Stored::default(), ..run(0, None, false) };
        assert_eq!(urgency(&nothing), Urgency::Pending);
    }
}
