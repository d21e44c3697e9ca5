//! From templates to requests, conditions and outputs: what a definition says, with the values of one run.

use std::collections::BTreeMap;

use serde_json::Value;

use super::definition::{CallPlan, Definition, HeaderPlan, StepPlan};
use super::key::{CallId, IdempotencyKey};
use super::outcome::Rule;
use super::plan::Plan;
use super::request::{Answer, HeaderValue, Request, Response};
use super::size;
use super::state::{Phase, Stored};
use crate::api::Reason;
use crate::api::run::Direction;
use crate::expr::{self, EvalError};

/// Largest output of a step, as JSON.
pub const MAX_OUTPUT_BYTES: usize = 1024;
/// All outputs of a run together, names included, as an API server stores them.
pub const MAX_OUTPUTS_BYTES: usize = 16 * 1024;
/// Largest body of a request.
pub const MAX_BODY_BYTES: usize = 64 * 1024;

/// Why something could not be rendered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unrendered {
    /// `ExpressionError`, `OutputTooLarge` or `Unrenderable`.
    pub reason: Reason,
    /// For people.
    pub message: String,
}

impl Unrendered {
    /// A request that must not be sent.
    pub fn new(message: &str) -> Self {
        Self { reason: Reason::Unrenderable, message: message.to_owned() }
    }

    fn expression(place: &str, error: &EvalError) -> Self {
        Self { reason: Reason::ExpressionError, message: format!("{place}: {error}") }
    }
}

/// The request of a call: the same bytes whenever it is rendered from the same state.
pub(super) fn request(
    plan: &Plan,
    stored: &Stored,
    call: &CallPlan,
    id: CallId,
    key: &IdempotencyKey,
) -> Result<Request, Unrendered> {
    with_scope(plan, stored, id, key.as_str(), None, |scope| {
        let url = call.url.render(scope).map_err(|error| Unrendered::expression("url", &error))?;
        let mut headers = Vec::with_capacity(call.headers.len());
        for (name, value) in &call.headers {
            let value = match value {
                HeaderPlan::Template(template) => HeaderValue::Literal(header(name, template, scope)?),
                HeaderPlan::Secret(key) => HeaderValue::Secret(key.clone()),
            };
            headers.push((name.clone(), value));
        }
        let body = call.body.as_ref().map(|body| body.render(scope)).transpose();
        let body =
            body.map_err(|error| Unrendered::expression("body", &error))?.map(|body| body.to_string().into_bytes());
        if body.as_ref().is_some_and(|body| body.len() > MAX_BODY_BYTES) {
            return Err(Unrendered::new("the body is larger than 64 KiB"));
        }
        Ok(Request { method: call.method, url, headers, body })
    })
}

fn header(name: &str, template: &expr::Text, scope: &expr::Scope<'_>) -> Result<String, Unrendered> {
    let value = template.render(scope).map_err(|error| Unrendered::expression(&format!("header '{name}'"), &error))?;
    // A line break would end the header and begin one that nobody defined; the rest is not in RFC 9110's field-value.
    if value.chars().any(|character| !matches!(character, ' '..='~' | '\t')) {
        let message = format!("header '{name}': the value holds a control or non-ASCII character");
        return Err(Unrendered { reason: Reason::ExpressionError, message });
    }
    Ok(value)
}

/// Whether a step is to be done at all.
pub(super) fn when(plan: &Plan, stored: &Stored, step: &StepPlan, id: CallId) -> Result<bool, Unrendered> {
    let Some(condition) = &step.when else { return Ok(true) };
    let key = IdempotencyKey::new(&plan.run.uid, &step.name, id.direction, 1);
    with_scope(plan, stored, id, key.as_str(), None, |scope| {
        condition.evaluate(scope).map_err(|error| Unrendered::expression("when", &error))
    })
}

/// What the rules of a call say of an answer.
pub(super) fn rule(plan: &Plan, stored: &Stored, call: &CallPlan, id: CallId, answer: &Answer) -> Rule {
    let Answer::Response(response) = answer else { return Rule::None };
    if call.rules.is_empty() {
        return Rule::None;
    }
    let key = key_of(plan, stored, id);
    with_scope(plan, stored, id, key.as_str(), Some(response), |scope| {
        for (condition, outcome) in &call.rules {
            match condition.evaluate(scope) {
                Ok(true) => return Rule::Matched(*outcome),
                Ok(false) => {}
                Err(error) => return Rule::Failed(error.to_string()),
            }
        }
        Rule::None
    })
}

