//! How an answer is read: the table of api.md, and the rules of a definition over it.

use std::time::Duration;

use super::location;
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
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Done.
    Succeeded,
    /// The participant refused; asking again will not help.
    Rejected,
    /// Ask again.
    Retry(After),
    /// The participant works on it.
    InProgress {
        /// Where to ask: path and query at the origin of the call.
        location: String,
        /// As the participant wishes.
        after: Option<Duration>,
    },
    /// It must be sent, and cannot be: only a person can help. Compensations and confirms only.
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

/// Reads an answer to an attempt. `doubted`: the call has a doubtful attempt already. `rule`: the outcome of the first rule
/// that matched, or that a rule could not be evaluated. `url`: of the request, where [`asks_for_location`] says so.
pub fn read(direction: Direction, answer: &Answer, doubted: bool, rule: Rule, url: &str) -> Reading {
    match answer {
        Answer::Response(response) => {
            let row = row(direction, response, doubted, url);
            match rule {
                Rule::None => row,
                Rule::Matched(RuleOutcome::InProgress) => in_progress(direction, response, url),
                Rule::Matched(RuleOutcome::Succeeded) => succeeded(row),
                Rule::Matched(RuleOutcome::Rejected) => rejected(row),
                Rule::Matched(RuleOutcome::Retry) => retried(row, response),
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

/// Whether reading an answer takes the URL of the request, which a `Location` is relative to.
pub fn asks_for_location(answer: &Answer, rule: &Rule) -> bool {
    let accepted = matches!(answer, Answer::Response(response) if response.status == 202);
    accepted || *rule == Rule::Matched(RuleOutcome::InProgress)
}

/// What a look at a call in progress tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Look {
    /// The call is done, or is to be begun again: read as the answer to its attempt.
    Over(Reading),
    /// It goes on.
    GoesOn {
        /// As the participant wishes.
        after: Option<Duration>,
    },
}

/// Reads an answer to a look at a call in progress: only a success, or a rule that matches, ends the wait.
pub fn look(answer: &Answer, rule: Rule) -> Look {
    let Answer::Response(response) = answer else { return Look::GoesOn { after: None } };
    let row = |verdict, reason| Reading {
        verdict,
        // It was accepted once, so an effect is possible unless a rule says otherwise.
        effect_possible: true,
        reason,
        message: format!("{} at its Location", said(response.status)),
        http_status: Some(response.status),
    };
    match (rule, response.status) {
        (Rule::Matched(RuleOutcome::Succeeded), _) | (Rule::None, 200 | 201 | 203..=299) => {
            Look::Over(row(Verdict::Succeeded, Reason::Succeeded))
        }
        (Rule::Matched(RuleOutcome::Rejected), _) => Look::Over(rejected(row(Verdict::Rejected, Reason::Rejected))),
        (Rule::Matched(RuleOutcome::Retry), _) => Look::Over(row(Verdict::Retry(after(response)), Reason::Rejected)),
        // A rule that fails decides nothing.
        (Rule::Matched(RuleOutcome::InProgress) | Rule::None | Rule::Failed(_), _) => {
            Look::GoesOn { after: response.retry_after }
        }
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
        (true, Direction::Compensate | Direction::Confirm) => Verdict::Unrenderable,
    }
}

fn after(response: &Response) -> After {
    response.retry_after.map_or(After::Backoff, After::AtLeast)
}

/// The table of api.md. A compensation is never given up for an answer: what a forward call takes as a refusal, it retries.
fn row(direction: Direction, response: &Response, doubted: bool, url: &str) -> Reading {
    let status = response.status;
    let ((verdict, reason), effect_possible) = match status {
        202 => return in_progress(direction, response, url),
        200..=299 => ((Verdict::Succeeded, Reason::Succeeded), true),
        300..=399 => ((refused(direction, response), Reason::RedirectRefused), true),
        410 => match direction {
            Direction::Forward | Direction::Confirm => ((Verdict::Rejected, Reason::Rejected), false),
            Direction::Compensate => ((Verdict::Succeeded, Reason::Succeeded), false),
        },
        409 if doubted || response.retry_after.is_some() => {
            let again = Verdict::Retry(After::SameAttempt(response.retry_after));
            ((again, Reason::Conflict), response.retry_after.is_some())
        }
        408 | 425 | 429 => ((Verdict::Retry(after(response)), Reason::Throttled), false),
        400..=499 => ((refused(direction, response), Reason::Rejected), false),
        // 5xx, and numbers outside of HTTP: something answered, and nobody knows what it did.
        0..=199 | 500..=u16::MAX => ((Verdict::Retry(after(response)), Reason::ServerError), true),
    };
    Reading { verdict, effect_possible, reason, message: said(status), http_status: Some(status) }
}

fn refused(direction: Direction, response: &Response) -> Verdict {
    match direction {
        Direction::Forward | Direction::Confirm => Verdict::Rejected,
        Direction::Compensate => Verdict::Retry(after(response)),
    }
}

/// Accepted: to be followed where the answer says, if it says so in a way that can be used.
fn in_progress(direction: Direction, response: &Response, url: &str) -> Reading {
    let said = format!("HTTP {}", response.status);
    let place = location::path(url, response.headers.get("location").map(String::as_str));
    let (verdict, reason, message) = match place {
        Ok(location) => (Verdict::InProgress { location, after: response.retry_after }, Reason::InProgress, said),
        Err(why) => (refused(direction, response), Reason::NoLocation, format!("{said} {why}")),
    };
    Reading { verdict, effect_possible: true, reason, message, http_status: Some(response.status) }
}

fn said(status: u16) -> String {
    match status {
        300..=399 => format!("HTTP {status}: redirects are not followed"),
        0..=299 | 400..=u16::MAX => format!("HTTP {status}"),
    }
}

fn by_rule(row: &Reading) -> String {
    format!("{}, by a response rule", row.message)
}

fn succeeded(row: Reading) -> Reading {
    let message = by_rule(&row);
    Reading { verdict: Verdict::Succeeded, effect_possible: true, reason: Reason::Succeeded, message, ..row }
}

fn rejected(row: Reading) -> Reading {
    let message = by_rule(&row);
    Reading { verdict: Verdict::Rejected, effect_possible: false, reason: Reason::Rejected, message, ..row }
}

fn retried(row: Reading, response: &Response) -> Reading {
    let message = by_rule(&row);
    // The row may read it as done or accepted: the rule does not.
    let good = matches!(row.reason, Reason::Succeeded | Reason::InProgress);
    let reason = if good { Reason::Rejected } else { row.reason };
    Reading { verdict: Verdict::Retry(after(response)), reason, message, ..row }
}
