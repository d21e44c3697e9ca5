//! What a running operator shows of itself.
//!
//! | module | what is in it |
//! |---|---|
//! | [`health`] | `/livez` and `/readyz` |
//! | [`metrics`] | `/metrics` |
//! | [`pulse`] | when the API server last answered |

pub mod health;
mod listen;
pub mod metrics;
pub mod pulse;