/// The outputs of a step, from the answer to its action, and what is wrong with those that cannot be taken.
pub(super) fn outputs(
    plan: &Plan,
    stored: &Stored,
    step: &StepPlan,
    id: CallId,
    answer: &Answer,
) -> (BTreeMap<String, Value>, Vec<Unrendered>) {
    let (mut picked, mut failed) = (BTreeMap::new(), Vec::new());
    let Answer::Response(response) = answer else { return (picked, failed) };
    if step.outputs.is_empty() {
        return (picked, failed);
    }
    let key = key_of(plan, stored, id);
    let mut used: usize = stored.steps.iter().flat_map(|step| &step.outputs).map(size::output).sum();
    with_scope(plan, stored, id, key.as_str(), Some(response), |scope| {
        for (name, template) in &step.outputs {
            match output(&format!("output '{name}'"), name, template.evaluate(scope), &mut used) {
                Ok(value) => drop(picked.insert(name.clone(), value)),
                Err(unrendered) => failed.push(unrendered),
            }
        }
    });
    (picked, failed)
}

/// The outputs of a run that succeeded, and what is wrong with those that are left out.
pub(super) fn run_outputs(
    plan: &Plan,
    stored: &Stored,
    definition: &Definition,
) -> (BTreeMap<String, Value>, Vec<Unrendered>) {
    let mut used: usize = stored.steps.iter().flat_map(|step| &step.outputs).map(size::output).sum();
    let (mut picked, mut failed) = (BTreeMap::new(), Vec::new());
    for (name, template) in &definition.outputs {
        let value = with_steps(plan, stored, |scope| template.evaluate(&scope));
        match output(&format!("output '{name}' of the run"), name, value, &mut used) {
            Ok(value) => drop(picked.insert(name.clone(), value)),
            Err(unrendered) => failed.push(unrendered),
        }
    }
    (picked, failed)
}

/// A value within the bounds; `used` counts what is taken already.
fn output(place: &str, name: &String, value: Result<Value, EvalError>, used: &mut usize) -> Result<Value, Unrendered> {
    let value = value.map_err(|error| Unrendered::expression(place, &error))?;
    let size = size::output((name, &value));
    if value.to_string().len() > MAX_OUTPUT_BYTES || *used + size > MAX_OUTPUTS_BYTES {
        let message = format!("{place} is larger than 1 KiB, or all outputs of the run than 16 KiB");
        return Err(Unrendered { reason: Reason::OutputTooLarge, message });
    }
    *used += size;
    Ok(value)
}

fn key_of(plan: &Plan, stored: &Stored, id: CallId) -> IdempotencyKey {
    let record = stored.steps.get(id.step);
    let suffix = record.and_then(|step| step.call(id.direction)).map_or(1, |call| call.key_suffix);
    IdempotencyKey::new(&plan.run.uid, record.map_or("", |step| &step.name), id.direction, suffix)
}

/// Runs `use_it` with everything that an expression may see.
fn with_scope<T>(
    plan: &Plan,
    stored: &Stored,
    id: CallId,
    key: &str,
    response: Option<&Response>,
    use_it: impl FnOnce(&expr::Scope<'_>) -> T,
) -> T {
    let forward_key = key_of(plan, stored, CallId { step: id.step, direction: Direction::Forward });
    let call = expr::Call { key, forward_key: forward_key.as_str(), direction: id.direction.as_str() };
    let response = response.map(|response| expr::Response {
        status: response.status,
        headers: response.headers.clone(),
        body: response.body.clone(),
    });
    with_steps(plan, stored, |scope| {
        let scope = scope.call(call);
        match &response {
            Some(response) => use_it(&scope.response(response)),
            None => use_it(&scope),
        }
    })
}

/// Runs `use_it` with what an expression may see outside of a call.
fn with_steps<T>(plan: &Plan, stored: &Stored, use_it: impl FnOnce(expr::Scope<'_>) -> T) -> T {
    let start_time = stored.start_time.map(|time| time.to_string()).unwrap_or_default();
    let run =
        expr::Run { name: &plan.run.name, namespace: &plan.run.namespace, uid: &plan.run.uid, start_time: &start_time };
    let mut scope = expr::Scope::new(&plan.input, run);
    for step in &stored.steps {
        let known = (step.forward.phase == Phase::Succeeded).then_some(&step.outputs);
        scope = scope.step(&step.name, known);
    }
    use_it(scope)
}
