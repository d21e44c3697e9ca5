//! Texts for people, within the bounds that keep a status small.

use std::time::Duration;

use super::plan::Unready;

/// Longest message of a step.
pub const STEP_MESSAGE: usize = 128;
/// Longest message of a failure or a condition.
pub const MESSAGE: usize = 256;

/// At most 256 printable ASCII characters, none of which JSON or HTML escapes.
pub(super) fn message(text: &str) -> String {
    plain(text, MESSAGE)
}

/// At most 128 characters.
pub(super) fn step_message(text: &str) -> String {
    plain(text, STEP_MESSAGE)
}

/// Escapes multiply bytes, and what a participant answered is not to be trusted with control characters.
pub(super) fn plain(text: &str, limit: usize) -> String {
    let clean = |character: char| match character {
        '"' | '`' => '\'',
        '&' => '+',
        '<' => '(',
        '>' => ')',
        '\\' => '/',
        ' '..='~' => character,
        '\0'..='\u{1f}' | '\u{7f}'..=char::MAX => '?',
    };
    if text.chars().nth(limit).is_none() {
        return text.chars().map(clean).collect();
    }
    let mut cut: String = text.chars().take(limit - 3).map(clean).collect();
    cut.push_str("...");
    cut
}

/// A wait, to the millisecond below a second, else to the tenth.
pub(super) fn wait(wait: Duration) -> String {
    if wait < Duration::from_secs(1) {
        format!("{} ms", wait.as_millis())
    } else {
        format!("{:.1} s", wait.as_secs_f64())
    }
}

/// A number of things.
pub(super) fn count(number: usize, thing: &str) -> String {
    if number == 1 { format!("1 {thing}") } else { format!("{number} {thing}s") }
}

/// Why a run cannot start yet.
pub(super) fn waiting_for(definition: &str, unready: &Unready) -> String {
    match unready {
        Unready::NotFound => {
            format!("there is no SagaDefinition '{definition}' in the namespace of the run; create it")
        }
        Unready::NotReady(why) => format!("SagaDefinition '{definition}' is not Ready: {why}"),
        Unready::RevisionNotFound(_) => sentence(unready),
    }
}

/// Why a run has no definition.
pub(super) fn sentence(unready: &Unready) -> String {
    match unready {
        Unready::NotFound => "the definition is not there".to_owned(),
        Unready::NotReady(why) => why.clone(),
        Unready::RevisionNotFound(revision) => format!(
            "the ControllerRevision '{revision}' that the run is pinned to is gone, and the definition differs from it; \
             restore the definition as it was, or set `spec.cancellation.policy` to Abandon"
        ),
    }
}
