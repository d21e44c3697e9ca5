//! Secrets reach the wire and nothing else.

use serde_json::Value;
use serde_json::json;

use super::credentials::SecretValue;
use super::credentials::StaticCredentials;
use super::harness::{Caller, answering, not_sent, ok, response, serve, with_headers};
use super::{Credentials as _, HttpOptions};
use crate::api::Reason;
use crate::api::definition::SecretKeyRef;
use crate::saga::HeaderValue;

fn secret(name: &str, key: &str) -> HeaderValue {
    HeaderValue::Secret(SecretKeyRef { name: name.into(), key: key.into() })
}

#[tokio::test]
async fn secrets_are_read_when_sending_and_shown_nowhere() {
    const CANARY: &str = "canary-6b1f09";
    let (address, seen) = answering(ok("{}")).await;
    let credentials = StaticCredentials::default()
        .with("api", "token", SecretValue::new(CANARY))
        .with("api", "newline", SecretValue::new(format!("{CANARY}\n")))
        .with("api", "binary", SecretValue::new([CANARY.as_bytes(), b"\xff\0"].concat()));
    let shown = format!("{credentials:?} {:?}", SecretValue::new(CANARY));
    assert!(shown.contains("redacted") && !shown.contains(CANARY), "{shown}");
    let caller = Caller::with(credentials, HttpOptions::default());
    let intent =
        |name: &str, value: HeaderValue| with_headers(caller.intent(&format!("http://{address}/")), &[(name, value)]);

    response(caller.send(intent("Authorization", secret("api", "token"))).await);
    assert!(seen.requests()[0].contains(&format!("\r\nauthorization: {CANARY}\r\n")));
    for (name, value, reason, named) in [
        ("Authorization", secret("api", "other"), Reason::SecretNotFound, "'other'"),
        ("Authorization", secret("nothing", "token"), Reason::SecretNotFound, "'nothing'"),
        ("Authorization", secret("api", "newline"), Reason::Unrenderable, "newline"),
        ("Authorization", secret("api", "binary"), Reason::Unrenderable, "printable"),
        ("X-A", HeaderValue::Literal(format!("{CANARY}\r\nX-B: c")), Reason::Unrenderable, "X-A"),
        ("Host", HeaderValue::Literal(CANARY.into()), Reason::Unrenderable, "reserved"),
        ("saga-fence", HeaderValue::Literal(CANARY.into()), Reason::Unrenderable, "reserved"),
        ("a b", HeaderValue::Literal(CANARY.into()), Reason::Unrenderable, "token"),
    ] {
        let (found, message) = not_sent(caller.send(intent(name, value)).await);
        assert_eq!(found, reason, "{message}");
        assert!(message.contains(named) && !message.contains(CANARY), "{message}");
    }
    assert_eq!(seen.requests().len(), 1);
}

#[tokio::test]
async fn secrets_of_the_cluster_are_read_one_by_one() {
    let (address, seen) = serve(|mut peer| async move {
        while let Some(request) = peer.request().await {
            let path = request.split(' ').nth(1).unwrap();
            let (status, body) = match path.rsplit('/').next().unwrap() {
                "there" => ("200 OK", json!({"data": {"token": "c2VzYW1l"}, "metadata": {}})),
                "empty" => ("200 OK", json!({"metadata": {}})),
                "hidden" => ("403 Forbidden", status(403, "Forbidden")),
                "absent" => ("404 Not Found", status(404, "NotFound")),
                "stale" => ("401 Unauthorized", status(401, "Unauthorized")),
                _ => ("200 OK", json!("sesame")),
            };
            let body = body.to_string();
            let head = format!("HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {}", body.len());
            peer.write(format!("{head}\r\n\r\n{body}")).await;
        }
    })
    .await;
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let config = kube::Config::new(format!("http://{address}").parse().unwrap());
    let credentials = super::KubernetesCredentials::new(kube::Client::try_from(config).unwrap());
    let read = async |name: &str, key: &str| {
        credentials
            .secret("shop", &SecretKeyRef { name: name.into(), key: key.into() })
            .await
            .map_err(|e| e.to_string())
    };
    assert_eq!(read("there", "token").await, Ok(SecretValue::new("sesame")));
    for (name, key, says) in [
        ("there", "other", "has no key 'other'"),
        ("empty", "token", "has no key 'token'"),
        ("hidden", "token", "forbidden"),
        ("absent", "token", "does not exist"),
        ("stale", "token", "401"),
        ("garbled", "token", "no usable answer"),
    ] {
        let error = read(name, key).await.unwrap_err();
        assert!(error.contains(says) && error.contains(name) && !error.contains("sesame"), "{error}");
    }
    let first = &seen.requests()[0];
    assert!(first.starts_with("GET /api/v1/namespaces/shop/secrets/there HTTP/1.1\r\n"), "{first}");
}

fn status(code: u16, reason: &str) -> Value {
    json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": reason, "message": "no"})
}
