//! A process that is about to end: what it gives up at once, and what it still waits for.

use serde_json::Value;

use super::fixtures::*;
use crate::api::Reason;
use crate::saga::{CallId, Effect, End, Event, Plan, State, Transition, step};

/// The process is asked to end, and looks at a run.
fn drained(plan: &Plan, mut state: State) -> Transition {
    state.local.draining = true;
    step(plan, &state, &[Event::Tick], at(5_000))
}

#[test]
fn a_run_with_nothing_on_the_wire_is_given_up_at_once() {
    let plan = order();
    let called = forward(&plan, 1);
    let refused = answered(&called, CallId::forward(1), http_after(503, 600));
    // Stored and not sent: its time has not come.
    let mut waiting = step(&plan, &called, &[refused], at(2_000)).state;
    waiting.landed(at(2_000));
    assert!(waiting.local.owned && waiting.stored.holder.is_some());
    let given_up = drained(&plan, waiting);
    assert!(given_up.changed, "the next process is told by a write");
    assert_eq!(given_up.state.stored.holder, None);
    assert!(!given_up.state.local.owned);
}

#[test]
fn a_call_that_is_only_followed_is_left_to_the_next_process() {
    let plan = order();
    let called = forward(&plan, 1);
    let followed = land(&plan, &called, &[answered(&called, CallId::forward(1), accepted("/jobs/1"))], at(2_000)).state;
    let given_up = drained(&plan, followed);
    assert_eq!(given_up.state.stored.holder, None);
    assert!(given_up.effects.contains(&Effect::Cut(CallId::forward(1))), "it asks no more: {:?}", given_up.effects);
    assert!(!given_up.state.local.own.contains_key(&CallId::forward(1)));
    // The next one asks where this one did.
    let open = given_up.state.stored.steps[1].forward.open.as_ref().expect("still in progress");
    assert!(open.location.is_some());
}

#[test]
fn a_call_on_the_wire_is_waited_for_and_nothing_new_follows_its_answer() {
    let plan = order();
    let called = forward(&plan, 1);
    let kept = drained(&plan, called.clone());
    assert_eq!(kept.state.stored.holder, called.stored.holder);
    assert!(kept.state.local.owned && !kept.changed);
    let mut draining = called;
    draining.local.draining = true;
    let answer = answered(&draining, CallId::forward(1), ok());
    let given_up = step(&plan, &draining, &[answer], at(5_000));
    assert!(!given_up.effects.iter().any(|effect| matches!(effect, Effect::Send(_))), "{:?}", given_up.effects);
    assert_eq!(given_up.state.stored.holder, None);
}

#[test]
fn a_run_that_has_ended_is_not_given_up_but_done() {
    let plan = order();
    let mut state = turned(&plan, 0);
    let open = state.stored.open_calls().map(|(call, ..)| call).next();
    if let Some(call) = open {
        state = land(&plan, &state, &[answered(&state, call, http(200, Value::Null))], at(3_000)).state;
    }
    assert_eq!(state.stored.end, Some(End::Compensated));
    assert_eq!(state.stored.failure.as_ref().map(|failure| failure.reason), Some(Reason::Rejected));
    let looked_at = drained(&plan, state.clone());
    assert!(!looked_at.changed);
    assert_eq!((looked_at.state.local.owned, looked_at.state.stored), (state.local.owned, state.stored));
}
