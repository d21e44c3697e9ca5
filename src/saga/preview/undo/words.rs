//! What a cancellation means to a run, in words.

use super::{UnderWay, Verdict};
use crate::api::run::Direction;
use crate::saga::definition::StepPlan;
use crate::saga::preview::rehearsal::Rehearsal;
use crate::saga::{Mode, Now, Occasion, Stored};

/// What the first decision says.
pub(super) fn verdict(before: &Stored, rehearsal: &Rehearsal) -> Verdict {
    let too_late = rehearsal.notes.iter().any(|note| note.occasion == Occasion::TooLate);
    match before.mode() {
        // Answered without a rehearsal.
        Mode::Ended => Verdict::Ended,
        Mode::Pending => Verdict::NothingSent,
        Mode::Compensating => Verdict::UndoneAlready,
        Mode::Confirming => Verdict::Refused,
        Mode::Forward if too_late => Verdict::Refused,
        Mode::Forward if rehearsal.turned_at_once() => Verdict::Undone,
        Mode::Forward => Verdict::WaitsForPivot,
    }
}

/// The same as a sentence.
pub(super) fn message(verdict: Verdict, stored: &Stored, steps: &[StepPlan], pivot: Option<usize>) -> String {
    let pivot = pivot.and_then(|pivot| steps.get(pivot)).map(|step| step.name.to_string());
    match verdict {
        Verdict::Undone => "the run turns, and what took effect is undone".to_owned(),
        Verdict::NothingSent => "nothing was sent yet: the run ends Compensated, without a request".to_owned(),
        Verdict::UndoneAlready => {
            let why = stored.failure.as_ref().map(|failure| failure.message.clone()).unwrap_or_default();
            format!("the run is being undone already, and cancelling it changes nothing: {why}")
        }
        Verdict::Refused => {
            let point =
                pivot.map_or_else(|| "every step is done".to_owned(), |pivot| format!("the Pivot '{pivot}' succeeded"));
            format!("the run is past its commit point ({point}): the cancellation is refused and it goes forward")
        }
        Verdict::WaitsForPivot => {
            let pivot = pivot.unwrap_or_default();
            format!(
                "nobody knows yet whether the Pivot '{pivot}' takes effect: the cancellation waits for its outcome. If it \
                 succeeds, the cancellation is refused and the run goes forward. What follows is done if it is refused \
                 without effect"
            )
        }
        Verdict::Abandoned => "the run is to be left as it stands (Abandon): nothing is undone".to_owned(),
        Verdict::Ended => {
            let end = stored.end.map_or("over", |end| end.reason().as_str());
            format!("the run has ended ({end}): nothing is sent for it any more")
        }
    }
}

/// Calls that have an attempt now.
pub(super) fn under_way(stored: &Stored, verdict: Verdict, now: Now) -> Vec<UnderWay> {
    let turns = matches!(verdict, Verdict::Undone);
    let open = stored.open_calls().map(|(call, record, open)| {
        let waits = open.not_before.filter(|at| *at > now.wall);
        let forward = call.direction == Direction::Forward;
        let message = match (waits, &open.location) {
            (Some(_), _) if forward && turns && record.doubtful == 0 => {
                "is due later and was not sent: taken back, nothing to undo".to_owned()
            }
            (Some(_), _) if forward && turns => {
                "is due later and was not sent: taken back; an earlier attempt may have taken effect: undone".to_owned()
            }
            (None, Some(_)) if forward && turns => {
                "is in progress at the participant: no longer asked for; nobody knows its outcome: undone".to_owned()
            }
            (None, None) if forward && turns => format!(
                "is awaited first, at most until {}; here it is taken to succeed: refused, there is nothing to undo",
                open.deadline
            ),
            (Some(at), _) => format!("is sent at {at}"),
            (None, Some(_)) => format!("is in progress at the participant, and asked for until {}", open.deadline),
            (None, None) => format!("is awaited, at most until {}", open.deadline),
        };
        let step = stored.steps.get(call.step).map(|step| step.name.clone()).unwrap_or_default();
        UnderWay { step, direction: call.direction, attempt: record.attempts, message }
    });
    match verdict {
        Verdict::NothingSent | Verdict::Ended => Vec::new(),
        Verdict::Undone | Verdict::UndoneAlready | Verdict::Refused | Verdict::WaitsForPivot | Verdict::Abandoned => {
            open.collect()
        }
    }
}
