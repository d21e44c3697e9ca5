//! Waits of uneven length, so that candidates do not all ask at once. Pure.

#![warn(clippy::disallowed_methods)]

use std::time::Duration;

use super::config::JITTER_PERCENT;

/// A stream of small additions, decided by its seed.
#[derive(Clone, Debug)]
pub(super) struct Jitter(u64);

impl Jitter {
    pub(super) const fn seeded(seed: u64) -> Self {
        Self(seed)
    }

    /// A period, and up to a fifth more.
    pub(super) fn stretch(&mut self, period: Duration) -> Duration {
        period + period * (self.draw() % (JITTER_PERCENT + 1)) / 100
    }

    /// SplitMix64: enough to keep candidates apart.
    fn draw(&mut self) -> u32 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        u32::try_from((word ^ (word >> 31)) >> 33).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_period_is_stretched_by_up_to_a_fifth_and_never_shortened() {
        let mut jitter = Jitter::seeded(7);
        let period = Duration::from_secs(100);
        let all: Vec<u64> = (0..1000).map(|_| jitter.stretch(period).as_secs()).collect();
        assert_eq!((all.iter().min(), all.iter().max()), (Some(&100), Some(&120)));
    }
}
