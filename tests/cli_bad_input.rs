//! Values and answers that mean harm, through `local`: what is sent, how it is read, and that everything is bounded.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

#[path = "cli_bad_input/answers.rs"]
mod answers;
#[path = "cli_local/support.rs"]
mod support;

use saga_operator::api::Reason;
use saga_operator::journal::Loaded;
use saga_operator::journal::local::LocalJournal;
use saga_operator::saga::{End, Phase};
use support::{Canary, Desk, Said, Server, definition, local, reply, run};

/// What came of `order-1`.
pub struct Ended {
    pub said: Said,
    pub run: Loaded,
}

impl Ended {
    pub fn failure(&self) -> Option<Reason> {
        self.run.stored.failure.as_ref().map(|failure| failure.reason)
    }

    pub fn message(&self) -> &str {
        self.run.stored.failure.as_ref().map_or("", |failure| failure.message.as_str())
    }

    pub fn phase(&self, step: usize) -> Phase {
        self.run.stored.steps[step].forward.phase
    }
}

/// Runs `order-1` of `steps`, a YAML list, with `input`, to its end.
pub async fn order(steps: &str, more: &str, input: &serde_json::Value) -> Ended {
    let desk = Desk::new();
    // YAML wants this one escaped, JSON does not.
    let input = input.to_string().replace('\u{7f}', "\\u007f");
    let manifests =
        [definition(steps) + more, run("order-1", "order", &format!("  input: {input}\n"))].map(|text| text + "---\n");
    let (manifest, state) =
        (desk.file("all.yaml", manifests.concat().trim_end_matches("---\n")), desk.path("state.redb"));
    let said = local(&["--state", &state, &manifest]).await;
    let run = LocalJournal::open(state.as_ref()).unwrap().run("order-1");
    let run = run.unwrap_or_else(|_| panic!("{}", said.err));
    Ended { said, run }
}

/// A step `a` that calls `http`, a YAML mapping without its braces; the others have a fast policy too.
fn reading(http: &str) -> String {
    format!(
        "  - name: a\n    role: ReadOnly\n    action:\n      http: {{{http}}}\n      retryPolicy: {{maxAttempts: 2, \
         initialBackoffMilliseconds: 1}}\n"
    )
}

/// Nothing was sent, not even a connection was made, and the run ended with `reason`.
async fn refused_before_anything_is_sent(http: &str, value: &str, reason: Reason, said: &str) {
    let canary = Canary::start().await;
    let http = http.replace("PORT", &canary.port.to_string());
    let ended = order(&reading(&http), "", &serde_json::json!({ "v": value })).await;
    let case = format!("{http} with {value:?}: {}{}", ended.said.out, ended.said.err);
    assert_eq!(ended.said.code, Some(1), "{case}");
    assert_eq!((ended.run.stored.end, ended.failure()), (Some(End::Compensated), Some(reason)), "{case}");
    assert!(ended.message().contains(said), "{case}: {}", ended.message());
    assert_eq!(canary.connections().await, 0, "{case}");
}

#[tokio::test]
async fn a_value_that_would_begin_another_header_is_refused_before_anything_is_sent() {
    let http = "url: \"http://127.0.0.1:PORT/\", headers: [{name: X-Order, value: \"${input.v}\"}]";
    for value in ["a\r\nX-Evil: 1", "a\nb", "a\rb", "a\0b", "a\u{7f}", "\r\n\r\nGET /admin HTTP/1.1\r\n"] {
        refused_before_anything_is_sent(http, value, Reason::ExpressionError, "X-Order").await;
    }
}

#[tokio::test]
async fn a_value_that_would_leave_its_place_in_a_url_is_refused_before_anything_is_sent() {
    for value in ["../admin", "..", "//evil.example/x", "a/../../b", "%2e%2e/admin", "\\..\\b", "a\r\nHost: evil", ""] {
        for path in ["orders/${input.v}", "${input.v}", "${input.v}/items"] {
            let http = format!("url: \"http://127.0.0.1:PORT/{path}\"");
            refused_before_anything_is_sent(&http, value, Reason::ExpressionError, "url").await;
        }
    }
}

#[tokio::test]
async fn a_value_in_a_url_is_text_and_nothing_else() {
    let server = Server::answering(200, "").await;
    let http = format!("url: \"http://127.0.0.1:{}/orders/${{input.v}}?q=${{input.v}}\"", server.port);
    let ended = order(&reading(&http), "", &serde_json::json!({ "v": "a b/c?d#e&f=g@h" })).await;
    assert_eq!(ended.said.code, Some(0), "{}{}", ended.said.out, ended.said.err);
    let value = "a%20b%2Fc%3Fd%23e%26f%3Dg%40h";
    assert_eq!(server.seen()[0].line, format!("POST /orders/{value}?q={value}"));
}

#[tokio::test]
async fn a_body_that_is_too_large_is_refused_before_anything_is_sent() {
    let http = "url: \"http://127.0.0.1:PORT/\", body: {a: \"${input.v}\", b: \"${input.v}\"}";
    refused_before_anything_is_sent(http, &"x".repeat(40_000), Reason::Unrenderable, "64 KiB").await;
}

