//! What is allowed and rarely meant.

use serde_json::{Map, Value};

use super::problem::Problem;
use crate::api::Reason;
use crate::api::definition::{Call, Method, Role, SagaDefinitionSpec, Step};
use crate::api::run::Direction;
use crate::expr::{self, Variables};

/// Whole numbers beyond it change in programs that hold all numbers as doubles.
const MAX_SAFE_INTEGER: u64 = 1 << 53;

/// What the author of a definition should look at again, in the order of the fields. The reason is always `Accepted`.
pub fn warnings(spec: &SagaDefinitionSpec) -> Vec<Problem> {
    let mut found = Vec::new();
    if spec.active_deadline_seconds.is_none() {
        let message = "is not specified: a run takes as long as its attempts do";
        found.push(warning("spec.activeDeadlineSeconds", message));
    }
    for (index, step) in spec.steps.iter().enumerate() {
        let at = format!("spec.steps[{index}]");
        for (direction, of_step) in step.calls() {
            let at = format!("{at}.{}", direction.field());
            if direction == Direction::Compensate {
                own_output(&at, step, of_step, &mut found);
            }
            one_attempt(&at, (direction, step.role), of_step, &mut found);
            polling(&at, of_step, &mut found);
            call(&at, of_step, &mut found);
        }
    }
    found
}

/// The same for the input of a run.
pub fn input_warnings(input: &Map<String, Value>) -> Vec<Problem> {
    let mut found = Vec::new();
    for (key, value) in input {
        document(&format!("spec.input.{key}"), value, Place::Input, &mut found);
    }
    found
}

fn warning(field: &str, message: impl Into<String>) -> Problem {
    Problem::new(field, Reason::Accepted, message)
}

fn call(at: &str, call: &Call, found: &mut Vec<Problem>) {
    let http = &call.http;
    let field = format!("{at}.http.body");
    let Some(body) = &http.body else { return };
    match http.method {
        Method::Get => {
            let message = "is sent with GET, which many servers and proxies drop: use the query of `url`, or POST";
            found.push(warning(&field, message));
        }
        Method::Post | Method::Put | Method::Patch | Method::Delete => {}
    }
    document(&field, body, Place::Body, found);
}

/// A call that must succeed in the end, or whose outcome decides the run, and that is made once.
fn one_attempt(at: &str, kind: (Direction, Role), call: &Call, found: &mut Vec<Problem>) {
    if call.retry_policy.as_ref().and_then(|policy| policy.max_attempts) != Some(1) {
        return;
    }
    let needed = match kind {
        (Direction::Forward, Role::Compensatable | Role::ReadOnly) => return,
        (Direction::Forward, Role::Pivot) => "an answer that gets lost leaves the Pivot in doubt",
        (Direction::Forward, Role::Retriable) | (Direction::Compensate | Direction::Confirm, _) => {
            "the call must succeed in the end, and one lost answer is enough to stall the run"
        }
    };
    let message = format!("is 1: {needed}, and then a person is needed");
    found.push(warning(&format!("{at}.retryPolicy.maxAttempts"), message));
}

/// Whoever waits longer than the time that there is never asks.
fn polling(at: &str, call: &Call, found: &mut Vec<Problem>) {
    let Some(polling) = call.polling else { return };
    if polling.interval_seconds >= polling.timeout_seconds {
        let message = format!(
            "is {}, not less than `timeoutSeconds` ({}): the time is over before anybody asks",
            polling.interval_seconds, polling.timeout_seconds
        );
        found.push(warning(&format!("{at}.polling.intervalSeconds"), message));
    }
}

/// An output of the action is not there when nobody knows whether the action took effect, which is when a compensation
/// matters most.
fn own_output(at: &str, step: &Step, call: &Call, found: &mut Vec<Problem>) {
    let http = &call.http;
    let needs = |references: &[expr::Reference]| references.iter().any(|reference| reference.step == step.name);
    let mut fields = Vec::new();
    if expr::Url::compile(&http.url, Variables::Request).is_ok_and(|url| needs(url.references())) {
        fields.push(format!("{at}.http.url"));
    }
    for (index, header) in http.headers.iter().enumerate() {
        let value = header.value.as_deref().unwrap_or_default();
        if expr::Text::compile(value, Variables::Request).is_ok_and(|value| needs(value.references())) {
            fields.push(format!("{at}.http.headers[{index}].value"));
        }
    }
    if let Some(body) = &http.body
        && expr::Json::compile(body, Variables::Request).is_ok_and(|body| needs(body.references()))
    {
        fields.push(format!("{at}.http.body"));
    }
    for field in fields {
        let message = format!(
            "needs an output of the action of '{}', which is null when the outcome of the action is unknown: use \
             `${{call.forwardKey}}`",
            step.name
        );
        found.push(warning(&field, message));
    }
}

#[derive(Clone, Copy)]
enum Place {
    Body,
    Input,
}

