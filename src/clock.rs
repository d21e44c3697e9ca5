//! The one place that reads clocks.

use jiff::Timestamp;
use tokio::time::Instant;

use crate::saga::{Monotonic, Now};

/// The clocks of this process. Copies agree with each other; two that were started apart do not, so a process starts one
/// and hands it on. The monotonic one is tokio's, which a test can stop and turn.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    zero: Instant,
}

impl Clock {
    /// A clock whose monotonic zero is now.
    pub fn start() -> Self {
        Self { zero: Instant::now() }
    }

    /// This moment on both clocks.
    pub fn now(&self) -> Now {
        Now::new(Timestamp::now(), Monotonic(self.zero.elapsed()))
    }

    /// The instant of a point on the monotonic clock.
    pub fn instant(&self, at: Monotonic) -> Instant {
        self.zero + at.0
    }
}
