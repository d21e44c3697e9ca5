//! Sagas for Kubernetes.
