//! Who may act, and what is taken from whom; wishes that come at awkward times.

use std::time::Duration;

use serde_json::{Value, json};

use super::fixtures::*;
use crate::api::Reason;
use crate::api::run::EndPolicy;
use crate::saga::state::Phase;
use crate::saga::{
    CallId, Cancellation, Effect, End, Event, Fence, Holder, Plan, State, Tenure, Transition, Unready, Wishes, step,
};

/// What a fresh process knows of a stored run.
fn fresh(state: &State) -> State {
    let mut fresh = State::default();
    fresh.observe(state.stored.clone(), at(10_000));
    fresh
}

fn by(holder: &str, tenure: Tenure) -> Plan {
    plan(Ok(definition(ORDER)), holder, tenure)
}

fn cancel(policy: EndPolicy) -> Event {
    let cancellation = Some(Cancellation { policy, reason: String::new() });
    Event::Wished(Wishes { generation: 2, cancellation, ..Wishes::default() })
}

fn suspended(generation: i64, suspend: bool) -> Event {
    Event::Wished(Wishes { generation, suspend, ..Wishes::default() })
}

fn forward_call(transition: &Transition, step: usize) -> &crate::saga::CallRecord {
    &transition.state.stored.steps[step].forward
}

#[test]
fn the_tenth_takeover_of_one_attempt_counts_it_as_used() {
    let mut state = forward(&order(), 1);
    for number in 1..=9 {
        let taken = land(&by(&format!("p{number}"), Tenure::Exclusive), &fresh(&state), &[wished()], at(10_000));
        let call = forward_call(&taken, 1).clone();
        assert_eq!((call.attempts, call.doubtful, call.takeovers), (1, 1, number));
        state = taken.state;
    }
    let tenth = land(&by("p10", Tenure::Exclusive), &fresh(&state), &[wished()], at(10_000));
    let call = forward_call(&tenth, 1);
    assert_eq!((call.attempts, call.doubtful, call.takeovers), (2, 1, 0));
    assert_eq!(call.phase, Phase::Waiting);
}

#[test]
fn another_owner_is_given_the_time_of_its_open_call_and_a_margin() {
    let plan = by("b", Tenure::Contended);
    let first = step(&plan, &fresh(&forward(&order(), 1)), &[wished()], at(10_000));
    assert!(!first.changed);
    assert_eq!(first.wake_at, Some(at(25_000).monotonic), "10 s of the call and 5 s");
    assert!(!step(&plan, &first.state, &[Event::Tick], at(24_999)).changed);
    let taken = step(&plan, &first.state, &[Event::Tick], at(25_000));
    assert_eq!(taken.state.stored.holder, Some(Holder::new("b")));
}

#[test]
fn the_elected_takes_a_run_at_once_however_often_its_write_is_refused() {
    let plan = by("b", Tenure::Elected);
    let mut state = fresh(&forward(&order(), 1));
    for holder in ["a", "a2"] {
        state.stored.holder = Some(Holder::new(holder));
        let taken = step(&plan, &state, &[wished()], at(10_000));
        assert_eq!(taken.state.stored.holder, Some(Holder::new("b")), "from {holder}");
        state.not_landed(&taken);
    }
}

#[test]
fn the_elected_that_loses_a_run_waits_like_everyone_else() {
    let plan = by("b", Tenure::Elected);
    let mut state = land(&plan, &fresh(&forward(&order(), 1)), &[wished()], at(10_000)).state;
    let other = land(&by("c", Tenure::Elected), &fresh(&state), &[wished()], at(11_000)).state;
    state.observe(other.stored, at(12_000));
    let waits = step(&plan, &state, &[wished()], at(12_000));
    assert!(!waits.changed);
    assert_eq!(waits.wake_at, Some(at(27_000).monotonic), "10 s of the call and 5 s");
    assert!(step(&plan, &waits.state, &[Event::Tick], at(27_000)).changed);
}

