//! How an answer is read: the table of api.md, and the rules of a definition over it.

use std::time::Duration;

use super::request::{Answer, Response};
use crate::api::Reason;
use crate::api::definition::RuleOutcome;
use crate::api::run::Direction;

/// What an answer means for its call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reading {
    /// What to do next.
    pub verdict: Verdict,
    /// Whether the attempt may have taken effect, for all that is known, when it did not succeed.
    pub effect_possible: bool,
    /// As a word.
    pub reason: Reason,
    /// For people.
    pub message: String,
    /// HTTP status code, where there was one.
    pub http_status: Option<u16>,
}

/// What to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Done.
    Succeeded,
    /// The participant refused; asking again will not help.
    Rejected,
    /// Ask again.
    Retry(After),
    /// It must be sent, and cannot be: only a person can help. Compensations only.
    Unrenderable,
}

/// When to ask again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum After {
    /// After the backoff.
    Backoff,
    /// After the backoff, and not before this long.
    AtLeast(Duration),
    /// As `AtLeast` or `Backoff`, under the same attempt number while the call has a doubtful attempt.
    SameAttempt(Option<Duration>),
}

/// Reads an answer. `doubted`: the call has a doubtful attempt already. `rule`: the outcome of the first rule that
/// matched, or that a rule could not be evaluated.
pub fn read(direction: Direction, answer: &Answer, doubted: bool, rule: Rule) -> Reading {
    match answer {
        Answer::Response(response) => {
            let row = row(direction, response, doubted);
            match rule {
                Rule::None => row,
                Rule::Matched(outcome) => overruled(row, outcome, response),
                Rule::Failed(why) => Reading {
                    verdict: Verdict::Retry(after(response)),
                    reason: Reason::ExpressionError,
                    message: format!("{}; a response rule failed: {why}", row.message),
                    ..row
                },
            }
        }
        Answer::Lost { reason, message } => Reading {
            verdict: Verdict::Retry(After::Backoff),
            effect_possible: true,
            reason: *reason,
            message: message.clone(),
            http_status: None,
        },
        Answer::NotSent { reason, message } => Reading {
            verdict: unsent(direction, *reason),
            effect_possible: false,
            reason: *reason,
            message: message.clone(),
            http_status: None,
        },
    }
}

/// What the rules of a definition say of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rule {
    /// No rule matches.
    None,
    /// The first rule that matches.
    Matched(RuleOutcome),
    /// A rule before any match cannot be evaluated.
    Failed(String),
}

fn unsent(direction: Direction, reason: Reason) -> Verdict {
    let for_good = matches!(reason, Reason::SecretForbidden | Reason::DestinationNotAllowed | Reason::Unrenderable);
    match (for_good, direction) {
        (false, _) => Verdict::Retry(After::Backoff),
        (true, Direction::Forward) => Verdict::Rejected,
        (true, Direction::Compensate) => Verdict::Unrenderable,
    }
}

fn after(response: &Response) -> After {
    response.retry_after.map_or(After::Backoff, After::AtLeast)
}

/// The table of api.md. A compensation is never given up for an answer: what a forward call takes as a refusal, it retries.
fn row(direction: Direction, response: &Response, doubted: bool) -> Reading {
    let status = response.status;
    let refuse = |reason: Reason| match direction {
        Direction::Forward => (Verdict::Rejected, reason),
        Direction::Compensate => (Verdict::Retry(after(response)), reason),
    };
    let ((verdict, reason), effect_possible) = match status {
        202 => (refuse(Reason::NoLocation), true),
        200..=299 => ((Verdict::Succeeded, Reason::Succeeded), true),
        300..=399 => (refuse(Reason::RedirectRefused), true),
        410 => match direction {
            Direction::Forward => ((Verdict::Rejected, Reason::Rejected), false),
            Direction::Compensate => ((Verdict::Succeeded, Reason::Succeeded), false),
        },
        409 if doubted || response.retry_after.is_some() => {
            let again = Verdict::Retry(After::SameAttempt(response.retry_after));
            ((again, Reason::Conflict), response.retry_after.is_some())
        }
        408 | 425 | 429 => ((Verdict::Retry(after(response)), Reason::Throttled), false),
        400..=499 => (refuse(Reason::Rejected), false),
        // 5xx, and numbers outside of HTTP: something answered, and nobody knows what it did.
        0..=199 | 500..=u16::MAX => ((Verdict::Retry(after(response)), Reason::ServerError), true),
    };
    Reading { verdict, effect_possible, reason, message: said(status), http_status: Some(status) }
}

fn said(status: u16) -> String {
    match status {
        202 => "HTTP 202 without a Location to ask again".to_owned(),
        300..=399 => format!("HTTP {status}: redirects are not followed"),
        0..=201 | 203..=299 | 400..=u16::MAX => format!("HTTP {status}"),
    }
}

fn overruled(row: Reading, outcome: RuleOutcome, response: &Response) -> Reading {
    let message = format!("{}, by a response rule", row.message);
    match outcome {
        RuleOutcome::Succeeded => {
            Reading { verdict: Verdict::Succeeded, effect_possible: true, reason: Reason::Succeeded, message, ..row }
        }
        RuleOutcome::Rejected => {
            Reading { verdict: Verdict::Rejected, effect_possible: false, reason: Reason::Rejected, message, ..row }
        }
        RuleOutcome::Retry => {
            let reason = if row.reason == Reason::Succeeded { Reason::Rejected } else { row.reason };
            Reading { verdict: Verdict::Retry(after(response)), reason, message, ..row }
        }
    }
}
