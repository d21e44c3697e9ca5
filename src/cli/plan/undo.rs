//! `plan --undo` as a page of text.

use crate::api::names::header;
use crate::api::run::Direction;
use crate::saga::preview::{Planned, RequestPreview, Undo};

use super::running::Found;

/// Headers of the operator that are worth their line in every request.
const SHOWN: [&str; 2] = [header::IDEMPOTENCY_KEY, header::FORWARD_OUTCOME];

/// The whole page.
pub(super) fn page(found: &Found, undo: &Undo) -> String {
    let run = &found.running.run;
    let revision = found.running.stored.revision.as_deref().map_or_else(
        || format!("of the SagaDefinition '{}'", found.definition),
        |revision| format!("of the revision '{revision}'"),
    );
    let mut lines = vec![
        format!("SagaRun '{}/{}' {revision}, UID {}", run.namespace, run.name, run.uid),
        format!("If it were cancelled now: {}.", undo.message),
    ];
    if undo.suspended {
        lines.push("It is suspended: nothing is sent until `spec.suspend` is false again.".to_owned());
    }
    let under_way: Vec<String> = undo
        .under_way
        .iter()
        .map(|call| format!("{} {}, attempt {}: {}", call.step, word(call.direction), call.attempt, call.message))
        .collect();
    section(&mut lines, "Under way:", &under_way);
    if !undo.requests.is_empty() {
        lines.push(String::new());
        lines.push("Requests, in this order, if each is answered with success:".to_owned());
        for planned in &undo.requests {
            push_planned(&mut lines, planned);
        }
        push_common(&mut lines, undo);
    }
    let not_undone: Vec<String> = undo.not_undone.iter().map(|step| format!("{}: {}", step.step, step.why)).collect();
    section(&mut lines, "Not undone:", &not_undone);
    let stalled: Vec<String> = undo
        .stalled
        .iter()
        .map(|call| {
            let reason = call.reason.map_or("Stalled", |reason| reason.as_str());
            format!("{} {}: {reason}: {}", call.step, word(call.direction), call.message)
        })
        .collect();
    section(&mut lines, "Waits for a person (docs/interventions.md):", &stalled);
    lines.push(String::new());
    lines.push(match undo.end {
        Some(end) => format!("End:       {end}"),
        None => "End:       none by itself".to_owned(),
    });
    lines.join("\n")
}

fn section(lines: &mut Vec<String>, title: &str, texts: &[String]) {
    if texts.is_empty() {
        return;
    }
    lines.push(String::new());
    lines.push(title.to_owned());
    lines.extend(texts.iter().map(|text| format!("  {text}")));
}

fn push_planned(lines: &mut Vec<String>, planned: &Planned) {
    lines.push(format!("{}. {} {}", planned.group, planned.step, word(planned.direction)));
    match &planned.request {
        Some(request) => push_request(lines, request),
        None => lines.push("   cannot be told yet".to_owned()),
    }
    if !planned.depends_on.is_empty() {
        lines.push(format!("   <- depends on {}", planned.depends_on.join(", ")));
    }
}

fn push_request(lines: &mut Vec<String>, request: &RequestPreview) {
    lines.push(format!("   {} {}", request.method.as_str(), request.url));
    let shown = |name: &str| SHOWN.contains(&name);
    for header in request.headers.iter().filter(|header| !header.of_operator || shown(&header.name)) {
        lines.push(format!("     {}: {}", header.name, header.value.text()));
    }
    if let Some(body) = &request.body {
        let text = serde_json::to_string_pretty(body).unwrap_or_else(|_| body.to_string());
        lines.extend(text.lines().map(|line| format!("     {line}")));
    }
}

/// Headers of the operator that are not shown with each request.
fn push_common(lines: &mut Vec<String>, undo: &Undo) {
    let mut names: Vec<&str> = Vec::new();
    let requests = undo.requests.iter().filter_map(|planned| planned.request.as_ref());
    for header in requests.flat_map(|request| &request.headers).filter(|header| header.of_operator) {
        if !SHOWN.contains(&header.name.as_str()) && !names.contains(&header.name.as_str()) {
            names.push(&header.name);
        }
    }
    if !names.is_empty() {
        lines.push(format!("Beside the headers shown, requests carry {} (see --format json).", names.join(", ")));
    }
}

/// Which of a step's calls.
fn word(direction: Direction) -> &'static str {
    match direction {
        Direction::Forward => "(action)",
        Direction::Compensate => "(compensation)",
        Direction::Confirm => "(confirm)",
    }
}
