//! A namespace with participants, replicas and sagas, for a storm.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use kube::api::{Api, DeleteParams, ListParams};
use serde_json::{Value, json};

use super::board::{Board, NAMESPACE};
use super::dice::Dice;
use super::history::History;
use super::judge;
use super::replica::Replica;
use super::tally::{Tally, Times};
use super::wall::Wall;
use crate::common::proxy::{Proxy, Seen};
use crate::common::shop::{Shop, run};
use crate::proof::story::{DIAMOND, DIAMOND_UNDONE, SEQUENCE, SEQUENCE_UNDONE, Story, TRIP, TRIP_CANCELLED};

/// Definitions, and the sagas of each.
const STORIES: [(&str, Story); 6] = [
    ("sequence", SEQUENCE),
    ("sequence", SEQUENCE_UNDONE),
    ("diamond", DIAMOND),
    ("diamond", DIAMOND_UNDONE),
    ("trip", TRIP),
    ("trip", TRIP_CANCELLED),
];
/// Far more than anything needs that is not lost.
const PATIENCE: Duration = Duration::from_secs(300);
/// While nothing goes wrong leaders must not go by themselves, however busy the machine is.
pub(crate) const PATIENT: Times =
    Times { lease: Duration::from_secs(12), deadline: Duration::from_secs(10), retry: Duration::from_millis(1000) };
/// An operator that ended right after its start is not started again at once.
const BACKOFF: Duration = Duration::from_millis(300);
/// So long, in milliseconds, a request to a participant may take on its way.
const ON_ITS_WAY: usize = 150;

/// Whether replicas elect a leader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Election {
    On,
    Off,
}

/// What a world is made of.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Make {
    pub(crate) replicas: usize,
    pub(crate) election: Election,
    pub(crate) times: Times,
}

/// A saga that was begun.
#[derive(Clone)]
pub(crate) struct Order {
    pub(crate) name: String,
    pub(crate) story: Story,
    pub(crate) spec: Arc<Value>,
}

pub(crate) struct World {
    pub(crate) shop: Shop,
    pub(crate) wire: Proxy,
    /// Before the participants.
    pub(crate) wire_wall: Wall,
    pub(crate) replicas: Vec<Replica>,
    pub(crate) make: Make,
    pub(crate) dice: Dice,
    pub(crate) tally: Tally,
    pub(crate) history: History,
    board: Arc<Board>,
    specs: Vec<Arc<Value>>,
    open: Vec<Order>,
    begun: usize,
    marked: BTreeSet<String>,
}

impl World {
    pub(crate) async fn open(make: Make, board: Arc<Board>, dice: Dice, tally: Tally) -> Self {
        let shop = Shop::open("storm").await;
        let wire = Proxy::before_participants(shop.services.base_url()).await;
        let wire_wall = Wall::before(&wire);
        wire_wall.slow(dice.clone(), ON_ITS_WAY);
        let history = History::follow(&shop.client, &shop.namespace).await;
        let mut replicas = Vec::new();
        for number in 0..make.replicas {
            let arguments = arguments(make, &shop.namespace);
            replicas.push(Replica::open(format!("op{number}"), &shop.access, &shop.namespace, arguments).await);
        }
        replicas.iter_mut().for_each(Replica::start);
        let mut specs = Vec::new();
        for (name, story) in STORIES {
            let spec = hasty((story.spec)(&wire.url()));
            if specs.len() % 2 == 0 {
                shop.define(name, spec.clone()).await;
            }
            specs.push(Arc::new(spec));
        }
        let (open, begun, marked) = Default::default();
        Self { shop, wire, wire_wall, replicas, make, dice, tally, history, board, specs, open, begun, marked }
    }

    /// The name of its Lease.
    pub(crate) fn lease(&self) -> &str {
        &self.shop.namespace
    }

    /// Whom the Lease names, if anybody, and since when.
    pub(crate) fn holder(&self) -> Option<(String, Instant)> {
        let held = self.board.holder(self.lease())?;
        (!held.holder.is_empty()).then_some((held.holder, held.since))
    }

