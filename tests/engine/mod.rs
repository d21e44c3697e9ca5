//! A world for the real engine: a store, participants and processes that fail as a seed has it.
#![allow(dead_code)]

pub mod definitions;
pub mod fate;
pub mod life;
pub mod manner;
pub mod oracle;
pub mod participant;
pub mod people;
pub mod process;
pub mod rules;
pub mod services;
pub mod shape;
pub mod shrink;
pub mod store;
pub mod watch;
pub mod wire;
pub mod world;
