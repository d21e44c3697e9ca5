//! The demo's services keep what the operator asks of a participant: P1..P6 of docs/participants.md.

#![allow(clippy::unwrap_used)] // a test may

use std::net::SocketAddr;
use std::time::Duration;

use saga_operator::cli::participants::{Change, DemoServices, EffectState, Fault, FaultMode, RunningServices};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

const ANY: &str = "127.0.0.1:0";

async fn start() -> RunningServices {
    DemoServices::new().start(ANY.parse().unwrap()).await.unwrap()
}

async fn http(address: SocketAddr, request: &str, headers: &str, body: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let length = body.len();
    let head = format!(
        "{request} HTTP/1.1\r\nHost: demo\r\nConnection: close\r\nContent-Length: {length}\r\n{headers}\r\n{body}"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

struct Saga<'a> {
    services: &'a RunningServices,
    uid: &'a str,
}

impl Saga<'_> {
    async fn send(&self, path: &str, step: &str, direction: &str, fence: u64, body: Value) -> (u16, Value) {
        let headers = format!(
            "Idempotency-Key: \"{0}/{step}/{direction}\"\r\nSaga-Run: shop/order\r\nSaga-Run-UID: {0}\r\n\
             Saga-Step: {step}\r\nSaga-Direction: {direction}\r\nSaga-Attempt: 1\r\nSaga-Fence: {fence}\r\n",
            self.uid
        );
        let request = format!("POST {path}");
        let (status, body) = http(self.services.address(), &request, &headers, &body.to_string()).await;
        (status, serde_json::from_str(&body).unwrap())
    }

    async fn charge(&self, fence: u64, amount: u64) -> (u16, Value) {
        self.send("/payment/charges", "pay", "forward", fence, json!({ "amount": amount })).await
    }

    async fn refund(&self, fence: u64) -> (u16, Value) {
        let body = json!({ "key": format!("{}/pay/forward", self.uid) });
        self.send("/payment/refunds", "pay", "compensate", fence, body).await
    }

    fn net(&self) -> Vec<String> {
        self.services.ledger().net_effects(self.uid).into_iter().map(|effect| effect.id).collect()
    }
}

#[tokio::test]
async fn a_repeated_key_gets_the_first_final_answer_and_one_effect() {
    let services = start().await;
    let saga = Saga { services: &services, uid: "u1" };
    let first = saga.charge(1, 10).await;
    assert_eq!(first, (201, json!({"id": "charge-1"})));
    assert_eq!(saga.charge(2, 10).await, first);
    assert_eq!(saga.net(), ["charge-1"]);
    assert_eq!(services.ledger().effects_of_key("u1/pay/forward")[0].times, 1);
    // The same key with another body is a mistake, not a repetition.
    assert_eq!(saga.charge(3, 11).await.0, 422);
    assert_eq!(saga.charge(4, 10).await, first);

    let other = Saga { services: &services, uid: "u2" };
    let declined = other.charge(1, 1001).await;
    assert_eq!(declined.0, 402);
    assert_eq!(other.charge(2, 1001).await, declined);
    assert_eq!(other.net(), Vec::<String>::new());
    let replays = services.ledger().entries().iter().filter(|entry| entry.replay).count();
    assert_eq!(replays, 3);
    services.shutdown().await;
}

#[tokio::test]
async fn a_forward_call_older_than_one_seen_is_refused_without_effect() {
    let services = start().await;
    let saga = Saga { services: &services, uid: "u1" };
    services.faults().set("payment", Fault { times: Some(1), ..Fault::new(FaultMode::Error) });
    assert_eq!(saga.charge(5, 10).await.0, 500);
    // What broke before it looked has not seen the fence.
    assert_eq!(saga.charge(4, 10).await.0, 201);
    let other = Saga { services: &services, uid: "u2" };
    assert_eq!(other.refund(9).await, (200, json!({"state": "nothing to undo"})));
    assert_eq!(other.charge(8, 10).await.0, 409);
    assert_eq!(other.net(), Vec::<String>::new());
    // Even one that is not older: the key is closed.
    assert_eq!(other.charge(10, 10).await.0, 410);
    services.shutdown().await;
}

#[tokio::test]
async fn a_compensation_undoes_once_and_of_nothing_succeeds() {
    let services = start().await;
    let saga = Saga { services: &services, uid: "u1" };
    saga.charge(1, 10).await;
    let undone = saga.refund(2).await;
    assert_eq!(undone, (200, json!({"id": "charge-1", "state": "undone"})));
    assert_eq!(saga.refund(3).await, undone);
    // P1 stands above all: the late repetition gets its old answer and no new effect.
    assert_eq!(saga.charge(1, 10).await.0, 201);
    assert_eq!(saga.net(), Vec::<String>::new());
    let changes: Vec<_> = services.ledger().entries().iter().map(|entry| entry.change).collect();
    assert_eq!(changes, [Change::Done, Change::Undone, Change::None, Change::None]);
    services.shutdown().await;
}

