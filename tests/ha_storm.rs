//! Replicas of the operator that are killed, stopped, cut off and ended, one after another, while sagas run: none is lost, and
//! nothing is done twice.
//!
//! By default a small storm. `SAGA_STORM_KILLS` and `SAGA_STORM_SAGAS` make it larger, `SAGA_STORM_SEED` chooses another,
//! `SAGA_STORM_WORLDS` how many go on side by side.

mod common;
mod proof;
mod storm;

use std::sync::Arc;
use std::time::Duration;

use common::cluster;
use serde_json::Value;
use storm::board::Board;
use storm::dice::Dice;
use storm::forged::{FORGERIES, INNOCENT};
use storm::judge;
use storm::storm::Plan;
use storm::tally::{Tally, Times, say};
use storm::world::{Election, Make, PATIENT, World};

/// Lease duration, renew deadline, retry period of a storm: short, so that much goes wrong in little time.
const TIMES: Times =
    Times { lease: Duration::from_secs(3), deadline: Duration::from_secs(2), retry: Duration::from_millis(500) };
const ELECTED: Make = Make { replicas: 3, election: Election::On, times: TIMES };
const UNELECTED: Make = Make { election: Election::Off, ..ELECTED };

fn number(variable: &str) -> Option<usize> {
    std::env::var(variable).ok().map(|text| text.parse().expect("a number"))
}

/// A storm of so many kills and sagas, or as many as the variables say.
fn plan(make: Make, worlds: usize, kills: usize, sagas: usize) -> Plan {
    Plan {
        seed: number("SAGA_STORM_SEED").map_or(1, |seed| u64::try_from(seed).expect("a number")),
        kills: number("SAGA_STORM_KILLS").unwrap_or(kills),
        sagas: number("SAGA_STORM_SAGAS").unwrap_or(sagas),
        worlds: vec![make; number("SAGA_STORM_WORLDS").unwrap_or(worlds)],
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_judge_of_a_storm_finds_every_kind_of_breach() {
    let (board, tally) = (Arc::new(Board::open(cluster::admin().await)), Tally::default());
    let make = Make { replicas: 2, times: PATIENT, ..ELECTED };
    let mut world = World::open(make, board, Dice::new(1, 0), tally).await;
    world.begin(1).await;
    let orders = world.settled().await;
    let case = judge::cases(&world, &orders).remove(0);
    assert_eq!(case.judged().found, Vec::<String>::new());
    for (what, named, forge) in FORGERIES {
        let mut forged = case.clone();
        forge(&mut forged);
        let found = forged.judged().found;
        assert!(found.iter().any(|found| found.contains(named)), "{what}: {found:#?}");
    }
    for (what, late, forge) in INNOCENT {
        let mut forged = case.clone();
        forge(&mut forged);
        let judged = forged.judged();
        assert_eq!((judged.found, judged.late), (Vec::new(), late), "{what}");
    }
    world.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn in_a_storm_no_saga_is_lost_and_nothing_is_done_twice() {
    let plan = plan(ELECTED, 3, 60, 300);
    let count = storm::storm::storm(&plan, TIMES).await.read();
    assert!(count.kills >= plan.kills && count.sagas >= plan.sagas, "{count:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_election_no_saga_is_lost_in_a_storm_either() {
    let proving = std::env::var("SAGA_PROVE").is_ok();
    let (kills, sagas) = if proving { (100, 500) } else { (10, 50) };
    let plan = plan(UNELECTED, 1, kills, sagas);
    let count = storm::storm::storm(&plan, TIMES).await.read();
    assert!(count.kills >= plan.kills && count.sagas >= plan.sagas, "{count:?}");
}

/// What sagas cost that nothing disturbs.
struct Cost {
    /// Writes that the API server took.
    landed: usize,
    /// And those that it refused.
    tried: usize,
    /// Attempts after the first: a participant that is slow costs writes, too.
    repeated: usize,
}

async fn undisturbed(make: Make, sagas: usize) -> Cost {
    let (board, tally) = (Arc::new(Board::open(cluster::admin().await)), Tally::default());
    let mut world = World::open(make, board, Dice::new(1, 0), tally).await;
    world.begin(sagas).await;
    let orders = world.settled().await;
    let cases = judge::cases(&world, &orders);
    assert_eq!(cases.len(), sagas);
    for case in &cases {
        assert_eq!(case.judged().found, Vec::<String>::new(), "{}", case.order.name);
    }
    let repeated = cases.iter().filter_map(|case| case.states.last()).map(repeated).sum();
    let (landed, tried) = world.writes();
    world.close().await;
    Cost { landed, tried, repeated }
}

fn repeated(run: &Value) -> usize {
    let steps = run["status"]["steps"].as_array().into_iter().flatten();
    let calls = steps.flat_map(|step| [step, &step["compensation"], &step["confirm"]]);
    let repeated = calls.filter_map(|call| call["attempts"].as_u64()).map(|attempts| attempts.saturating_sub(1));
    usize::try_from(repeated.sum::<u64>()).expect("few")
}

#[tokio::test(flavor = "multi_thread")]
async fn three_replicas_without_election_do_not_take_sagas_from_each_other() {
    let sagas = 24;
    let alone = undisturbed(Make { replicas: 1, ..UNELECTED }, sagas).await;
    let three = undisturbed(UNELECTED, sagas).await;
    let of_each = |writes: usize| f64::from(u32::try_from(writes).expect("few")) / 24.0;
    let [one, each, tried] = [alone.landed, three.landed, three.tried].map(of_each);
    say(&format!(
        "writes of a saga: {one:.1} of one replica, {each:.1} of three without election, which tried {tried:.1}"
    ));
    let least = alone.landed.saturating_sub(alone.repeated);
    let most = 2 * least + three.repeated;
    assert!(three.landed <= most, "{} writes, {least} of one replica alone, {} repeated", three.landed, three.repeated);
}
