//! The conditions of a run: one row for each state of the table of api.md.

use std::collections::BTreeMap;

use serde_json::Value;

use super::fixtures::*;
use crate::api::ConditionStatus::{False, True, Unknown};
use crate::api::run::EndPolicy;
use crate::api::{ConditionStatus, Reason};
use crate::saga::{CallId, Cancellation, Event, Plan, State, Tenure, Transition, Unready, Wishes, step};

fn told(state: &State) -> BTreeMap<&str, ConditionStatus> {
    state.stored.conditions.iter().map(|condition| (condition.type_.as_str(), condition.status)).collect()
}

/// Reason and the statuses of Succeeded, Completed, Reconciling and Stalled.
fn check(transition: &Transition, reason: Reason, statuses: [ConditionStatus; 4]) {
    let state = &transition.state;
    let types = ["Succeeded", "Completed", "Reconciling", "Stalled"];
    assert_eq!(told(state), types.into_iter().zip(statuses).collect(), "{reason}");
    for condition in &state.stored.conditions {
        assert_eq!(condition.reason, reason.as_str());
        assert_eq!(condition.observed_generation, Some(state.stored.observed_generation));
    }
}

const ACTIVE: [ConditionStatus; 4] = [Unknown, False, True, False];
const NEEDS_A_PERSON: [ConditionStatus; 4] = [Unknown, False, False, True];
const FAILED: [ConditionStatus; 4] = [False, True, False, True];
const DONE: [ConditionStatus; 4] = [True, True, False, False];

fn wish(change: impl FnOnce(&mut Wishes)) -> Event {
    let mut wishes = Wishes { generation: 2, ..wishes() };
    change(&mut wishes);
    Event::Wished(wishes)
}

fn cancel(policy: EndPolicy) -> Event {
    wish(|wishes| wishes.cancellation = Some(Cancellation { policy, reason: String::new() }))
}

fn missing(unready: Unready) -> Plan {
    plan(Err(unready), "a", Tenure::Exclusive)
}

#[test]
fn a_run_that_waits_for_its_definition_is_pending_and_then_failed() {
    for (unready, end) in [
        (Unready::NotFound, Reason::DefinitionNotFound),
        (Unready::NotReady("no steps".into()), Reason::DefinitionNotReady),
    ] {
        let plan = missing(unready);
        let silent = step(&plan, &State::default(), &[wished()], at(0));
        assert!(!silent.changed && silent.wake_at == Some(at(1_000).monotonic), "not worth a write yet");
        let first = land(&plan, &silent.state, &[Event::Tick], at(1_000));
        check(&first, Reason::Pending, ACTIVE);
        assert!(first.state.stored.revision.is_none(), "nothing is pinned");
        assert!(!step(&plan, &first.state, &[Event::Tick], at(59_999)).changed);
        check(&step(&plan, &first.state, &[Event::Tick], at(60_000)), end, FAILED);
    }
}

#[test]
fn the_deadline_of_the_run_bounds_the_wait_for_its_definition() {
    let plan = missing(Unready::NotFound);
    let wait = wish(|wishes| wishes.active_deadline = Some(std::time::Duration::from_secs(5)));
    let silent = step(&plan, &State::default(), &[wait], at(0));
    let first = land(&plan, &silent.state, &[Event::Tick], at(1_000));
    assert_eq!(first.wake_at, Some(at(5_000).monotonic));
    check(&step(&plan, &first.state, &[Event::Tick], at(5_000)), Reason::DefinitionNotFound, FAILED);
}

#[test]
fn a_run_under_way_is_running_then_succeeded() {
    let plan = order();
    let state = forward(&plan, 2);
    check(&step(&plan, &forward(&plan, 0), &[wish(|_| {})], at(5)), Reason::Running, ACTIVE);
    let event = answered(&state, CallId::forward(3), http(200, serde_json::json!({"percent": 1})));
    check(&step(&plan, &state, &[event], at(5)), Reason::Succeeded, DONE);
}

#[test]
fn a_turned_run_is_compensating_then_compensated() {
    let plan = order();
    let state = turned(&plan, 1);
    check(&step(&plan, &state, &[wish(|_| {})], at(5)), Reason::Compensating, ACTIVE);
    let event = answered(&state, CallId::compensate(0), http(200, Value::Null));
    check(&step(&plan, &state, &[event], at(5)), Reason::Compensated, FAILED);
}

