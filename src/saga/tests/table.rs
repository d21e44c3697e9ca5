//! Rows for each mode and kind of event. docs/semantics.md shows them ([`super::docs`]).

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::fixtures::*;
use crate::api::Reason;
use crate::api::run::{Direction, InterventionAction, InterventionOutcome};
use crate::saga::state::{End, Phase};
use crate::saga::{CallId, Effect, Event, EventKind, Mode, Occasion, Plan, State, Transition, step};

/// A run in a mode.
fn run(plan: &Plan, mode: Mode) -> State {
    match mode {
        Mode::Pending => State::default(),
        Mode::Forward => forward(plan, 1),
        Mode::Confirming => confirming(plan),
        Mode::Compensating => turned(plan, 1),
        Mode::Ended => {
            let state = turned(plan, 0);
            assert_eq!(state.stored.end, Some(End::Compensated));
            state
        }
    }
}

fn sends(transition: &Transition) -> Vec<CallId> {
    let call = |effect: &Effect| match effect {
        Effect::Send(intent) => Some(intent.call),
        Effect::Withdraw(_) | Effect::Cut(_) | Effect::Poll(_) | Effect::PollAgain { .. } | Effect::Release => None,
    };
    transition.effects.iter().filter_map(call).collect()
}

fn ignored(transition: &Transition) -> bool {
    !transition.changed && transition.notes.iter().any(|note| note.occasion == Occasion::Ignored)
}

macro_rules! rows {
    ($($name:ident: ($mode:ident, $kind:ident) => |$plan:ident, $state:ident| $body:block)+) => {
        $(
            #[test]
            fn $name() {
                let $plan = if Mode::$mode == Mode::Confirming { trip() } else { order() };
                let $state = run(&$plan, Mode::$mode);
                assert_eq!($state.stored.mode(), Mode::$mode);
                $body
            }
        )+

        /// Mode, kind of event, and the name of the test that says what happens.
        pub const ROWS: &[(Mode, EventKind, &str)] = &[$((Mode::$mode, EventKind::$kind, stringify!($name))),+];
    };
}

