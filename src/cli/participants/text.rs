//! The ledger for people.

use std::fmt::Write as _;

use super::call::SERVICES;
use super::state::{Change, Effect, EffectState, Entry};

/// What there is.
pub(super) fn about() -> String {
    let mut text = "Participants for trying out sagas. Every POST wants an Idempotency-Key.\n\n".to_owned();
    for service in SERVICES {
        let _ = writeln!(text, "  {:26} {}", service.path, service.about);
    }
    text.push_str(
        "  /operations/ID             GET -> 202 until the accepted work is done, then 200 with its answer
  /noop                      POST -> 200 {}, nothing is kept
  /ledger                    GET [?run=UID]: what was asked and done; with `Accept: text/plain` for people
  /faults/SERVICE            PUT {mode: down|reject|error|hang|slow|async, times?, milliseconds?, direction?}, DELETE
",
    );
    text
}

/// One line a request, then what is left of it.
pub(super) fn ledger(entries: &[Entry], effects: &[Effect]) -> String {
    let mut text = String::new();
    for entry in entries {
        let call = &entry.call;
        let fault = entry.fault.map(|fault| format!(", fault {fault:?}").to_lowercase()).unwrap_or_default();
        let what = match entry.change {
            Change::None if entry.replay => "the first answer again",
            Change::None if entry.status == 202 => "not done yet",
            Change::None => "nothing done",
            Change::Accepted => "accepted",
            Change::Done => "done",
            Change::Confirmed => "confirmed",
            Change::Undone => "undone",
            Change::Prevented => "nothing to undo, prevented",
        };
        if entry.finish {
            let operation = entry.operation.as_deref().unwrap_or("-");
            let _ = writeln!(
                text,
                "{:>5} {:26} the work is over: {what}",
                entry.number,
                format!("/operations/{operation}")
            );
            continue;
        }
        let _ = writeln!(
            text,
            "{:>5} {:26} {} {:12} {:10} attempt {} fence {:<3} -> {} {what}{fault}",
            entry.number,
            call.path,
            call.run.as_deref().unwrap_or("-"),
            call.step.as_deref().unwrap_or("-"),
            call.direction.as_deref().unwrap_or("-"),
            call.attempt.map_or_else(|| "-".to_owned(), |attempt| attempt.to_string()),
            call.fence.map_or_else(|| "-".to_owned(), |fence| fence.to_string()),
            entry.status,
        );
    }
    text.push_str("\nEffects now:\n");
    for effect in effects {
        let state = match effect.state {
            EffectState::Done => "there",
            EffectState::Confirmed => "there for good",
            EffectState::Undone => "undone",
        };
        let times = if effect.times > 1 { format!("  MADE {} TIMES", effect.times) } else { String::new() };
        let _ = writeln!(text, "  {:13} {:18} {:14} {}{times}", effect.service, effect.id, state, effect.key);
    }
    if effects.is_empty() {
        text.push_str("  none\n");
    }
    text
}
