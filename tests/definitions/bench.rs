//! A namespace with an operator of its own, which has the rights of `deploy/rbac.yaml` and no others.

use std::time::Duration;

use futures::StreamExt;
use k8s_openapi::api::apps::v1::ControllerRevision;
use kube::api::{Api, ListParams, Patch, PatchParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::core::{DeserializeGuard, DynamicObject};
use kube::runtime::{WatchStreamExt, reflector, watcher};
use kube::{Client, Config, Discovery, ResourceExt};
use saga_operator::api::run::{DefinitionRef, SagaRunSpec};
use saga_operator::api::{Condition, SagaDefinition, SagaDefinitionSpec, SagaRun};
use saga_operator::clock::Clock;
use saga_operator::controller::definitions::{Changed, DefinitionsController, Destinations, KubernetesDefinitions};
use saga_operator::election::Office;
use saga_operator::engine::Definitions;
use saga_operator::journal::kubernetes::Clients;
use saga_operator::saga::Unready;
use serde_json::{Value, json};
use tokio::sync::broadcast;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::common::cluster;
use recording::Requests;

#[path = "recording.rs"]
mod recording;

const OPERATOR: &str = "system:serviceaccount:saga-system:saga-operator";
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) struct Bench {
    client: Client,
    clients: Clients,
    pub(crate) namespace: String,
    pub(crate) definitions: Api<SagaDefinition>,
    pub(crate) revisions: Api<ControllerRevision>,
    pub(crate) runs: Api<SagaRun>,
    /// Of the operators of this bench.
    pub(crate) requests: Requests,
}

/// A running operator, as far as definitions go.
pub(crate) struct Operator {
    pub(crate) definitions: KubernetesDefinitions,
    pub(crate) changes: broadcast::Receiver<Changed>,
    shutdown: CancellationToken,
    tasks: Vec<JoinHandle<()>>,
}

impl Operator {
    pub(crate) async fn stop(self) {
        self.shutdown.cancel();
        for task in self.tasks {
            task.await.expect("no panic");
        }
    }
}

impl Bench {
    pub(crate) async fn new() -> Self {
        let client = cluster::admin().await;
        cluster::install_crds(&client).await;
        install_rights(&client).await;
        let namespace = cluster::namespace(&client, "definitions").await;
        let kubeconfig = Kubeconfig::read_from(cluster::kubeconfig_path()).expect("a kubeconfig");
        let options = KubeConfigOptions::default();
        let mut config = Config::from_custom_kubeconfig(kubeconfig, &options).await.expect("a configuration");
        config.auth_info.impersonate = Some(OPERATOR.to_owned());
        let clients = Clients::new(config).expect("clients");
        let requests = Requests::default();
        Self {
            definitions: Api::namespaced(client.clone(), &namespace),
            revisions: Api::namespaced(client.clone(), &namespace),
            runs: Api::namespaced(client.clone(), &namespace),
            clients: Clients { read: requests.of(clients.read), write: requests.of(clients.write) },
            client,
            namespace,
            requests,
        }
    }

    pub(crate) fn operator(&self) -> Operator {
        let (runs, writer) = reflector::store::<DeserializeGuard<SagaRun>>();
        let api: Api<DeserializeGuard<SagaRun>> = Api::namespaced(self.clients.read.clone(), &self.namespace);
        let shutdown = CancellationToken::new();
        let watch = watcher(api, watcher::Config::default()).default_backoff().reflect(writer);
        let watch = watch.take_until(shutdown.clone().cancelled_owned()).for_each(|_| std::future::ready(()));
        let mut operator = self.operator_with(runs, shutdown);
        operator.tasks.push(tokio::spawn(watch));
        operator
    }

    /// Its cache of runs stays empty and says so.
    pub(crate) fn operator_without_runs(&self) -> Operator {
        self.operator_with(reflector::store().0, CancellationToken::new())
    }

