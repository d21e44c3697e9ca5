//! What participants see on the wire, to the byte: the headers of the contract, and retries that differ in nothing else.

mod common;

use std::collections::BTreeSet;

use common::recorder::{Raw, Reaction, Recorder};
use common::shop::{Shop, eventually, retries, stands};
use kube::ResourceExt as _;
use serde_json::{Value, json};

/// Headers that may differ from attempt to attempt.
const MAY_DIFFER: [&str; 4] = ["saga-attempt", "saga-fence", "saga-deadline", "traceparent"];

/// Two steps: the first with everything that a request can have, the second refused by whom it asks.
fn saga(base: &str, timeout: u32) -> Value {
    let http = |url: String, body: Value| {
        json!({
            "method": "PUT", "url": url, "timeoutSeconds": timeout, "body": body,
            "headers": [
                {"name": "X-Tenant", "value": "${input.tenant}"},
                {"name": "x-odd-CASE", "value": "a  b; c=\"d\""},
            ],
        })
    };
    let body = json!({
        "zeta": 1, "alpha": ["${input.amount}", 1.5, true, "${null}"], "order": "${input.order}",
        "text": "für ${input.order} an ${run.name}", "deep": {"b": {"a": "${input.lines}"}},
    });
    json!({"steps": [
        {
            "name": "reserve",
            "action": {
                "http": http(format!("{base}/reservations/${{input.order}}?note=${{input.note}}"), body),
                "retryPolicy": retries(),
            },
            "compensation": {
                "http": http(format!("{base}/releases"), json!({"key": "${call.forwardKey}"})), "retryPolicy": retries(),
            },
        },
        {
            "name": "approve",
            "role": "ReadOnly",
            "action": {"http": {"method": "GET", "url": format!("{base}/approvals/${{input.order}}")}},
        },
    ]})
}

fn input() -> Value {
    json!({
        "tenant": "blue", "order": "4711/ä b", "amount": 9_007_199_254_740_991_i64, "note": "a&b=c?d#e",
        "lines": [{"sku": "teapot", "count": 2}],
    })
}

fn to<'a>(requests: &'a [Raw], path: &str) -> Vec<&'a Raw> {
    requests.iter().filter(|request| request.line.contains(path)).collect()
}

/// Answers of all kinds, then success.
fn moody(attempt: usize) -> Reaction {
    match attempt {
        1 => Reaction::Answer(503, "", "down"),
        2 => Reaction::Answer(429, "Retry-After: 0\r\n", ""),
        3 => Reaction::Close,
        4 => Reaction::Hang,
        5 => Reaction::Answer(409, "Retry-After: 0\r\n", ""),
        6 => Reaction::Answer(408, "", ""),
        _ => Reaction::Answer(200, "", "{}"),
    }
}

/// What must be the same in every attempt: the line, the headers in their order, the body.
fn constant(request: &Raw) -> (String, Vec<(String, String)>, String) {
    let headers = request.headers.iter().filter(|(name, _)| !MAY_DIFFER.contains(&name.to_lowercase().as_str()));
    (request.line.clone(), headers.cloned().collect(), String::from_utf8_lossy(&request.body).into_owned())
}

fn number(request: &Raw, header: &str) -> u64 {
    request.header(header).parse().expect("a number")
}

fn trace(request: &Raw) -> String {
    let parts: Vec<_> = request.header("traceparent").split('-').collect();
    let lengths: Vec<_> = parts.iter().map(|part| part.len()).collect();
    assert_eq!((parts[0], lengths), ("00", vec![2, 32, 16, 2]), "{parts:?}");
    parts[1].to_owned()
}

