//! From a life that breaks a promise to the simplest one that does.
//!
//! # Flow
//! Parts of the tape are taken out or set to zero, the largest first, and what still breaks the same promise is kept, until
//! nothing can be made simpler or so many lives were tried.

use super::fate::{SOURCES, Tape};

/// The simplest tape that `fails`, as far as `tries` lives can tell.
pub fn shrink(tape: Tape, tries: u32, fails: impl Fn(&Tape) -> bool) -> Tape {
    let mut shrinker = Shrinker { best: tape, left: tries, fails };
    loop {
        let before = shrinker.best.clone();
        for source in 0..SOURCES {
            shrinker.cut_the_end(source);
            shrinker.in_chunks(source, |chunk| chunk.fill(0));
            shrinker.take_out(source);
            shrinker.make_smaller(source);
        }
        if shrinker.best == before || shrinker.left == 0 {
            return shrinker.best;
        }
    }
}

struct Shrinker<F> {
    best: Tape,
    left: u32,
    fails: F,
}

impl<F: Fn(&Tape) -> bool> Shrinker<F> {
    /// Keeps a tape that is simpler and still fails.
    fn keep(&mut self, simpler: Tape) -> bool {
        if self.left == 0 || simpler == self.best {
            return false;
        }
        self.left -= 1;
        let fails = (self.fails)(&simpler);
        if fails {
            self.best = simpler;
        }
        fails
    }

    fn cut_the_end(&mut self, source: usize) {
        let mut cut = self.best.0[source].len();
        while cut > 0 {
            let mut simpler = self.best.clone();
            let keep = simpler.0[source].len().saturating_sub(cut);
            simpler.0[source].truncate(keep);
            if !self.keep(simpler) {
                cut /= 2;
            }
            cut = cut.min(self.best.0[source].len());
        }
    }

    fn in_chunks(&mut self, source: usize, change: impl Fn(&mut [u32])) {
        let mut size = self.best.0[source].len().next_power_of_two();
        while size > 0 {
            let mut at = 0;
            while at < self.best.0[source].len() {
                let mut simpler = self.best.clone();
                let end = (at + size).min(simpler.0[source].len());
                change(&mut simpler.0[source][at..end]);
                self.keep(simpler);
                at += size;
            }
            size /= 2;
        }
    }

    fn take_out(&mut self, source: usize) {
        for size in [16, 8, 4, 2, 1] {
            let mut at = 0;
            while at + size <= self.best.0[source].len() {
                let mut simpler = self.best.clone();
                simpler.0[source].drain(at..at + size);
                if !self.keep(simpler) {
                    at += size;
                }
            }
        }
    }

    fn make_smaller(&mut self, source: usize) {
        for at in 0..self.best.0[source].len() {
            while let Some(value @ 2..) = self.best.0[source].get(at).copied() {
                let mut simpler = self.best.clone();
                simpler.0[source][at] = value / 2;
                if !self.keep(simpler) {
                    break;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_matter_goes_and_what_matters_stays() {
        let mut tape = Tape::default();
        tape.0[1] = (0..200).collect();
        tape.0[2] = vec![7; 50];
        let fails = |tape: &Tape| tape.0[1].iter().any(|value| *value >= 90) && tape.0[2].contains(&7);
        let mut simplest = Tape::default();
        simplest.0[1] = vec![90];
        simplest.0[2] = vec![7];
        let found = shrink(tape, 5000, fails);
        assert_eq!(found.0[2], simplest.0[2]);
        assert!(found.0[1].len() == 1 && (90..180).contains(&found.0[1][0]), "{found:?}");
    }
}
