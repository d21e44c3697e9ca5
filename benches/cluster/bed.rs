//! Runs as objects, and a watch that tells of their ends.

use std::time::Instant;

use futures::StreamExt as _;
use kube::api::{Api, ApiResource, PostParams};
use kube::core::Object;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Client, ResourceExt as _};
use saga_operator::api::{ConditionStatus, SagaRun, condition};
use saga_operator::saga::End;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

use super::common::lanes::{Bed, Ended};
use super::common::{shape, text};
use super::install::Cluster;

/// A run, as far as its end goes: the load should cost little.
type Light = Object<Nothing, Status>;

#[derive(Clone, Debug, Deserialize, Serialize)]
struct Nothing {}

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
struct Status {
    #[serde(default)]
    conditions: Vec<Condition>,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
struct Condition {
    #[serde(rename = "type")]
    type_: String,
    status: ConditionStatus,
    reason: String,
}

pub(crate) struct ClusterBed {
    client: Client,
    runs: Api<SagaRun>,
    sender: mpsc::UnboundedSender<Result<Ended, String>>,
    ends: mpsc::UnboundedReceiver<Result<Ended, String>>,
    watch: AbortHandle,
}

impl Drop for ClusterBed {
    fn drop(&mut self) {
        self.watch.abort();
    }
}

impl ClusterBed {
    /// Watches a namespace without runs.
    pub(crate) async fn new(cluster: &Cluster, namespace: &str) -> Result<Self, String> {
        let client = cluster.admin.clone();
        let resource = ApiResource::erase::<SagaRun>(&());
        let light: Api<Light> = Api::namespaced_with(client.clone(), namespace, &resource);
        let (sender, ends) = mpsc::unbounded_channel();
        let (ready, begun) = tokio::sync::oneshot::channel();
        let watch = tokio::spawn(watch(light, sender.clone(), ready)).abort_handle();
        begun.await.map_err(text)?;
        Ok(Self { runs: Api::namespaced(client.clone(), namespace), client, sender, ends, watch })
    }

    /// Size of a run's status, as JSON.
    pub(crate) async fn status_bytes(&self, name: &str) -> Result<usize, String> {
        let path = format!("{}/{name}", self.runs.resource_url());
        let request = http::Request::get(path).body(Vec::new()).map_err(text)?;
        let object: serde_json::Value = self.client.request(request).await.map_err(text)?;
        Ok(object["status"].to_string().len())
    }
}

async fn watch(
    runs: Api<Light>,
    sender: mpsc::UnboundedSender<Result<Ended, String>>,
    ready: tokio::sync::oneshot::Sender<()>,
) {
    let mut ready = Some(ready);
    // An object whose end was told: its finalizer goes, and metadata may change.
    let mut told = std::collections::HashSet::new();
    let mut events = std::pin::pin!(watcher(runs, watcher::Config::default()));
    while let Some(event) = events.next().await {
        match event {
            Ok(Event::Apply(run) | Event::InitApply(run)) => {
                let at = Instant::now();
                if let Some(end) = end(&run)
                    && told.insert(run.name_any())
                {
                    // The bed is gone: so is this task, soon.
                    drop(sender.send(Ok(Ended { name: run.name_any(), at, end, status: 0 })));
                }
            }
            Ok(Event::InitDone) => drop(ready.take().map(|ready| ready.send(()))),
            Ok(Event::Init | Event::Delete(_)) => {}
            Err(error) => eprintln!("warning: the watch of the benchmark broke off: {error}"),
        }
    }
}

/// `None`: not yet.
fn end(run: &Light) -> Option<Option<End>> {
    let conditions = &run.status.as_ref()?.conditions;
    let completed = conditions.iter().find(|found| found.type_ == condition::COMPLETED)?;
    (completed.status == ConditionStatus::True).then(|| match completed.reason.as_str() {
        "Succeeded" => Some(End::Succeeded),
        "Compensated" => Some(End::Compensated),
        other => {
            eprintln!("{} ended: {other}", run.name_any());
            None
        }
    })
}

impl Bed for ClusterBed {
    fn begin(&self, definition: &str, name: String) {
        let (runs, sender) = (self.runs.clone(), self.sender.clone());
        let run = SagaRun::new(&name, shape::run(definition));
        tokio::spawn(async move {
            if let Err(error) = runs.create(&PostParams::default(), &run).await {
                // The bed is gone: nobody waits.
                drop(sender.send(Err(format!("failed to create {name}: {error}"))));
            }
        });
    }

    async fn ended(&mut self) -> Result<Ended, String> {
        self.ends.recv().await.unwrap_or_else(|| Err("the watch ended".to_owned()))
    }
}