#[test]
fn a_held_run_is_suspended_before_and_after_its_start() {
    let plan = order();
    let hold = || wish(|wishes| wishes.suspend = true);
    let unborn = step(&plan, &State::default(), &[hold()], at(0));
    check(&unborn, Reason::Suspended, ACTIVE);
    assert!(unborn.state.stored.revision.is_none() && unborn.effects.is_empty());
    check(&step(&plan, &forward(&plan, 1), &[hold()], at(900)), Reason::Suspended, ACTIVE);
    check(&step(&plan, &turned(&plan, 1), &[hold()], at(2000)), Reason::Suspended, ACTIVE);
}

#[test]
fn deletion_ends_a_suspension() {
    let plan = order();
    let event = wish(|wishes| (wishes.suspend, wishes.deletion) = (true, Some(EndPolicy::Compensate)));
    check(&step(&plan, &forward(&plan, 1), &[event], at(900)), Reason::Compensating, ACTIVE);
}

#[test]
fn a_stall_is_told_before_a_suspension() {
    let plan = order();
    let mut state = turned(&plan, 1);
    for millis in [2_000, 4_000, 8_000] {
        let event = answered(&state, CallId::compensate(0), http(500, Value::Null));
        state = land(&plan, &state, &[event], at(millis)).state;
    }
    let held = step(&plan, &state, &[wish(|wishes| wishes.suspend = true)], at(9_000));
    check(&held, Reason::CompensationExhausted, NEEDS_A_PERSON);
    let message = &held.state.stored.conditions[0].message;
    assert!(
        message.contains("'reserve'") && message.contains("3 attempts") && message.contains("MarkSucceeded"),
        "{message}"
    );
}

#[test]
fn a_compensation_that_cannot_be_made_is_unrenderable() {
    let plan = order();
    let state = turned(&plan, 1);
    let event = answered(&state, CallId::compensate(0), not_sent(Reason::SecretForbidden));
    check(&step(&plan, &state, &[event], at(2_000)), Reason::Unrenderable, NEEDS_A_PERSON);
}

#[test]
fn a_lost_revision_needs_a_person_until_it_is_there_again() {
    let plan = order();
    let mut state = forward(&plan, 1);
    state.local = Default::default();
    let gone = missing(Unready::RevisionNotFound("order-1".into()));
    let lost = land(&gone, &state, &[wished()], at(900));
    check(&lost, Reason::RevisionNotFound, NEEDS_A_PERSON);
    assert!(lost.state.stored.revision_lost);
    check(&land(&plan, &lost.state, &[Event::Tick], at(950)), Reason::Running, ACTIVE);
}

#[test]
fn an_abandoned_run_ends_from_every_mode_at_once() {
    let plan = order();
    for state in [State::default(), forward(&plan, 1), turned(&plan, 1)] {
        let transition = step(&plan, &state, &[cancel(EndPolicy::Abandon)], at(3_000));
        check(&transition, Reason::Abandoned, FAILED);
        assert_eq!(transition.state.stored.open_calls().count(), 0);
    }
}

#[test]
fn a_run_cancelled_or_deleted_before_it_started_ends_without_a_call() {
    let plan = order();
    let delete = wish(|wishes| wishes.deletion = Some(EndPolicy::Compensate));
    for (event, reason) in [(cancel(EndPolicy::Compensate), Reason::Cancelled), (delete, Reason::Deleted)] {
        let transition = step(&plan, &State::default(), &[event], at(0));
        check(&transition, Reason::Compensated, FAILED);
        assert_eq!(transition.state.stored.failure.unwrap().reason, reason);
    }
}

#[test]
fn a_condition_keeps_its_time_while_its_status_stays() {
    let plan = order();
    let state = forward(&plan, 1);
    let event = answered(&state, CallId::forward(1), http(429, Value::Null));
    let later = step(&plan, &state, &[event], at(70_000)).state.stored.conditions;
    assert!(later.iter().all(|condition| condition.last_transition_time == at(0).wall));
    assert_eq!(later[0].message, "1 of 4 steps done; 'charge' waits for attempt 2");
}

#[test]
fn who_is_not_the_owner_says_nothing() {
    let state = State { stored: forward(&order(), 1).stored, ..State::default() };
    let stranger = plan(Ok(definition(ORDER)), "b", Tenure::Contended);
    let transition = step(&stranger, &state, &[wish(|wishes| wishes.suspend = true)], at(900));
    assert!(!transition.changed, "{:?}", transition.state.stored.conditions);
    assert!(transition.wake_at.is_some(), "it looks again when the owner had its time");
}
