//! Freezes an accepted spec as a revision that stays.

use k8s_openapi::api::apps::v1::ControllerRevision;
use kube::api::{ListParams, PostParams};
use kube::{Resource as _, ResourceExt};
use serde_json::json;

use super::verdict::Verdict;
use super::{Context, DefinitionError, object};
use crate::api::SagaDefinition;
use crate::api::names::{CONTROLLER, DEFINITION_LABEL};
use crate::controller::CallError;
use crate::controller::call::call;
use crate::controller::revision;

/// Names in the verdict a revision that is stored: the usual one, or another where that one is about to go.
pub(super) async fn store(
    context: &Context,
    definition: &SagaDefinition,
    verdict: Verdict,
) -> Result<Verdict, DefinitionError> {
    let Verdict::Accepted(usual) = verdict else { return Ok(verdict) };
    let namespace = definition.namespace().unwrap_or_default();
    // What new runs are pinned to stays the same for as long as it can.
    let current = definition.status.as_ref().and_then(|status| status.current_revision.clone());
    let current = current.filter(|current| revision::says(current, &definition.name_any(), &definition.spec));
    let names = revision::names(&definition.name_any(), &definition.spec);
    for name in current.into_iter().chain(names) {
        let found = call("read a revision", context.read_revisions(&namespace).get_opt(&name)).await?;
        let stored = match found {
            None => Some(create(context, definition, &name).await?),
            Some(found) if is_usable(&found, definition) => Some(refresh(context, definition, found).await?),
            Some(_) => None,
        };
        if let Some(stored) = stored {
            return Ok(Verdict::Accepted(stored.name_any()));
        }
    }
    Err(DefinitionError::NamesTaken(usual))
}

/// Another definition's, another spec's, or on its way out: left alone.
fn is_usable(found: &ControllerRevision, definition: &SagaDefinition) -> bool {
    let owned = definition.uid().is_some_and(|uid| revision::is_owned(found, &uid));
    owned && found.metadata.deletion_timestamp.is_none() && revision::holds(found, &definition.spec)
}

async fn create(
    context: &Context,
    definition: &SagaDefinition,
    name: &str,
) -> Result<ControllerRevision, DefinitionError> {
    let number = newest(&all(context, definition).await?).saturating_add(1);
    let revision = revision::build(definition, name, number);
    let params = PostParams { field_manager: Some(CONTROLLER.to_owned()), dry_run: false };
    let namespace = definition.namespace().unwrap_or_default();
    let body = revision::encode(&revision).map_err(kube::Error::SerdeError);
    let request = kube::core::Request::new(ControllerRevision::url_path(&(), Some(&namespace)));
    let created = async {
        let request = request.create(&params, body?).map_err(kube::Error::BuildRequest)?;
        context.clients.write.request::<ControllerRevision>(request).await
    };
    Ok(call("create a revision", created).await?)
}

/// Makes an earlier revision the newest again, and sure that it stays.
async fn refresh(
    context: &Context,
    definition: &SagaDefinition,
    found: ControllerRevision,
) -> Result<ControllerRevision, DefinitionError> {
    let name = found.name_any();
    let is_current = definition.status.as_ref().and_then(|status| status.current_revision.as_deref()) == Some(&name);
    let stays = revision::stays(&found.metadata) && object::is_held(&found);
    if is_current && stays {
        return Ok(found);
    }
    let others: Vec<_> = all(context, definition).await?;
    let newest = newest(others.iter().filter(|other| other.name_any() != name));
    let number = if found.revision > newest { found.revision } else { newest.saturating_add(1) };
    if stays && number == found.revision {
        return Ok(found);
    }
    let patch = json!({
        "metadata": {
            "annotations": {revision::COLLECTING_ANNOTATION: null},
            "finalizers": object::with_ours(&found),
        },
        "revision": number,
    });
    let api = context.write_revisions(&definition.namespace().unwrap_or_default());
    Ok(object::patch("keep a revision", &api, &found, patch).await?)
}

/// Every revision of a definition, by quorum.
pub(super) async fn all(context: &Context, definition: &SagaDefinition) -> Result<Vec<ControllerRevision>, CallError> {
    let namespace = definition.namespace().unwrap_or_default();
    let labelled = ListParams::default().labels(&format!("{DEFINITION_LABEL}={}", definition.name_any()));
    let found = call("list revisions", context.read_revisions(&namespace).list(&labelled)).await?;
    let uid = definition.uid().unwrap_or_default();
    Ok(found.items.into_iter().filter(|found| revision::is_owned(found, &uid)).collect())
}

fn newest<'a>(revisions: impl IntoIterator<Item = &'a ControllerRevision>) -> i64 {
    revisions.into_iter().map(|revision| revision.revision).max().unwrap_or_default()
}
