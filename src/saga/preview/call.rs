//! One call: request, headers and schedule.

use serde::Serialize;
use serde_json::{Map, Value};

use super::leaf::{Leaf, names_input, path};
use super::{Known, RUN_NAME, RUN_UID, START_TIME, duration};
use crate::api::definition::{Call, Header, Method, RuleOutcome, SagaDefinitionSpec};
use crate::api::names::header;
use crate::api::run::Direction;
use crate::expr::{self, EvalError, Reference, Scope, Variables};
use crate::saga::definition::CallPlan;
use crate::saga::key::IdempotencyKey;

/// A call before it is made.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CallPreview {
    /// Method.
    pub method: Method,
    /// URL.
    pub url: Leaf,
    /// The definition's own headers and those of the operator.
    pub headers: Vec<HeaderPreview>,
    /// The JSON document; strings that wait are templates.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body: Option<Value>,
    /// The strings of the body that wait or fail, by their JSON Pointers.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub open: Vec<(String, Leaf)>,
    /// Of one attempt.
    pub timeout_seconds: u64,
    /// Attempts, the first included.
    pub max_attempts: u32,
    /// The attempts in words.
    pub schedule: String,
    /// Rules that win over the default reading of an answer.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub responses: Vec<RulePreview>,
    /// How the work is followed if the participant answers that it takes long.
    pub polling: PollingPreview,
    /// All attempts and waits together, at most, without work that takes long.
    pub worst_case_seconds: f64,
}

/// How a call in progress is followed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PollingPreview {
    /// Whether the definition says so, and not only the defaults.
    pub defined: bool,
    /// Between two looks.
    pub interval_seconds: u64,
    /// Then the attempt counts as unanswered.
    pub timeout_seconds: u64,
}

/// A header before it is sent.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct HeaderPreview {
    /// Name.
    pub name: String,
    /// Value.
    #[serde(flatten)]
    pub value: Leaf,
    /// Whether the operator adds it.
    pub of_operator: bool,
}

/// A rule about answers.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RulePreview {
    /// The condition.
    pub when: String,
    /// What it means.
    pub outcome: RuleOutcome,
}

impl CallPreview {
    /// Every template with its place.
    pub fn leaves(&self) -> impl Iterator<Item = (String, &Leaf)> {
        let headers = self.headers.iter().map(|header| (format!("headers.{}", header.name), &header.value));
        let open = self.open.iter().map(|(pointer, leaf)| (format!("body{}", pointer.replace('/', ".")), leaf));
        std::iter::once(("url".to_owned(), &self.url)).chain(headers).chain(open)
    }
}

/// What the headers of the operator are made from.
pub(super) struct Own<'a> {
    pub(super) key: &'a IdempotencyKey,
    /// Namespace, name and UID.
    pub(super) run: (&'a str, &'a str, &'a str),
    pub(super) step: &'a str,
    pub(super) direction: Direction,
    pub(super) attempt: &'a str,
    /// Of a compensation.
    pub(super) forward_outcome: &'a str,
    pub(super) has_body: bool,
}

/// What every request carries; what only the moment of sending knows is described.
pub(super) fn own_headers(own: &Own<'_>) -> Vec<HeaderPreview> {
    let (namespace, run, uid) = own.run;
    let mut headers = vec![
        (header::IDEMPOTENCY_KEY, format!("\"{}\"", own.key.as_str())),
        (header::RUN, format!("{namespace}/{run}")),
        (header::RUN_UID, uid.to_owned()),
        (header::STEP, own.step.to_owned()),
        (header::DIRECTION, own.direction.as_str().to_owned()),
        (header::ATTEMPT, own.attempt.to_owned()),
        (header::FENCE, "(rises with every decision)".to_owned()),
        (header::DEADLINE, "(when the attempt times out)".to_owned()),
    ];
    match own.direction {
        Direction::Compensate => headers.push((header::FORWARD_OUTCOME, own.forward_outcome.to_owned())),
        Direction::Forward | Direction::Confirm => {}
    }
    headers.push((header::TRACEPARENT, "(one trace a run)".to_owned()));
    if own.has_body {
        headers.push(("content-type", "application/json".to_owned()));
    }
    let preview = |(name, value): (&str, String)| HeaderPreview {
        name: name.to_owned(),
        value: Leaf::known(Value::String(value)),
        of_operator: true,
    };
    headers.into_iter().map(preview).collect()
}

/// What a template may be rendered with.
pub(super) struct Preparation<'a> {
    pub(super) spec: &'a SagaDefinitionSpec,
    pub(super) known: &'a Known,
    pub(super) step: &'a str,
    pub(super) direction: Direction,
}

