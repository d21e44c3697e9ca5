//! A run that is to end early: when that counts, and how often it is said that it does not.

use std::time::Duration;

use super::fixtures::*;
use crate::saga::{Event, Monotonic, Occasion, Plan, State, Tenure, Transition, Wishes, step};

/// When a run is looked at again whose own deadline is `seconds` after its start.
fn wakes(plan: &Plan, state: &State, seconds: Option<u64>) -> Option<Monotonic> {
    let active_deadline = seconds.map(Duration::from_secs);
    step(plan, state, &[Event::Wished(Wishes { active_deadline, ..wishes() })], at(1_500)).wake_at
}

fn says_too_late(transition: &Transition) -> bool {
    transition.notes.iter().any(|note| note.occasion == Occasion::TooLate)
}

#[test]
fn a_run_is_looked_at_again_at_its_deadline_as_long_as_that_counts() {
    let (order, trip) = (order(), trip());
    assert_eq!(wakes(&order, &forward(&order, 1), Some(2)), Some(at(2_000).monotonic));
    let undoing = turned(&order, 1);
    assert_eq!(wakes(&order, &undoing, Some(2)), wakes(&order, &undoing, None), "it is undone anyway");
    let committed = paid(&trip);
    assert_eq!(wakes(&trip, &committed, Some(2)), wakes(&trip, &committed, None), "it goes on to its end anyway");
}

#[test]
fn who_takes_a_run_over_does_not_say_again_that_it_is_too_late_to_cancel() {
    let first = trip();
    let refused = land(&first, &paid(&first), &[cancelled(2)], at(400));
    assert!(says_too_late(&refused));
    assert_eq!(refused.state.stored.observed_generation, 2);
    let next = plan(Ok(definition(TRIP)), "b", Tenure::Exclusive);
    let mut fresh = State::default();
    fresh.observe(refused.state.stored, at(10_000));
    let taken = land(&next, &fresh, &[cancelled(2)], at(10_000));
    assert!(taken.changed && taken.state.local.owned, "it has been taken over");
    assert!(!says_too_late(&taken), "{:?}", taken.notes);
    let looked = step(&next, &taken.state, &[Event::Tick], at(10_100));
    assert!(!says_too_late(&looked), "{:?}", looked.notes);
}
