//! The Pivot, what comes after it, confirms, and the order of undoing: a sentence of semantics.md each.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::fixtures::*;
use crate::api::Reason;
use crate::api::run::{Direction, EndPolicy, InterventionAction, InterventionOutcome};
use crate::saga::state::{MARGIN, Phase};
use crate::saga::{
    CallId, CallRecord, Cancellation, Effect, End, Event, Intervention, Mode, Plan, State, Tenure, Transition, Unready,
    Wishes, step,
};

const HOTEL: usize = 0;
const FLIGHT: usize = 1;
const PAY: usize = 2;
const TICKET: usize = 3;
const MAIL: usize = 4;

/// A run of [`TRIP`] whose Pivot is on the wire.
fn paying(plan: &Plan) -> State {
    let mut state = land(plan, &State::default(), &[wished()], at(0)).state;
    for (millis, index) in [(100, HOTEL), (200, FLIGHT)] {
        let event = answered(&state, CallId::forward(index), http(200, json!({"id": "h-1"})));
        state = land(plan, &state, &[event], at(millis)).state;
    }
    state
}

/// A run of [`TRIP`] past its commit point.
fn paid(plan: &Plan) -> State {
    let state = paying(plan);
    let event = answered(&state, CallId::forward(PAY), http(200, Value::Null));
    land(plan, &state, &[event], at(300)).state
}

fn call(state: &State, call: CallId) -> &CallRecord {
    state.stored.steps[call.step].call(call.direction).unwrap()
}

fn hear(plan: &Plan, state: &State, id: CallId, answer: crate::saga::Answer, millis: u64) -> Transition {
    land(plan, state, &[answered(state, id, answer)], at(millis))
}

fn wish(generation: i64, change: impl FnOnce(&mut Wishes)) -> Event {
    let mut wishes = spec_of(generation);
    change(&mut wishes);
    Event::Wished(wishes)
}

fn cancelled(generation: i64) -> Event {
    let cancellation = Cancellation { policy: EndPolicy::Compensate, reason: String::new() };
    wish(generation, |wishes| wishes.cancellation = Some(cancellation))
}

fn decision(id: &str, name: &str, direction: Direction, action: InterventionAction) -> Intervention {
    Intervention {
        id: id.into(),
        step: name.into(),
        direction,
        action,
        reason: "looked at it".into(),
        requested_by: "jane".into(),
    }
}

fn sends(transition: &Transition) -> Vec<CallId> {
    let call = |effect: &Effect| match effect {
        Effect::Send(intent) => Some(intent.call),
        Effect::Withdraw(_) | Effect::Cut(_) | Effect::Poll(_) | Effect::PollAgain { .. } | Effect::Release => None,
    };
    transition.effects.iter().filter_map(call).collect()
}

/// What a fresh process knows of a stored run.
fn fresh(state: &State, millis: u64) -> State {
    let mut fresh = State::default();
    fresh.observe(state.stored.clone(), at(millis));
    fresh
}

fn suspended(generation: i64, suspend: bool) -> Event {
    wish(generation, |wishes| wishes.suspend = suspend)
}

#[test]
fn a_pivot_whose_secret_is_no_header_value_is_refused_without_effect() {
    let plan = trip();
    for reason in [Reason::Unrenderable, Reason::SecretForbidden, Reason::DestinationNotAllowed] {
        let turned = hear(&plan, &paying(&plan), CallId::forward(PAY), not_sent(reason), 400);
        assert_eq!(call(&turned.state, CallId::forward(PAY)).phase, Phase::Failed, "{reason}");
        assert_eq!(turned.state.stored.failure.as_ref().unwrap().reason, reason);
        assert_eq!(sends(&turned), [CallId::compensate(FLIGHT), CallId::compensate(HOTEL)]);
    }
}