rows! {
    a_cancellation_waits_while_the_pivot_is_open: (Forward, Wished) => |_plan, _state| {
        let plan = trip();
        let cancelled = step(&plan, &paying(&plan), &[cancelled(2)], at(400));
        assert_eq!(cancelled.state.stored.failure, None);
        assert!(cancelled.effects.is_empty());
    }
    a_cancellation_past_the_pivot_is_refused: (Forward, Wished) => |_plan, _state| {
        let plan = trip();
        let refused = step(&plan, &paid(&plan), &[cancelled(2)], at(400));
        assert_eq!(refused.state.stored.failure, None);
        assert!(refused.notes.iter().any(|note| note.occasion == Occasion::TooLate));
    }
    a_suspension_takes_back_what_was_not_sent: (Forward, Wished) => |plan, state| {
        let event = answered(&state, CallId::forward(1), http(429, Value::Null));
        let mut waiting = step(&plan, &state, &[event], at(500)).state;
        waiting.landed(at(500));
        let held = step(&plan, &waiting, &[suspended(2)], at(600));
        assert_eq!(held.effects, [Effect::Withdraw(CallId::forward(1))]);
    }
    a_refusal_turns_the_run: (Forward, Answered) => |plan, state| {
        let event = answered(&state, CallId::forward(1), http(422, Value::Null));
        let turned = step(&plan, &state, &[event], at(500));
        assert_eq!(turned.state.stored.mode(), Mode::Compensating);
        assert_eq!(sends(&turned), [CallId::compensate(0)]);
    }
    a_refusal_of_the_pivot_in_doubt_needs_a_person: (Forward, Answered) => |_plan, _state| {
        let plan = trip();
        let pay = CallId::forward(2);
        let doubted = land(&plan, &paying(&plan), &[answered(&paying(&plan), pay, lost())], at(400)).state;
        let stalled = step(&plan, &doubted, &[answered(&doubted, pay, http(422, Value::Null))], at(900));
        let record = &stalled.state.stored.steps[2].forward;
        assert_eq!((record.phase, record.reason), (Phase::Stalled, Some(Reason::PivotInDoubt)));
        assert_eq!(stalled.state.stored.mode(), Mode::Forward);
    }
    a_refusal_after_the_pivot_needs_a_person: (Forward, Answered) => |_plan, _state| {
        let plan = trip();
        let state = paid(&plan);
        let stalled = step(&plan, &state, &[answered(&state, CallId::forward(3), http(422, Value::Null))], at(900));
        let record = &stalled.state.stored.steps[3].forward;
        assert_eq!((record.phase, record.reason), (Phase::Stalled, Some(Reason::RetriableRejected)));
    }
    a_tick_after_the_end_of_polling_takes_the_call_as_unanswered: (Forward, Tick) => |plan, state| {
        let accepted = answered(&state, CallId::forward(1), accepted("/jobs/1"));
        let mut plan = plan;
        plan.definition = Ok(definition(&ORDER.replace("activeDeadlineSeconds: 600", "activeDeadlineSeconds: 9999")));
        let followed = land(&plan, &state, &[accepted], at(600)).state;
        let over = step(&plan, &followed, &[Event::Tick], at(3_600_600));
        assert!(over.effects.contains(&Effect::Cut(CallId::forward(1))));
        assert_eq!((over.state.stored.steps[1].forward.attempts, over.state.stored.steps[1].forward.doubtful), (2, 1));
    }
    a_confirm_that_is_refused_needs_a_person: (Confirming, Answered) => |plan, state| {
        let event = answered(&state, CallId::confirm(0), http(422, Value::Null));
        let stalled = step(&plan, &state, &[event], at(600));
        assert_eq!(stalled.state.stored.steps[0].confirm.as_ref().unwrap().phase, Phase::Stalled);
        assert_eq!(stalled.state.stored.failure, None);
    }
    a_compensation_that_is_used_up_needs_a_person: (Compensating, Answered) => |plan, state| {
        let mut state = state;
        for attempt in 1..=3 {
            let event = answered(&state, CallId::compensate(0), http(500, Value::Null));
            state = land(&plan, &state, &[event], at(2000 * attempt)).state;
        }
        let record = state.stored.steps[0].compensation.as_ref().unwrap();
        assert_eq!((record.phase, record.reason), (Phase::Stalled, Some(Reason::CompensationExhausted)));
    }
    a_person_says_that_a_stalled_compensation_is_done: (Compensating, Wished) => |plan, state| {
        let mut state = state;
        for attempt in 1..=3 {
            let event = answered(&state, CallId::compensate(0), http(500, Value::Null));
            state = land(&plan, &state, &[event], at(2000 * attempt)).state;
        }
        let done = decision("ask", "reserve", Direction::Compensate, InterventionAction::MarkSucceeded);
        let ended = step(&plan, &state, &[intervened(2, vec![done])], at(9000));
        assert_eq!(ended.state.stored.end, Some(End::CompensatedByHand));
    }
    a_decision_about_an_ended_run_is_refused: (Ended, Wished) => |plan, state| {
        let late = decision("late", "reserve", Direction::Forward, InterventionAction::Retry);
        let refused = step(&plan, &state, &[intervened(2, vec![late])], at(9000));
        assert_eq!(refused.state.stored.judged[0].outcome, InterventionOutcome::Refused);
    }
    a_wish_to_abandon_ends_the_run_as_it_stands: (Compensating, Wished) => |plan, state| {
        let ended = step(&plan, &state, &[abandoned(2)], at(9000));
        assert_eq!(ended.state.stored.end, Some(End::Abandoned));
        assert_eq!(ended.effects, [Effect::Cut(CallId::compensate(0)), Effect::Release]);
    }
    a_start_that_the_store_refuses_as_too_large_ends_the_run: (Pending, TooLarge) => |plan, state| {
        let transition = step(&plan, &state, &[wished(), Event::TooLarge], at(0));
        assert!(sends(&transition).is_empty());
        assert_eq!(transition.state.stored.end, Some(End::Compensated));
        assert_eq!(transition.state.stored.failure.unwrap().reason, Reason::StatusTooLarge);
    }
    a_refused_size_turns_a_run_that_goes_forward: (Forward, TooLarge) => |plan, state| {
        let event = answered(&state, CallId::forward(1), ok());
        let transition = step(&plan, &state, &[event, Event::TooLarge], at(500));
        let stored = &transition.state.stored;
        assert_eq!(stored.failure.as_ref().unwrap().reason, Reason::StatusTooLarge);
        assert_eq!(stored.steps[1].forward.phase, Phase::Succeeded, "an answer is never thrown away");
        assert!(!stored.steps[1].outputs.is_empty(), "outputs stay");
        assert!(stored.steps.iter().all(|step| step.forward.message.is_none() && step.forward.start_time.is_none()));
        assert!(stored.conditions.iter().all(|condition| condition.message.is_empty()));
        assert_eq!(sends(&transition), [CallId::compensate(1)]);
    }
    a_refused_size_does_not_stop_a_compensation: (Compensating, TooLarge) => |plan, state| {
        let event = answered(&state, CallId::compensate(0), http(500, Value::Null));
        let transition = step(&plan, &state, &[event, Event::TooLarge], at(2000));
        assert_eq!(sends(&transition), [CallId::compensate(0)]);
        let undo = transition.state.stored.steps[0].compensation.as_ref().unwrap();
        assert_eq!((undo.phase, undo.doubtful, &undo.message), (Phase::Waiting, 1, &None));
    }
    a_refused_size_changes_nothing_after_the_end: (Ended, TooLarge) => |plan, state| {
        assert!(!step(&plan, &state, &[Event::TooLarge], at(2000)).changed);
    }
    a_wish_starts_a_pending_run: (Pending, Wished) => |plan, state| {
        let transition = step(&plan, &state, &[wished()], at(0));
        assert_eq!(transition.state.stored.mode(), Mode::Forward);
        assert_eq!(sends(&transition), [CallId::forward(0)]);
    }
    a_tick_does_not_start_a_run_whose_spec_was_not_read: (Pending, Tick) => |plan, state| {
        let transition = step(&plan, &state, &[Event::Tick], at(0));
        assert!(!transition.changed && transition.effects.is_empty());
    }
    an_answer_to_a_run_that_never_sent_anything_is_ignored: (Pending, Answered) => |plan, state| {
        let event = Event::Answered { call: CallId::forward(0), fence: crate::saga::Fence(1), answer: ok() };
        assert!(ignored(&step(&plan, &state, &[event], at(0))));
    }
    a_lost_revision_means_nothing_before_one_is_pinned: (Pending, RevisionGone) => |plan, state| {
        assert!(ignored(&step(&plan, &state, &[Event::RevisionGone], at(0))));
    }
    a_cancellation_turns_a_run_that_goes_forward: (Forward, Wished) => |plan, state| {
        let mut wishes = wishes();
        wishes.cancellation = Some(crate::saga::Cancellation {
            policy: crate::api::run::EndPolicy::Compensate,
            reason: "changed my mind".into(),
        });
        let transition = step(&plan, &state, &[Event::Wished(wishes)], at(500));
        assert_eq!(transition.state.stored.mode(), Mode::Compensating);
        assert!(sends(&transition).is_empty(), "the action on the wire is awaited");
    }
    a_success_begins_the_next_step: (Forward, Answered) => |plan, state| {
        let event = answered(&state, CallId::forward(1), ok());
        let transition = step(&plan, &state, &[event], at(500));
        assert_eq!(sends(&transition), [CallId::forward(3)], "`wrap` is skipped in passing");
    }
    a_tick_after_the_deadline_turns_the_run: (Forward, Tick) => |plan, state| {
        let early = step(&plan, &state, &[Event::Tick], at(599_999));
        assert!(!early.changed);
        assert_eq!(early.wake_at, Some(at(600_000).monotonic));
        let transition = step(&plan, &state, &[Event::Tick], at(600_000));
        assert_eq!(transition.state.stored.failure.unwrap().reason, Reason::DeadlineExceeded);
    }
    a_lost_revision_is_replaced_before_the_first_call_only: (Forward, RevisionGone) => |plan, state| {
        assert!(ignored(&step(&plan, &state, &[Event::RevisionGone], at(500))));
        let mut unsent = step(&plan, &State::default(), &[wished()], at(0)).state;
        unsent.landed(at(0));
        let transition = step(&plan, &unsent, &[Event::RevisionGone], at(1));
        assert_eq!(transition.effects.first(), Some(&Effect::Withdraw(CallId::forward(0))));
        assert_eq!(sends(&transition), [CallId::forward(0)]);
    }
    a_cancellation_past_the_commit_point_is_refused: (Confirming, Wished) => |plan, state| {
        let mut wishes = crate::saga::Wishes { generation: 2, ..wishes() };
        wishes.cancellation = Some(crate::saga::Cancellation {
            policy: crate::api::run::EndPolicy::Compensate,
            reason: "too late".into(),
        });
        let transition = step(&plan, &state, &[Event::Wished(wishes)], at(600));
        assert_eq!(transition.state.stored.mode(), Mode::Confirming);
        assert!(transition.notes.iter().any(|note| note.occasion == Occasion::TooLate), "{:?}", transition.notes);
        assert!(sends(&transition).is_empty());
    }
    the_last_confirm_ends_the_run: (Confirming, Answered) => |plan, state| {
        let event = answered(&state, CallId::confirm(0), http(200, Value::Null));
        let transition = step(&plan, &state, &[event], at(600));
        assert_eq!(transition.state.stored.end, Some(End::Succeeded));
        assert_eq!(transition.state.stored.outputs.get("ticket"), Some(&json!("t-1")));
    }
    a_confirm_in_progress_is_followed_to_its_end: (Confirming, Polled) => |plan, state| {
        let accepted = answered(&state, CallId::confirm(0), accepted("/jobs/1"));
        let followed = land(&plan, &state, &[accepted], at(600)).state;
        assert!(ignored(&step(&plan, &state, &[polled(&followed, CallId::confirm(0), http(200, Value::Null))], at(700))));
        let event = polled(&followed, CallId::confirm(0), http(200, Value::Null));
        assert_eq!(step(&plan, &followed, &[event], at(700)).state.stored.end, Some(End::Succeeded));
    }
    a_deadline_does_not_touch_a_run_past_its_commit_point: (Confirming, Tick) => |plan, state| {
        let transition = step(&plan, &state, &[Event::Tick], at(700_000));
        assert!(!transition.changed && transition.effects.is_empty());
    }
    a_lost_revision_is_no_matter_while_confirming: (Confirming, RevisionGone) => |plan, state| {
        assert!(ignored(&step(&plan, &state, &[Event::RevisionGone], at(600))));
    }
    a_refused_size_does_not_stop_a_confirm: (Confirming, TooLarge) => |plan, state| {
        let event = answered(&state, CallId::confirm(0), http(500, Value::Null));
        let transition = step(&plan, &state, &[event, Event::TooLarge], at(600));
        assert_eq!(sends(&transition), [CallId::confirm(0)]);
        assert_eq!(transition.state.stored.failure, None);
    }
    an_action_in_progress_is_asked_again_until_it_is_done: (Forward, Polled) => |plan, state| {
        let accepted = answered(&state, CallId::forward(1), accepted("/jobs/1"));
        let followed = land(&plan, &state, &[accepted], at(600)).state;
        let call = CallId::forward(1);
        let again = step(&plan, &followed, &[polled(&followed, call, http(202, Value::Null))], at(2600));
        assert!(!again.changed, "a look costs no write");
        assert!(matches!(again.effects[..], [Effect::PollAgain { at: when, .. }] if when == at(4600).monotonic));
        let done = step(&plan, &followed, &[polled(&followed, call, ok())], at(2600));
        assert_eq!(done.state.stored.steps[1].forward.phase, Phase::Succeeded);
    }
    a_compensation_in_progress_is_followed_to_its_end: (Compensating, Polled) => |plan, state| {
        let accepted = answered(&state, CallId::compensate(0), accepted("/jobs/1"));
        let followed = land(&plan, &state, &[accepted], at(2000)).state;
        let event = polled(&followed, CallId::compensate(0), http(204, Value::Null));
        assert_eq!(step(&plan, &followed, &[event], at(4000)).state.stored.end, Some(End::Compensated));
    }
    a_look_at_a_run_that_never_sent_anything_is_ignored: (Pending, Polled) => |plan, state| {
        let event = Event::Polled { call: CallId::forward(0), fence: crate::saga::Fence(1), answer: ok() };
        assert!(ignored(&step(&plan, &state, &[event], at(0))));
    }
    a_look_after_the_end_is_ignored: (Ended, Polled) => |plan, state| {
        let event = Event::Polled { call: CallId::forward(0), fence: crate::saga::Fence(1), answer: ok() };
        assert!(ignored(&step(&plan, &state, &[event], at(2000))));
    }
    a_cancellation_changes_nothing_about_a_run_that_compensates: (Compensating, Wished) => |plan, state| {
        let mut wishes = wishes();
        wishes.deletion = Some(crate::api::run::EndPolicy::Compensate);
        assert!(!step(&plan, &state, &[Event::Wished(wishes)], at(2000)).changed);
    }
    the_last_compensation_ends_the_run: (Compensating, Answered) => |plan, state| {
        let event = answered(&state, CallId::compensate(0), http(200, Value::Null));
        let transition = step(&plan, &state, &[event], at(2000));
        assert_eq!(transition.state.stored.end, Some(End::Compensated));
        assert_eq!(transition.effects, [Effect::Release]);
    }
    a_deadline_does_not_touch_a_run_that_compensates: (Compensating, Tick) => |plan, state| {
        let transition = step(&plan, &state, &[Event::Tick], at(700_000));
        assert!(!transition.changed && transition.effects.is_empty());
    }
    a_lost_revision_is_no_matter_while_compensating: (Compensating, RevisionGone) => |plan, state| {
        assert!(ignored(&step(&plan, &state, &[Event::RevisionGone], at(2000))));
    }
    a_change_of_the_spec_is_observed_after_the_end: (Ended, Wished) => |plan, state| {
        let transition = step(&plan, &state, &[Event::Wished(crate::saga::Wishes { generation: 9, ..wishes() })], at(2000));
        assert_eq!(transition.state.stored.observed_generation, 9);
        assert!(sends(&transition).is_empty());
    }
    an_answer_after_the_end_is_ignored: (Ended, Answered) => |plan, state| {
        let event = Event::Answered { call: CallId::forward(0), fence: crate::saga::Fence(1), answer: ok() };
        assert!(ignored(&step(&plan, &state, &[event], at(2000))));
    }
    time_means_nothing_after_the_end: (Ended, Tick) => |plan, state| {
        let transition = step(&plan, &state, &[Event::Tick], at(9_000_000));
        assert!(!transition.changed && transition.wake_at.is_none());
    }
    a_lost_revision_is_no_matter_after_the_end: (Ended, RevisionGone) => |plan, state| {
        assert!(ignored(&step(&plan, &state, &[Event::RevisionGone], at(2000))));
    }
}

/// Pairs of mode and kind of event without a row.
fn uncovered() -> Vec<(Mode, EventKind)> {
    let covered: BTreeSet<_> = ROWS.iter().map(|(mode, kind, _)| (*mode, *kind)).collect();
    let pairs = Mode::ALL.into_iter().flat_map(|mode| EventKind::ALL.map(|kind| (mode, kind)));
    pairs.filter(|pair| !covered.contains(pair)).collect()
}

#[test]
fn every_pair_of_mode_and_event_has_a_row() {
    let uncovered = uncovered();
    println!("{} rows, pairs without a row: {uncovered:?}", ROWS.len());
    assert_eq!(uncovered, []);
}

#[test]
fn a_run_at_its_commit_point_goes_on_when_the_size_is_refused() {
    let plan = order();
    let state = forward(&plan, 2);
    let event = answered(&state, CallId::forward(3), http(200, json!({"percent": 3})));
    let transition = step(&plan, &state, &[event, Event::TooLarge], at(500));
    assert_eq!(transition.state.stored.end, Some(End::Succeeded));
}
