//! Definitions, plans and answers that tests share.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::api::run::{Direction, EndPolicy, InterventionAction};
use crate::api::{Reason, SagaDefinitionSpec};
use crate::saga::{
    Answer, CallId, Cancellation, Definition, Event, Fence, Holder, Identity, Intervention, Monotonic, Now, Owner,
    Plan, Problem, Response, State, Tenure, Transition, Unready, Wishes, step,
};

/// Three compensatable steps and a read, each with something to tell.
pub const ORDER: &str = include_str!("golden/order.yaml");

/// Branches, a Pivot, a confirm and steps that must follow.
pub const TRIP: &str = include_str!("golden/trip.yaml");

/// A plan of [`TRIP`].
pub fn trip() -> Plan {
    plan(Ok(definition(TRIP)), "a", Tenure::Exclusive)
}

/// A run of [`TRIP`] in which everything is tried and nothing is confirmed.
pub fn confirming(plan: &Plan) -> State {
    let mut state = land(plan, &State::default(), &[wished()], at(0)).state;
    for (millis, step) in [(100, 0), (200, 1), (300, 2), (400, 3), (500, 4)] {
        let event = answered(&state, CallId::forward(step), http(200, json!({"id": "h-1", "number": "t-1"})));
        state = land(plan, &state, &[event], at(millis)).state;
    }
    state
}

/// A run of [`TRIP`] whose Pivot is on the wire.
pub fn paying(plan: &Plan) -> State {
    let mut state = land(plan, &State::default(), &[wished()], at(0)).state;
    for (millis, step) in [(100, 0), (200, 1)] {
        let event = answered(&state, CallId::forward(step), http(200, json!({"id": "h-1"})));
        state = land(plan, &state, &[event], at(millis)).state;
    }
    state
}

/// A run of [`TRIP`] past its commit point.
pub fn paid(plan: &Plan) -> State {
    let state = paying(plan);
    let event = answered(&state, CallId::forward(2), http(200, Value::Null));
    land(plan, &state, &[event], at(300)).state
}

/// Parses a definition.
pub fn spec(yaml: &str) -> SagaDefinitionSpec {
    serde_saphyr::from_str(yaml).unwrap()
}

/// Compiles a definition.
pub fn compile(yaml: &str) -> Result<Definition, Vec<Problem>> {
    Definition::compile(&spec(yaml), "order-1")
}

/// A definition that compiles.
pub fn definition(yaml: &str) -> Arc<Definition> {
    Arc::new(compile(yaml).unwrap_or_else(|problems| panic!("{problems:?}")))
}

pub fn identity() -> Arc<Identity> {
    Arc::new(Identity { namespace: "shop".into(), name: "order-7".into(), uid: "u-7".into() })
}

pub fn input() -> Value {
    json!({"orderId": "o-7", "amount": 30, "gift": false})
}

/// A plan of the process `holder`.
pub fn plan(definition: Result<Arc<Definition>, Unready>, holder: &str, tenure: Tenure) -> Plan {
    Plan {
        run: identity(),
        definition_name: "order".into(),
        input: Arc::new(input()),
        definition,
        owner: Owner { id: Holder::new(holder), tenure },
    }
}

/// The plan of most tests.
pub fn order() -> Plan {
    plan(Ok(definition(ORDER)), "a", Tenure::Exclusive)
}

/// So long after the beginning.
pub fn at(millis: u64) -> Now {
    let zero: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
    let passed = Duration::from_millis(millis);
    Now::new(zero + passed, Monotonic(passed))
}

pub fn wishes() -> Wishes {
    Wishes { generation: 1, ..Wishes::default() }
}

pub fn wished() -> Event {
    Event::Wished(wishes())
}

/// An answer with a status and a JSON body.
pub fn http(status: u16, body: Value) -> Answer {
    Answer::Response(Response { status, headers: BTreeMap::new(), body, retry_after: None })
}

