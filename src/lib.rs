//! Sagas for Kubernetes: steps with compensations, driven to a safe end.
//!
//! One idea: **decide, then store, then act.** A pure core decides; a journal stores the decision; only a stored decision
//! can be acted on. Everything else plugs into that, and can be exchanged.
//!
//! ```text
//!              +---------------- engine: load -> step -> persist -> perform -> step ... ----------------+
//!  API server  |   journal::Journal        saga (pure)             participant::Participant            |
//!  or a file --+-> load/persist, CAS --->  step(plan, state,  ---> call(Persisted<Intent>) -> Answer --+
//!              |   gives Persisted<_>        events, now)          one wire request per attempt        |
//!              +----------------------------------------------------------------------------------------+
//!  controller: wakes the engine for a run (watch, timer), nothing else     cli: one file per subcommand
//! ```
//!
//! | module | what is in it |
//! |---|---|
//! | [`api`] | what users see: the two kinds, conditions, reasons, names |
//! | [`saga`] | **the core**: decides everything a run does; no I/O, no clock, no randomness |
//! | [`expr`] | templates and CEL within bounds; pure |
//! | [`engine`] | drives runs through the ports; knows neither Kubernetes nor HTTP |
//! | [`journal`] | the port where decisions become durable, and its stores |
//! | [`participant`] | the port over which calls go out, and HTTP |
//! | [`controller`] | what wakes the engine in a cluster |
//! | [`election`] | who may act: the elector, and the claim that is asked wherever something is stored or sent |
//! | [`observe`] | what a running operator shows of itself |
//! | [`clock`] | the one place that reads clocks |
//! | [`cli`] | the subcommands |

pub mod api;
pub mod cli;
pub mod clock;
pub mod controller;
pub mod election;
pub mod engine;
pub mod expr;
pub mod journal;
pub mod observe;
pub mod participant;
pub mod saga;
