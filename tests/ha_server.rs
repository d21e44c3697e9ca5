//! The API server, etcd, and both are killed (`kill -9`) under load and come again: sagas go on.
//!
//! By default each once, with `SAGA_PROVE=1` five times.

mod common;
mod proof;
mod storm;

use std::sync::Arc;
use std::time::{Duration, Instant};

use common::cluster;
use storm::board::Board;
use storm::dice::Dice;
use storm::plane::{Part, Plane};
use storm::tally::{Tally, Times, say};
use storm::world::{Election, Make, World};

const TIMES: Times =
    Times { lease: Duration::from_secs(3), deadline: Duration::from_secs(2), retry: Duration::from_millis(500) };

#[tokio::test(flavor = "multi_thread")]
async fn sagas_survive_an_api_server_and_a_store_that_are_killed_under_load() {
    let rounds = if std::env::var("SAGA_PROVE").is_ok() { 5 } else { 1 };
    let mut plane = Plane::start().await;
    let (board, tally) = (Arc::new(Board::open(cluster::admin().await)), Tally::default());
    let make = Make { replicas: 3, election: Election::On, times: TIMES };
    let mut world = World::open(make, board, Dice::new(1, 0), tally.clone()).await;
    for part in [Part::ApiServer, Part::Etcd, Part::Both].repeat(rounds) {
        world.led().await;
        world.begin(12).await;
        let meanwhile = world.dice.wait(50, 400);
        world.pass(meanwhile).await;
        world.is_served(false);
        plane.kill(part).await;
        let away = Instant::now();
        // Long enough that no leader outlives it, or so short that one may.
        let long = *world.dice.pick(&[200, 4000]);
        world.pass(Duration::from_millis(long)).await;
        plane.restart(part).await;
        world.is_served(true);
        say(&format!("{part:?} was away for {:.1} s", away.elapsed().as_secs_f64()));
        world.begin(6).await;
        world.calm().await;
    }
    world.close().await;
    let count = tally.read();
    count.judge();
    say(&format!("control planes killed: {}, sagas: {}", 3 * rounds, count.sagas));
}
