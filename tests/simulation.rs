//! The engine keeps every promise whatever goes wrong: one seed, one life.
//!
//! # Flow
//! A seed draws a world (a definition, runs, processes, how often what goes wrong), and then everything that happens in it:
//! what users do, when processes die or stand still, what becomes of each read, write, request and piece of news. Time is
//! virtual. In the end nothing goes wrong any more, everybody settles, and the oracle judges what was stored, what was sent
//! and what took effect. A seed that breaks a promise is shrunk to a short story, which is printed.
//!
//! # How to use it
//! `cargo test --test simulation` lives through the first 20,000 seeds. `SAGA_SEEDS` and `SAGA_FIRST_SEED` choose others.
//! `SAGA_SEED=17 cargo test --test simulation replay -- --nocapture` tells the life of one seed, and, if it breaks a
//! promise, the shortest life found that breaks it too.
//!
//! # Guarantees
//! A seed lives the same life on every machine, to the last word of its story.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

mod engine;

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use engine::fate::{Choices, Tape, Telling, lock};
use engine::life::{Life, live, live_with};
use engine::services::Weakness;
use engine::shrink::shrink;

/// Lives that are tried to find a shorter story.
const TRIES: u32 = 4000;
/// Lives in one run of all tests.
const SEEDS: u64 = 20_000;

#[test]
fn every_promise_is_kept_whatever_goes_wrong() {
    let (first, count) = (number("SAGA_FIRST_SEED").unwrap_or(0), number("SAGA_SEEDS").unwrap_or(SEEDS));
    let (next, tally) = (AtomicU64::new(0), Mutex::new(Tally::default()));
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                let mut own = Tally::default();
                loop {
                    let seed = first + next.fetch_add(1, Ordering::Relaxed);
                    if seed >= first + count || !lock(&tally).broken.is_empty() {
                        break;
                    }
                    own.count(seed, &live(Choices::Seed(seed), Telling::Untold));
                    if !own.broken.is_empty() {
                        break;
                    }
                }
                lock(&tally).add(own);
            });
        }
    });
    let tally = tally.into_inner().unwrap();
    println!("{}", tally.told());
    if let Some((seed, broken)) = tally.broken.first_key_value() {
        println!("seed {seed}: {broken:#?}\nlooking for the shortest life that breaks it");
        panic!("seed {seed}: {broken:#?}\n{}", explained(*seed));
    }
    assert_eq!(tally.seeds, count);
    assert!(count < 100 || tally.faults() >= 20 * count, "too little goes wrong: {}", tally.told());
}

#[test]
fn a_replay_of_a_seed_tells_the_same_story() {
    if let Some(seed) = number("SAGA_SEED") {
        let life = live(Choices::Seed(seed), Telling::Told);
        println!("{}\n{} faults: {:?}", life.story.join("\n"), life.faults.values().sum::<u32>(), life.faults);
        println!("broken: {:#?}", life.broken);
        assert!(life.broken.is_empty(), "seed {seed}: {:#?}\n{}", life.broken, explained(seed));
        return;
    }
    for seed in 0..200 {
        let (once, again) = (live(Choices::Seed(seed), Telling::Told), live(Choices::Seed(seed), Telling::Told));
        same(seed, &once, &again);
        same(seed, &once, &live(Choices::Tape(once.tape.clone()), Telling::Told));
    }
}

