//! Runs in a namespace of their own, and decisions about them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use kube::api::{Api, Patch, PatchParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config, ResourceExt};
use saga_operator::api::SagaRun;
use saga_operator::api::definition::Method;
use saga_operator::api::run::{DefinitionRef, Direction, SagaRunSpec};
use saga_operator::clock::Clock;
use saga_operator::journal::kubernetes::{Clients, KubernetesJournal};
use saga_operator::journal::{Draft, Loaded, Version};
use saga_operator::saga::{
    CallId, Fence, Holder, IdempotencyKey, Identity, Intent, Monotonic, Request, StepRecord, Stored,
};
use serde_json::{Value, json};

use crate::common::cluster;
use crate::faulty::{Faults, faulty};

/// A namespace.
pub(crate) struct Bench {
    client: Client,
    config: Config,
    namespace: String,
    pub(crate) runs: Api<SagaRun>,
}

impl Bench {
    pub(crate) async fn new() -> Self {
        let client = cluster::admin().await;
        cluster::install_crds(&client).await;
        let namespace = cluster::namespace(&client, "journal").await;
        let runs = Api::namespaced(client.clone(), &namespace);
        let kubeconfig = Kubeconfig::read_from(cluster::kubeconfig_path()).expect("a kubeconfig");
        let options = KubeConfigOptions::default();
        let config = Config::from_custom_kubeconfig(kubeconfig, &options).await.expect("a configuration");
        Self { client, config, namespace, runs }
    }

    pub(crate) fn journal(&self) -> KubernetesJournal {
        KubernetesJournal::new(Clients::new(self.config.clone()).expect("clients"), Clock::start())
    }

    /// A journal whose writes can be made to fail.
    pub(crate) fn faulty(&self) -> (KubernetesJournal, Faults) {
        let (write, faults) = faulty(self.client.clone());
        (KubernetesJournal::new(Clients { read: self.client.clone(), write }, Clock::start()), faults)
    }

    /// A journal with the rights of somebody else.
    pub(crate) fn journal_as(&self, user: &str) -> KubernetesJournal {
        let mut config = self.config.clone();
        config.auth_info.impersonate = Some(user.to_owned());
        KubernetesJournal::new(Clients::new(config).expect("clients"), Clock::start())
    }

    pub(crate) async fn create(&self, name: &str) -> Arc<Identity> {
        self.create_with(name, json!({})).await
    }

    pub(crate) async fn create_with(&self, name: &str, input: Value) -> Arc<Identity> {
        let spec = SagaRunSpec {
            definition_ref: DefinitionRef { name: "order".to_owned() },
            input: input.as_object().cloned().expect("an object"),
            ..SagaRunSpec::default()
        };
        let run = SagaRun::new(name, spec);
        let run = self.runs.create(&PostParams::default(), &run).await.expect("created");
        let uid = run.uid().expect("a UID");
        Arc::new(Identity { namespace: self.namespace.clone(), name: name.to_owned(), uid })
    }

    /// What another controller may do.
    pub(crate) async fn patch(&self, name: &str, patch: Value) {
        self.runs.patch(name, &PatchParams::default(), &Patch::Merge(patch)).await.expect("patched");
    }

    pub(crate) async fn metadata(&self, name: &str) -> (Vec<String>, BTreeMap<String, String>) {
        let run = self.runs.get(name).await.expect("there");
        (run.finalizers().to_vec(), run.labels().clone())
    }

    pub(crate) async fn end(self) {
        cluster::leave_namespace(&self.client, &self.namespace).await;
    }
}

/// A decision of a process called `me` with this fence.
pub(crate) fn draft(loaded: &Loaded, fence: u64) -> Draft {
    let stored = Stored {
        fence: Fence(fence),
        holder: Some(Holder::new("me")),
        start_time: Some(Timestamp::UNIX_EPOCH),
        observed_generation: 1,
        ..loaded.stored.clone()
    };
    Draft { run: loaded.run.clone(), version: loaded.version.clone(), stored, intents: Vec::new(), polls: Vec::new() }
}

/// A decision about a run that nobody stored.
pub(crate) fn unstored_draft() -> Draft {
    let run = Identity { namespace: "shop".to_owned(), name: "a".to_owned(), uid: "u".to_owned() };
    Draft {
        run: Arc::new(run),
        version: Version("1".to_owned()),
        stored: Stored { fence: Fence(1), ..Stored::default() },
        intents: Vec::new(),
        polls: Vec::new(),
    }
}

/// The intent of a first call.
pub(crate) fn intent(loaded: &Loaded, fence: u64) -> Intent {
    let request = Request { method: Method::Post, url: "http://stock/".to_owned(), headers: Vec::new(), body: None };
    Intent {
        run: loaded.run.clone(),
        call: CallId::forward(0),
        step: "reserve".into(),
        attempt: 1,
        fence: Fence(fence),
        key: IdempotencyKey::new(&loaded.run.uid, "reserve", Direction::Forward, 1),
        request: Arc::new(request),
        timeout: Duration::from_secs(1),
        not_before: None,
        deadline: Timestamp::UNIX_EPOCH,
        expires: Monotonic::default(),
        forward_outcome: None,
    }
}

/// Outputs of so many bytes.
pub(crate) fn fill(stored: &mut Stored, bytes: usize) {
    let mut step = StepRecord::new("reserve");
    step.outputs.insert("big".to_owned(), json!("x".repeat(bytes)));
    stored.steps = vec![step];
}

/// One more than the schema allows.
pub(crate) fn too_many_steps(stored: &mut Stored) {
    stored.steps = (0..65).map(|index| StepRecord::new(&format!("s{index}"))).collect();
}
