//! For tests: servers made of raw sockets, and a caller.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::credentials::StaticCredentials;
use super::{Clock, Credentials, HttpOptions, HttpParticipant, Participant as _, Policy};
use crate::api::Reason;
use crate::api::definition::Method;
use crate::api::run::Direction;
use crate::election::Claim;
use crate::journal::Persisted;
use crate::saga::{Answer, CallId, Fence, HeaderValue, IdempotencyKey, Identity, Intent, Request, Response};

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
pub(super) async fn answering(answer: impl Into<Vec<u8>>) -> (SocketAddr, Arc<Seen>) {
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

pub(super) fn ok(body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

pub(super) struct Caller {
    pub(super) participant: Arc<HttpParticipant>,
    pub(super) clock: Clock,
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

    /// Its intents expire in two minutes on a clock of their own, that of `participant` being younger.
    pub(super) fn around(participant: HttpParticipant) -> Self {
        Self { participant: Arc::new(participant), clock: Clock::start() }
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
        self.send_under(&Claim::unelected(), intent).await
    }

    pub(super) async fn send_under(&self, claim: &Claim, intent: Intent) -> Answer {
        self.participant.call(Persisted::assumed(intent), claim).await
    }

    pub(super) async fn call(&self, url: &str) -> Answer {
        self.send(self.intent(url)).await
    }

    /// For what takes its time: a short timeout, never measured.
    pub(super) async fn call_briefly(&self, address: SocketAddr) -> Answer {
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

pub(super) fn lost(answer: Answer) -> Reason {
    match answer {
        Answer::Lost { reason, .. } => reason,
        Answer::Response(_) | Answer::NotSent { .. } => panic!("the answer should be lost: {answer:?}"),
    }
}

pub(super) fn with_headers(mut intent: Intent, headers: &[(&str, HeaderValue)]) -> Intent {
    let mut request = (*intent.request).clone();
    request.headers = headers.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
    intent.request = Arc::new(request);
    intent
}
