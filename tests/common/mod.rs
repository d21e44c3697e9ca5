//! Fixtures shared by the integration tests.

// Each test binary compiles these files for itself and uses a part of them.
#![allow(dead_code)]

pub(crate) mod cluster;
pub(crate) mod ledger;
pub(crate) mod operator;
pub(crate) mod proxy;
pub(crate) mod recorder;
pub(crate) mod shop;
pub(crate) mod strict;
pub(crate) mod watched;