/// What becomes of a JSON document between its author and the participant.
fn document(field: &str, value: &Value, place: Place, found: &mut Vec<Problem>) {
    match value {
        Value::Null => {
            let instead = match place {
                Place::Body => ": write \"${null}\"",
                Place::Input => ": leave it out",
            };
            found.push(warning(field, format!("is null, which `kubectl apply` deletes{instead}")));
        }
        Value::Number(number) => {
            let whole = number.as_i64().map(i64::unsigned_abs).or_else(|| number.as_u64());
            let beyond = whole.map_or_else(
                || number.as_f64().is_some_and(|float| float.abs() >= MAX_SAFE_INTEGER as f64),
                |whole| whole > MAX_SAFE_INTEGER,
            );
            if beyond {
                let message = "is beyond 2^53, where many programs lose digits: write it as a string";
                found.push(warning(field, message));
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                document(&format!("{field}[{index}]"), item, place, found);
            }
        }
        Value::Object(members) => {
            for (key, member) in members {
                let field = format!("{field}.{key}");
                if key.contains("${") {
                    found.push(warning(&field, "is a key, and expressions in keys are not evaluated"));
                }
                if matches!(key.as_str(), "true" | "false") {
                    let message = "is a key that YAML made of y, n, yes, no, on, off, true or false: put it in quotes";
                    found.push(warning(&field, message));
                }
                document(&field, member, place, found);
            }
        }
        Value::Bool(_) | Value::String(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn fields(spec: Value) -> Vec<String> {
        let spec: SagaDefinitionSpec = serde_json::from_value(spec).expect("a definition");
        warnings(&spec).into_iter().map(|warning| warning.field).collect()
    }

    fn spec(action: &Value, compensation: &Value) -> Value {
        json!({
            "activeDeadlineSeconds": 60,
            "steps": [{
                "name": "reserve",
                "action": {"http": action},
                "compensation": {"http": compensation},
                "outputs": [{"name": "id", "value": "${response.body.id}"}],
            }],
        })
    }

    #[test]
    fn nothing_is_said_of_a_plain_definition() {
        let url = json!({"url": "http://a.b/c"});
        assert_eq!(fields(spec(&url, &url)), Vec::<String>::new());
        assert_eq!(fields(json!({"steps": []})), ["spec.activeDeadlineSeconds"]);
    }

    #[test]
    fn a_compensation_that_needs_an_output_of_its_own_action_is_named_wherever_it_stands() {
        let needs = json!({
            "url": "http://a.b/${steps.reserve.outputs.id}",
            "headers": [{"name": "X", "value": "${steps.reserve.outputs.id}"}],
            "body": {"id": "${steps.reserve.outputs.id}"},
        });
        let at = "spec.steps[0].compensation.http";
        assert_eq!(
            fields(spec(&json!({"url": "http://a.b/"}), &needs)),
            [format!("{at}.url"), format!("{at}.headers[0].value"), format!("{at}.body")]
        );
    }

    #[test]
    fn a_single_attempt_is_named_where_a_lost_answer_needs_a_person() {
        let call = json!({"http": {"url": "http://a.b/"}, "retryPolicy": {"maxAttempts": 1}});
        let twice = json!({"http": {"url": "http://a.b/"}, "retryPolicy": {"maxAttempts": 2}});
        let steps = json!([
            {"name": "a", "action": call, "compensation": call, "confirm": call},
            {"name": "b", "action": twice, "compensation": twice, "confirm": twice},
            {"name": "c", "action": call, "role": "ReadOnly"},
            {"name": "d", "action": call, "role": "Pivot"},
            {"name": "e", "action": call, "role": "Retriable"},
        ]);
        let at = |call: &str| format!("spec.steps[{call}.retryPolicy.maxAttempts");
        assert_eq!(
            fields(json!({"activeDeadlineSeconds": 60, "steps": steps})),
            [at("0].compensation"), at("0].confirm"), at("3].action"), at("4].action")]
        );
    }

    #[test]
    fn an_interval_that_leaves_no_time_to_ask_is_named() {
        let with = |interval: i32, timeout: i32| {
            let mut spec = spec(&json!({"url": "http://a.b/"}), &json!({"url": "http://a.b/"}));
            spec["steps"][0]["action"]["polling"] = json!({"intervalSeconds": interval, "timeoutSeconds": timeout});
            fields(spec)
        };
        assert_eq!(with(59, 60), Vec::<String>::new());
        assert_eq!(with(60, 60), ["spec.steps[0].action.polling.intervalSeconds"]);
    }

    #[test]
    fn bodies_that_arrive_differently_are_named() {
        let body = json!({
            "null": null, "big": [9_007_199_254_740_993_i64, 1e300, 1.5], "true": 1, "${input.k}": "x", "fine": -7,
        });
        let action = json!({"url": "http://a.b/", "method": "GET", "body": body});
        let body = "spec.steps[0].action.http.body";
        assert_eq!(
            fields(spec(&action, &json!({"url": "http://a.b/"}))),
            [
                body.to_owned(),
                format!("{body}.${{input.k}}"),
                format!("{body}.big[0]"),
                format!("{body}.big[1]"),
                format!("{body}.null"),
                format!("{body}.true"),
            ]
        );
    }

    #[test]
    fn an_input_is_looked_at_too() {
        let input = json!({"a": null, "b": {"c": 18_446_744_073_709_551_615_u64}});
        let input = input.as_object().cloned().unwrap_or_default();
        let fields: Vec<String> = input_warnings(&input).into_iter().map(|warning| warning.field).collect();
        assert_eq!(fields, ["spec.input.a", "spec.input.b.c"]);
    }
}
