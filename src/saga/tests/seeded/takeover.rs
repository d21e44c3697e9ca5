//! When a run is taken over, and what becomes of what was open.

use std::time::Duration;

use serde_json::Value;

use super::*;
use crate::saga::state::Phase;
use crate::saga::{Holder, step};

const HOTEL: CallId = CallId::forward(0);
const FLIGHT: CallId = CallId::forward(1);

/// A trip whose hotel is at work on it, and whose flight is on the wire.
fn located(plan: &Plan) -> State {
    after(plan, &begun(plan), HOTEL, accepted("/jobs/7")).state
}

#[test]
fn a_journal_that_changes_begins_the_silence_afresh() {
    let (mine, state) = (by(&order(), "b", Tenure::Contended), forward(&order(), 1));
    let mut seen = step(&mine, &fresh(&state, 10_000), &[wished()], at(10_000)).state;
    let mut moved = state.stored.clone();
    moved.fence = moved.fence.next();
    seen.observe(moved, at(20_000));
    let waits = step(&mine, &seen, &[Event::Tick], at(20_000));
    assert_eq!((waits.changed, waits.wake_at), (false, Some(at(35_000).monotonic)));
}

#[test]
fn an_owner_is_given_the_wait_of_its_attempt_as_well() {
    let plan = order();
    let state = after(&plan, &forward(&plan, 0), CallId::forward(0), http_after(429, 7)).state;
    let waits = step(&by(&plan, "b", Tenure::Contended), &fresh(&state, 300), &[wished()], at(300));
    assert_eq!(waits.wake_at, Some(at(7_200 + 10_000 + 5_000).monotonic));
}

#[test]
fn a_stored_time_that_is_wrong_by_years_delays_a_takeover_by_the_longest_wait_only() {
    let plan = order();
    let mut state = after(&plan, &forward(&plan, 0), CallId::forward(0), http_after(429, 7)).state;
    let open = state.stored.steps[0].forward.open.as_mut().unwrap();
    open.not_before = Some("2040-01-01T00:00:00Z".parse().unwrap());
    let waits = step(&by(&plan, "b", Tenure::Contended), &fresh(&state, 300), &[wished()], at(300));
    assert_eq!(waits.wake_at, Some(at(300 + 300_000 + 10_000 + 5_000).monotonic));
    let taken = step(&by(&plan, "b", Tenure::Exclusive), &fresh(&state, 300), &[wished()], at(300));
    assert_eq!(intents(&taken)[0].not_before, Some(at(300_300).monotonic));
}

#[test]
fn an_owner_that_follows_a_call_is_given_a_minute() {
    let waits = step(&by(&trip(), "b", Tenure::Contended), &fresh(&located(&trip()), 10_000), &[wished()], at(10_000));
    assert_eq!(waits.wake_at, Some(at(10_000 + 60_000 + 5_000).monotonic));
}

#[test]
fn an_owner_that_has_something_to_undo_is_given_the_time_of_the_action() {
    let mut state = turned(&order(), 1);
    state.stored.steps[0].compensation = None;
    let waits = step(&by(&order(), "b", Tenure::Contended), &fresh(&state, 10_000), &[wished()], at(10_000));
    assert_eq!(waits.wake_at, Some(at(10_000 + 10_000 + 5_000 + 5_000).monotonic));
}

#[test]
fn the_owner_of_a_call_in_progress_stores_the_run_again_every_twenty_seconds() {
    let plan = by(&trip(), "a", Tenure::Contended);
    let state = after(&plan, &done(&plan, &[1]), HOTEL, accepted("/jobs/7")).state;
    let early = step(&plan, &state, &[Event::Tick], at(20_199));
    assert_eq!((early.changed, early.wake_at), (false, Some(at(20_200).monotonic)));
    let alive = step(&plan, &state, &[Event::Tick], at(20_200));
    assert!(alive.changed && alive.state.stored.fence > state.stored.fence);
    for tenure in [Tenure::Exclusive, Tenure::Elected] {
        let alone = step(&by(&trip(), "a", tenure), &state, &[Event::Tick], at(20_200));
        assert!(!alone.changed, "nobody waits for the owner of a locked file, nor for the leader");
    }
}

#[test]
fn a_takeover_stores_the_same_attempt_and_key_with_a_higher_fence_and_a_new_deadline() {
    let plan = order();
    let first = step(&plan, &State::default(), &[wished()], at(0));
    let sent = intents(&first)[0].clone();
    let taken = land(&by(&plan, "b", Tenure::Exclusive), &fresh(&begun(&plan), 10_000), &[wished()], at(10_000));
    let again = intents(&taken)[0];
    assert_eq!((&again.key, again.attempt, &again.request), (&sent.key, 1, &sent.request));
    assert_eq!((again.fence, again.timeout), (taken.state.stored.fence, sent.timeout));
    assert!(again.fence > sent.fence && again.deadline == at(20_000).wall && again.expires == at(20_000).monotonic);
    assert_eq!(taken.state.stored.holder, Some(Holder::new("b")));
    assert_eq!(record(&taken.state, CallId::forward(0)).doubtful, 1);
}

#[test]
fn an_attempt_that_another_owner_only_scheduled_is_in_doubt_all_the_same() {
    let plan = order();
    let state = after(&plan, &forward(&plan, 0), CallId::forward(0), http(429, Value::Null)).state;
    let taken = step(&by(&plan, "b", Tenure::Exclusive), &fresh(&state, 300), &[wished()], at(300));
    let call = record(&taken.state, CallId::forward(0));
    assert_eq!((call.phase, call.attempts, call.doubtful, call.takeovers), (Phase::Waiting, 2, 1, 1));
    assert_eq!(intents(&taken)[0].not_before, Some(at(1_200).monotonic), "it still waits for its time");
    assert!(call.open.unwrap().not_before.is_some(), "and whoever comes next can see it");
}

