//! What people ask for: decisions about stalled calls, an end, a pause; and what a store that is too small asks for.

use serde_json::Value;

use super::*;
use crate::api::Reason;
use crate::api::run::InterventionOutcome;
use crate::saga::state::{End, Phase};
use crate::saga::step;

const UNDO: CallId = CallId::compensate(0);

/// A run whose one undo needs a person. `answer`: to each of its attempts.
fn stalled(answer: &crate::saga::Answer) -> State {
    let plan = order();
    let mut state = turned(&plan, 1);
    while record(&state, UNDO).phase != Phase::Stalled {
        state = after(&plan, &state, UNDO, answer.clone()).state;
    }
    state
}

fn decided(state: &State, generation: i64, decisions: &[Intervention]) -> Transition {
    land(&order(), state, &[wish(generation, |wishes| wishes.interventions = decisions.to_vec())], at(5_000))
}

fn retry(id: &str) -> Intervention {
    decision(id, "reserve", UNDO, InterventionAction::Retry)
}

#[test]
fn a_decision_is_judged_once() {
    let plan = order();
    let mut state = decided(&stalled(&http(404, Value::Null)), 2, &[retry("one")]).state;
    assert_eq!((record(&state, UNDO).phase, record(&state, UNDO).attempts_before), (Phase::Running, 3));
    while record(&state, UNDO).phase != Phase::Stalled {
        state = after(&plan, &state, UNDO, http(404, Value::Null)).state;
    }
    let again = decided(&state, 3, &[retry("one")]).state;
    assert_eq!((record(&again, UNDO).phase, again.stored.judged.len()), (Phase::Stalled, 1));
    let more = decided(&again, 4, &[retry("one"), retry("two")]).state;
    assert_eq!((record(&more, UNDO).phase, more.stored.judged.len()), (Phase::Running, 2));
}

#[test]
fn each_decision_is_judged_against_what_the_one_before_left() {
    let by_hand = decision("two", "reserve", UNDO, InterventionAction::MarkSucceeded);
    let both = decided(&stalled(&http(404, Value::Null)), 2, &[retry("one"), by_hand.clone()]).state;
    let outcomes: Vec<_> = both.stored.judged.iter().map(|judged| judged.outcome).collect();
    assert_eq!(outcomes, [InterventionOutcome::Applied, InterventionOutcome::Refused]);
    assert_eq!(record(&both, UNDO).phase, Phase::Running);
    let ended = decided(&stalled(&http(404, Value::Null)), 2, &[by_hand]).state;
    assert_eq!((record(&ended, UNDO).phase, ended.stored.end), (Phase::Resolved, Some(End::CompensatedByHand)));
}

#[test]
fn only_the_pivot_can_be_marked_as_failed() {
    let plan = trip();
    let ticket = CallId::forward(3);
    let state = after(&plan, &done(&plan, &[0, 1, 2]), ticket, http(422, Value::Null)).state;
    let marked = decision("one", "ticket", ticket, InterventionAction::MarkFailed);
    let state = land(&plan, &state, &[wish(2, |wishes| wishes.interventions = vec![marked])], at(300)).state;
    assert_eq!(state.stored.judged[0].outcome, InterventionOutcome::Refused);
    assert_eq!((record(&state, ticket).phase, state.stored.failure.clone()), (Phase::Stalled, None));
    let undo = decision("one", "reserve", UNDO, InterventionAction::MarkFailed);
    let state = decided(&stalled(&http(404, Value::Null)), 2, &[undo]).state;
    assert_eq!(state.stored.judged[0].outcome, InterventionOutcome::Refused);
}

#[test]
fn a_retry_takes_the_next_key_unless_an_attempt_is_in_doubt() {
    for (answer, key) in
        [(http(404, Value::Null), "u-7/reserve/compensate/2"), (http(500, Value::Null), "u-7/reserve/compensate")]
    {
        let again = decided(&stalled(&answer), 2, &[retry("one")]);
        let intent = intents(&again)[0];
        assert_eq!((intent.key.as_str(), intent.attempt), (key, 4));
    }
}

#[test]
fn nothing_is_decided_after_the_end() {
    let wish = Cancellation { policy: EndPolicy::Abandon, reason: String::new() };
    let abandon = Event::Wished(Wishes { generation: 2, cancellation: Some(wish.clone()), ..Wishes::default() });
    let ended = land(&order(), &stalled(&http(404, Value::Null)), &[abandon], at(5_000)).state;
    assert_eq!(ended.stored.end, Some(End::Abandoned));
    let decisions = vec![decision("one", "reserve", UNDO, InterventionAction::MarkSucceeded), retry("two")];
    let late = Wishes { generation: 3, cancellation: Some(wish), interventions: decisions, ..Wishes::default() };
    let state = land(&order(), &ended, &[Event::Wished(late)], at(6_000)).state;
    assert_eq!((&state.stored.steps, state.stored.end), (&ended.stored.steps, Some(End::Abandoned)));
    assert!(state.stored.judged.iter().all(|judged| judged.outcome == InterventionOutcome::Refused));
    assert_eq!(state.stored.observed_generation, 3);
}

