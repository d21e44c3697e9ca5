//! Worlds side by side until enough went wrong.

use std::sync::Arc;

use super::board::Board;
use super::dice::Dice;
use super::fault::{Fault, points};
use super::tally::{Tally, Times, say};
use super::world::{Make, World};
use crate::common::cluster;

/// After so many faults everything is left alone until all sagas ended.
const FAULTS_BETWEEN_CALMS: usize = 8;

/// How much is to go wrong.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    pub(crate) kills: usize,
    pub(crate) sagas: usize,
    pub(crate) worlds: Vec<Make>,
}

/// Lets it storm, prints the figures, and fails when anything is wrong.
pub(crate) async fn storm(plan: &Plan, times: Times) -> Tally {
    let Plan { seed, kills, sagas, worlds } = plan;
    say(&format!("storm: seed {seed}, {} worlds, {kills} kills, {sagas} sagas, {times:?}", worlds.len()));
    let board = Arc::new(Board::open(cluster::admin().await));
    let tally = Tally::default();
    let live = worlds.iter().enumerate().map(|(place, make)| {
        let (plan, board, tally) = (plan.clone(), board.clone(), tally.clone());
        let make = *make;
        tokio::spawn(async move { rage(&plan, place, make, board, tally).await })
    });
    for world in futures::future::join_all(live).await {
        if let Err(error) = world {
            tally.wrong([format!("a world ended: {error}")]);
        }
    }
    let count = tally.read();
    count.print(times);
    count.judge();
    tally
}

async fn rage(plan: &Plan, place: usize, make: Make, board: Arc<Board>, tally: Tally) {
    let mut world = World::open(make, board, Dice::new(plan.seed, place), tally.clone()).await;
    let mut named = points().into_iter().skip(place).step_by(plan.worlds.len());
    // Some faults kill nobody, some kill several.
    let sagas = (plan.sagas * 4).div_ceil(plan.kills * 5);
    loop {
        for _ in 0..FAULTS_BETWEEN_CALMS {
            let count = tally.read();
            if count.kills >= plan.kills && count.begun >= plan.sagas {
                break;
            }
            let fault = named.next().map_or_else(|| world.draw(), Fault::KillAt);
            world.strike(fault, sagas).await;
        }
        world.calm().await;
        let count = tally.read();
        let enough = count.kills >= plan.kills && count.begun >= plan.sagas;
        if enough || !tally.is_good() {
            break;
        }
    }
    world.close().await;
}