#[test]
fn an_owner_that_had_nothing_to_do_is_given_its_time_from_when_it_has() {
    let idle = land(&order(), &forward(&order(), 0), &[suspended(2, true)], at(100));
    let event = answered(&idle.state, CallId::forward(0), ok());
    let idle = land(&order(), &idle.state, &[event], at(200)).state;
    let plan = by("b", Tenure::Contended);
    let waiting = step(&plan, &fresh(&idle), &[suspended(2, true)], at(10_000));
    assert!(!waiting.changed, "nothing is due");
    let resumed = step(&plan, &waiting.state, &[suspended(3, false)], at(90_000));
    assert!(!resumed.changed);
    assert_eq!(resumed.wake_at, Some(at(95_000).monotonic));
    assert!(step(&plan, &resumed.state, &[Event::Tick], at(95_000)).changed);
}

#[test]
fn who_waits_for_another_owner_comes_back_when_a_deadline_falls_due() {
    let idle = land(&order(), &forward(&order(), 0), &[suspended(2, true)], at(100));
    let event = answered(&idle.state, CallId::forward(0), ok());
    let idle = land(&order(), &idle.state, &[event], at(200)).state;
    let waiting = step(&by("b", Tenure::Contended), &fresh(&idle), &[suspended(2, true)], at(10_000));
    assert_eq!(waiting.wake_at, Some(at(600_000).monotonic));
}

#[test]
fn a_takeover_with_nothing_but_a_wait_ahead_is_a_write_all_the_same() {
    // The action timed out, the run turned, and its owner died before it compensated.
    let plan = order();
    let mut state = forward(&plan, 0);
    let lost = answered(&state, CallId::forward(0), lost());
    state = land(&plan, &state, &[lost, cancel(EndPolicy::Compensate)], at(100)).state;
    state.stored.steps[0].compensation = None;
    let taken = land(&by("a", Tenure::Exclusive), &fresh(&state), &[cancel(EndPolicy::Compensate)], at(10_000));
    assert!(taken.changed, "even under the same name");
    assert!(taken.effects.is_empty());
    let later = step(&by("a", Tenure::Exclusive), &taken.state, &[Event::Tick], at(10_001));
    assert_eq!((later.changed, later.wake_at), (false, Some(at(25_000).monotonic)));
    let undone = step(&by("a", Tenure::Exclusive), &taken.state, &[Event::Tick], at(25_000));
    assert!(matches!(&undone.effects[..], [Effect::Send(intent)] if intent.call == CallId::compensate(0)));
}

#[test]
fn a_takeover_while_suspended_stores_doubt_and_sends_nothing() {
    let taken = land(&by("b", Tenure::Exclusive), &fresh(&forward(&order(), 1)), &[suspended(2, true)], at(10_000));
    let call = forward_call(&taken, 1).clone();
    assert_eq!((call.phase, call.doubtful, call.open), (Phase::Waiting, 1, None));
    let resumed = land(&by("b", Tenure::Exclusive), &taken.state, &[suspended(3, false)], at(20_000));
    let call = forward_call(&resumed, 1).clone();
    assert_eq!((call.phase, call.attempts, call.doubtful), (Phase::Running, 1, 1));
    let event = answered(&resumed.state, CallId::forward(1), http(500, Value::Null));
    let again = step(&by("b", Tenure::Exclusive), &resumed.state, &[event], at(20_001));
    assert_eq!(forward_call(&again, 1).doubtful, 1, "one attempt is counted once");
}

#[test]
fn an_abandoned_run_closes_what_a_suspension_held() {
    let plan = order();
    let held = land(&plan, &forward(&plan, 0), &[suspended(2, true)], at(100)).state;
    for (answer, outcome) in [(http(429, Value::Null), Phase::Failed), (lost(), Phase::Unknown)] {
        let event = answered(&held, CallId::forward(0), answer);
        let waiting = land(&plan, &held, &[event], at(200)).state;
        let wish = Cancellation { policy: EndPolicy::Abandon, reason: String::new() };
        let wish = Wishes { generation: 3, suspend: true, cancellation: Some(wish), ..Wishes::default() };
        let ended = step(&plan, &waiting, &[Event::Wished(wish)], at(300));
        assert_eq!(ended.state.stored.end, Some(End::Abandoned));
        assert_eq!(forward_call(&ended, 0).phase, outcome);
    }
}

