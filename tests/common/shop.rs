//! A namespace with participants, definitions and runs: the world of one test.

use std::future::Future;
use std::process::Output;
use std::time::Duration;

use k8s_openapi::api::apps::v1::ControllerRevision;
use kube::api::{Api, ListParams, Patch, PatchParams};
use kube::{Client, ResourceExt as _};
use saga_operator::api::{Condition, ConditionStatus, SagaDefinition, SagaRun};
use saga_operator::cli::participants::{DemoServices, Fault, FaultMode, RunningServices};
use serde_json::{Value, json};
use tokio::process::Command;

use super::operator::{Access, Operator};
use super::proxy::Proxy;
use super::strict::{self, Fate};
use super::{cluster, strict::errors};

/// Far more than anything here needs, on a machine that does other things too.
const PATIENCE: Duration = Duration::from_secs(90);
/// Seldomer each time: what many tests ask for again and again costs the API server more than what they test.
const FIRST_LOOK: Duration = Duration::from_millis(20);
const LAST_LOOK: Duration = Duration::from_millis(400);

pub(crate) struct Shop {
    pub(crate) client: Client,
    pub(crate) access: Access,
    pub(crate) namespace: String,
    pub(crate) services: RunningServices,
    pub(crate) definitions: Api<SagaDefinition>,
    pub(crate) runs: Api<SagaRun>,
}

impl Shop {
    pub(crate) async fn open(prefix: &str) -> Self {
        let client = cluster::admin().await;
        cluster::install_crds(&client).await;
        let access = Access::get(&client).await;
        let namespace = cluster::namespace(&client, prefix).await;
        let services = DemoServices::new().start(([127, 0, 0, 1], 0).into()).await.expect("participants");
        Self {
            definitions: Api::namespaced(client.clone(), &namespace),
            runs: Api::namespaced(client.clone(), &namespace),
            client,
            access,
            namespace,
            services,
        }
    }

    /// An operator that talks to the API server itself.
    pub(crate) fn operator(&self) -> Operator {
        Operator::start(&self.access, &self.namespace, None)
    }

    pub(crate) async fn proxy(&self) -> Proxy {
        Proxy::start(&self.access).await
    }

    /// An operator behind a proxy.
    pub(crate) fn operator_through(&self, proxy: &Proxy) -> Operator {
        Operator::start(&self.access, &self.namespace, Some(&proxy.url()))
    }

    /// Creates a definition or a run.
    pub(crate) async fn create(&self, object: &Value) -> Value {
        let created = strict::create(&self.client, &self.namespace, object, Fate::Stored).await;
        created.map_err(|refusal| errors(&refusal)).expect("created")
    }

    /// Creates a definition with this spec and waits until it is Ready.
    pub(crate) async fn define(&self, name: &str, spec: Value) {
        self.create(&definition(name, spec)).await;
        self.ready(name).await;
    }

    /// Waits until the present spec of a definition is Ready.
    pub(crate) async fn ready(&self, name: &str) {
        self.looked_at(name, "Ready", |definition| {
            let conditions = definition.status.as_ref().map(|status| &status.conditions[..]).unwrap_or_default();
            is(conditions, "Ready", ConditionStatus::True)
        })
        .await;
    }

    /// Waits until a definition was looked at and is as wished.
    pub(crate) async fn looked_at(
        &self,
        name: &str,
        what: &str,
        wished: impl Fn(&SagaDefinition) -> bool,
    ) -> SagaDefinition {
        eventually(&format!("the definition '{name}' is {what}"), async || {
            let definition = self.definitions.get(name).await.expect("there");
            let observed = definition.status.as_ref().and_then(|status| status.observed_generation);
            let fits = observed == definition.metadata.generation && wished(&definition);
            if fits { Ok(definition) } else { Err(format!("{:?}", definition.status)) }
        })
        .await
    }

    /// Creates a run of a definition.
    pub(crate) async fn start(&self, name: &str, definition: &str, input: Value) -> SagaRun {
        self.start_with(name, json!({"definitionRef": {"name": definition}, "input": input})).await
    }

    /// Creates a run.
    pub(crate) async fn start_with(&self, name: &str, spec: Value) -> SagaRun {
        self.create(&run(name, spec)).await;
        self.runs.get(name).await.expect("there")
    }

    /// Waits until a run is as wished.
    pub(crate) async fn until(&self, name: &str, what: &str, wished: impl Fn(&SagaRun) -> bool) -> SagaRun {
        eventually(&format!("the run '{name}' is {what}"), async || {
            let run = self.runs.get(name).await.expect("there");
            if wished(&run) { Ok(run) } else { Err(format!("{:#?}", run.status)) }
        })
        .await
    }

