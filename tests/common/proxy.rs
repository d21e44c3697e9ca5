//! A reverse proxy before the API server or before participants, which can lose, refuse, delay and forge what passes.
//!
//! Plain HTTP towards the operator; TLS and the operator's token towards the API server. Watches pass as they come, or line
//! by line as a [`Filter`] wishes.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode, header};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use super::operator::Access;
use super::watched::{Fate, Filter, Sieve, filtered};

type Upstream = Client<HttpsConnector<HttpConnector>, Full<Bytes>>;
type Answer = Response<UnsyncBoxBody<Bytes, hyper::Error>>;
type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Time for an answer to get from a socket's buffer into the operator's hands.
const PASSED: Duration = Duration::from_millis(3);

/// A request of the operator.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    /// From 0, among all requests.
    pub(crate) number: usize,
    pub(crate) method: String,
    /// Without the query.
    pub(crate) path: String,
    pub(crate) query: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    /// When it came.
    pub(crate) asked: Instant,
    /// What the server said and when, whether the operator heard of it or not.
    pub(crate) served: Option<Served>,
    /// What the operator was answered; `None`: nothing.
    pub(crate) status: Option<u16>,
}

/// What a server said.
#[derive(Clone, Debug)]
pub(crate) struct Served {
    pub(crate) status: u16,
    pub(crate) at: Instant,
    /// `metadata.resourceVersion` in the answer to a write.
    pub(crate) version: Option<String>,
}

impl Seen {
    /// A write that is stored on a run.
    pub(crate) fn is_run_write(&self) -> bool {
        self.method != "GET" && self.path.contains("/sagaruns/")
    }

    /// A write that is stored, Events apart.
    pub(crate) fn is_write(&self) -> bool {
        self.method != "GET" && !self.path.ends_with("/events") && !self.path.contains("/events/")
    }

    /// A write that the server took.
    pub(crate) fn landed(&self) -> Option<&Served> {
        self.served.as_ref().filter(|served| (200..300).contains(&served.status))
    }

    /// A header as text.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// A read of exactly one run.
    pub(crate) fn is_run_read(&self) -> bool {
        self.method == "GET" && self.path.contains("/sagaruns/")
    }

    /// The body.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}

/// Where a request is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// The operator sent it; the server does not know of it.
    Asked,
    /// The server answered; the operator does not know of it.
    Answered,
    /// The operator has the answer. What the hook says is of no more use.
    Passed,
}

/// What becomes of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Pass,
    /// The same after a while.
    Later(Duration),
    /// The same when the test says so.
    Held,
    /// The operator gets this answer.
    Answer(u16),
    /// The operator gets none.
    Drop,
    /// The operator is shown what was there at an earlier version. Only of use for a list that is [`Stage::Asked`].
    AsOf(u64),
    /// The operator gets none, and the server gets the request after a while. Only of use when it is [`Stage::Asked`].
    Stray(Duration),
}

type Hook = Arc<dyn Fn(&Seen, Stage) -> Verdict + Send + Sync>;

/// The proxy; it ends when dropped.
pub(crate) struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    server: JoinHandle<()>,
}

struct Shared {
    /// `http://HOST:PORT` or `https://HOST:PORT`
    server: String,
    token: Option<String>,
    upstream: Upstream,
    hook: Mutex<Option<Hook>>,
    sieve: Mutex<Option<Sieve>>,
    seen: Mutex<Vec<Seen>>,
    gate: Notify,
}

impl Proxy {
    /// Before the API server.
    pub(crate) async fn start(access: &Access) -> Self {
        Self::before(access.server.clone(), &access.authorities, Some(access.token.clone())).await
    }

    /// Before participants at `http://HOST:PORT`.
    pub(crate) async fn before_participants(base_url: String) -> Self {
        Self::before(base_url, &[], None).await
    }