#[test]
fn an_abandoned_run_says_which_effects_may_remain() {
    let plan = trip();
    let state = after(&plan, &begun(&plan), CallId::forward(0), accepted("/jobs/7")).state;
    let state = after(&plan, &state, CallId::forward(1), http(429, Value::Null)).state;
    let ended = step(&plan, &state, &[cancel(EndPolicy::Abandon)], at(300));
    assert_eq!(ended.state.stored.end, Some(End::Abandoned));
    assert_eq!(record(&ended.state, CallId::forward(0)).phase, Phase::Unknown);
    assert!(ended.effects.contains(&Effect::Cut(CallId::forward(0))));
    assert_eq!(ended.state.stored.open_calls().count(), 0);
}

#[test]
fn when_the_run_turns_nobody_looks_at_what_is_in_progress_any_more() {
    let plan = trip();
    let state = after(&plan, &begun(&plan), CallId::forward(0), accepted("/jobs/7")).state;
    let turned = after(&plan, &state, CallId::forward(1), http(422, Value::Null));
    let hotel = record(&turned.state, CallId::forward(0));
    assert_eq!((hotel.phase, hotel.doubtful), (Phase::Unknown, 1));
    assert!(turned.effects.contains(&Effect::Cut(CallId::forward(0))));
    assert_eq!(sends(&turned), [CallId::compensate(0)]);
}

#[test]
fn an_answer_to_a_call_in_progress_is_read_where_it_is_followed_only() {
    let plan = trip();
    let hotel = CallId::forward(0);
    let state = after(&plan, &begun(&plan), hotel, accepted("/jobs/7")).state;
    let late = step(&plan, &state, &[answered(&state, hotel, http(422, Value::Null))], at(300));
    assert!(!late.changed, "the attempt was accepted: what comes on its connection is no answer");
    let over = step(&plan, &state, &[polled(&state, hotel, http(200, json!({"id": "h-1"})))], at(300));
    assert_eq!(record(&over.state, hotel).phase, Phase::Succeeded);
    let goes_on = step(&plan, &state, &[polled(&state, hotel, http(404, Value::Null))], at(300));
    assert!(!goes_on.changed);
    let again = Effect::PollAgain { call: hotel, fence: fence_of(&state, hotel), at: at(2_300).monotonic };
    assert_eq!(goes_on.effects, [again]);
}

#[test]
fn what_was_not_sent_is_held_while_the_run_is_suspended_and_keeps_its_number() {
    let plan = order();
    let event = answered(&forward(&plan, 0), CallId::forward(0), http(429, Value::Null));
    let mut waits = step(&plan, &forward(&plan, 0), &[event], at(200)).state;
    waits.landed(at(200));
    let held = land(&plan, &waits, &[wish(2, |wishes| wishes.suspend = true)], at(300));
    assert!(held.effects.contains(&Effect::Withdraw(CallId::forward(0))));
    let call = record(&held.state, CallId::forward(0));
    assert_eq!((call.phase, call.open, call.attempts, call.doubtful), (Phase::Waiting, None, 2, 0));
    let resumed = step(&plan, &held.state, &[wish(3, |wishes| wishes.suspend = false)], at(9_000));
    assert_eq!((intents(&resumed)[0].attempt, intents(&resumed)[0].expires), (2, at(19_000).monotonic));
}

#[test]
fn a_suspended_run_may_turn_and_undoes_nothing_yet() {
    let plan = order();
    let held = land(&plan, &forward(&plan, 1), &[wish(2, |wishes| wishes.suspend = true)], at(300)).state;
    let turned = after(&plan, &held, CallId::forward(1), http(422, Value::Null));
    assert_eq!((turned.state.stored.mode(), sends(&turned)), (Mode::Compensating, vec![]));
    let resumed = step(&plan, &turned.state, &[wish(3, |wishes| wishes.suspend = false)], at(400));
    assert_eq!(sends(&resumed), [UNDO]);
}

#[test]
fn a_status_that_is_too_large_loses_messages_and_times_and_nothing_that_counts() {
    let plan = order();
    let state = after(&plan, &forward(&plan, 1), CallId::forward(1), http(500, Value::Null)).state;
    let refused = step(&plan, &state, &[Event::TooLarge], at(300)).state.stored;
    assert_eq!(refused.failure.as_ref().map(|failure| failure.reason), Some(Reason::StatusTooLarge));
    assert_eq!(refused.steps[0].outputs, state.stored.steps[0].outputs);
    assert!(!refused.steps[0].outputs.is_empty());
    assert_eq!((refused.steps[1].forward.doubtful, refused.steps[1].forward.attempts), (1, 2));
    let calls: Vec<&CallRecord> = refused.calls().map(|(_, call)| call).collect();
    assert!(calls.iter().all(|call| call.message.is_none() && call.start_time.is_none()));
}

#[test]
fn past_the_commit_point_a_status_that_is_too_large_turns_nothing() {
    let plan = trip();
    let state = done(&plan, &[0, 1, 2]);
    let event = answered(&state, CallId::forward(3), http(200, json!({"number": "t-1"})));
    let next = step(&plan, &state, &[event, Event::TooLarge], at(300));
    assert_eq!(
        (next.state.stored.failure.clone(), record(&next.state, CallId::forward(3)).phase),
        (None, Phase::Succeeded)
    );
}
