//! Leader election on the real API server: candidates that race, die, give up, are cut off, and a Lease that people edit.
//!
//! Nothing here depends on how fast the machine is: what is asserted is who leads, in which order, and that never two do.

mod common;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use common::cluster;
use common::operator::Access;
use common::proxy::{Proxy, Stage, Verdict};
use k8s_openapi::api::coordination::v1::Lease;
use kube::api::{Api, ApiResource, DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config, ResourceExt as _};
use saga_operator::clock::Clock;
use saga_operator::election::{
    Claim, Deposed, Durations, Ground as Place, Identity, Loss, Member, Office, Shard, Shards, Stance, Wish,
};
use serde_json::json;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

const NAME: &str = "saga-operator";
/// Long enough for anything to happen on a machine that is busy.
const PATIENCE: Duration = Duration::from_secs(120);

/// One process, as far as election goes. Its work on a shard ends at once.
struct Stood {
    office: Office,
    identity: String,
    release: CancellationToken,
    task: JoinHandle<Result<(), Deposed>>,
}

impl Stood {
    fn begin(client: Client, member: Member, identity: String) -> Self {
        let (office, release) = (member.office(), CancellationToken::new());
        let (drained, receiver) = mpsc::channel(64);
        let run = member.run(client, receiver, release.clone());
        let mut seen = office.shares();
        let task = tokio::spawn(async move {
            let drain = async move {
                while seen.changed().await.is_ok() {
                    let draining: Vec<Shard> = (seen.borrow_and_update().iter())
                        .filter(|(_, share)| share.wish == Wish::Drain)
                        .map(|(shard, _)| *shard)
                        .collect();
                    for shard in draining {
                        drained.send(shard).await.ok();
                    }
                }
                std::future::pending().await
            };
            tokio::select! {
                end = run => end,
                () = drain => Ok(()),
            }
        });
        Self { office, identity, release, task }
    }

    fn led(&self, clock: Clock) -> Vec<Shard> {
        let (shares, now) = (self.office.shares(), clock.now().monotonic);
        let shares = shares.borrow();
        shares.iter().filter(|(_, share)| share.claim.current(now).is_some()).map(|(shard, _)| *shard).collect()
    }

    fn leads(&self, clock: Clock) -> bool {
        !self.led(clock).is_empty()
    }

    /// What a leader shows.
    fn claim(&self) -> Claim {
        self.office.shares().borrow().values().next().expect("it leads").claim.clone()
    }
}

/// A namespace with a Lease in it, or none yet.
struct Ground {
    admin: Client,
    config: Config,
    namespace: String,
    leases: Api<Lease>,
    /// The same, whatever stands in them.
    any: Api<DynamicObject>,
    clock: Clock,
    durations: Durations,
}

impl Ground {
    /// Where a leader that stands still for a while, because the machine is busy, still leads.
    async fn patient() -> Self {
        Self::new(Durations::parse("60s", "40s", "500ms").expect("durations")).await
    }

    /// Where a lease has to run out.
    async fn quick() -> Self {
        Self::new(Durations::parse("6s", "5s", "500ms").expect("durations")).await
    }

    async fn new(durations: Durations) -> Self {
        let admin = cluster::admin().await;
        let namespace = cluster::namespace(&admin, "election").await;
        let kubeconfig = Kubeconfig::read_from(cluster::kubeconfig_path()).expect("a kubeconfig");
        let mut config =
            Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.expect("a configuration");
        config.default_retry = false;
        let leases = Api::namespaced(admin.clone(), &namespace);
        let any = Api::namespaced_with(admin.clone(), &namespace, &ApiResource::erase::<Lease>(&()));
        Self { admin, config, namespace, leases, any, clock: Clock::start(), durations }
    }

    fn client(&self) -> Client {
        Client::try_from(self.config.clone()).expect("a client")
    }

    fn stand(&self, pod: &str) -> Stood {
        self.stand_with(pod, self.client())
    }

    fn stance(&self, pod: &str) -> Stance {
        let random = uuid::Uuid::new_v4().as_u128();
        Stance {
            identity: Identity::fresh(pod, random),
            durations: self.durations,
            clock: self.clock,
            seed: u64::try_from(random & u128::from(u64::MAX)).expect("it fits"),
        }
    }

