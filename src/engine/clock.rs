//! The one place that reads clocks.

use jiff::Timestamp;
use tokio::time::Instant;

use crate::saga::{Monotonic, Now};

/// The clocks of this process. Copies agree with each other.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    zero: Instant,
}

impl Clock {
    /// A clock whose monotonic zero is now.
    pub fn start() -> Self {
        Self { zero: Instant::now() }
    }

    /// Both clocks.
    pub fn now(&self) -> Now {
        Now::new(Timestamp::now(), Monotonic(self.zero.elapsed()))
    }

    /// The instant of a point on the monotonic clock.
    pub fn instant(&self, at: Monotonic) -> Instant {
        self.zero + at.0
    }
}