#[tokio::test]
async fn nothing_is_committed_after_the_deadline_or_without_a_key() {
    let services = start().await;
    let headers = "Idempotency-Key: \"k\"\r\nSaga-Deadline: 2020-01-01T00:00:00Z\r\n";
    assert_eq!(http(services.address(), "POST /payment/charges", headers, "{}").await.0, 408);
    assert_eq!(http(services.address(), "POST /payment/charges", "", "{}").await.0, 400);
    assert_eq!(services.ledger().effects(), []);
    // 408 was not final.
    assert_eq!(http(services.address(), "POST /payment/charges", "Idempotency-Key: \"k\"\r\n", "{}").await.0, 201);
    services.shutdown().await;
}

#[tokio::test]
async fn a_reservation_can_be_confirmed_once_it_is_there() {
    let services = start().await;
    let saga = Saga { services: &services, uid: "u1" };
    let key = json!({ "key": "u1/reserve/forward" });
    let reserve = json!({ "sku": "a", "quantity": 2 });
    assert_eq!(saga.send("/inventory/reservations", "reserve", "forward", 1, reserve).await.0, 201);
    assert_eq!(saga.send("/inventory/confirmations", "reserve", "confirm", 2, key).await.0, 200);
    assert_eq!(services.ledger().net_effects("u1")[0].state, EffectState::Confirmed);
    let nothing = json!({ "key": "nobody" });
    assert_eq!(saga.send("/inventory/confirmations", "other", "confirm", 2, nothing).await.0, 422);
    services.shutdown().await;
}

#[tokio::test]
async fn a_charge_that_is_captured_is_final_and_is_not_refunded() {
    let services = start().await;
    let saga = Saga { services: &services, uid: "u1" };
    saga.charge(1, 10).await;
    let key = json!({ "key": "u1/pay/forward" });
    let confirmed = saga.send("/payment/captures", "pay", "confirm", 2, key.clone()).await;
    assert_eq!(confirmed, (200, json!({"id": "charge-1", "state": "confirmed"})));
    assert_eq!(saga.send("/payment/captures", "pay", "confirm", 3, key).await, confirmed);
    assert_eq!(saga.refund(4).await.0, 422);
    assert_eq!(services.ledger().net_effects("u1")[0].state, EffectState::Confirmed);
    let text = http(services.address(), "GET /ledger", "Accept: text/plain\r\n", "").await.1;
    assert!(text.contains("there for good"), "{text}");

    let other = Saga { services: &services, uid: "u2" };
    other.charge(1, 10).await;
    other.refund(2).await;
    let key = json!({ "key": "u2/pay/forward" });
    assert_eq!(other.send("/payment/captures", "pay", "confirm", 3, key).await.0, 422, "undone");
    services.shutdown().await;
}

/// Calls of this direction take so long.
fn long(services: &RunningServices, milliseconds: u64, direction: &str) {
    let direction = Some(direction.to_owned());
    let fault = Fault { milliseconds: Some(milliseconds), direction, ..Fault::new(FaultMode::Async) };
    services.faults().set("payment", fault);
}

async fn look(services: &RunningServices, operation: &str) -> (u16, Value) {
    let (status, body) = http(services.address(), &format!("GET /operations/{operation}"), "", "").await;
    (status, serde_json::from_str(&body).unwrap())
}

async fn until_done(services: &RunningServices, operation: &str) -> Value {
    loop {
        match look(services, operation).await {
            (202, _) => tokio::time::sleep(Duration::from_millis(5)).await,
            (status, body) => {
                assert_eq!(status, 200);
                return body;
            }
        }
    }
}

const HOUR: u64 = 3_600_000;

