//! Tests of expressions: tables first, then properties, then what an attacker would write.
#![allow(clippy::unwrap_used, clippy::panic, clippy::disallowed_methods)]

mod agreement;
mod document;
mod hostile;
mod language;
mod refused;
mod speed;
mod url;

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{Call, Response, Run, Scope, Single, Variables};

/// The values behind the scope of a test.
struct World {
    input: Value,
    outputs: BTreeMap<String, Value>,
    response: Response,
}

impl World {
    fn new(input: Value) -> Self {
        let response = Response {
            status: 201,
            headers: BTreeMap::from([("etag".to_owned(), "v1".to_owned())]),
            body: json!({"ok": true, "items": [{"id": "p-1"}, {"id": "p-2"}]}),
        };
        let outputs = BTreeMap::from([("id".to_owned(), json!("r-1")), ("seats".to_owned(), json!([1, 2]))]);
        World { input, outputs, response }
    }

    /// Step `a` has outputs, step `b` has none.
    fn scope(&self) -> Scope<'_> {
        let run = Run { name: "order-1", namespace: "shop", uid: "u-1", start_time: "2026-01-02T03:04:05Z" };
        Scope::new(&self.input, run)
            .step("a", Some(&self.outputs))
            .step("b", None)
            .call(Call { key: "u-1/a/compensate", forward_key: "u-1/a/forward", direction: "compensate" })
            .response(&self.response)
    }
}

fn world() -> World {
    World::new(json!({
        "n": 1, "f": 2.0, "half": 2.5, "text": "abc", "none": null, "yes": true,
        "list": [1, 2, 3], "map": {"b": 1, "a": {"c": "é"}},
        "big": u64::MAX, "low": i64::MIN, "exact": 9_007_199_254_740_993_u64,
        "template": "${input.n} $${x}",
    }))
}

/// What a template gives, as JSON text, or the message of its error.
fn result(source: &str) -> String {
    let world = world();
    match Single::compile(source, Variables::Response) {
        Err(error) => error.to_string(),
        Ok(single) => match single.evaluate(&world.scope()) {
            Ok(value) => value.to_string(),
            Err(error) => error.to_string(),
        },
    }
}

/// Runs a test on a thread with the smallest stack that the operator may ever have.
fn on_small_stack(test: impl FnOnce() + Send + 'static) {
    let thread = std::thread::Builder::new().stack_size(512 << 10).spawn(test).unwrap();
    if let Err(panic) = thread.join() {
        std::panic::resume_unwind(panic);
    }
}
