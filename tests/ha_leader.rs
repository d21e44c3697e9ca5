//! Several replicas, of which one leads: what becomes of the sagas when it dies, ends, stands still or is cut off.

mod common;
mod ha;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use common::operator::Operator;
use common::proxy::{Proxy, Verdict};
use common::shop::eventually;
use ha::{Replicas, names, told};
use saga_operator::cli::participants::FaultMode;
use saga_operator::observe::metrics;

/// The replica that a Lease names.
fn named<'a>(replicas: &'a [(String, Operator)], holder: &str) -> &'a Operator {
    let of = replicas.iter().find(|(pod, _)| holder.starts_with(&format!("{pod}-")));
    &of.expect("the holder is one of the replicas").1
}

fn three(world: &Replicas) -> Vec<(String, Operator)> {
    (0..3).map(|number| format!("op{number}")).map(|pod| (pod.clone(), world.start(&pod))).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn whenever_the_leader_is_killed_another_goes_on_and_no_saga_is_lost_or_done_twice() {
    let world = Replicas::open().await;
    let mut replicas = three(&world);
    world.define().await;
    for round in 0..4 {
        let runs = names(&format!("r{round}"), 6);
        world.shop.fault_times("charge", FaultMode::Slow, 4);
        world.begin(&runs).await;
        let leader = world.holder().await.expect("somebody leads");
        named(&replicas, &leader).kill().await;
        let killed = Instant::now();
        let next = world.leader_after(&leader).await;
        told(&format!("kill -9 of {leader}, then {next} leads"), killed.elapsed());
        replicas.retain(|(pod, _)| !leader.starts_with(&format!("{pod}-")));
        let pod = format!("op{}", round + 3);
        replicas.push((pod.clone(), world.start(&pod)));
        world.all_ended_well(&runs).await;
    }
    drop(replicas);
    world.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_is_asked_to_end_gives_its_lease_back_once_nothing_is_under_way() {
    let world = Replicas::open_patient().await;
    let mut replicas = three(&world);
    world.define().await;
    let runs = names("r", 6);
    world.begin(&runs).await;
    let leader = world.holder().await.expect("somebody leads");
    let place = replicas.iter().position(|(pod, _)| leader.starts_with(&format!("{pod}-"))).expect("a replica");
    let (_, operator) = replicas.remove(place);
    let asked = Instant::now();
    let (ended, next) = tokio::join!(operator.stop(), world.leader_after(&leader));
    told(&format!("{leader} was asked to end, {next} leads"), asked.elapsed());
    assert!(ended.success(), "{ended}");
    world.all_ended_well(&runs).await;
    drop(replicas);
    world.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_leader_that_is_asked_to_end_gives_its_lease_back() {
    for shards in ["1", "3"] {
        let world = Replicas::open().await;
        let operator = world.start_with("alone", None, &["--shards", shards]);
        eventually("it leads every shard", async || {
            let held = world.held().await;
            if held.len().to_string() == shards { Ok(()) } else { Err(format!("{held:?}")) }
        })
        .await;
        let ended = operator.stop().await;
        assert!(ended.success(), "{ended}");
        assert_eq!(world.held().await, BTreeMap::new());
        world.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_stood_still_for_longer_than_its_lease_ends_and_does_nothing_any_more() {
    let world = Replicas::open().await;
    let replicas = three(&world);
    world.define().await;
    let runs = names("r", 6);
    world.begin(&runs).await;
    let leader = world.holder().await.expect("somebody leads");
    let stopped = named(&replicas, &leader);
    stopped.signal("-STOP").await;
    world.leader_after(&leader).await;
    world.all_ended_well(&runs).await;
    let before = world.shop.services.ledger().entries().len();
    stopped.signal("-CONT").await;
    let ended = stopped.gone().await;
    assert!(!ended.success(), "a process that lost its leadership must not look as if it were done");
    let log = stopped.log();
    assert!(log.contains("does not lead any more"), "{log}");
    // At most the call that it had decided on before it stood still, refused by its fence or its key.
    let late = world.shop.services.ledger().entries().len() - before;
    assert!(late <= runs.len(), "{late} calls");
    world.all_ended_well(&runs).await;
    drop(replicas);
    world.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_is_cut_off_from_the_api_server_stops_by_itself() {
    let world = Replicas::open().await;
    let wall = Proxy::start(&world.shop.access).await;
    let cut_off = world.start_through("alone", Some(&wall.url()));
    let leader = world.leader_after("").await;
    let others = [world.start("op1"), world.start("op2")];
    world.define().await;
    let runs = names("r", 6);
    world.begin(&runs).await;
    assert!(leader.starts_with("alone-"), "{leader}");
    wall.hook(|_, _| Verdict::Drop);
    let cut = Instant::now();
    let (ended, next) = tokio::join!(cut_off.gone(), world.leader_after(&leader));
    told(&format!("{leader} was cut off, {next} leads"), cut.elapsed());
    assert!(!ended.success(), "{ended}");
    world.all_ended_well(&runs).await;
    drop(others);
    world.close().await;
}

fn port() -> String {
    let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address");
    free.to_string()
}

async fn get(address: &str, path: &str) -> Result<String, String> {
    let answer = http(address, &format!("GET {path} HTTP/1.1\r\nHost: probe\r\nConnection: close\r\n\r\n")).await?;
    if answer.starts_with("HTTP/1.1 200") { Ok(answer) } else { Err(answer) }
}

#[tokio::test(flavor = "multi_thread")]
async fn followers_are_ready_and_write_nothing_and_each_shows_what_it_is() {
    let world = Replicas::open_patient().await;
    let (probes, [leads, follows]) = (port(), [port(), port()]);
    let first = world.start_with("leads", None, &["--metrics-bind-address", &leads]);
    let leader = world.leader_after("").await;
    let wall = Proxy::start(&world.shop.access).await;
    let more = ["--health-probe-bind-address", &probes, "--metrics-bind-address", &follows];
    let follower = world.start_with("follows", Some(&wall.url()), &more);
    eventually("the follower is ready", async || {
        get(&probes, "/readyz").await?;
        get(&probes, "/livez").await
    })
    .await;
    world.define().await;
    let runs = names("r", 4);
    world.begin(&runs).await;
    world.all_ended_well(&runs).await;
    let writes: Vec<_> = wall.seen().into_iter().filter(|seen| seen.method != "GET").collect();
    assert!(writes.is_empty(), "{writes:#?}");
    assert_eq!(world.holder().await, Some(leader));
    for (address, status, terms) in [(&leads, 1, 1), (&follows, 0, 0)] {
        let shown = get(address, "/metrics").await.expect("metrics");
        let lines = [
            format!("{}{{name=\"{}\"}} {status}\n", metrics::LEADS, world.name),
            format!("{}_total {terms}\n", metrics::TERMS),
            format!("{}_seconds ", metrics::ELECTOR_SILENCE),
            format!("{}_seconds{{kind=\"sagaruns\"}} ", metrics::WATCH_SILENCE),
            format!("{}_seconds{{kind=\"sagadefinitions\"}} ", metrics::WATCH_SILENCE),
            format!("{} 0\n", metrics::DRIVEN),
        ];
        for line in lines {
            assert!(shown.contains(&format!("\n{line}")), "{line}: {shown}");
        }
    }
    drop((first, follower));
    world.close().await;
}

async fn http(address: &str, request: &str) -> Result<String, String> {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let exchange = async {
        let mut socket = tokio::net::TcpStream::connect(address).await?;
        socket.write_all(request.as_bytes()).await?;
        let mut answer = String::new();
        socket.read_to_string(&mut answer).await?;
        Ok::<_, std::io::Error>(answer)
    };
    let answer = tokio::time::timeout(Duration::from_secs(5), exchange).await;
    answer.map_err(|_| "no answer".to_owned())?.map_err(|error| error.to_string())
}

#[tokio::test(flavor = "multi_thread")]
async fn flags_that_do_not_fit_together_are_refused_with_the_one_that_is_wrong() {
    let world = Replicas::open().await;
    let (access, namespace) = (&world.shop.access, &world.shop.namespace);
    for (flags, said) in [
        (&["--leader-elect", "--leader-elect-renew-deadline", "30s"][..], ["--leader-elect-renew-deadline", "30s"]),
        (&["--leader-elect", "--shards", "0"], ["--shards is 0", "give 1 to 64"]),
        (&["--leader-elect", "--shards", "65"], ["--shards is 65", "give 1 to 64"]),
        (&["--leader-elect=false", "--shards", "2"], ["--shards is 2", "--leader-elect is off"]),
        (
            &["--leader-elect", "--leader-elect-resource-name", "Not_A_Name"],
            ["--leader-elect-resource-name", "Not_A_Name"],
        ),
    ] {
        let wrong = Operator::start_with(access, namespace, None, flags);
        assert_eq!(wrong.gone().await.code(), Some(2), "{flags:?}");
        let log = wrong.log();
        assert!(said.iter().all(|said| log.contains(said)), "{flags:?}: {log}");
    }
    world.close().await;
}
