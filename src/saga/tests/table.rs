//! One row for each mode and kind of event, and for each row of the answer table of api.md.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};

use super::fixtures::*;
use crate::api::Reason;
use crate::api::definition::RuleOutcome;
use crate::api::run::Direction;
use crate::saga::outcome::{self, After, Rule, Verdict};
use crate::saga::state::{End, Phase};
use crate::saga::{Answer, CallId, Effect, Event, EventKind, Mode, Occasion, Plan, State, Transition, step};

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

        const COVERED: &[(Mode, EventKind)] = &[$((Mode::$mode, EventKind::$kind)),+];
    };
}

rows! {
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

#[test]
fn every_pair_of_mode_and_event_has_a_row() {
    let covered: BTreeSet<_> = COVERED.iter().copied().collect();
    for mode in Mode::ALL {
        for kind in EventKind::ALL {
            assert!(covered.contains(&(mode, kind)), "no row for {kind:?} in {mode:?}");
        }
    }
}

#[test]
fn a_run_at_its_commit_point_goes_on_when_the_size_is_refused() {
    let plan = order();
    let state = forward(&plan, 2);
    let event = answered(&state, CallId::forward(3), http(200, json!({"percent": 3})));
    let transition = step(&plan, &state, &[event, Event::TooLarge], at(500));
    assert_eq!(transition.state.stored.end, Some(End::Succeeded));
}

/// What a `Location` is relative to.
const URL: &str = "http://stock.svc/reserve";

/// A row of the answer table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Row {
    Success,
    Accepted,
    Gone,
    ConflictAfter,
    Conflict,
    Throttled,
    ThrottledAfter,
    ServerError,
    ServerErrorAfter,
    Redirect,
    OtherClientError,
    OutsideOfHttp,
    Lost,
    NotSent,
    SecretNotFound,
    SecretForbidden,
    DestinationNotAllowed,
}

impl Row {
    const ALL: [Self; 17] = [
        Self::Success,
        Self::Accepted,
        Self::Gone,
        Self::ConflictAfter,
        Self::Conflict,
        Self::Throttled,
        Self::ThrottledAfter,
        Self::ServerError,
        Self::ServerErrorAfter,
        Self::Redirect,
        Self::OtherClientError,
        Self::OutsideOfHttp,
        Self::Lost,
        Self::NotSent,
        Self::SecretNotFound,
        Self::SecretForbidden,
        Self::DestinationNotAllowed,
    ];

    fn answers(self) -> Vec<Answer> {
        let all = |statuses: &[u16]| statuses.iter().map(|status| http(*status, json!({}))).collect();
        match self {
            Self::Success => all(&[200, 201, 203, 204, 206, 299]),
            Self::Accepted => all(&[202]),
            Self::Gone => all(&[410]),
            Self::ConflictAfter => vec![http_after(409, 7)],
            Self::Conflict => all(&[409]),
            Self::Throttled => all(&[408, 425, 429]),
            Self::ThrottledAfter => vec![http_after(408, 7), http_after(425, 7), http_after(429, 7)],
            Self::ServerError => all(&[500, 501, 502, 503, 504, 599]),
            Self::ServerErrorAfter => vec![http_after(503, 7)],
            Self::Redirect => all(&[300, 301, 302, 304, 307, 308, 399]),
            Self::OtherClientError => all(&[400, 401, 403, 404, 405, 412, 422, 451, 499]),
            Self::OutsideOfHttp => all(&[0, 100, 199, 600, 999]),
            Self::Lost => vec![lost()],
            Self::NotSent => vec![not_sent(Reason::ConnectionFailed)],
            Self::SecretNotFound => vec![not_sent(Reason::SecretNotFound)],
            Self::SecretForbidden => vec![not_sent(Reason::SecretForbidden)],
            Self::DestinationNotAllowed => vec![not_sent(Reason::DestinationNotAllowed)],
        }
    }

