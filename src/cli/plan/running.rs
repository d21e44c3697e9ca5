//! The run whose cancellation is rehearsed, and the definition that it follows: from manifests or from the cluster.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::apps::v1::ControllerRevision;
use kube::{Api, Client, Config};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::api::{SagaDefinition, SagaDefinitionSpec, SagaRun};
use crate::cli::manifest::{Place, untyped};
use crate::controller::revision;
use crate::saga::preview::{Running, Undo, undo, undo_without_definition};
use crate::saga::{Identity, Now, Stored, Wishes};

/// How long the API server may take for everything.
const PATIENCE: Duration = Duration::from_secs(30);

/// Why there is nothing to rehearse.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct NoRun(String);

/// A run and what it follows; None where it is not known, which matters only to a run that has begun.
pub(super) struct Found {
    pub(super) running: Running,
    pub(super) definition: String,
    pub(super) spec: Result<SagaDefinitionSpec, NoRun>,
}

impl Found {
    /// What cancelling would do.
    pub(super) fn rehearse(&self, now: Now) -> Result<Undo, NoRun> {
        if let Some(undo) = undo_without_definition(&self.running) {
            return Ok(undo);
        }
        let spec = self.spec.as_ref().map_err(|missing| NoRun(missing.0.clone()))?;
        undo(spec, &self.running, now).map_err(|problems| {
            let problems: Vec<String> = problems.iter().map(ToString::to_string).collect();
            NoRun(format!("the SagaDefinition '{}' cannot be run: {}", self.definition, problems.join("; ")))
        })
    }
}

/// Objects of manifests.
#[derive(Default)]
struct Objects {
    runs: Vec<(SagaRun, Place)>,
    definitions: Vec<SagaDefinition>,
    revisions: Vec<ControllerRevision>,
}

/// From manifests as `kubectl get -o yaml` prints them.
///
/// # Errors
/// What cannot be read, and what is missing.
pub(super) fn of_manifests(paths: &[PathBuf], name: Option<&str>) -> Result<Found, NoRun> {
    let (documents, unreadable) = untyped::read(paths);
    if !unreadable.is_empty() {
        let lines: Vec<String> = unreadable.iter().map(ToString::to_string).collect();
        return Err(NoRun(lines.join("\n")));
    }
    let mut objects = Objects::default();
    for document in documents {
        let place = document.object.place.clone();
        let items = match document.object.spec["items"].as_array() {
            Some(items) => items.clone(),
            None => vec![document.object.spec],
        };
        for item in items {
            objects.take(item, &place)?;
        }
    }
    let (run, place) = objects.run(name)?;
    let found =
        |revision: &str| objects.revisions.iter().find(|known| known.metadata.name.as_deref() == Some(revision));
    let definition = objects
        .definitions
        .iter()
        .find(|known| known.metadata.name.as_deref() == Some(&run.spec.definition_ref.name))
        .map(|known| &known.spec);
    let running = running(run).map_err(|error| NoRun(format!("{place}: {error}")))?;
    let name = &run.spec.definition_ref.name;
    let pinned = running.stored.revision.as_deref();
    let spec = match (pinned, pinned.and_then(found)) {
        (Some(pinned), Some(revision)) => frozen(revision, name, pinned),
        (pinned, _) => same(definition, name, pinned, "the manifests"),
    };
    Ok(Found { running, definition: name.clone(), spec })
}

/// From the cluster that KUBECONFIG names.
///
/// # Errors
/// What the API server says, and what is missing.
pub(super) async fn of_cluster(namespace: &str, name: &str) -> Result<Found, NoRun> {
    let reading = async {
        let config = Config::infer().await.map_err(|error| {
            NoRun(format!("failed to find an API server: set KUBECONFIG, or give the run as a manifest: {error}"))
        })?;
        let client = Client::try_from(config).map_err(|error| NoRun(format!("failed to use KUBECONFIG: {error}")))?;
        read(client, namespace, name).await
    };
    let late = |_| NoRun(format!("failed to read the SagaRun '{name}': no answer within {} s", PATIENCE.as_secs()));
    tokio::time::timeout(PATIENCE, reading).await.map_err(late)?
}

async fn read(client: Client, namespace: &str, name: &str) -> Result<Found, NoRun> {
    let run: SagaRun = get(&client, namespace, name, "SagaRun")
        .await?
        .ok_or_else(|| NoRun(format!("failed to find the SagaRun '{name}' in the namespace '{namespace}'")))?;
    let running = running(&run).map_err(|error| NoRun(format!("failed to read the SagaRun '{name}': {error}")))?;
    let definition = &run.spec.definition_ref.name;
    let pinned = running.stored.revision.as_deref();
    let revision: Option<ControllerRevision> = match pinned {
        Some(pinned) => get(&client, namespace, pinned, "ControllerRevision").await?,
        None => None,
    };
    let spec = match (pinned, &revision) {
        (Some(pinned), Some(revision)) => frozen(revision, definition, pinned),
        (pinned, _) => {
            let found: Option<SagaDefinition> = get(&client, namespace, definition, "SagaDefinition").await?;
            same(found.as_ref().map(|found| &found.spec), definition, pinned, "the cluster")
        }
    };
    Ok(Found { running, definition: definition.clone(), spec })
}