    async fn before(server: String, authorities: &[Vec<u8>], token: Option<String>) -> Self {
        let mut roots = rustls::RootCertStore::empty();
        for authority in authorities {
            roots.add(authority.clone().into()).expect("a certificate");
        }
        let tls = rustls::ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
        let connector = hyper_rustls::HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_http1();
        let upstream = Client::builder(TokioExecutor::new()).build(connector.build());
        let (hook, sieve, seen, gate) = Default::default();
        let shared = Arc::new(Shared { server, token, upstream, hook, sieve, seen, gate });
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let server = tokio::spawn(serve(listener, shared.clone()));
        Self { address, shared, server }
    }

    /// `http://HOST:PORT`
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// From now on this hook is asked at every stage of every request.
    pub(crate) fn hook(&self, hook: impl Fn(&Seen, Stage) -> Verdict + Send + Sync + 'static) {
        *self.shared.hook.lock().expect("not poisoned") = Some(Arc::new(hook));
    }

    /// From now on everything passes.
    pub(crate) fn unhook(&self) {
        *self.shared.hook.lock().expect("not poisoned") = None;
    }

    /// From now on watches that begin are read line by line, and each event asks this filter. One filter a proxy.
    pub(crate) fn filter(&self, filter: Filter) {
        *self.shared.sieve.lock().expect("not poisoned") = Some(Sieve::Looks(filter));
    }

    /// The same for a filter that does not look at events.
    pub(crate) fn filter_blindly(&self, filter: impl Fn() -> Fate + Send + Sync + 'static) {
        *self.shared.sieve.lock().expect("not poisoned") = Some(Sieve::Blind(Arc::new(filter)));
    }

    /// Lets a request or an answer go on that was held.
    pub(crate) fn let_go(&self) {
        self.shared.gate.notify_one();
    }

    /// Sends a request again as it came. Returns the answer's status.
    pub(crate) async fn replay(&self, seen: &Seen) -> u16 {
        let answer = self.shared.forward(seen).await.expect("an answer");
        answer.status().as_u16()
    }

