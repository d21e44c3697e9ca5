//! A body is one template to the compiler, and a page to its author: which string of it is wrong?

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::schema::member;
use crate::api::Reason;
use crate::api::definition::{Call, HttpCall, SagaDefinitionSpec};
use crate::saga::{Definition, Problem};

/// Strings of one body that are looked at for themselves; what comes after is told for the whole body.
const MAX_STRINGS: usize = 200;

/// The same problems; those of a body at each of its strings that is wrong for itself.
pub(super) fn narrowed(spec: &SagaDefinitionSpec, problems: Vec<Problem>) -> Vec<Problem> {
    let mut whole = spec.clone();
    let mut bodies: BTreeMap<String, Vec<(String, String)>> = BTreeMap::new();
    for problem in problems.iter().filter(|problem| problem.reason == Reason::InvalidExpression) {
        if let Some(body) = body(&mut whole, &problem.field) {
            bodies.entry(problem.field.clone()).or_insert_with(|| strings(body, &problem.field));
        }
    }
    let found = if bodies.is_empty() { Vec::new() } else { alone(&skeleton(spec), &bodies) };
    let of = |field: &str| -> Vec<Problem> {
        found.iter().filter(|(body, _)| body == field).map(|(_, problem)| problem.clone()).collect()
    };
    let mut all: Vec<Problem> = Vec::new();
    let mut told = BTreeSet::new();
    for problem in problems {
        let narrow = if problem.reason == Reason::InvalidExpression { of(&problem.field) } else { Vec::new() };
        if narrow.is_empty() {
            all.push(problem);
        } else if told.insert(problem.field.clone()) {
            all.extend(narrow);
        }
    }
    all
}

/// What expressions may refer to, and nothing else: it is compiled again and again.
fn skeleton(spec: &SagaDefinitionSpec) -> SagaDefinitionSpec {
    let bare = |call: &mut Call| {
        let body = call.http.body.as_ref().map(|_| Value::Null);
        *call = Call { http: HttpCall { url: "http://a/".to_owned(), body, ..HttpCall::default() }, ..Call::default() };
    };
    let mut spec = SagaDefinitionSpec { input_schema: None, ..spec.clone() };
    for step in &mut spec.steps {
        step.when = None;
        bare(&mut step.action);
        step.compensation.iter_mut().map(|compensation| &mut compensation.call).chain(&mut step.confirm).for_each(bare);
        step.outputs.iter_mut().for_each(|output| output.value = String::new());
    }
    spec
}

/// What the compiler says when each body is nothing but one of its strings, with the field of the body: one string of
/// every body at a time, because a definition is compiled as a whole.
fn alone(skeleton: &SagaDefinitionSpec, bodies: &BTreeMap<String, Vec<(String, String)>>) -> Vec<(String, Problem)> {
    let mut found = Vec::new();
    let rounds = bodies.values().map(Vec::len).max().unwrap_or_default().min(MAX_STRINGS);
    for round in 0..rounds {
        let mut spec = skeleton.clone();
        for (field, strings) in bodies {
            if let (Some(body), Some((_, text))) = (body(&mut spec, field), strings.get(round)) {
                *body = Value::String(text.clone());
            }
        }
        for problem in Definition::compile(&spec, "check").err().unwrap_or_default() {
            let place = bodies.get(&problem.field).and_then(|strings| strings.get(round));
            if let (Some((at, _)), Reason::InvalidExpression) = (place, problem.reason) {
                found.push((problem.field.clone(), Problem { field: at.clone(), ..problem }));
            }
        }
    }
    found
}

/// The body of which `field` is the path.
fn body<'a>(spec: &'a mut SagaDefinitionSpec, field: &str) -> Option<&'a mut Value> {
    let (index, call) = field.strip_prefix("spec.steps[")?.strip_suffix(".http.body")?.split_once("].")?;
    let step = spec.steps.get_mut(index.parse::<usize>().ok()?)?;
    let call: &mut Call = match call {
        "action" => &mut step.action,
        "compensation" => &mut step.compensation.as_mut()?.call,
        "confirm" => step.confirm.as_mut()?,
        _ => return None,
    };
    call.http.body.as_mut()
}

fn strings(value: &Value, path: &str) -> Vec<(String, String)> {
    match value {
        Value::String(text) if text.contains("${") => vec![(path.to_owned(), text.clone())],
        Value::Array(items) => {
            items.iter().enumerate().flat_map(|(index, item)| strings(item, &format!("{path}[{index}]"))).collect()
        }
        Value::Object(members) => members.iter().flat_map(|(key, value)| strings(value, &member(path, key))).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Vec::new(),
    }
}
