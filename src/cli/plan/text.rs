//! A plan as a page of text.

use std::time::Duration;

use crate::api::definition::{CompensationOrder, OnExhausted};
use crate::api::names::header;
use crate::saga::preview::{CallPreview, Known, Leaf, PollingPreview, Preview, RUN_NAME, RUN_UID, StepPreview, words};

/// The header of the operator that is worth its line in every request: participants tell repetitions by it.
const SHOWN_EACH_TIME: &str = header::IDEMPOTENCY_KEY;

/// The whole page.
pub(super) fn page(definition: &str, known: &Known, preview: &Preview) -> String {
    let mut lines = vec![head(definition, known), String::new()];
    lines.push(format!("Forward:   {}", joined(&preview.forward)));
    let commit = preview
        .commit_point
        .pivot
        .as_ref()
        .map_or_else(|| "when every step is done".to_owned(), |pivot| format!("when {pivot}, the Pivot, succeeded"));
    lines.push(format!("Commit:    {commit}; from then on nothing is undone"));
    if !preview.confirm.is_empty() {
        lines.push(format!("Confirm:   {}, when every step is done", joined(&preview.confirm)));
    }
    let policy = match preview.compensation_policy.order {
        CompensationOrder::Reverse => "",
        CompensationOrder::Parallel => ", by priority",
    };
    let halt = match preview.compensation_policy.on_exhausted {
        OnExhausted::Halt => "",
        OnExhausted::Continue => "; a stalled one does not hold the others",
    };
    lines.push(format!("Undo:      {}{policy}{halt}", joined(&preview.undo)));
    let deadline = preview.active_deadline_seconds.map_or_else(
        || "none: a run takes as long as its attempts do".to_owned(),
        |seconds| format!("{}, then the run compensates", words(Duration::from_secs(seconds))),
    );
    lines.push(format!("Deadline:  {deadline}"));
    lines.push(format!("At most:   {}", longest(preview)));
    for (name, value) in &preview.outputs {
        lines.push(format!("Output:    {name} = {value}"));
    }
    push_common(&mut lines, preview);
    for (index, step) in preview.steps.iter().enumerate() {
        lines.push(String::new());
        push_step(&mut lines, index + 1, step);
    }
    lines.join("\n")
}

/// Along the longest way through the graph.
fn longest(preview: &Preview) -> String {
    let words = |seconds: f64| words(Duration::from_secs_f64(seconds));
    let commit = match &preview.commit_point.pivot {
        Some(_) => format!(" ({} to the commit point)", words(preview.worst_case_commit_seconds)),
        None => String::new(),
    };
    let confirm = match preview.confirm.len() {
        0 => String::new(),
        _ => format!(", {} to confirm", words(preview.worst_case_confirm_seconds)),
    };
    format!(
        "{} forward{commit}{confirm}, {} to undo everything, without what participants ask for by Retry-After or 202",
        words(preview.worst_case_forward_seconds),
        words(preview.worst_case_compensation_seconds),
    )
}

fn head(definition: &str, known: &Known) -> String {
    let run = known.run.as_deref().map_or_else(
        || format!("a run; {RUN_NAME} and {RUN_UID} stand for its name and UID"),
        |run| format!("run '{run}'; {RUN_UID} stands for its UID"),
    );
    let input = if known.input.is_some() { "" } else { "; no input is given" };
    format!("SagaDefinition '{definition}', {run}{input}")
}

/// Headers of the operator that look alike in every request.
fn push_common(lines: &mut Vec<String>, preview: &Preview) {
    let calls = || preview.steps.iter().flat_map(StepPreview::calls).map(|(_, call)| call);
    let mut seen: Vec<&str> = vec![SHOWN_EACH_TIME];
    lines.push(String::new());
    lines.push("Beside the headers shown, requests carry:".to_owned());
    for header in calls().flat_map(|call| &call.headers).filter(|header| header.of_operator) {
        if seen.contains(&header.name.as_str()) {
            continue;
        }
        seen.push(&header.name);
        let mut values = calls().flat_map(|call| &call.headers).filter(|other| other.name == header.name);
        let same = values.all(|other| other.value == header.value);
        let value = if same { header.value.text() } else { "(as the call)".to_owned() };
        lines.push(format!("  {}: {value}", header.name));
    }
}

/// `a -> (b, c) -> d`: b and c side by side.
fn joined(groups: &[Vec<String>]) -> String {
    if groups.is_empty() {
        return "nothing".to_owned();
    }
    let together = |group: &Vec<String>| match &group[..] {
        [one] => one.clone(),
        several => format!("({})", several.join(", ")),
    };
    groups.iter().map(together).collect::<Vec<_>>().join(" -> ")
}

fn push_step(lines: &mut Vec<String>, number: usize, step: &StepPreview) {
    let after = if step.after.is_empty() { "at once".to_owned() } else { format!("after {}", step.after.join(", ")) };
    let skipped = if step.skipped() { ", skipped: `when` is false" } else { "" };
    lines.push(format!("{number}. {} ({:?}), {after}{skipped}", step.name, step.role));
    if let Some(when) = &step.when {
        lines.push(format!("   when {}", leaf(when)));
    }
    if step.skipped() {
        return;
    }
    push_call(lines, "action", &step.action);
    for (name, value) in &step.outputs {
        lines.push(format!("     output {name} = {value}"));
    }
    if let Some(compensation) = &step.compensation {
        let title = match step.priority {
            Some(priority) if priority != 0 => format!("compensation, priority {priority}"),
            Some(_) | None => "compensation".to_owned(),
        };
        push_call(lines, &title, compensation);
    }
    if let Some(confirm) = &step.confirm {
        push_call(lines, "confirm", confirm);
    }
}

fn push_call(lines: &mut Vec<String>, title: &str, call: &CallPreview) {
    lines.push(format!("   {title}: {} {}", call.method.as_str(), leaf(&call.url)));
    for header in call.headers.iter().filter(|header| !header.of_operator || header.name == SHOWN_EACH_TIME) {
        lines.push(format!("     {}: {}", header.name, leaf(&header.value)));
    }
    if let Some(body) = &call.body {
        let text = serde_json::to_string_pretty(body).unwrap_or_else(|_| body.to_string());
        lines.extend(text.lines().map(|line| format!("     {line}")));
        for (pointer, open) in &call.open {
            lines.push(format!("     {pointer} {}", note(open)));
        }
    }
    for rule in &call.responses {
        lines.push(format!("     an answer with {} means {:?}", rule.when, rule.outcome));
    }
    if call.polling.defined {
        let PollingPreview { interval_seconds, timeout_seconds, .. } = &call.polling;
        let wait = |seconds: &u64| words(Duration::from_secs(*seconds));
        lines.push(format!(
            "     work that takes long: asked every {}, for {}",
            wait(interval_seconds),
            wait(timeout_seconds)
        ));
    }
    let timeout = words(Duration::from_secs(call.timeout_seconds));
    let most = words(Duration::from_secs_f64(call.worst_case_seconds));
    lines.push(format!("     {}, each at most {timeout}; {most} at most", call.schedule));
}

fn leaf(leaf: &Leaf) -> String {
    if leaf.is_open() { format!("{}   {}", leaf.text(), note(leaf)) } else { leaf.text() }
}

/// Why a template stands for itself.
fn note(leaf: &Leaf) -> String {
    match &leaf.fault {
        Some(fault) => format!("<- fails: {fault}"),
        None => format!("<- depends on {}", leaf.depends_on.join(", ")),
    }
}