#[tokio::test]
async fn work_that_takes_long_is_accepted_once_and_asked_for_at_its_location() {
    let services = start().await;
    let saga = Saga { services: &services, uid: "u1" };
    long(&services, HOUR, "forward");
    let working = json!({"operation": "operation-1", "state": "working"});
    assert_eq!(saga.charge(1, 10).await, (202, working.clone()));
    // The same key again, and who asks: not done, and not begun twice.
    assert_eq!(saga.charge(2, 10).await, (202, working.clone()));
    assert_eq!(look(&services, "operation-1").await, (202, working));
    assert_eq!(look(&services, "operation-7").await.0, 404);
    assert_eq!(saga.net(), Vec::<String>::new());
    // What is refused is refused at once.
    assert_eq!(Saga { services: &services, uid: "u2" }.charge(1, 1001).await.0, 402);

    let headers = "Idempotency-Key: \"k\"\r\n";
    let mut stream = TcpStream::connect(services.address()).await.unwrap();
    let request = format!(
        "POST /payment/charges HTTP/1.1\r\nHost: demo\r\nConnection: close\r\nSaga-Direction: forward\r\n\
                           Content-Length: 2\r\n{headers}\r\n{{}}"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let answer = answer.to_lowercase();
    assert!(answer.contains("\r\nlocation: /operations/operation-6\r\n"), "{answer}");
    assert!(answer.contains("\r\nretry-after: 1\r\n"), "{answer}");
    services.shutdown().await;
}

#[tokio::test]
async fn work_that_is_over_has_the_answer_of_its_call_and_one_effect() {
    let services = start().await;
    let saga = Saga { services: &services, uid: "u1" };
    long(&services, 30, "forward");
    assert_eq!(saga.charge(1, 10).await.0, 202);
    let done = until_done(&services, "operation-1").await;
    assert_eq!(done, json!({"id": "charge-1"}));
    assert_eq!(saga.charge(2, 10).await, (201, done));
    assert_eq!(saga.net(), ["charge-1"]);
    assert_eq!(services.ledger().effects_of_key("u1/pay/forward")[0].times, 1);
    let ends: Vec<_> = services.ledger().entries().into_iter().filter(|entry| entry.finish).collect();
    assert_eq!((ends.len(), ends[0].change, ends[0].status), (1, Change::Done, 201));
    // A compensation may take long, too.
    long(&services, 30, "compensate");
    assert_eq!(saga.refund(3).await.0, 202);
    let number = services.ledger().entries().last().unwrap().number;
    assert_eq!(
        until_done(&services, &format!("operation-{number}")).await,
        json!({"id": "charge-1", "state": "undone"})
    );
    assert_eq!(saga.refund(4).await.0, 200);
    assert_eq!(saga.net(), Vec::<String>::new());
    services.shutdown().await;
}

#[tokio::test]
async fn a_compensation_of_work_that_is_not_done_is_accepted_and_undoes_it_when_it_stands() {
    let services = start().await;
    let saga = Saga { services: &services, uid: "u1" };
    long(&services, 60, "forward");
    assert_eq!(saga.charge(1, 10).await.0, 202);
    let accepted = saga.refund(2).await;
    assert_eq!(accepted, (202, json!({"operation": "operation-2", "state": "working"})));
    assert_eq!(saga.refund(3).await, accepted);
    // A late forward call begins nothing: of an older decision it is refused, of a known key it is the same work.
    assert_eq!(saga.charge(1, 10).await.1["operation"], "operation-1");
    assert_eq!(until_done(&services, "operation-2").await, json!({"id": "charge-1", "state": "undone"}));
    assert_eq!(saga.refund(4).await.0, 200);
    assert_eq!(saga.net(), Vec::<String>::new());
    let ends: Vec<_> = services.ledger().entries().into_iter().filter(|entry| entry.finish).collect();
    assert_eq!(ends.iter().map(|entry| entry.change).collect::<Vec<_>>(), [Change::Done, Change::Undone]);
    services.shutdown().await;
}

#[tokio::test]
async fn accepted_work_survives_a_kill() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("ledger");
    let services = DemoServices::with_ledger(file.clone()).start(ANY.parse().unwrap()).await.unwrap();
    long(&services, 200, "forward");
    assert_eq!(Saga { services: &services, uid: "u1" }.charge(3, 10).await.0, 202);
    drop(services);
    for _ in 0..2 {
        let services = DemoServices::with_ledger(file.clone()).start(ANY.parse().unwrap()).await.unwrap();
        assert_eq!(until_done(&services, "operation-1").await, json!({"id": "charge-1"}));
        assert_eq!(services.ledger().effects_of_key("u1/pay/forward")[0].times, 1);
        services.shutdown().await;
    }
}

