//! Answers that are wrong, endless, slow or missing: each is bounded and read as the table of the API says.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use saga_operator::api::Reason;
use saga_operator::saga::{End, Phase};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use crate::support::{Canary, Request, Server, reply};
use crate::{Ended, order};

/// One gigabyte.
const ENDLESS: usize = 1_000_000_000;
/// Far above the 1 MiB that is read and what sockets hold, far below the whole.
const BOUNDED: usize = 64_000_000;

/// A step `a` whose answer is odd, with its compensation, and a step `b` that passes on what was made of the answer.
fn steps(port: u16, output: &str) -> String {
    format!(
        "  - name: a\n    action:\n      http: {{url: \"http://127.0.0.1:{port}/a\", timeoutSeconds: 1}}\n      retryPolicy: \
         {{maxAttempts: 2, initialBackoffMilliseconds: 1}}\n    compensation: {{http: {{url: \
         \"http://127.0.0.1:{port}/undo\"}}}}\n    outputs: [{{name: made, value: \"${{{output}}}\"}}]\n  - name: b\n    role: \
         ReadOnly\n    action: {{http: {{url: \"http://127.0.0.1:{port}/b\", body: \"${{steps.a.outputs.made}}\"}}}}\n"
    )
}

/// Runs a saga whose first call is answered by `odd`, all others properly.
async fn oddly<F>(output: &str, odd: impl Fn(TcpStream) -> F + Send + Sync + 'static) -> (Ended, Vec<Request>)
where
    F: Future<Output = ()> + Send + 'static,
{
    let server = Server::start(move |_, request, stream| {
        if request.line.ends_with("/a") { Box::pin(odd(stream)) } else { Box::pin(reply(stream, 200, "", Vec::new())) }
    })
    .await;
    let ended = order(&steps(server.port, output), "", &serde_json::json!({})).await;
    (ended, server.seen())
}

fn lines(seen: &[Request]) -> Vec<&str> {
    seen.iter().map(|request| request.line.as_str()).collect()
}

/// The answer was a success, and `body` was made of it.
fn succeeded(ended: &Ended, seen: &[Request], body: &str) {
    assert_eq!(ended.said.code, Some(0), "{}{}", ended.said.out, ended.said.err);
    assert_eq!(lines(seen), ["POST /a", "POST /b"]);
    assert_eq!(String::from_utf8_lossy(&seen[1].body), body);
}

/// The step may have taken effect: it is undone, and the participant is told that nobody knows.
fn in_doubt(ended: &Ended, seen: &[Request], failure: Reason, last: Reason, attempts: usize) {
    assert_eq!(ended.said.code, Some(1), "{}{}", ended.said.out, ended.said.err);
    assert_eq!((ended.run.stored.end, ended.failure()), (Some(End::Compensated), Some(failure)), "{}", ended.said.out);
    assert_eq!((ended.phase(0), ended.run.stored.steps[0].forward.reason), (Phase::Unknown, Some(last)));
    assert_eq!(lines(seen), [vec!["POST /a"; attempts], vec!["POST /undo"]].concat());
    assert_eq!(seen.last().unwrap().header("saga-forward-outcome"), Some("unknown"));
}

/// Writes for as long as the other side reads.
async fn pour(mut stream: TcpStream, head: &str, chunk: &[u8], poured: Arc<AtomicUsize>) {
    let _sent = stream.write_all(head.as_bytes()).await;
    while poured.load(Ordering::SeqCst) < ENDLESS && stream.write_all(chunk).await.is_ok() {
        poured.fetch_add(chunk.len(), Ordering::SeqCst);
    }
}

#[tokio::test]
async fn an_answer_of_a_gigabyte_is_a_success_whose_body_is_null_and_is_not_read() {
    let length = format!("HTTP/1.1 200 OK\r\ncontent-length: {ENDLESS}\r\n\r\n");
    let chunked = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n".to_owned();
    let until_closed = "HTTP/1.1 200 OK\r\n\r\n".to_owned();
    let text = vec![b'x'; 0x10000];
    let chunk = [b"10000\r\n", text.as_slice(), b"\r\n"].concat();
    for (head, chunk) in [(length, text.clone()), (chunked, chunk), (until_closed, text)] {
        let poured = Arc::new(AtomicUsize::new(0));
        let count = poured.clone();
        let (ended, seen) = oddly("response.body == null", move |stream| {
            let (head, chunk, count) = (head.clone(), chunk.clone(), count.clone());
            async move { pour(stream, &head, &chunk, count).await }
        })
        .await;
        succeeded(&ended, &seen, "true");
        assert!(poured.load(Ordering::SeqCst) < BOUNDED, "{} bytes were taken", poured.load(Ordering::SeqCst));
    }
}

#[tokio::test]
async fn headers_without_end_are_bounded_and_leave_the_call_in_doubt() {
    let poured = Arc::new(AtomicUsize::new(0));
    let count = poured.clone();
    let (ended, seen) = oddly("response.status", move |stream| {
        let count = count.clone();
        async move { pour(stream, "HTTP/1.1 200 OK\r\nx-long: ", &vec![b'x'; 0x10000], count).await }
    })
    .await;
    in_doubt(&ended, &seen, Reason::AttemptsExhausted, Reason::ConnectionFailed, 2);
    assert!(poured.load(Ordering::SeqCst) < BOUNDED, "{} bytes were taken", poured.load(Ordering::SeqCst));
}

/// One byte a second.
async fn drip(mut stream: TcpStream, head: &'static str) {
    let _sent = stream.write_all(head.as_bytes()).await;
    while stream.write_all(b" ").await.is_ok() {
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

#[tokio::test]
async fn a_body_that_drips_beyond_the_timeout_is_a_success_cut_short() {
    let (ended, seen) =
        oddly("response.body == null", |stream| drip(stream, "HTTP/1.1 200 OK\r\ncontent-length: 3600\r\n\r\n")).await;
    succeeded(&ended, &seen, "true");
}

#[tokio::test]
async fn a_header_that_drips_beyond_the_timeout_is_no_answer() {
    let (ended, seen) = oddly("response.status", |stream| drip(stream, "HTTP/1.1 200 OK\r\nx-slow: ")).await;
    in_doubt(&ended, &seen, Reason::AttemptsExhausted, Reason::Timeout, 2);
}

#[tokio::test]
async fn a_participant_that_never_answers_leaves_the_call_in_doubt() {
    let (ended, seen) = oddly("response.status", |stream| async move {
        let _open = stream;
        std::future::pending::<()>().await;
    })
    .await;
    in_doubt(&ended, &seen, Reason::AttemptsExhausted, Reason::Timeout, 2);
}

#[tokio::test]
async fn a_participant_that_hangs_up_or_speaks_no_http_leaves_the_call_in_doubt() {
    for answer in ["", "HTTP/1.1 2", "SSH-2.0-OpenSSH_9.6\r\n", "HTTP/1.1 999999 X\r\n\r\n", "\0\0\0\0\r\n\r\n"] {
        let (ended, seen) = oddly("response.status", move |mut stream| async move {
            let _sent = stream.write_all(answer.as_bytes()).await;
            let _closed = stream.shutdown().await;
        })
        .await;
        in_doubt(&ended, &seen, Reason::AttemptsExhausted, Reason::ConnectionFailed, 2);
    }
}

#[tokio::test]
async fn an_answer_that_is_cut_short_is_a_success_whose_body_is_null() {
    let (ended, seen) = oddly("response.body == null", |mut stream| async move {
        let _sent = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{\"id\":").await;
        let _closed = stream.shutdown().await;
    })
    .await;
    succeeded(&ended, &seen, "true");
}

#[tokio::test]
async fn json_that_is_none_is_text() {
    let text = "{\"id\": nonsense";
    let (ended, seen) =
        oddly("response.body", move |stream| reply(stream, 200, "content-type: application/json\r\n", text.into()))
            .await;
    succeeded(&ended, &seen, &serde_json::json!(text).to_string());
}

#[tokio::test]
async fn json_that_is_nested_without_bound_is_text() {
    let deep = "[".repeat(500_000) + &"]".repeat(500_000);
    let (ended, seen) =
        oddly("response.body.startsWith('[[')", move |stream| reply(stream, 200, "", deep.clone().into())).await;
    succeeded(&ended, &seen, "true");
}

#[tokio::test]
async fn a_body_that_is_no_utf8_is_null() {
    let (ended, seen) =
        oddly("response.body == null", |stream| reply(stream, 200, "", b"{\"id\": \"\xff\xfe\"}".to_vec())).await;
    succeeded(&ended, &seen, "true");
}

#[tokio::test]
async fn an_output_of_a_body_that_has_none_turns_the_run_and_the_step_is_undone() {
    let (ended, seen) = oddly("response.body.id", |stream| reply(stream, 200, "", b"[]".to_vec())).await;
    assert_eq!(ended.said.code, Some(1), "{}{}", ended.said.out, ended.said.err);
    assert_eq!((ended.run.stored.end, ended.failure()), (Some(End::Compensated), Some(Reason::ExpressionError)));
    assert_eq!(lines(&seen), ["POST /a", "POST /undo"]);
    assert_eq!(seen[1].header("saga-forward-outcome"), Some("succeeded"));
}

#[tokio::test]
async fn an_output_that_is_too_large_turns_the_run_and_the_step_is_undone() {
    let long = format!("\"{}\"", "x".repeat(1025));
    let (ended, seen) = oddly("response.body", move |stream| reply(stream, 200, "", long.clone().into())).await;
    assert_eq!(ended.said.code, Some(1), "{}{}", ended.said.out, ended.said.err);
    assert_eq!((ended.run.stored.end, ended.failure()), (Some(End::Compensated), Some(Reason::OutputTooLarge)));
    assert!(ended.message().contains("'made'") && !ended.message().contains("xxx"), "{}", ended.message());
    assert_eq!(lines(&seen), ["POST /a", "POST /undo"]);
    assert_eq!(seen[1].header("saga-forward-outcome"), Some("succeeded"));
}

#[tokio::test]
async fn a_redirect_is_refused_and_never_followed() {
    let canary = Canary::start().await;
    for status in [300, 301, 302, 303, 307, 308] {
        let location = format!("location: http://127.0.0.1:{}/\r\n", canary.port);
        let (ended, seen) = oddly("response.status", move |stream| {
            let location = location.clone();
            async move { reply(stream, status, &location, Vec::new()).await }
        })
        .await;
        in_doubt(&ended, &seen, Reason::RedirectRefused, Reason::RedirectRefused, 1);
    }
    assert_eq!(canary.connections().await, 0);
}

#[tokio::test]
async fn a_redirected_compensation_is_asked_again_where_it_was() {
    let canary = Canary::start().await;
    let location = format!("location: http://127.0.0.1:{}/\r\n", canary.port);
    let server = Server::start(move |number, request, stream| {
        let (status, headers) = match (request.line.as_str(), number) {
            ("POST /a", _) => (200, String::new()),
            ("POST /b", _) => (400, String::new()),
            (_, 2) => (307, location.clone()),
            _ => (200, String::new()),
        };
        Box::pin(async move { reply(stream, status, &headers, Vec::new()).await })
    })
    .await;
    let ended = order(&steps(server.port, "response.status"), "", &serde_json::json!({})).await;
    assert_eq!(ended.said.code, Some(1), "{}{}", ended.said.out, ended.said.err);
    assert_eq!(ended.run.stored.end, Some(End::Compensated));
    assert_eq!(lines(&server.seen()), ["POST /a", "POST /b", "POST /undo", "POST /undo"]);
    assert_eq!(canary.connections().await, 0);
}
