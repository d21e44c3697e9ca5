//! A definition stays while unfinished runs are pinned to one of its revisions.
//!
//! The finalizer is on for as long as the definition exists, not only while runs use it: a run may start at any time, and
//! one finalizer less would cost a write and a race at each first start (docs/decisions/2026-11-21-definition-finalizer.md).

use kube::ResourceExt;
use serde_json::json;

use super::{Context, DefinitionError, collect, object, status};
use crate::api::SagaDefinition;
use crate::controller::definitions::usage::Usage;

/// What becomes of a definition.
#[derive(Debug)]
pub(super) enum Hold {
    /// It has our finalizer.
    Held(Box<SagaDefinition>),
    /// It is being deleted, and unfinished runs use it.
    InUse,
    /// It is being deleted, and we need it no more.
    Gone,
}

pub(super) async fn hold(context: &Context, definition: &SagaDefinition) -> Result<Hold, DefinitionError> {
    let namespace = definition.namespace().unwrap_or_default();
    let api = context.write_definitions(&namespace);
    let held = object::is_held(definition);
    if definition.metadata.deletion_timestamp.is_none() {
        if held {
            return Ok(Hold::Held(Box::new(definition.clone())));
        }
        let patch = json!({"metadata": {"finalizers": object::with_ours(definition)}});
        let definition = object::patch("hold a definition", &api, definition, patch).await?;
        return Ok(Hold::Held(Box::new(definition)));
    }
    if !held {
        return Ok(Hold::Gone);
    }
    if !collect::all(context, definition).await? {
        let active = Usage::of(&context.runs).map(|usage| usage.active(definition));
        status::write(context, definition, status::counted(definition, active)).await?;
        return Ok(Hold::InUse);
    }
    let patch = json!({"metadata": {"finalizers": object::others(definition)}});
    match object::patch("release a definition", &api, definition, patch).await {
        Ok(_) => Ok(Hold::Gone),
        Err(error) if error.code() == Some(404) => Ok(Hold::Gone),
        Err(error) => Err(error.into()),
    }
}
