//! The Pivot, what comes after it, and confirms.

use serde_json::Value;

use super::*;
use crate::api::Reason;
use crate::saga::Occasion;
use crate::saga::state::{End, Phase};
use crate::saga::step;

const PAY: CallId = CallId::forward(2);
const TICKET: CallId = CallId::forward(3);
const MAIL: CallId = CallId::forward(4);

fn paying() -> State {
    done(&trip(), &[0, 1])
}

fn deleted() -> Event {
    wish(2, |wishes| wishes.deletion = Some(EndPolicy::Compensate))
}

#[test]
fn nothing_turns_a_run_while_its_pivot_is_open() {
    let plan = trip();
    for (event, millis) in [(cancel(EndPolicy::Compensate), 500), (deleted(), 500), (Event::Tick, 600_001)] {
        let held = land(&plan, &paying(), &[event], at(millis));
        assert_eq!((held.state.stored.failure.clone(), record(&held.state, PAY).phase), (None, Phase::Running));
        assert_eq!(held.effects, []);
        let refused = after(&plan, &held.state, PAY, http(422, Value::Null)).state;
        assert_eq!((record(&refused, PAY).phase, refused.stored.mode()), (Phase::Failed, Mode::Compensating));
        let paid = after(&plan, &held.state, PAY, http(200, Value::Null)).state;
        assert_eq!((paid.stored.failure.clone(), paid.stored.mode()), (None, Mode::Forward));
    }
}

#[test]
fn a_pivot_with_doubt_keeps_the_run_from_turning_also_while_it_waits() {
    let waits = after(&trip(), &paying(), PAY, http(500, Value::Null)).state;
    assert_eq!(record(&waits, PAY).phase, Phase::Waiting);
    // Not sent yet: only the attempt before it may have had an effect.
    let scheduled = crate::saga::state::OwnAttempt { sent: false, ..waits.local.own[&PAY] };
    let mut unsent = waits;
    unsent.local.own.insert(PAY, scheduled);
    let held = step(&trip(), &unsent, &[cancel(EndPolicy::Compensate)], at(300));
    assert_eq!((held.state.stored.failure.clone(), record(&held.state, PAY).phase), (None, Phase::Waiting));
}

#[test]
fn a_pivot_that_only_waits_and_has_no_doubt_is_taken_back() {
    let plan = trip();
    let event = answered(&paying(), PAY, http(429, Value::Null));
    let mut waits = step(&plan, &paying(), &[event], at(200)).state;
    waits.landed(at(200));
    for event in [cancel(EndPolicy::Compensate), deleted()] {
        let turned = step(&plan, &waits, &[event], at(300));
        assert!(turned.effects.contains(&Effect::Withdraw(PAY)), "{:?}", turned.effects);
        assert_eq!((record(&turned.state, PAY).phase, turned.state.stored.mode()), (Phase::Failed, Mode::Compensating));
    }
}

#[test]
fn a_pivot_in_doubt_is_stalled_and_never_failed() {
    let plan = trip();
    let state = after(&plan, &paying(), PAY, http(500, Value::Null)).state;
    for answer in [http(422, Value::Null), http(500, Value::Null), lost()] {
        let stalled = after(&plan, &state, PAY, answer).state;
        let call = record(&stalled, PAY);
        assert_eq!((call.phase, call.reason), (Phase::Stalled, Some(Reason::PivotInDoubt)));
        assert_eq!(stalled.stored.failure, None);
        let held = step(&plan, &stalled, &[cancel(EndPolicy::Compensate)], at(600_001));
        assert_eq!(held.state.stored.failure, None, "nobody knows whether it may turn");
    }
}

#[test]
fn a_pivot_is_certainly_without_effect_when_a_person_says_so() {
    let plan = trip();
    let state = after(&plan, &paying(), PAY, http(500, Value::Null)).state;
    let state = after(&plan, &state, PAY, http(422, Value::Null)).state;
    let marked =
        wish(2, |wishes| wishes.interventions = vec![decision("d", "pay", PAY, InterventionAction::MarkFailed)]);
    let turned = step(&plan, &state, &[marked], at(300));
    assert_eq!((record(&turned.state, PAY).phase, turned.state.stored.mode()), (Phase::Failed, Mode::Compensating));
    let sent = sends(&turned);
    assert!(sent.contains(&CallId::compensate(0)) && sent.contains(&CallId::compensate(1)), "{sent:?}");
}

