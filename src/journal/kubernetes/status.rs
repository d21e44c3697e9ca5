//! The body of a write: only what the API server looks at when it replaces a status.

use kube::Resource;
use serde::Serialize;

use crate::api::{SagaRun, SagaRunStatus};
use crate::journal::{Draft, JournalError};

/// A larger status is refused before it is sent. The core keeps below 64 KiB; etcd refuses objects of some 1.5 MiB, which
/// spec and managed fields share.
pub const MAX_STATUS_BYTES: usize = 256 * 1024;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Body<'a> {
    api_version: &'a str,
    kind: &'a str,
    metadata: Metadata<'a>,
    status: SagaRunStatus,
}

/// The UID makes a PUT to another run of the same name fail even where versions are not what they seem.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Metadata<'a> {
    name: &'a str,
    namespace: &'a str,
    uid: &'a str,
    resource_version: &'a str,
}

/// The JSON of a write. The API server takes everything else of the object from what it has.
pub(super) fn body(draft: &Draft) -> Result<Vec<u8>, JournalError> {
    let body = Body {
        api_version: &SagaRun::api_version(&()),
        kind: &SagaRun::kind(&()),
        metadata: Metadata {
            name: &draft.run.name,
            namespace: &draft.run.namespace,
            uid: &draft.run.uid,
            resource_version: &draft.version.0,
        },
        status: draft.stored.to_status(),
    };
    let bytes = serde_json::to_vec(&body)
        .map_err(|error| JournalError::Fatal(format!("the status cannot be written as JSON: {error}")))?;
    if bytes.len() > MAX_STATUS_BYTES {
        let size = bytes.len();
        return Err(JournalError::TooLarge(format!("{size} bytes, at most {MAX_STATUS_BYTES} are sent")));
    }
    Ok(bytes)
}