#[test]
fn at_the_commit_point_neither_cancellation_nor_deadline_turns_a_run() {
    let plan = order();
    let state = forward(&plan, 2);
    for (event, millis) in [(cancel(EndPolicy::Compensate), 500), (Event::Tick, 600_001)] {
        let done = answered(&state, CallId::forward(3), http(200, json!({"percent": 1})));
        let transition = step(&plan, &state, &[done, event], at(millis));
        assert_eq!(transition.state.stored.end, Some(End::Succeeded));
    }
}

#[test]
fn a_spec_older_than_the_one_decided_on_is_not_acted_on() {
    let plan = order();
    let held = land(&plan, &forward(&plan, 1), &[suspended(5, true)], at(500)).state;
    let transition = step(&plan, &held, &[suspended(4, false)], at(600));
    assert!(!transition.changed);
    assert!(transition.state.local.wishes.unwrap().suspend);
}

#[test]
fn an_answer_that_comes_while_the_definition_is_gone_is_asked_for_again() {
    let mut plan = order();
    let state = forward(&plan, 1);
    let event = answered(&state, CallId::forward(1), http(500, Value::Null));
    let definition = std::mem::replace(&mut plan.definition, Err(Unready::RevisionNotFound("order-1".into())));
    let lost = land(&plan, &state, &[event], at(500)).state;
    assert_eq!(lost.stored.failure, None, "without its rules an answer says nothing");
    plan.definition = definition;
    let found = step(&plan, &lost, &[Event::Tick], at(600));
    let call = forward_call(&found, 1);
    assert_eq!((call.attempts, call.doubtful, call.phase), (1, 1, Phase::Running));
    assert_eq!(found.effects.len(), 1);
}

#[test]
fn what_was_withdrawn_for_a_write_that_did_not_land_is_in_doubt_and_stored_again() {
    let plan = order();
    let state = forward(&plan, 0);
    let event = answered(&state, CallId::forward(0), http(429, Value::Null));
    let mut state = {
        let mut scheduled = step(&plan, &state, &[event], at(100)).state;
        scheduled.landed(at(100));
        scheduled
    };
    let held = step(&plan, &state, &[suspended(2, true)], at(200));
    assert_eq!(held.effects, [Effect::Withdraw(CallId::forward(0))]);
    state.not_landed(&held);
    assert!(state.local.tried >= held.state.stored.fence);
    let again = step(&plan, &state, &[suspended(3, false)], at(300));
    assert!(again.state.stored.fence > held.state.stored.fence, "a fence is tried once");
    assert!(matches!(&again.effects[..], [Effect::Send(intent)] if intent.attempt == 2));
}

#[test]
fn an_answer_under_another_fence_is_late() {
    let plan = order();
    let state = forward(&plan, 1);
    for (call, fence) in
        [(CallId::forward(1), Fence(1)), (CallId::forward(0), Fence(1)), (CallId::forward(99), Fence(2))]
    {
        let event = Event::Answered { call, fence, answer: ok() };
        assert!(!step(&plan, &state, &[event], at(500)).changed);
    }
}

#[test]
fn a_step_that_cannot_be_begun_is_undone_in_the_same_decision() {
    let mut plan = order();
    plan.input = std::sync::Arc::new(json!({"orderId": "o", "amount": 1}));
    let state = forward(&plan, 1);
    let event = answered(&state, CallId::forward(1), ok());
    let transition = step(&plan, &state, &[event], at(500));
    assert_eq!(transition.state.stored.failure.unwrap().reason, Reason::ExpressionError, "`when` asks for a gift");
    assert!(matches!(&transition.effects[..], [Effect::Send(intent)] if intent.call == CallId::compensate(1)));
}

#[test]
fn a_scheduled_attempt_is_cut_to_what_the_deadline_leaves() {
    let plan = order();
    let state = forward(&plan, 0);
    let event = answered(&state, CallId::forward(0), http(429, Value::Null));
    let transition = step(&plan, &state, &[event], at(595_000));
    let [Effect::Send(intent)] = &transition.effects[..] else { panic!("{:?}", transition.effects) };
    assert_eq!(intent.timeout, Duration::from_secs(4), "5 s are left, 1 s of them is waited");
    assert_eq!(intent.expires, at(600_000).monotonic);
}
