//! Replicas of the operator that are killed, stopped, cut off and ended, one after another, while sagas run: none is lost, and
//! nothing is done twice.
//!
//! By default a small storm. With `SAGA_PROVE=1`, or with `SAGA_STORM_KILLS` and `SAGA_STORM_SAGAS`, a large one;
//! `SAGA_STORM_SEED` chooses another, `SAGA_STORM_WORLDS` how many go on side by side.

mod common;
mod proof;
mod storm;

use std::time::Duration;

use storm::storm::Plan;
use storm::tally::Times;
use storm::world::{Election, Make};

/// Lease duration, renew deadline, retry period of a storm: short, so that much goes wrong in little time.
const TIMES: Times =
    Times { lease: Duration::from_secs(2), deadline: Duration::from_millis(1400), retry: Duration::from_millis(300) };

fn number(variable: &str) -> Option<usize> {
    std::env::var(variable).ok().map(|text| text.parse().expect("a number"))
}

#[tokio::test(flavor = "multi_thread")]
async fn in_a_storm_no_saga_is_lost_and_nothing_is_done_twice() {
    let proving = std::env::var("SAGA_PROVE").is_ok();
    let (kills, sagas) = if proving { (2000, 20_000) } else { (60, 600) };
    let worlds = number("SAGA_STORM_WORLDS").unwrap_or(4);
    let elected = Make { replicas: 3, election: Election::On, times: TIMES };
    let unelected = Make { election: Election::Off, ..elected };
    let mut makes = vec![elected; worlds];
    if let Some(last) = makes.get_mut(1..).and_then(<[Make]>::last_mut) {
        *last = unelected;
    }
    let plan = Plan {
        seed: number("SAGA_STORM_SEED").map_or(1, |seed| u64::try_from(seed).expect("a number")),
        kills: number("SAGA_STORM_KILLS").unwrap_or(kills),
        sagas: number("SAGA_STORM_SAGAS").unwrap_or(sagas),
        worlds: makes,
    };
    let count = storm::storm::storm(&plan, TIMES).await.read();
    assert!(count.kills >= plan.kills && count.sagas >= plan.sagas, "{count:?}");
}
