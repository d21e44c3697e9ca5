//! `HttpParticipant` against servers that behave and servers that do not: one request, one answer.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;
use std::time::Duration;

use serde_json::Value;
use serde_json::json;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpListener;

use super::harness::{Caller, answering, lost, not_sent, ok, response, serve, with_headers};
use crate::api::Reason;
use crate::api::definition::Method;
use crate::api::run::Direction;
use crate::clock::Clock;
use crate::election::Claim;
use crate::saga::CallId;
use crate::saga::Fence;
use crate::saga::ForwardOutcome;
use crate::saga::HeaderValue;
use crate::saga::Request;

#[tokio::test]
async fn a_request_carries_what_the_contract_says() {
    let (address, seen) = answering(ok("{}")).await;
    let caller = Caller::new();
    let mut intent = caller.intent(&format!("http://{address}/v1/reservations?dry=a%20b"));
    intent.attempt = 3;
    intent = with_headers(intent, &[("X-Shop", HeaderValue::Literal("main street".into()))]);
    response(caller.send(intent).await);
    let mut intent = caller.intent(&format!("http://{address}"));
    intent.call = CallId::compensate(0);
    intent.forward_outcome = Some(ForwardOutcome::Unknown);
    intent.request =
        Arc::new(Request { method: Method::Delete, url: format!("http://{address}"), headers: vec![], body: None });
    response(caller.send(intent).await);

    let seen = seen.requests();
    let mut lines: Vec<_> = seen[0].split("\r\n").map(|line| line.replace(&address.to_string(), "HOST")).collect();
    lines[1..].sort();
    let version = env!("CARGO_PKG_VERSION");
    let span = super::wire::span_id("3f1c0e6a-7d52-4c0b-9a53-5a3a0f3f9d11", "reserve", Direction::Forward, 3, Fence(7));
    let mut expected = vec![
        "POST /v1/reservations?dry=a%20b HTTP/1.1".to_owned(),
        "accept-encoding: identity".into(),
        "accept: application/json, */*;q=0.1".into(),
        "content-length: 7".into(),
        "content-type: application/json".into(),
        "host: HOST".into(),
        "idempotency-key: \"3f1c0e6a-7d52-4c0b-9a53-5a3a0f3f9d11/reserve/forward\"".into(),
        "saga-attempt: 3".into(),
        "saga-deadline: 2026-01-02T03:04:05.678Z".into(),
        "saga-direction: forward".into(),
        "saga-fence: 7".into(),
        "saga-run-uid: 3f1c0e6a-7d52-4c0b-9a53-5a3a0f3f9d11".into(),
        "saga-run: shop/order-1".into(),
        "saga-step: reserve".into(),
        format!("traceparent: 00-3f1c0e6a7d524c0b9a535a3a0f3f9d11-{span}-01"),
        format!("user-agent: saga-operator/{version}"),
        "x-shop: main street".into(),
        String::new(),
        r#"{"a":1}"#.into(),
    ];
    expected[1..].sort();
    assert_eq!(lines, expected);

    assert!(seen[1].starts_with("DELETE / HTTP/1.1\r\n"), "{}", seen[1]);
    assert!(seen[1].contains("\r\nsaga-direction: compensate\r\n"));
    assert!(seen[1].contains("\r\nsaga-forward-outcome: unknown\r\n"));
    assert!(!seen[1].contains("content-type") && seen[1].ends_with("\r\n\r\n"), "{}", seen[1]);
}

