//! Replicas of the operator that are killed, stopped, cut off and ended, one after another, while sagas run: none is lost, and
//! nothing is done twice.
//!
//! By default a small storm. `SAGA_STORM_KILLS` and `SAGA_STORM_SAGAS` make it larger, `SAGA_STORM_SEED` chooses another,
//! `SAGA_STORM_WORLDS` how many go on side by side.

mod common;
mod proof;
mod storm;

use std::time::Duration;

use storm::storm::Plan;
use storm::tally::Times;
use storm::world::{Election, Make};

/// Lease duration, renew deadline, retry period of a storm: short, so that much goes wrong in little time.
const TIMES: Times =
    Times { lease: Duration::from_secs(3), deadline: Duration::from_secs(2), retry: Duration::from_millis(500) };
const ELECTED: Make = Make { replicas: 3, election: Election::On, times: TIMES };
const UNELECTED: Make = Make { election: Election::Off, ..ELECTED };

/// One storm at a time: what goes wrong is to be what a storm makes, and not that another one leaves the machine no time.
static ROOM: tokio::sync::Semaphore = tokio::sync::Semaphore::const_new(1);

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
async fn in_a_storm_no_saga_is_lost_and_nothing_is_done_twice() {
    let _room = ROOM.acquire().await.expect("open");
    let plan = plan(ELECTED, 3, 60, 300);
    let count = storm::storm::storm(&plan, TIMES).await.read();
    assert!(count.kills >= plan.kills && count.sagas >= plan.sagas, "{count:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_election_no_saga_is_lost_in_a_storm_either() {
    let _room = ROOM.acquire().await.expect("open");
    let plan = plan(UNELECTED, 1, 10, 50);
    let count = storm::storm::storm(&plan, TIMES).await.read();
    assert!(count.kills >= plan.kills && count.sagas >= plan.sagas, "{count:?}");
}