#[test]
fn what_comes_after_the_pivot_stalls_and_turns_nothing() {
    let (plan, state) = (trip(), done(&trip(), &[0, 1, 2]));
    let stalled = after(&plan, &state, TICKET, http(422, Value::Null)).state;
    assert_eq!(record(&stalled, TICKET).reason, Some(Reason::RetriableRejected));
    assert_eq!((stalled.stored.failure.clone(), record(&stalled, MAIL).phase), (None, Phase::Running));
    let late = step(&plan, &stalled, &[cancel(EndPolicy::Compensate)], at(600_001));
    assert_eq!(late.state.stored.failure, None, "past the commit point");
    assert!(late.notes.iter().any(|note| note.occasion == Occasion::TooLate));
}

#[test]
fn the_output_of_a_pivot_that_is_missing_turns_nothing() {
    let plan = saga(
        "steps:\n- {name: pay, role: Pivot, action: {http: {url: 'http://p.svc/'}}, outputs: [{name: id, value: '${response.body.id}'}]}\n\
         - {name: mail, role: Retriable, action: {http: {url: 'http://m.svc/'}}}",
    );
    let paid = after(&plan, &begun(&plan), CallId::forward(0), http(200, Value::Null));
    assert_eq!((paid.state.stored.failure.clone(), sends(&paid)), (None, vec![CallId::forward(1)]));
    assert_eq!(record(&paid.state, CallId::forward(0)).reason, Some(Reason::ExpressionError));
}

#[test]
fn what_was_tried_is_confirmed_when_every_step_is_done_and_not_before() {
    let plan = trip();
    let mut state = begun(&plan);
    for (count, step) in [0, 1, 2, 3, 4].into_iter().enumerate() {
        let answer = http(200, json!({"id": "h-1", "number": "t-1"}));
        let next = after(&plan, &state, CallId::forward(step), answer);
        let confirms = sends(&next).contains(&CallId::confirm(0));
        assert_eq!(confirms, count == 4, "after {} actions", count + 1);
        state = next.state;
    }
    let ended = after(&plan, &state, CallId::confirm(0), ok()).state;
    assert_eq!(ended.stored.end, Some(End::Succeeded));
}

#[test]
fn a_run_that_confirms_never_turns() {
    let plan = trip();
    for event in [cancel(EndPolicy::Compensate), deleted(), Event::Tick] {
        let state = land(&plan, &confirming(&plan), &[event], at(600_001)).state;
        let state = after(&plan, &state, CallId::confirm(0), http(422, Value::Null)).state;
        assert_eq!(record(&state, CallId::confirm(0)).reason, Some(Reason::ConfirmExhausted));
        assert_eq!((state.stored.failure.clone(), state.stored.end), (None, None));
    }
}

#[test]
fn confirms_go_in_the_order_of_the_dependencies() {
    let step = |name: &str, after: &str| {
        format!(
            "- {{name: {name}, dependsOn: [{after}], action: {{http: {{url: 'http://p.svc/'}}}}, \
             compensation: {{http: {{url: 'http://p.svc/'}}}}, confirm: {{http: {{url: 'http://p.svc/'}}}}}}\n"
        )
    };
    let plan = saga(&format!("steps:\n{}{}{}", step("a", ""), step("b", "a"), step("c", "")));
    let confirming = after(&plan, &done(&plan, &[0, 1]), CallId::forward(2), ok());
    assert_eq!(sends(&confirming), [CallId::confirm(0), CallId::confirm(2)]);
    let next = after(&plan, &confirming.state, CallId::confirm(0), ok());
    assert_eq!(sends(&next), [CallId::confirm(1)]);
}

#[test]
fn only_what_can_be_undone_is_cut_to_the_deadline_of_the_run() {
    let plan = trip();
    let late = |state: &State, call, answer, millis| step(&plan, state, &[answered(state, call, answer)], at(millis));
    let flight = late(&begun(&plan), CallId::forward(1), http(429, Value::Null), 598_000);
    assert!(intents(&flight)[0].expires <= at(600_000).monotonic);
    let pay = late(&paying(), PAY, http(429, Value::Null), 598_000);
    assert_eq!(intents(&pay)[0].timeout.as_secs(), 10);
    let undo = late(&done(&plan, &[1]), CallId::forward(0), http(422, Value::Null), 599_000);
    assert_eq!(intents(&undo)[0].timeout.as_secs(), 10);
}
