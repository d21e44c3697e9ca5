//! Time as an argument: the core never asks a clock.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp, Unit};

/// A point on the process's own monotonic clock: what safety rests on. Zero is arbitrary, so it is never stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Monotonic(pub Duration);

impl Monotonic {
    /// The point `wait` later.
    #[must_use]
    pub const fn after(self, wait: Duration) -> Self {
        Self(self.0.saturating_add(wait))
    }

    /// Time left until this point; zero when it has passed.
    pub const fn since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

/// The two clocks of one moment. The wall clock may be wrong or jump: it is for people, backoffs and deadlines, which it
/// may move by its error; it never decides who may act.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// Wall clock, in whole milliseconds, so that what is stored reads back the same.
    pub wall: Timestamp,
    /// Monotonic clock of this process.
    pub monotonic: Monotonic,
}

impl Now {
    /// Rounds `wall` down to a millisecond.
    pub fn new(wall: Timestamp, monotonic: Monotonic) -> Self {
        let rounded = wall.round(jiff::TimestampRound::new().smallest(Unit::Millisecond).mode(jiff::RoundMode::Trunc));
        Self { wall: rounded.unwrap_or(wall), monotonic }
    }

    /// The wall-clock time `wait` later, in whole milliseconds, at most the end of time.
    pub fn wall_after(self, wait: Duration) -> Timestamp {
        let millis = i64::try_from(wait.as_millis()).unwrap_or(i64::MAX);
        self.wall.saturating_add(SignedDuration::from_millis(millis)).unwrap_or(Timestamp::MAX)
    }

    /// The monotonic point at which the wall clock should show `at`.
    pub fn monotonic_at(self, at: Timestamp) -> Monotonic {
        let wait = at.duration_since(self.wall);
        self.monotonic.after(Duration::try_from(wait).unwrap_or(Duration::ZERO))
    }
}
