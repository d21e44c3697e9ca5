//! How an intent looks on the wire. Pure.

use bytes::Bytes;
use http::header::{ACCEPT, ACCEPT_ENCODING, CONTENT_TYPE, HOST, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri, Version};
use http_body_util::Full;
use jiff::Timestamp;
use sha2::{Digest as _, Sha256};

use super::egress::{Origin, Scheme, Target};
use crate::api::names::header;
use crate::api::{definition, run::Direction};
use crate::saga::{CallId, Fence, Identity, Intent, Polling};

/// A request that lacks the definition's own headers still, or has all.
#[derive(Debug)]
pub(super) struct Rendered {
    method: Method,
    target: Uri,
    authority: String,
    scheme: Scheme,
    headers: HeaderMap,
    body: Bytes,
}

/// What a request belongs to.
struct Origins<'a> {
    run: &'a Identity,
    call: CallId,
    step: &'a str,
    attempt: u32,
    fence: Fence,
}

/// A header that cannot be sent; says which one, not its value.
#[derive(Debug, thiserror::Error)]
#[error("failed to set the header '{name}': {detail}")]
pub(super) struct HeaderError {
    name: String,
    detail: &'static str,
}

impl Rendered {
    /// An attempt, with every header but the definition's own.
    pub(super) fn attempt(intent: &Intent, target: &Target) -> Result<Self, HeaderError> {
        let mut rendered = Self::bare(method(intent.request.method), target)?;
        let Intent { run, call, step, attempt, fence, .. } = intent;
        rendered.identify(&Origins { run, call: *call, step, attempt: *attempt, fence: *fence })?;
        rendered.set(header::IDEMPOTENCY_KEY, &format!("\"{}\"", intent.key.as_str()))?;
        rendered.set(header::DEADLINE, &intent.deadline.to_string())?;
        if let Some(outcome) = intent.forward_outcome {
            rendered.set(header::FORWARD_OUTCOME, outcome.as_str())?;
        }
        if intent.request.body.is_some() {
            rendered.set(CONTENT_TYPE.as_str(), "application/json")?;
        }
        rendered.body = intent.request.body.clone().map(Bytes::from).unwrap_or_default();
        Ok(rendered)
    }

    /// A look at a call in progress. It has no idempotency key: it asks for nothing to be done, and a key belongs to one
    /// method, URL and body.
    pub(super) fn look(polling: &Polling, deadline: Timestamp, target: &Target) -> Result<Self, HeaderError> {
        let mut rendered = Self::bare(Method::GET, target)?;
        let Polling { run, call, step, attempt, fence, .. } = polling;
        rendered.identify(&Origins { run, call: *call, step, attempt: *attempt, fence: *fence })?;
        rendered.set(header::DEADLINE, &deadline.to_string())?;
        Ok(rendered)
    }

    fn bare(method: Method, target: &Target) -> Result<Self, HeaderError> {
        let mut bare = Self {
            method,
            target: target.uri.clone(),
            authority: authority(&target.origin),
            scheme: target.origin.scheme,
            headers: HeaderMap::new(),
            body: Bytes::new(),
        };
        bare.set(USER_AGENT.as_str(), concat!("saga-operator/", env!("CARGO_PKG_VERSION")))?;
        bare.set(ACCEPT.as_str(), "application/json, */*;q=0.1")?;
        // Nothing is ever decompressed.
        bare.set(ACCEPT_ENCODING.as_str(), "identity")?;
        Ok(bare)
    }

    /// Which run, step, direction, attempt and decision it belongs to.
    fn identify(&mut self, origins: &Origins<'_>) -> Result<(), HeaderError> {
        let Origins { run, call, step, attempt, fence } = origins;
        self.set(header::RUN, &format!("{}/{}", run.namespace, run.name))?;
        self.set(header::RUN_UID, &run.uid)?;
        self.set(header::STEP, step)?;
        self.set(header::DIRECTION, call.direction.as_str())?;
        self.set(header::ATTEMPT, &attempt.to_string())?;
        self.set(header::FENCE, &fence.to_string())?;
        let trace = trace_id(&run.uid);
        let span = span_id(&run.uid, step, call.direction, *attempt, *fence);
        self.set(header::TRACEPARENT, &format!("00-{trace}-{span}-01"))
    }

    fn set(&mut self, name: &'static str, value: &str) -> Result<(), HeaderError> {
        let value = header_value(name, value.as_bytes())?;
        self.headers.insert(HeaderName::from_static(name), value);
        Ok(())
    }

    /// Adds a header of the definition. `Accept` and `User-Agent` may be replaced, reserved ones may not.
    pub(super) fn add(&mut self, name: &str, value: &[u8]) -> Result<(), HeaderError> {
        let refuse = |detail| HeaderError { name: name.to_owned(), detail };
        let parsed = HeaderName::from_bytes(name.as_bytes()).map_err(|_| refuse("the name is no token"))?;
        // Admission refuses them; stored objects may be older.
        if header::is_reserved(parsed.as_str()) {
            return Err(refuse("the name is reserved"));
        }
        let mut value = header_value(name, value)?;
        // Every value: which of them are confidential is not known here. Keeps them out of Debug and of HTTP/2 tables.
        value.set_sensitive(true);
        self.headers.insert(parsed, value);
        Ok(())
    }

