//! Every state that a small saga can get into, whatever goes wrong, visited one by one.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

mod model {
    pub mod fingerprint;
    pub mod process;
    pub mod promise;
    pub mod scenario;
    pub mod search;
    pub mod service;
    pub mod store;
    pub mod world;
}

use model::scenario::{Scenario, sequence};
use model::search::explore;

#[test]
fn try_it() {
    let states: usize = std::env::var("SAGA_MODEL_STATES").ok().and_then(|s| s.parse().ok()).unwrap_or(20_000);
    let begun = std::time::Instant::now();
    for scenario in [
        Scenario::new("one step", sequence(1, 1)),
        Scenario { refuses: Some(1), ..Scenario::new("two steps, the second refused", sequence(2, 2)) },
    ] {
        let found = explore(scenario, states, 9);
        println!(
            "{}: {} states, {} transitions, depth {}, complete {:?}, checks {}, {:?}, {:?}, {:?}",
            found.name,
            found.states,
            found.transitions,
            found.depth,
            found.complete,
            found.checks,
            found.anomalies,
            found.levels,
            begun.elapsed()
        );
        if let Some(broken) = found.broken {
            println!("{broken}");
        }
    }
}
