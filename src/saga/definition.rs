//! A definition compiled: every expression parsed, every name resolved, every default filled in.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use super::graph::Graph;
use super::problem::Problem;
use super::retry::Retry;
use super::set::Steps;
use super::wishes::seconds;
use crate::api::Reason;
use crate::api::definition::{
    Call, CompensationPolicy, Header, Method, Output, ResponseRule, Role, RuleOutcome, SagaDefinitionSpec, SecretKeyRef,
};
use crate::api::run::Direction;
use crate::expr::{self, Reference, Variables};

/// Largest `inputSchema` and largest `input`, as JSON.
const MAX_SCHEMA_BYTES: usize = 32 * 1024;
const MAX_INPUT_BYTES: usize = 64 * 1024;

/// A definition that can be run.
#[derive(Debug)]
pub struct Definition {
    /// Name of the revision.
    pub revision: String,
    /// From the start of a run.
    pub active_deadline: Option<Duration>,
    /// In list order.
    pub steps: Vec<StepPlan>,
    /// The go/no-go, where there is one.
    pub pivot: Option<usize>,
    /// How a run is undone.
    pub policy: CompensationPolicy,
    /// Of the run, evaluated when it succeeds.
    pub outputs: Vec<(String, expr::Single)>,
    input_schema: Option<jsonschema::Validator>,
}

/// A step.
#[derive(Debug)]
pub struct StepPlan {
    /// Name.
    pub name: Arc<str>,
    /// What may be done about it.
    pub role: Role,
    /// Steps that must be done before it begins.
    pub dependencies: Steps,
    /// Steps that it depends on, directly or through others.
    pub ancestors: Steps,
    /// Steps that depend on it, directly or through others.
    pub dependents: Steps,
    /// Whether it is done at all.
    pub when: Option<expr::Condition>,
    /// The forward call.
    pub action: CallPlan,
    /// Undoes the action.
    pub compensation: Option<CallPlan>,
    /// Of the compensation: larger ones first.
    pub priority: i32,
    /// Makes the action final.
    pub confirm: Option<CallPlan>,
    /// Picked from the answer to the action.
    pub outputs: Vec<(String, expr::Single)>,
}

/// A call.
#[derive(Debug)]
pub struct CallPlan {
    /// Method.
    pub method: Method,
    /// URL.
    pub url: expr::Url,
    /// In the order of the definition.
    pub headers: Vec<(String, HeaderPlan)>,
    /// A JSON document.
    pub body: Option<expr::Json>,
    /// Of one attempt.
    pub timeout: Duration,
    /// When to try again.
    pub retry: Retry,
    /// Win over the default reading of an answer.
    pub rules: Vec<(expr::Condition, RuleOutcome)>,
    /// Between two looks at a call in progress.
    pub poll_interval: Duration,
    /// How long a call may be in progress.
    pub poll_timeout: Duration,
}

/// The value of a header.
#[derive(Debug)]
pub enum HeaderPlan {
    /// Rendered.
    Template(expr::Text),
    /// Read when sending.
    Secret(SecretKeyRef),
}

impl Definition {
    /// Compiles a definition.
    ///
    /// # Errors
    /// Every mistake that is found, in the order of the fields.
    pub fn compile(spec: &SagaDefinitionSpec, revision: &str) -> Result<Self, Vec<Problem>> {
        let mut problems = super::limits::check(spec);
        let input_schema = spec
            .input_schema
            .as_ref()
            .and_then(|schema| compile_schema(schema).map_err(|problem| problems.push(problem)).ok());
        let mut compiler = Compiler { spec, problems, graph: Graph::new(&spec.steps) };
        let steps: Vec<Option<StepPlan>> = (0..spec.steps.len()).map(|index| compiler.step(index)).collect();
        let steps: Option<Vec<StepPlan>> = steps.into_iter().collect();
        let all = View { ancestors: Steps::first(spec.steps.len()), own: None };
        let outputs = compiler.outputs("spec", &spec.outputs, Variables::Run, all);
        match (steps, outputs) {
            (Some(steps), Some(outputs)) if compiler.problems.is_empty() => Ok(Self {
                revision: revision.to_owned(),
                active_deadline: spec.active_deadline_seconds.map(seconds),
                pivot: steps.iter().position(|step| step.role == Role::Pivot),
                policy: spec.compensation_policy.unwrap_or_default(),
                steps,
                outputs,
                input_schema,
            }),
            (Some(_) | None, _) => Err(compiler.problems),
        }
    }

