//! How long a leadership lasts: three durations, written and named as kube-controller-manager has them. Pure.

#![warn(clippy::disallowed_methods)]

use std::time::Duration;

const LEASE: &str = "--leader-elect-lease-duration";
const RENEW: &str = "--leader-elect-renew-deadline";
const RETRY: &str = "--leader-elect-retry-period";

/// Longest lease duration that may be set, and so the longest that is believed of a Lease: no replica states more, so what
/// does was not written by one, and waiting it out could take 68 years.
pub const MAX_LEASE: Duration = Duration::from_secs(600);
/// A shorter period would burden the API server more than all sagas do.
const MIN_RETRY: Duration = Duration::from_millis(50);
/// Waits are up to this much longer than they are set, so that candidates do not all ask at once: client-go's factor.
pub(super) const JITTER_PERCENT: u32 = 20;

/// The durations of an election, checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Durations {
    lease: Duration,
    renew_deadline: Duration,
    retry_period: Duration,
}

/// Why durations cannot be used: which flag, what it says, what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DurationsError {
    /// Not in Go's notation.
    #[error("{flag} is `{found}`, which is no duration: write it like `15s`, `500ms` or `1m30s`")]
    Unreadable {
        /// Its name.
        flag: &'static str,
        /// What it says.
        found: String,
    },
    /// A Lease could not state it.
    #[error(
        "{LEASE} is `{0}`: a Lease states its duration in whole seconds (spec.leaseDurationSeconds), so give it as whole \
         seconds, at least `1s`"
    )]
    NotWholeSeconds(String),
    /// Longer than any replica believes.
    #[error("{LEASE} is `{0}`: at most `10m` is believed of a Lease, so set it to `10m` or less")]
    TooLong(String),
    /// A leader would still lead when its rivals may.
    #[error(
        "{RENEW} is `{renew}`, and must be shorter than {LEASE}, which is `{lease}`: lower the one or raise the other"
    )]
    RenewTooLong {
        /// The renew deadline.
        renew: String,
        /// The lease duration.
        lease: String,
    },
    /// A leader could not try again within its deadline.
    #[error(
        "{RETRY} is `{retry}`, and 1.2 times that must be shorter than {RENEW}, which is `{renew}`: lower the one or \
         raise the other"
    )]
    RetryTooLong {
        /// The retry period.
        retry: String,
        /// The renew deadline.
        renew: String,
    },
    /// A storm of writes.
    #[error("{RETRY} is `{0}`: a leader writes once in each, so give it at least `50ms`")]
    RetryTooShort(String),
}

impl Default for Durations {
    fn default() -> Self {
        Self {
            lease: Duration::from_secs(15),
            renew_deadline: Duration::from_secs(10),
            retry_period: Duration::from_secs(2),
        }
    }
}

impl Durations {
    /// Reads the values of the three flags.
    ///
    /// # Errors
    /// When one cannot be read, or they do not go together.
    pub fn parse(lease: &str, renew_deadline: &str, retry_period: &str) -> Result<Self, DurationsError> {
        let read = |flag, text: &str| {
            go_duration(text).ok_or_else(|| DurationsError::Unreadable { flag, found: text.to_owned() })
        };
        Self::new(read(LEASE, lease)?, read(RENEW, renew_deadline)?, read(RETRY, retry_period)?)
    }

    /// Checks that they go together.
    ///
    /// # Errors
    /// When they do not.
    pub fn new(lease: Duration, renew_deadline: Duration, retry_period: Duration) -> Result<Self, DurationsError> {
        if lease.is_zero() || lease.subsec_nanos() != 0 {
            return Err(DurationsError::NotWholeSeconds(told(lease)));
        }
        if lease > MAX_LEASE {
            return Err(DurationsError::TooLong(told(lease)));
        }
        if renew_deadline >= lease {
            return Err(DurationsError::RenewTooLong { renew: told(renew_deadline), lease: told(lease) });
        }
        if retry_period < MIN_RETRY {
            return Err(DurationsError::RetryTooShort(told(retry_period)));
        }
        if retry_period * (100 + JITTER_PERCENT) / 100 >= renew_deadline {
            return Err(DurationsError::RetryTooLong { retry: told(retry_period), renew: told(renew_deadline) });
        }
        Ok(Self { lease, renew_deadline, retry_period })
    }

    /// How long a Lease must stand unchanged before a rival may take it.
    pub const fn lease(&self) -> Duration {
        self.lease
    }

    /// How long a leader may lead after the sending of its last successful renewal.
    pub const fn renew_deadline(&self) -> Duration {
        self.renew_deadline
    }

    /// How often a leader renews.
    pub const fn retry_period(&self) -> Duration {
        self.retry_period
    }

    /// How often a candidate looks: twice a retry period, so that a Lease given up is taken well within one. A look is a
    /// read and costs the API server little.
    pub(super) fn look_period(&self) -> Duration {
        self.retry_period / 2
    }

    /// How long an answer is waited for: long enough for a busy server, short enough for a second try before the deadline.
    pub(super) fn answer_within(&self) -> Duration {
        (self.retry_period * 2).min(self.renew_deadline / 2)
    }
}

