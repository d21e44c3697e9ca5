//! The port `Participant`: one wire request for one stored intent.

use std::future::Future;

use crate::journal::Persisted;
use crate::saga::{Answer, Intent};

/// Something that can be called. Implementations send at most one request over the wire for an intent, and nothing after
/// `expires`; they answer by then.
pub trait Participant: Send + Sync + 'static {
    /// Sends the intent and reads the answer.
    fn call(&self, intent: Persisted<Intent>) -> impl Future<Output = Answer> + Send;
}
