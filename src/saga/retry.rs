//! When to try again. Pure, and the same after a restart: what it needs is stored.

use std::time::Duration;

use sha2::{Digest as _, Sha256};

use super::key::CallId;
use crate::api::definition::{RetryPolicy, Role};
use crate::api::run::Direction;

/// A retry policy with its defaults filled in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retry {
    /// Counts the first attempt too.
    pub max_attempts: u32,
    /// Wait before the second attempt.
    pub initial: Duration,
    /// Bound of the growing wait.
    pub max: Duration,
    /// From one attempt to the next.
    pub multiplier: u32,
    /// The wait is spread by that part up or down.
    pub jitter_percent: u32,
}

impl Retry {
    /// Fills in the defaults of api.md: what must succeed in the end tries longer.
    pub fn new(policy: Option<&RetryPolicy>, direction: Direction, role: Role) -> Self {
        let fallback = RetryPolicy::default();
        let policy = policy.unwrap_or(&fallback);
        let or = |value: Option<i32>, default: u32| value.and_then(|v| u32::try_from(v).ok()).unwrap_or(default);
        let attempts = match (direction, role) {
            (Direction::Forward, Role::Compensatable | Role::Pivot | Role::ReadOnly) => 5,
            (Direction::Forward, Role::Retriable) | (Direction::Compensate | Direction::Confirm, _) => 200,
        };
        Self {
            max_attempts: or(policy.max_attempts, attempts),
            initial: Duration::from_millis(or(policy.initial_backoff_milliseconds, 200).into()),
            max: Duration::from_millis(or(policy.max_backoff_milliseconds, 30_000).into()),
            multiplier: or(policy.backoff_multiplier, 2),
            jitter_percent: or(policy.jitter_percent, 20),
        }
    }

    /// The wait after `attempt` (from 1), never above `max`. The jitter is seeded by run, step, direction and attempt, so
    /// that a restart computes the same wait and a thousand runs do not come back at once.
    pub fn backoff(&self, run_uid: &str, call: CallId, attempt: u32) -> Duration {
        let exponent = attempt.saturating_sub(1).min(64);
        let mut wait = self.initial.min(self.max);
        for _ in 0..exponent {
            if wait >= self.max || self.multiplier == 1 {
                break;
            }
            wait = wait.saturating_mul(self.multiplier).min(self.max);
        }
        let spread = i64::from(self.jitter_percent) * (2 * per_mille(run_uid, call, attempt) - 1000);
        let factor = u32::try_from(100_000 + spread).unwrap_or_default();
        let spread = (wait.saturating_mul(factor) / 100_000).min(self.max);
        Duration::from_millis(u64::try_from(spread.as_millis()).unwrap_or(u64::MAX))
    }

    /// A participant's `Retry-After` counts up to ten times the longest backoff.
    pub fn capped(&self, retry_after: Duration) -> Duration {
        retry_after.min(self.max.saturating_mul(10))
    }
}

/// 0..=1000, evenly.
fn per_mille(run_uid: &str, call: CallId, attempt: u32) -> i64 {
    let mut hash = Sha256::new();
    hash.update(run_uid.as_bytes());
    hash.update(call.step.to_be_bytes());
    hash.update(call.direction.as_str().as_bytes());
    hash.update(attempt.to_be_bytes());
    let bytes = hash.finalize();
    i64::from(u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]) % 1001)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(jitter: i32) -> Retry {
        let policy = RetryPolicy { jitter_percent: Some(jitter), ..RetryPolicy::default() };
        Retry::new(Some(&policy), Direction::Forward, Role::Compensatable)
    }

    #[test]
    fn without_jitter_the_wait_doubles_up_to_the_maximum() {
        let waits: Vec<u64> = [1, 2, 3, 8, 9, 10, 1000, u32::MAX]
            .into_iter()
            .map(|attempt| policy(0).backoff("uid", CallId::forward(0), attempt).as_millis() as u64)
            .collect();
        assert_eq!(waits, [200, 400, 800, 25_600, 30_000, 30_000, 30_000, 30_000]);
    }

    #[test]
    fn jitter_stays_within_its_percentage_and_differs_between_runs() {
        let retry = policy(20);
        let waits: Vec<Duration> =
            (0..200).map(|run| retry.backoff(&format!("uid-{run}"), CallId::forward(0), 1)).collect();
        assert!(waits.iter().all(|wait| (160..=240).contains(&(wait.as_millis() as u64))), "{waits:?}");
        assert!(waits.iter().max() > waits.iter().min());
    }

    #[test]
    fn the_same_attempt_waits_the_same_after_a_restart() {
        let before = policy(20).backoff("uid", CallId::compensate(3), 7);
        assert_eq!(before, policy(20).backoff("uid", CallId::compensate(3), 7));
    }

    #[test]
    fn what_must_succeed_in_the_end_tries_longer_by_default() {
        let attempts = |direction, role| Retry::new(None, direction, role).max_attempts;
        for role in [Role::Compensatable, Role::Pivot, Role::ReadOnly] {
            assert_eq!(attempts(Direction::Forward, role), 5);
        }
        assert_eq!(attempts(Direction::Forward, Role::Retriable), 200);
        assert_eq!(attempts(Direction::Compensate, Role::Compensatable), 200);
        assert_eq!(attempts(Direction::Confirm, Role::Compensatable), 200);
    }

    #[test]
    fn retry_after_is_capped_at_ten_times_the_longest_backoff() {
        assert_eq!(policy(0).capped(Duration::from_secs(3600)), Duration::from_secs(300));
    }
}
