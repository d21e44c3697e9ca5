//! What a run would do, as far as it can be told before it starts.
//!
//! # Caveats
//! What needs the answer of an earlier step stays a template, and says which output it waits for. An input that is not
//! given leaves every expression that names `input` as it stands.

mod call;
mod duration;
mod leaf;

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;
use serde_json::Value;

use self::call::Preparation;
pub use self::call::{CallPreview, HeaderPreview};
pub use self::leaf::Leaf;
use super::definition::{Definition, StepPlan};
use crate::api::definition::{Role, SagaDefinitionSpec};
use crate::api::run::Direction;

/// Stands for the UID of a run, which only the store can give.
pub const RUN_UID: &str = "RUN-UID";
/// Stands for the name of a run.
pub const RUN_NAME: &str = "RUN";
/// Stands for the start of a run.
pub const START_TIME: &str = "START-TIME";

/// What is known of a run.
#[derive(Clone, Debug, Default)]
pub struct Known {
    /// Name of the run.
    pub run: Option<String>,
    /// Its namespace.
    pub namespace: Option<String>,
    /// `spec.input`.
    pub input: Option<Value>,
    /// Outputs of steps, as if they were done.
    pub outputs: BTreeMap<String, BTreeMap<String, Value>>,
    /// `spec.activeDeadlineSeconds` of the run.
    pub active_deadline: Option<Duration>,
}

/// A saga before it runs.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Preview {
    /// Steps in the order in which they begin.
    pub steps: Vec<StepPreview>,
    /// Names of the steps that can be undone, in the order of undoing.
    pub undo_order: Vec<String>,
    /// From the start of a run: when it passes, the run compensates.
    pub active_deadline_seconds: Option<u64>,
    /// The longest that the forward calls take, no deadline and no `Retry-After` counted.
    pub worst_case_forward_seconds: f64,
    /// The longest that the compensations take before they stall.
    pub worst_case_compensation_seconds: f64,
}

/// A step before it runs.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StepPreview {
    /// Name.
    pub name: String,
    /// What may be done about it.
    pub role: Role,
    /// Names of the steps that must be done before.
    pub after: Vec<String>,
    /// Whether it is done at all; a condition that can be decided is `true` or `false`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub when: Option<Leaf>,
    /// The forward call.
    pub action: CallPreview,
    /// Undoes it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub compensation: Option<CallPreview>,
    /// Names of outputs and their templates.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub outputs: BTreeMap<String, String>,
}

impl StepPreview {
    /// Whether the input decides that the step is not done.
    pub fn skipped(&self) -> bool {
        self.when.as_ref().is_some_and(|when| when.value == Value::Bool(false))
    }
}

impl Preview {
    /// What fails with what is known, as place and message.
    pub fn faults(&self) -> Vec<(String, String)> {
        let mut faults = Vec::new();
        for step in self.steps.iter().filter(|step| !step.skipped()) {
            let mut note = |place: &str, leaf: &Leaf| {
                faults.extend(leaf.fault.iter().map(|fault| (format!("{}.{place}", step.name), fault.clone())));
            };
            step.when.iter().for_each(|when| note("when", when));
            for (call, preview) in [("action", Some(&step.action)), ("compensation", step.compensation.as_ref())] {
                for (place, leaf) in preview.into_iter().flat_map(CallPreview::leaves) {
                    note(&format!("{call}.{place}"), leaf);
                }
            }
        }
        faults
    }
}

/// Looks ahead. `definition` is `spec` compiled.
pub fn preview(spec: &SagaDefinitionSpec, definition: &Definition, known: &Known) -> Preview {
    let mut known = known.clone();
    let mut steps: Vec<StepPreview> = Vec::new();
    for (step, plan) in spec.steps.iter().zip(&definition.steps) {
        let when = step.when.as_deref().map(|when| {
            let preparation = Preparation { spec, known: &known, step: &plan.name, direction: Direction::Forward };
            preparation.condition(when)
        });
        if when.as_ref().is_some_and(|when| when.value == Value::Bool(false)) {
            // A skipped step has no outputs: each is null.
            let none = step.outputs.iter().map(|output| (output.name.clone(), Value::Null)).collect();
            known.outputs.insert(step.name.clone(), none);
        }
        let call = |call, plan_of, direction| {
            Preparation { spec, known: &known, step: &plan.name, direction }.call(call, plan_of)
        };
        steps.push(StepPreview {
            name: plan.name.to_string(),
            role: plan.role,
            after: after(definition, plan),
            when,
            action: call(&step.action, &plan.action, Direction::Forward),
            compensation: step
                .compensation
                .as_ref()
                .zip(plan.compensation.as_ref())
                .map(|(compensation, plan)| call(&compensation.call, plan, Direction::Compensate)),
            outputs: step.outputs.iter().map(|output| (output.name.clone(), output.value.clone())).collect(),
        });
    }
    let seconds = |duration: Duration| duration.as_secs_f64();
    let done = || definition.steps.iter().zip(&steps).filter(|(_, step)| !step.skipped()).map(|(plan, _)| plan);
    let forward: Duration = done().map(|plan| duration::worst_case(&plan.action)).sum();
    let compensation: Duration = done().filter_map(|plan| plan.compensation.as_ref()).map(duration::worst_case).sum();
    Preview {
        undo_order: steps
            .iter()
            .rev()
            .filter(|step| step.compensation.is_some() && !step.skipped())
            .map(|step| step.name.clone())
            .collect(),
        active_deadline_seconds: definition
            .active_deadline
            .into_iter()
            .chain(known.active_deadline)
            .min()
            .map(|deadline| deadline.as_secs()),
        worst_case_forward_seconds: seconds(forward),
        worst_case_compensation_seconds: seconds(compensation),
        steps,
    }
}

fn after(definition: &Definition, plan: &StepPlan) -> Vec<String> {
    plan.dependencies.iter().filter_map(|index| definition.steps.get(index)).map(|step| step.name.to_string()).collect()
}

pub use self::duration::words;
