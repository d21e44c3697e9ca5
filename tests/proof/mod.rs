//! Sagas that the operator is disturbed at, at every point there is, and what must be true of them afterwards.
//!
//! | module | what is in it |
//! |---|---|
//! | [`story`] | sagas and how they end, whatever happens |
//! | [`point`] | a place in a story where something happens, and all of them |
//! | [`play`] | one story, disturbed at one point, and all evidence of it |
//! | [`sweep`] | one story, once for each of many disturbances |
//! | [`history`] | every state of a run that was stored |
//! | [`oracle`] | what the evidence must say |
//! | [`order`] | the part of it that says what may be stored when |
//! | [`graph`] | which step depends on which |
//! | [`forged`] | evidence that must not pass |

// Each test binary compiles these files for itself and uses a part of them.
#![allow(dead_code)]

pub(crate) mod forged;
pub(crate) mod graph;
pub(crate) mod history;
pub(crate) mod oracle;
mod order;
pub(crate) mod play;
pub(crate) mod point;
pub(crate) mod story;
pub(crate) mod sweep;
