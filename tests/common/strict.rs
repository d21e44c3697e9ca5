//! Objects as plain JSON, sent the way kubectl sends them: unknown fields are errors.

use kube::Client;
use kube::core::Status;
use serde_json::{Value, json};

/// Whether a request is only checked or also stored.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fate {
    Checked,
    Stored,
}

/// Creates a definition or a run; the refusal is the API server's answer.
pub(crate) async fn create(client: &Client, namespace: &str, object: &Value, fate: Fate) -> Result<Value, Box<Status>> {
    send(client, "POST", &path(namespace, object, ""), object, fate).await
}

/// Replaces a definition or a run, except for its status.
pub(crate) async fn replace(client: &Client, namespace: &str, object: &Value) -> Result<Value, Box<Status>> {
    send(client, "PUT", &path(namespace, object, &named(object)), object, Fate::Stored).await
}

/// Replaces the status of a definition or a run.
pub(crate) async fn replace_status(client: &Client, namespace: &str, object: &Value) -> Result<Value, Box<Status>> {
    send(client, "PUT", &path(namespace, object, &format!("{}/status", named(object))), object, Fate::Stored).await
}

/// Reads a stored object again.
pub(crate) async fn get(client: &Client, namespace: &str, object: &Value) -> Value {
    let uri = path(namespace, object, &named(object));
    let request = http::Request::get(uri).body(Vec::new()).expect("failed to make a request");
    client.request(request).await.expect("failed to read the object")
}

/// The errors of a refusal as `field: message`, one a line. Errors about unknown fields are not filed under a field.
pub(crate) fn errors(refusal: &Status) -> String {
    let causes = refusal.details.iter().flat_map(|details| &details.causes);
    let lines: Vec<_> = causes.map(|cause| format!("{}: {}", cause.field, cause.message)).collect();
    if lines.is_empty() { refusal.message.clone() } else { lines.join("\n") }
}

/// A definition with one step; nothing in it could be left out.
pub(crate) fn definition(name: &str) -> Value {
    json!({
        "apiVersion": "sagas.dev/v1alpha1",
        "kind": "SagaDefinition",
        "metadata": {"name": name},
        "spec": {"steps": [step("reserve")]},
    })
}

/// A step of such a definition.
pub(crate) fn step(name: &str) -> Value {
    json!({
        "name": name,
        "action": {"http": {"url": "http://stock.shop.svc/reservations"}},
        "compensation": {"http": {"url": "http://stock.shop.svc/reservations"}},
    })
}

/// A run; nothing in it could be left out.
pub(crate) fn run(name: &str) -> Value {
    json!({
        "apiVersion": "sagas.dev/v1alpha1",
        "kind": "SagaRun",
        "metadata": {"name": name},
        "spec": {"definitionRef": {"name": "order"}},
    })
}

async fn send(client: &Client, method: &str, path: &str, object: &Value, fate: Fate) -> Result<Value, Box<Status>> {
    let dry_run = match fate {
        Fate::Checked => "&dryRun=All",
        Fate::Stored => "",
    };
    let request = http::Request::builder()
        .method(method)
        .uri(format!("{path}?fieldValidation=Strict&fieldManager=tests{dry_run}"))
        .header("Content-Type", "application/json")
        .body(object.to_string().into_bytes())
        .expect("failed to make a request");
    match client.request::<Value>(request).await {
        Ok(answer) => Ok(answer),
        Err(kube::Error::Api(status)) => Err(status),
        Err(error) => {
            Err(Box::new(Status::failure(&format!("failed to reach the API server: {error}"), "Unreachable")))
        }
    }
}

fn path(namespace: &str, object: &Value, rest: &str) -> String {
    let plural = if object["kind"] == "SagaDefinition" { "sagadefinitions" } else { "sagaruns" };
    format!("/apis/sagas.dev/v1alpha1/namespaces/{namespace}/{plural}{rest}")
}

fn named(object: &Value) -> String {
    format!("/{}", object["metadata"]["name"].as_str().expect("the object has a name"))
}
