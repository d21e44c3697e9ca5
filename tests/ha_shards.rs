//! Several replicas that share the runs: each leads some shards, and the shards of one that goes are led by the others.

mod common;
mod ha;

use std::time::Instant;

use common::operator::Operator;
use common::shop::eventually;
use ha::{Replicas, names, told};
use saga_operator::cli::participants::FaultMode;

const SHARDS: usize = 4;

fn replica(world: &Replicas, pod: &str) -> (String, Operator) {
    (pod.to_owned(), world.start_with(pod, None, &["--shards", &SHARDS.to_string()]))
}

/// Waits until exactly these replicas lead all shards, in fair shares.
async fn shared_by(world: &Replicas, replicas: &[(String, Operator)], what: &str) {
    let begin = Instant::now();
    eventually(what, async || {
        let holders = world.held().await;
        let mut shares: Vec<usize> = replicas
            .iter()
            .map(|(pod, _)| holders.values().filter(|holder| holder.starts_with(&format!("{pod}-"))).count())
            .collect();
        shares.sort_unstable();
        let even = shares.last().zip(shares.first()).is_some_and(|(most, least)| most - least <= 1);
        if even && shares.iter().sum::<usize>() == SHARDS { Ok(()) } else { Err(format!("{holders:?}")) }
    })
    .await;
    told(what, begin.elapsed());
}

/// How many of these runs each replica drove, by what it said of them. Nobody drove one that another did.
fn driven(replicas: &[(String, Operator)], runs: &[String]) -> Vec<usize> {
    let logs: Vec<String> = replicas.iter().map(|(_, operator)| operator.log()).collect();
    let says = |log: &str, run: &str| log.contains(&format!("run=\"{run}\""));
    for run in runs {
        assert_eq!(logs.iter().filter(|log| says(log, run)).count(), 1, "{run} is driven by one of them");
    }
    logs.iter().map(|log| runs.iter().filter(|run| says(log, run)).count()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn replicas_share_the_runs_and_go_on_with_those_of_one_that_goes_or_to_one_that_comes() {
    let world = Replicas::open().await;
    let mut replicas: Vec<_> = ["op0", "op1", "op2"].map(|pod| replica(&world, pod)).into();
    world.define().await;
    shared_by(&world, &replicas, "three share the shards").await;
    let first = names("first", 40);
    world.begin(&first).await;
    world.all_ended_well(&first).await;
    let driven = driven(&replicas, &first);
    println!("driven by each: {driven:?}");
    assert!(driven.iter().all(|runs| *runs > 0), "all three work: {driven:?}");

    let second = names("second", 12);
    world.shop.fault_times("charge", FaultMode::Slow, 8);
    world.begin(&second).await;
    let (pod, killed) = replicas.remove(0);
    killed.kill().await;
    shared_by(&world, &replicas, &format!("{pod} was killed, two share the shards")).await;
    world.all_ended_well(&second).await;

    let third = names("third", 12);
    world.shop.fault_times("charge", FaultMode::Slow, 8);
    world.begin(&third).await;
    replicas.push(replica(&world, "op3"));
    shared_by(&world, &replicas, "another came, three share the shards").await;
    world.all_ended_well(&third).await;

    let fourth = names("fourth", 12);
    world.shop.fault_times("charge", FaultMode::Slow, 8);
    world.begin(&fourth).await;
    let (pod, asked) = replicas.remove(0);
    let ended = asked.stop().await;
    assert!(ended.success(), "{ended}");
    shared_by(&world, &replicas, &format!("{pod} was asked to end, two share the shards")).await;
    world.all_ended_well(&fourth).await;
    for (pod, operator) in &replicas {
        assert!(!operator.log().contains("does not lead any more"), "{pod} lost a shard:\n{}", operator.log());
    }
    drop(replicas);
    world.close().await;
}
