//! Calls over HTTP: one wire request an attempt, within its time.
//!
//! *Flow* destination -> headers and Secrets -> a place among the origin's calls -> a connection -> the last look at the
//! clock -> the request -> status line -> body.
//! *Guarantees* Up to the last look nothing has left: `NotSent`. A request that hyper hands back unwritten, which happens
//! when an idle connection turns out to be closed, is written once more, on a new connection, within the same attempt;
//! that is the only second write, and not a byte of the first one left. From then on no answer is `Lost`; a status line is
//! a `Response`, its body null when it cannot be read. No redirects, proxies, cookies, decompression or retries.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use rustls::ClientConfig;
use tokio::time::{Instant, timeout_at};

use super::connection::{Connection, SendError};
use super::credentials::{CredentialError, Credentials};
use super::egress::{Origin, Policy, Target};
use super::limit::Limit;
use super::pool::Pool;
use super::resolve::{DialError, Lookup, SystemLookup, dial};
use super::wire::{HeaderError, Rendered};
use super::{Clock, Participant, body, connection, retry_after};
use crate::api::Reason;
use crate::election::Claim;
use crate::journal::Persisted;
use crate::saga::{Answer, HeaderValue, Identity, Intent, Monotonic, Polling, Response};

/// What can be set.
#[derive(Clone, Debug)]
pub struct HttpOptions {
    /// Calls that one origin (scheme, host and port) may hold at a time; at least 1. More wait within their own time.
    pub calls_per_origin: usize,
    /// PEM file of certificate authorities to trust beside the public ones.
    pub ca_file: Option<PathBuf>,
}

impl Default for HttpOptions {
    fn default() -> Self {
        Self { calls_per_origin: 512, ca_file: None }
    }
}

/// Why calls cannot be made at all.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// The certificate authorities cannot be read.
    #[error("failed to set up TLS{}: check --ca-file", file.as_ref().map(|file| format!(" from {}", file.display())).unwrap_or_default())]
    Tls {
        /// The file, where one was given.
        file: Option<PathBuf>,
        /// What happened.
        #[source]
        source: io::Error,
    },
}

/// The participants, over HTTP. Cheap to share behind an `Arc`.
pub struct HttpParticipant {
    policy: Arc<Policy>,
    credentials: Arc<dyn Credentials>,
    lookup: Arc<dyn Lookup>,
    clock: Clock,
    tls: Arc<ClientConfig>,
    pool: Pool,
    limit: Limit,
}

/// What is asked for right before a request leaves.
struct Permission<'a> {
    expires: Monotonic,
    claim: &'a Claim,
}

impl HttpParticipant {
    /// Calls what `policy` allows, with Secrets from `credentials`; `clock` is the one that `expires` is measured on.
    pub fn new(
        policy: Arc<Policy>,
        credentials: Arc<dyn Credentials>,
        clock: Clock,
        options: HttpOptions,
    ) -> Result<Self, HttpError> {
        let tls = connection::tls(options.ca_file.as_deref())
            .map_err(|source| HttpError::Tls { file: options.ca_file.clone(), source })?;
        Ok(Self {
            policy,
            credentials,
            lookup: Arc::new(SystemLookup::default()),
            clock,
            tls,
            pool: Pool::default(),
            limit: Limit::new(options.calls_per_origin),
        })
    }

    /// Resolves names by `lookup` instead of the operating system.
    #[must_use]
    pub fn with_lookup(mut self, lookup: Arc<dyn Lookup>) -> Self {
        self.lookup = lookup;
        self
    }

    async fn attempt(&self, intent: &Intent, claim: &Claim) -> Result<Response, Answer> {
        let permission = Permission { expires: intent.expires, claim };
        self.may_send(&permission)?;
        let left = intent.timeout.min(intent.expires.since(self.clock.now().monotonic));
        let request = &intent.request;
        let of_attempt = |target: &Target| Rendered::attempt(intent, target);
        self.ask(&intent.run, &request.url, &request.headers, (&permission, left), of_attempt).await
    }

