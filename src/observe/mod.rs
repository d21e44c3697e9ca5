//! What a running operator shows of itself.
//!
//! | module | what is in it |
//! |---|---|
//! | [`health`] | `/livez` and `/readyz` |
//! | [`pulse`] | when the API server last answered |

pub mod health;
pub mod pulse;
