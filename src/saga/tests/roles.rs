//! The Pivot, what comes after it, confirms, and the order of undoing: a sentence of semantics.md each.

use serde_json::Value;

use super::fixtures::*;
use crate::api::Reason;
use crate::api::run::{Direction, EndPolicy, InterventionAction, InterventionOutcome};
use crate::saga::state::Phase;
use crate::saga::{
    CallId, CallRecord, Effect, End, Event, Holder, Mode, Plan, State, Tenure, Transition, Unready, Wishes, step,
};

const HOTEL: usize = 0;
const FLIGHT: usize = 1;
const PAY: usize = 2;
const TICKET: usize = 3;
const MAIL: usize = 4;

fn call(state: &State, call: CallId) -> &CallRecord {
    state.stored.steps[call.step].call(call.direction).unwrap()
}

fn hear(plan: &Plan, state: &State, id: CallId, answer: crate::saga::Answer, millis: u64) -> Transition {
    land(plan, state, &[answered(state, id, answer)], at(millis))
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
    let held = land(&plan, &state, &[suspended(2)], at(500));
    assert_eq!(held.effects, [Effect::Withdraw(pay)]);
    let resumed = land(&plan, &held.state, &[Event::Wished(spec_of(3))], at(600));
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

#[test]
fn a_pivot_in_doubt_stays_open_through_backoff_suspension_and_stall() {
    let plan = trip();
    let pay = CallId::forward(PAY);
    let doubted = hear(&plan, &paying(&plan), pay, lost(), 400).state;
    let held = land(&plan, &doubted, &[suspended(2)], at(500)).state;
    let stalled = hear(&plan, &doubted, pay, http(422, Value::Null), 500).state;
    for state in [doubted, held, stalled] {
        let waits = step(&plan, &state, &[cancelled(3)], at(600));
        assert_eq!((waits.state.stored.failure.clone(), sends(&waits)), (None, Vec::new()));
        let late = step(&plan, &state, &[Event::Tick], at(700_000));
        assert_eq!(late.state.stored.failure, None, "the deadline waits, too");
    }
}

#[test]
fn a_pivot_stored_by_another_owner_is_in_doubt_although_it_was_only_scheduled() {
    let mut plan = trip();
    let event = answered(&paying(&plan), CallId::forward(PAY), http_after(429, 60));
    let scheduled = step(&plan, &paying(&plan), &[event], at(400)).state;
    plan.owner.id = Holder::new("b");
    let taken = step(&plan, &fresh(&scheduled, 500), &[cancelled(2)], at(500));
    assert_eq!(taken.state.stored.failure, None);
    assert_eq!(call(&taken.state, CallId::forward(PAY)).doubtful, 1);
}

#[test]
fn attempts_of_the_pivot_and_of_what_follows_are_not_cut_to_the_deadline_of_the_run() {
    let plan = trip();
    let retried = |state: &State, index: usize| {
        let answer = answered(state, CallId::forward(index), http(429, Value::Null));
        let decided = step(&plan, state, &[answer], at(595_000));
        let Some(Effect::Send(intent)) = decided.effects.first() else { panic!("{:?}", decided.effects) };
        intent.timeout.as_secs()
    };
    let begun = land(&plan, &State::default(), &[wished()], at(0)).state;
    assert_eq!(retried(&begun, FLIGHT), 4, "what can be undone is cut");
    assert_eq!(retried(&paying(&plan), PAY), 10);
    assert_eq!(retried(&paid(&plan), TICKET), 10);
}

#[test]
fn a_read_only_step_past_the_commit_point_is_treated_as_retriable() {
    let yaml = TRIP.replace("- name: mail\n    role: Retriable", "- name: mail\n    role: ReadOnly");
    let plan = plan(Ok(definition(&yaml)), "a", Tenure::Exclusive);
    let stalled = hear(&plan, &paid(&plan), CallId::forward(MAIL), http(422, Value::Null), 400);
    let record = call(&stalled.state, CallId::forward(MAIL));
    assert_eq!((record.phase, record.reason), (Phase::Stalled, Some(Reason::RetriableRejected)));
    assert_eq!(stalled.state.stored.failure, None);
}

#[test]
fn a_stalled_call_has_no_entry_in_flight_and_the_first_in_list_order_is_told() {
    let plan = trip();
    let mail = hear(&plan, &paid(&plan), CallId::forward(MAIL), not_sent(Reason::SecretForbidden), 400).state;
    let both = hear(&plan, &mail, CallId::forward(TICKET), http(429, Value::Null), 500).state;
    let both = hear(&plan, &both, CallId::forward(TICKET), http(429, Value::Null), 900).state;
    assert_eq!(both.stored.open_calls().count(), 0);
    assert_eq!(call(&both, CallId::forward(MAIL)).reason, Some(Reason::RetriableRejected));
    let told = &both.stored.conditions[0];
    assert_eq!((told.type_.as_str(), told.reason.as_str()), ("Succeeded", "RetriableExhausted"));
}

#[test]
fn when_that_fails_after_the_commit_point_stalls_and_nothing_was_sent() {
    let yaml = TRIP.replace("${input.gift == false}", "${input.missing == false}");
    let plan = plan(Ok(definition(&yaml)), "a", Tenure::Exclusive);
    let stalled = paid(&plan);
    let record = call(&stalled, CallId::forward(MAIL));
    assert_eq!((record.phase, record.reason, record.attempts), (Phase::Stalled, Some(Reason::Unrenderable), 0));
}

#[test]
fn a_retry_of_a_call_that_stored_no_intent_keeps_its_key() {
    let yaml = TRIP.replace("${input.gift == false}", "${input.missing == false}");
    let plan = plan(Ok(definition(&yaml)), "a", Tenure::Exclusive);
    let retry = decision("again", "mail", Direction::Forward, InterventionAction::Retry);
    let judged = land(&plan, &paid(&plan), &[intervened(2, vec![retry])], at(500));
    assert_eq!(judged.state.stored.judged[0].outcome, InterventionOutcome::Applied);
    let record = call(&judged.state, CallId::forward(MAIL));
    assert_eq!((record.phase, record.key_suffix), (Phase::Stalled, 1), "it fails again");
}

#[test]
fn mark_failed_is_for_the_pivot_only() {
    let plan = trip();
    let stalled = hear(&plan, &paid(&plan), CallId::forward(TICKET), http(422, Value::Null), 400).state;
    let failed = decision("no", "ticket", Direction::Forward, InterventionAction::MarkFailed);
    let refused = step(&plan, &stalled, &[intervened(2, vec![failed])], at(500));
    assert_eq!(refused.state.stored.judged[0].outcome, InterventionOutcome::Refused);
    assert_eq!(call(&refused.state, CallId::forward(TICKET)).phase, Phase::Stalled);
}

#[test]
fn decisions_are_judged_in_list_order_each_against_what_the_one_before_left() {
    let plan = trip();
    let ticket = CallId::forward(TICKET);
    let stalled = hear(&plan, &paid(&plan), ticket, http(422, Value::Null), 400).state;
    let done = decision("1", "ticket", Direction::Forward, InterventionAction::MarkSucceeded);
    let again = decision("2", "ticket", Direction::Forward, InterventionAction::Retry);
    let outcomes = |list: Vec<_>| {
        let judged = step(&plan, &stalled, &[intervened(2, list)], at(500)).state;
        let outcomes: Vec<_> = judged.stored.judged.iter().map(|judged| judged.outcome).collect();
        (outcomes, call(&judged, ticket).phase)
    };
    let (applied, refused) = (InterventionOutcome::Applied, InterventionOutcome::Refused);
    assert_eq!(outcomes(vec![done.clone(), again.clone()]), (vec![applied, refused], Phase::Succeeded));
    assert_eq!(outcomes(vec![again, done]), (vec![applied, refused], Phase::Running));
}

#[test]
fn decisions_wait_unjudged_while_the_revision_is_lost() {
    let mut plan = trip();
    let stalled = hear(&plan, &paid(&plan), CallId::forward(TICKET), http(422, Value::Null), 400).state;
    let found = std::mem::replace(&mut plan.definition, Err(Unready::RevisionNotFound("order-1".into())));
    let done = decision("1", "ticket", Direction::Forward, InterventionAction::MarkSucceeded);
    let waits = land(&plan, &stalled, &[intervened(2, vec![done])], at(500)).state;
    assert_eq!(waits.stored.judged, []);
    plan.definition = found;
    let judged = land(&plan, &waits, &[Event::Tick], at(600)).state;
    assert_eq!(judged.stored.judged[0].outcome, InterventionOutcome::Applied);
}

#[test]
fn deletion_ends_a_suspension_and_a_run_past_its_commit_point_goes_forward() {
    let plan = trip();
    let held = land(&plan, &paying(&plan), &[suspended(2)], at(400)).state;
    let held = hear(&plan, &held, CallId::forward(PAY), http(200, Value::Null), 500);
    assert!(sends(&held).is_empty());
    let deleted = Wishes { suspend: true, deletion: Some(EndPolicy::Compensate), ..spec_of(3) };
    let deleted = step(&plan, &held.state, &[Event::Wished(deleted)], at(600));
    assert_eq!(sends(&deleted), [CallId::forward(TICKET), CallId::forward(MAIL)]);
}

#[test]
fn a_deadline_passes_while_suspended_and_what_it_undoes_waits() {
    let plan = order();
    let held = land(&plan, &forward(&plan, 1), &[suspended(2)], at(400)).state;
    let held = hear(&plan, &held, CallId::forward(1), ok(), 500).state;
    let late = land(&plan, &held, &[Event::Tick], at(600_001));
    assert_eq!((late.state.stored.mode(), sends(&late)), (Mode::Compensating, Vec::new()));
    let resumed = step(&plan, &late.state, &[Event::Wished(spec_of(3))], at(600_100));
    assert_eq!(sends(&resumed), [CallId::compensate(1)]);
}

#[test]
fn an_abandoned_run_keeps_state_and_doubt_of_open_compensations_and_confirms() {
    let plan = order();
    let waiting = hear(&plan, &turned(&plan, 1), CallId::compensate(0), lost(), 2000).state;
    let ended = step(&plan, &waiting, &[abandoned(2)], at(2100)).state;
    let record = call(&ended, CallId::compensate(0));
    assert_eq!((record.phase, &record.open), (Phase::Waiting, &None));
    assert!(record.doubtful >= 1 && record.completion_time.is_none());
    let plan = trip();
    let ended = step(&plan, &confirming(&plan), &[abandoned(2)], at(2100)).state;
    let record = call(&ended, CallId::confirm(HOTEL));
    assert_eq!((record.phase, record.doubtful, &record.open), (Phase::Running, 1, &None));
    assert_eq!(ended.stored.end, Some(End::Abandoned));
}

#[test]
fn a_skipped_step_is_neither_confirmed_nor_compensated() {
    let yaml = TRIP.replace("- name: hotel", "- name: hotel\n    when: ${input.gift}");
    let plan = plan(Ok(definition(&yaml)), "a", Tenure::Exclusive);
    let mut state = land(&plan, &State::default(), &[wished()], at(0)).state;
    for index in [FLIGHT, PAY, TICKET] {
        state = hear(&plan, &state, CallId::forward(index), ok(), 100).state;
    }
    let ended = hear(&plan, &state, CallId::forward(MAIL), ok(), 200).state;
    assert_eq!(ended.stored.end, Some(End::Succeeded));
    assert!(ended.stored.steps[HOTEL].confirm.is_none());
}

#[test]
fn confirms_go_in_dependency_order_side_by_side() {
    let confirm = "    confirm: {http: {url: \"http://a.svc/ok\"}}\n";
    let step_of = |name: &str, after: &str| {
        format!(
            "- name: {name}\n    dependsOn: [{after}]\n    action: {{http: {{url: \"http://a.svc/try\"}}}}\n    \
             compensation: {{http: {{url: \"http://a.svc/no\"}}}}\n"
        )
    };
    let yaml = format!(
        "steps:\n  {}{confirm}  {}{confirm}  {}  {}{confirm}",
        step_of("a", ""),
        step_of("b", ""),
        step_of("c", "a"),
        step_of("d", "c")
    );
    let plan = plan(Ok(definition(&yaml)), "a", Tenure::Exclusive);
    let mut state = land(&plan, &State::default(), &[wished()], at(0)).state;
    for index in 0..3 {
        state = hear(&plan, &state, CallId::forward(index), ok(), 100).state;
    }
    let first = hear(&plan, &state, CallId::forward(3), ok(), 200);
    assert_eq!(sends(&first), [CallId::confirm(0), CallId::confirm(1)]);
    let other = hear(&plan, &first.state, CallId::confirm(1), ok(), 300);
    assert!(sends(&other).is_empty(), "'d' comes after 'a', through 'c' which has no confirm");
    let last = hear(&plan, &other.state, CallId::confirm(0), ok(), 400);
    assert_eq!(sends(&last), [CallId::confirm(3)]);
}

#[test]
fn sixteen_calls_carry_a_message_and_stalled_ones_come_first() {
    let steps: String = (0..20)
        .map(|index| {
            format!(
                "  - name: s{index}\n    role: Retriable\n    dependsOn: [go]\n    action: {{http: {{url: \
                 \"http://a.svc/{index}\"}}, retryPolicy: {{maxAttempts: 9}}}}\n"
            )
        })
        .collect();
    let yaml = format!(
        "steps:\n  - name: go\n    role: Pivot\n    dependsOn: []\n    action: {{http: {{url: \"http://a.svc/go\"}}}}\n{steps}"
    );
    let plan = plan(Ok(definition(&yaml)), "a", Tenure::Exclusive);
    let mut state = land(&plan, &State::default(), &[wished()], at(0)).state;
    state = hear(&plan, &state, CallId::forward(0), ok(), 100).state;
    assert_eq!(state.stored.open_calls().count(), 16);
    for index in 1..=20 {
        let answer = if index > 4 { http(422, Value::Null) } else { http(503, Value::Null) };
        state = hear(&plan, &state, CallId::forward(index), answer, 200).state;
    }
    let stored = &state.stored.steps;
    let said: Vec<usize> = (0..stored.len()).filter(|index| stored[*index].forward.message.is_some()).collect();
    assert_eq!(said, (5..=20).collect::<Vec<_>>(), "sixteen are stalled; those that wait carry none");
}
