//! THE CORE: everything a run does is decided here, without I/O.
#![warn(clippy::disallowed_methods)]

mod intent;
mod key;
mod request;
mod time;

pub use intent::{ForwardOutcome, Identity, Intent};
pub use key::{CallId, Digest, Fence, Holder, IdempotencyKey};
pub use request::{Answer, HeaderValue, Request, Response};
pub use time::{Monotonic, Now};
