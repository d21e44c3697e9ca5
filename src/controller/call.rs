//! A call of the API server: bounded in time, and its failure sorted.

use std::future::Future;
use std::time::Duration;

use crate::journal::Class;

/// Longest a call may take.
const TIMEOUT: Duration = Duration::from_secs(10);

/// A call of the API server failed.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// There is an answer, or a reason why there is none.
    #[error("failed to {what}: {}", said(source))]
    Failed {
        /// What was tried.
        what: &'static str,
        /// Why not.
        source: Box<kube::Error>,
    },
    /// There is no answer in time. A write may have landed.
    #[error("failed to {what}: no answer within {} s", TIMEOUT.as_secs())]
    Late {
        /// What was tried.
        what: &'static str,
    },
    /// The answer lacks what every answer has.
    #[error("failed to {what}: the answer has no {missing}")]
    Incomplete {
        /// What was tried.
        what: &'static str,
        /// What is not there.
        missing: &'static str,
    },
}

impl CallError {
    /// The code of the answer, if there is one.
    pub fn code(&self) -> Option<u16> {
        match self {
            Self::Failed { source, .. } => {
                if let kube::Error::Api(status) = source.as_ref() {
                    Some(status.code)
                } else {
                    None
                }
            }
            Self::Late { .. } | Self::Incomplete { .. } => None,
        }
    }

    /// What to do about it. Nothing here is fatal: it concerns one object.
    pub fn class(&self) -> Class {
        match self.code() {
            Some(409) => Class::Conflict,
            Some(400 | 404 | 405 | 413 | 415 | 422) => Class::Invalid,
            Some(_) | None => Class::Retry,
        }
    }
}

/// Longest message of the API server that is passed on.
const MAX_MESSAGE: usize = 200;

/// What the API server said, without the content of objects, which it likes to quote.
fn said(error: &kube::Error) -> String {
    let kube::Error::Api(status) = error else { return error.to_string() };
    let causes = status.details.iter().flat_map(|details| &details.causes);
    let fields: Vec<String> = causes.map(|cause| format!("{}: {}", cause.field, cause.reason)).collect();
    if fields.is_empty() {
        let message: String = status.message.chars().take(MAX_MESSAGE).collect();
        return format!("{} {}: {message}", status.code, status.reason);
    }
    format!("{} {}: {}", status.code, status.reason, fields.join(", "))
}

/// Waits for a call, but not for ever. `what` completes "failed to ...".
pub(super) async fn call<T>(
    what: &'static str,
    call: impl Future<Output = Result<T, kube::Error>>,
) -> Result<T, CallError> {
    match tokio::time::timeout(TIMEOUT, call).await {
        Ok(outcome) => outcome.map_err(|source| CallError::Failed { what, source: Box::new(source) }),
        Err(_) => Err(CallError::Late { what }),
    }
}
