//! Bounds that a schema cannot express, or that objects may break which are older than a rule: the same checks as the
//! API server's, made again.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;

use super::problem::Problem;
use super::render::MAX_BODY_BYTES;
use super::set::Steps;
use crate::api::Reason;
use crate::api::definition::{Call, Header, Output, Role, SagaDefinitionSpec, Step};
use crate::api::names::{CEL_KEYWORDS, header};

/// Different Secrets that a definition may name.
const MAX_SECRETS: usize = 8;

/// Every broken bound, in the order of the fields.
pub(super) fn check(spec: &SagaDefinitionSpec) -> Vec<Problem> {
    let mut problems = Vec::new();
    within("spec.activeDeadlineSeconds", spec.active_deadline_seconds, 1..=2_592_000, &mut problems);
    at_most("spec.description", spec.description.as_ref().map_or(0, |text| text.chars().count()), 1024, &mut problems);
    if spec.steps.is_empty() || spec.steps.len() > Steps::CAPACITY {
        let message = format!("must have 1 to {} items, and has {}", Steps::CAPACITY, spec.steps.len());
        problems.push(Problem::new("spec.steps", Reason::InvalidGraph, message));
    }
    let mut names = BTreeSet::new();
    for (index, step) in spec.steps.iter().enumerate() {
        let at = format!("spec.steps[{index}]");
        if !names.insert(step.name.as_str()) {
            let message = format!("must be unique among the steps, and '{}' stands here again", step.name);
            problems.push(Problem::new(format!("{at}.name"), Reason::InvalidGraph, message));
        }
        check_step(&at, step, &mut problems);
    }
    problems.extend(super::graph::check(&spec.steps));
    check_outputs("spec", &spec.outputs, 32, &mut problems);
    check_secrets(spec, &mut problems);
    problems.extend(super::size::check(spec));
    problems
}

fn check_step(at: &str, step: &Step, problems: &mut Vec<Problem>) {
    let graph = |field: &str, message: &str| Problem::new(format!("{at}{field}"), Reason::InvalidGraph, message);
    if !is_identifier(&step.name) {
        let message = "must match ^[a-z][a-zA-Z0-9]{0,62}$ and must not be a word of the expression language";
        problems.push(graph(".name", message));
    }
    check_role(step, |field, message| problems.push(graph(field, message)));
    at_most(&format!("{at}.dependsOn"), step.depends_on.as_ref().map_or(0, Vec::len), Steps::CAPACITY, problems);
    check_outputs(at, &step.outputs, 16, problems);
    for (direction, call) in step.calls() {
        check_call(&format!("{at}.{}", direction.field()), call, problems);
    }
}

fn check_role(step: &Step, mut mistake: impl FnMut(&str, &str)) {
    match (step.role, &step.compensation) {
        (Role::Compensatable, None) => {
            mistake(
                ".compensation",
                "is required for a Compensatable step, which is the default; a step without effect has `role: ReadOnly`",
            );
        }
        (Role::ReadOnly, Some(_)) => {
            mistake(".compensation", "may not be specified when `role` is 'ReadOnly': there is no effect to undo");
        }
        (Role::Pivot | Role::Retriable, Some(_)) => {
            mistake(
                ".compensation",
                "may be specified only for a Compensatable step: from the Pivot on nothing is undone",
            );
        }
        (Role::Compensatable, Some(_)) | (Role::ReadOnly | Role::Pivot | Role::Retriable, None) => {}
    }
    if step.confirm.is_some() && step.role != Role::Compensatable {
        mistake(".confirm", "may be specified only for a Compensatable step: `action` tries, `compensation` cancels");
    }
    if step.when.is_some() && step.role == Role::Pivot {
        mistake(".when", "may not be specified when `role` is 'Pivot': the run needs its go/no-go");
    }
}

fn check_outputs(at: &str, outputs: &[Output], limit: usize, problems: &mut Vec<Problem>) {
    at_most(&format!("{at}.outputs"), outputs.len(), limit, problems);
    let mut names = BTreeSet::new();
    for (index, output) in outputs.iter().enumerate() {
        if !is_identifier(&output.name) || !names.insert(output.name.as_str()) {
            let message = "must match ^[a-z][a-zA-Z0-9]{0,62}$, must not be a word of the expression language, and must be unique";
            problems.push(Problem::new(format!("{at}.outputs[{index}].name"), Reason::InvalidGraph, message));
        }
    }
}

