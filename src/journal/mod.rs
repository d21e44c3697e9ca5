//! The port `Journal`: where decisions become durable, and so may be acted on.
//!
//! # Flow
//! [`Journal::load`] reads what is stored; the engine decides; [`Journal::retain`] makes sure that the run cannot vanish
//! under its intents; [`Journal::persist`] stores the decision and returns its intents as [`Persisted`];
//! [`Journal::release`] lets an ended run go.
//!
//! # Guarantees
//! A write is a compare-and-swap on the version that was read: it lands exactly on what the decision was made from, or it
//! does not land. A [`Persisted`] value exists only for a write that is known to have landed. Who writes shows the [`Claim`]
//! under which it may; a store in which waiting comes before writing asks it at the last moment.
//!
//! # Caveats
//! A write may be *unclear*: nobody answered, so it may have landed. The engine reads again and looks for its own fence;
//! stores never repeat a write by themselves.

pub mod kubernetes;
pub mod local;
pub mod memory;
mod persisted;

use std::fmt;
use std::future::Future;
use std::sync::Arc;

pub use persisted::Persisted;

use crate::api::SagaRunSpec;
use crate::election::Claim;
use crate::saga::{Identity, Intent, Polling, RecordError, Stored, Wishes};

/// Where runs are stored.
pub trait Journal: Send + Sync + 'static {
    /// Reads a run with every write that was acknowledged before (a quorum read). `None`: there is no run of that UID.
    fn load(&self, run: &Identity) -> impl Future<Output = Result<Option<Loaded>, JournalError>> + Send;

    /// Makes sure that the run stays until it is released, and returns the version from then on. Comes before the first
    /// intents.
    fn retain(
        &self,
        run: &Identity,
        at: &Version,
        claim: &Claim,
    ) -> impl Future<Output = Result<Version, JournalError>> + Send;

    /// Stores a decision, durably.
    fn persist(&self, draft: Draft, claim: &Claim) -> impl Future<Output = Result<Landed, JournalError>> + Send;

    /// Lets an ended run go. Done already, or no such run: success.
    fn release(
        &self,
        run: &Identity,
        at: &Version,
        claim: &Claim,
    ) -> impl Future<Output = Result<(), JournalError>> + Send;
}

/// A run as read.
#[derive(Clone, Debug, PartialEq)]
pub struct Loaded {
    /// Who it is.
    pub run: Arc<Identity>,
    /// What users asked for, the immutable part too.
    pub spec: Arc<SagaRunSpec>,
    /// The changeable part of it.
    pub wishes: Wishes,
    /// What is stored.
    pub stored: Stored,
    /// The version that was read.
    pub version: Version,
    /// The run cannot vanish before it is released.
    pub retained: bool,
}

/// A version of a run in its store: opaque, except that a store may know which of two is newer.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Version(pub String);

impl Version {
    /// Whether this version is newer; `None` when nobody can tell. Kubernetes resource versions are decimal numbers that
    /// may be compared (KEP-5504); so are ours.
    pub fn newer_than(&self, other: &Self) -> Option<bool> {
        let number = |version: &Self| version.0.parse::<u128>().ok();
        Some(number(self)? > number(other)?)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A decision to be stored.
#[derive(Clone, Debug)]
pub struct Draft {
    /// The run.
    pub run: Arc<Identity>,
    /// The version that the decision was made from.
    pub version: Version,
    /// What to store.
    pub stored: Stored,
    /// The intents that this write stores: those that carry its fence.
    pub intents: Vec<Intent>,
    /// Calls in progress whose location this write stores or takes over.
    pub polls: Vec<Polling>,
}

impl Draft {
    /// The intents, proven: for stores, after the write is durable.
    fn landed(self, version: Version) -> Landed {
        let fence = self.stored.fence;
        let proven = |intent: Intent| (intent.fence == fence).then(|| Persisted::proven_by_write(intent));
        let polls = self.polls.into_iter().map(Persisted::proven_by_write).collect();
        Landed { version, intents: self.intents.into_iter().filter_map(proven).collect(), polls }
    }

    /// The intents of a write that turned out to have landed although its answer was lost: a quorum read, made by the
    /// process that tried the write, shows its holder and its very fence.
    ///
    /// Gives the draft back when the read does not show it.
    pub fn recognised(self, read: &Loaded) -> Result<Landed, Box<Self>> {
        let same = read.run == self.run
            && read.stored.fence == self.stored.fence
            && read.stored.holder == self.stored.holder
            && self.stored.holder.is_some();
        if same { Ok(self.landed(read.version.clone())) } else { Err(Box::new(self)) }
    }
}

/// A decision that is stored.
#[derive(Debug)]
pub struct Landed {
    /// The version from now on.
    pub version: Version,
    /// May be sent now, each once.
    pub intents: Vec<Persisted<Intent>>,
    /// May be followed from now on.
    pub polls: Vec<Persisted<Polling>>,
}

/// Why a run could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The run changed since it was read. Nothing was written.
    #[error("failed to write the run: it changed since it was read")]
    Conflict,
    /// Nobody knows whether the write landed.
    #[error("failed to learn whether the write landed: {0}")]
    Unclear(String),
    /// Nothing was written; later it may work.
    #[error("failed to reach the store: {0}")]
    Unavailable(String),
    /// This process may not write, or not any more: another one is, or will be, elected. Nothing was written.
    #[error("failed to write the run: this process does not lead")]
    NotLeading,
    /// The run is gone, or another one has its name.
    #[error("failed to write the run: it is gone")]
    Gone,
    /// The store refuses the size. Nothing was written.
    #[error("failed to write the run: too large for the store ({0})")]
    TooLarge(String),
    /// What is stored cannot be read by this version.
    #[error(transparent)]
    Unreadable(#[from] RecordError),
    /// It will not work without a person: the text says what to do.
    #[error("failed to use the store: {0}")]
    Fatal(String),
}

/// What to do about an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Try again later.
    Retry,
    /// Read again and decide again.
    Conflict,
    /// Leave this object alone until it changes.
    Invalid,
    /// Stop.
    Fatal,
}

impl JournalError {
    /// What to do about it.
    pub const fn class(&self) -> Class {
        match self {
            Self::Conflict | Self::Unclear(_) => Class::Conflict,
            Self::Unavailable(_) => Class::Retry,
            Self::NotLeading | Self::Gone | Self::TooLarge(_) | Self::Unreadable(_) => Class::Invalid,
            Self::Fatal(_) => Class::Fatal,
        }
    }
}

impl<J: Journal> Journal for Arc<J> {
    fn load(&self, run: &Identity) -> impl Future<Output = Result<Option<Loaded>, JournalError>> + Send {
        (**self).load(run)
    }

    fn retain(
        &self,
        run: &Identity,
        at: &Version,
        claim: &Claim,
    ) -> impl Future<Output = Result<Version, JournalError>> + Send {
        (**self).retain(run, at, claim)
    }

    fn persist(&self, draft: Draft, claim: &Claim) -> impl Future<Output = Result<Landed, JournalError>> + Send {
        (**self).persist(draft, claim)
    }

    fn release(
        &self,
        run: &Identity,
        at: &Version,
        claim: &Claim,
    ) -> impl Future<Output = Result<(), JournalError>> + Send {
        (**self).release(run, at, claim)
    }
}
