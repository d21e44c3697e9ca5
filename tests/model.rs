//! Every state that a small saga can get into, whatever goes wrong, visited one by one.
//!
//! # Flow
//! A [scenario](model::scenario) is a definition, one owner or two, participants that keep their promises or not, and
//! what may go wrong. The [search](model::search) lets everything happen that can happen next, from every
//! [world](model::world) that it finds. What decides is the real `saga::step`; around it, [processes](model::process)
//! keep the contract of the engine, one step at a time: decide, store, hear of the write, send. Between any two of these
//! a process may die or stand still, and another may act.
//!
//! # Guarantees
//! What the printed line of a scenario says: every history with at most so many faults was followed, I2 to I5, I7 and I8
//! checked at every write, I1, I3 and I7 at every request, I6 wherever nothing is under way, and L1 from every world.
//!
//! # Assumptions
//! Quorum reads show what landed. Monotonic clocks run at the same rate. Requests and looks are served one at a time.
//!
//! # Caveats
//! Not modelled: the finalizer, a definition or revision that goes away, a process that drains. Times between the
//! interesting moments are one time.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

mod model {
    pub mod fingerprint;
    pub mod process;
    pub mod promise;
    pub mod scenario;
    pub mod search;
    pub mod service;
    pub mod store;
    pub mod table;
    pub mod world;
}

use std::sync::Mutex;

use model::scenario::Scenario;
use model::search::{Found, explore};
use model::table;

/// Worlds to visit in all, unless `SAGA_MODEL_STATES` says otherwise.
const STATES: usize = 200_000;
/// As `STATES`, where `SAGA_PROVE` asks for a proof.
const STATES_OF_A_PROOF: usize = 10_000_000;

#[test]
fn in_every_state_within_reach_the_promises_hold_and_weaker_participants_break_what_the_table_says() {
    let usual = if std::env::var_os("SAGA_PROVE").is_some() { STATES_OF_A_PROOF } else { STATES };
    let wanted = std::env::var("SAGA_MODEL_STATES").map_or(usual, |states| states.parse().unwrap());
    let only = std::env::var("SAGA_MODEL_ONLY").unwrap_or_default();
    let scenarios: Vec<Scenario> = table::strong().into_iter().chain(table::weak()).collect();
    let chosen = scenarios.into_iter().filter(|scenario| scenario.name.contains(&only));
    let found = side_by_side(chosen.collect(), wanted);
    let states: usize = found.iter().map(|found| found.states).sum();
    println!("model: {states} unique states");
    let broken: Vec<String> = found.iter().filter_map(Found::broken).collect();
    assert!(broken.is_empty(), "{}", broken.join("\n\n"));
    assert!(states >= wanted || !only.is_empty(), "{states} states, where {wanted} were wanted");
}

/// Explores scenarios on all processors, the first ones first. What one does not need the others may use; the last one waits
/// until it is known what that is.
fn side_by_side(mut scenarios: Vec<Scenario>, wanted: usize) -> Vec<Found> {
    let Some(last) = scenarios.pop() else { return Vec::new() };
    let count = scenarios.len() + 1;
    let work = Mutex::new((scenarios.into_iter().enumerate(), wanted));
    let found = Mutex::new(Vec::new());
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let mut queue = work.lock().unwrap();
                    let Some((index, scenario)) = queue.0.next() else { return };
                    let share = queue.1.div_ceil(count - index);
                    queue.1 -= share;
                    drop(queue);
                    let result = told(explore(scenario, share));
                    // What was not there to be visited.
                    work.lock().unwrap().1 += share.saturating_sub(result.states);
                    found.lock().unwrap().push(result);
                }
            });
        }
    });
    let mut found = found.into_inner().unwrap();
    found.push(told(explore(last, work.into_inner().unwrap().1)));
    found
}

fn told(found: Found) -> Found {
    println!("{}", found.line());
    found
}