fn check_call(at: &str, call: &Call, problems: &mut Vec<Problem>) {
    let http = &call.http;
    within(&format!("{at}.http.timeoutSeconds"), Some(http.timeout_seconds), 1..=3600, problems);
    at_most(&format!("{at}.http.url"), http.url.chars().count(), 2048, problems);
    at_most(&format!("{at}.http.headers"), http.headers.len(), 32, problems);
    at_most(&format!("{at}.responses"), call.responses.len(), 16, problems);
    if let Some(policy) = &call.retry_policy {
        let at = format!("{at}.retryPolicy");
        within(&format!("{at}.maxAttempts"), policy.max_attempts, 1..=1000, problems);
        let initial = policy.initial_backoff_milliseconds;
        within(&format!("{at}.initialBackoffMilliseconds"), initial, 1..=3_600_000, problems);
        within(&format!("{at}.maxBackoffMilliseconds"), policy.max_backoff_milliseconds, 1..=86_400_000, problems);
        within(&format!("{at}.backoffMultiplier"), policy.backoff_multiplier, 1..=10, problems);
        within(&format!("{at}.jitterPercent"), policy.jitter_percent, 0..=100, problems);
        let initial = policy.initial_backoff_milliseconds.unwrap_or(200);
        let max = policy.max_backoff_milliseconds.unwrap_or(30_000);
        if initial > max {
            let message = format!("must not be larger than `maxBackoffMilliseconds` ({max}), and is {initial}");
            let field = format!("{at}.initialBackoffMilliseconds");
            problems.push(Problem::new(field, Reason::InvalidGraph, message));
        }
    }
    if let Some(polling) = &call.polling {
        within(&format!("{at}.polling.intervalSeconds"), Some(polling.interval_seconds), 1..=3600, problems);
        within(&format!("{at}.polling.timeoutSeconds"), Some(polling.timeout_seconds), 1..=604_800, problems);
    }
    let mut seen = BTreeSet::new();
    for (index, header) in http.headers.iter().enumerate() {
        let field = format!("{at}.http.headers[{index}]");
        at_most(
            &format!("{field}.value"),
            header.value.as_ref().map_or(0, |value| value.chars().count()),
            4096,
            problems,
        );
        if let Some(message) = header_mistake(header, &mut seen) {
            problems.push(Problem::new(format!("{field}.name"), Reason::InvalidGraph, message));
        }
    }
    let size = http.body.as_ref().map_or(0, |body| body.to_string().len());
    if size > MAX_BODY_BYTES {
        let message = format!("must be at most {MAX_BODY_BYTES} bytes as JSON, and is {size}");
        problems.push(Problem::new(format!("{at}.http.body"), Reason::TooLarge, message));
    }
}

fn within(field: &str, value: Option<i32>, bounds: RangeInclusive<i32>, problems: &mut Vec<Problem>) {
    if let Some(value) = value.filter(|value| !bounds.contains(value)) {
        let message = format!("must be {} to {}, and is {value}", bounds.start(), bounds.end());
        problems.push(Problem::new(field, Reason::InvalidGraph, message));
    }
}

fn at_most(field: &str, size: usize, limit: usize, problems: &mut Vec<Problem>) {
    if size > limit {
        let message = format!("must have at most {limit} items or characters, and has {size}");
        problems.push(Problem::new(field, Reason::TooLarge, message));
    }
}

fn header_mistake(header: &Header, seen: &mut BTreeSet<String>) -> Option<String> {
    let name = header.name.to_ascii_lowercase();
    let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if name.is_empty() || name.len() > 64 || !name.bytes().all(token) {
        return Some("must be a token of at most 64 characters (RFC 9110)".to_owned());
    }
    if header::is_reserved(&name) {
        return Some(format!("must not be '{}': the operator or the transport sets it", header.name));
    }
    (!seen.insert(name))
        .then(|| format!("must be unique without regard to case, and '{}' stands here again", header.name))
}

fn check_secrets(spec: &SagaDefinitionSpec, problems: &mut Vec<Problem>) {
    let calls = spec.steps.iter().flat_map(Step::calls);
    let names: BTreeSet<&str> = calls
        .flat_map(|(_, call)| &call.http.headers)
        .filter_map(|header| Some(header.value_from.as_ref()?.secret_key_ref.name.as_str()))
        .collect();
    if names.len() > MAX_SECRETS {
        let message = format!("must name at most {MAX_SECRETS} different Secrets, and names {}", names.len());
        problems.push(Problem::new("spec.steps", Reason::TooLarge, message));
    }
}

fn is_identifier(name: &str) -> bool {
    let mut characters = name.chars();
    characters.next().is_some_and(|first| first.is_ascii_lowercase())
        && characters.all(|rest| rest.is_ascii_alphanumeric())
        && name.len() <= 63
        && !CEL_KEYWORDS.contains(&name)
}