#[test]
fn a_pivot_that_would_differ_under_its_key_is_not_sent_and_needs_a_person() {
    let mut plan = trip();
    for (answer, doubtful) in [(http(429, Value::Null), 0), (lost(), 1)] {
        let state = paying(&plan);
        // As after an upgrade that renders otherwise.
        plan.definition = Ok(definition(&TRIP.replace("http://pay.svc/charge", "http://pay.svc/other")));
        let stalled = hear(&plan, &state, CallId::forward(PAY), answer, 400);
        let record = call(&stalled.state, CallId::forward(PAY));
        let found = (record.phase, record.reason, record.doubtful);
        assert_eq!(found, (Phase::Stalled, Some(Reason::Unrenderable), doubtful));
        assert_eq!(stalled.state.stored.mode(), Mode::Forward);
        plan = trip();
    }
}

#[test]
fn another_action_that_would_differ_under_its_key_turns_the_run_before_the_commit_point() {
    let mut plan = trip();
    for (answer, outcome) in [(http(429, Value::Null), Phase::Failed), (lost(), Phase::Unknown)] {
        let state = land(&plan, &State::default(), &[wished()], at(0)).state;
        plan.definition = Ok(definition(&TRIP.replace("http://flight.svc/try", "http://flight.svc/other")));
        let turned = hear(&plan, &state, CallId::forward(FLIGHT), answer, 400);
        assert_eq!(call(&turned.state, CallId::forward(FLIGHT)).phase, outcome);
        assert_eq!(turned.state.stored.failure.as_ref().unwrap().reason, Reason::Unrenderable);
        plan = trip();
    }
}

#[test]
fn an_attempt_adds_to_doubtful_attempts_at_most_once_also_when_it_was_suspended() {
    let plan = trip();
    let pay = CallId::forward(PAY);
    let conflict = step(&plan, &paying(&plan), &[answered(&paying(&plan), pay, http_after(409, 3))], at(400));
    assert_eq!((call(&conflict.state, pay).attempts, call(&conflict.state, pay).doubtful), (1, 1));
    let mut state = conflict.state;
    state.landed(at(400));
    let held = land(&plan, &state, &[suspended(2, true)], at(500));
    assert_eq!(held.effects, [Effect::Withdraw(pay)]);
    let resumed = land(&plan, &held.state, &[suspended(3, false)], at(600));
    assert_eq!(sends(&resumed), [pay]);
    let failed = hear(&plan, &resumed.state, pay, http(500, Value::Null), 700);
    assert_eq!((call(&failed.state, pay).attempts, call(&failed.state, pay).doubtful), (2, 1));
    let second = hear(&plan, &failed.state, pay, http(500, Value::Null), 1000);
    assert_eq!(call(&second.state, pay).doubtful, 2, "another attempt counts for itself");
}

#[test]
fn only_who_stored_the_first_intents_and_sent_none_takes_another_revision() {
    let plan = order();
    let first = step(&plan, &State::default(), &[wished()], at(0));
    let mut unsent = first.state;
    unsent.landed(at(0));
    let pinned = step(&plan, &unsent, &[Event::RevisionGone], at(10));
    assert!(pinned.effects.contains(&Effect::Withdraw(CallId::forward(0))), "{:?}", pinned.effects);
    // A taker does not know whether they were sent.
    let taker = self::plan(Ok(definition(ORDER)), "b", Tenure::Exclusive);
    let mut taken = step(&taker, &fresh(&unsent, 20), &[wished()], at(20)).state;
    taken.landed(at(20));
    assert!(!step(&taker, &taken, &[Event::RevisionGone], at(30)).changed);
    // What was sent and told to come back was sent.
    let mut sent = unsent;
    sent.sent(CallId::forward(0));
    let conflict = answered(&sent, CallId::forward(0), http_after(409, 3));
    let mut told = step(&plan, &sent, &[conflict], at(40)).state;
    told.landed(at(40));
    assert!(!step(&plan, &told, &[Event::RevisionGone], at(50)).changed);
}
