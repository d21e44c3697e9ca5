//! Lets revisions go whose definition is gone.
//!
//! Normally a definition waits for its revisions. One that was removed by force, or whose namespace was emptied while no
//! operator ran, leaves them behind: the garbage collector deletes them, and our finalizer would hold them, and their
//! namespace, for ever.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::apps::v1::ControllerRevision;
use kube::api::ListParams;
use kube::core::PartialObjectMeta;
use kube::{Api, ResourceExt};
use tokio::time::MissedTickBehavior;

use super::{Context, DefinitionError, object, usage};
use crate::api::names::DEFINITION_LABEL;
use crate::controller::call::call;

/// How often they are looked for.
const INTERVAL: Duration = Duration::from_secs(30);
/// Revisions that are read at a time, and pages that are read at most.
const PAGE: u32 = 500;
const MAX_PAGES: usize = 1000;

type Metadata = PartialObjectMeta<ControllerRevision>;

/// Never ends by itself.
pub(super) async fn collect_for_ever(context: Arc<Context>) {
    if context.definitions.wait_until_ready().await.is_err() {
        // The watch is gone, and the process with it.
        return std::future::pending().await;
    }
    let mut interval = tokio::time::interval(INTERVAL);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        interval.tick().await;
        if !context.leads() {
            continue;
        }
        if let Err(error) = collect(&context).await {
            tracing::warn!(%error, "failed to look for revisions without a definition; looking again later");
        }
    }
}

async fn collect(context: &Context) -> Result<(), DefinitionError> {
    let revisions = held(context).await?;
    if revisions.is_empty() {
        return Ok(());
    }
    // Looked at after the list: a definition that is older than a revision of its own is in the cache by now, or gone.
    let definitions: HashSet<String> = context.definitions.state().iter().filter_map(|seen| seen.uid()).collect();
    let owned = |revision: &Metadata| revision.owner_references().iter().any(|owner| definitions.contains(&owner.uid));
    let mut orphans: BTreeMap<(String, String), Vec<String>> = BTreeMap::new();
    for revision in revisions.into_iter().filter(|revision| !owned(revision)) {
        let definition = revision.labels().get(DEFINITION_LABEL).cloned().unwrap_or_default();
        let key = (revision.namespace().unwrap_or_default(), definition);
        orphans.entry(key).or_default().push(revision.name_any());
    }
    for ((namespace, definition), names) in orphans {
        release(context, &namespace, &definition, names).await?;
    }
    Ok(())
}

/// Revisions that are being deleted, and that only we hold.
async fn held(context: &Context) -> Result<Vec<Metadata>, DefinitionError> {
    let api: Api<ControllerRevision> = match &context.namespace {
        Some(namespace) => context.read_revisions(namespace),
        None => Api::all(context.clients.read.clone()),
    };
    let mut page = ListParams::default().labels(DEFINITION_LABEL).limit(PAGE);
    let mut held = Vec::new();
    for _ in 0..MAX_PAGES {
        let found = call("list revisions that are being deleted", api.list_metadata(&page)).await?;
        let going = |revision: &Metadata| revision.metadata.deletion_timestamp.is_some() && object::is_held(revision);
        held.extend(found.items.into_iter().filter(going));
        match found.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => page.continue_token = Some(token),
            None => break,
        }
    }
    Ok(held)
}

/// Nobody pins what is being deleted: so the list of runs, read after that, is enough.
async fn release(
    context: &Context,
    namespace: &str,
    definition: &str,
    names: Vec<String>,
) -> Result<(), DefinitionError> {
    let pinned = usage::pinned(context, namespace, definition).await?;
    for name in names.into_iter().filter(|name| !pinned.contains(name)) {
        let found = call("read a revision", context.read_revisions(namespace).get_opt(&name)).await?;
        let going = found.filter(|found| found.metadata.deletion_timestamp.is_some());
        if let Some(revision) = going {
            object::remove(&context.write_revisions(namespace), &revision).await?;
        }
    }
    Ok(())
}
