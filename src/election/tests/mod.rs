//! What the elector promises, proved.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot go on has failed")]

mod decisions;
mod exclusive;
mod physics;
mod server;
mod shared;
mod world;
