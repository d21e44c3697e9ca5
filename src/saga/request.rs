//! A request as it will go over the wire, and what comes back.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;

use super::key::Digest;
use crate::api::Reason;
use crate::api::definition::{Method, SecretKeyRef};

/// Rendered from a definition: the same bytes for every attempt (I8), Secret values apart, which are read when sending.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Method.
    pub method: Method,
    /// Absolute URL, percent-encoded.
    pub url: String,
    /// The definition's own headers, in its order; names as written there.
    pub headers: Vec<(String, HeaderValue)>,
    /// A JSON document.
    pub body: Option<Vec<u8>>,
}

/// A header's value, or where to read it when sending.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HeaderValue {
    /// Printable text.
    Literal(String),
    /// A Secret in the run's namespace. Its value is in no digest, status or message.
    Secret(SecretKeyRef),
}

impl Request {
    /// Over method, URL, headers and body.
    pub fn digest(&self) -> Digest {
        let mut parts = vec![self.method.as_str().as_bytes(), self.url.as_bytes()];
        for (name, value) in &self.headers {
            parts.push(name.as_bytes());
            match value {
                HeaderValue::Literal(text) => parts.extend([b"=".as_slice(), text.as_bytes()]),
                HeaderValue::Secret(key) => {
                    parts.extend([b"@".as_slice(), key.name.as_bytes(), key.key.as_bytes()]);
                }
            }
        }
        if let Some(body) = &self.body {
            parts.extend([b"body".as_slice(), body]);
        }
        Digest::over(parts)
    }
}

/// What became of one attempt, as far as the sender can tell.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// A status line arrived.
    Response(Response),
    /// At least a part of the request may have left and no status line came back in time: the effect is possible.
    Lost {
        /// `Timeout` or `ConnectionFailed`.
        reason: Reason,
        /// For people; without content of bodies or Secrets.
        message: String,
    },
    /// Certainly nothing left. `ConnectionFailed` and `SecretNotFound` may be different next time; `SecretForbidden`,
    /// `DestinationNotAllowed` and `Unrenderable` (a Secret value that is no header value) will not.
    NotSent {
        /// One of the reasons above.
        reason: Reason,
        /// For people; names the host, Secret or key, without any content.
        message: String,
    },
}

/// An answer of a participant.
#[derive(Clone, Debug, PartialEq)]
pub struct Response {
    /// HTTP status code.
    pub status: u16,
    /// Lower-case names; several values of a name joined by `, `.
    pub headers: BTreeMap<String, String>,
    /// Parsed JSON, or the text where it is not JSON, or null where it was larger than the bound, cut short or not UTF-8.
    pub body: Value,
    /// From `Retry-After`, either form; relative to the arrival.
    pub retry_after: Option<Duration>,
}
