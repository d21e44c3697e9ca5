//! Chance that is the same for the same seed.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// splitmix64. Zero is always the harmless choice, and once it is calm the only one.
pub struct Chance {
    state: Mutex<u64>,
    calm: AtomicBool,
}

impl Chance {
    pub fn new(seed: u64) -> Self {
        Self { state: Mutex::new(seed), calm: AtomicBool::new(false) }
    }

    pub fn below(&self, bound: u64) -> u64 {
        let mut state = self.state.lock().unwrap();
        *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = *state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }

    /// What goes wrong: zero in calm.
    pub fn mishap(&self, bound: u64) -> u64 {
        if self.is_calm() { 0 } else { self.below(bound) }
    }

    pub fn millis(&self, bound: u64) -> Duration {
        Duration::from_millis(self.below(bound))
    }

    pub fn calm_down(&self) {
        self.calm.store(true, Ordering::Relaxed);
    }

    pub fn is_calm(&self) -> bool {
        self.calm.load(Ordering::Relaxed)
    }
}
