//! Several replicas of the operator under faults that come one after another, and what must be true of every saga.
//!
//! | module | what is in it |
//! |---|---|
//! | [`dice`] | what a seed decides |
//! | [`board`] | who holds which Lease, and since when |
//! | [`wall`] | what passes between a replica and the API server |
//! | [`replica`] | a place for an operator, and the lives that it had |
//! | [`history`] | every state of every run of a namespace |
//! | [`world`] | a namespace with participants, replicas and sagas |
//! | [`fault`] | what goes wrong, and how it is done |
//! | [`storm`] | worlds side by side until enough went wrong |
//! | [`judge`] | what must be true of a saga in the end |
//! | [`plane`] | a control plane of its own |
//! | [`forged`] | sagas that must not pass |
//! | [`tally`] | what is counted and printed |

// Each test binary compiles these files for itself and uses a part of them.
#![allow(dead_code)]

pub(crate) mod board;
pub(crate) mod dice;
pub(crate) mod fault;
pub(crate) mod forged;
pub(crate) mod history;
pub(crate) mod judge;
pub(crate) mod plane;
pub(crate) mod replica;
#[allow(clippy::module_inception)] // the modules are about one
pub(crate) mod storm;
pub(crate) mod tally;
pub(crate) mod wall;
pub(crate) mod world;
