//! The clocks of this process.

use std::time::Instant;

use jiff::Timestamp;

use crate::saga::{Monotonic, Now};

/// Reads both clocks. Copies agree; two clocks made apart do not, so make one at start and hand it on.
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
}

impl Default for Clock {
    fn default() -> Self {
        Self::start()
    }
}
