//! What a service remembers, and what it makes of a call. Pure: this is the part worth copying.

use std::collections::{HashMap, HashSet};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::call::{Call, Kind, Service};
use super::fault::FaultMode;

/// What a call changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Change {
    /// Nothing.
    None,
    /// The effect is there.
    Done,
    /// The effect is final.
    Confirmed,
    /// The effect is gone.
    Undone,
    /// There was no effect, and there will be none for that key.
    Prevented,
}

/// One request and what became of it; a line of the ledger.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Entry {
    /// From 1.
    pub number: u64,
    /// When it was decided.
    pub time: Timestamp,
    /// The request.
    #[serde(flatten)]
    pub call: Call,
    /// The answer's status code; with fault `hang` it was never sent.
    pub status: u16,
    /// The answer.
    pub answer: Value,
    /// What it changed.
    pub change: Change,
    /// Of a call that took effect.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub effect_id: Option<String>,
    /// The key was known: the first answer again.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub replay: bool,
    /// The misbehaviour it met.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fault: Option<FaultMode>,
}

/// An effect as it stands now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Effect {
    /// The service that has it.
    pub service: String,
    /// The key it was made under.
    pub key: String,
    /// `Saga-Run-UID` of the call.
    pub run_uid: Option<String>,
    /// `Saga-Step` of the call.
    pub step: Option<String>,
    /// What the service calls it.
    pub id: String,
    /// How it stands.
    pub state: EffectState,
    /// How often it was made: more than once is the accident that all this is about.
    pub times: u32,
}

/// How an effect stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum EffectState {
    /// There.
    Done,
    /// There for good.
    Confirmed,
    /// Gone.
    Undone,
}

#[derive(Clone, Debug)]
struct Remembered {
    status: u16,
    answer: Value,
    digest: String,
}

type ServiceAndKey = (String, String);

/// All services' memory.
#[derive(Debug, Default)]
pub(super) struct State {
    last: u64,
    /// P1: the first final answer of each key.
    answers: HashMap<ServiceAndKey, Remembered>,
    /// P3: the highest fence seen of each run and step.
    fences: HashMap<(String, String), u64>,
    /// P4: keys undone before they were done.
    prevented: HashSet<ServiceAndKey>,
    effects: HashMap<ServiceAndKey, Effect>,
    /// In the order they were made.
    order: Vec<ServiceAndKey>,
}

impl State {
    /// What becomes of `call` at `now`; changes nothing yet.
    pub(super) fn decide(&self, service: &Service, call: Call, fault: Option<FaultMode>, now: Timestamp) -> Entry {
        let number = self.last + 1;
        let (status, answer, change, replay) = self.judge(service, &call, fault, number, now);
        let effect_id = (change == Change::Done).then(|| effect_id(service, number));
        Entry { number, time: now, call, status, answer, change, effect_id, replay, fault }
    }

    fn judge(
        &self,
        service: &Service,
        call: &Call,
        fault: Option<FaultMode>,
        number: u64,
        now: Timestamp,
    ) -> (u16, Value, Change, bool) {
        let refuse = |status, error: &str| (status, json!({ "error": error }), Change::None, false);
        match fault {
            Some(FaultMode::Down) => return refuse(503, "down"),
            Some(FaultMode::Error) => return refuse(500, "broken"),
            Some(FaultMode::Reject | FaultMode::Hang | FaultMode::Slow) | None => {}
        }
        if service.kind == Kind::Read {
            // Reading again is reading again: nothing is remembered, and an old decision may look.
            return match fault {
                Some(FaultMode::Reject) => refuse(422, "refused"),
                Some(FaultMode::Hang | FaultMode::Slow | FaultMode::Down | FaultMode::Error) | None => {
                    (200, json!({}), Change::None, false)
                }
            };
        }
        let Some(key) = &call.key else { return refuse(400, "the Idempotency-Key header is missing") };
        let known = self.answers.get(&(call.service.clone(), key.clone()));
        // P1, before everything else: the first answer stands, whatever happened since.
        if let Some(known) = known {
            if known.digest != call.digest {
                return refuse(422, "this Idempotency-Key came with another body before");
            }
            return (known.status, known.answer.clone(), Change::None, true);
        }
        // P3.
        if call.is_forward() && self.fence_seen(call) > call.fence {
            return refuse(409, "a later decision of this run's step was seen: the call is too old");
        }
        // P6.
        if call.deadline.is_some_and(|deadline| deadline < now) {
            return refuse(408, "the Saga-Deadline has passed");
        }
        if fault == Some(FaultMode::Reject) {
            return refuse(422, "refused");
        }
        match (service.kind, &call.forward_key) {
            (Kind::Do, _) if self.prevented.contains(&(call.service.clone(), key.clone())) => {
                refuse(410, "this key was undone before it was done")
            }
            (Kind::Do, _) => match unacceptable(service, &call.body) {
                Some((status, reason)) => refuse(status, reason),
                None => (201, json!({ "id": effect_id(service, number) }), Change::Done, false),
            },
            (Kind::Confirm | Kind::Undo, None) => refuse(400, "the body needs the \"key\" of what is meant"),
            (Kind::Confirm, Some(forward)) => match self.effect(call, forward) {
                Some(Effect { state: EffectState::Done | EffectState::Confirmed, id, .. }) => {
                    (200, json!({ "id": id, "state": "confirmed" }), Change::Confirmed, false)
                }
                Some(Effect { state: EffectState::Undone, .. }) | None => refuse(422, "there is nothing to confirm"),
            },
            (Kind::Undo, Some(forward)) => match self.effect(call, forward) {
                Some(effect) => (200, json!({ "id": effect.id, "state": "undone" }), Change::Undone, false),
                // P4: success, and a late forward call finds the door closed.
                None => (200, json!({ "state": "nothing to undo" }), Change::Prevented, false),
            },
            (Kind::Read, _) => (200, json!({}), Change::None, false), // above
        }
    }

