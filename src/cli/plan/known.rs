//! Which definition is meant, and what is known of the run: from manifests and arguments.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;

use crate::api::{SagaDefinitionSpec, SagaRunSpec};
use crate::cli::check::{Judged, Verdict};
use crate::saga::Definition;
use crate::saga::preview::Known;

/// Why there is no plan.
#[derive(Debug, thiserror::Error)]
pub(super) enum UnusableInput {
    /// The input violates the definition.
    #[error("{0}")]
    Wrong(String),
    /// An argument makes no sense.
    #[error("{0}")]
    Unusable(String),
}

/// What was chosen by arguments.
#[derive(Debug, Clone, Copy)]
pub(super) struct Choice<'a> {
    pub(super) definition: Option<&'a str>,
    pub(super) run: Option<&'a str>,
    pub(super) input: Option<&'a str>,
}

type Chosen<'a> = (&'a Judged<SagaDefinitionSpec>, &'a Definition, Known);

impl Choice<'_> {
    /// The definition that is meant, and what is known of its run.
    pub(super) fn make<'a>(&self, verdict: &'a Verdict) -> Result<Chosen<'a>, UnusableInput> {
        let run = self.run.map(|name| named(&verdict.runs, name, "SagaRun")).transpose()?;
        let definition = match (self.definition, run) {
            (Some(name), _) => named(&verdict.definitions, name, "SagaDefinition")?,
            (None, Some(run)) => verdict.definition_of(run).ok_or_else(|| {
                let name = &run.spec.definition_ref.name;
                unusable(format!("failed to find the SagaDefinition '{name}' of the run in the manifests"))
            })?,
            (None, None) => single(verdict)?,
        };
        let compiled = definition
            .compiled
            .as_ref()
            .ok_or_else(|| UnusableInput::Wrong(format!("the SagaDefinition '{}' has mistakes", definition.name())))?;
        let run = run.or_else(|| self.only_run(verdict, definition));
        let known = match (self.input, run) {
            (Some(input), _) => Known { input: Some(input_of(input, compiled)?), ..Known::default() },
            (None, Some(run)) => of_run(run),
            (None, None) => Known::default(),
        };
        let namespace = known.namespace.or_else(|| non_empty(definition.document.metadata("namespace")));
        Ok((definition, compiled, Known { namespace, ..known }))
    }

    /// The run of the definition, where there is one and nothing else was asked for.
    fn only_run<'a>(
        &self,
        verdict: &'a Verdict,
        definition: &Judged<SagaDefinitionSpec>,
    ) -> Option<&'a Judged<SagaRunSpec>> {
        let mut runs = verdict.runs.iter().filter(|run| run.spec.definition_ref.name == definition.name());
        let first = runs.next()?;
        (self.input.is_none() && runs.next().is_none()).then_some(first)
    }
}

fn named<'a, T>(objects: &'a [Judged<T>], name: &str, kind: &str) -> Result<&'a Judged<T>, UnusableInput> {
    objects.iter().find(|object| object.name() == name).ok_or_else(|| {
        let names: Vec<&str> = objects.iter().map(Judged::name).collect();
        let names = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
        unusable(format!("failed to find the {kind} '{name}' in the manifests; there: {names}"))
    })
}

fn single(verdict: &Verdict) -> Result<&Judged<SagaDefinitionSpec>, UnusableInput> {
    match &verdict.definitions[..] {
        [one] => Ok(one),
        [] => Err(unusable("failed to find a SagaDefinition in the manifests".to_owned())),
        several => {
            let names: Vec<&str> = several.iter().map(Judged::name).collect();
            Err(unusable(format!(
                "the manifests hold several definitions: choose one with --definition: {}",
                names.join(", ")
            )))
        }
    }
}

fn of_run(run: &Judged<SagaRunSpec>) -> Known {
    Known {
        run: non_empty(run.name()),
        namespace: non_empty(run.document.metadata("namespace")),
        input: Some(Value::Object(run.spec.input.clone())),
        active_deadline: run
            .spec
            .active_deadline_seconds
            .and_then(|seconds| u64::try_from(seconds).ok())
            .map(Duration::from_secs),
        ..Known::default()
    }
}

fn input_of(argument: &str, definition: &Definition) -> Result<Value, UnusableInput> {
    let text = match argument.strip_prefix('@') {
        Some(file) => std::fs::read_to_string(file)
            .map_err(|error| unusable(format!("failed to read the input from '{file}': {error}")))?,
        None => argument.to_owned(),
    };
    let input: Value = serde_saphyr::from_str(&text)
        .ok()
        .filter(Value::is_object)
        .ok_or_else(|| unusable("failed to read the input: it must be a JSON object".to_owned()))?;
    definition.check_input(&input).map_err(UnusableInput::Wrong)?;
    Ok(input)
}

/// Reads `step.output=JSON` arguments.
pub(super) fn outputs(
    arguments: &[String],
    spec: &SagaDefinitionSpec,
) -> Result<BTreeMap<String, BTreeMap<String, Value>>, UnusableInput> {
    let mut all: BTreeMap<String, BTreeMap<String, Value>> = BTreeMap::new();
    for argument in arguments {
        let parts = argument.split_once('=').and_then(|(place, value)| Some((place.split_once('.')?, value)));
        let Some(((step, output), value)) = parts else {
            return Err(unusable(format!("failed to read --output '{argument}': write STEP.OUTPUT=JSON")));
        };
        let known = spec.steps.iter().find(|known| known.name == step);
        if !known.is_some_and(|known| known.outputs.iter().any(|known| known.name == output)) {
            return Err(unusable(format!("failed to use --output '{argument}': no step '{step}' with such an output")));
        }
        let value = serde_json::from_str(value).map_err(|error| {
            unusable(format!("failed to read --output '{argument}': the value is not JSON: {error}"))
        })?;
        all.entry(step.to_owned()).or_default().insert(output.to_owned(), value);
    }
    Ok(all)
}

fn non_empty(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

const fn unusable(message: String) -> UnusableInput {
    UnusableInput::Unusable(message)
}
