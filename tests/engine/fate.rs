//! What happens by chance, and the record of it.
//!
//! # Flow
//! Every choice of a life is a small number drawn from one of five sources. What was drawn is the life's *tape*: played
//! again it gives the same life, and cut or zeroed in places a simpler one ([`super::shrink`]).
//!
//! # Guarantees
//! Zero is always the harmless choice. A tape that has ended goes on with zeros.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Where a choice is drawn from. A choice more or less in one source moves none in another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// What the world looks like.
    Shape,
    /// What users and machines do.
    People,
    /// How the store and the definitions behave.
    Store,
    /// How networks and participants behave.
    Wire,
    /// How late news are.
    Watch,
}

pub const SOURCES: usize = 5;

/// All choices of a life.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tape(pub [Vec<u32>; SOURCES]);

/// Where the choices come from.
#[derive(Clone, Debug)]
pub enum Choices {
    Seed(u64),
    Tape(Tape),
}

pub struct Fate {
    choices: Choices,
    drawn: Mutex<Tape>,
    states: Mutex<[u64; SOURCES]>,
    /// Mishaps of a source are so many times rarer.
    rarity: [AtomicU32; SOURCES],
    calm: AtomicBool,
    faults: Mutex<BTreeMap<&'static str, u32>>,
    zero: Instant,
    told: Option<Mutex<Vec<String>>>,
}

/// Whether a life is written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Telling {
    Told,
    Untold,
}

impl Fate {
    pub fn new(choices: Choices, telling: Telling) -> Self {
        let seed = if let Choices::Seed(seed) = choices { seed } else { 0 };
        let states = std::array::from_fn(|source| mix(mix(seed).wrapping_add(source as u64)));
        Self {
            choices,
            drawn: Mutex::default(),
            states: Mutex::new(states),
            rarity: std::array::from_fn(|_| AtomicU32::new(1)),
            calm: AtomicBool::new(false),
            faults: Mutex::default(),
            zero: Instant::now(),
            told: (telling == Telling::Told).then(Mutex::default),
        }
    }

    /// A number below `bound`.
    pub fn below(&self, source: Source, bound: u32) -> u32 {
        let bound = bound.max(1);
        let mut drawn = lock(&self.drawn);
        let tape = &mut drawn.0[source as usize];
        let value = match &self.choices {
            Choices::Tape(given) => given.0[source as usize].get(tape.len()).copied().unwrap_or(0) % bound,
            Choices::Seed(_) => {
                let state = &mut lock(&self.states)[source as usize];
                *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
                u32::try_from(mix(*state) % u64::from(bound)).unwrap_or_default()
            }
        };
        tape.push(value);
        value
    }

    /// What goes wrong: a number below `bound`, zero in calm. The rarer the source's mishaps, the more often it is none
    /// of those that its caller knows.
    pub fn mishap(&self, source: Source, bound: u32) -> u32 {
        let rarity = self.rarity[source as usize].load(Ordering::Relaxed);
        if self.is_calm() { 0 } else { self.below(source, bound * rarity) }
    }

    pub fn make_rarer(&self, source: Source, times: u32) {
        self.rarity[source as usize].store(times, Ordering::Relaxed);
    }

    pub fn millis(&self, source: Source, bound: u32) -> Duration {
        Duration::from_millis(self.below(source, bound).into())
    }

    /// From here on nothing goes wrong.
    pub fn calm_down(&self) {
        self.calm.store(true, Ordering::Relaxed);
        self.tell(|| "from here on nothing goes wrong".to_owned());
    }

    pub fn is_calm(&self) -> bool {
        self.calm.load(Ordering::Relaxed)
    }

    /// Counts something that goes wrong.
    pub fn fault(&self, kind: &'static str, detail: impl FnOnce() -> String) {
        *lock(&self.faults).entry(kind).or_default() += 1;
        self.tell(|| format!("    fault: {kind}: {}", detail()));
    }

    /// Writes a line of the story.
    pub fn tell(&self, line: impl FnOnce() -> String) {
        if let Some(told) = &self.told {
            let at = self.zero.elapsed();
            lock(told).push(format!("{:>6}.{:03}  {}", at.as_secs(), at.subsec_millis(), line()));
        }
    }

    /// Since the beginning.
    pub fn elapsed(&self) -> Duration {
        self.zero.elapsed()
    }

    pub fn faults(&self) -> BTreeMap<&'static str, u32> {
        lock(&self.faults).clone()
    }

    pub fn drawn(&self) -> Tape {
        lock(&self.drawn).clone()
    }

    pub fn story(&self) -> Vec<String> {
        self.told.as_ref().map(|told| lock(told).clone()).unwrap_or_default()
    }
}

/// An outcome in a word.
pub fn said<T, E: Display>(result: &Result<T, E>) -> String {
    result.as_ref().map_or_else(ToString::to_string, |_| "done".to_owned())
}

pub fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// splitmix64
const fn mix(state: u64) -> u64 {
    let mut z = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
