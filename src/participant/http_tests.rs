//! `HttpParticipant` against servers that behave and servers that do not.

use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::credentials::{SecretValue, StaticCredentials};
use super::{Clock, Credentials, HttpOptions, HttpParticipant, Participant as _, Policy};
use crate::api::Reason;
use crate::api::definition::{Method, SecretKeyRef};
use crate::api::run::Direction;
use crate::journal::Persisted;
use crate::saga::{
    Answer, CallId, Fence, ForwardOutcome, HeaderValue, IdempotencyKey, Identity, Intent, Request, Response,
};

/// What a server saw.
#[derive(Default)]
pub(super) struct Seen {
    pub(super) connections: AtomicUsize,
    pub(super) requests: Mutex<Vec<String>>,
}

impl Seen {
    pub(super) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    pub(super) fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }
}

/// One connection of a server, numbered from 1.
pub(super) struct Peer {
    pub(super) stream: TcpStream,
    pub(super) number: usize,
    seen: Arc<Seen>,
}

impl Peer {
    /// Reads one request with its body.
    pub(super) async fn request(&mut self) -> Option<String> {
        let mut bytes = Vec::new();
        let wanted = |bytes: &[u8]| {
            let text = String::from_utf8_lossy(bytes).into_owned();
            let head = text.find("\r\n\r\n")? + 4;
            let length = text.lines().find_map(|line| line.strip_prefix("content-length: "));
            Some(head + length.map_or(0, |length| length.parse().unwrap()))
        };
        while wanted(&bytes).is_none_or(|wanted| bytes.len() < wanted) {
            if self.stream.read_buf(&mut bytes).await.ok()? == 0 {
                return None;
            }
        }
        let text = String::from_utf8(bytes).unwrap();
        self.seen.requests.lock().unwrap().push(text.clone());
        Some(text)
    }

    pub(super) async fn write(&mut self, bytes: impl AsRef<[u8]>) {
        // The client may have gone already.
        let _ = self.stream.write_all(bytes.as_ref()).await;
    }

    /// Keeps the connection open until the client closes it.
    pub(super) async fn linger(&mut self) {
        let mut rest = [0; 1024];
        while self.stream.read(&mut rest).await.is_ok_and(|read| read > 0) {}
    }
}

pub(super) async fn serve<F, R>(behaviour: F) -> (SocketAddr, Arc<Seen>)
where
    F: Fn(Peer) -> R + Send + Sync + 'static,
    R: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let seen = Arc::new(Seen::default());
    let counted = seen.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let number = counted.connections.fetch_add(1, Ordering::SeqCst) + 1;
            tokio::spawn(behaviour(Peer { stream, number, seen: counted.clone() }));
        }
    });
    (address, seen)
}

/// Answers every request on every connection with the same bytes.
async fn answering(answer: impl Into<Vec<u8>>) -> (SocketAddr, Arc<Seen>) {
    let answer = Arc::new(answer.into());
    serve(move |mut peer| {
        let answer = answer.clone();
        async move {
            while peer.request().await.is_some() {
                peer.write(&*answer).await;
            }
        }
    })
    .await
}