/// Fails unless the requests are attempts of one call.
fn are_attempts_of_one_call(requests: &[&Raw]) {
    let distinct: BTreeSet<_> = requests.iter().map(|request| constant(request)).collect();
    assert_eq!(distinct.len(), 1, "{distinct:#?}");
    let fences: Vec<_> = requests.iter().map(|request| number(request, "saga-fence")).collect();
    assert!(fences.is_sorted_by(|a, b| a < b), "{fences:?}");
    let attempts: Vec<_> = requests.iter().map(|request| number(request, "saga-attempt")).collect();
    assert!(attempts.is_sorted() && attempts[0] == 1, "{attempts:?}");
    let deadlines: Vec<jiff::Timestamp> =
        requests.iter().map(|request| request.header("saga-deadline").parse().expect("a time")).collect();
    assert!(deadlines.is_sorted(), "{deadlines:?}");
    assert_eq!(requests.iter().map(|request| trace(request)).collect::<BTreeSet<_>>().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn participants_see_the_headers_of_the_contract() {
    let shop = Shop::open("wire").await;
    let participant = Recorder::start(|requests| {
        let refused = requests.last().is_some_and(|request| request.line.contains("/approvals/"));
        if refused { Reaction::Answer(422, "", "no") } else { Reaction::Answer(201, "", "{}") }
    });
    let participant = participant.await;
    let operator = shop.operator();
    shop.define("order", saga(&participant.base_url(), 60)).await;
    shop.start("order-1", "order", input()).await;
    let run = shop.ended("order-1").await;
    assert_eq!(stands(&run), "Compensated");
    let requests = participant.requests();
    let lines: Vec<_> = requests.iter().map(|request| request.line.as_str()).collect();
    let expected = [
        "PUT /reservations/4711%2F%C3%A4%20b?note=a%26b%3Dc%3Fd%23e HTTP/1.1",
        "GET /approvals/4711%2F%C3%A4%20b HTTP/1.1",
        "PUT /releases HTTP/1.1",
    ];
    assert_eq!(lines, expected);
    let uid = run.uid().expect("a UID");
    let said = [("reserve", "forward"), ("approve", "forward"), ("reserve", "compensate")];
    for (request, (step, direction)) in requests.iter().zip(said) {
        assert_eq!(request.header("idempotency-key"), format!("\"{uid}/{step}/{direction}\""));
        assert_eq!(request.header("saga-run"), format!("{}/order-1", shop.namespace));
        assert_eq!(request.header("saga-run-uid"), uid);
        assert_eq!(request.header("saga-step"), step);
        assert_eq!(request.header("saga-direction"), direction);
        assert_eq!(request.header("saga-attempt"), "1");
        request.header("saga-deadline").parse::<jiff::Timestamp>().expect("RFC 3339");
        assert_eq!(trace(request), trace(&requests[0]), "one trace a run");
        let outcome = (direction == "compensate").then_some("succeeded");
        assert_eq!(request.find("saga-forward-outcome"), outcome);
        let mut names: Vec<_> = request.headers.iter().map(|(name, _)| name.to_lowercase()).collect();
        names.sort();
        let all = names.len();
        names.dedup();
        assert_eq!(names.len(), all, "a header came twice: {names:?}");
    }
    let fences: Vec<_> = requests.iter().map(|request| number(request, "saga-fence")).collect();
    assert!(fences.is_sorted_by(|a, b| a < b), "{fences:?}");
    let first = &requests[0];
    assert_eq!(first.header("x-tenant"), "blue");
    assert_eq!(first.header("x-odd-case"), "a  b; c=\"d\"");
    assert_eq!(first.header("content-type"), "application/json");
    let body: Value = serde_json::from_slice(&first.body).expect("JSON");
    let expected = json!({
        "zeta": 1, "alpha": [9_007_199_254_740_991_i64, 1.5, true, null], "order": "4711/ä b",
        "text": "für 4711/ä b an order-1", "deep": {"b": {"a": [{"sku": "teapot", "count": 2}]}},
    });
    assert_eq!(body, expected);
    assert_eq!((requests[1].find("content-type"), requests[1].body.len()), (None, 0), "a GET has no body");
    let undo: Value = serde_json::from_slice(&requests[2].body).expect("JSON");
    assert_eq!(undo, json!({"key": format!("{uid}/reserve/forward")}));
    drop(operator);
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_retry_is_the_same_to_the_byte() {
    let shop = Shop::open("wire").await;
    let participant = Recorder::start(|requests| {
        let line = requests.last().map_or("", |request| request.line.as_str());
        if line.contains("/approvals/") {
            return Reaction::Answer(422, "", "no");
        }
        let path = if line.contains("/releases") { "/releases" } else { "/reservations" };
        moody(to(requests, path).len())
    });
    let participant = participant.await;
    let operator = shop.operator();
    shop.define("order", saga(&participant.base_url(), 3)).await;
    shop.start("order-1", "order", input()).await;
    let run = shop.ended("order-1").await;
    assert_eq!(stands(&run), "Compensated");
    let requests = participant.requests();
    let (forward, undo) = (to(&requests, "/reservations"), to(&requests, "/releases"));
    assert_eq!((forward.len(), undo.len()), (7, 7), "{requests:#?}");
    are_attempts_of_one_call(&forward);
    are_attempts_of_one_call(&undo);
    let highest = |requests: &[&Raw]| requests.iter().map(|request| number(request, "saga-fence")).max();
    assert!(highest(&forward) < undo.iter().map(|request| number(request, "saga-fence")).min(), "{requests:#?}");
    drop(operator);
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retry_by_another_process_is_the_same_to_the_byte() {
    let shop = Shop::open("wire").await;
    let participant = Recorder::start(|requests| match (requests.len(), requests.last()) {
        (1, _) => Reaction::Hang,
        (_, Some(request)) if request.line.contains("/approvals/") => Reaction::Answer(422, "", "no"),
        _ => Reaction::Answer(200, "", "{}"),
    });
    let participant = participant.await;
    // The first attempt must still be open when its process is killed.
    let spec = saga(&participant.base_url(), 6);
    let first = shop.operator();
    shop.define("order", spec).await;
    shop.start("order-1", "order", input()).await;
    eventually("the first attempt is on the wire", async || {
        if participant.requests().is_empty() { Err(String::new()) } else { Ok(()) }
    })
    .await;
    first.kill().await;
    let second = shop.operator();
    let run = shop.ended("order-1").await;
    assert_eq!(stands(&run), "Compensated");
    let requests = participant.requests();
    let forward = to(&requests, "/reservations");
    assert_eq!(forward.len(), 2, "{requests:#?}");
    are_attempts_of_one_call(&forward);
    let attempts: Vec<_> = forward.iter().map(|request| number(request, "saga-attempt")).collect();
    assert_eq!(attempts, [1, 1], "taken over, not tried once more");
    assert_eq!(trace(requests.last().expect("requests")), trace(&requests[0]), "one trace, also across processes");
    drop(second);
    shop.close().await;
}