/// Reads Go's notation: numbers with a unit each, `1m30s`, `1.5s`. `None` for anything else, and for what is negative.
fn go_duration(text: &str) -> Option<Duration> {
    if text == "0" {
        return Some(Duration::ZERO);
    }
    let mut rest = text.strip_prefix('+').unwrap_or(text);
    let mut nanos: u128 = 0;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let end = rest.find(|letter: char| !letter.is_ascii_digit() && letter != '.')?;
        let (number, after) = rest.split_at(end);
        let end = after.find(|letter: char| letter.is_ascii_digit() || letter == '.').unwrap_or(after.len());
        let (unit, after) = after.split_at(end);
        nanos = nanos.checked_add(part(number, unit_nanos(unit)?)?)?;
        rest = after;
    }
    u64::try_from(nanos).ok().map(Duration::from_nanos)
}

fn part(number: &str, unit: u128) -> Option<u128> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.len() + fraction.len() == 0 || whole.len() > 18 || fraction.len() > 18 || fraction.contains('.') {
        return None;
    }
    let digits = |text: &str| if text.is_empty() { Some(0_u128) } else { text.parse().ok() };
    let scale = 10_u128.pow(u32::try_from(fraction.len()).ok()?);
    Some(digits(whole)?.checked_mul(unit)? + digits(fraction)? * unit / scale)
}

fn unit_nanos(unit: &str) -> Option<u128> {
    Some(match unit {
        "ns" => 1,
        "us" | "\u{b5}s" | "\u{3bc}s" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" => 60_000_000_000,
        "h" => 3_600_000_000_000,
        _ => return None,
    })
}

/// A duration as one would set it.
fn told(duration: Duration) -> String {
    if duration.subsec_nanos() == 0 {
        return format!("{}s", duration.as_secs());
    }
    if duration.subsec_nanos().is_multiple_of(1_000_000) {
        return format!("{}ms", duration.as_millis());
    }
    format!("{}ns", duration.as_nanos())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_notation_is_that_of_go() {
        let table = [
            ("15s", Some(15_000_000)),
            ("500ms", Some(500_000)),
            ("1m", Some(60_000_000)),
            ("1m30s", Some(90_000_000)),
            ("1.5s", Some(1_500_000)),
            (".5s", Some(500_000)),
            ("1.s", Some(1_000_000)),
            ("1h2m3s4ms5us6ns", Some(3_723_004_005)),
            ("5\u{b5}s", Some(5)),
            ("+2s", Some(2_000_000)),
            ("0", Some(0)),
            ("0s", Some(0)),
            ("", None),
            ("+", None),
            ("15", None),
            ("s", None),
            (".s", None),
            ("1..5s", None),
            ("-5s", None),
            ("5 s", None),
            ("5S", None),
            ("5d", None),
            ("1s2", None),
            ("99999999999999999999h", None),
            ("999999999999h", None),
        ];
        for (text, micros) in table {
            assert_eq!(
                go_duration(text),
                micros.map(Duration::from_micros).map(|found| {
                    // The table has no room for nanoseconds.
                    if text.ends_with("6ns") { found + Duration::from_nanos(6) } else { found }
                }),
                "{text:?}"
            );
        }
    }

    #[test]
    fn the_usual_durations_go_together() {
        assert_eq!(Durations::parse("15s", "10s", "2s"), Ok(Durations::default()));
        for (lease, renew, retry) in
            [("3s", "2s", "500ms"), ("5s", "3s", "800ms"), ("10m", "1m", "50ms"), ("1s", "900ms", "0.7s")]
        {
            assert!(Durations::parse(lease, renew, retry).is_ok(), "{lease} {renew} {retry}");
        }
    }

    #[test]
    fn what_does_not_go_together_is_refused_with_the_flag_what_was_found_and_what_to_do() {
        let table = [
            (("soon", "10s", "2s"), "--leader-elect-lease-duration is `soon`, which is no duration: write it like"),
            (("15s", "10", "2s"), "--leader-elect-renew-deadline is `10`, which is no duration"),
            (("15s", "10s", "-2s"), "--leader-elect-retry-period is `-2s`, which is no duration"),
            (
                ("1.5s", "1s", "500ms"),
                "--leader-elect-lease-duration is `1500ms`: a Lease states its duration in whole seconds",
            ),
            (("0", "1s", "500ms"), "--leader-elect-lease-duration is `0s`: a Lease states"),
            (("601s", "10s", "2s"), "--leader-elect-lease-duration is `601s`: at most `10m`"),
            (
                ("15s", "15s", "2s"),
                "--leader-elect-renew-deadline is `15s`, and must be shorter than --leader-elect-lease-duration, which is `15s`",
            ),
            (
                ("15s", "2400ms", "2s"),
                "--leader-elect-retry-period is `2s`, and 1.2 times that must be shorter than --leader-elect-renew-deadline, which is `2400ms`",
            ),
            (("15s", "10s", "49ms"), "--leader-elect-retry-period is `49ms`: a leader writes once in each"),
        ];
        for ((lease, renew, retry), said) in table {
            let error = Durations::parse(lease, renew, retry).expect_err(said).to_string();
            assert!(error.starts_with(said), "{error}");
        }
    }
}
