//! What a seed decides. What the operators and the machine make of it differs from run to run.

use std::time::Duration;

/// Numbers that follow from a seed (splitmix64).
#[derive(Clone, Debug)]
pub(crate) struct Dice(u64);

impl Dice {
    /// Different numbers for each place, all from one seed.
    pub(crate) fn new(seed: u64, place: usize) -> Self {
        let mut dice = Self(seed);
        for _ in 0..=place {
            dice.0 = dice.next();
        }
        dice
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// From 0 to `bound - 1`.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        let drawn = self.next() % u64::try_from(bound).expect("small");
        usize::try_from(drawn).expect("small")
    }

    /// One of them.
    pub(crate) fn pick<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.below(all.len())]
    }

    /// One of them, more often the higher its weight.
    pub(crate) fn weighed<T: Copy>(&mut self, all: &[(usize, T)]) -> T {
        let mut drawn = self.below(all.iter().map(|(weight, _)| weight).sum());
        for (weight, what) in all {
            if drawn < *weight {
                return *what;
            }
            drawn -= weight;
        }
        unreachable!("the weights add up")
    }

    /// From `least` to `most`, in milliseconds.
    pub(crate) fn wait(&mut self, least: usize, most: usize) -> Duration {
        let millis = least + self.below(most - least + 1);
        Duration::from_millis(u64::try_from(millis).expect("small"))
    }
}