    fn operator_with(
        &self,
        runs: reflector::Store<DeserializeGuard<SagaRun>>,
        shutdown: CancellationToken,
    ) -> Operator {
        let forbidden = |_: &str, url: &str| {
            if url.contains("forbidden") { Err("must not be called".to_owned()) } else { Ok(()) }
        };
        let namespace = Some(self.namespace.clone());
        let controller = DefinitionsController::new(
            self.clients.clone(),
            namespace,
            Destinations::new(forbidden),
            runs,
            (Office::unelected(), Clock::start()),
        );
        let (definitions, changes) = (controller.definitions(), controller.changes());
        let task = tokio::spawn(controller.run(shutdown.clone()));
        Operator { definitions, changes, shutdown, tasks: vec![task] }
    }

    /// An operator that has read the definitions and may not write.
    pub(crate) async fn idle_operator(&self) -> Operator {
        let nobody = Config::new("http://127.0.0.1:1".parse().expect("a URI"));
        let write = Clients::new(nobody).expect("clients").write;
        let idle = Self { clients: Clients { write, ..self.clients.clone() }, ..self.copy() };
        let operator = idle.operator();
        let definitions = &operator.definitions;
        let readable = async || match definitions.current(&self.namespace, "order").await {
            Err(Unready::NotReady(text)) if text.contains("has not read") => None,
            Ok(_) | Err(_) => Some(()),
        };
        eventually("the definitions are read", readable).await;
        operator
    }

    fn copy(&self) -> Self {
        Self {
            client: self.client.clone(),
            clients: self.clients.clone(),
            namespace: self.namespace.clone(),
            definitions: self.definitions.clone(),
            revisions: self.revisions.clone(),
            runs: self.runs.clone(),
            requests: self.requests.clone(),
        }
    }

    pub(crate) async fn create(&self, name: &str, spec: SagaDefinitionSpec) -> SagaDefinition {
        let definition = SagaDefinition::new(name, spec);
        self.definitions.create(&PostParams::default(), &definition).await.expect("created")
    }

    pub(crate) async fn edit(&self, name: &str, spec: SagaDefinitionSpec) {
        self.patch_definition(name, json!({ "spec": spec })).await;
    }

    /// Something that does not matter changes.
    pub(crate) async fn touch(&self, name: &str) {
        self.patch_definition(
            name,
            json!({"metadata": {"annotations": {"touched": uuid::Uuid::new_v4().to_string()}}}),
        )
        .await;
    }

    pub(crate) async fn patch_definition(&self, name: &str, patch: Value) {
        self.definitions.patch(name, &PatchParams::default(), &Patch::Merge(patch)).await.expect("patched");
    }

    pub(crate) async fn patch_revision(&self, name: &str, patch: Value) {
        self.revisions.patch(name, &PatchParams::default(), &Patch::Merge(patch)).await.expect("patched");
    }

    /// The definition once its status is about its present spec.
    pub(crate) async fn looked_at(&self, name: &str) -> SagaDefinition {
        eventually("the definition is looked at", async || {
            let definition = self.definitions.get(name).await.expect("there");
            let observed = definition.status.as_ref().and_then(|status| status.observed_generation);
            let counted = definition.status.as_ref().and_then(|status| status.active_runs).is_some();
            (observed == definition.metadata.generation && counted).then_some(definition)
        })
        .await
    }

    pub(crate) async fn current_revision(&self, name: &str) -> String {
        eventually("the definition has a revision", async || {
            let definition = self.definitions.get(name).await.expect("there");
            let status = definition.status?;
            (status.observed_generation == definition.metadata.generation).then_some(status.current_revision?)
        })
        .await
    }

    pub(crate) async fn revision_names(&self) -> Vec<String> {
        let found = self.revisions.list(&ListParams::default()).await.expect("listed");
        let mut names: Vec<_> = found.iter().map(ResourceExt::name_any).collect();
        names.sort();
        names
    }