    fn stand_with(&self, pod: &str, client: Client) -> Stood {
        self.stand_for(pod, client, &Shards::new(1, NAME).expect("one shard"))
    }

    fn stand_for(&self, pod: &str, client: Client, shards: &Shards) -> Stood {
        let labels = BTreeMap::from([label()]);
        let place = Place { namespace: self.namespace.clone(), shards: shards.clone(), labels };
        let stance = self.stance(pod);
        let identity = stance.identity.to_string();
        Stood::begin(client, Member::new(place, stance), identity)
    }

    /// A Lease as an installation brings it: nobody led before, so nobody has to be waited for.
    async fn install(&self) {
        let lease = json!({
            "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
            "metadata": { "name": NAME, "annotations": { "example.com/owner": "shop" } },
            "spec": { "holderIdentity": "", "leaseDurationSeconds": 1 },
        });
        let lease = serde_json::from_value(lease).expect("a Lease");
        self.leases.create(&PostParams::default(), &lease).await.expect("created");
    }

    async fn holder(&self) -> Option<String> {
        let lease = self.any.get_opt(NAME).await.expect("an answer")?;
        lease.data["spec"]["holderIdentity"].as_str().filter(|holder| !holder.is_empty()).map(str::to_owned)
    }

    async fn version(&self) -> Option<String> {
        self.any.get_opt(NAME).await.expect("an answer").and_then(|lease| lease.resource_version())
    }

    async fn patch(&self, patch: serde_json::Value) {
        self.any.patch(NAME, &PatchParams::default(), &Patch::Merge(patch)).await.expect("patched");
    }

    /// Waits until one of them leads, and makes sure that no two do on the way. Returns which.
    async fn leader<'a>(&self, all: &'a [Stood], what: &str) -> &'a Stood {
        let begin = Instant::now();
        loop {
            let leaders: Vec<&Stood> = all.iter().filter(|one| one.leads(self.clock)).collect();
            assert!(leaders.len() <= 1, "{what}: two lead");
            if let Some(leader) = leaders.first() {
                println!("{what}: {} leads after {} ms", leader.identity, begin.elapsed().as_millis());
                return leader;
            }
            assert!(begin.elapsed() < PATIENCE, "{what}: nobody leads");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    async fn end(self) {
        cluster::leave_namespace(&self.admin, &self.namespace).await;
    }
}

fn label() -> (String, String) {
    ("app.kubernetes.io/name".to_owned(), NAME.to_owned())
}

fn position(all: &[Stood], one: &Stood) -> usize {
    all.iter().position(|other| other.identity == one.identity).expect("one of them")
}