    /// Waits until a run ended and nothing more is to be done about it.
    pub(crate) async fn ended(&self, name: &str) -> SagaRun {
        self.until(name, "ended", |run| has_ended(run) && run.finalizers().is_empty()).await
    }

    /// Waits until a run is gone.
    pub(crate) async fn gone(&self, name: &str) {
        eventually(&format!("the run '{name}' is gone"), async || {
            match self.runs.get_opt(name).await.expect("an answer") {
                None => Ok(()),
                Some(run) => Err(format!("{:?} {:#?}", run.metadata.finalizers, run.status)),
            }
        })
        .await;
    }

    /// Waits until a run is as wished, or gone already.
    pub(crate) async fn until_gone_or(&self, name: &str, what: &str, wished: impl Fn(&SagaRun) -> bool) {
        eventually(&format!("the run '{name}' is {what}, or gone"), async || {
            let run = self.runs.get_opt(name).await.expect("an answer");
            if run.as_ref().is_none_or(&wished) { Ok(()) } else { Err(format!("{run:#?}")) }
        })
        .await;
    }

    /// Replaces the spec of a definition and waits until the new one is Ready.
    pub(crate) async fn edit(&self, name: &str, spec: Value) {
        let patch = Patch::Merge(json!({ "spec": spec }));
        self.definitions.patch(name, &PatchParams::default(), &patch).await.expect("patched");
        self.ready(name).await;
    }

    /// Changes the spec of a run.
    pub(crate) async fn patch_run(&self, name: &str, spec: Value) {
        let patch = Patch::Merge(json!({ "spec": spec }));
        self.runs.patch(name, &PatchParams::default(), &patch).await.expect("patched");
    }

    /// Waits until the participants saw something.
    pub(crate) async fn seen(&self, what: &str, wished: impl Fn(&saga_operator::cli::participants::Entry) -> bool) {
        eventually(what, async || {
            let entries = self.services.ledger().entries();
            if entries.iter().any(&wished) { Ok(()) } else { Err(format!("{entries:#?}")) }
        })
        .await;
    }

    /// A service misbehaves until told otherwise.
    pub(crate) fn fault(&self, service: &str, mode: FaultMode) {
        self.services.faults().set(service, Fault::new(mode));
    }

    /// A service misbehaves some times.
    pub(crate) fn fault_times(&self, service: &str, mode: FaultMode, times: u32) {
        self.services.faults().set(service, Fault { times: Some(times), ..Fault::new(mode) });
    }

    /// kubectl, as an administrator, in this namespace.
    pub(crate) async fn try_kubectl(&self, arguments: &[&str]) -> Output {
        let kubectl = std::env::var("SAGA_TEST_KUBECTL").expect("this test needs kubectl: run `cargo xtask test`");
        let mut command = Command::new(kubectl);
        command.env("KUBECONFIG", cluster::kubeconfig_path()).args(["--namespace", &self.namespace]);
        command.args(arguments).output().await.expect("kubectl runs")
    }

    /// The output of a kubectl that succeeds.
    pub(crate) async fn kubectl(&self, arguments: &[&str]) -> String {
        let output = self.try_kubectl(arguments).await;
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "kubectl {arguments:?}: {errors}");
        String::from_utf8(output.stdout).expect("UTF-8")
    }

    /// Ends the test. No operator is needed for it: what would wait for one is let go.
    pub(crate) async fn close(self) {
        let free = Patch::Merge(json!({"metadata": {"finalizers": null}}));
        let (all, params) = (ListParams::default(), PatchParams::default());
        let revisions: Api<ControllerRevision> = Api::namespaced(self.client.clone(), &self.namespace);
        for name in held(revisions.list_metadata(&all).await) {
            revisions.patch_metadata(&name, &params, &free).await.ok();
        }
        for name in held(self.definitions.list_metadata(&all).await) {
            self.definitions.patch_metadata(&name, &params, &free).await.ok();
        }
        for name in held(self.runs.list_metadata(&all).await) {
            self.runs.patch_metadata(&name, &params, &free).await.ok();
        }
        cluster::leave_namespace(&self.client, &self.namespace).await;
        self.services.shutdown().await;
    }
}

/// Those that somebody holds.
fn held<K: Clone>(list: kube::Result<kube::core::ObjectList<kube::core::PartialObjectMeta<K>>>) -> Vec<String> {
    let items = list.expect("listed").items;
    let held = items.iter().filter(|object| object.metadata.finalizers.iter().flatten().next().is_some());
    held.filter_map(|object| object.metadata.name.clone()).collect()
}

