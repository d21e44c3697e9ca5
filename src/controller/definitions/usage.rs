//! Which unfinished runs use which revisions.

use std::collections::{HashMap, HashSet};

use futures::FutureExt;
use kube::api::{ApiResource, DynamicObject, ListParams};
use kube::core::DeserializeGuard;
use kube::runtime::reflector::Store;
use kube::{Api, ResourceExt};
use serde_json::Value;

use super::{Context, DefinitionError};
use crate::api::condition::COMPLETED;
use crate::api::{SagaDefinition, SagaRun};
use crate::controller::call::call;
use crate::controller::retention::is_finished;

/// Runs that are read at a time, and pages that are read at most.
const PAGE: u32 = 500;
const MAX_PAGES: usize = 1000;

/// What the cache of runs says. For people, and for what is worth a closer look; never a reason to delete.
#[derive(Debug, Default)]
pub(super) struct Usage {
    active: HashMap<(String, String), i32>,
    pinned: HashSet<(String, String)>,
}

impl Usage {
    /// `None`: the cache is not filled yet.
    pub(super) fn of(runs: &Store<DeserializeGuard<SagaRun>>) -> Option<Self> {
        runs.wait_until_ready().now_or_never()?.ok()?;
        let mut usage = Self::default();
        for run in runs.state() {
            if let Ok(run) = &run.0 {
                usage.take_in(run);
            }
        }
        Some(usage)
    }

    fn take_in(&mut self, run: &SagaRun) {
        if run.status.as_ref().is_some_and(is_finished) {
            return;
        }
        let namespace = run.namespace().unwrap_or_default();
        let active = self.active.entry((namespace.clone(), run.spec.definition_ref.name.clone())).or_default();
        *active = active.saturating_add(1);
        if let Some(revision) = run.status.as_ref().and_then(|status| status.definition_revision.clone()) {
            self.pinned.insert((namespace, revision));
        }
    }

    /// Unfinished runs that refer to a definition.
    pub(super) fn active(&self, definition: &SagaDefinition) -> i32 {
        let key = (definition.namespace().unwrap_or_default(), definition.name_any());
        self.active.get(&key).copied().unwrap_or_default()
    }

    /// Whether an unfinished run is known to be pinned to a revision.
    pub(super) fn is_pinned(&self, namespace: &str, revision: &str) -> bool {
        self.pinned.contains(&(namespace.to_owned(), revision.to_owned()))
    }
}

/// The revisions that unfinished runs of a definition are pinned to, by quorum: with every write that was acknowledged
/// before. A run that cannot be decoded counts as long as it does not say that it is finished.
pub(super) async fn pinned(
    context: &Context,
    namespace: &str,
    definition: &str,
) -> Result<HashSet<String>, DefinitionError> {
    let resource = ApiResource::erase::<SagaRun>(&());
    let runs: Api<DynamicObject> = Api::namespaced_with(context.clients.read.clone(), namespace, &resource);
    let selector = format!("spec.definitionRef.name={definition}");
    let mut page = ListParams::default().fields(&selector).limit(PAGE);
    let mut pinned = HashSet::new();
    for _ in 0..MAX_PAGES {
        let found = call("list the runs of a definition", runs.list(&page)).await?;
        pinned.extend(found.items.iter().filter_map(|run| pinned_by(&run.data)));
        match found.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => page.continue_token = Some(token),
            None => return Ok(pinned),
        }
    }
    Err(DefinitionError::TooManyRuns(MAX_PAGES))
}

fn pinned_by(run: &Value) -> Option<String> {
    let revision = run.pointer("/status/definitionRevision")?.as_str()?;
    let conditions = run.pointer("/status/conditions").and_then(Value::as_array);
    let finished = conditions
        .into_iter()
        .flatten()
        .any(|condition| condition["type"] == COMPLETED && condition["status"] == "True");
    (!finished).then(|| revision.to_owned())
}
