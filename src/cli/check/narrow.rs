//! A body is one template to the compiler, and a page to its author: which string of it is wrong?

use serde_json::Value;

use super::document::member;
use crate::api::Reason;
use crate::api::definition::{Call, SagaDefinitionSpec};
use crate::saga::{Definition, Problem};

/// The same problems; those of a body at each of its strings that is wrong for itself.
pub(super) fn narrowed(spec: &SagaDefinitionSpec, problems: Vec<Problem>) -> Vec<Problem> {
    let mut all: Vec<Problem> = Vec::new();
    for problem in problems {
        let body = body(&mut spec.clone(), &problem.field).cloned();
        let strings = match body {
            Some(body) if problem.reason == Reason::InvalidExpression => strings(&body, &problem.field),
            Some(_) | None => Vec::new(),
        };
        let mut narrow: Vec<Problem> =
            strings.into_iter().flat_map(|(at, text)| alone(spec, &problem, &at, text)).collect();
        if narrow.is_empty() {
            narrow.push(problem);
        }
        for problem in narrow {
            if !all.contains(&problem) {
                all.push(problem);
            }
        }
    }
    all
}

/// What the compiler says when the body is nothing but this string.
fn alone(spec: &SagaDefinitionSpec, problem: &Problem, at: &str, text: String) -> Vec<Problem> {
    let mut spec = spec.clone();
    if let Some(body) = body(&mut spec, &problem.field) {
        *body = Value::String(text);
    }
    let problems = Definition::compile(&spec, "check").err().unwrap_or_default();
    let same = problems.into_iter().filter(|found| found.field == problem.field && found.reason == problem.reason);
    same.map(|found| Problem { field: at.to_owned(), ..found }).collect()
}

/// The body of which `field` is the path.
fn body<'a>(spec: &'a mut SagaDefinitionSpec, field: &str) -> Option<&'a mut Value> {
    let (index, call) = field.strip_prefix("spec.steps[")?.strip_suffix(".http.body")?.split_once("].")?;
    let step = spec.steps.get_mut(index.parse::<usize>().ok()?)?;
    let call: &mut Call = match call {
        "action" => &mut step.action,
        "compensation" => step.compensation.as_mut()?,
        _ => return None,
    };
    call.http.body.as_mut()
}

fn strings(value: &Value, path: &str) -> Vec<(String, String)> {
    match value {
        Value::String(text) => vec![(path.to_owned(), text.clone())],
        Value::Array(items) => {
            items.iter().enumerate().flat_map(|(index, item)| strings(item, &format!("{path}[{index}]"))).collect()
        }
        Value::Object(members) => members.iter().flat_map(|(key, value)| strings(value, &member(path, key))).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) => Vec::new(),
    }
}