    pub(crate) async fn revisions_become(&self, expected: &[String]) {
        let mut expected = expected.to_vec();
        expected.sort();
        let mut found = Vec::new();
        for _ in 0..PATIENCE.as_millis() / 50 {
            found = self.revision_names().await;
            if found == expected {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        assert_eq!(found, expected, "after {PATIENCE:?}");
    }

    pub(crate) async fn run(&self, name: &str, definition: &str, pinned: Option<&str>) {
        let definition_ref = DefinitionRef { name: definition.to_owned() };
        let run = SagaRun::new(name, SagaRunSpec { definition_ref, ..SagaRunSpec::default() });
        self.runs.create(&PostParams::default(), &run).await.expect("created");
        if let Some(revision) = pinned {
            self.patch_run(name, json!({"definitionRevision": revision})).await;
        }
    }

    pub(crate) async fn finish(&self, name: &str) {
        let completed = json!({
            "type": "Completed", "status": "True", "reason": "Succeeded", "message": "",
            "lastTransitionTime": "2026-01-01T00:00:00Z",
        });
        self.patch_run(name, json!({"conditions": [completed]})).await;
    }

    async fn patch_run(&self, name: &str, status: Value) {
        let patch = Patch::Merge(json!({ "status": status }));
        self.runs.patch_status(name, &PatchParams::default(), &patch).await.expect("patched");
    }

    pub(crate) async fn end(self, operator: Operator) {
        // So that nothing is left for a namespace to wait for.
        operator.stop().await;
        for name in self.revision_names().await {
            self.patch_revision(&name, json!({"metadata": {"finalizers": null}})).await;
        }
        for definition in self.definitions.list(&ListParams::default()).await.expect("listed") {
            self.patch_definition(&definition.name_any(), json!({"metadata": {"finalizers": null}})).await;
        }
        cluster::leave_namespace(&self.client, &self.namespace).await;
    }
}

/// Waits for something, but not for ever.
pub(crate) async fn eventually<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(tokio::time::Instant::now() < deadline, "not within {PATIENCE:?}: {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

pub(crate) fn condition<'a>(definition: &'a SagaDefinition, type_: &str) -> &'a Condition {
    let conditions = &definition.status.as_ref().expect("a status").conditions;
    conditions.iter().find(|condition| condition.type_ == type_).expect("the condition")
}

/// Steps that need no compensation, with these URLs.
pub(crate) fn read_only(urls: &[&str]) -> SagaDefinitionSpec {
    let step = |(index, url): (usize, &&str)| json!({"name": format!("s{index}"), "role": "ReadOnly", "action": {"http": {"url": url}}});
    let steps: Vec<_> = urls.iter().enumerate().map(step).collect();
    serde_json::from_value(json!({ "steps": steps })).expect("a spec")
}

/// Applies `deploy/rbac.yaml`.
async fn install_rights(client: &Client) {
    static INSTALLED: tokio::sync::OnceCell<()> = tokio::sync::OnceCell::const_new();
    INSTALLED
        .get_or_init(|| async {
            let discovery = Discovery::new(client.clone()).run().await.expect("discovered");
            let manifest = include_str!("../../deploy/rbac.yaml");
            for object in serde_saphyr::from_multiple::<DynamicObject>(manifest).expect("YAML") {
                let types = object.types.clone().expect("a kind");
                let gvk = kube::core::GroupVersionKind::try_from(&types).expect("a kind");
                let (resource, _) = discovery.resolve_gvk(&gvk).expect("a known kind");
                let api: Api<DynamicObject> = match &object.metadata.namespace {
                    Some(namespace) => Api::namespaced_with(client.clone(), namespace, &resource),
                    None => Api::all_with(client.clone(), &resource),
                };
                let params = PatchParams::apply("saga-operator-tests").force();
                api.patch(&object.name_any(), &params, &Patch::Apply(&object)).await.expect("applied");
            }
        })
        .await;
}
