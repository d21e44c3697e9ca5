//! What a service remembers, and what it makes of a call. Pure: this is the part worth copying.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::call::{Call, Kind, Service};
use super::fault::{Fault, FaultMode};
use super::operation::{self, Operations};

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
    /// Nothing yet; it will be changed when the work is done, which is an entry of its own.
    Accepted,
}

/// One request and what became of it, or the end of work that was accepted before; a line of the ledger.
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
    /// The work that it began, asked for or ended: its name at `/operations/`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operation: Option<String>,
    /// Of accepted work: when it is done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due: Option<Timestamp>,
    /// No request: the work of the call is done now.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub finish: bool,
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
    operations: Operations,
    /// In the order they were made.
    order: Vec<ServiceAndKey>,
}

/// What becomes of a request.
struct Judgement {
    status: u16,
    answer: Value,
    change: Change,
    replay: bool,
    operation: Option<String>,
}

impl Judgement {
    fn new(status: u16, answer: Value, change: Change) -> Self {
        Self { status, answer, change, replay: false, operation: None }
    }

    fn refuse(status: u16, error: &str) -> Self {
        Self::new(status, json!({ "error": error }), Change::None)
    }

    fn working(operation: String, change: Change) -> Self {
        let answer = json!({ "operation": operation, "state": "working" });
        Self { operation: Some(operation), ..Self::new(202, answer, change) }
    }
}

impl State {
    /// What becomes of `call` at `now`; changes nothing yet.
    pub(super) fn decide(&self, service: &Service, call: Call, fault: Option<&Fault>, now: Timestamp) -> Entry {
        let number = self.last + 1;
        let mode = fault.map(|fault| fault.mode);
        let mut judged = self.judge(service, &call, mode, now);
        let due = self.takes_until(&call, &judged, fault, now);
        if due.is_some() {
            judged = Judgement::working(operation::name(number), Change::Accepted);
        }
        let effect_id = (judged.change == Change::Done).then(|| effect_id(service, number));
        let Judgement { status, answer, change, replay, operation } = judged;
        Entry {
            number,
            time: now,
            call,
            status,
            answer,
            change,
            effect_id,
            replay,
            fault: mode,
            operation,
            due,
            finish: false,
        }
    }

    /// The end of the work that is due at `now`, the one accepted first; changes nothing yet.
    pub(super) fn finish(&self, now: Timestamp) -> Option<Entry> {
        let (accepted, operation) = self.operations.due(now)?;
        let service = operation.call.service()?;
        let Judgement { status, answer, change, .. } = self.perform(service, &operation.call, accepted);
        Some(Entry {
            number: self.last + 1,
            time: operation.due,
            call: operation.call.clone(),
            status,
            answer,
            change,
            effect_id: (change == Change::Done).then(|| effect_id(service, accepted)),
            replay: false,
            fault: None,
            operation: Some(operation::name(accepted)),
            due: None,
            finish: true,
        })
    }

    /// Until when a change that could be made at once takes, if it takes long.
    fn takes_until(&self, call: &Call, judged: &Judgement, fault: Option<&Fault>, now: Timestamp) -> Option<Timestamp> {
        let changes = !judged.replay && !matches!(judged.change, Change::None | Change::Accepted);
        let slow = fault.filter(|fault| fault.mode == FaultMode::Async).map(Fault::wait);
        // An undo of what is not done yet has to wait for it.
        let before = self.meant(call).and_then(|(service, key)| self.operations.working(service, key));
        if !changes || (slow.is_none() && before.is_none()) {
            return None;
        }
        let begin = before.map_or(now, |(_, operation)| operation.due.max(now));
        Some(begin.checked_add(slow.unwrap_or(Duration::ZERO)).unwrap_or(begin))
    }

