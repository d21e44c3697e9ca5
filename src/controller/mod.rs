//! Kubernetes wiring: what wakes the engine, and what the operator does beside driving runs.
//!
//! | module | what is in it |
//! |---|---|
//! | [`runs`] | tells the engine of every run that changed |
//! | [`definitions`] | checks definitions, freezes them as revisions, and gives them to the engine |
//! | [`revision`] | what a frozen definition looks like |
//! | [`events`] | what happened, as Events of the runs |
//! | [`retention`] | when a finished run goes |

mod call;
pub mod definitions;
pub mod events;
mod finished;
pub mod retention;
pub mod revision;
pub mod runs;

pub use call::CallError;