/// An answer with `Retry-After`.
pub fn http_after(status: u16, seconds: u64) -> Answer {
    let retry_after = Some(Duration::from_secs(seconds));
    Answer::Response(Response { status, headers: BTreeMap::new(), body: Value::Null, retry_after })
}

pub fn lost() -> Answer {
    Answer::Lost { reason: Reason::Timeout, message: "no answer in 10 s".into() }
}

pub fn not_sent(reason: Reason) -> Answer {
    Answer::NotSent { reason, message: "nothing was sent".into() }
}

/// What each action of [`ORDER`] needs to succeed.
pub fn ok() -> Answer {
    http(200, json!({"id": "x-1"}))
}

pub fn fence_of(state: &State, call: CallId) -> Fence {
    let found = state.stored.open_calls().find(|(id, ..)| *id == call);
    found.map(|(_, _, open)| open.fence).unwrap_or_else(|| panic!("{call:?} is not open"))
}

/// An answer to the open attempt of a call.
pub fn answered(state: &State, call: CallId, answer: Answer) -> Event {
    Event::Answered { call, fence: fence_of(state, call), answer }
}

/// An answer that accepts a call and says where to ask.
pub fn accepted(location: &str) -> Answer {
    let headers = [("location".to_owned(), location.to_owned())].into();
    Answer::Response(Response { status: 202, headers, body: Value::Null, retry_after: None })
}

/// What a look at a call in progress brought.
pub fn polled(state: &State, call: CallId, answer: Answer) -> Event {
    Event::Polled { call, fence: fence_of(state, call), answer }
}

/// Decides, and takes the write to have landed and its intents to have been sent.
pub fn land(plan: &Plan, state: &State, events: &[Event], now: Now) -> Transition {
    let mut transition = step(plan, state, events, now);
    if transition.changed {
        transition.state.landed(now);
    }
    let open: Vec<CallId> = transition.state.stored.open_calls().map(|(call, ..)| call).collect();
    for call in open {
        transition.state.sent(call);
    }
    transition
}

/// A run that was started and whose first `done` actions succeeded.
pub fn forward(plan: &Plan, done: usize) -> State {
    let mut state = land(plan, &State::default(), &[wished()], at(0)).state;
    for index in 0..done {
        let event = answered(&state, CallId::forward(index), ok());
        state = land(plan, &state, &[event], at(100 * (index as u64 + 1))).state;
    }
    state
}

/// A run that turned because the action after `done` others was refused.
pub fn turned(plan: &Plan, done: usize) -> State {
    let state = forward(plan, done);
    let event = answered(&state, CallId::forward(done), http(422, Value::Null));
    land(plan, &state, &[event], at(1000)).state
}

/// What users wish at a generation.
pub fn spec_of(generation: i64) -> Wishes {
    Wishes { generation, ..Wishes::default() }
}

/// A wish to undo the run.
pub fn cancelled(generation: i64) -> Event {
    ended(generation, EndPolicy::Compensate)
}

/// A wish to leave the run as it stands.
pub fn abandoned(generation: i64) -> Event {
    ended(generation, EndPolicy::Abandon)
}

fn ended(generation: i64, policy: EndPolicy) -> Event {
    let cancellation = Some(Cancellation { policy, reason: String::new() });
    Event::Wished(Wishes { cancellation, ..spec_of(generation) })
}

/// A wish that nothing new is sent.
pub fn suspended(generation: i64) -> Event {
    Event::Wished(Wishes { suspend: true, ..spec_of(generation) })
}

/// Decisions of people.
pub fn intervened(generation: i64, interventions: Vec<Intervention>) -> Event {
    Event::Wished(Wishes { interventions, ..spec_of(generation) })
}

/// A decision about a stalled call.
pub fn decision(id: &str, step: &str, direction: Direction, action: InterventionAction) -> Intervention {
    let (reason, requested_by) = ("looked at it".to_owned(), "jane".to_owned());
    Intervention { id: id.to_owned(), step: step.to_owned(), direction, action, reason, requested_by }
}
