//! Which steps run side by side, in which order they are undone, and how long all of it takes at most: found by letting
//! the core run the bare shape of a definition.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;

use super::duration;
use super::rehearsal::{Cast, DONE, Rehearsal};
use crate::api::Reason;
use crate::api::definition::{Call, HttpCall, Role, SagaDefinitionSpec};
use crate::api::run::Direction;
use crate::saga::state::{Failure, Phase, StepRecord, Stored};
use crate::saga::{CallId, Definition, Fence, Holder, Identity, Monotonic, Now, Wishes};

/// The order of a saga.
#[derive(Debug, Default)]
pub(super) struct Order {
    /// Steps that begin at the same time stand together, as if each took as long as any other.
    pub(super) forward: Vec<Vec<usize>>,
    /// As `forward`, of confirms.
    pub(super) confirm: Vec<Vec<usize>>,
    /// As `forward`, of compensations, if everything has to be undone.
    pub(super) undo: Vec<Vec<usize>>,
    /// The longest that the steps before, and with, the commit point take.
    pub(super) to_commit: Duration,
    /// The longest that all steps take.
    pub(super) all_steps: Duration,
    /// The longest that the confirms take.
    pub(super) all_confirms: Duration,
    /// The longest that undoing everything takes.
    pub(super) all_undone: Duration,
}

/// Finds the order. `skipped` steps are not done.
pub(super) fn order(spec: &SagaDefinitionSpec, definition: &Definition, skipped: &[usize]) -> Order {
    let shape = bare(spec, skipped);
    let Some(even) = played(&shape, Stored::default(), &mut |_| (Duration::from_secs(1), DONE)) else {
        // A definition that compiles has a shape that does.
        return Order::default();
    };
    let longest = |call: CallId| (worst_case(definition, call), DONE);
    let slow = played(&shape, Stored::default(), &mut { longest });
    let undone = undo_everything(definition, skipped);
    let undo = played(&shape, undone.clone(), &mut |_| (Duration::from_secs(1), DONE));
    let slow_undo = played(&shape, undone, &mut { longest });
    let took = |rehearsal: &Option<Rehearsal>| rehearsal.as_ref().map_or(Duration::ZERO, Rehearsal::took);
    let all = took(&slow);
    let ends = |direction: Direction, step: Option<usize>| {
        let sent = slow.iter().flat_map(|rehearsal| &rehearsal.sent);
        sent.filter(|sent| sent.intent.call.direction == direction)
            .filter(|sent| step.is_none_or(|step| sent.intent.call.step == step))
            .map(|sent| sent.at + worst_case(definition, sent.intent.call))
            .max()
            .unwrap_or_default()
    };
    let all_steps = ends(Direction::Forward, None);
    Order {
        forward: groups(&even, Direction::Forward),
        confirm: groups(&even, Direction::Confirm),
        undo: undo.as_ref().map(|undo| groups(undo, Direction::Compensate)).unwrap_or_default(),
        to_commit: definition.pivot.map_or(all_steps, |pivot| ends(Direction::Forward, Some(pivot))),
        all_steps,
        all_confirms: all.saturating_sub(all_steps),
        all_undone: took(&slow_undo),
    }
}

fn worst_case(definition: &Definition, call: CallId) -> Duration {
    let step = definition.steps.get(call.step);
    let plan = step.and_then(|step| match call.direction {
        Direction::Forward => Some(&step.action),
        Direction::Compensate => step.compensation.as_ref(),
        Direction::Confirm => step.confirm.as_ref(),
    });
    plan.map_or(Duration::ZERO, duration::worst_case)
}

/// Names, roles, dependencies, priorities and policy: all that the order depends on. Nothing that could not be rendered.
fn bare(spec: &SagaDefinitionSpec, skipped: &[usize]) -> SagaDefinitionSpec {
    let bare =
        || Call { http: HttpCall { url: "http://participant/".to_owned(), ..HttpCall::default() }, ..Call::default() };
    let mut shape = spec.clone();
    (shape.input_schema, shape.active_deadline_seconds) = (None, None);
    shape.outputs.clear();
    for (index, step) in shape.steps.iter_mut().enumerate() {
        step.outputs.clear();
        step.when = skipped.contains(&index).then(|| "${false}".to_owned());
        step.action = bare();
        step.compensation.iter_mut().for_each(|compensation| compensation.call = bare());
        step.confirm = step.confirm.as_ref().map(|_| bare());
    }
    shape
}

/// A run that turned when everything that can be undone was done.
fn undo_everything(definition: &Definition, skipped: &[usize]) -> Stored {
    let steps = definition.steps.iter().enumerate().map(|(index, step)| {
        let mut record = StepRecord::new(&step.name);
        record.forward.phase = match step.role {
            Role::Compensatable | Role::ReadOnly if skipped.contains(&index) => Phase::Skipped,
            Role::Compensatable | Role::ReadOnly => Phase::Succeeded,
            Role::Pivot => Phase::Failed,
            Role::Retriable => Phase::Pending,
        };
        record
    });
    let failure = Failure { step: None, reason: Reason::Cancelled, message: String::new(), http_status: None };
    Stored {
        start_time: Some(Timestamp::UNIX_EPOCH),
        revision: Some("plan".to_owned()),
        failure: Some(failure),
        steps: steps.collect(),
        fence: Fence(1),
        holder: Some(Holder::new("plan")),
        ..Stored::default()
    }
}

fn played(shape: &SagaDefinitionSpec, stored: Stored, cast: Cast<'_>) -> Option<Rehearsal> {
    let identity = Identity { namespace: String::new(), name: "plan".to_owned(), uid: "plan".to_owned() };
    let wishes = Wishes { generation: 1, ..Wishes::default() };
    let now = Now::new(Timestamp::UNIX_EPOCH, Monotonic::default());
    let input = Value::Object(serde_json::Map::new());
    let mut rehearsal = Rehearsal::new((Arc::new(identity), input, wishes), (shape, "plan"), stored, now).ok()?;
    rehearsal.play(cast);
    Some(rehearsal)
}

fn groups(rehearsal: &Rehearsal, direction: Direction) -> Vec<Vec<usize>> {
    let mut groups: Vec<(Duration, Vec<usize>)> = Vec::new();
    for sent in rehearsal.sent.iter().filter(|sent| sent.intent.call.direction == direction) {
        match groups.last_mut() {
            Some((at, steps)) if *at == sent.at => steps.push(sent.intent.call.step),
            Some(_) | None => groups.push((sent.at, vec![sent.intent.call.step])),
        }
    }
    groups.into_iter().map(|(_, steps)| steps).collect()
}
