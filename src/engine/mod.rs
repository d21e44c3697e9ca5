//! Drives runs through the ports: load, step, persist, perform.

mod clock;
mod definitions;

pub use clock::Clock;
pub use definitions::Definitions;
