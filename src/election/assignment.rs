//! Which replica should lead which shard. Pure.
//!
//! # Guarantees
//! It follows from the set of live replicas alone, so replicas that see the same set agree without a word. Shares differ by
//! at most one. A replica that comes or goes moves few shards beside those it gets or leaves behind; with shares that are
//! always even, none at all is not possible.

#![warn(clippy::disallowed_methods)]

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use super::identity::Identity;
use super::shard::{Shard, Shards, weight};

/// Each shard's replica; nothing without replicas.
///
/// Shard and replica that belong together most (rendezvous) are put together first, as long as the replica has room.
pub(super) fn assignment(live: &BTreeSet<Identity>, shards: &Shards) -> BTreeMap<Shard, Identity> {
    let mut pairs: Vec<(u64, Shard, &Identity)> = Vec::new();
    for shard in shards.all() {
        let label = shard.to_string();
        pairs.extend(live.iter().map(|replica| (weight(replica.as_str(), &label), shard, replica)));
    }
    pairs.sort_by_key(|pair| Reverse(*pair));
    let count = usize::from(shards.count());
    let share = count.checked_div(live.len()).unwrap_or_default();
    // So many have one more.
    let mut larger = count.checked_rem(live.len()).unwrap_or_default();
    let mut loads: BTreeMap<&Identity, usize> = BTreeMap::new();
    let mut assigned = BTreeMap::new();
    for (_, shard, replica) in pairs {
        let load = loads.entry(replica).or_default();
        let room = *load < share || (*load == share && larger > 0);
        if !room || assigned.contains_key(&shard) {
            continue;
        }
        larger -= usize::from(*load == share);
        *load += 1;
        assigned.insert(shard, replica.clone());
    }
    assigned
}

#[cfg(test)]
mod tests {
    use super::*;

    fn replicas(count: u128) -> BTreeSet<Identity> {
        (0..count).map(|number| Identity::fresh("pod", (number * 7 + 1) << 64)).collect()
    }

    fn shards(count: u16) -> Shards {
        Shards::new(count, "x").unwrap()
    }

    #[test]
    fn every_shard_has_a_replica_and_shares_differ_by_at_most_one() {
        for count in [1, 2, 3, 8, 16, 64] {
            for live in 1..=12 {
                let assigned = assignment(&replicas(live), &shards(count));
                assert_eq!(assigned.len(), usize::from(count));
                let load = |replica: &Identity| assigned.values().filter(|one| *one == replica).count();
                let loads: Vec<usize> = replicas(live).iter().map(load).collect();
                let (least, most) = (loads.iter().min().unwrap(), loads.iter().max().unwrap());
                assert!(most - least <= 1, "{count} shards: {loads:?}");
            }
        }
        assert!(assignment(&BTreeSet::new(), &shards(3)).is_empty());
    }

    #[test]
    fn a_replica_that_comes_or_goes_moves_few_shards_beside_its_own() {
        let (mut moved, mut needed) = (0, 0);
        for live in 1..=11_usize {
            let few = replicas(live as u128);
            let more = replicas(live as u128 + 1);
            let (before, after) = (assignment(&few, &shards(64)), assignment(&more, &shards(64)));
            moved += before.iter().filter(|(shard, replica)| after[*shard] != **replica).count();
            // What the newcomer gets has to move.
            needed += 64 / (live + 1);
        }
        println!("{moved} moved, {needed} had to");
        assert!(moved >= needed, "somebody has too little");
        assert!(moved <= needed * 2, "{moved} moved where {needed} had to");
    }
}