    /// Checks the input of a run.
    ///
    /// # Errors
    /// The first violation, with its JSON pointer.
    pub fn check_input(&self, input: &Value) -> Result<(), String> {
        let size = input.to_string().len();
        if size > MAX_INPUT_BYTES {
            return Err(format!("`spec.input` must be at most {MAX_INPUT_BYTES} bytes as JSON, and is {size}"));
        }
        let Some(schema) = &self.input_schema else { return Ok(()) };
        schema.validate(input).map_err(|error| {
            let pointer = error.instance_path().to_string();
            let pointer = if pointer.is_empty() { "/".to_owned() } else { pointer };
            // The error would quote the value, which may be personal; the rule that it breaks is enough.
            format!(
                "`spec.input` at '{pointer}' violates `inputSchema` at '{}': {}",
                error.schema_path(),
                error.masked()
            )
        })
    }
}

fn compile_schema(schema: &serde_json::Map<String, Value>) -> Result<jsonschema::Validator, Problem> {
    let field = "spec.inputSchema";
    let schema = Value::Object(schema.clone());
    if schema.to_string().len() > MAX_SCHEMA_BYTES {
        let message = format!("must be at most {MAX_SCHEMA_BYTES} bytes as JSON");
        return Err(Problem::new(field, Reason::TooLarge, message));
    }
    jsonschema::options()
        .with_draft(jsonschema::Draft::Draft202012)
        // Linear in the input: a pattern must not be able to stop the operator.
        .with_pattern_options(jsonschema::PatternOptions::regex())
        .build(&schema)
        .map_err(|error| {
            let message = format!("must be a JSON Schema (2020-12, no remote references): {error}");
            Problem::new(field, Reason::InvalidSchema, message)
        })
}

struct Compiler<'a> {
    spec: &'a SagaDefinitionSpec,
    problems: Vec<Problem>,
    graph: Graph,
}

/// Which steps an expression may refer to.
#[derive(Clone, Copy)]
struct View {
    ancestors: Steps,
    own: Option<usize>,
}

