//! Which shard a run belongs to. Pure.

#![warn(clippy::disallowed_methods)]

use std::fmt;
use std::num::NonZeroU16;

use sha2::{Digest as _, Sha256};

use super::identity::Identity;

/// Each shard costs its owner a renewal in a retry period.
pub const MAX_SHARDS: u16 = 64;
/// Longest name of an election: it is a label's value, too, and leaves room for what is added to it.
const MAX_NAME: usize = 63;

/// A part of all runs, led by one replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Shard(pub u16);

/// Into how many shards the runs are divided, and what their Leases are called. All replicas must agree on both: two that do
/// not may lead the same run, and only the journal's compare-and-swap stands between them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shards {
    count: NonZeroU16,
    name: String,
}

/// Why runs cannot be divided so.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ShardsError {
    /// Too few or too many.
    #[error("--shards is {0}: give 1 to {MAX_SHARDS}; each shard costs a write in every retry period")]
    Count(u16),
    /// Not the name of an object.
    #[error(
        "--leader-elect-resource-name is `{0}`: a Lease's name has lower-case letters, digits and `-`, begins and ends \
         with a letter or digit, and here has at most {MAX_NAME} characters"
    )]
    Name(String),
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Shards {
    /// So many shards, whose Leases have this name or begin with it.
    ///
    /// # Errors
    /// When there are too many or none, or the name is none.
    pub fn new(count: u16, name: &str) -> Result<Self, ShardsError> {
        let count = NonZeroU16::new(count).filter(|_| count <= MAX_SHARDS).ok_or(ShardsError::Count(count))?;
        let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        let is_edge = |byte: Option<&u8>| byte.is_some_and(|byte| fits(*byte) && *byte != b'-');
        let bytes = name.as_bytes();
        if bytes.len() > MAX_NAME
            || !bytes.iter().all(|byte| fits(*byte))
            || !is_edge(bytes.first())
            || !is_edge(bytes.last())
        {
            return Err(ShardsError::Name(name.to_owned()));
        }
        Ok(Self { count, name: name.to_owned() })
    }

    /// All runs together, where nobody is elected.
    pub(super) const fn undivided() -> Self {
        Self { count: NonZeroU16::MIN, name: String::new() }
    }

    /// What all names begin with.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// How many.
    pub const fn count(&self) -> u16 {
        self.count.get()
    }

    /// All of them, in order.
    pub fn all(&self) -> impl Iterator<Item = Shard> + use<> {
        (0..self.count.get()).map(Shard)
    }

    /// The shard of a run: that with the highest hash of both (rendezvous). One more shard takes runs only for itself. Stable
    /// for ever: replicas of two versions must agree.
    pub fn of(&self, run_uid: &str) -> Shard {
        let weight = |shard: &Shard| weight(run_uid, &shard.to_string());
        // At equal weights, which nobody will see, the lowest.
        self.all().max_by_key(|shard| (weight(shard), std::cmp::Reverse(*shard))).unwrap_or(Shard(0))
    }

    /// The name of a shard's Lease: the name itself where there is one shard, so that one elector's Lease looks as usual.
    pub fn lease_name(&self, shard: Shard) -> String {
        if self.count.get() == 1 { self.name.clone() } else { format!("{}-{shard}", self.name) }
    }

    /// The shard that a Lease of this name stands for.
    pub(super) fn of_lease(&self, name: &str) -> Option<Shard> {
        self.all().find(|shard| self.lease_name(*shard) == name)
    }

    /// The name of the Lease by which a replica says that it lives.
    pub(super) fn replica_name(&self, identity: &Identity) -> String {
        format!("{}-replica-{identity}", self.name)
    }

    /// The replica that a Lease of this name stands for.
    pub(super) fn replica_of(&self, name: &str) -> Option<Identity> {
        Identity::of_record(name.strip_prefix(&self.name)?.strip_prefix("-replica-")?)
    }
}

/// How much two things belong together, the same at every place and time.
pub(super) fn weight(one: &str, other: &str) -> u64 {
    let mut hash = Sha256::new();
    hash.update(one.as_bytes());
    // Neither has it in it.
    hash.update([0]);
    hash.update(other.as_bytes());
    let digest = hash.finalize();
    digest.iter().take(8).fold(0, |number, byte| (number << 8) | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shards(count: u16) -> Shards {
        Shards::new(count, "saga-operator").unwrap()
    }

    fn uid(number: u32) -> String {
        format!("0c0ffee0-0000-4000-8000-{number:012x}")
    }

    /// Replicas of different versions must agree: these never change.
    #[test]
    fn a_run_belongs_to_the_same_shard_for_ever() {
        let found: Vec<Vec<u16>> =
            [1, 2, 3, 8, 64].map(|count| (0..8).map(|number| shards(count).of(&uid(number)).0).collect()).into();
        assert_eq!(found, VECTORS);
    }

    const VECTORS: [[u16; 8]; 5] = [
        [0, 0, 0, 0, 0, 0, 0, 0],
        [1, 0, 1, 0, 0, 0, 0, 0],
        [1, 0, 1, 0, 0, 0, 2, 0],
        [1, 3, 1, 0, 0, 0, 2, 0],
        [13, 59, 1, 0, 23, 19, 30, 27],
    ];

    #[test]
    fn runs_spread_evenly_and_one_more_shard_takes_runs_only_for_itself() {
        const RUNS: u32 = 4000;
        let (before, after) = (shards(7), shards(8));
        let mut counts = [0_u32; 8];
        for number in 0..RUNS {
            let (old, new) = (before.of(&uid(number)), after.of(&uid(number)));
            assert!(old == new || new == Shard(7), "{old} -> {new}");
            counts[usize::from(new.0)] += 1;
        }
        assert!(counts.iter().all(|count| (RUNS / 10..RUNS / 6).contains(count)), "{counts:?}");
    }

    #[test]
    fn leases_are_called_as_usual_where_there_is_one_and_numbered_where_there_are_more() {
        assert_eq!(shards(1).lease_name(Shard(0)), "saga-operator");
        assert_eq!(shards(3).lease_name(Shard(2)), "saga-operator-2");
        assert_eq!(shards(3).of_lease("saga-operator-2"), Some(Shard(2)));
        assert_eq!(shards(3).of_lease("saga-operator-3"), None);
        assert_eq!(shards(3).of_lease("saga-operator-02"), None);
        let identity = Identity::fresh("pod-x", 5 << 64);
        assert_eq!(shards(3).replica_name(&identity), "saga-operator-replica-pod-x-0000000000000005");
        assert_eq!(shards(3).replica_of(&shards(3).replica_name(&identity)), Some(identity));
        assert_eq!(shards(3).replica_of("saga-operator-replica-"), None);
        assert_eq!(shards(3).replica_of("saga-operator-2"), None);
    }

    #[test]
    fn a_count_or_a_name_that_cannot_be_is_refused_with_what_to_do() {
        for (count, name, said) in [
            (0, "a", "--shards is 0: give 1 to 64"),
            (65, "a", "--shards is 65"),
            (1, "", "--leader-elect-resource-name is ``"),
            (1, "A", "--leader-elect-resource-name is `A`"),
            (1, "-a", "--leader-elect-resource-name"),
            (1, &"a".repeat(64), "--leader-elect-resource-name"),
        ] {
            let error = Shards::new(count, name).unwrap_err().to_string();
            assert!(error.starts_with(said), "{error}");
        }
        let longest = Shards::new(64, &"a".repeat(MAX_NAME)).unwrap();
        assert!(longest.replica_name(&Identity::fresh(&"p".repeat(99), u128::MAX)).len() <= 253);
    }
}