#[tokio::test]
async fn an_answer_is_read_as_it_is() {
    for (answer, status, body) in [
        (ok(r#"{"id":"r-1"}"#), 200, json!({"id": "r-1"})),
        ("HTTP/1.1 201 Created\r\nContent-Type: text/html\r\nContent-Length: 2\r\n\r\n17".into(), 201, json!(17)),
        (ok("plain"), 200, json!("plain")),
        (ok(r#"{"id":"#), 200, json!(r#"{"id":"#)),
        (ok(""), 200, Value::Null),
        ("HTTP/1.1 204 No Content\r\n\r\n".into(), 204, Value::Null),
        (
            "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n".to_owned() + &ok("1"),
            200,
            json!(1),
        ),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n".into(), 200, json!({})),
        ("HTTP/1.1 599 Odd\r\nContent-Length: 0\r\n\r\n".into(), 599, Value::Null),
        ("HTTP/1.1 429 Too Many\r\nRetry-After: 7\r\nContent-Length: 0\r\n\r\n".into(), 429, Value::Null),
    ] {
        let (address, seen) = answering(answer).await;
        let found = response(Caller::new().call(&format!("http://{address}/")).await);
        assert_eq!((found.status, &found.body), (status, &body));
        assert_eq!(found.retry_after, (status == 429).then_some(Duration::from_secs(7)));
        assert_eq!(seen.requests().len(), 1);
    }
}

#[tokio::test]
async fn headers_are_lower_case_and_joined() {
    let head =
        "HTTP/1.1 200 OK\r\nX-One: a\r\nx-one: b\r\nETag: \"v\"\r\nX-Odd: caf\u{e9}\r\nContent-Length: 0\r\n\r\n";
    let (address, _) = answering(head).await;
    let headers = response(Caller::new().call(&format!("http://{address}/")).await).headers;
    assert_eq!(headers["x-one"], "a, b");
    assert_eq!(headers["etag"], "\"v\"");
    assert_eq!(headers["x-odd"], "caf\u{e9}");
}

#[tokio::test]
async fn a_status_line_is_an_answer_whatever_becomes_of_the_body() {
    for (head, piece, pause) in [
        ("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n", &b""[..], false),
        ("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n", b"{\"a\"", false),
        ("HTTP/1.1 503 No\r\nContent-Length: 10\r\n\r\n", b"x", false),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"zz\r\n", false),
        ("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n", b"\xff\xfe\xfd", true),
        ("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n", b"{", true),
    ] {
        let (address, seen) = serve(move |mut peer| async move {
            peer.request().await;
            peer.write(head).await;
            peer.write(piece).await;
            if pause {
                peer.linger().await;
            }
        })
        .await;
        let found = response(Caller::new().call_briefly(address).await);
        assert_eq!(found.body, Value::Null, "{head:?} {piece:?}");
        assert_eq!(found.status, if head.contains("503") { 503 } else { 200 });
        assert_eq!(seen.requests().len(), 1);
    }
}

#[tokio::test]
async fn a_body_that_trickles_or_never_ends_is_cut() {
    for whole in [false, true] {
        let (address, _) = serve(move |mut peer| async move {
            peer.request().await;
            peer.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").await;
            let chunk = "x".repeat(if whole { 0x1000 } else { 1 });
            loop {
                let bytes = format!("{:x}\r\n{chunk}\r\n", chunk.len());
                if peer.stream.write_all(bytes.as_bytes()).await.is_err() {
                    return;
                }
                if !whole {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
        })
        .await;
        assert_eq!(response(Caller::new().call_briefly(address).await).body, Value::Null);
    }
}

#[tokio::test]
async fn more_than_one_mebibyte_is_not_read() {
    let written = Arc::new(AtomicUsize::new(0));
    for declared in [true, false] {
        let counter = written.clone();
        let (address, seen) = serve(move |mut peer| {
            let counter = counter.clone();
            async move {
                peer.request().await;
                let head = if declared { "Content-Length: 1073741824\r\n" } else { "Connection: close\r\n" };
                peer.write(format!("HTTP/1.1 200 OK\r\n{head}\r\n")).await;
                let block = vec![b' '; 64 * 1024];
                for _ in 0..16 * 1024 {
                    if peer.stream.write_all(&block).await.is_err() {
                        return;
                    }
                    counter.fetch_add(block.len(), Ordering::SeqCst);
                }
            }
        })
        .await;
        let found = response(Caller::new().call(&format!("http://{address}/")).await);
        assert_eq!((found.status, found.body), (200, Value::Null));
        assert_eq!(seen.requests().len(), 1);
    }
    // What the kernel's buffers take is not ours.
    assert!(written.load(Ordering::SeqCst) < 64 * 1024 * 1024);
    let (address, _) = answering(ok(&format!("\"{}\"", "x".repeat(1024 * 1024 - 2)))).await;
    let found = response(Caller::new().call(&format!("http://{address}/")).await);
    assert_eq!(found.body.as_str().unwrap().len(), 1024 * 1024 - 2);
}

#[tokio::test]
async fn without_a_status_line_the_answer_is_lost() {
    let many: String = (0..200).map(|n| format!("X-{n}: y\r\n")).collect();
    let large = format!("X: {}\r\n", "y".repeat(128 * 1024));
    for answer in [
        String::new(),
        "HTTP/1.1 20".into(),
        "HTTP/1.1 200 OK\r\nContent-Le".into(),
        "SSH-2.0-OpenSSH_9.9\r\n".into(),
        "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\r\n\r\n".into(),
        format!("HTTP/1.1 200 OK\r\n{many}\r\n"),
        format!("HTTP/1.1 200 OK\r\n{large}\r\n"),
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab".into(),
    ] {
        let shown: String = answer.chars().take(60).collect();
        let (address, seen) = serve(move |mut peer| {
            let answer = answer.clone();
            async move {
                peer.request().await;
                peer.write(answer).await;
            }
        })
        .await;
        assert_eq!(lost(Caller::new().call(&format!("http://{address}/")).await), Reason::ConnectionFailed, "{shown}");
        assert_eq!(seen.requests().len(), 1, "{shown}");
    }
}

#[tokio::test]
async fn no_answer_in_time_is_lost() {
    for head in ["", "HTTP/1.1 100 Continue\r\n\r\n", "HTTP/1.1 200"] {
        let (address, seen) = serve(move |mut peer| async move {
            peer.request().await;
            peer.write(head).await;
            peer.linger().await;
        })
        .await;
        assert_eq!(lost(Caller::new().call_briefly(address).await), Reason::Timeout);
        assert_eq!(seen.requests().len(), 1);
    }
}

#[tokio::test]
async fn a_refused_connection_or_handshake_is_not_sent() {
    let unused = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let (reason, message) = not_sent(Caller::new().call(&format!("http://{unused}/")).await);
    assert_eq!(reason, Reason::ConnectionFailed);
    assert!(message.contains(&unused.to_string()), "{message}");
    // TLS spoken to a server without.
    let (address, seen) = answering("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n").await;
    let mut intent = Caller::new().intent(&format!("https://{address}/"));
    intent.timeout = Duration::from_millis(500);
    assert_eq!(not_sent(Caller::new().send(intent).await).0, Reason::ConnectionFailed);
    assert_eq!(seen.requests().len(), 0);
    let (reason, _) = not_sent(Caller::new().call("http://no-such-name.invalid/").await);
    assert_eq!(reason, Reason::ConnectionFailed);
}

#[tokio::test]
async fn nothing_is_sent_by_a_process_that_does_not_lead() {
    let (address, seen) = answering(ok("{}")).await;
    let caller = Caller::new();
    let intent = caller.intent(&format!("http://{address}/"));
    let answer = caller.send_under(&Claim::vain(Clock::start()), intent).await;
    let (reason, message) = not_sent(answer);
    assert_eq!(reason, Reason::ConnectionFailed);
    assert!(message.contains("does not lead"), "{message}");
    assert_eq!(seen.requests().len(), 0);
}

#[tokio::test]
async fn nothing_is_sent_after_expiry() {
    let (address, seen) = answering(ok("{}")).await;
    let caller = Caller::new();
    let mut intent = caller.intent(&format!("http://{address}/"));
    intent.expires = caller.clock.now().monotonic;
    assert_eq!(not_sent(caller.send(intent).await).0, Reason::Timeout);
    assert_eq!(seen.connections(), 0);
}

#[tokio::test]
async fn redirects_are_answers() {
    let (other, canary) = answering(ok("{}")).await;
    for status in [300, 301, 302, 303, 307, 308] {
        for place in [format!("http://{other}/"), "/elsewhere".to_owned(), "ftp://example.com/".to_owned()] {
            let answer = format!("HTTP/1.1 {status} Go\r\nLocation: {place}\r\nContent-Length: 0\r\n\r\n");
            let (address, seen) = answering(answer).await;
            let found = response(Caller::new().call(&format!("http://{address}/")).await);
            assert_eq!((found.status, found.headers["location"].as_str()), (status, place.as_str()));
            assert_eq!(seen.requests().len(), 1);
        }
    }
    assert_eq!(canary.connections(), 0);
}
