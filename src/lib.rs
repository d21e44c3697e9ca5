//! Sagas for Kubernetes.
pub mod api;
