//! Several shards: never two leaders of one, whatever goes wrong; soon a leader for each and fair shares, once nothing does.

use std::time::Duration;

use proptest::prelude::*;
use proptest::test_runner::{TestCaseError, TestRunner};

use super::exclusive::{STORM, at, by_hand, candidates, config, durations, tape, trouble};
use super::physics::{MILLI, Micros, SECOND, Skew};
use super::world::{Candidate, Fault, Flaw, Tally, World};
use crate::election::config::Durations;

#[derive(Clone, Debug)]
struct Life {
    candidates: Vec<Candidate>,
    shards: u16,
    faults: Vec<(Micros, Fault)>,
    tape: Vec<u16>,
}

fn life() -> impl Strategy<Value = Life> {
    (durations(), 2..=4_usize, 2..=7_u16).prop_flat_map(|(durations, count, shards)| {
        let fault = prop_oneof![4 => trouble(count), 1 => by_hand(count)];
        let faults = prop::collection::vec(at(fault), 0..15);
        (candidates(vec![durations; count]), faults, tape()).prop_map(move |(candidates, faults, tape)| Life {
            candidates,
            shards,
            faults,
            tape,
        })
    })
}

fn micros(duration: Duration) -> Micros {
    u64::try_from(duration.as_micros()).unwrap()
}

fn is_fair(world: &World) -> bool {
    let spread = |shares: &Vec<usize>| shares.iter().max().unwrap() - shares.iter().min().unwrap();
    world.shares().is_some_and(|shares| spread(&shares) <= 1)
}

fn world(life: &Life) -> World {
    let mut world = World::new(life.candidates.clone(), life.shards, Flaw::Sound, life.tape.clone(), STORM);
    for (at, fault) in &life.faults {
        world.fault(*at, fault.clone());
    }
    world
}

fn live(life: &Life) -> Result<Tally, String> {
    let mut world = world(life);
    world.run_until(world.settled())?;
    let lease = micros(life.candidates[0].durations.lease());
    let stated = world.server.all().map(|(_, lease)| lease.record.believed(Duration::ZERO)).max();
    let latest = world.time + 14 * lease + 2 * micros(stated.unwrap_or_default());
    // Shares may be even by chance while the dead are still counted, so what counts is how it is at the end.
    world.run_until(latest)?;
    let owners = world.owners();
    if !is_fair(&world) {
        return Err(format!("at {} \u{b5}s the shards are led by {owners:?}", world.time));
    }
    // And stays so.
    for _ in 0..50 {
        world.run_until(world.time + lease / 5)?;
        if world.owners() != owners {
            return Err(format!("at {} \u{b5}s {owners:?} became {:?}", world.time, world.owners()));
        }
    }
    Ok(world.tally)
}

proptest! {
    #![proptest_config(config(12))]

    #[test]
    fn never_two_lead_a_shard_and_soon_the_shares_are_fair(life in life()) {
        live(&life).map_err(TestCaseError::fail)?;
    }
}

#[test]
fn the_worlds_with_shards_are_eventful() {
    let mut runner = TestRunner::new(config(15));
    let total = std::cell::RefCell::new(Tally::default());
    runner
        .run(&life(), |life| {
            let mut world = world(&life);
            world.run_until(world.settled()).map_err(TestCaseError::fail)?;
            let mut total = total.borrow_mut();
            total.terms += world.tally.terms;
            total.taken += world.tally.taken;
            total.not_renewed += world.tally.not_renewed;
            total.released += world.tally.released;
            Ok(())
        })
        .unwrap();
    let tally = total.into_inner();
    println!("{tally:?}");
    for (what, count, least) in
        [("terms", tally.terms, 100), ("not renewed", tally.not_renewed, 15), ("released", tally.released, 30)]
    {
        assert!(count >= least, "{what}: {count}");
    }
}

fn calm(count: usize, shards: u16) -> World {
    let skew = |who: usize| Skew { zero: 1000 * SECOND * (who as u64 + 1), pace: 1000, wall_seconds: 0 };
    let candidates = (0..count).map(|who| Candidate { durations: Durations::default(), skew: skew(who) }).collect();
    World::new(candidates, shards, Flaw::Sound, Vec::new(), 0)
}

#[test]
fn the_shards_of_a_replica_that_is_killed_are_taken_over_and_shared_again() {
    let mut world = calm(3, 6);
    world.run_until(60 * SECOND).unwrap();
    assert_eq!(world.shares(), Some(vec![2, 2, 2]));
    // Away for good, as far as the others can see.
    world.fault(world.time, Fault::Restart { who: 1 });
    world.run_until(world.time + 10 * MILLI).unwrap();
    let lost: Vec<usize> = (0..6).filter(|shard| world.owners()[*shard].is_empty()).collect();
    assert_eq!(lost.len(), 2);
    let begin = world.time;
    while world.shares().is_none() {
        world.run_until(world.time + 10 * MILLI).unwrap();
        // The same bound as with one shard: the lease duration, 1.2 retry periods and a second.
        assert!(world.time - begin <= 18_400 * MILLI, "{:?}", world.owners());
    }
    println!("taken over after {} ms", (world.time - begin) / MILLI);
    world.run_until(world.time + 90 * SECOND).unwrap();
    assert_eq!(world.shares(), Some(vec![2, 2, 2]));
}

#[test]
fn a_replica_that_leaves_hands_each_shard_over_within_a_retry_period() {
    // The same world each time, looked at for each of the shards it leaves.
    let mut world = calm(3, 6);
    world.run_until(60 * SECOND).unwrap();
    let left: Vec<usize> = (0..6).filter(|shard| world.owners()[*shard] == [2]).collect();
    assert_eq!(left.len(), 2);
    for shard in left {
        let mut again = calm(3, 6);
        again.run_until(60 * SECOND).unwrap();
        again.fault(60 * SECOND, Fault::Release { who: 2 });
        let mut step = |led: bool| {
            while again.owners()[shard].is_empty() == led {
                again.run_until(again.time + MILLI).unwrap();
            }
            again.time
        };
        let free = step(false);
        let taken = step(true);
        println!("shard {shard} was without leader for {} ms", (taken - free) / MILLI);
        assert!(taken - free <= 2 * SECOND, "{} ms", (taken - free) / MILLI);
    }
}

#[test]
fn one_shard_needs_no_council_and_no_lease_beside_its_own() {
    let mut world = calm(3, 1);
    world.run_until(120 * SECOND).unwrap();
    assert_eq!(world.server.all().count(), 1);
    let mut world = calm(3, 2);
    world.run_until(120 * SECOND).unwrap();
    assert_eq!(world.server.all().count(), 5);
}

#[test]
fn the_leases_of_the_dead_are_removed() {
    let mut world = calm(2, 2);
    for turn in 1..=5 {
        world.fault(turn * 20 * SECOND, Fault::Restart { who: 0 });
    }
    world.run_until(125 * SECOND).unwrap();
    assert!(world.server.all().count() > 4 + 2);
    world.run_until(125 * SECOND + 15 * 15 * SECOND).unwrap();
    assert_eq!(world.server.all().count(), 4);
}
