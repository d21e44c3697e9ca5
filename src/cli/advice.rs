//! What a person can do for a run that does not go on by itself.

use std::fmt::Write as _;

use super::board::{Rest, rest};
use crate::api::Reason;
use crate::api::condition::SUCCEEDED;
use crate::api::run::Direction;
use crate::saga::{CallId, CallRecord, IdempotencyKey, Identity, Phase, Stored};

/// Whether the same command can go on with the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Resumable {
    /// It has a state file.
    Yes,
    /// Its state is gone when the command ends.
    No,
}

/// What moves a run that does not go on by itself.
pub(super) fn advice(run: &Identity, stored: &Stored, resumable: Resumable) -> Option<String> {
    let text = match (rest(stored), resumable) {
        (Rest::Ended, _) => return None,
        (Rest::None, _) => "it was left alone, see the log above; nothing that was stored is lost".to_owned(),
        (Rest::NeedsPerson, Resumable::No) => {
            let text = "it needs a person, and without --state it cannot be resumed: what was done stays done";
            format!("{text}{}", stalls(run, stored))
        }
        (Rest::NeedsPerson, Resumable::Yes) if stored.stalled().is_some() => {
            format!("it needs a person{}\n{}", stalls(run, stored), decide(stored))
        }
        (Rest::NeedsPerson, Resumable::Yes) if reason(stored) == Some(Reason::Suspended.as_str()) => {
            "it is suspended: write `spec.suspend: false` in its manifest, then run the same command again".to_owned()
        }
        (Rest::NeedsPerson, Resumable::Yes) => "it needs a person: see to what the message names, then write \
            `spec.cancellation: {policy: Abandon}` in its manifest and run the same command again, to end it as it stands"
            .to_owned(),
    };
    Some(format!("{}: {text}", run.name))
}

/// What a person looks for at the participants.
fn stalls(run: &Identity, stored: &Stored) -> String {
    let mut text = String::new();
    for (call, record) in stalled(stored) {
        let step = stored.steps.get(call.step).map_or("", |step| step.name.as_str());
        let key = IdempotencyKey::new(&run.uid, step, call.direction, record.key_suffix);
        let (reason, message) = (record.reason.map_or("Stalled", Reason::as_str), record.message.as_deref());
        let doubt = match record.doubtful {
            0 => "none of them may have taken effect".to_owned(),
            doubtful => format!("{doubtful} of them may have taken effect"),
        };
        let _ = write!(
            text,
            "\n  {step} ({}) is stalled: {reason}: {}\n    {} attempts under the key \"{}\"; {doubt}",
            call.direction.field(),
            message.unwrap_or_default(),
            record.attempts,
            key.as_str(),
        );
    }
    text
}

/// The entry to write, ready to be filled in.
fn decide(stored: &Stored) -> String {
    let entries: Vec<String> = stalled(stored)
        .enumerate()
        .map(|(number, (call, record))| {
            let step = stored.steps.get(call.step).map_or("", |step| step.name.as_str());
            let id = stored.judged.len() + number + 1;
            let direction = match call.direction {
                Direction::Forward => "Forward",
                Direction::Compensate => "Compensate",
                Direction::Confirm => "Confirm",
            };
            let or_failed = if record.reason == Some(Reason::PivotInDoubt) { " or MarkFailed" } else { "" };
            format!(
                "        - {{id: \"{id}\", step: {step}, direction: {direction}, action: Retry, reason: \"...\", \
                 requestedBy: you}}  # or MarkSucceeded{or_failed}"
            )
        })
        .collect();
    format!(
        "  Look at the participant by that key (docs/interventions.md), add to the manifest of the run, after what stands \
         there already,\n      interventions:\n{}\n  under `spec`, and run the same command again. \
         `spec.cancellation: {{policy: Abandon}}` instead ends the run as it stands.",
        entries.join("\n")
    )
}

fn stalled(stored: &Stored) -> impl Iterator<Item = (CallId, &CallRecord)> {
    stored.calls().filter(|(_, record)| record.phase == Phase::Stalled)
}

/// Of the condition `Succeeded`.
fn reason(stored: &Stored) -> Option<&str> {
    let condition = stored.conditions.iter().find(|condition| condition.type_ == SUCCEEDED)?;
    Some(&condition.reason)
}
