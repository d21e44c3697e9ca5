//! The port `Journal`, and its stores.

mod persisted;

pub use persisted::Persisted;
