//! What a run would do, as far as it can be told before it starts.
//!
//! # Caveats
//! What needs the answer of an earlier step stays a template, and says which output it waits for. An input that is not
//! given leaves every expression that names `input` as it stands.

mod call;
mod duration;
mod leaf;
mod order;
mod rehearsal;
mod undo;

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;
use serde_json::Value;

use self::call::Preparation;
pub use self::call::{CallPreview, HeaderPreview, PollingPreview};
pub use self::duration::words;
pub use self::leaf::Leaf;
use self::order::{Order, order};
pub use self::undo::{
    NotUndone, Planned, RequestPreview, Running, StalledCall, UnderWay, Undo, Verdict, undo, undo_without_definition,
};
use super::definition::{Definition, StepPlan};
use crate::api::definition::{CompensationPolicy, Role, SagaDefinitionSpec};
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
    /// Steps in the order of the definition.
    pub steps: Vec<StepPreview>,
    /// Names of the steps that are done, in the order in which they begin. Those that begin together, if each takes as long
    /// as any other, stand together.
    pub forward: Vec<Vec<String>>,
    /// From where on the run is not undone any more.
    pub commit_point: CommitPoint,
    /// As `forward`, of the confirms: after the commit point, when every step is done.
    pub confirm: Vec<Vec<String>>,
    /// As `forward`, of the compensations, if everything has to be undone.
    pub undo: Vec<Vec<String>>,
    /// The same in one list.
    pub undo_order: Vec<String>,
    /// The order of undoing and what happens when a compensation is used up.
    pub compensation_policy: CompensationPolicy,
    /// Names of the run's outputs and their templates.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub outputs: BTreeMap<String, String>,
    /// From the start of a run: when it passes, the run compensates.
    pub active_deadline_seconds: Option<u64>,
    /// The longest that the actions take along the longest way through the graph: no deadline, no `Retry-After` and no work
    /// that takes long is counted.
    pub worst_case_forward_seconds: f64,
    /// As before, until the commit point.
    pub worst_case_commit_seconds: f64,
    /// As before, of the confirms, which begin after the last action.
    pub worst_case_confirm_seconds: f64,
    /// As before, of the compensations of everything, until they stall.
    pub worst_case_compensation_seconds: f64,
}

/// From where on a run is not undone any more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CommitPoint {
    /// The Pivot, whose success it is; none: the last step that is done.
    pub pivot: Option<String>,
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
    /// Of the compensation: larger ones first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub priority: Option<i32>,
    /// Makes it final.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub confirm: Option<CallPreview>,
    /// Names of outputs and their templates.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub outputs: BTreeMap<String, String>,
}

impl StepPreview {
    /// The calls that the step has.
    pub fn calls(&self) -> impl Iterator<Item = (Direction, &CallPreview)> {
        let compensation = self.compensation.iter().map(|call| (Direction::Compensate, call));
        let confirm = self.confirm.iter().map(|call| (Direction::Confirm, call));
        std::iter::once((Direction::Forward, &self.action)).chain(compensation).chain(confirm)
    }

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
            for (call, preview) in step.calls() {
                for (place, leaf) in preview.leaves() {
                    note(&format!("{}.{place}", call.field()), leaf);
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
            priority: step.compensation.as_ref().map(|compensation| compensation.priority),
            confirm: step
                .confirm
                .as_ref()
                .zip(plan.confirm.as_ref())
                .map(|(confirm, plan)| call(confirm, plan, Direction::Confirm)),
            outputs: step.outputs.iter().map(|output| (output.name.clone(), output.value.clone())).collect(),
        });
    }
    finish(spec, definition, &known, steps)
}

fn finish(spec: &SagaDefinitionSpec, definition: &Definition, known: &Known, steps: Vec<StepPreview>) -> Preview {
    let skipped = steps.iter().enumerate().filter(|(_, step)| step.skipped()).map(|(index, _)| index);
    let order: Order = order(spec, definition, &skipped.collect::<Vec<_>>());
    let names = |groups: &[Vec<usize>]| -> Vec<Vec<String>> {
        let name = |step: &usize| steps.get(*step).map(|step| step.name.clone());
        groups.iter().map(|group| group.iter().filter_map(name).collect()).collect()
    };
    Preview {
        forward: names(&order.forward),
        commit_point: CommitPoint {
            pivot: definition.pivot.and_then(|pivot| steps.get(pivot)).map(|step| step.name.clone()),
        },
        confirm: names(&order.confirm),
        undo_order: names(&order.undo).concat(),
        undo: names(&order.undo),
        compensation_policy: definition.policy,
        outputs: spec.outputs.iter().map(|output| (output.name.clone(), output.value.clone())).collect(),
        active_deadline_seconds: definition
            .active_deadline
            .into_iter()
            .chain(known.active_deadline)
            .min()
            .map(|deadline| deadline.as_secs()),
        worst_case_forward_seconds: order.all_steps.as_secs_f64(),
        worst_case_commit_seconds: order.to_commit.as_secs_f64(),
        worst_case_confirm_seconds: order.all_confirms.as_secs_f64(),
        worst_case_compensation_seconds: order.all_undone.as_secs_f64(),
        steps,
    }
}

fn after(definition: &Definition, plan: &StepPlan) -> Vec<String> {
    plan.dependencies.iter().filter_map(|index| definition.steps.get(index)).map(|step| step.name.to_string()).collect()
}
