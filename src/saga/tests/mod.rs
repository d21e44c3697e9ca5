//! What the core promises, proved.
// Golden files are read and written here; the code under test still may not.
#![allow(clippy::disallowed_methods)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot go on has failed")]

mod answers;
mod conditions;
mod definitions;
mod docs;
mod early_end;
mod fixtures;
mod foreseen;
mod golden;
mod handover;
mod host;
mod model;
mod modes;
mod owners;
mod participant;
mod promises;
mod properties;
mod requests;
mod roles;
mod seeded;
mod table;
mod told;
mod units;
