//! Writes about objects that definitions consist of, each a compare-and-swap.

use k8s_openapi::api::apps::v1::ControllerRevision;
use kube::api::{DeleteParams, Patch, PatchParams, Preconditions};
use kube::{Api, Resource, ResourceExt};
use serde_json::{Value, json};

use super::Context;
use crate::api::SagaDefinition;
use crate::api::names::{CONTROLLER, IN_USE_FINALIZER};
use crate::controller::CallError;
use crate::controller::call::call;

impl Context {
    /// Reads of revisions, by quorum.
    pub(super) fn read_revisions(&self, namespace: &str) -> Api<ControllerRevision> {
        Api::namespaced(self.clients.read.clone(), namespace)
    }

    /// Writes of revisions, each sent once.
    pub(super) fn write_revisions(&self, namespace: &str) -> Api<ControllerRevision> {
        Api::namespaced(self.clients.write.clone(), namespace)
    }

    /// Writes of definitions, each sent once.
    pub(super) fn write_definitions(&self, namespace: &str) -> Api<SagaDefinition> {
        Api::namespaced(self.clients.write.clone(), namespace)
    }
}

/// Patches exactly the version that was seen.
pub(super) async fn patch<K>(what: &'static str, api: &Api<K>, seen: &K, mut patch: Value) -> Result<K, CallError>
where
    K: Resource + Clone + serde::de::DeserializeOwned + std::fmt::Debug,
{
    let version = seen.resource_version().ok_or(CallError::Incomplete { what, missing: "resourceVersion" })?;
    patch["metadata"]["resourceVersion"] = json!(version);
    let params = PatchParams { field_manager: Some(CONTROLLER.to_owned()), ..PatchParams::default() };
    call(what, api.patch(&seen.name_any(), &params, &Patch::Merge(patch))).await
}

/// Deletes exactly the version that was seen, and lets it go.
pub(super) async fn remove(api: &Api<ControllerRevision>, seen: &ControllerRevision) -> Result<(), CallError> {
    let mut seen = seen.clone();
    if seen.metadata.deletion_timestamp.is_none() {
        let version = Preconditions { resource_version: seen.resource_version(), uid: seen.uid() };
        let params = DeleteParams { preconditions: Some(version), ..DeleteParams::background() };
        match call("delete a revision", api.delete(&seen.name_any(), &params)).await?.left() {
            Some(held) => seen = held,
            None => return Ok(()),
        }
    }
    if is_held(&seen) {
        patch("release a revision", api, &seen, json!({"metadata": {"finalizers": others(&seen)}})).await?;
    }
    Ok(())
}

/// Whether our finalizer is on.
pub(super) fn is_held(object: &impl ResourceExt) -> bool {
    object.finalizers().iter().any(|finalizer| finalizer == IN_USE_FINALIZER)
}

/// The finalizers of others.
pub(super) fn others(object: &impl ResourceExt) -> Vec<&str> {
    object.finalizers().iter().map(String::as_str).filter(|finalizer| *finalizer != IN_USE_FINALIZER).collect()
}

/// All finalizers with ours.
pub(super) fn with_ours(object: &impl ResourceExt) -> Vec<&str> {
    others(object).into_iter().chain([IN_USE_FINALIZER]).collect()
}
