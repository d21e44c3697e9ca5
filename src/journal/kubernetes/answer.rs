//! How the API server's refusals are read.
//!
//! | answer | of a write | why |
//! |---|---|---|
//! | 409 | `Conflict`; `Gone` when it says that the UID differs | the version is not the one that was read |
//! | 404 | `Gone` | |
//! | 413, and any other answer that says "too large" | `TooLarge` | etcd's limit arrives as a 500 |
//! | 422 about a new finalizer | `Gone` | the run is being deleted already, so it never starts |
//! | other 422 | `TooLarge` | the schema's bounds: fewer messages may help |
//! | 401, 429 | `Unavailable` | credentials are being renewed; the server is busy |
//! | other 4xx | `Fatal` | a mistake of ours, or missing rights |
//! | 5xx and all others | `Unclear` | a 504 was seen for a write that had landed |

use http::StatusCode;
use kube::core::Status;

use super::exchange::Answer;
use crate::journal::JournalError;

/// Longest text taken over from an answer.
const MAX_TEXT: usize = 300;

/// A read that did not succeed. 404 is not among them.
pub(super) fn of_read(answer: &Answer) -> JournalError {
    let text = text(answer);
    match answer.status {
        StatusCode::FORBIDDEN => JournalError::Fatal(forbidden(&text)),
        StatusCode::UNAUTHORIZED | StatusCode::TOO_MANY_REQUESTS => JournalError::Unavailable(text),
        status if status.is_client_error() => JournalError::Fatal(text),
        _ => JournalError::Unavailable(text),
    }
}

/// A write that did not succeed.
pub(super) fn of_write(answer: &Answer) -> JournalError {
    let text = text(answer);
    if too_large(answer.status, &text) {
        return JournalError::TooLarge(text);
    }
    match answer.status {
        StatusCode::CONFLICT if text.contains("UID in precondition") => JournalError::Gone,
        StatusCode::CONFLICT => JournalError::Conflict,
        StatusCode::NOT_FOUND => JournalError::Gone,
        StatusCode::UNPROCESSABLE_ENTITY if text.contains("no new finalizers can be added") => JournalError::Gone,
        StatusCode::UNPROCESSABLE_ENTITY => JournalError::TooLarge(text),
        StatusCode::FORBIDDEN => JournalError::Fatal(forbidden(&text)),
        StatusCode::UNAUTHORIZED | StatusCode::TOO_MANY_REQUESTS => JournalError::Unavailable(text),
        status if status.is_client_error() => JournalError::Fatal(text),
        _ => JournalError::Unclear(text),
    }
}

fn too_large(status: StatusCode, text: &str) -> bool {
    status == StatusCode::PAYLOAD_TOO_LARGE
        || text.contains("request is too large")
        || text.contains("Request entity too large")
        || text.contains("message larger than max")
}

fn forbidden(text: &str) -> String {
    format!("{text} (the operator's RBAC lacks a right: compare its ClusterRole with deploy/rbac.yaml)")
}

/// The answer in one line: its message, or its beginning where it is not a `Status`.
fn text(answer: &Answer) -> String {
    let said = match serde_json::from_slice::<Status>(&answer.body) {
        Ok(status) if !status.message.is_empty() => status.message,
        Ok(_) | Err(_) => String::from_utf8_lossy(&answer.body).into_owned(),
    };
    let said: String = said.trim().chars().take(MAX_TEXT).collect();
    let wait = answer.retry_after.as_deref().map(|after| format!(", Retry-After {after}")).unwrap_or_default();
    format!("{}{wait}: {said}", answer.status.as_u16())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, message: &str) -> Answer {
        let body = serde_json::json!({"kind": "Status", "status": "Failure", "message": message, "code": status});
        Answer {
            status: StatusCode::from_u16(status).expect("a status code"),
            retry_after: (status == 429).then(|| "5".to_owned()),
            body: body.to_string().into(),
        }
    }

    fn of(status: u16, message: &str) -> String {
        format!("{:?}", of_write(&answer(status, message))).split('(').next().unwrap_or_default().to_owned()
    }

    #[test]
    fn every_refusal_of_a_write_has_its_reading() {
        let table = [
            (409, "the object has been modified", "Conflict"),
            (409, "Precondition failed: UID in precondition: a, UID in object meta: b", "Gone"),
            (404, "not found", "Gone"),
            (413, "limit is 3145728", "TooLarge"),
            (500, "etcdserver: request is too large", "TooLarge"),
            (500, "rpc error: code = ResourceExhausted desc = trying to send message larger than max", "TooLarge"),
            (422, "metadata.finalizers: Forbidden: no new finalizers can be added if ...", "Gone"),
            (422, "status.steps: Too many: 65: must have at most 64 items", "TooLarge"),
            (403, "sagaruns.sagas.dev is forbidden", "Fatal"),
            (400, "bad request", "Fatal"),
            (401, "Unauthorized", "Unavailable"),
            (429, "too many requests", "Unavailable"),
            (500, "etcdserver: request timed out", "Unclear"),
            (503, "unavailable", "Unclear"),
            (504, "timeout", "Unclear"),
            (302, "moved", "Unclear"),
        ];
        for (status, message, want) in table {
            assert_eq!(of(status, message), want, "{status} {message}");
        }
    }

    #[test]
    fn a_busy_server_says_when_to_come_back_and_a_missing_right_where_to_look() {
        let busy = of_write(&answer(429, "too many")).to_string();
        assert!(busy.contains("Retry-After 5"), "{busy}");
        let forbidden = of_write(&answer(403, "nope")).to_string();
        assert!(forbidden.contains("RBAC"), "{forbidden}");
    }

    #[test]
    fn a_read_is_never_unclear() {
        assert!(matches!(of_read(&answer(504, "timeout")), JournalError::Unavailable(_)));
        assert!(matches!(of_read(&answer(403, "nope")), JournalError::Fatal(_)));
    }

    #[test]
    fn an_answer_that_is_not_a_status_is_quoted_up_to_a_bound() {
        let answer = Answer { status: StatusCode::BAD_GATEWAY, retry_after: None, body: "<html>".repeat(1000).into() };
        assert!(of_write(&answer).to_string().len() < 500);
    }
}