    /// Makes `entry` true.
    pub(super) fn apply(&mut self, entry: &Entry) {
        self.last = self.last.max(entry.number);
        let call = &entry.call;
        if matches!(entry.fault, Some(FaultMode::Down | FaultMode::Error)) || call.kind == Kind::Read {
            return;
        }
        if let (Some(run), Some(step), Some(fence)) = (&call.run_uid, &call.step, call.fence) {
            let seen = self.fences.entry((run.clone(), step.clone())).or_default();
            *seen = fence.max(*seen);
        }
        let Some(key) = &call.key else { return };
        let place = (call.service.clone(), key.clone());
        let final_answer = !matches!(entry.status, 408 | 409 | 425 | 429 | 500..);
        if final_answer && !entry.replay {
            let (status, answer, digest) = (entry.status, entry.answer.clone(), call.digest.clone());
            self.answers.entry(place.clone()).or_insert(Remembered { status, answer, digest });
        }
        let forward = call.forward_key.as_ref().map(|forward| (call.service.clone(), forward.clone()));
        match (entry.change, forward) {
            (Change::Done, _) => self.take_effect(place, entry),
            (Change::Confirmed, Some(forward)) => self.set(&forward, EffectState::Confirmed),
            (Change::Undone, Some(forward)) => self.set(&forward, EffectState::Undone),
            (Change::Prevented, Some(forward)) => drop(self.prevented.insert(forward)),
            (Change::Confirmed | Change::Undone | Change::Prevented, None) | (Change::None, _) => {}
        }
    }

    /// All effects, in the order they were made.
    pub(super) fn effects(&self) -> impl Iterator<Item = &Effect> {
        self.order.iter().filter_map(|place| self.effects.get(place))
    }

    fn take_effect(&mut self, place: ServiceAndKey, entry: &Entry) {
        if let Some(effect) = self.effects.get_mut(&place) {
            effect.times += 1;
            effect.state = EffectState::Done;
            return;
        }
        let effect = Effect {
            service: place.0.clone(),
            key: place.1.clone(),
            run_uid: entry.call.run_uid.clone(),
            step: entry.call.step.clone(),
            id: entry.effect_id.clone().unwrap_or_default(),
            state: EffectState::Done,
            times: 1,
        };
        self.order.push(place.clone());
        self.effects.insert(place, effect);
    }

    fn set(&mut self, place: &ServiceAndKey, state: EffectState) {
        if let Some(effect) = self.effects.get_mut(place) {
            effect.state = state;
        }
    }

    fn effect(&self, call: &Call, forward_key: &str) -> Option<&Effect> {
        self.effects.get(&(call.service.clone(), forward_key.to_owned()))
    }

    fn fence_seen(&self, call: &Call) -> Option<u64> {
        let (run, step) = (call.run_uid.clone()?, call.step.clone()?);
        call.fence?;
        self.fences.get(&(run, step)).copied()
    }
}

fn effect_id(service: &Service, number: u64) -> String {
    format!("{}-{number}", service.noun)
}

/// What the services refuse for what is asked.
fn unacceptable(service: &Service, body: &Value) -> Option<(u16, &'static str)> {
    let above = |field: &str, limit: f64| body.get(field).and_then(Value::as_f64).is_some_and(|value| value > limit);
    match service.name {
        "inventory" if above("quantity", 100.0) => Some((422, "out of stock: no more than 100")),
        "payment" if above("amount", 1000.0) => Some((402, "declined: the amount is above 1000")),
        "shipping" if body.get("address").and_then(Value::as_str) == Some("nowhere") => {
            Some((422, "no such address: nowhere"))
        }
        _ => None,
    }
}
