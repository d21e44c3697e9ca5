//! A world for the real engine: a store, participants and processes that fail as a seed has it.
#![allow(dead_code)]

pub mod chance;
pub mod oracle;
pub mod participant;
pub mod store;
pub mod world;
