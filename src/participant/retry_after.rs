//! `Retry-After`: seconds, or a date in one of the three forms of HTTP. Pure.

use std::time::Duration;

use jiff::{Timestamp, civil, tz};

/// Longer waits are taken as this: 30 days, the longest life of a run.
pub(super) const MAX: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// The wait relative to `now`; zero for a date in the past, none for what cannot be read.
pub(super) fn parse(value: &str, now: Timestamp) -> Option<Duration> {
    let value = value.trim();
    if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
        // Too many digits for a number are a long wait, too.
        return Some(value.parse().map_or(MAX, Duration::from_secs).min(MAX));
    }
    // Calendar arithmetic: the last day of the year 9999, which some write for "never", is no timestamp any more.
    let wait = date(value)?.duration_since(now.to_zoned(tz::TimeZone::UTC).datetime());
    Some(Duration::try_from(wait).unwrap_or(Duration::ZERO).min(MAX))
}

/// In UTC. All three forms of RFC 9110: its own, RFC 850, asctime.
fn date(value: &str) -> Option<civil::DateTime> {
    if value.len() > 64 || !value.is_ascii() {
        return None;
    }
    let forms = ["%a, %d %b %Y %H:%M:%S GMT", "%A, %d-%b-%y %H:%M:%S GMT", "%a %b %e %H:%M:%S %Y"];
    forms.into_iter().find_map(|form| civil::DateTime::strptime(form, value).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wait(value: &str) -> Option<u64> {
        let now: Timestamp = "1994-11-06T08:49:00Z".parse().unwrap();
        parse(value, now).map(|wait| wait.as_secs())
    }

    #[test]
    fn both_forms_are_read_and_nothing_panics() {
        let month = MAX.as_secs();
        for (value, expected) in [
            ("0", Some(0)),
            ("120", Some(120)),
            (" 7 ", Some(7)),
            ("Sun, 06 Nov 1994 08:49:37 GMT", Some(37)),
            ("Sunday, 06-Nov-94 08:49:37 GMT", Some(37)),
            ("Sun Nov  6 08:49:37 1994", Some(37)),
            ("Sun, 06 Nov 1994 08:48:37 GMT", Some(0)),
            ("Fri, 31 Dec 9999 23:59:59 GMT", Some(month)),
            ("2592001", Some(month)),
            ("18446744073709551616", Some(month)),
            ("99999999999999999999999999999999999999999", Some(month)),
            ("", None),
            ("-1", None),
            ("+5", None),
            ("1.5", None),
            ("5s", None),
            ("soon", None),
            ("1994-11-06T08:49:37Z", None),
            ("Sun, 32 Nov 1994 08:49:37 GMT", None),
            ("Sun, 06 Nov 99999 08:49:37 GMT", None),
            ("\u{661}\u{662}", None),
        ] {
            assert_eq!(wait(value), expected, "{value:?}");
        }
    }
}