/// An oracle that never spoke is not trusted: what is wrong on purpose must be found, and told in a few lines.
#[test]
fn what_is_wrong_on_purpose_is_found_and_told_as_a_short_story() {
    for (weakness, promise) in
        [(Weakness::ForgetsKeys, "I6"), (Weakness::IgnoresFences, "I6"), (Weakness::SendsTwice, "I1")]
    {
        let broken = |choices| first_broken(&live_with(choices, Telling::Untold, Some(weakness)).broken);
        let breaks = |seed: &u64| broken(Choices::Seed(*seed)).as_deref() == Some(promise);
        let fails = |tape: &Tape| broken(Choices::Tape(tape.clone())).as_deref() == Some(promise);
        // Some stories stay long however simple they are made: those that wait for a busy participant.
        let lives = (0..3000).filter(breaks).take(8).map(|seed| {
            let tape = live_with(Choices::Seed(seed), Telling::Untold, Some(weakness)).tape;
            live_with(Choices::Tape(shrink(tape, TRIES / 4, fails)), Telling::Told, Some(weakness))
        });
        let mut lives = lives.peekable();
        assert!(lives.peek().is_some(), "{weakness:?} breaks nothing");
        let short = lives.find(|life| life.story.len() < 60);
        let Some(short) = short else { panic!("{weakness:?}: no story of fewer than 60 lines") };
        println!("{weakness:?}:\n{}\n{:?}\n", short.story.join("\n"), short.broken);
    }
}

fn same(seed: u64, once: &Life, again: &Life) {
    assert!(once.story.len() > 10, "seed {seed} tells nothing");
    let differs = once.story.iter().zip(&again.story).position(|(one, other)| one != other);
    if let Some(at) = differs {
        panic!("seed {seed} differs from line {at} on:\n{}\n{}", once.story[at], again.story[at]);
    }
    assert_eq!(once.story.len(), again.story.len(), "seed {seed}: one story is longer");
    assert_eq!((&once.tape, &once.ends, &once.broken), (&again.tape, &again.ends, &again.broken), "seed {seed}");
}

/// The shortest story that breaks the same promise as a seed.
fn explained(seed: u64) -> String {
    let life = live(Choices::Seed(seed), Telling::Untold);
    let wanted = first_broken(&life.broken);
    let fails = |tape: &Tape| first_broken(&live(Choices::Tape(tape.clone()), Telling::Untold).broken) == wanted;
    let short = live(Choices::Tape(shrink(life.tape, TRIES, fails)), Telling::Told);
    format!(
        "the shortest life found that breaks it:\n{}\nbroken: {:#?}\nto see the whole of it: SAGA_SEED={seed} cargo test \
         --test simulation replay -- --nocapture",
        short.story.join("\n"),
        short.broken
    )
}

/// The name of the first promise that is broken.
fn first_broken(broken: &[String]) -> Option<String> {
    broken.first().and_then(|text| text.split(':').next().map(str::to_owned))
}

#[derive(Default)]
struct Tally {
    seeds: u64,
    faults: BTreeMap<&'static str, u64>,
    ends: BTreeMap<String, u64>,
    broken: BTreeMap<u64, Vec<String>>,
}

impl Tally {
    fn count(&mut self, seed: u64, life: &Life) {
        self.seeds += 1;
        life.faults.iter().for_each(|(kind, count)| *self.faults.entry(kind).or_default() += u64::from(*count));
        life.ends.iter().for_each(|(end, count)| *self.ends.entry(end.clone()).or_default() += u64::from(*count));
        if !life.broken.is_empty() {
            self.broken.insert(seed, life.broken.clone());
        }
    }

    fn add(&mut self, other: Self) {
        self.seeds += other.seeds;
        other.faults.into_iter().for_each(|(kind, count)| *self.faults.entry(kind).or_default() += count);
        other.ends.into_iter().for_each(|(end, count)| *self.ends.entry(end).or_default() += count);
        self.broken.extend(other.broken);
    }

    fn faults(&self) -> u64 {
        self.faults.values().sum()
    }

    fn told(&self) -> String {
        let runs: u64 = self.ends.values().sum();
        let list = |counts: Vec<(String, u64)>| {
            counts.iter().map(|(what, count)| format!("\n  {count:>9} {what}")).collect::<String>()
        };
        format!(
            "{} seeds, {runs} runs, {} faults injected\nends:{}\nfaults:{}",
            self.seeds,
            self.faults(),
            list(self.ends.iter().map(|(end, count)| (end.clone(), *count)).collect()),
            list(self.faults.iter().map(|(kind, count)| ((*kind).to_owned(), *count)).collect()),
        )
    }
}

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable} is no number: '{text}'")))
}