    async fn look(&self, polling: &Polling) -> Result<Response, Answer> {
        // A look asks for nothing to be done: nobody has to lead for it.
        let permission = Permission { expires: polling.expires, claim: &Claim::unelected() };
        self.may_send(&permission)?;
        let now = self.clock.now();
        let left = polling.timeout.min(polling.expires.since(now.monotonic));
        let deadline = now.wall_after(left);
        let of_look = |target: &Target| Rendered::look(polling, deadline, target);
        self.ask(&polling.run, &polling.url, &polling.headers, (&permission, left), of_look).await
    }

    /// One request and its answer. `limits`: nothing leaves without the first, nothing is waited for longer than the second.
    async fn ask(
        &self,
        run: &Identity,
        url: &str,
        headers: &[(String, HeaderValue)],
        limits: (&Permission<'_>, Duration),
        bare: impl FnOnce(&Target) -> Result<Rendered, HeaderError>,
    ) -> Result<Response, Answer> {
        let (permission, left) = limits;
        let deadline = Instant::now() + left;
        let target = self
            .policy
            .target(&run.namespace, url)
            .map_err(|error| not_sent(Reason::DestinationNotAllowed, error.to_string()))?;
        let bare = bare(&target).map_err(unrenderable)?;
        let request = timeout_at(deadline, self.render(run, headers, bare))
            .await
            .map_err(|_| not_sent(Reason::ConnectionFailed, "failed to read the Secrets in time".to_owned()))??;
        let origin = &target.origin;
        let _place = timeout_at(deadline, self.limit.enter(origin)).await.map_err(|_| {
            let what = format!("failed to call {}: too many calls are waiting for its answers", origin.display());
            not_sent(Reason::ConnectionFailed, what)
        })?;
        self.exchange(permission, origin, &request, deadline).await
    }

    async fn render(
        &self,
        run: &Identity,
        headers: &[(String, HeaderValue)],
        mut request: Rendered,
    ) -> Result<Rendered, Answer> {
        for (name, value) in headers {
            match value {
                HeaderValue::Literal(text) => request.add(name, text.as_bytes()).map_err(unrenderable)?,
                HeaderValue::Secret(key) => {
                    let value = self.credentials.secret(&run.namespace, key).await.map_err(no_credential)?;
                    request.add(name, value.expose()).map_err(unrenderable)?;
                }
            }
        }
        Ok(request)
    }

    async fn exchange(
        &self,
        permission: &Permission<'_>,
        origin: &Origin,
        request: &Rendered,
        deadline: Instant,
    ) -> Result<Response, Answer> {
        if let Some(connection) = self.pool.take(origin)
            && let Some(response) = self.send(permission, origin, request, deadline, connection).await?
        {
            return Ok(response);
        }
        let connection = self.open(origin, deadline).await?;
        let sent = self.send(permission, origin, request, deadline, connection).await?;
        let closed = || format!("failed to call {}: it closed the connection at once", origin.display());
        sent.ok_or_else(|| not_sent(Reason::ConnectionFailed, closed()))
    }

    async fn open(&self, origin: &Origin, deadline: Instant) -> Result<Connection, Answer> {
        let socket = dial(&self.policy, &*self.lookup, origin, deadline).await.map_err(|error| match error {
            DialError::Destination(error) => not_sent(Reason::DestinationNotAllowed, error.to_string()),
            DialError::Connection(what) => not_sent(Reason::ConnectionFailed, what),
        })?;
        let failed = |what: &str| {
            not_sent(Reason::ConnectionFailed, format!("failed to connect to {}: {what}", origin.display()))
        };
        match timeout_at(deadline, Connection::open(socket, origin, &self.tls)).await {
            Ok(Ok(connection)) => {
                self.pool.opened(origin, &connection);
                Ok(connection)
            }
            Ok(Err(error)) => Err(failed(&error.to_string())),
            Err(_) => Err(failed("no end of the handshake in time")),
        }
    }

    fn may_send(&self, permission: &Permission<'_>) -> Result<(), Answer> {
        let now = self.clock.now().monotonic;
        if now >= permission.expires {
            let late = "failed to send in time: the attempt's deadline passed before its request left".to_owned();
            return Err(not_sent(Reason::Timeout, late));
        }
        if permission.claim.current(now).is_none() {
            let deposed = "failed to send: this process does not lead any more".to_owned();
            return Err(not_sent(Reason::ConnectionFailed, deposed));
        }
        Ok(())
    }

    /// None: the request came back unwritten.
    async fn send(
        &self,
        permission: &Permission<'_>,
        origin: &Origin,
        request: &Rendered,
        deadline: Instant,
        mut connection: Connection,
    ) -> Result<Option<Response>, Answer> {
        let request = request
            .request(connection.version())
            .map_err(|error| not_sent(Reason::Unrenderable, format!("failed to make the request: {error}")))?;
        self.may_send(permission)?;
        let lost = |reason, what: &str| {
            self.pool.forget(origin);
            Err(Answer::Lost { reason, message: format!("failed to get an answer of {}: {what}", origin.display()) })
        };
        let response = match timeout_at(deadline, connection.send(request)).await {
            Ok(Ok(response)) => response,
            Ok(Err(SendError::Unsent)) => return Ok(None),
            Ok(Err(SendError::Lost(error))) => return lost(Reason::ConnectionFailed, &describe(&error)),
            Err(_) => return lost(Reason::Timeout, "none came in time"),
        };
        Ok(Some(self.receive(origin, deadline, connection, response).await))
    }

    async fn receive(
        &self,
        origin: &Origin,
        deadline: Instant,
        connection: Connection,
        response: http::Response<Incoming>,
    ) -> Response {
        let (parts, incoming) = response.into_parts();
        let arrived = self.clock.now().wall;
        let retry_after = parts.headers.get(http::header::RETRY_AFTER).and_then(|value| value.to_str().ok());
        let retry_after = retry_after.and_then(|value| retry_after::parse(value, arrived));
        let body = match timeout_at(deadline, body::read(incoming)).await {
            Ok(body::Read::Whole(value)) => {
                if parts.status != http::StatusCode::SWITCHING_PROTOCOLS {
                    self.pool.put(origin.clone(), connection);
                }
                value
            }
            Ok(body::Read::Broken) | Err(_) => serde_json::Value::Null,
        };
        Response { status: parts.status.as_u16(), headers: body::headers(&parts.headers), body, retry_after }
    }
}

impl Participant for HttpParticipant {
    async fn call(&self, intent: Persisted<Intent>, claim: &Claim) -> Answer {
        match self.attempt(&intent.into_inner(), claim).await {
            Ok(response) => Answer::Response(response),
            Err(answer) => answer,
        }
    }