    /// Begins so many sagas.
    pub(crate) async fn begin(&mut self, count: usize) {
        let mut orders = Vec::new();
        for _ in 0..count {
            let place = self.begun % STORIES.len();
            let (_, story) = STORIES[place];
            orders
                .push((place, Order { name: format!("order-{}", self.begun), story, spec: self.specs[place].clone() }));
            self.begun += 1;
        }
        let shop = &self.shop;
        let creations = orders.iter().map(|(place, order)| {
            let spec = json!({"definitionRef": {"name": STORIES[*place].0}, "input": (order.story.input)()});
            let object = run(&order.name, spec);
            async move { shop.create(&object).await }
        });
        futures::future::join_all(creations).await;
        self.open.extend(orders.into_iter().map(|(_, order)| order));
        self.tally.count(|all| all.begun += count);
    }

    /// Starts again whatever has ended; what ended otherwise than it may is wrong.
    pub(crate) fn tend(&mut self) {
        for replica in &mut self.replicas {
            self.tally.wrong(replica.look());
            if !replica.is_there() && replica.age() > BACKOFF {
                replica.start();
            }
        }
    }

    /// Waits until somebody leads who is there; gives the place.
    pub(crate) async fn led(&mut self) -> usize {
        let begun = Instant::now();
        loop {
            self.tend();
            let holder = self.holder();
            if let Some(place) = holder.and_then(|(holder, _)| self.replicas.iter().position(|one| one.is(&holder))) {
                return place;
            }
            assert!(begun.elapsed() < PATIENCE, "nobody leads {}: {:?}", self.lease(), self.holder());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits until somebody leads who is not `other`; gives when that was.
    pub(crate) async fn led_after(&mut self, other: &str) -> Instant {
        let begun = Instant::now();
        loop {
            self.tend();
            match self.holder() {
                Some((holder, since)) if holder != other => return since,
                held => assert!(begun.elapsed() < PATIENCE, "nobody leads {} after {other}: {held:?}", self.lease()),
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Lets some time pass.
    pub(crate) async fn pass(&mut self, time: Duration) {
        let until = Instant::now() + time;
        while Instant::now() < until {
            self.tend();
            tokio::time::sleep(Duration::from_millis(20).min(time)).await;
        }
    }

    /// Without further faults: waits until all sagas ended, and judges them.
    pub(crate) async fn calm(&mut self) {
        let orders = self.settled().await;
        judge::judge(self, &orders);
        self.keep_time(self.make.times).await;
        let all = DeleteParams::background();
        // So that whoever starts has not to read them; what stays costs time and nothing else.
        self.shop.runs.delete_collection(&all, &ListParams::default()).await.ok();
    }

    /// Waits until all sagas ended that were begun, and gives them.
    pub(crate) async fn settled(&mut self) -> Vec<Order> {
        self.keep_time(PATIENT).await;
        let begun = Instant::now();
        while self.over() < self.open.len() && begun.elapsed() < PATIENCE {
            self.tend();
            self.settle_pivots().await;
            assert_eq!(self.history.hole(), None, "the history of {} has a hole", self.lease());
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        std::mem::take(&mut self.open)
    }

    /// Replaces the replicas by others of these times.
    async fn keep_time(&mut self, times: Times) {
        let arguments = arguments(Make { times, ..self.make }, &self.shop.namespace);
        for replica in &mut self.replicas {
            if replica.arguments != arguments {
                replica.arguments.clone_from(&arguments);
                replica.terminate().await;
            }
        }
        while self.replicas.iter().any(Replica::is_ending) {
            self.pass(Duration::from_millis(20)).await;
        }
    }

    /// There is an API server from now on, or there is none.
    pub(crate) fn is_served(&mut self, is_served: bool) {
        for replica in &mut self.replicas {
            replica.is_served = is_served;
            replica.will_be_cut();
        }
    }

    /// How many of the sagas that were begun since the last calm are over.
    pub(crate) fn over(&self) -> usize {
        self.open.iter().filter(|order| self.history.is(&order.name, is_over)).count()
    }

    /// Writes on runs that the API server took, and all that were tried.
    pub(crate) fn writes(&self) -> (usize, usize) {
        let seen = self.replicas.iter().flat_map(|replica| replica.proxy.seen());
        let writes: Vec<_> = seen.filter(Seen::is_run_write).collect();
        (writes.iter().filter(|seen| seen.landed().is_some()).count(), writes.len())
    }

    /// Does what a person does when a Pivot was refused and may have taken effect all the same: looks, and says so.
    async fn settle_pivots(&mut self) {
        for order in &self.open {
            if self.marked.contains(&order.name) || !self.history.is(&order.name, is_in_doubt) {
                continue;
            }
            let uid =
                self.history.latest(&order.name).and_then(|run| run["metadata"]["uid"].as_str().map(str::to_owned));
            let pivot = order.spec["steps"].as_array().into_iter().flatten().find(|step| step["role"] == "Pivot");
            let pivot = pivot.expect("a Pivot")["name"].as_str().expect("a name");
            let effects = self.shop.services.ledger().net_effects(&uid.unwrap_or_default());
            if effects.iter().any(|effect| effect.step.as_deref() == Some(pivot)) {
                self.tally.wrong([format!("{}: a Pivot that was refused took effect", order.name)]);
            }
            let mark = json!({
                "id": "looked", "step": pivot, "direction": "Forward", "action": "MarkFailed",
                "reason": "the ledger says so", "requestedBy": "a test",
            });
            self.shop.patch_run(&order.name, json!({"interventions": [mark]})).await;
            self.marked.insert(order.name.clone());
        }
    }

    pub(crate) async fn close(mut self) {
        for replica in &mut self.replicas {
            replica.kill();
        }
        let leases: Api<k8s_openapi::api::coordination::v1::Lease> =
            Api::namespaced(self.shop.client.clone(), NAMESPACE);
        leases.delete(self.lease(), &DeleteParams::default()).await.ok();
        self.shop.close().await;
    }
}

fn arguments(make: Make, lease: &str) -> Vec<String> {
    if make.election == Election::Off {
        return vec!["--leader-elect=false".to_owned()];
    }
    let millis = |time: Duration| format!("{}ms", time.as_millis());
    let Times { lease: duration, deadline, retry } = make.times;
    let pairs = [
        ("resource-namespace", NAMESPACE.to_owned()),
        ("resource-name", lease.to_owned()),
        ("lease-duration", millis(duration)),
        ("renew-deadline", millis(deadline)),
        ("retry-period", millis(retry)),
    ];
    let flags = pairs.into_iter().map(|(name, value)| format!("--leader-elect-{name}={value}"));
    std::iter::once("--leader-elect".to_owned()).chain(flags).collect()
}

/// The same saga with calls of a few seconds, so that what is in doubt is soon settled, and not so few that a busy machine does
/// nothing but repeat them.
fn hasty(mut spec: Value) -> Value {
    for step in spec["steps"].as_array_mut().into_iter().flatten() {
        for call in ["action", "compensation", "confirm"] {
            if let Some(call) = step.get_mut(call) {
                call["http"]["timeoutSeconds"] = json!(4);
                call["retryPolicy"]["maxBackoffMilliseconds"] = json!(3000);
            }
        }
    }
    spec
}

/// The run ended, and nothing more is to be done about it.
pub(crate) fn is_over(run: &Value) -> bool {
    let free = run["metadata"]["finalizers"].as_array().is_none_or(Vec::is_empty);
    free && condition(run, "Completed").is_some_and(|found| found["status"] == "True")
}

/// How a run stands, in one word.
pub(crate) fn stands(run: &Value) -> &str {
    condition(run, "Succeeded").and_then(|found| found["reason"].as_str()).unwrap_or_default()
}

fn is_in_doubt(run: &Value) -> bool {
    stands(run) == "PivotInDoubt"
}

fn condition<'a>(run: &'a Value, type_: &str) -> Option<&'a Value> {
    run["status"]["conditions"].as_array()?.iter().find(|condition| condition["type"] == type_)
}