#[tokio::test(flavor = "multi_thread")]
async fn of_three_that_race_for_a_new_lease_one_leads_and_when_it_dies_another() {
    let ground = Ground::quick().await;
    let mut all = vec![ground.stand("a"), ground.stand("b"), ground.stand("c")];
    let leader = ground.leader(&all, "three at once, no Lease").await;
    assert_eq!(ground.holder().await.as_deref(), Some(leader.identity.as_str()));
    let lease = ground.leases.get(NAME).await.expect("there");
    assert_eq!(lease.labels().get(&label().0), Some(&label().1));
    let first = position(&all, leader);

    // It dies without a word; what it claimed is given to nobody else while it lasts.
    let dead = all.remove(first);
    let outlived = dead.claim();
    dead.task.abort();
    let begin = Instant::now();
    let over = tokio::spawn(async move {
        outlived.ended().await;
        Instant::now()
    });
    let next = ground.leader(&all, "the leader died").await;
    let won = Instant::now();
    assert!(!dead.leads(ground.clock), "both lead");
    let over = over.await.expect("no panic");
    assert!(over <= won, "the claim of the dead ended {:?} too late", over - won);
    println!("its claim ended {} ms after its death", (over - begin).as_millis());
    assert_eq!(ground.holder().await.as_deref(), Some(next.identity.as_str()));
    ground.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_gives_up_is_followed_and_what_others_wrote_into_the_lease_stays() {
    let ground = Ground::patient().await;
    ground.install().await;
    let mut all: Vec<Stood> = (0..3).map(|pod| ground.stand(&format!("pod-{pod}"))).collect();
    for turn in 1..=3_i32 {
        let leader = ground.leader(&all, "after a release").await;
        let lease = ground.leases.get(NAME).await.expect("there");
        let spec = lease.spec.clone().expect("a spec");
        assert_eq!(spec.lease_transitions, Some(turn));
        assert_eq!(spec.lease_duration_seconds, Some(60));
        assert_eq!(lease.annotations().get("example.com/owner").map(String::as_str), Some("shop"));
        let mut leader = all.remove(position(&all, leader));
        let claim = leader.claim();
        leader.release.cancel();
        assert_eq!((&mut leader.task).await.expect("no panic"), Ok(()));
        assert!(!leader.leads(ground.clock));
        claim.ended().await;
        assert_ne!(ground.holder().await, Some(leader.identity));
    }
    // Nobody is left: the Lease says so.
    let lease = ground.leases.get(NAME).await.expect("there").spec.expect("a spec");
    assert_eq!((lease.holder_identity.unwrap_or_default(), lease.lease_duration_seconds), (String::new(), Some(1)));
    // Somebody who never led has nothing to give up.
    let leading = ground.stand("x");
    let all = [leading];
    ground.leader(&all, "alone").await;
    let waiting = ground.stand("y");
    waiting.release.cancel();
    assert_eq!(waiting.task.await.expect("no panic"), Ok(()));
    assert!(waiting.office.shares().borrow().is_empty());
    assert_eq!(ground.holder().await, Some(all[0].identity.clone()));
    ground.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_that_is_deleted_or_emptied_under_its_leader_makes_no_second_one() {
    let ground = Ground::patient().await;
    ground.install().await;
    let all = [ground.stand("a"), ground.stand("b"), ground.stand("c")];
    let leader = ground.leader(&all, "first").await;
    for hand in ["delete", "empty", "label", "times"] {
        match hand {
            "delete" => drop(ground.leases.delete(NAME, &DeleteParams::default()).await.expect("deleted")),
            "empty" => ground.patch(json!({ "spec": { "holderIdentity": null, "leaseDurationSeconds": null } })).await,
            "label" => ground.patch(json!({ "metadata": { "labels": { "touched": "yes" } } })).await,
            // Go has more years than most.
            _ => {
                let times = json!({ "renewTime": null, "acquireTime": "9999-12-31T23:59:59.000000Z" });
                ground.patch(json!({ "spec": times })).await;
            }
        }
        let (begin, edited) = (Instant::now(), ground.version().await);
        while ground.version().await == edited || ground.holder().await.as_ref() != Some(&leader.identity) {
            for one in &all {
                let is_leader = one.identity == leader.identity;
                assert_eq!(one.leads(ground.clock), is_leader, "{hand}: {}", one.identity);
            }
            assert!(begin.elapsed() < PATIENCE, "{hand}");
        }
        println!("{hand}: mended after {} ms", begin.elapsed().as_millis());
    }
    ground.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_in_a_lease_ends_the_leader_and_locks_nobody_out() {
    let ground = Ground::quick().await;
    ground.install().await;
    let mut all = vec![ground.stand("a"), ground.stand("b"), ground.stand("c")];
    for garbage in [
        json!({ "holderIdentity": "nobody at all", "leaseDurationSeconds": 1, "leaseTransitions": i32::MAX }),
        json!({ "holderIdentity": "x".repeat(300), "leaseDurationSeconds": null, "renewTime": null }),
    ] {
        let leader = position(&all, ground.leader(&all, "before the garbage").await);
        ground.patch(json!({ "spec": garbage })).await;
        let deposed = all.remove(leader);
        let claim = deposed.claim();
        let end = deposed.task.await.expect("no panic");
        assert!(matches!(end, Err(Deposed { loss: Loss::Taken(_), .. })), "{end:?}");
        assert_eq!(claim.current(ground.clock.now().monotonic), None);
        let next = ground.leader(&all, "after the garbage").await;
        assert_eq!(ground.holder().await, Some(next.identity.clone()));
    }
    ground.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_is_cut_off_is_over_before_another_leads() {
    for stage in [Stage::Asked, Stage::Answered] {
        let ground = Ground::quick().await;
        ground.install().await;
        let access = Access::get(&ground.admin).await;
        let proxy = Proxy::start(&Access { token: admin_token(&ground).await, ..access }).await;
        let cut = Arc::new(AtomicBool::new(false));
        let hook = cut.clone();
        proxy.hook(move |_, now| {
            // The first renewal is lost and the others are not even answered.
            if now == stage && hook.load(Ordering::SeqCst) { Verdict::Drop } else { Verdict::Pass }
        });
        let mut config = Config::new(proxy.url().parse().expect("a URL"));
        config.default_retry = false;
        let behind = ground.stand_with("behind", Client::try_from(config).expect("a client"));
        let mut all = vec![behind];
        ground.leader(&all, "behind the proxy").await;
        all.extend([ground.stand("b"), ground.stand("c")]);
        cut.store(true, Ordering::SeqCst);
        let claim = all[0].claim();
        let over = tokio::spawn(async move {
            claim.ended().await;
            Instant::now()
        });
        let others = all.split_off(1);
        let next = ground.leader(&others, "another, after a cut").await;
        let won = Instant::now();
        assert!(!all[0].leads(ground.clock), "both lead");
        assert!(over.await.expect("no panic") <= won);
        let deposed = all.remove(0);
        let end = deposed.task.await.expect("no panic");
        println!("cut at {stage:?}: {end:?}");
        assert!(end.is_err(), "it must say that it lost");
        assert_eq!(ground.holder().await, Some(next.identity.clone()));
        // Answers again change nothing for the one that is over.
        cut.store(false, Ordering::SeqCst);
        assert!(deposed.office.shares().borrow().is_empty());
        ground.end().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_busy_or_vague_server_costs_no_leadership() {
    let ground = Ground::patient().await;
    ground.install().await;
    let access = Access::get(&ground.admin).await;
    let proxy = Proxy::start(&Access { token: admin_token(&ground).await, ..access }).await;
    let mut config = Config::new(proxy.url().parse().expect("a URL"));
    config.default_retry = false;
    let all = [ground.stand_with("behind", Client::try_from(config).expect("a client"))];
    ground.leader(&all, "behind the proxy").await;
    for (stage, verdict) in [
        (Stage::Asked, Verdict::Answer(429)),
        (Stage::Asked, Verdict::Answer(500)),
        (Stage::Answered, Verdict::Answer(504)),
        (Stage::Asked, Verdict::Answer(409)),
    ] {
        let begun = proxy.seen().len();
        let once = AtomicBool::new(true);
        proxy.hook(move |request, now| {
            let strikes = request.method == "PUT" && now == stage && once.swap(false, Ordering::SeqCst);
            if strikes { verdict } else { Verdict::Pass }
        });
        let begin = Instant::now();
        // The next renewals after the one that met it.
        while proxy.seen().iter().skip(begun).filter(|seen| seen.method == "PUT" && seen.status == Some(200)).count()
            < 2
        {
            assert!(all[0].leads(ground.clock), "{verdict:?} {stage:?}");
            assert!(begin.elapsed() < PATIENCE);
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        println!("{verdict:?} at {stage:?}: renewed again after {} ms", begin.elapsed().as_millis());
    }
    // What was refused by a version was read before it was written again, and each write named its uid.
    for write in proxy.seen().iter().filter(|seen| seen.method == "PUT") {
        assert!(write.json()["metadata"]["uid"].is_string() && write.json()["metadata"]["resourceVersion"].is_string());
    }
    ground.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_meant_for_a_lease_that_is_gone_creates_none() {
    let ground = Ground::patient().await;
    ground.install().await;
    let all = [ground.stand("a")];
    ground.leader(&all, "alone").await;
    all[0].task.abort();
    let mut old = ground.leases.get(NAME).await.expect("there");
    ground.leases.delete(NAME, &DeleteParams::default()).await.expect("deleted");
    old.metadata.managed_fields = None;
    let late = ground.leases.replace(NAME, &PostParams::default(), &old).await;
    println!("{late:?}");
    assert!(matches!(late, Err(kube::Error::Api(status)) if [404, 409].contains(&status.code)));
    assert_eq!(ground.leases.get_opt(NAME).await.expect("an answer"), None);
    ground.end().await;
}

/// Waits until every shard is led and the shares are these, in order of size; no shard is ever led twice.
async fn shared(ground: &Ground, all: &[Stood], want: &[usize], what: &str) {
    let begin = Instant::now();
    loop {
        let mut led: Vec<Shard> = Vec::new();
        let mut sizes = Vec::new();
        for one in all {
            let shards = one.led(ground.clock);
            sizes.push(shards.len());
            led.extend(shards);
        }
        let count = led.len();
        led.sort();
        led.dedup();
        assert_eq!(led.len(), count, "{what}: a shard is led twice");
        sizes.sort_unstable();
        if sizes == want {
            return println!("{what}: shared {want:?} after {} ms", begin.elapsed().as_millis());
        }
        assert!(begin.elapsed() < PATIENCE, "{what}: {sizes:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn replicas_share_the_shards_fairly_whoever_comes_goes_or_dies() {
    let ground = Ground::new(Durations::parse("10s", "9s", "500ms").expect("durations")).await;
    let shards = Shards::new(4, NAME).expect("shards");
    let mut all = vec![ground.stand_for("a", ground.client(), &shards)];
    shared(&ground, &all, &[4], "one").await;
    all.push(ground.stand_for("b", ground.client(), &shards));
    shared(&ground, &all, &[2, 2], "another came").await;
    all.push(ground.stand_for("c", ground.client(), &shards));
    shared(&ground, &all, &[1, 1, 2], "a third came").await;
    let gone = all.remove(0);
    gone.release.cancel();
    shared(&ground, &all, &[2, 2], "one left").await;
    gone.task.await.expect("no panic").expect("it ends in good order");
    assert_eq!(ground.leases.list(&ListParams::default()).await.expect("listed").items.len(), 4 + 2);
    all.remove(0).task.abort();
    shared(&ground, &all, &[4], "one died").await;
    ground.end().await;
}

/// A token that may do what the tests' candidates do.
async fn admin_token(ground: &Ground) -> String {
    use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
    use k8s_openapi::api::core::v1::ServiceAccount;
    use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
    let named = |kind: &str, api: &str, rest: serde_json::Value| {
        let mut object = json!({ "apiVersion": api, "kind": kind, "metadata": { "name": "elector" } });
        object.as_object_mut().expect("an object").extend(rest.as_object().expect("an object").clone());
        object
    };
    let params = PostParams::default();
    let accounts: Api<ServiceAccount> = Api::namespaced(ground.admin.clone(), &ground.namespace);
    let account = serde_json::from_value(named("ServiceAccount", "v1", json!({}))).expect("an account");
    accounts.create(&params, &account).await.expect("created");
    let roles: Api<Role> = Api::namespaced(ground.admin.clone(), &ground.namespace);
    let rules = json!({ "rules": [{
        "apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["get", "create", "update"],
    }]});
    let role = serde_json::from_value(named("Role", "rbac.authorization.k8s.io/v1", rules)).expect("a role");
    roles.create(&params, &role).await.expect("created");
    let bindings: Api<RoleBinding> = Api::namespaced(ground.admin.clone(), &ground.namespace);
    let who = json!({
        "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "elector" },
        "subjects": [{ "kind": "ServiceAccount", "name": "elector", "namespace": ground.namespace }],
    });
    let binding = serde_json::from_value(named("RoleBinding", "rbac.authorization.k8s.io/v1", who)).expect("a binding");
    bindings.create(&params, &binding).await.expect("created");
    let request = TokenRequest {
        spec: TokenRequestSpec { expiration_seconds: Some(3600), ..TokenRequestSpec::default() },
        ..TokenRequest::default()
    };
    let answer = accounts.create_token_request("elector", &params, &request).await.expect("a token");
    answer.status.expect("a token").token
}
