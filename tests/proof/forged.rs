//! Evidence that must not pass: a judge is believed only after it has found every kind of breach.

use std::time::Duration;

use http::HeaderValue;
use serde_json::{Value, json};

use super::oracle::Evidence;

/// What is broken, how the judge names it, and how it is forged.
pub(crate) type Forgery = (&'static str, &'static str, fn(&mut Evidence));

/// For a run of four steps that was undone, whose operator was
/// killed after `reserve` was asked for the first time.
pub(crate) const FORGERIES: [Forgery; 19] = [
    ("a request is sent twice for one intent", "I1", |evidence| evidence.wire.push(evidence.wire[0].clone())),
    ("a request has a fence that nobody stored", "I1", |evidence| {
        evidence.wire[0].headers.insert("saga-fence", HeaderValue::from_static("99"));
    }),
    ("a request leaves before its intent is stored", "I1", |evidence| {
        evidence.wire[0].asked = evidence.api[0].asked;
    }),
    ("a process sends what another one stored", "I1", |evidence| {
        evidence.replaced = vec![evidence.wire[0].asked.checked_sub(Duration::from_nanos(1)).expect("a time")];
    }),
    ("an outcome changes", "I2", |evidence| last(evidence)["steps"][0]["state"] = json!("Failed")),
    ("an undone step is to be undone again", "I2", |evidence| {
        last(evidence)["steps"][1]["compensation"]["state"] = json!("Running");
    }),
    ("an action is stored after the run turned", "I3", |evidence| {
        let status = &mut evidence
            .states
            .iter_mut()
            .find(|state| !state["status"]["failure"].is_null())
            .expect("turned")["status"];
        let call =
            json!({"step": "restock", "direction": "Forward", "attempt": 2, "fence": status["journal"]["fence"]});
        status["journal"]["inFlight"].as_array_mut().expect("calls").push(call);
    }),
    ("an action is sent after the run turned", "I3", |evidence| {
        let late = evidence.wire.last().expect("requests").asked;
        let mut forward = evidence.wire.iter_mut().filter(|seen| seen.header("saga-direction") == Some("forward"));
        forward.next().expect("one").asked = late;
    }),
    ("a step is undone before the one that depends on it", "I4", |evidence| {
        let steps = begun(evidence, "reserve");
        steps[1]["compensation"]["state"] = json!("Running");
    }),
    ("a step is undone while one that depends on it is under way", "I4", |evidence| {
        begun(evidence, "charge")[2]["state"] = json!("Running");
    }),
    ("a step that was never begun is undone", "I4", |evidence| {
        begun(evidence, "reserve")[0]["state"] = json!("Pending")
    }),
    ("a fence goes back", "I5", |evidence| last(evidence)["journal"]["fence"] = json!(1)),
    ("an intent has another fence than its write", "I5", |evidence| {
        let open = evidence.states.iter_mut().find(|state| state["status"]["journal"]["inFlight"][0].is_object());
        open.expect("an intent")["status"]["journal"]["inFlight"][0]["fence"] = json!(77);
    }),
    ("an effect is there twice", "I6", |evidence| evidence.effects[0].times = 2),
    ("the end is not the end", "I7", |evidence| last(evidence)["failure"]["reason"] = json!("Cancelled")),
    ("a request is sent after the end", "I7", |evidence| {
        let request = evidence.wire.last_mut().expect("requests");
        request.asked += Duration::from_secs(3600);
    }),
    ("a key comes with another body", "I8", |evidence| evidence.wire[0].body = "{}".into()),
    ("a key comes with another header", "I8", |evidence| {
        evidence.wire[0].headers.insert("accept", HeaderValue::from_static("nothing"));
    }),
    ("a state is missing", "is not in the history", |evidence| drop(evidence.states.remove(2))),
];

/// The same for a diamond that succeeded.
pub(crate) const OF_A_DIAMOND: [Forgery; 3] = [
    ("a step begins before one that it depends on is done", "order", |evidence| {
        begun_in(evidence, "dispatch", "Forward")[2]["state"] = json!("Running");
    }),
    ("the run turns while its Pivot is open", "commit", |evidence| {
        let open = evidence.states.iter_mut().find(|state| state["status"]["steps"][3]["state"] == "Running");
        open.expect("open")["status"]["failure"] = json!({"reason": "Cancelled"});
    }),
    ("the run turns although its Pivot is through", "commit", |evidence| {
        last(evidence)["failure"] = json!({"reason": "Cancelled"});
    }),
];

/// The same for a trip that was confirmed.
pub(crate) const OF_A_TRIP: [Forgery; 3] = [
    ("a step is confirmed before all were tried", "commit", |evidence| {
        begun_in(evidence, "seat", "Confirm")[2]["state"] = json!("Running");
    }),
    ("a step is confirmed before one that it depends on", "commit", |evidence| {
        begun_in(evidence, "car", "Confirm")[0]["confirm"]["state"] = json!("Running");
    }),
    ("a step is confirmed although the run turned", "commit", |evidence| {
        evidence.states.iter_mut().for_each(|state| state["status"]["failure"] = json!({"reason": "Cancelled"}));
    }),
];

/// The last status.
fn last(evidence: &mut Evidence) -> &mut Value {
    &mut evidence.states.last_mut().expect("states")["status"]
}

/// The steps in the first state in which the compensation of a step is under way.
fn begun<'a>(evidence: &'a mut Evidence, step: &str) -> &'a mut Value {
    begun_in(evidence, step, "Compensate")
}

/// The steps in the first state in which a call is under way.
fn begun_in<'a>(evidence: &'a mut Evidence, step: &str, direction: &str) -> &'a mut Value {
    let begun = |state: &&mut Value| {
        let calls = state["status"]["journal"]["inFlight"].as_array().cloned().unwrap_or_default();
        calls.iter().any(|call| call["step"] == step && call["direction"] == direction)
    };
    &mut evidence.states.iter_mut().find(begun).expect("begun")["status"]["steps"]
}