async fn get<K>(client: &Client, namespace: &str, name: &str, kind: &str) -> Result<Option<K>, NoRun>
where
    K: kube::Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>
        + Clone
        + std::fmt::Debug
        + DeserializeOwned,
{
    let found = Api::<K>::namespaced(client.clone(), namespace).get_opt(name).await;
    found.map_err(|error| NoRun(format!("failed to read the {kind} '{name}' in the namespace '{namespace}': {error}")))
}

impl Objects {
    fn take(&mut self, object: Value, place: &Place) -> Result<(), NoRun> {
        match object["kind"].as_str().unwrap_or_default() {
            "SagaRun" => self.runs.push((typed(object, place)?, place.clone())),
            "SagaDefinition" => self.definitions.push(typed(object, place)?),
            "ControllerRevision" => self.revisions.push(typed(object, place)?),
            kind => {
                let expected = "a SagaRun with its status, and its SagaDefinition or ControllerRevision";
                return Err(NoRun(format!("{place}: it is of the kind '{kind}': expected {expected}")));
            }
        }
        Ok(())
    }

    fn run(&self, name: Option<&str>) -> Result<&(SagaRun, Place), NoRun> {
        let wanted = |run: &&(SagaRun, Place)| name.is_none() || run.0.metadata.name.as_deref() == name;
        let runs: Vec<_> = self.runs.iter().filter(wanted).collect();
        match (&runs[..], name) {
            ([one], _) => Ok(one),
            ([], None) => Err(NoRun("failed to find a SagaRun in the manifests".to_owned())),
            ([], Some(name)) => Err(NoRun(format!("failed to find the SagaRun '{name}' in the manifests"))),
            (_, _) => Err(NoRun("the manifests hold several runs: choose one with --run".to_owned())),
        }
    }
}

fn typed<T: DeserializeOwned>(object: Value, place: &Place) -> Result<T, NoRun> {
    serde_json::from_value(object).map_err(|error| NoRun(format!("{place}: {error}")))
}

fn running(run: &SagaRun) -> Result<Running, String> {
    let metadata = &run.metadata;
    let name = metadata.name.clone().ok_or("`metadata.name` is missing")?;
    let namespace = metadata.namespace.clone().unwrap_or_else(|| "default".to_owned());
    let uid = metadata.uid.clone().ok_or_else(|| {
        format!(
            "`metadata.uid` is missing: what a run has done stands in its status, so take it as the cluster has it: \
             kubectl -n {namespace} get sagarun {name} -o yaml"
        )
    })?;
    let generation = metadata.generation.unwrap_or_default();
    Ok(Running {
        run: Arc::new(Identity { namespace, name, uid }),
        input: Value::Object(run.spec.input.clone()),
        wishes: Wishes::new(&run.spec, generation, metadata.deletion_timestamp.is_some()),
        stored: Stored::from_status(run.status.as_ref()).map_err(|error| error.to_string())?,
    })
}

fn frozen(revision: &ControllerRevision, definition: &str, name: &str) -> Result<SagaDefinitionSpec, NoRun> {
    let spec = revision::spec(revision)
        .map_err(|error| NoRun(format!("failed to read the ControllerRevision '{name}': {error}")))?;
    if revision::says(name, definition, &spec) {
        Ok(spec)
    } else {
        Err(NoRun(format!("the ControllerRevision '{name}' does not hold what its name says: it was changed")))
    }
}

/// The definition, if it is what the run is pinned to.
fn same(
    definition: Option<&SagaDefinitionSpec>,
    name: &str,
    pinned: Option<&str>,
    place: &str,
) -> Result<SagaDefinitionSpec, NoRun> {
    let revision = pinned.map(|pinned| {
        format!(
            "add its revision, as `kubectl get controllerrevision {pinned} -o yaml` prints it, if it is still there"
        )
    });
    let revision = revision.unwrap_or_else(|| "add it".to_owned());
    match (definition, pinned) {
        (None, _) => {
            Err(NoRun(format!("failed to find the SagaDefinition '{name}' of the run in {place}: {revision}")))
        }
        (Some(spec), Some(pinned)) if !revision::says(pinned, name, spec) => Err(NoRun(format!(
            "the run follows the revision '{pinned}', and the SagaDefinition '{name}' in {place} says something else: \
             {revision}"
        ))),
        (Some(spec), _) => Ok(spec.clone()),
    }
}
