//! What a Lease says, and how much of it is believed. Pure.

#![warn(clippy::disallowed_methods)]

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::config::MAX_LEASE;
use super::identity::Identity;

/// What a Lease that is given up states as its duration, and no other: client-go does the same.
const GIVEN_UP_SECONDS: i32 = 1;

/// The `spec` of a Lease, as it stands there: anybody may have written it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) holder: Option<String>,
    pub(super) duration_seconds: Option<i32>,
    /// For people; never compared with a clock.
    pub(super) acquired: Option<Timestamp>,
    /// For people; that it changes is what rivals look at.
    pub(super) renewed: Option<Timestamp>,
    pub(super) transitions: Option<i32>,
}

/// A Lease as the API server shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct LeaseObject {
    pub(super) uid: String,
    pub(super) version: String,
    pub(super) record: Record,
}

impl Record {
    /// Whom it names; an empty name is none.
    pub(super) fn holder(&self) -> Option<&str> {
        self.holder.as_deref().filter(|holder| !holder.is_empty())
    }

    pub(super) fn names(&self, identity: &Identity) -> bool {
        self.holder() == Some(identity.as_str())
    }

    /// Whether its holder gave it up. A name that is merely missing may have been removed from under a leader.
    pub(super) fn is_given_up(&self) -> bool {
        self.holder().is_none() && self.duration_seconds == Some(GIVEN_UP_SECONDS)
    }

    /// How long it must stand unchanged before it is free: what it states, for a holder may have other durations than we,
    /// but no less than ours, and no more than any replica may state.
    pub(super) fn believed(&self, own: Duration) -> Duration {
        let stated =
            u64::try_from(self.duration_seconds.unwrap_or_default()).map_or(Duration::ZERO, Duration::from_secs);
        stated.clamp(own, MAX_LEASE.max(own))
    }

    /// The record of a new Lease that names nobody yet. It is not free at once: the one before it may have been deleted from
    /// under a leader.
    pub(super) fn vacant(lease: Duration, wall: Timestamp) -> Self {
        Self {
            holder: Some(String::new()),
            duration_seconds: Some(seconds(lease).max(GIVEN_UP_SECONDS + 1)),
            acquired: None,
            renewed: Some(wall),
            transitions: Some(0),
        }
    }

    /// The record that follows when `identity` takes the Lease, or takes it again.
    pub(super) fn taken(&self, identity: &Identity, lease: Duration, wall: Timestamp) -> Self {
        let changes = self.transitions.unwrap_or_default().max(0);
        Self {
            holder: Some(identity.as_str().to_owned()),
            duration_seconds: Some(seconds(lease)),
            acquired: Some(wall),
            renewed: Some(self.another(wall)),
            transitions: Some(if self.names(identity) { changes } else { changes.saturating_add(1) }),
        }
    }

    /// The record that follows when its holder renews it.
    pub(super) fn renewed(&self, identity: &Identity, lease: Duration, wall: Timestamp) -> Self {
        let acquired = self.acquired.filter(|_| self.names(identity)).unwrap_or(wall);
        Self { acquired: Some(acquired), ..self.taken(identity, lease, wall) }
    }

    /// The record that follows when its holder gives it up.
    pub(super) fn given_up(&self, wall: Timestamp) -> Self {
        Self {
            holder: Some(String::new()),
            duration_seconds: Some(GIVEN_UP_SECONDS),
            renewed: Some(self.another(wall)),
            transitions: Some(self.transitions.unwrap_or_default().max(0)),
            ..self.clone()
        }
    }

    /// The time for the next record. The API server does not store an object again that has not changed, and rivals would
    /// not see a renewal by a process whose wall clock stands still.
    fn another(&self, wall: Timestamp) -> Timestamp {
        if self.renewed != Some(wall) {
            return wall;
        }
        let step = SignedDuration::from_micros(1);
        wall.checked_add(step).or_else(|_| wall.checked_sub(step)).unwrap_or(wall)
    }
}

fn seconds(lease: Duration) -> i32 {
    i32::try_from(lease.as_secs()).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: Duration = Duration::from_secs(15);

    fn stating(seconds: Option<i32>) -> Record {
        Record { duration_seconds: seconds, ..Record::default() }
    }

    #[test]
    fn a_stated_duration_is_believed_between_our_own_and_the_longest_that_can_be_set() {
        for (stated, seconds) in [
            (None, 15),
            (Some(0), 15),
            (Some(-1), 15),
            (Some(i32::MIN), 15),
            (Some(3), 15),
            (Some(60), 60),
            (Some(600), 600),
            (Some(601), 600),
            (Some(i32::MAX), 600),
        ] {
            assert_eq!(stating(stated).believed(OWN), Duration::from_secs(seconds), "{stated:?}");
        }
    }

    #[test]
    fn only_a_record_without_holder_that_lasts_one_second_was_given_up() {
        let identity = Identity::fresh("a", 1);
        let held = Record::default().taken(&identity, OWN, Timestamp::UNIX_EPOCH);
        assert!(held.given_up(Timestamp::UNIX_EPOCH).is_given_up());
        assert!(!held.is_given_up());
        assert!(!Record { holder: None, ..held }.is_given_up());
        assert!(!stating(None).is_given_up());
        // Also not where our own duration is that of a Lease given up.
        assert!(!Record::vacant(Duration::from_secs(1), Timestamp::UNIX_EPOCH).is_given_up());
    }

    #[test]
    fn the_record_changes_with_each_write_though_the_wall_clock_stands_still() {
        let identity = Identity::fresh("a", 1);
        for wall in [Timestamp::UNIX_EPOCH, Timestamp::MAX, Timestamp::MIN] {
            let first = Record::default().taken(&identity, OWN, wall);
            let second = first.renewed(&identity, OWN, wall);
            assert_ne!(first, second);
            assert_ne!(second, second.renewed(&identity, OWN, wall));
            assert_ne!(second, second.given_up(wall));
        }
    }

    #[test]
    fn transitions_count_changes_of_holder_and_survive_nonsense() {
        let (a, b) = (Identity::fresh("a", 1), Identity::fresh("b", 1));
        let count = |record: &Record, identity| record.taken(identity, OWN, Timestamp::UNIX_EPOCH).transitions;
        let first = Record { transitions: Some(-7), ..Record::default() }.taken(&a, OWN, Timestamp::UNIX_EPOCH);
        assert_eq!(first.transitions, Some(1));
        assert_eq!(count(&first, &a), Some(1));
        assert_eq!(count(&first, &b), Some(2));
        assert_eq!(count(&Record { transitions: Some(i32::MAX), ..first }, &b), Some(i32::MAX));
    }
}
