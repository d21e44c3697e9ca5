//! Sentences of the semantics whose breach nothing else would notice: each is named by a wrong edit in `seeded/`.

mod decisions;
mod order;
mod pivot;
mod takeover;

use serde_json::json;

use super::fixtures::*;
use crate::api::run::{EndPolicy, InterventionAction};
use crate::saga::{
    CallId, CallRecord, Cancellation, Effect, Event, Intent, Intervention, Mode, Plan, Polling, State, Tenure,
    Transition, Wishes,
};

/// A plan of some steps, of a process that is the only one.
fn saga(yaml: &str) -> Plan {
    plan(Ok(definition(yaml)), "a", Tenure::Exclusive)
}

/// The same run in the hands of another process.
fn by(plan: &Plan, holder: &str, tenure: Tenure) -> Plan {
    Plan { owner: crate::saga::Owner { id: crate::saga::Holder::new(holder), tenure }, ..plan.clone() }
}

/// What a fresh process knows of a stored run that it read at a moment.
fn fresh(state: &State, millis: u64) -> State {
    let mut fresh = State::default();
    fresh.observe(state.stored.clone(), at(millis));
    fresh
}

/// A run that has begun.
fn begun(plan: &Plan) -> State {
    land(plan, &State::default(), &[wished()], at(0)).state
}

/// The run after these actions succeeded, one after the other.
fn done(plan: &Plan, steps: &[usize]) -> State {
    steps.iter().fold(begun(plan), |state, step| {
        let event = answered(&state, CallId::forward(*step), http(200, json!({"id": "x-1", "number": "n-1"})));
        land(plan, &state, &[event], at(100)).state
    })
}

/// The run after one more answer.
fn after(plan: &Plan, state: &State, call: CallId, answer: crate::saga::Answer) -> Transition {
    land(plan, state, &[answered(state, call, answer)], at(200))
}

fn intents(transition: &Transition) -> Vec<&Intent> {
    fn intent(effect: &Effect) -> Option<&Intent> {
        match effect {
            Effect::Send(intent) => Some(intent),
            Effect::Withdraw(_) | Effect::Cut(_) | Effect::Poll(_) | Effect::PollAgain { .. } | Effect::Release => None,
        }
    }
    transition.effects.iter().filter_map(intent).collect()
}

fn polls(transition: &Transition) -> Vec<&Polling> {
    fn polling(effect: &Effect) -> Option<&Polling> {
        match effect {
            Effect::Poll(polling) => Some(polling),
            Effect::Withdraw(_) | Effect::Cut(_) | Effect::Send(_) | Effect::PollAgain { .. } | Effect::Release => None,
        }
    }
    transition.effects.iter().filter_map(polling).collect()
}

/// Which calls are sent.
fn sends(transition: &Transition) -> Vec<CallId> {
    intents(transition).iter().map(|intent| intent.call).collect()
}

fn record(state: &State, call: CallId) -> CallRecord {
    state.stored.steps[call.step].call(call.direction).cloned().unwrap_or_default()
}

fn wish(generation: i64, change: impl FnOnce(&mut Wishes)) -> Event {
    let mut wishes = spec_of(generation);
    change(&mut wishes);
    Event::Wished(wishes)
}

fn cancel(policy: EndPolicy) -> Event {
    wish(2, |wishes| wishes.cancellation = Some(Cancellation { policy, reason: String::new() }))
}

fn decision(id: &str, step: &str, call: CallId, action: InterventionAction) -> Intervention {
    Intervention {
        id: id.to_owned(),
        step: step.to_owned(),
        direction: call.direction,
        action,
        reason: "seen by a person".to_owned(),
        requested_by: "ann".to_owned(),
    }
}
