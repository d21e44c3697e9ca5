//! Fixtures shared by the integration tests.

pub(crate) mod cluster;