#[tokio::test]
async fn faults_are_met_as_often_as_asked_and_taken_back() {
    let services = start().await;
    let address = services.address();
    for (mode, status) in [("down", 503), ("error", 500), ("reject", 422)] {
        let fault = json!({ "mode": mode, "times": 2, "direction": "forward" }).to_string();
        assert_eq!(http(address, "PUT /faults/payment", "", &fault).await.0, 200);
        assert_eq!(Saga { services: &services, uid: mode }.refund(9).await.0, 200, "not this direction");
        for (number, expected) in [status, status, 201].into_iter().enumerate() {
            let uid = format!("{mode}{number}");
            let saga = Saga { services: &services, uid: &uid };
            assert_eq!(saga.charge(1, 1).await.0, expected, "{mode}");
        }
    }
    assert_eq!(http(address, "PUT /faults/payment", "", r#"{"mode":"down"}"#).await.0, 200);
    assert_eq!(http(address, "DELETE /faults/payment", "", "").await.0, 204);
    assert_eq!(http(address, "GET /faults", "", "").await.1, "{}");
    assert_eq!(http(address, "PUT /faults/payments", "", r#"{"mode":"down"}"#).await.0, 404);
    assert_eq!(http(address, "PUT /faults/payment", "", r#"{"mode":"sideways"}"#).await.0, 400);
    services.shutdown().await;
}

#[tokio::test]
async fn a_hanging_call_takes_effect_and_is_answered_when_it_comes_again() {
    let services = start().await;
    let saga = Saga { services: &services, uid: "u1" };
    services.faults().set("payment", Fault { times: Some(1), ..Fault::new(FaultMode::Hang) });
    let mut hanging = Box::pin(saga.charge(1, 10));
    while saga.net().is_empty() {
        assert!(tokio::time::timeout(Duration::from_millis(5), &mut hanging).await.is_err());
    }
    drop(hanging);
    assert_eq!(saga.charge(2, 10).await, (201, json!({"id": "charge-1"})));
    // A slow one answers in the end, and two of the same key have one effect.
    services.faults().set("payment", Fault { milliseconds: Some(20), ..Fault::new(FaultMode::Slow) });
    let slow = Saga { services: &services, uid: "u2" };
    let both = tokio::join!(slow.charge(1, 10), slow.charge(1, 10));
    assert_eq!(both.0, both.1);
    assert_eq!(slow.net().len(), 1);
    services.shutdown().await;
}

#[tokio::test]
async fn the_ledger_file_survives_a_kill() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("ledger");
    let services = DemoServices::with_ledger(file.clone()).start(ANY.parse().unwrap()).await.unwrap();
    let first = Saga { services: &services, uid: "u1" }.charge(3, 10).await;
    Saga { services: &services, uid: "u2" }.refund(9).await;
    let before = (services.ledger().entries().len(), services.ledger().effects());
    drop(services);
    // The kill came in the middle of the next line.
    let mut bytes = std::fs::read(&file).unwrap();
    bytes.extend_from_slice(br#"{"number":3,"time":"#);
    std::fs::write(&file, &bytes).unwrap();

    let services = DemoServices::with_ledger(file.clone()).start(ANY.parse().unwrap()).await.unwrap();
    assert_eq!(before, (services.ledger().entries().len(), services.ledger().effects()));
    assert_eq!(Saga { services: &services, uid: "u1" }.charge(4, 10).await, first);
    assert_eq!(Saga { services: &services, uid: "u2" }.charge(8, 10).await.0, 409);
    services.shutdown().await;

    std::fs::write(&file, "something else\n").unwrap();
    let error = DemoServices::with_ledger(file).start(ANY.parse().unwrap()).await.err().unwrap();
    assert!(error.to_string().contains("line 1"), "{error}");
}

#[tokio::test]
async fn people_and_programs_can_read_what_happened() {
    let services = start().await;
    let address = services.address();
    let saga = Saga { services: &services, uid: "u1" };
    saga.charge(1, 10).await;
    saga.charge(2, 10).await;
    saga.refund(3).await;
    Saga { services: &services, uid: "u2" }.charge(1, 10).await;
    let quote = http(address, "GET /pricing/quotes?sku=a%20b&quantity=2", "", "").await;
    assert_eq!(quote.0, 200);
    let quote: Value = serde_json::from_str(&quote.1).unwrap();
    assert_eq!(quote, json!({"sku": "a b", "quantity": 2, "amount": 50, "currency": "EUR"}));
    assert_eq!(http(address, "POST /noop", "", "{}").await, (200, "{}".to_owned()));

    let all: Value = serde_json::from_str(&http(address, "GET /ledger", "", "").await.1).unwrap();
    assert_eq!(all["entries"].as_array().unwrap().len(), 5);
    let one: Value = serde_json::from_str(&http(address, "GET /ledger?run=u1", "", "").await.1).unwrap();
    assert_eq!(one["entries"].as_array().unwrap().len(), 3);
    let effect = json!({
        "service": "payment", "key": "u1/pay/forward", "runUid": "u1", "step": "pay", "id": "charge-1",
        "state": "undone", "times": 1,
    });
    assert_eq!(one["effects"], json!([effect]));
    let text = http(address, "GET /ledger?run=u1", "Accept: text/plain\r\n", "").await.1;
    assert!(text.contains("the first answer again") && text.contains("undone"), "{text}");
    assert!(http(address, "GET /", "", "").await.1.contains("/payment/charges"));
    services.shutdown().await;
}
