//! The port `Participant`: one wire request for one stored intent, and its implementation over HTTP.
//!
//! *Guarantees* [`HttpParticipant`] writes at most one request for an intent, only to destinations that its
//! [`egress::Policy`] allows, nothing after `expires` or without a [`Claim`], and it answers by then. Secret values are in no message and in no
//! `Debug` output. Every outbound call takes this one path.
//! *Assumptions* Who builds the [`Clock`] hands the same one to whoever sets `expires`.
//! *Caveats* A process paused between the last check and the socket may still write late (semantics.md, the limit).

use std::future::Future;
use std::sync::Arc;

use crate::election::Claim;
use crate::journal::Persisted;
use crate::saga::{Answer, Intent, Polling};

mod address;
mod body;
mod connection;
pub mod credentials;
pub mod egress;
mod http;
mod limit;
mod pool;
pub mod resolve;
mod retry_after;
mod rule;
pub mod wire;

#[cfg(test)]
mod connection_tests;
#[cfg(test)]
mod credentials_tests;
#[cfg(test)]
mod egress_tests;
#[cfg(test)]
mod harness;
#[cfg(test)]
mod http_tests;
#[cfg(test)]
mod poll_tests;
#[cfg(test)]
mod tls_tests;

pub use crate::clock::Clock;
pub use credentials::{CredentialError, Credentials, KubernetesCredentials, SecretValue, StaticCredentials};
pub use egress::{DestinationError, Loopback, Policy};
pub use http::{HttpError, HttpOptions, HttpParticipant};
pub use rule::{DestinationRule, RuleError};

/// Something that can be called. Implementations send at most one request over the wire for an intent, and nothing after
/// `expires`; they answer by then.
pub trait Participant: Send + Sync + 'static {
    /// Sends the intent, if the claim holds at that moment, and reads the answer.
    fn call(&self, intent: Persisted<Intent>, claim: &Claim) -> impl Future<Output = Answer> + Send;

    /// Looks once at a call in progress, by GET, and reads the answer.
    fn poll(&self, polling: Arc<Persisted<Polling>>) -> impl Future<Output = Answer> + Send;
}