    /// The request in the form that `version` has; made anew for a second connection.
    pub(super) fn request(&self, version: Version) -> Result<Request<Full<Bytes>>, http::Error> {
        let path = self.target.path_and_query().map_or("/", |path| path.as_str());
        let mut request = Request::new(Full::new(self.body.clone()));
        *request.method_mut() = self.method.clone();
        *request.headers_mut() = self.headers.clone();
        if version == Version::HTTP_2 {
            let scheme = match self.scheme {
                Scheme::Http => "http",
                Scheme::Https => "https",
            };
            *request.version_mut() = Version::HTTP_2;
            *request.uri_mut() =
                Uri::builder().scheme(scheme).authority(self.authority.as_str()).path_and_query(path).build()?;
        } else {
            *request.uri_mut() = Uri::builder().path_and_query(path).build()?;
            request.headers_mut().insert(HOST, HeaderValue::from_str(&self.authority)?);
        }
        Ok(request)
    }
}

/// The trace of a run: its UID where that is a UUID, so that one can be searched by the other, else a hash of it.
pub fn trace_id(run_uid: &str) -> String {
    match uuid::Uuid::try_parse(run_uid) {
        Ok(uid) if !uid.is_nil() => uid.simple().to_string(),
        Ok(_) | Err(_) => identifier::<16>(&[b"trace", run_uid.as_bytes()]),
    }
}

/// The span of one stored intent, the same wherever it is computed.
pub fn span_id(run_uid: &str, step: &str, direction: Direction, attempt: u32, fence: Fence) -> String {
    identifier::<8>(&[
        b"span",
        run_uid.as_bytes(),
        step.as_bytes(),
        direction.as_str().as_bytes(),
        &attempt.to_be_bytes(),
        &fence.0.to_be_bytes(),
    ])
}

/// Lower-case hexadecimal digits of `N` bytes, not all zero.
fn identifier<const N: usize>(parts: &[&[u8]]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    let mut bytes = [0; N];
    bytes.copy_from_slice(&hash.finalize()[..N]);
    // All zeros would be an invalid identifier.
    bytes[N - 1] |= u8::from(bytes == [0; N]);
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Visible ASCII, spaces and tabs.
fn header_value(name: &str, value: &[u8]) -> Result<HeaderValue, HeaderError> {
    let refuse = |detail| HeaderError { name: name.to_owned(), detail };
    if value.ends_with(b"\n") {
        return Err(refuse("the value ends in a newline; store it without"));
    }
    if !value.iter().all(|byte| matches!(byte, b' '..=b'~' | b'\t')) {
        return Err(refuse("the value has characters that are not printable ASCII"));
    }
    HeaderValue::from_bytes(value).map_err(|_| refuse("the value is no header value"))
}

fn authority(origin: &Origin) -> String {
    let full = origin.display();
    let default = format!(":{}", origin.scheme.port());
    full.strip_suffix(&default).map_or(full.clone(), str::to_owned)
}

const fn method(method: definition::Method) -> Method {
    match method {
        definition::Method::Get => Method::GET,
        definition::Method::Post => Method::POST,
        definition::Method::Put => Method::PUT,
        definition::Method::Patch => Method::PATCH,
        definition::Method::Delete => Method::DELETE,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_belongs_to_a_run_and_a_span_to_an_intent() {
        assert_eq!(trace_id("3f1c0e6a-7d52-4c0b-9a53-5a3a0f3f9d11"), "3f1c0e6a7d524c0b9a535a3a0f3f9d11");
        assert_eq!(trace_id("run-1"), trace_id("run-1"));
        assert_ne!(trace_id("run-1"), trace_id("run-2"));
        assert_ne!(trace_id("00000000-0000-0000-0000-000000000000"), "0".repeat(32));
        let span = |attempt, fence| span_id("u", "pay", Direction::Forward, attempt, Fence(fence));
        assert_eq!(span(1, 1), span(1, 1));
        assert_ne!(span(1, 1), span(2, 1));
        assert_ne!(span(1, 1), span(1, 2));
        assert_ne!(span(1, 1), span_id("u", "pay", Direction::Compensate, 1, Fence(1)));
        assert_eq!(span(1, 1).len(), 16);
    }

    #[test]
    fn header_values_with_control_characters_are_refused() {
        for value in [&b"a\r\nX: y"[..], b"a\nb", b"a\rb", b"a\0b", b"a\x7fb", b"caf\xc3\xa9", b"\xff", b"token\n"] {
            let error = header_value("authorization", value).unwrap_err().to_string();
            assert!(error.contains("authorization") && !error.contains("token"), "{error}");
        }
        assert!(header_value("x", b"a b\tc ~").is_ok());
        assert!(header_value("x", b"").is_ok());
    }
}
