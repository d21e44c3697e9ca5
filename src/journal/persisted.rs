//! The proof that a decision is stored.

/// Something that this process's own write has stored. Only a journal's `persist` makes it, `load` never does: who did
/// not store an intent cannot send it, and since it is neither `Clone` nor `Copy`, nobody can send it twice.
#[derive(Debug)]
#[must_use = "a stored intent that is not sent is in doubt for everyone else"]
pub struct Persisted<T>(T);

impl<T> Persisted<T> {
    /// For stores: `value` is durable now.
    pub(in crate::journal) const fn proven_by_write(value: T) -> Self {
        Self(value)
    }

    /// For unit tests of participants, which have no journal.
    #[cfg(test)]
    pub(crate) const fn assumed(value: T) -> Self {
        Self(value)
    }

    /// A look at it.
    pub const fn get(&self) -> &T {
        &self.0
    }

    /// Uses it up.
    pub fn into_inner(self) -> T {
        self.0
    }
}