impl Compiler<'_> {
    fn step(&mut self, index: usize) -> Option<StepPlan> {
        let step = self.spec.steps.get(index)?;
        let at = format!("spec.steps[{index}]");
        let ancestors = self.graph.ancestors(index);
        let before = View { ancestors, own: None };
        let after = View { ancestors, own: Some(index) };
        let when = step.when.as_ref().map(|when| {
            let compiled = expr::Condition::compile(when, Variables::Request);
            self.known(&format!("{at}.when"), before, compiled, expr::Condition::references)
        });
        let mut plans = step.calls().map(|(direction, call)| {
            let view = if direction == Direction::Forward { before } else { after };
            self.call(&format!("{at}.{}", direction.field()), call, (direction, step.role), view)
        });
        let action = plans.next().flatten();
        let compensation = step.compensation.as_ref().map(|_| plans.next().flatten());
        let confirm = step.confirm.as_ref().map(|_| plans.next().flatten());
        drop(plans);
        let outputs: Option<Vec<_>> = self.outputs(&at, &step.outputs, Variables::Response, before);
        Some(StepPlan {
            name: step.name.as_str().into(),
            role: step.role,
            dependencies: self.graph.dependencies(index),
            ancestors,
            dependents: self.graph.dependents(index),
            when: transpose(when)?,
            action: action?,
            compensation: transpose(compensation)?,
            priority: step.compensation.as_ref().map_or(0, |compensation| compensation.priority),
            confirm: transpose(confirm)?,
            outputs: outputs?,
        })
    }

    fn call(&mut self, at: &str, call: &Call, kind: (Direction, Role), view: View) -> Option<CallPlan> {
        let http = &call.http;
        let url = expr::Url::compile(&http.url, Variables::Request);
        let url = self.known(&format!("{at}.http.url"), view, url, expr::Url::references);
        let headers = self.headers(at, &http.headers, view);
        let body = http.body.as_ref().map(|body| {
            let compiled = expr::Json::compile(body, Variables::Request);
            self.known(&format!("{at}.http.body"), view, compiled, expr::Json::references)
        });
        let rules = self.rules(at, &call.responses, view);
        let polling = call.polling.unwrap_or_default();
        Some(CallPlan {
            method: http.method,
            url: url?,
            headers: headers?,
            body: transpose(body)?,
            timeout: seconds(http.timeout_seconds),
            retry: Retry::new(call.retry_policy.as_ref(), kind.0, kind.1),
            rules: rules?,
            poll_interval: seconds(polling.interval_seconds),
            poll_timeout: seconds(polling.timeout_seconds),
        })
    }

    fn headers(&mut self, at: &str, headers: &[Header], view: View) -> Option<Vec<(String, HeaderPlan)>> {
        let plans = headers.iter().enumerate().map(|(index, header)| {
            let field = format!("{at}.http.headers[{index}]");
            let plan = match (&header.value, &header.value_from) {
                (Some(value), None) => {
                    let compiled = expr::Text::compile(value, Variables::Request);
                    HeaderPlan::Template(self.known(
                        &format!("{field}.value"),
                        view,
                        compiled,
                        expr::Text::references,
                    )?)
                }
                (None, Some(source)) => HeaderPlan::Secret(source.secret_key_ref.clone()),
                (Some(_), Some(_)) | (None, None) => {
                    let message = "must have either `value` or `valueFrom`";
                    self.problems.push(Problem::new(field, Reason::InvalidExpression, message));
                    return None;
                }
            };
            Some((header.name.clone(), plan))
        });
        let plans: Vec<_> = plans.collect();
        plans.into_iter().collect()
    }

    fn rules(&mut self, at: &str, rules: &[ResponseRule], view: View) -> Option<Vec<(expr::Condition, RuleOutcome)>> {
        let compiled: Vec<_> = rules
            .iter()
            .enumerate()
            .map(|(index, rule)| {
                let condition = expr::Condition::compile(&rule.when, Variables::Response);
                let field = format!("{at}.responses[{index}].when");
                Some((self.known(&field, view, condition, expr::Condition::references)?, rule.outcome))
            })
            .collect();
        compiled.into_iter().collect()
    }

    fn outputs(
        &mut self,
        at: &str,
        outputs: &[Output],
        variables: Variables,
        view: View,
    ) -> Option<Vec<(String, expr::Single)>> {
        let compiled: Vec<_> = outputs
            .iter()
            .enumerate()
            .map(|(index, output)| {
                let value = expr::Single::compile(&output.value, variables);
                let field = format!("{at}.outputs[{index}].value");
                Some((output.name.clone(), self.known(&field, view, value, expr::Single::references)?))
            })
            .collect();
        compiled.into_iter().collect()
    }

    /// Takes over a compiled expression if it compiled and refers only to what it may see.
    fn known<T>(
        &mut self,
        field: &str,
        view: View,
        compiled: Result<T, expr::CompileError>,
        references: impl Fn(&T) -> &[Reference],
    ) -> Option<T> {
        let compiled = match compiled {
            Ok(compiled) => compiled,
            Err(error) => {
                self.problems.push(Problem::new(field, Reason::InvalidExpression, error.to_string()));
                return None;
            }
        };
        let unknown: Vec<String> =
            references(&compiled).iter().filter_map(|reference| self.unknown(view, reference)).collect();
        let fine = unknown.is_empty();
        for message in unknown {
            self.problems.push(Problem::new(field, Reason::InvalidExpression, message));
        }
        fine.then_some(compiled)
    }

    fn unknown(&self, view: View, reference: &Reference) -> Option<String> {
        let name = &reference.step;
        let Some((index, step)) = self.spec.steps.iter().enumerate().find(|(_, step)| step.name == *name) else {
            return Some(format!("refers to the step '{name}', which is not in `spec.steps`"));
        };
        if !view.ancestors.contains(index) && view.own != Some(index) {
            return Some(format!(
                "refers to the step '{name}', which is not done before this is evaluated: only what the step depends on is"
            ));
        }
        let output = reference.output.as_ref()?;
        let known = step.outputs.iter().any(|known| known.name == *output);
        (!known).then(|| {
            let names: Vec<&str> = step.outputs.iter().map(|known| known.name.as_str()).collect();
            let names = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
            format!("refers to the output '{output}' of the step '{name}', whose outputs are: {names}")
        })
    }
}

/// Nothing asked for, or asked for and compiled.
#[expect(clippy::option_option, reason = "the outer says whether the field is there, the inner whether it compiled")]
fn transpose<T>(value: Option<Option<T>>) -> Option<Option<T>> {
    match value {
        Some(None) => None,
        Some(Some(value)) => Some(Some(value)),
        None => Some(None),
    }
}
