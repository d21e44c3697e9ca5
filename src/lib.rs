//! Sagas for Kubernetes.
pub mod api;
pub mod expr;