/// Waits for something, but not for ever. The error is shown when time is up.
pub(crate) async fn eventually<T, F>(what: &str, mut look: impl FnMut() -> F) -> T
where
    F: Future<Output = Result<T, String>>,
{
    let deadline = tokio::time::Instant::now() + PATIENCE;
    let mut look_again = FIRST_LOOK;
    loop {
        match look().await {
            Ok(found) => return found,
            Err(last) => assert!(tokio::time::Instant::now() < deadline, "not within {PATIENCE:?}: {what}\n{last}"),
        }
        tokio::time::sleep(look_again).await;
        look_again = (look_again * 3 / 2).min(LAST_LOOK);
    }
}

pub(crate) fn definition(name: &str, spec: Value) -> Value {
    json!({"apiVersion": "sagas.dev/v1alpha1", "kind": "SagaDefinition", "metadata": {"name": name}, "spec": spec})
}

pub(crate) fn run(name: &str, spec: Value) -> Value {
    json!({"apiVersion": "sagas.dev/v1alpha1", "kind": "SagaRun", "metadata": {"name": name}, "spec": spec})
}

/// How often and how fast a call of the tests is repeated: often enough for a machine that is busy, and fast.
pub(crate) fn retries() -> Value {
    json!({"maxAttempts": 1000, "initialBackoffMilliseconds": 50, "maxBackoffMilliseconds": 400})
}

/// A call with so much time that a busy machine makes no difference.
pub(crate) fn call(url: &str, body: Value) -> Value {
    json!({"http": {"url": url, "timeoutSeconds": 60, "body": body}, "retryPolicy": retries()})
}

/// The same saga with timeouts so short that a takeover comes soon. On a busy machine calls will be repeated.
pub(crate) fn hasty(mut spec: Value) -> Value {
    for step in spec["steps"].as_array_mut().into_iter().flatten() {
        for call in ["action", "compensation"] {
            if let Some(http) = step[call].get_mut("http") {
                http["timeoutSeconds"] = json!(1);
            }
        }
    }
    spec
}

/// Reserve, charge, ship, each with its compensation.
pub(crate) fn checkout(base: &str) -> Value {
    let step = |name: &str, action: &str, undo: &str, body: Value| {
        json!({
            "name": name,
            "action": call(&format!("{base}{action}"), body),
            "compensation": call(&format!("{base}{undo}"), json!({"key": "${call.forwardKey}"})),
        })
    };
    json!({"steps": [
        step("reserve", "/inventory/reservations", "/inventory/releases", json!({"sku": "teapot", "quantity": "${input.quantity}"})),
        step("charge", "/payment/charges", "/payment/refunds", json!({"amount": 750})),
        step("ship", "/shipping/shipments", "/shipping/cancellations", json!({"address": "${input.address}"})),
    ]})
}

/// An order that [`checkout`] fulfils.
pub(crate) fn good_order() -> Value {
    json!({"quantity": 2, "address": "1 Harbour Street"})
}

/// An order whose third step is refused.
pub(crate) fn undeliverable_order() -> Value {
    json!({"quantity": 2, "address": "nowhere"})
}

/// The steps of a saga of `count` steps, one after the other, that all reserve something.
pub(crate) fn sequence(base: &str, count: usize) -> Value {
    let step = |number: usize| {
        json!({
            "name": format!("s{number}"),
            "action": call(&format!("{base}/inventory/reservations"), json!({"quantity": number})),
            "compensation": call(&format!("{base}/inventory/releases"), json!({"key": "${call.forwardKey}"})),
        })
    };
    json!({"steps": (1..=count).map(step).collect::<Vec<_>>()})
}

fn is(conditions: &[Condition], type_: &str, status: ConditionStatus) -> bool {
    conditions.iter().any(|condition| condition.type_ == type_ && condition.status == status)
}

pub(crate) fn condition<'a>(run: &'a SagaRun, type_: &str) -> &'a Condition {
    let conditions = &run.status.as_ref().expect("a status").conditions;
    conditions.iter().find(|condition| condition.type_ == type_).expect("the condition")
}

/// The conditions as `Type=Status/Reason`.
pub(crate) fn conditions(run: &SagaRun) -> Vec<String> {
    let conditions = run.status.iter().flat_map(|status| &status.conditions);
    conditions.map(|condition| format!("{}={:?}/{}", condition.type_, condition.status, condition.reason)).collect()
}

pub(crate) fn has_ended(run: &SagaRun) -> bool {
    run.status.as_ref().is_some_and(|status| is(&status.conditions, "Completed", ConditionStatus::True))
}

/// The reason of the condition Succeeded: how the run stands, in one word.
pub(crate) fn stands(run: &SagaRun) -> String {
    let conditions = run.status.iter().flat_map(|status| &status.conditions);
    let mut succeeded = conditions.filter(|condition| condition.type_ == "Succeeded");
    succeeded.next().map(|condition| condition.reason.clone()).unwrap_or_default()
}
