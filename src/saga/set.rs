//! A set of steps, as bits: a definition has at most 64 steps.

/// A set of step indices below [`Steps::CAPACITY`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Steps(u64);

impl Steps {
    /// Most steps of a definition.
    pub const CAPACITY: usize = 64;

    /// The first so many steps.
    pub const fn first(count: usize) -> Self {
        if count >= Self::CAPACITY { Self(u64::MAX) } else { Self((1 << count) - 1) }
    }

    /// Adds a step; ignores indices beyond the capacity, which no accepted definition has.
    pub const fn insert(&mut self, step: usize) {
        if step < Self::CAPACITY {
            self.0 |= 1 << step;
        }
    }

    /// Whether the step is in the set.
    pub const fn contains(self, step: usize) -> bool {
        step < Self::CAPACITY && self.0 & (1 << step) != 0
    }

    /// The steps in either.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// The steps, in list order.
    pub fn iter(self) -> impl Iterator<Item = usize> {
        (0..Self::CAPACITY).filter(move |step| self.contains(*step))
    }
}
