//! Straight into the API server's store, past everything that checks.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt as _, Full};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};

/// Changes a stored object where the JSON pointer says.
pub(crate) async fn change(namespace: &str, plural: &str, name: &str, pointer: &str, value: Value) {
    let key = STANDARD.encode(format!("/registry/sagas.dev/{plural}/{namespace}/{name}"));
    let found = ask("range", &json!({ "key": key })).await;
    let stored = found["kvs"][0]["value"].as_str().expect("the object is stored");
    let mut object: Value = serde_json::from_slice(&STANDARD.decode(stored).expect("base64")).expect("JSON");
    *object.pointer_mut(pointer).expect("the field is there") = value;
    ask("put", &json!({"key": key, "value": STANDARD.encode(object.to_string())})).await;
}

async fn ask(what: &str, question: &Value) -> Value {
    let etcd = std::env::var("SAGA_TEST_ETCD").expect("this test needs the store itself: run `cargo xtask test`");
    let request = Request::post(format!("{etcd}/v3/kv/{what}")).body(Full::new(Bytes::from(question.to_string())));
    let client = Client::builder(TokioExecutor::new()).build_http();
    let answer = client.request(request.expect("a request")).await.expect("etcd answers");
    assert!(answer.status().is_success(), "etcd: {}", answer.status());
    let body = answer.into_body().collect().await.expect("an answer").to_bytes();
    serde_json::from_slice(&body).expect("JSON")
}
