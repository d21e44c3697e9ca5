//! How long attempts and waits take, in words and at most.

use std::time::Duration;

use crate::saga::definition::CallPlan;
use crate::saga::key::CallId;
use crate::saga::retry::Retry;

/// A length of time as a person would say it.
pub fn words(duration: Duration) -> String {
    let seconds = duration.as_secs_f64();
    let (value, unit) = match seconds {
        ..1.0 => return format!("{} ms", duration.as_millis()),
        ..120.0 => (seconds, "s"),
        ..7200.0 => (seconds / 60.0, "min"),
        ..172_800.0 => (seconds / 3600.0, "h"),
        _ => (seconds / 86_400.0, "d"),
    };
    let rounded = (value * 10.0).round() / 10.0;
    format!("{rounded} {unit}")
}

/// All waits between the attempts, without jitter.
pub(super) fn waits(retry: &Retry) -> Duration {
    let even = Retry { jitter_percent: 0, ..*retry };
    (1..retry.max_attempts).map(|attempt| even.backoff("", CallId::forward(0), attempt)).sum()
}

/// When attempts are made if each fails at once.
pub(super) fn schedule(retry: &Retry) -> String {
    if retry.max_attempts == 1 {
        return "1 attempt".to_owned();
    }
    let jitter =
        if retry.jitter_percent == 0 { String::new() } else { format!(", give or take {} %", retry.jitter_percent) };
    format!("{} attempts within about {}{jitter}", retry.max_attempts, words(waits(retry)))
}

/// Every attempt takes its whole timeout, and every wait is as long as jitter makes it.
pub(super) fn worst_case(call: &CallPlan) -> Duration {
    let retry = &call.retry;
    let even = Retry { jitter_percent: 0, ..*retry };
    let longest = |attempt| {
        let wait = even.backoff("", CallId::forward(0), attempt);
        (wait.saturating_mul(100 + retry.jitter_percent) / 100).min(retry.max)
    };
    let waits: Duration = (1..retry.max_attempts).map(longest).sum();
    call.timeout.saturating_mul(retry.max_attempts).saturating_add(waits)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::definition::Role;
    use crate::api::run::Direction;

    #[test]
    fn lengths_are_said_in_the_unit_that_fits() {
        let said = [200, 3000, 3250, 150_000, 5_700_000, 100_000_000, 1_000_000_000]
            .map(|millis| words(Duration::from_millis(millis)));
        assert_eq!(said, ["200 ms", "3 s", "3.3 s", "2.5 min", "95 min", "27.8 h", "11.6 d"]);
    }

    #[test]
    fn the_default_schedules_are_those_of_the_documentation() {
        let forward = Retry::new(None, Direction::Forward, Role::Compensatable);
        assert_eq!(schedule(&forward), "5 attempts within about 3 s, give or take 20 %");
        let compensate = Retry::new(None, Direction::Compensate, Role::Compensatable);
        assert_eq!(schedule(&compensate), "200 attempts within about 96.4 min, give or take 20 %");
        assert_eq!(schedule(&Retry { max_attempts: 1, ..forward }), "1 attempt");
    }
}