    async fn poll(&self, polling: Arc<Persisted<Polling>>) -> Answer {
        match self.look(polling.get()).await {
            Ok(response) => Answer::Response(response),
            Err(answer) => answer,
        }
    }
}

fn not_sent(reason: Reason, message: String) -> Answer {
    Answer::NotSent { reason, message }
}

fn unrenderable(error: HeaderError) -> Answer {
    not_sent(Reason::Unrenderable, error.to_string())
}

fn no_credential(error: CredentialError) -> Answer {
    let reason = match &error {
        CredentialError::NoSecret(_) | CredentialError::NoKey(_) => Reason::SecretNotFound,
        CredentialError::Forbidden(_) => Reason::SecretForbidden,
        CredentialError::Unavailable { .. } => Reason::ConnectionFailed,
    };
    not_sent(reason, error.to_string())
}

/// Kinds of failure only: texts of the libraries may quote what was received.
fn describe(error: &hyper::Error) -> String {
    if error.is_parse_too_large() {
        "its header is larger than 64 KiB or 100 lines".to_owned()
    } else if error.is_parse() {
        "it is not HTTP".to_owned()
    } else if error.is_incomplete_message() {
        "the connection was closed before it came".to_owned()
    } else {
        "the connection was lost before it came".to_owned()
    }
}
