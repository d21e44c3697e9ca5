//! What goes out: rendering through a compiled definition.

use std::sync::Arc;

use serde_json::{Value, json};

use super::fixtures::*;
use crate::api::Reason;
use crate::saga::state::Phase;
use crate::saga::{CallId, Effect, Event, Intent, Plan, State, Tenure, Transition, step};

fn sent(transition: &Transition) -> Vec<&Intent> {
    let intent = |effect: &'_ Effect| match effect {
        Effect::Send(_) => true,
        Effect::Withdraw(_) | Effect::Cut(_) | Effect::Poll(_) | Effect::PollAgain { .. } | Effect::Release => false,
    };
    let found = transition.effects.iter().filter(|effect| intent(effect));
    found.map(|effect| if let Effect::Send(intent) = effect { &**intent } else { unreachable!() }).collect()
}

/// Starts a run of one step with this action (and the rest of a step), with an input.
fn start(action: &str, input: Value) -> (Plan, Transition) {
    let yaml =
        format!("steps:\n- name: only\n  action: {action}\n  compensation: {{http: {{url: \"http://p.svc/undo\"}}}}\n");
    let mut plan = plan(Ok(definition(&yaml)), "a", Tenure::Exclusive);
    plan.input = Arc::new(input);
    let transition = step(&plan, &State::default(), &[wished()], at(0));
    (plan, transition)
}

fn failure(transition: &Transition) -> (Reason, String) {
    let failure = transition.state.stored.failure.clone().expect("the run turned");
    (failure.reason, failure.message)
}

#[test]
fn a_value_in_a_url_is_encoded_and_stays_in_its_segment() {
    let (_, transition) = start(
        r#"{http: {url: "http://p.svc/orders/${input.id}?q=${input.q}"}}"#,
        json!({"id": "a/b?c#d", "q": "x&y=z"}),
    );
    assert_eq!(sent(&transition)[0].request.url, "http://p.svc/orders/a%2Fb%3Fc%23d?q=x%26y%3Dz");
}

#[test]
fn a_body_keeps_the_types_of_values_and_sorts_its_keys() {
    let body = r#"{http: {url: "http://p.svc/x", body: {z: "${input.n}", a: "n=${input.n}", l: ["${input.list}"], s: "$${x}"}}}"#;
    let (_, transition) = start(body, json!({"n": 5, "list": [1, null]}));
    let body = sent(&transition)[0].request.body.clone().unwrap();
    assert_eq!(String::from_utf8(body).unwrap(), r#"{"a":"n=5","l":[[1,null]],"s":"${x}","z":5}"#);
}

#[test]
fn a_body_of_null_is_a_document_and_no_body_is_none() {
    let (_, transition) = start(r#"{http: {url: "http://p.svc/x", body: "${null}"}}"#, json!({}));
    assert_eq!(sent(&transition)[0].request.body.as_deref(), Some(b"null".as_slice()));
    let (_, transition) = start(r#"{http: {url: "http://p.svc/x"}}"#, json!({}));
    assert_eq!(sent(&transition)[0].request.body, None);
}

#[test]
fn a_header_with_a_line_break_or_beyond_ascii_is_refused() {
    let action = r#"{http: {url: "http://p.svc/x", headers: [{name: X-Note, value: "${input.note}"}]}}"#;
    for note in ["a\r\nEvil: 1", "a\u{0}", "ä", "\u{7f}"] {
        let (_, transition) = start(action, json!({"note": note}));
        let (reason, message) = failure(&transition);
        assert_eq!(reason, Reason::ExpressionError);
        assert!(message.contains("X-Note") && !message.contains("Evil"), "{message}");
        assert!(sent(&transition).is_empty());
    }
    let (_, transition) = start(action, json!({"note": "plain text, 100%"}));
    assert_eq!(sent(&transition).len(), 1);
}

#[test]
fn a_body_above_64_kib_is_not_sent() {
    let action = r#"{http: {url: "http://p.svc/x", body: ["${input.a}", "${input.a}"]}}"#;
    let (_, transition) = start(action, json!({"a": "x".repeat(40_000)}));
    assert_eq!(failure(&transition).0, Reason::Unrenderable);
    assert_eq!(transition.state.stored.steps[0].forward.phase, Phase::Failed);
}

#[test]
fn a_run_that_cannot_send_its_first_request_ends_at_once() {
    let (_, transition) = start(r#"{http: {url: "http://p.svc/${input.missing}"}}"#, json!({}));
    assert_eq!(transition.state.stored.end, Some(crate::saga::End::Compensated));
    assert_eq!(failure(&transition).0, Reason::ExpressionError);
}

#[test]
fn expressions_see_the_run_and_the_call() {
    let action = r#"{http: {url: "http://p.svc/x", body: {r: "${run.namespace}/${run.name}/${run.uid}", t: "${run.startTime}", k: "${call.key}", d: "${call.direction}"}}}"#;
    let (_, transition) = start(action, json!({}));
    let body: Value = serde_json::from_slice(sent(&transition)[0].request.body.as_ref().unwrap()).unwrap();
    let expected =
        json!({"r": "shop/order-7/u-7", "t": "2026-01-01T00:00:00Z", "k": "u-7/only/forward", "d": "forward"});
    assert_eq!(body, expected);
}

#[test]
fn a_request_that_would_differ_under_the_same_key_is_not_sent() {
    let (mut plan, first) = start(r#"{http: {url: "http://p.svc/${input.id}"}}"#, json!({"id": 1}));
    let mut state = first.state;
    state.landed(at(0));
    state.sent(CallId::forward(0));
    plan.input = Arc::new(json!({"id": 2}));
    let event = answered(&state, CallId::forward(0), http(500, Value::Null));
    let transition = step(&plan, &state, &[event], at(10));
    assert_eq!(failure(&transition).0, Reason::Unrenderable);
    assert_eq!(transition.state.stored.steps[0].forward.phase, Phase::Unknown, "its first attempt is in doubt");
}

#[test]
fn a_skipped_step_has_null_outputs() {
    let yaml = r#"
steps:
- {name: maybe, role: ReadOnly, when: "${false}", action: {http: {url: "http://p.svc/a"}}, outputs: [{name: id, value: "x"}]}
- {name: after, role: ReadOnly, action: {http: {url: "http://p.svc/b", body: ["${steps.maybe.outputs.id}"]}}}
"#;
    let plan = plan(Ok(definition(yaml)), "a", Tenure::Exclusive);
    let transition = step(&plan, &State::default(), &[wished()], at(0));
    assert_eq!(sent(&transition)[0].request.body.as_deref(), Some(b"[null]".as_slice()));
}

#[test]
fn a_rule_that_fails_asks_again_and_says_why() {
    let action =
        r#"{http: {url: "http://p.svc/x"}, responses: [{when: "${response.body.state == 'no'}", outcome: Rejected}]}"#;
    let (plan, first) = start(action, json!({}));
    let mut state = first.state;
    state.landed(at(0));
    let answer = |body| answered(&state, CallId::forward(0), http(200, body));
    let call = |event: Event| step(&plan, &state, &[event], at(10)).state.stored.steps[0].forward.clone();
    let failed = call(answer(json!({})));
    assert_eq!((failed.phase, failed.reason), (Phase::Waiting, Some(Reason::ExpressionError)));
    assert_eq!(failed.doubtful, 1);
    let refused = call(answer(json!({"state": "no"})));
    assert_eq!((refused.phase, refused.doubtful), (Phase::Failed, 0), "a rule's Rejected says: no effect");
    assert_eq!(call(answer(json!({"state": "yes"}))).phase, Phase::Succeeded);
}
