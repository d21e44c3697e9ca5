//! An object as the engine wants it, wherever it was read.

use std::sync::Arc;

use kube::ResourceExt;
use serde_json::Value;

use crate::api::names::RUN_FINALIZER;
use crate::api::{SagaRun, SagaRunSpec, SagaRunStatus};
use crate::journal::{JournalError, Loaded, Version};
use crate::saga::{Identity, RecordError, Stored, Wishes};

/// A run out of an object, from a watch too.
///
/// # Errors
/// [`JournalError::Unreadable`] when the status cannot have been written by this version or an older one, or the object
/// lacks what the API server gives to every object.
pub fn loaded(run: &SagaRun) -> Result<Loaded, JournalError> {
    let (Some(name), Some(uid), Some(version)) =
        (run.metadata.name.clone(), run.metadata.uid.clone(), run.metadata.resource_version.clone())
    else {
        return Err(undecodable("metadata", "no name, UID or resourceVersion"));
    };
    let deleted = run.metadata.deletion_timestamp.is_some();
    let generation = run.metadata.generation.unwrap_or_default();
    Ok(Loaded {
        run: Arc::new(Identity { namespace: run.namespace().unwrap_or_default(), name, uid }),
        wishes: Wishes::new(&run.spec, generation, deleted),
        spec: Arc::new(run.spec.clone()),
        stored: Stored::from_status(run.status.as_ref())?,
        version: Version(version),
        retained: run.finalizers().iter().any(|finalizer| finalizer == RUN_FINALIZER),
    })
}

/// The same out of the API server's JSON, one part after the other, so that the error names the part.
pub(super) fn decoded(mut object: Value) -> Result<Loaded, JournalError> {
    let metadata = serde_json::from_value(object["metadata"].take()).map_err(|error| undecodable("metadata", error))?;
    let spec: SagaRunSpec =
        serde_json::from_value(object["spec"].take()).map_err(|error| undecodable("spec", error))?;
    let status: Option<SagaRunStatus> =
        serde_json::from_value(object["status"].take()).map_err(|error| undecodable("status", error))?;
    loaded(&SagaRun { metadata, spec, status })
}

/// The object, not the operator, is at fault.
pub(super) fn undecodable(part: &str, error: impl ToString) -> JournalError {
    RecordError::Undecodable(format!("`{part}`: {}", error.to_string())).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn object() -> Value {
        json!({
            "apiVersion": "sagas.dev/v1alpha1",
            "kind": "SagaRun",
            "metadata": {
                "name": "a", "namespace": "shop", "uid": "u", "resourceVersion": "7", "generation": 3,
                "finalizers": ["other.dev/x", "sagas.dev/compensate"], "deletionTimestamp": "2026-01-01T00:00:00Z",
            },
            "spec": {"definitionRef": {"name": "order"}, "suspend": true},
            "status": {"observedGeneration": -1},
        })
    }

    #[test]
    fn a_run_is_read_with_its_wishes_and_its_finalizer() {
        let loaded = decoded(object()).expect("readable");
        assert_eq!(loaded.wishes.generation, 3);
        assert!(loaded.wishes.suspend && loaded.wishes.deletion.is_some() && loaded.retained);
        assert_eq!(loaded.version, Version("7".to_owned()));
        assert_eq!(loaded.stored, Stored::from_status(None).expect("readable"));
    }

    #[test]
    fn an_object_that_cannot_be_decoded_is_an_error_about_the_object() {
        let bad = [
            ("/spec", json!(null)),
            ("/spec/definitionRef", json!(5)),
            ("/status/steps", json!([{"name": "a", "state": "Fantastic"}])),
            ("/status", json!({"journal": {"fence": -4}})),
            ("/status", json!("text")),
            ("/metadata", json!(null)),
            ("/metadata/uid", json!(null)),
        ];
        for (pointer, value) in bad {
            let mut object = object();
            let (parent, key) = pointer.rsplit_once('/').expect("a pointer");
            object.pointer_mut(parent).expect("there")[key] = value;
            let error = decoded(object).expect_err(pointer);
            assert_eq!(error.class(), crate::journal::Class::Invalid, "{pointer}: {error}");
        }
    }
}