fn ok(body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

pub(super) struct Caller {
    pub(super) participant: Arc<HttpParticipant>,
    clock: Clock,
}

impl Caller {
    pub(super) fn new() -> Self {
        Self::with(StaticCredentials::default(), HttpOptions::default())
    }

    pub(super) fn with(credentials: impl Credentials, options: HttpOptions) -> Self {
        Self::under(Policy::local(), credentials, options)
    }

    pub(super) fn under(policy: Policy, credentials: impl Credentials, options: HttpOptions) -> Self {
        let clock = Clock::start();
        let participant = HttpParticipant::new(Arc::new(policy), Arc::new(credentials), clock, options).unwrap();
        Self { participant: Arc::new(participant), clock }
    }

    pub(super) fn intent(&self, url: &str) -> Intent {
        Intent {
            run: Arc::new(Identity {
                namespace: "shop".into(),
                name: "order-1".into(),
                uid: "3f1c0e6a-7d52-4c0b-9a53-5a3a0f3f9d11".into(),
            }),
            call: CallId::forward(0),
            step: "reserve".into(),
            attempt: 1,
            fence: Fence(7),
            key: IdempotencyKey::new("3f1c0e6a-7d52-4c0b-9a53-5a3a0f3f9d11", "reserve", Direction::Forward, 1),
            request: Arc::new(Request {
                method: Method::Post,
                url: url.to_owned(),
                headers: vec![],
                body: Some(br#"{"a":1}"#.to_vec()),
            }),
            timeout: Duration::from_secs(60),
            not_before: None,
            deadline: "2026-01-02T03:04:05.678Z".parse().unwrap(),
            expires: self.clock.now().monotonic.after(Duration::from_secs(120)),
            forward_outcome: None,
        }
    }

    pub(super) async fn send(&self, intent: Intent) -> Answer {
        self.participant.call(Persisted::assumed(intent)).await
    }

    pub(super) async fn call(&self, url: &str) -> Answer {
        self.send(self.intent(url)).await
    }

    /// For what takes its time: a short timeout, never measured.
    async fn call_briefly(&self, address: SocketAddr) -> Answer {
        let mut intent = self.intent(&format!("http://{address}/"));
        intent.timeout = Duration::from_millis(300);
        self.send(intent).await
    }
}

pub(super) fn response(answer: Answer) -> Response {
    match answer {
        Answer::Response(response) => response,
        Answer::Lost { .. } | Answer::NotSent { .. } => panic!("a response was expected, not {answer:?}"),
    }
}

pub(super) fn not_sent(answer: Answer) -> (Reason, String) {
    match answer {
        Answer::NotSent { reason, message } => (reason, message),
        Answer::Response(_) | Answer::Lost { .. } => panic!("nothing should have been sent: {answer:?}"),
    }
}

fn lost(answer: Answer) -> Reason {
    match answer {
        Answer::Lost { reason, .. } => reason,
        Answer::Response(_) | Answer::NotSent { .. } => panic!("the answer should be lost: {answer:?}"),
    }
}

fn with_headers(mut intent: Intent, headers: &[(&str, HeaderValue)]) -> Intent {
    let mut request = (*intent.request).clone();
    request.headers = headers.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
    intent.request = Arc::new(request);
    intent
}

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
async fn a_reset_after_reading_is_lost_and_not_sent_again() {
    let (address, seen) = serve(|mut peer| async move {
        peer.request().await;
        peer.stream.set_zero_linger().unwrap();
    })
    .await;
    let caller = Caller::new();
    for _ in 0..5 {
        assert_eq!(lost(caller.call(&format!("http://{address}/")).await), Reason::ConnectionFailed);
    }
    assert_eq!(seen.requests().len(), 5);
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

#[tokio::test]
async fn connections_are_used_again_and_one_that_was_closed_costs_no_doubt() {
    // Every connection serves two requests and is closed by the server in silence.
    let (address, seen) = serve(|mut peer| async move {
        for _ in 0..2 {
            if peer.request().await.is_none() {
                return;
            }
            peer.write(ok("{}")).await;
        }
    })
    .await;
    let caller = Caller::new();
    let mut lost = 0;
    for sent in 1..=20 {
        lost += match caller.call(&format!("http://{address}/")).await {
            Answer::Response(_) => 0,
            // On a slow machine the request may be faster than the news of the close.
            Answer::Lost { .. } => 1,
            Answer::NotSent { message, .. } => panic!("{message}"),
        };
        assert!(seen.requests().len() <= sent && seen.requests().len() + lost >= sent);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!((10..20).contains(&seen.connections()), "{}", seen.connections());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wire_requests_never_exceed_attempts_when_idle_connections_close_at_any_time() {
    let (address, seen) = serve(|mut peer| async move {
        while peer.request().await.is_some() {
            peer.write(ok("{}")).await;
            // Some close at once, some a little later, some never.
            if peer.number % 3 < 2 {
                tokio::time::sleep(Duration::from_micros((peer.number as u64 % 7) * 150)).await;
                return;
            }
        }
    })
    .await;
    let caller = Arc::new(Caller::new());
    let (mut answered, mut lost, mut unsent) = (0, 0, 0);
    for _ in 0..60 {
        let calls = (0..5).map(|_| {
            let caller = caller.clone();
            tokio::spawn(async move { caller.call(&format!("http://{address}/")).await })
        });
        for answer in futures::future::join_all(calls).await {
            match answer.unwrap() {
                Answer::Response(_) => answered += 1,
                Answer::Lost { .. } => lost += 1,
                Answer::NotSent { .. } => unsent += 1,
            }
        }
    }
    assert_eq!(answered + lost + unsent, 300);
    assert_eq!(unsent, 0);
    // A lost one may have been read by the server or not.
    let seen = seen.requests().len();
    assert!((answered..=answered + lost).contains(&seen), "{seen} on the wire, {answered} answered, {lost} lost");
}

#[tokio::test]
async fn an_early_answer_on_an_idle_connection_is_nobodys() {
    // The second answer was not asked for.
    let (address, seen) = answering(ok("1") + &ok("2")).await;
    let caller = Caller::new();
    for sent in 1..=3 {
        assert_eq!(response(caller.call(&format!("http://{address}/")).await).body, json!(1));
        tokio::time::sleep(Duration::from_millis(20)).await;
        assert_eq!((seen.requests().len(), seen.connections()), (sent, sent));
    }
}

#[tokio::test]
async fn one_that_hangs_takes_no_more_than_its_share() {
    let (hanging, seen) = serve(|mut peer| async move {
        peer.request().await;
        peer.linger().await;
    })
    .await;
    let (healthy, _) = answering(ok("{}")).await;
    let options = HttpOptions { calls_per_origin: 2, ..HttpOptions::default() };
    let caller = Arc::new(Caller::with(StaticCredentials::default(), options));
    let held: Vec<_> = (0..2)
        .map(|_| {
            let caller = caller.clone();
            tokio::spawn(async move { caller.call(&format!("http://{hanging}/")).await })
        })
        .collect();
    while seen.requests().len() < 2 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let (reason, message) = not_sent(caller.call_briefly(hanging).await);
    assert_eq!(reason, Reason::ConnectionFailed);
    assert!(message.contains("too many calls"), "{message}");
    assert_eq!(response(caller.call(&format!("http://{healthy}/")).await).status, 200);
    assert_eq!(seen.requests().len(), 2);
    held.iter().for_each(tokio::task::JoinHandle::abort);
}

fn secret(name: &str, key: &str) -> HeaderValue {
    HeaderValue::Secret(SecretKeyRef { name: name.into(), key: key.into() })
}

#[tokio::test]
async fn secrets_are_read_when_sending_and_shown_nowhere() {
    const CANARY: &str = "canary-6b1f09";
    let (address, seen) = answering(ok("{}")).await;
    let credentials = StaticCredentials::default()
        .with("api", "token", SecretValue::new(CANARY))
        .with("api", "newline", SecretValue::new(format!("{CANARY}\n")))
        .with("api", "binary", SecretValue::new([CANARY.as_bytes(), b"\xff\0"].concat()));
    let shown = format!("{credentials:?} {:?}", SecretValue::new(CANARY));
    assert!(shown.contains("redacted") && !shown.contains(CANARY), "{shown}");
    let caller = Caller::with(credentials, HttpOptions::default());
    let intent =
        |name: &str, value: HeaderValue| with_headers(caller.intent(&format!("http://{address}/")), &[(name, value)]);

    response(caller.send(intent("Authorization", secret("api", "token"))).await);
    assert!(seen.requests()[0].contains(&format!("\r\nauthorization: {CANARY}\r\n")));
    for (name, value, reason, named) in [
        ("Authorization", secret("api", "other"), Reason::SecretNotFound, "'other'"),
        ("Authorization", secret("nothing", "token"), Reason::SecretNotFound, "'nothing'"),
        ("Authorization", secret("api", "newline"), Reason::Unrenderable, "newline"),
        ("Authorization", secret("api", "binary"), Reason::Unrenderable, "printable"),
        ("X-A", HeaderValue::Literal(format!("{CANARY}\r\nX-B: c")), Reason::Unrenderable, "X-A"),
        ("Host", HeaderValue::Literal(CANARY.into()), Reason::Unrenderable, "reserved"),
        ("saga-fence", HeaderValue::Literal(CANARY.into()), Reason::Unrenderable, "reserved"),
        ("a b", HeaderValue::Literal(CANARY.into()), Reason::Unrenderable, "token"),
    ] {
        let (found, message) = not_sent(caller.send(intent(name, value)).await);
        assert_eq!(found, reason, "{message}");
        assert!(message.contains(named) && !message.contains(CANARY), "{message}");
    }
    assert_eq!(seen.requests().len(), 1);
}

#[tokio::test]
async fn a_name_with_one_bad_address_is_refused_and_a_good_one_is_pinned() {
    struct Table(Mutex<Vec<Vec<IpAddr>>>);
    impl super::resolve::Lookup for Table {
        fn lookup<'a>(&'a self, name: &'a str) -> futures::future::BoxFuture<'a, std::io::Result<Vec<IpAddr>>> {
            assert_eq!(name, "pay.shop.svc.cluster.local.");
            let mut answers = self.0.lock().unwrap();
            let answer = if answers.len() > 1 { answers.remove(0) } else { answers[0].clone() };
            Box::pin(std::future::ready(Ok(answer)))
        }
    }
    let (canary, seen) = answering(ok("{}")).await;
    for bad in ["127.0.0.1", "169.254.169.254", "::1", "::ffff:127.0.0.1", "0.0.0.0", "10.96.0.1"] {
        let api_server = "10.96.0.1".parse::<IpAddr>().unwrap();
        let policy = Policy::cluster(vec![], "cluster.local", [api_server], super::Loopback::Refused);
        let answers = vec![vec!["192.0.2.1".parse().unwrap(), bad.parse().unwrap()]];
        let clock = Clock::start();
        let credentials = Arc::new(StaticCredentials::default());
        let participant = HttpParticipant::new(Arc::new(policy), credentials, clock, HttpOptions::default())
            .unwrap()
            .with_lookup(Arc::new(Table(Mutex::new(answers))));
        let caller = Caller { participant: Arc::new(participant), clock };
        let (reason, message) = not_sent(caller.call(&format!("http://pay:{}/", canary.port())).await);
        assert_eq!(reason, Reason::DestinationNotAllowed, "{bad}: {message}");
        assert!(message.contains("pay:"), "{message}");
    }
    assert_eq!(seen.connections(), 0);
}