    /// All requests so far, in order.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.shared.seen.lock().expect("not poisoned").clone()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    // With the proxy its connections end.
    let mut connections = tokio::task::JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let shared = shared.clone();
        connections.spawn(async move {
            let service = hyper::service::service_fn(move |request| take(shared.clone(), request));
            // A dropped connection is what some tests want.
            let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

fn lost(what: &str) -> Result<Answer, Failure> {
    Err(Failure::from(what))
}

/// A request takes its course also when the operator that sent it is gone.
async fn take(shared: Arc<Shared>, request: Request<Incoming>) -> Result<Answer, Failure> {
    tokio::spawn(handle(shared, request)).await?
}

async fn handle(shared: Arc<Shared>, request: Request<Incoming>) -> Result<Answer, Failure> {
    let asked = Instant::now();
    let (parts, body) = request.into_parts();
    let mut seen = Seen {
        number: 0,
        method: parts.method.to_string(),
        path: parts.uri.path().to_owned(),
        query: parts.uri.query().unwrap_or_default().to_owned(),
        headers: parts.headers,
        body: body.collect().await?.to_bytes(),
        asked,
        served: None,
        status: None,
    };
    {
        let mut all = shared.seen.lock().expect("not poisoned");
        seen.number = all.len();
        all.push(seen.clone());
    }
    match shared.ask(&seen, Stage::Asked) {
        Verdict::Pass => {}
        Verdict::Later(wait) => tokio::time::sleep(wait).await,
        Verdict::Held => shared.gate.notified().await,
        Verdict::Answer(status) => return Ok(shared.forged(&seen, status)),
        Verdict::Drop => return lost("the request is lost"),
        Verdict::AsOf(version) => {
            seen.query = format!("{}&resourceVersion={version}&resourceVersionMatch=Exact", seen.query);
        }
        Verdict::Stray(wait) => {
            tokio::spawn(async move {
                tokio::time::sleep(wait).await;
                // The test may be over.
                let _ = shared.forward(&seen).await;
            });
            return lost("the request goes astray");
        }
    }
    let answer = shared.forward(&seen).await?;
    let (parts, body) = answer.into_parts();
    let status = parts.status.as_u16();
    if seen.query.contains("watch=true") {
        shared.note(&seen, status);
        let sieve = shared.sieve.lock().expect("not poisoned").clone();
        let body = match sieve {
            Some(sieve) => filtered(seen, body, sieve),
            None => body.boxed_unsync(),
        };
        return Ok(Response::from_parts(parts, body));
    }
    let body = body.collect().await?.to_bytes();
    shared.heard(&mut seen, status, &body);
    match shared.ask(&seen, Stage::Answered) {
        Verdict::Pass | Verdict::AsOf(_) => {}
        Verdict::Later(wait) => tokio::time::sleep(wait).await,
        Verdict::Held => shared.gate.notified().await,
        Verdict::Answer(status) => return Ok(shared.forged(&seen, status)),
        Verdict::Drop | Verdict::Stray(_) => return lost("the answer is lost"),
    }
    shared.note(&seen, status);
    let told = Told { body: Full::new(body), end: Some((shared, seen)) };
    Ok(Response::from_parts(parts, told.boxed_unsync()))
}

impl Shared {
    fn ask(&self, seen: &Seen, stage: Stage) -> Verdict {
        let hook = self.hook.lock().expect("not poisoned").clone();
        hook.map_or(Verdict::Pass, |hook| hook(seen, stage))
    }

    async fn forward(&self, seen: &Seen) -> Result<Response<Incoming>, Failure> {
        let request = self.onward(seen)?;
        Ok(self.upstream.request(request).await?)
    }

    /// The request as the server gets it.
    fn onward(&self, seen: &Seen) -> http::Result<Request<Full<Bytes>>> {
        let query = if seen.query.is_empty() { String::new() } else { format!("?{}", seen.query) };
        let target = format!("{}{}{query}", self.server, seen.path);
        let mut onward = Request::builder().method(seen.method.as_str()).uri(target);
        for (name, value) in &seen.headers {
            if ![header::HOST, header::CONTENT_LENGTH].contains(name) {
                onward = onward.header(name, value);
            }
        }
        if let Some(token) = &self.token {
            onward = onward.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        onward.body(Full::new(seen.body.clone()))
    }

    /// Keeps what the server said.
    fn heard(&self, seen: &mut Seen, status: u16, body: &[u8]) {
        let answer: Value =
            if seen.method == "GET" { Value::Null } else { serde_json::from_slice(body).unwrap_or_default() };
        let version = answer["metadata"]["resourceVersion"].as_str().map(str::to_owned);
        seen.served = Some(Served { status, at: Instant::now(), version });
        self.seen.lock().expect("not poisoned")[seen.number].served.clone_from(&seen.served);
    }

    fn note(&self, seen: &Seen, status: u16) {
        self.seen.lock().expect("not poisoned")[seen.number].status = Some(status);
    }

    /// An answer in the API server's manner.
    fn forged(&self, seen: &Seen, status: u16) -> Answer {
        self.note(seen, status);
        let reason = match status {
            404 => "NotFound",
            409 => "Conflict",
            413 => "RequestEntityTooLarge",
            429 => "TooManyRequests",
            _ => "Timeout",
        };
        let text = json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "code": status,
            "message": "made up by a test", "reason": reason,
        });
        let body = Full::new(Bytes::from(text.to_string())).map_err(|never| match never {}).boxed_unsync();
        let code = StatusCode::from_u16(status).expect("a status code");
        let answer = Response::builder().status(code).header(header::CONTENT_TYPE, "application/json");
        answer.body(body).expect("an answer")
    }
}

/// A body that tells the hook when it has been passed on.
struct Told {
    body: Full<Bytes>,
    end: Option<(Arc<Shared>, Seen)>,
}

impl Body for Told {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        Pin::new(&mut self.body).poll_frame(context).map_err(|never| match never {})
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Told {
    fn drop(&mut self) {
        let Some((shared, seen)) = self.end.take() else { return };
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move {
                tokio::time::sleep(PASSED).await;
                shared.ask(&seen, Stage::Passed);
            });
        }
    }
}
