//! Sagas for Kubernetes.
fn main() {}
