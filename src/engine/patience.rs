//! How long to wait before the store is asked again.

use std::time::Duration;

const FIRST: Duration = Duration::from_millis(50);
const LAST: Duration = Duration::from_secs(10);

/// Waits that double from the first to the last.
#[derive(Debug)]
pub(super) struct Patience {
    next: Duration,
    used: bool,
}

impl Default for Patience {
    fn default() -> Self {
        Self { next: FIRST, used: false }
    }
}

impl Patience {
    /// The next wait.
    pub(super) fn next(&mut self) -> Duration {
        self.used = true;
        let next = self.next.saturating_mul(2).min(LAST);
        std::mem::replace(&mut self.next, next)
    }

    /// Waits.
    pub(super) async fn pause(&mut self) {
        tokio::time::sleep(self.next()).await;
    }

    /// Waits, except the first time: one conflict is somebody else's success, many in a row are a fight.
    pub(super) async fn pause_unless_first(&mut self) {
        if std::mem::replace(&mut self.used, true) {
            self.pause().await;
        }
    }
}
