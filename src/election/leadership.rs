//! The token that says: we may, until then. Pure.

#![warn(clippy::disallowed_methods)]

use crate::saga::Monotonic;

/// The right to act as the leader, for a time. Only the elector makes one; whoever stores or sends asks it at that moment.
///
/// A token does not know what happened since it was made: a leadership that was given up leaves its tokens valid for the
/// rest of their time. So it is asked for where it is needed ([`Claim::current`](super::Claim::current)) and not kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leadership {
    epoch: u64,
    valid_until: Option<Monotonic>,
}

impl Leadership {
    pub(super) const fn until(epoch: u64, valid_until: Monotonic) -> Self {
        Self { epoch, valid_until: Some(valid_until) }
    }

    /// What stands in for a leadership where nobody is elected: election is switched off, or the store's own lock lets only
    /// one process in. It never ends, and protects nothing.
    pub const fn unelected() -> Self {
        Self { epoch: 0, valid_until: None }
    }

    /// Whether it is still valid. Not at the very point where it ends.
    pub fn is_current(&self, now: Monotonic) -> bool {
        self.valid_until.is_none_or(|end| now < end)
    }

    /// Which term of this process it is, from 1; 0 for [`Self::unelected`]. For logs only: other processes count theirs
    /// from 1, too, so it is no fence. What refuses the writes of a deposed leader is the store's compare-and-swap.
    pub const fn epoch(&self) -> u64 {
        self.epoch
    }

    pub(super) const fn valid_until(&self) -> Option<Monotonic> {
        self.valid_until
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_leadership_ends_at_its_point_in_time_and_one_without_election_never_does() {
        let at = |seconds| Monotonic(Duration::from_secs(seconds));
        let leadership = Leadership::until(3, at(10));
        assert!(leadership.is_current(at(9)));
        assert!(!leadership.is_current(at(10)));
        assert_eq!(leadership.epoch(), 3);
        assert!(Leadership::unelected().is_current(Monotonic(Duration::MAX)));
        assert_eq!(Leadership::unelected().epoch(), 0);
    }
}
