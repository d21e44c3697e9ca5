//! The one place that reads clocks.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

use crate::saga::{Monotonic, Now};

/// The clocks of this process. Copies agree with each other; two that were started apart do not, so a process starts one
/// and hands it on. The monotonic one is tokio's, which a test can stop and turn.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    zero: Instant,
    wall: Wall,
}

#[derive(Clone, Copy, Debug)]
enum Wall {
    /// The system's.
    System,
    /// Follows the monotonic one.
    Following { at_zero: Timestamp, percent: u32 },
}

impl Clock {
    /// A clock whose monotonic zero is now.
    pub fn start() -> Self {
        Self { zero: Instant::now(), wall: Wall::System }
    }

    /// A clock whose wall shows `wall` now and goes on from there at `percent` of the pace of the monotonic one: for
    /// simulations, where hours pass in a moment and the wall clocks of processes may be wrong and run wrong.
    pub fn following(wall: Timestamp, percent: u32) -> Self {
        Self { zero: Instant::now(), wall: Wall::Following { at_zero: wall, percent } }
    }

    /// This moment on both clocks.
    pub fn now(&self) -> Now {
        let elapsed = self.zero.elapsed();
        Now::new(self.wall.shows(elapsed), Monotonic(elapsed))
    }

    /// The instant of a point on the monotonic clock.
    pub fn instant(&self, at: Monotonic) -> Instant {
        self.zero + at.0
    }
}

impl Wall {
    fn shows(self, elapsed: Duration) -> Timestamp {
        match self {
            Self::System => Timestamp::now(),
            Self::Following { at_zero, percent } => {
                let passed = SignedDuration::try_from(elapsed.saturating_mul(percent) / 100);
                at_zero.saturating_add(passed.unwrap_or(SignedDuration::MAX)).unwrap_or(Timestamp::MAX)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_following_wall_goes_at_its_own_pace_and_the_monotonic_clock_does_not() {
        let clock = Clock::following(Timestamp::UNIX_EPOCH, 150);
        tokio::time::sleep(Duration::from_secs(3600)).await;
        let now = clock.now();
        assert_eq!((now.wall.as_second(), now.monotonic), (5400, Monotonic(Duration::from_secs(3600))));
    }
}
