//! Drives runs through the ports: load, step, persist, perform, and again.
//!
//! # Flow
//! [`Fleet::offer`] gives a run, as read, to its own task ([`drive`]). The task asks the pure core what to do
//! ([`crate::saga::step`]), stores the decision in the [`Journal`], hands the intents that the write proved to the
//! [`Participant`], and waits for an answer, a change of the run or a point in time.
//!
//! # Guarantees
//! - Nothing is sent that this process did not store first: `Persisted<Intent>` says so in the types.
//! - One write of a run is under way at a time. What happens meanwhile is decided together in the next one.
//! - An answer once received is never thrown away: when a write fails, the same events are decided again on what was read.
//! - Nothing is stored or sent by a process that does not lead: the [`Claim`] is asked each time, at the last moment. Once it
//!   is over, runs are let go where they stand.
//! - A run never waits for another: each has its task, and none holds a lock over an await.
//! - Where runs are divided into shards, each term of each shard has an engine and a fleet of its own ([`Fleets`]): a run that
//!   comes back is met by an empty memory under a new identity, as in a new process.
//!
//! # Assumptions
//! The journal's writes are compare-and-swap, and its loads see every acknowledged write.
//!
//! # Caveats
//! It knows neither Kubernetes nor HTTP. Who may own which run is the core's business ([`crate::saga::Tenure`]).

mod calls;
mod decide;
mod definitions;
mod drive;
mod fleet;
mod fleets;
mod patience;
mod urgency;
mod witness;

pub use definitions::Definitions;
pub use fleet::Fleet;
pub use fleets::{Fleets, Told};
pub use witness::{LogWitness, Witness};

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::election::Claim;
use crate::journal::Journal;
use crate::participant::Participant;
use crate::saga::Owner;

/// The ports of one process, and who it is; where runs are divided into shards, for one term of one shard.
pub struct Engine<J, P, D, W> {
    /// Where runs are stored.
    pub journal: J,
    /// Who is called.
    pub participant: Arc<P>,
    /// What runs follow.
    pub definitions: D,
    /// Who is told.
    pub witness: W,
    /// The clocks.
    pub clock: Clock,
    /// This process; a new one in each term.
    pub owner: Owner,
    /// What lets this process act: shown with everything that is stored or sent.
    pub claim: Claim,
    /// Cancelled when the term is about to end: nothing new is sent, and runs are given up once their calls are back.
    pub drain: CancellationToken,
}

/// Anything with all the ports: keeps bounds out of the way of reading.
pub trait Ports: Send + Sync + 'static {
    /// Where runs are stored.
    type Journal: Journal;
    /// Who is called.
    type Participant: Participant;
    /// What runs follow.
    type Definitions: Definitions;
    /// Who is told.
    type Witness: Witness;

    /// The ports themselves.
    fn engine(&self) -> &Engine<Self::Journal, Self::Participant, Self::Definitions, Self::Witness>;
}

impl<J: Journal, P: Participant, D: Definitions, W: Witness> Ports for Engine<J, P, D, W> {
    type Journal = J;
    type Participant = P;
    type Definitions = D;
    type Witness = W;

    fn engine(&self) -> &Self {
        self
    }
}
