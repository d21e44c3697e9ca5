//! Who may act: our own leader elector, over a Lease of the API server.
//!
//! # Flow
//! The runs are divided into [`Shards`], one unless asked for more, each with a Lease. A [`Member`] shares them with the other
//! replicas and stands for the Leases of its own. A pure machine for each Lease decides when to look, take, renew and give
//! up; the shell around them does the requests. What is led stands in the [`Office`]. Whoever is about to store or send asks
//! the [`Claim`] of a shard for a [`Leadership`] that is current.
//!
//! # Guarantees
//! No two processes hold a current [`Leadership`] for one Lease at the same time, whatever wall clocks show and however
//! requests are lost, delayed or answered late; see the machine for what this assumes. A lost leadership does not come
//! back: a new term needs a new candidate.
//!
//! # Caveats
//! Election saves work, safety does not rest on it: a process that is paused after it asked acts on an old answer, and is
//! refused by the journal's compare-and-swap and by participants that honour the fence.

mod assignment;
mod claim;
mod config;
mod council;
mod identity;
mod jitter;
mod leadership;
mod machine;
mod member;
mod news;
mod office;
mod record;
mod replica;
mod roster;
mod shard;
mod store;
#[cfg(test)]
mod tests;

pub use claim::Claim;
pub use config::{Durations, DurationsError, MAX_LEASE};
pub use identity::Identity;
pub use leadership::Leadership;
pub use member::{Deposed, Ground, Member, Stance};
pub use news::{End, Loss};
pub use office::{Office, Share, Shares, Wish};
pub use shard::{MAX_SHARDS, Shard, Shards, ShardsError};
