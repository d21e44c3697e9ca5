//! THE CORE: everything a run does is decided here, without I/O.
//!
//! # Flow
//! [`step`] takes a [`Plan`] (a [`Definition`] bound to one run), a [`State`], [`Event`]s and the time, and gives a
//! [`Transition`]: the next state, the [`Effect`]s to perform once it is stored, when to come back, and [`Note`]s.
//!
//! # Guarantees
//! Pure and total. [`invariant::check`] holds between any two states that follow each other. [`Stored`] and the status of
//! a run are the same thing in two forms.
//!
//! # Assumptions
//! The caller performs effects only after the state was stored ([`crate::engine`] and the type
//! [`Persisted`](crate::journal::Persisted) see to that), and tells the truth about the time.
//!
//! # Caveats
//! A process paused between its last look at the clock and the socket may send one late call per stored intent. It carries
//! a lower fence than everything decided since.
// A wildcard arm hides the event that nobody thought of.
#![warn(clippy::disallowed_methods, clippy::wildcard_enum_match_arm)]

mod advance;
mod answers;
mod commit;
mod compensate;
mod condition;
mod confirm;
mod definition;
mod effect;
mod event;
mod forward;
mod graph;
mod intent;
mod intervention;
pub mod invariant;
mod key;
mod limits;
mod location;
mod machine;
mod mode;
mod note;
mod outcome;
mod ownership;
mod plan;
pub mod preview;
mod problem;
mod record;
mod render;
mod request;
mod retry;
mod set;
mod size;
mod stall;
mod start;
mod state;
mod stored;
#[cfg(test)]
mod tests;
mod text;
mod time;
mod too_large;
mod turn;
mod warning;
mod wishes;

pub use definition::{CallPlan, Definition, HeaderPlan, StepPlan};
pub use effect::Effect;
pub use event::{Event, EventKind};
pub use intent::{ForwardOutcome, Identity, Intent, Polling};
pub use key::{CallId, Digest, Fence, Holder, IdempotencyKey};
pub use machine::{Transition, step};
pub use mode::Mode;
pub use note::{Level, Note, Occasion};
pub use plan::{Owner, Plan, Tenure, Unready};
pub use problem::Problem;
pub use record::RecordError;
pub use request::{Answer, HeaderValue, Request, Response};
pub use retry::Retry;
pub use set::Steps;
pub use state::{CallRecord, End, Failure, Judged, Local, MARGIN, Open, Phase, State, StepRecord, Stored};
pub use time::{Monotonic, Now};
pub use warning::{input_warnings, warnings};
pub use wishes::{Cancellation, Intervention, Wishes};
