//! Sagas for Kubernetes.
pub mod api;
pub mod cli;
pub mod controller;
pub mod engine;
pub mod expr;
pub mod journal;
pub mod participant;
pub mod saga;
