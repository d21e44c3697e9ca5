//! The engine keeps every promise whatever goes wrong: one seed, one story.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

mod engine;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use engine::chance::Chance;
use engine::oracle;
use engine::world::{World, definition};

/// Lives through one seed.
async fn live(seed: u64) -> (World, Vec<String>) {
    let shape = Chance::new(seed ^ 0x5eed);
    let number = |from: i32, below: u64| from + i32::try_from(shape.below(below)).unwrap();
    let steps = 1 + usize::try_from(shape.below(5)).unwrap();
    let mut world = World::new(seed, definition(steps, number(1, 12), number(1, 4), number(50, 3000)));
    let uids: Vec<String> = (0..=shape.below(2)).map(|run| format!("run-{run}")).collect();
    for _ in 0..=shape.below(3) {
        world.start();
    }
    for uid in &uids {
        world.submit(uid);
    }
    for _ in 0..shape.below(14) {
        tokio::time::sleep(shape.millis(6000)).await;
        let uid = &uids[usize::try_from(shape.below(uids.len() as u64)).unwrap()];
        let place = usize::try_from(shape.below(world.processes.len() as u64)).unwrap();
        match shape.below(12) {
            0 => {
                world.crash(place);
                world.start();
            }
            1 => {
                world.start();
                world.stop(place).await;
            }
            2 | 3 => world.wish(uid, shape.below(16)),
            4 => world.store.touch(uid),
            5 if shape.below(4) == 0 => world.store.remove(uid),
            _ => {}
        }
    }
    world.chance.calm_down();
    if shape.below(2) == 0 {
        uids.iter().for_each(|uid| world.wish(uid, 5));
    }
    world.settle(Duration::from_secs(4000)).await;
    // Whoever still has something to send does so now.
    tokio::time::sleep(Duration::from_secs(100)).await;
    let mut broken = oracle::judge(&world);
    for running in &world.processes {
        running.drain.cancel();
        if tokio::time::timeout(Duration::from_secs(60), running.fleet.idle()).await.is_err() {
            broken.push(format!("{} does not end", running.process.name));
        }
    }
    (world, broken)
}

fn lives(seeds: std::ops::Range<u64>) {
    let mut ends = std::collections::BTreeMap::<String, u32>::new();
    for seed in seeds {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        let outcome = catch_unwind(AssertUnwindSafe(|| runtime.block_on(live(seed))));
        let Ok((world, broken)) = outcome else { panic!("seed {seed}: panicked") };
        assert!(broken.is_empty(), "seed {seed}: {broken:#?}\ncalls: {:#?}", world.services.story());
        for uid in world.store.uids() {
            let end = world.store.history(&uid).last().and_then(|write| write.stored.end);
            *ends.entry(format!("{end:?}")).or_default() += 1;
        }
    }
    println!("{ends:?}");
}

#[test]
fn every_promise_is_kept_whatever_goes_wrong() {
    lives(0..SEEDS);
}

#[test]
fn every_promise_is_kept_whatever_else_goes_wrong() {
    lives(SEEDS..2 * SEEDS);
}

const SEEDS: u64 = 300;