#[tokio::test]
async fn a_missing_secret_is_named_and_no_content_of_the_others_is_shown() {
    let header = |key: &str| {
        format!(
            "url: \"http://127.0.0.1:PORT/\", headers: [{{name: Authorization, valueFrom: {{secretKeyRef: {{name: bank, \
             key: {key}}}}}}}]"
        )
    };
    refused_before_anything_is_sent(&header("token"), "", Reason::AttemptsExhausted, "bank").await;

    let canary = Canary::start().await;
    let secret = "---\napiVersion: v1\nkind: Secret\nmetadata: {name: bank}\nstringData: {other: hunter2}\n";
    let http = header("token").replace("PORT", &canary.port.to_string());
    let ended = order(&reading(&http), secret, &serde_json::json!({})).await;
    assert_eq!(ended.said.code, Some(1), "{}", ended.said.out);
    assert!(ended.message().contains("bank") && ended.message().contains("token"), "{}", ended.message());
    assert_eq!(ended.run.stored.steps[0].forward.reason, Some(Reason::SecretNotFound));
    assert!(!ended.said.out.contains("hunter2") && !ended.said.err.contains("hunter2"), "{}", ended.said.out);
    assert_eq!(canary.connections().await, 0);
}

#[tokio::test]
async fn a_secret_that_would_begin_another_header_is_refused_and_not_shown() {
    let canary = Canary::start().await;
    let http = format!(
        "url: \"http://127.0.0.1:{}/\", headers: [{{name: Authorization, valueFrom: {{secretKeyRef: {{name: bank, key: \
         token}}}}}}]",
        canary.port
    );
    for value in ["hunter2\\r\\nX-Evil: 1", "hunter2\\n", "hunter2\\0"] {
        let secret = format!(
            "---\napiVersion: v1\nkind: Secret\nmetadata: {{name: bank}}\nstringData: {{token: \"{value}\"}}\n"
        );
        let ended = order(&reading(&http), &secret, &serde_json::json!({})).await;
        assert_eq!(ended.said.code, Some(1), "{}", ended.said.out);
        assert!(ended.message().to_lowercase().contains("authorization"), "{}", ended.message());
        assert!(!ended.said.out.contains("hunter2") && !ended.said.err.contains("hunter2"), "{}", ended.said.out);
    }
    assert_eq!(canary.connections().await, 0);
}

#[tokio::test]
async fn an_input_that_violates_its_schema_ends_the_run_before_any_call() {
    let canary = Canary::start().await;
    let steps = reading(&format!("url: \"http://127.0.0.1:{}/\"", canary.port));
    let schema = "  inputSchema:\n    type: object\n    properties:\n      lines:\n        type: array\n        items: \
                  {type: object, properties: {quantity: {type: integer, minimum: 1}}}\n";
    let input = serde_json::json!({ "lines": [{ "quantity": 1 }, { "quantity": 0 }] });
    let ended = order(&steps, schema, &input).await;
    assert_eq!(ended.said.code, Some(1), "{}{}", ended.said.out, ended.said.err);
    assert_eq!((ended.run.stored.end, ended.failure()), (Some(End::InvalidInput), Some(Reason::InvalidInput)));
    assert!(ended.message().contains("/lines/1/quantity"), "{}", ended.message());
    assert!(ended.said.out.contains("/lines/1/quantity"), "{}", ended.said.out);
    assert_eq!(canary.connections().await, 0);
}

#[tokio::test]
async fn retries_are_the_same_bytes_but_for_the_operators_own_changing_headers() {
    let server = Server::start(|number, _, stream| {
        let status = [503, 429, 500, 408, 200][number];
        Box::pin(reply(stream, status, "", Vec::new()))
    })
    .await;
    let steps = format!(
        "  - name: a\n    role: ReadOnly\n    action:\n      http:\n        method: PUT\n        url: \
         \"http://127.0.0.1:{}/o/${{input.v}}?t=${{string(run.startTime)}}\"\n        headers: [{{name: X-B, value: \
         \"${{input.v}}\"}}, {{name: X-A, value: \"${{call.key}}\"}}]\n        body: {{z: \"${{input}}\", y: [1.5, 1e21, \
         \"${{run.uid}}\"], a: \"${{1.0 / 3.0}}\"}}\n      retryPolicy: {{initialBackoffMilliseconds: 1}}\n",
        server.port
    );
    let input = serde_json::json!({ "v": "ü 1", "n": { "b": 1, "a": [null, 2.5, "x"] } });
    let ended = order(&steps.replace("name: X-B, value: \"${input.v}\"", "name: X-B, value: b"), "", &input).await;
    assert_eq!(ended.said.code, Some(0), "{}{}", ended.said.out, ended.said.err);
    let seen = server.seen();
    assert_eq!(seen.len(), 5);
    for request in &seen[1..] {
        assert_eq!((&request.line, &request.body), (&seen[0].line, &seen[0].body));
        let same_order = request.headers.iter().zip(&seen[0].headers);
        let differing: Vec<&str> =
            same_order.filter(|(one, other)| one != other).map(|(one, _)| one.0.as_str()).collect();
        let own = ["saga-attempt", "saga-fence", "saga-deadline", "traceparent"];
        assert!(differing.iter().all(|name| own.contains(&name.to_lowercase().as_str())), "{differing:?}");
        assert_eq!(request.headers.len(), seen[0].headers.len());
        // One trace a run: only the span changes.
        assert_eq!(request.header("traceparent").unwrap()[..36], seen[0].header("traceparent").unwrap()[..36]);
    }
    let attempts: Vec<_> = seen.iter().map(|request| request.header("saga-attempt").unwrap().to_owned()).collect();
    assert_eq!(attempts, ["1", "2", "3", "4", "5"]);
    let fences: Vec<u64> = seen.iter().map(|request| request.header("saga-fence").unwrap().parse().unwrap()).collect();
    assert!(fences.is_sorted_by(|one, other| one < other), "{fences:?}");
}