    /// What api.md says: the verdict, and whether an effect is possible when it is not a success.
    fn expected(self, direction: Direction, doubted: bool) -> (Verdict, bool, Reason) {
        use Direction::{Compensate, Confirm, Forward};
        let (backoff, seven) = (Verdict::Retry(After::Backoff), Duration::from_secs(7));
        let same = |least| Verdict::Retry(After::SameAttempt(least));
        // A confirm is refused as an action is, and never given up as a compensation is not.
        let refusing = match direction {
            Forward | Confirm => Forward,
            Compensate => Compensate,
        };
        if direction == Confirm && matches!(self, Self::SecretForbidden | Self::DestinationNotAllowed) {
            return self.expected(Compensate, doubted);
        }
        match (self, refusing, doubted) {
            (Self::Success, _, _) => (Verdict::Succeeded, true, Reason::Succeeded),
            (Self::Accepted, Forward | Confirm, _) => (Verdict::Rejected, true, Reason::NoLocation),
            (Self::Accepted, Compensate, _) => (backoff, true, Reason::NoLocation),
            (Self::Gone, Forward | Confirm, _) => (Verdict::Rejected, false, Reason::Rejected),
            (Self::Gone, Compensate, _) => (Verdict::Succeeded, false, Reason::Succeeded),
            (Self::ConflictAfter, _, _) => (same(Some(seven)), true, Reason::Conflict),
            (Self::Conflict, _, true) => (same(None), false, Reason::Conflict),
            (Self::Conflict, Forward | Confirm, false) => (Verdict::Rejected, false, Reason::Rejected),
            (Self::Conflict, Compensate, false) => (backoff, false, Reason::Rejected),
            (Self::Throttled, _, _) => (backoff, false, Reason::Throttled),
            (Self::ThrottledAfter, _, _) => (Verdict::Retry(After::AtLeast(seven)), false, Reason::Throttled),
            (Self::ServerError | Self::OutsideOfHttp, _, _) => (backoff, true, Reason::ServerError),
            (Self::ServerErrorAfter, _, _) => (Verdict::Retry(After::AtLeast(seven)), true, Reason::ServerError),
            (Self::Redirect, Forward | Confirm, _) => (Verdict::Rejected, true, Reason::RedirectRefused),
            (Self::Redirect, Compensate, _) => (backoff, true, Reason::RedirectRefused),
            (Self::OtherClientError, Forward | Confirm, _) => (Verdict::Rejected, false, Reason::Rejected),
            (Self::OtherClientError, Compensate, _) => (backoff, false, Reason::Rejected),
            (Self::Lost, _, _) => (backoff, true, Reason::Timeout),
            (Self::NotSent, _, _) => (backoff, false, Reason::ConnectionFailed),
            (Self::SecretNotFound, _, _) => (backoff, false, Reason::SecretNotFound),
            (Self::SecretForbidden, Forward | Confirm, _) => (Verdict::Rejected, false, Reason::SecretForbidden),
            (Self::SecretForbidden, Compensate, _) => (Verdict::Unrenderable, false, Reason::SecretForbidden),
            (Self::DestinationNotAllowed, Forward | Confirm, _) => {
                (Verdict::Rejected, false, Reason::DestinationNotAllowed)
            }
            (Self::DestinationNotAllowed, Compensate, _) => {
                (Verdict::Unrenderable, false, Reason::DestinationNotAllowed)
            }
        }
    }
}

/// Every row, answer, direction, and whether the call has a doubtful attempt.
fn cases() -> Vec<(Row, Answer, Direction, bool)> {
    let mut all = Vec::new();
    for row in Row::ALL {
        for answer in row.answers() {
            for direction in Direction::ALL {
                all.extend([false, true].map(|doubted| (row, answer.clone(), direction, doubted)));
            }
        }
    }
    all
}

#[test]
fn every_answer_is_read_as_the_answer_table_says() {
    for (row, answer, direction, doubted) in cases() {
        let reading = outcome::read(direction, &answer, doubted, Rule::None, URL);
        let found = (reading.verdict, reading.effect_possible, reading.reason);
        assert_eq!(found, row.expected(direction, doubted), "{row:?} {direction:?} doubted: {doubted} {answer:?}");
    }
}

#[test]
fn every_status_code_belongs_to_exactly_one_row() {
    for status in 100..600 {
        for doubted in [false, true] {
            let reading = outcome::read(Direction::Forward, &http(status, Value::Null), doubted, Rule::None, URL);
            assert_eq!(reading.http_status, Some(status));
            assert!(!reading.message.is_empty());
        }
    }
}

#[test]
fn a_rule_wins_over_every_row_that_has_an_answer() {
    for (row, answer, direction, doubted) in cases() {
        let plain = outcome::read(direction, &answer, doubted, Rule::None, URL);
        let read = |outcome| outcome::read(direction, &answer, doubted, Rule::Matched(outcome), URL);
        if !matches!(answer, Answer::Response(_)) {
            assert_eq!(read(RuleOutcome::Succeeded), plain, "{row:?}: rules read answers only");
            continue;
        }
        let succeeded = read(RuleOutcome::Succeeded);
        assert_eq!((succeeded.verdict, succeeded.effect_possible), (Verdict::Succeeded, true), "{row:?}");
        let rejected = read(RuleOutcome::Rejected);
        assert_eq!((rejected.verdict, rejected.effect_possible), (Verdict::Rejected, false), "{row:?}");
        let retry = read(RuleOutcome::Retry);
        assert!(matches!(retry.verdict, Verdict::Retry(_)), "{row:?}");
        assert_eq!(retry.effect_possible, plain.effect_possible, "{row:?}: a rule's Retry keeps the row's effect");
        let failed = outcome::read(direction, &answer, doubted, Rule::Failed("no such member".into()), URL);
        assert!(matches!(failed.verdict, Verdict::Retry(_)), "{row:?}");
        assert_eq!(failed.effect_possible, plain.effect_possible, "{row:?}");
        assert_ne!(failed.reason, Reason::Succeeded, "{row:?}: a retry is no success");
    }
}

/// What the state of a step says after its first attempt was read in a given way.
fn after_first_answer(answer: Answer) -> (Phase, u32) {
    let plan = order();
    let state = forward(&plan, 0);
    let event = answered(&state, CallId::forward(0), answer);
    let record = step(&plan, &state, &[event], at(10)).state.stored.steps[0].forward.clone();
    (record.phase, record.doubtful)
}

#[test]
fn a_refusal_without_effect_is_failed_and_one_with_possible_effect_is_unknown() {
    assert_eq!(after_first_answer(http(422, Value::Null)), (Phase::Failed, 0));
    assert_eq!(after_first_answer(http(302, Value::Null)), (Phase::Unknown, 1));
    assert_eq!(after_first_answer(http(202, Value::Null)), (Phase::Unknown, 1));
    assert_eq!(after_first_answer(http(500, Value::Null)), (Phase::Waiting, 1));
    assert_eq!(after_first_answer(http(429, Value::Null)), (Phase::Waiting, 0));
    assert_eq!(after_first_answer(ok()), (Phase::Succeeded, 0));
}
