//! One row for each row of the answer table of api.md.

use std::time::Duration;

use serde_json::{Value, json};

use super::fixtures::*;
use crate::api::Reason;
use crate::api::definition::RuleOutcome;
use crate::api::run::Direction;
use crate::saga::outcome::{self, After, Rule, Verdict};
use crate::saga::state::Phase;
use crate::saga::{Answer, CallId, step};

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