    fn judge(&self, service: &Service, call: &Call, fault: Option<FaultMode>, now: Timestamp) -> Judgement {
        let refuse = Judgement::refuse;
        match fault {
            Some(FaultMode::Down) => return refuse(503, "down"),
            Some(FaultMode::Error) => return refuse(500, "broken"),
            Some(FaultMode::Reject | FaultMode::Hang | FaultMode::Slow | FaultMode::Async) | None => {}
        }
        match service.kind {
            // Reading again is reading again: nothing is remembered, and an old decision may look.
            Kind::Read if fault == Some(FaultMode::Reject) => return refuse(422, "refused"),
            Kind::Read => return Judgement::new(200, json!({}), Change::None),
            Kind::Look => return self.look(call),
            Kind::Do | Kind::Confirm | Kind::Undo => {}
        }
        let Some(key) = &call.key else { return refuse(400, "the Idempotency-Key header is missing") };
        let known = self.answers.get(&(call.service.clone(), key.clone()));
        // P1, before everything else: the first answer stands, whatever happened since.
        if let Some(known) = known {
            if known.digest != call.digest {
                return refuse(422, "this Idempotency-Key came with another body before");
            }
            return Judgement { replay: true, ..Judgement::new(known.status, known.answer.clone(), Change::None) };
        }
        // P2: the work has begun, and is asked for at the same place.
        if let Some((accepted, _)) = self.operations.working(&call.service, key) {
            return Judgement { replay: true, ..Judgement::working(operation::name(accepted), Change::None) };
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
        match unacceptable(service, &call.body) {
            Some((status, reason)) => refuse(status, reason),
            None => self.perform(service, call, self.last + 1),
        }
    }

    /// Does what is asked. `number` names a new effect.
    fn perform(&self, service: &Service, call: &Call, number: u64) -> Judgement {
        let refuse = Judgement::refuse;
        let done = |answer, change| Judgement::new(200, answer, change);
        let effect = self.meant(call).map(|(_, key)| self.effect(call, key));
        match (service.kind, effect) {
            (Kind::Do, _) if self.is_prevented(call) => refuse(410, "this key was undone before it was done"),
            (Kind::Do, _) => Judgement::new(201, json!({ "id": effect_id(service, number) }), Change::Done),
            (Kind::Confirm | Kind::Undo, None) => refuse(400, "the body needs the \"key\" of what is meant"),
            (Kind::Confirm, Some(Some(effect))) if effect.state != EffectState::Undone => {
                done(json!({ "id": effect.id, "state": "confirmed" }), Change::Confirmed)
            }
            (Kind::Confirm, Some(_)) => refuse(422, "there is nothing to confirm"),
            (Kind::Undo, Some(Some(effect))) if effect.state == EffectState::Confirmed => {
                refuse(422, "it is final: nothing final is undone")
            }
            (Kind::Undo, Some(Some(effect))) => done(json!({ "id": effect.id, "state": "undone" }), Change::Undone),
            // P4: success, and a late forward call finds the door closed.
            (Kind::Undo, Some(None)) => done(json!({ "state": "nothing to undo" }), Change::Prevented),
            (Kind::Read | Kind::Look, _) => done(json!({}), Change::None), // above
        }
    }

    /// How far work is. Once it is done, its answer; work that could not be done says so in a 200, because a refusal of a
    /// question would be taken for a disturbance.
    fn look(&self, call: &Call) -> Judgement {
        let name = call.path.rsplit('/').next().unwrap_or_default();
        let Some(operation) = self.operations.get(name) else { return Judgement::refuse(404, "no such operation") };
        let judged = match &operation.answer {
            None => Judgement::working(name.to_owned(), Change::None),
            Some((200..300, answer)) => Judgement::new(200, answer.clone(), Change::None),
            Some((_, answer)) => {
                Judgement::new(200, json!({ "state": "failed", "error": answer["error"] }), Change::None)
            }
        };
        Judgement { operation: Some(name.to_owned()), ..judged }
    }

    /// Makes `entry` true.
    pub(super) fn apply(&mut self, entry: &Entry) {
        self.last = self.last.max(entry.number);
        let call = &entry.call;
        if matches!(entry.fault, Some(FaultMode::Down | FaultMode::Error))
            || matches!(call.kind, Kind::Read | Kind::Look)
        {
            return;
        }
        self.operations.apply(entry);
        if let (Some(run), Some(step), Some(fence)) = (&call.run_uid, &call.step, call.fence) {
            let seen = self.fences.entry((run.clone(), step.clone())).or_default();
            *seen = fence.max(*seen);
        }
        let Some(key) = &call.key else { return };
        let place = (call.service.clone(), key.clone());
        let final_answer = !matches!(entry.status, 202 | 408 | 409 | 425 | 429 | 500..);
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
            (Change::Confirmed | Change::Undone | Change::Prevented, None) | (Change::None | Change::Accepted, _) => {}
        }
    }

    /// The service that was asked for the work called `operation`.
    pub(super) fn service_of(&self, operation: &str) -> Option<&str> {
        self.operations.get(operation).map(|operation| operation.call.service.as_str())
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

    /// Of a Confirm or Undo: what is meant, by service and key.
    fn meant<'a>(&self, call: &'a Call) -> Option<(&'a str, &'a str)> {
        Some((&call.service, call.forward_key.as_deref()?))
    }

    fn effect(&self, call: &Call, forward_key: &str) -> Option<&Effect> {
        self.effects.get(&(call.service.clone(), forward_key.to_owned()))
    }

    fn is_prevented(&self, call: &Call) -> bool {
        let place = |key: &String| (call.service.clone(), key.clone());
        call.key.as_ref().is_some_and(|key| self.prevented.contains(&place(key)))
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
