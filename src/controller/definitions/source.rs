//! The engine's definitions: the current one from the cache, pinned ones from the API server.

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use k8s_openapi::api::apps::v1::ControllerRevision;
use kube::Api;
use kube::runtime::reflector::{ObjectRef, Store};

use super::Guarded;
use super::compiled::Compiled;
use super::single_flight::SingleFlight;
use crate::api::condition::READY;
use crate::api::{Condition, ConditionStatus, SagaDefinition, SagaDefinitionSpec};
use crate::controller::CallError;
use crate::controller::call::call;
use crate::controller::revision;
use crate::engine::Definitions;
use crate::journal::JournalError;
use crate::journal::kubernetes::Clients;
use crate::saga::{Definition, Problem, Unready};

/// How often a pinned revision is read before the API server counts as silent.
const READS: u32 = 5;
/// Before the second read; doubled for each further one.
const FIRST_WAIT: Duration = Duration::from_millis(200);

/// Reads of pinned revisions, by namespace, definition and revision.
pub(super) type Pinned = SingleFlight<(String, String, String), Result<Arc<Definition>, Unready>>;

/// What runs follow. Cheap to clone.
#[derive(Clone)]
pub struct KubernetesDefinitions {
    pub(super) clients: Clients,
    pub(super) seen: Store<Guarded>,
    pub(super) compiled: Arc<Compiled>,
    pub(super) pinned: Arc<Pinned>,
}

impl Definitions for KubernetesDefinitions {
    async fn current(&self, namespace: &str, name: &str) -> Result<Arc<Definition>, Unready> {
        if self.seen.wait_until_ready().now_or_never().is_none() {
            return Err(not_ready("the operator has not read the definitions yet"));
        }
        let seen = self.seen(namespace, name).ok_or(Unready::NotFound)?;
        let definition = seen.0.as_ref().map_err(|error| not_ready(error.to_string()))?;
        let revision = usable(definition).map_err(not_ready)?;
        if !revision::says(revision, name, &definition.spec) {
            return Err(not_ready(format!("`status.currentRevision` '{revision}' is not of this spec")));
        }
        self.compile(namespace, revision, &definition.spec).await.map_err(not_ready)
    }

    async fn pinned(&self, namespace: &str, name: &str, revision: &str) -> Result<Arc<Definition>, Unready> {
        if let Some(known) = self.compiled.get(namespace, revision) {
            return Ok(known);
        }
        let key = (namespace.to_owned(), name.to_owned(), revision.to_owned());
        let read = || {
            let (own, (namespace, name, revision)) = (self.clone(), key.clone());
            async move { own.read_pinned(&namespace, &name, &revision).await }.boxed()
        };
        self.pinned.join(key.clone(), read).await
    }

    async fn holds(&self, namespace: &str, revision: &str) -> Result<bool, JournalError> {
        let revisions = self.revisions(namespace);
        match call("read the pinned revision", revisions.get_metadata_opt(revision)).await {
            Ok(found) => Ok(found.is_some_and(|found| revision::stays(&found.metadata))),
            Err(error) if error.code() == Some(403) => {
                Err(JournalError::Fatal(format!("{error} (the operator's RBAC lacks a right on controllerrevisions)")))
            }
            Err(error) => Err(JournalError::Unavailable(error.to_string())),
        }
    }
}

impl KubernetesDefinitions {
    fn seen(&self, namespace: &str, name: &str) -> Option<Arc<Guarded>> {
        self.seen.get(&ObjectRef::new(name).within(namespace))
    }

    fn revisions(&self, namespace: &str) -> Api<ControllerRevision> {
        Api::namespaced(self.clients.read.clone(), namespace)
    }

    async fn compile(
        &self,
        namespace: &str,
        revision: &str,
        spec: &SagaDefinitionSpec,
    ) -> Result<Arc<Definition>, String> {
        let first = |problems: Vec<Problem>| problems.first().map(ToString::to_string).unwrap_or_default();
        self.compiled.compile(namespace, revision, spec).await.map_err(first)
    }

    async fn read_pinned(&self, namespace: &str, name: &str, revision: &str) -> Result<Arc<Definition>, Unready> {
        match self.read(namespace, revision).await {
            Ok(Some(found)) => match frozen(&found, name, revision) {
                Ok(spec) => self.compile(namespace, revision, &spec).await.map_err(Unready::RevisionNotFound),
                Err(text) => Err(Unready::RevisionNotFound(text)),
            },
            Ok(None) => self.same(namespace, name, revision).await,
            Err(error) => Err(not_ready(error.to_string())),
        }
    }

    /// Reads a revision, more than once where the API server does not answer: a run must not be called stalled for that.
    async fn read(&self, namespace: &str, revision: &str) -> Result<Option<ControllerRevision>, CallError> {
        let mut wait = FIRST_WAIT;
        for _ in 1..READS {
            let read = call("read the pinned revision", self.revisions(namespace).get_opt(revision)).await;
            match read {
                Ok(found) => return Ok(found),
                Err(error) => tracing::debug!(namespace, revision, %error, "trying again"),
            }
            tokio::time::sleep(wait).await;
            wait = wait.saturating_mul(2);
        }
        call("read the pinned revision", self.revisions(namespace).get_opt(revision)).await
    }

    /// The definition in place of its lost revision, if it says the same.
    async fn same(&self, namespace: &str, name: &str, revision: &str) -> Result<Arc<Definition>, Unready> {
        let lost = |text: &str| Unready::RevisionNotFound(format!("the revision '{revision}' is gone, and {text}"));
        let seen = self.seen(namespace, name).ok_or_else(|| lost("so is its definition"))?;
        let definition = seen.0.as_ref().map_err(|_| lost("its definition cannot be read"))?;
        if !revision::says(revision, name, &definition.spec) {
            return Err(lost("its definition differs from it"));
        }
        self.compile(namespace, revision, &definition.spec).await.map_err(|problem| lost(&problem))
    }
}

/// The spec that a revision holds, if it is what its name says.
fn frozen(found: &ControllerRevision, name: &str, revision: &str) -> Result<SagaDefinitionSpec, String> {
    let spec = revision::spec(found).map_err(|error| {
        format!("the revision '{revision}' cannot be read by this version of the operator: {error}")
    })?;
    if revision::says(revision, name, &spec) {
        Ok(spec)
    } else {
        Err(format!("the data of the revision '{revision}' are not what its name says"))
    }
}

/// The revision of a definition that can be run as it stands, or why it cannot.
fn usable(definition: &SagaDefinition) -> Result<&str, String> {
    if definition.metadata.deletion_timestamp.is_some() {
        return Err("it is being deleted".to_owned());
    }
    let Some(status) = definition.status.as_ref().filter(|status| {
        status.observed_generation.is_some() && status.observed_generation == definition.metadata.generation
    }) else {
        return Err("the operator has not looked at it yet".to_owned());
    };
    let is_ready = |condition: &&Condition| condition.type_ == READY;
    let ready = status.conditions.iter().find(is_ready);
    match (ready, status.current_revision.as_deref()) {
        (Some(ready), Some(revision)) if ready.status == ConditionStatus::True => Ok(revision),
        (Some(ready), _) => Err(ready.message.clone()),
        (None, _) => Err("the operator has not looked at it yet".to_owned()),
    }
}

fn not_ready(text: impl Into<String>) -> Unready {
    Unready::NotReady(text.into())
}
