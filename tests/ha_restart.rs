//! Replicas that are replaced one after another, killed again and again, or robbed of their Lease: sagas go on.
//!
//! By default for a short time; with `SAGA_PROVE=1` for as long as `docs/proof.md` says.

mod common;
mod proof;
mod storm;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use common::cluster;
use common::proxy::Seen;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::coordination::v1::Lease;
use kube::api::{Api, DeleteParams, Patch, PatchParams};
use serde_json::{Value, json};
use storm::board::{Board, NAMESPACE};
use storm::dice::Dice;
use storm::replica::End;
use storm::tally::{Tally, Times, say};
use storm::world::{Election, Make, PATIENT, World};

/// So short that leaders come as soon as they go.
const SHORT: Times =
    Times { lease: Duration::from_secs(2), deadline: Duration::from_millis(1400), retry: Duration::from_millis(300) };
const STANDARD: Times =
    Times { lease: Duration::from_secs(3), deadline: Duration::from_secs(2), retry: Duration::from_millis(500) };
/// As few takeovers as are looked at together.
const WINDOW: usize = 5;

fn proving() -> bool {
    std::env::var("SAGA_PROVE").is_ok()
}

async fn world(times: Times) -> (World, Tally) {
    let (board, tally) = (Arc::new(Board::open(cluster::admin().await)), Tally::default());
    let make = Make { replicas: 3, election: Election::On, times };
    (World::open(make, board, Dice::new(1, 0), tally.clone()).await, tally)
}

/// Waits until all sagas ended, and fails when anything is wrong.
async fn all_ended_well(mut world: World, tally: &Tally) {
    world.calm().await;
    world.close().await;
    tally.read().judge();
}

#[tokio::test(flavor = "multi_thread")]
async fn no_saga_fails_while_all_replicas_are_replaced_again_and_again() {
    let rounds = if proving() { 20 } else { 3 };
    let (mut world, tally) = world(PATIENT).await;
    for round in 1..=rounds {
        for place in 0..world.replicas.len() {
            let leader = world.led().await;
            let named = world.holder().map(|(holder, _)| holder).unwrap_or_default();
            world.begin(4).await;
            let lives = world.replicas[place].lives.len();
            let asked = Instant::now();
            world.replicas[place].terminate().await;
            if leader == place {
                let took = world.led_after(&named).await.saturating_duration_since(asked);
                tally.count(|all| all.handovers.push(took));
            }
            while world.replicas[place].lives.len() == lives || !world.replicas[place].is_ready() {
                world.pass(Duration::from_millis(20)).await;
            }
        }
        if round % 5 == 0 {
            world.calm().await;
        }
    }
    let lives = world.replicas.iter().flat_map(|replica| &replica.lives);
    let ended: Vec<_> = lives.filter(|life| life.end == End::Asked).filter_map(|life| life.status).collect();
    let well = ended.iter().filter(|status| status.success()).count();
    assert_eq!((ended.len(), well), (3 * rounds, 3 * rounds), "each gives the Lease back and ends well: {ended:?}");
    all_ended_well(world, &tally).await;
    let count = tally.read();
    count.print(PATIENT);
    say(&format!("rolling restarts: {rounds}, sagas: {}, failed: 0", count.sagas));
}

#[tokio::test(flavor = "multi_thread")]
async fn while_a_replica_is_killed_every_second_sagas_go_on() {
    let long = Duration::from_secs(if proving() { 300 } else { 20 });
    let (mut world, tally) = world(SHORT).await;
    let (begun, mut leaders, mut kills, mut windows) = (Instant::now(), BTreeSet::new(), 0, 0);
    let (mut seen, mut over) = (0, 0);
    // A window at least, however slow the machine is.
    while begun.elapsed() < long || windows == 0 {
        world.begin(2).await;
        let any = world.dice.below(world.replicas.len());
        world.replicas[any].kill();
        kills += 1;
        for _ in 0..20 {
            world.pass(Duration::from_millis(50)).await;
            leaders.extend(world.holder().map(|(holder, _)| holder));
        }
        if leaders.len() - seen >= WINDOW {
            let now = world.over();
            assert!(now > over, "in {WINDOW} takeovers no saga ended: {over} of {}", tally.read().begun);
            (seen, over, windows) = (leaders.len(), now, windows + 1);
        }
        assert!(begun.elapsed() < 10 * long, "nobody takes over any more: {leaders:?}");
    }
    say(&format!("crash storm kills: {kills}, leaders: {}, windows in which sagas ended: {windows}", leaders.len()));
    all_ended_well(world, &tally).await;
}