impl Preparation<'_> {
    pub(super) fn call(&self, call: &Call, plan: &CallPlan) -> CallPreview {
        let http = &call.http;
        let url = self.leaf(&http.url, plan.url.references(), |scope| plan.url.render(scope).map(Value::String));
        let mut headers: Vec<HeaderPreview> = http.headers.iter().map(|header| self.header(header)).collect();
        let (run, namespace) = self.run();
        headers.extend(own_headers(&Own {
            key: &self.key(self.direction),
            run: (namespace, run, RUN_UID),
            step: self.step,
            direction: self.direction,
            attempt: "(1, 2, ...)",
            forward_outcome: "(succeeded or unknown)",
            has_body: http.body.is_some(),
        }));
        let mut open = Vec::new();
        CallPreview {
            method: http.method,
            url,
            headers,
            body: http.body.as_ref().map(|body| self.document(body, "", &mut open)),
            open,
            timeout_seconds: plan.timeout.as_secs(),
            max_attempts: plan.retry.max_attempts,
            schedule: duration::schedule(&plan.retry),
            responses: call
                .responses
                .iter()
                .map(|rule| RulePreview { when: rule.when.clone(), outcome: rule.outcome })
                .collect(),
            polling: PollingPreview {
                defined: call.polling.is_some(),
                interval_seconds: plan.poll_interval.as_secs(),
                timeout_seconds: plan.poll_timeout.as_secs(),
            },
            worst_case_seconds: duration::worst_case(plan).as_secs_f64(),
        }
    }

    /// A condition: `true`, `false`, or the template.
    pub(super) fn condition(&self, when: &str) -> Leaf {
        match expr::Condition::compile(when, Variables::Request) {
            Ok(condition) => {
                self.leaf(when, condition.references(), |scope| condition.evaluate(scope).map(Value::Bool))
            }
            Err(error) => Leaf::failing(when, error.to_string()),
        }
    }

    fn header(&self, header: &Header) -> HeaderPreview {
        let value = match (&header.value, &header.value_from) {
            (_, Some(source)) => {
                let key = &source.secret_key_ref;
                let text = format!("(key '{}' of Secret '{}')", key.key, key.name);
                Leaf::known(Value::String(text))
            }
            (value, None) => self.text(value.as_deref().unwrap_or_default()),
        };
        HeaderPreview { name: header.name.clone(), value, of_operator: false }
    }

    fn text(&self, template: &str) -> Leaf {
        match expr::Text::compile(template, Variables::Request) {
            Ok(text) => self.leaf(template, text.references(), |scope| text.render_header(scope).map(Value::String)),
            Err(error) => Leaf::failing(template, error.to_string()),
        }
    }

    /// Each string for itself, so that what is known shows beside what is not.
    fn document(&self, value: &Value, pointer: &str, open: &mut Vec<(String, Leaf)>) -> Value {
        match value {
            Value::String(template) => {
                let leaf = match expr::Json::compile(value, Variables::Request) {
                    Ok(json) => self.leaf(template, json.references(), |scope| json.render(scope)),
                    Err(error) => Leaf::failing(template, error.to_string()),
                };
                let shown = leaf.value.clone();
                if leaf.is_open() {
                    open.push((pointer.to_owned(), leaf));
                }
                shown
            }
            Value::Array(items) => items
                .iter()
                .enumerate()
                .map(|(index, item)| self.document(item, &format!("{pointer}/{index}"), open))
                .collect(),
            Value::Object(members) => {
                let mut object = Map::new();
                for (key, member) in members {
                    let below = format!("{pointer}/{}", key.replace('~', "~0").replace('/', "~1"));
                    object.insert(key.clone(), self.document(member, &below, open));
                }
                Value::Object(object)
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
        }
    }

    fn leaf(
        &self,
        template: &str,
        references: &[Reference],
        render: impl FnOnce(&Scope<'_>) -> Result<Value, EvalError>,
    ) -> Leaf {
        let mut depends_on: Vec<String> =
            references.iter().filter(|reference| !self.has(reference)).map(path).collect();
        if self.known.input.is_none() && names_input(template) {
            depends_on.push("input".to_owned());
        }
        if !depends_on.is_empty() {
            return Leaf::waiting(template, depends_on);
        }
        match self.with_scope(render) {
            Ok(value) => Leaf::known(value),
            Err(error) => Leaf::failing(template, error.to_string()),
        }
    }

    /// Whether an output is known; all of a step, where the whole map is asked for.
    fn has(&self, reference: &Reference) -> bool {
        let known = self.known.outputs.get(&reference.step);
        let has = |output: &String| known.is_some_and(|known| known.contains_key(output));
        match &reference.output {
            Some(output) => has(output),
            None => self
                .spec
                .steps
                .iter()
                .filter(|step| step.name == reference.step)
                .all(|step| step.outputs.iter().all(|output| has(&output.name))),
        }
    }

    fn with_scope<T>(&self, use_it: impl FnOnce(&Scope<'_>) -> T) -> T {
        let (name, namespace) = self.run();
        let key = self.key(self.direction);
        let forward_key = self.key(Direction::Forward);
        let none = Value::Null;
        let input = self.known.input.as_ref().unwrap_or(&none);
        let mut scope =
            Scope::new(input, expr::Run { name, namespace, uid: RUN_UID, start_time: START_TIME }).call(expr::Call {
                key: key.as_str(),
                forward_key: forward_key.as_str(),
                direction: self.direction.as_str(),
            });
        for (step, outputs) in &self.known.outputs {
            scope = scope.step(step, Some(outputs));
        }
        use_it(&scope)
    }

    fn key(&self, direction: Direction) -> IdempotencyKey {
        IdempotencyKey::new(RUN_UID, self.step, direction, 1)
    }

    fn run(&self) -> (&str, &str) {
        (self.known.run.as_deref().unwrap_or(RUN_NAME), self.known.namespace.as_deref().unwrap_or("default"))
    }
}
