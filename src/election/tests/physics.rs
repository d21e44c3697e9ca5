//! Clocks that go at their own pace, and what becomes of messages.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use crate::saga::{Monotonic, Now};

/// True time, in microseconds.
pub(super) type Micros = u64;

pub(super) const MILLI: Micros = 1_000;
pub(super) const SECOND: Micros = 1_000_000;

/// The clocks of one process.
#[derive(Clone, Copy, Debug)]
pub(super) struct Skew {
    /// What the monotonic clock shows at true time zero.
    pub(super) zero: Micros,
    /// Its pace in thousandths of true time.
    pub(super) pace: u64,
    /// How wrong the wall clock is.
    pub(super) wall_seconds: i64,
}

impl Skew {
    pub(super) fn now(&self, time: Micros) -> Now {
        let wall = SignedDuration::from_micros(i64::try_from(time).expect("a time of a test"))
            + SignedDuration::from_secs(self.wall_seconds);
        let wall = "2026-11-21T00:00:00Z".parse::<Timestamp>().expect("a time") + wall;
        Now::new(wall, self.monotonic(time))
    }

    pub(super) fn monotonic(&self, time: Micros) -> Monotonic {
        Monotonic(Duration::from_micros(self.zero + time * self.pace / 1000))
    }

    /// The first true time at which the monotonic clock shows this.
    pub(super) fn reaches(&self, at: Monotonic) -> Micros {
        let local = u64::try_from(at.0.as_micros()).expect("a time of a test").saturating_sub(self.zero);
        (local * 1000).div_ceil(self.pace)
    }
}

/// What becomes of a request and its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fate {
    /// After that it reaches the server; `None`: never.
    pub(super) there: Option<Micros>,
    /// After that the answer is back; `None`: never.
    pub(super) back: Option<Micros>,
    pub(super) answer: Served,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Served {
    Truly,
    /// Not done, and said so.
    Busy(Option<u64>),
    /// Done, and a gateway says that it does not know.
    Vaguely,
    /// Not done, and nobody says so.
    Refused,
}

/// The longest that a message is under way.
pub(super) const LONGEST: Micros = 20 * SECOND;

impl Fate {
    pub(super) const fn calm() -> Self {
        Self { there: Some(2 * MILLI), back: Some(2 * MILLI), answer: Served::Truly }
    }

    /// One of many; 0 is calm.
    pub(super) fn of(choice: u16) -> Self {
        let calm = Self::calm();
        let some = u64::from(choice / 16);
        match choice % 16 {
            0..=7 => Self { there: Some(MILLI + some % 20 * MILLI), back: Some(MILLI + some % 30 * MILLI), ..calm },
            8 => Self { there: None, ..calm },
            9 => Self { back: None, ..calm },
            // Late, maybe later than anybody waits.
            10 => Self { there: Some(some * 1777 % LONGEST), ..calm },
            11 => Self { back: Some(some * 3777 % LONGEST), ..calm },
            12 => Self { there: Some(some * 977 % (4 * SECOND)), back: Some(some * 1377 % (4 * SECOND)), ..calm },
            13 => Self { answer: Served::Busy((some % 3 > 0).then_some(some % 40)), ..calm },
            14 => Self { answer: Served::Vaguely, ..calm },
            _ => Self { answer: Served::Refused, ..calm },
        }
    }
}
