//! Deletes revisions that nobody needs.
//!
//! # Flow
//! Mark the candidates, each by compare-and-swap; *then* list the runs by quorum; delete the candidates that no unfinished
//! run names, unmark the others.
//!
//! # Guarantees
//! A run that pinned a candidate before the list was read is in the list. A run that pins it later reads the mark before
//! its first call, and takes another revision. A crash in between leaves a mark, and the next look goes on from it.

use std::cmp::Reverse;

use k8s_openapi::api::apps::v1::ControllerRevision;
use kube::ResourceExt;
use serde_json::json;

use super::usage::{self, Usage};
use super::{Context, DefinitionError, object, store};
use crate::api::SagaDefinition;
use crate::controller::CallError;
use crate::controller::revision;

/// So many of the newest stay whether they are used or not: for people who compare.
const KEPT: usize = 3;
/// So many are collected at a time: the next look takes the next.
const MAX_COLLECTED: usize = 16;

/// What is left of the revisions that are too many, or already on their way out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Surplus {
    /// Nothing.
    Gone,
    /// Runs use some, or there were too many for one look: another look is needed.
    Left,
}

/// Collects what is beyond the newest, or already on its way out.
pub(super) async fn surplus(
    context: &Context,
    definition: &SagaDefinition,
    current: Option<&str>,
) -> Result<Surplus, DefinitionError> {
    let mut revisions = store::all(context, definition).await?;
    revisions.sort_by_key(|revision| Reverse(revision.revision));
    let surplus: Vec<_> = revisions
        .into_iter()
        .enumerate()
        .filter(|(rank, revision)| *rank >= KEPT || revision.metadata.deletion_timestamp.is_some())
        .map(|(_, revision)| revision)
        .filter(|revision| Some(revision.name_any().as_str()) != current)
        .collect();
    if surplus.is_empty() {
        return Ok(Surplus::Gone);
    }
    let usage = Usage::of(&context.runs);
    let namespace = definition.namespace().unwrap_or_default();
    // Not worth a mark: the cache knows a run that uses it.
    let used = |name: &str| usage.as_ref().is_some_and(|usage| usage.is_pinned(&namespace, name));
    let count = surplus.len();
    let candidates: Vec<_> =
        surplus.into_iter().filter(|revision| !used(&revision.name_any())).take(MAX_COLLECTED).collect();
    let all = candidates.len() == count;
    let unused = candidates.is_empty() || collect(context, definition, candidates).await?;
    Ok(if all && unused { Surplus::Gone } else { Surplus::Left })
}

/// Collects everything of a definition that is being deleted. False: an unfinished run is pinned to one of its revisions.
pub(super) async fn all(context: &Context, definition: &SagaDefinition) -> Result<bool, DefinitionError> {
    // Most looks end here, and cost no mark that would have to be taken back.
    let namespace = definition.namespace().unwrap_or_default();
    if !usage::pinned(context, &namespace, &definition.name_any()).await?.is_empty() {
        return Ok(false);
    }
    let candidates = store::all(context, definition).await?;
    collect(context, definition, candidates).await
}

/// Whether no unfinished run is pinned to any revision of the definition.
async fn collect(
    context: &Context,
    definition: &SagaDefinition,
    candidates: Vec<ControllerRevision>,
) -> Result<bool, DefinitionError> {
    let namespace = definition.namespace().unwrap_or_default();
    let api = context.write_revisions(&namespace);
    let mut marked = Vec::with_capacity(candidates.len());
    for candidate in candidates {
        if revision::stays(&candidate.metadata) {
            let mark = json!({"metadata": {"annotations": {revision::COLLECTING_ANNOTATION: "true"}}});
            marked.push(object::patch("mark a revision", &api, &candidate, mark).await?);
        } else {
            marked.push(candidate);
        }
    }
    let pinned = usage::pinned(context, &namespace, &definition.name_any()).await?;
    for revision in marked {
        if !pinned.contains(&revision.name_any()) {
            gone(object::remove(&api, &revision).await)?;
        } else if revision::is_marked(&revision.metadata) {
            let unmark = json!({"metadata": {"annotations": {revision::COLLECTING_ANNOTATION: null}}});
            object::patch("unmark a revision", &api, &revision, unmark).await?;
        }
    }
    Ok(pinned.is_empty())
}

/// Somebody else may have been faster.
fn gone(outcome: Result<(), CallError>) -> Result<(), CallError> {
    match outcome {
        Err(error) if error.code() == Some(404) => Ok(()),
        outcome => outcome,
    }
}