#[test]
fn a_call_in_progress_is_followed_on_after_a_takeover_and_not_sent_again() {
    let taken = step(&by(&trip(), "b", Tenure::Exclusive), &fresh(&located(&trip()), 5_000), &[wished()], at(5_000));
    assert_eq!(sends(&taken), [FLIGHT]);
    let polls = polls(&taken);
    assert_eq!((polls.len(), polls[0].call, polls[0].fence), (1, HOTEL, taken.state.stored.fence));
    assert_eq!(polls[0].url, "http://hotel.svc/jobs/7");
    let call = record(&taken.state, HOTEL);
    assert_eq!((call.doubtful, call.takeovers, call.attempts), (0, 0, 1));
}

#[test]
fn polling_ends_in_time_whatever_a_stored_deadline_says() {
    let mut state = located(&trip());
    let open = state.stored.steps[0].forward.open.as_mut().unwrap();
    open.deadline = "2040-01-01T00:00:00Z".parse().unwrap();
    let taken = step(&by(&trip(), "b", Tenure::Exclusive), &fresh(&state, 5_000), &[wished()], at(5_000));
    assert_eq!(polls(&taken)[0].expires, at(65_000).monotonic, "60 s at most");
}

#[test]
fn polling_that_comes_to_no_end_is_an_unanswered_attempt() {
    let state = located(&trip());
    let over = step(&trip(), &state, &[Event::Tick], at(60_200));
    let call = record(&over.state, HOTEL);
    assert_eq!((call.phase, call.doubtful, call.attempts), (Phase::Waiting, 1, 2));
    assert!(over.effects.contains(&Effect::Cut(HOTEL)));
}

#[test]
fn no_action_is_stored_again_once_the_run_has_turned() {
    let plan = trip();
    let state = after(&plan, &begun(&plan), FLIGHT, http(422, Value::Null)).state;
    assert_eq!(record(&state, HOTEL).phase, Phase::Running, "it is awaited by who sent it");
    let taken = land(&by(&plan, "b", Tenure::Exclusive), &fresh(&state, 5_000), &[wished()], at(5_000));
    assert_eq!((record(&taken.state, HOTEL).phase, record(&taken.state, HOTEL).doubtful), (Phase::Unknown, 1));
    assert_eq!(sends(&taken), []);
    let early = step(&by(&plan, "b", Tenure::Exclusive), &taken.state, &[Event::Tick], at(19_999));
    assert_eq!(sends(&early), [], "what the owner before may have on the wire has its time");
    let undone = step(&by(&plan, "b", Tenure::Exclusive), &taken.state, &[Event::Tick], at(20_000));
    assert_eq!(sends(&undone), [CallId::compensate(0)]);
}

#[test]
fn a_held_run_is_taken_over_without_sending_anything_but_looks() {
    let held = wish(2, |wishes| wishes.suspend = true);
    let taken = step(&by(&trip(), "b", Tenure::Exclusive), &fresh(&located(&trip()), 5_000), &[held], at(5_000));
    assert_eq!((sends(&taken).len(), polls(&taken).len()), (0, 1));
    let flight = record(&taken.state, FLIGHT);
    assert_eq!((flight.phase, flight.open, flight.doubtful), (Phase::Waiting, None, 1));
}

#[test]
fn a_held_run_is_taken_over_without_looking_at_requests_that_are_not_to_be_sent() {
    let mut state = forward(&order(), 1);
    state.stored.steps[1].forward.digest = Some(crate::saga::Digest::stored("another request".to_owned()));
    let held = wish(2, |wishes| wishes.suspend = true);
    let taken = step(&by(&order(), "b", Tenure::Exclusive), &fresh(&state, 5_000), &[held], at(5_000));
    let charge = record(&taken.state, CallId::forward(1));
    assert_eq!((charge.phase, charge.open, charge.doubtful), (Phase::Waiting, None, 1));
    assert_eq!(taken.state.stored.failure, None, "what became of its request is decided when it is to be sent");
}

#[test]
fn a_run_without_holder_is_free_at_once() {
    let mut state = forward(&order(), 1);
    state.stored.holder = None;
    let taken = step(&by(&order(), "b", Tenure::Contended), &fresh(&state, 300), &[wished()], at(300));
    assert_eq!((taken.state.stored.holder, taken.changed), (Some(Holder::new("b")), true));
}

#[test]
fn the_time_of_an_attempt_begins_with_its_wait() {
    let plan = order();
    let waits = after(&plan, &forward(&plan, 0), CallId::forward(0), http_after(429, 7));
    let intent = intents(&waits)[0];
    assert_eq!((intent.not_before, intent.expires), (Some(at(7_200).monotonic), at(17_200).monotonic));
    assert_eq!((intent.timeout, intent.deadline), (Duration::from_secs(10), at(17_200).wall));
}

#[test]
fn one_attempt_is_in_doubt_once_however_often_it_is_taken_over() {
    let plan = order();
    let answer = answered(&forward(&plan, 0), CallId::forward(0), http(429, Value::Null));
    let mut state = land(&plan, &forward(&plan, 0), &[answer], at(200)).state;
    for (holder, millis) in [("b", 5_000), ("c", 10_000), ("d", 15_000)] {
        state = land(&by(&plan, holder, Tenure::Exclusive), &fresh(&state, millis), &[wished()], at(millis)).state;
        assert_eq!((record(&state, CallId::forward(0)).attempts, record(&state, CallId::forward(0)).doubtful), (2, 1));
    }
}
