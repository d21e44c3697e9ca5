//! One request and its answer, within a deadline; or what is known when there is no answer.

use std::error::Error;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Limited};
use kube::Client;

use crate::journal::JournalError;

/// The API server refuses objects of more than about 1.5 MiB (etcd's limit); an answer beyond this is not one of its own.
const MAX_ANSWER_BYTES: usize = 4 * 1024 * 1024;

/// What the API server answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    /// As it was given: seconds or a date.
    pub(crate) retry_after: Option<String>,
    pub(crate) body: Bytes,
}

/// There is no whole answer.
#[derive(Debug)]
pub(crate) enum Lost {
    /// The request did not leave.
    Unsent(String),
    /// It may have left.
    Unanswered(String),
}

impl Lost {
    /// A read can simply be made again.
    pub(super) fn of_read(self) -> JournalError {
        match self {
            Self::Unsent(text) | Self::Unanswered(text) => JournalError::Unavailable(text),
        }
    }

    /// A write that may have left may have landed.
    pub(super) fn of_write(self) -> JournalError {
        match self {
            Self::Unsent(text) => JournalError::Unavailable(text),
            Self::Unanswered(text) => JournalError::Unclear(text),
        }
    }
}

/// Sends a request and reads the whole answer, whatever its status.
pub(crate) async fn exchange(client: &Client, request: Request<Vec<u8>>, limit: Duration) -> Result<Answer, Lost> {
    match tokio::time::timeout(limit, whole(client, request)).await {
        Ok(outcome) => outcome,
        Err(_) => Err(Lost::Unanswered(format!("no answer from the API server within {:.1} s", limit.as_secs_f64()))),
    }
}

async fn whole(client: &Client, request: Request<Vec<u8>>) -> Result<Answer, Lost> {
    // Not `Client::request`: it logs the whole object when it cannot decode it.
    let response = client.send(request.map(kube::client::Body::from)).await.map_err(|error| {
        let text = chain(&error);
        if never_left(&error) { Lost::Unsent(text) } else { Lost::Unanswered(text) }
    })?;
    let (parts, body) = response.into_parts();
    let retry_after = parts.headers.get(http::header::RETRY_AFTER);
    let retry_after = retry_after.and_then(|value| value.to_str().ok()).map(str::to_owned);
    let body = Limited::new(body, MAX_ANSWER_BYTES)
        .collect()
        .await
        .map_err(|error| Lost::Unanswered(format!("the answer of the API server was cut short: {error}")))?
        .to_bytes();
    Ok(Answer { status: parts.status, retry_after, body })
}

/// Whether an error came before the first byte of the request was on its way.
fn never_left(error: &kube::Error) -> bool {
    if matches!(error, kube::Error::Auth(_)) {
        return true;
    }
    causes(error).any(|cause| {
        cause
            .downcast_ref::<hyper_util::client::legacy::Error>()
            .is_some_and(hyper_util::client::legacy::Error::is_connect)
    })
}

/// An error with its causes, in one line.
fn chain(error: &kube::Error) -> String {
    causes(error).map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |error: &&'a (dyn Error + 'static)| (*error).source())
}
