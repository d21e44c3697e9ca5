//! Names of a call that never change, and numbers that only rise.

use std::fmt;

use base64::Engine as _;
use sha2::{Digest as _, Sha256};

use crate::api::run::Direction;

/// One call of a run: a step's action, its compensation or its confirm.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CallId {
    /// Index of the step in the definition.
    pub step: usize,
    /// Which of the step's calls.
    pub direction: Direction,
}

impl CallId {
    /// The action of a step.
    pub const fn forward(step: usize) -> Self {
        Self { step, direction: Direction::Forward }
    }

    /// The compensation of a step.
    pub const fn compensate(step: usize) -> Self {
        Self { step, direction: Direction::Compensate }
    }

    /// The confirm of a step.
    pub const fn confirm(step: usize) -> Self {
        Self { step, direction: Direction::Confirm }
    }
}

/// Rises strictly with every attempted write of a run (Kleppmann's fencing token, here checked by the store's
/// compare-and-swap and, where they can, by participants).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fence(pub u64);

impl Fence {
    /// A fence above this one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl fmt::Display for Fence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The identity of a process that may own runs: fresh at every start, at most 32 characters.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Holder(String);

impl Holder {
    /// Longest identity.
    pub const MAX_LEN: usize = 32;

    /// Cuts to [`Self::MAX_LEN`] characters.
    pub fn new(id: &str) -> Self {
        Self(id.chars().take(Self::MAX_LEN).collect())
    }

    /// The identity of a process, from a random number drawn at its start.
    pub fn process(random: u128) -> Self {
        Self(format!("{:016x}", random >> 64))
    }

    /// The identity under which this process takes a run up for the `time`-th time. Whoever starts with an empty memory of
    /// a run needs a fresh one: under an old one a write that was forgotten, and lands late, would pass for its own.
    #[must_use]
    pub fn incarnation(&self, time: u64) -> Self {
        let time = format!("-{time:x}");
        let process: String = self.0.chars().take(Self::MAX_LEN - time.len()).collect();
        Self(process + &time)
    }

    /// As it is stored.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The same for every attempt of a call and every instance of the operator; a person's retry of a call without doubt
/// takes the next one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct IdempotencyKey(String);

impl IdempotencyKey {
    /// `<run uid>/<step>/<direction>`, and `/<suffix>` from the second key on.
    pub fn new(run_uid: &str, step: &str, direction: Direction, suffix: u32) -> Self {
        let base = format!("{run_uid}/{step}/{}", direction.as_str());
        Self(if suffix > 1 { format!("{base}/{suffix}") } else { base })
    }

    /// Without the quotes that it has on the wire.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// 128 bits of SHA-256 over what must not change between attempts, in 22 characters.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Digest(String);

impl Digest {
    /// Over parts that are told apart by their lengths.
    pub fn over<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let mut hash = Sha256::new();
        for part in parts {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        Self(base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(&hash.finalize()[..16]))
    }

    /// As it was stored.
    pub const fn stored(text: String) -> Self {
        Self(text)
    }

    /// As it is stored.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}