/// Where Debian's package `faketime` puts the library that makes clocks wrong, if it is installed. A proof needs it.
fn faketime() -> Option<String> {
    let places = ["/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/lib"];
    let files = places.map(|place| format!("{place}/faketime/libfaketimeMT.so.1"));
    let found = files.into_iter().find(|file| std::fs::exists(file).unwrap_or_default());
    assert!(found.is_some() || !proving(), "a proof needs libfaketime: apt-get install faketime");
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_whose_clock_is_an_hour_off_and_half_as_fast_again_does_no_harm() {
    let Some(library) = faketime() else {
        return say("wrong clock: not tried, because libfaketime is not installed");
    };
    let rounds = if proving() { 20 } else { 3 };
    let (mut world, tally) = world(STANDARD).await;
    let wrong = [("LD_PRELOAD", library), ("FAKETIME", "+3600s x1.5".to_owned())];
    world.replicas[1].variables = wrong.map(|(name, value)| (name.to_owned(), value)).to_vec();
    world.replicas[1].kill();
    let mut led = 0;
    for _ in 0..rounds {
        // It leads, and is killed at work.
        while world.led().await != 1 {
            let (leader, holder) = (world.led().await, world.holder());
            world.begin(4).await;
            world.replicas[leader].kill();
            world.led_after(&holder.expect("somebody leads").0).await;
        }
        led += 1;
        world.begin(12).await;
        let meanwhile = world.dice.wait(100, 1000);
        world.pass(meanwhile).await;
        world.replicas[1].kill();
        world.calm().await;
    }
    // The deadlines of calls are those of its clock.
    let soon = Timestamp::now() + SignedDuration::from_mins(30);
    let wire = world.wire.seen();
    let deadlines = wire.iter().filter_map(|seen| seen.header("saga-deadline")?.parse::<Timestamp>().ok());
    let ahead = deadlines.filter(|deadline| *deadline > soon).count();
    assert!(ahead > 0, "its clock is right");
    // On its clock one half a second after the other.
    let mut renewals: Vec<_> =
        world.replicas[1].proxy.seen().into_iter().filter(is_renewal).map(|seen| seen.asked).collect();
    renewals.sort_unstable();
    let mut waits: Vec<_> = renewals.windows(2).map(|pair| pair[1] - pair[0]).collect();
    waits.sort_unstable();
    say(&format!(
        "wrong clock led: {led} times, sagas: {}, calls {ahead}, renewals every {:?} ms",
        tally.read().sagas,
        waits.get(waits.len() / 2).map(Duration::as_millis)
    ));
    all_ended_well(world, &tally).await;
}

fn is_renewal(seen: &Seen) -> bool {
    seen.method == "PUT" && seen.path.contains("/leases/")
}

/// What a person may do to a Lease.
fn deeds(lease: &str) -> Vec<(&'static str, Option<Value>)> {
    let foreign = |spec: Value| {
        Some(json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
        "metadata": {"name": lease}, "spec": spec}))
    };
    vec![
        ("deleted", None),
        (
            "emptied",
            foreign(json!({"holderIdentity": null, "leaseDurationSeconds": null, "renewTime": null,
            "acquireTime": null, "leaseTransitions": null})),
        ),
        ("given to a stranger", foreign(json!({"holderIdentity": "\u{1f40c} / nobody", "leaseDurationSeconds": 1}))),
        (
            "given to a stranger of the next century",
            foreign(json!({"holderIdentity": "nobody",
            "leaseDurationSeconds": 2, "renewTime": "2100-01-01T00:00:00.000000Z",
            "acquireTime": "1970-01-01T00:00:00.000000Z", "leaseTransitions": 2_147_483_647})),
        ),
        ("robbed of its holder", foreign(json!({"holderIdentity": ""}))),
        ("deleted again", None),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_done_to_the_lease_by_hand_sagas_go_on() {
    let (mut world, tally) = world(SHORT).await;
    let leases: Api<Lease> = Api::namespaced(world.shop.client.clone(), NAMESPACE);
    let name = world.lease().to_owned();
    for (what, spec) in deeds(&name) {
        world.led().await;
        world.begin(6).await;
        let done = match spec {
            None => leases.delete(&name, &DeleteParams::default()).await.map(drop),
            Some(spec) => leases.patch(&name, &PatchParams::default(), &Patch::Merge(spec)).await.map(drop),
        };
        done.expect(what);
        // Whoever led has noticed by then.
        world.pass(SHORT.bound()).await;
        world.led().await;
        say(&format!("the Lease was {what}"));
        world.calm().await;
    }
    all_ended_well(world, &tally).await;
}
