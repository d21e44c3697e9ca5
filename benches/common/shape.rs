//! The sagas that are measured.

use saga_operator::api::{SagaDefinitionSpec, SagaRunSpec};
use saga_operator::saga::End;
use serde_json::{Value, json};

/// How many run side by side.
pub(crate) const LANES: [usize; 4] = [1, 16, 64, 256];

/// A saga of one kind.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    pub(crate) name: &'static str,
    steps: usize,
    /// The last step is refused.
    refused: bool,
}

/// W3 and W5: 3 and 5 forward steps. C5: the fifth of 5 is refused and 4 are undone.
pub(crate) const SHAPES: [Shape; 3] = [
    Shape { name: "w3", steps: 3, refused: false },
    Shape { name: "w5", steps: 5, refused: false },
    Shape { name: "c5", steps: 5, refused: true },
];

/// The one that stands beside a participant that hangs.
pub(crate) const HEALTHY: Shape = SHAPES[0];

/// Where the calls go.
pub(crate) struct Urls<'a> {
    pub(crate) forward: &'a str,
    pub(crate) refused: &'a str,
    pub(crate) undo: &'a str,
}

impl Shape {
    pub(crate) const fn expected(&self) -> End {
        if self.refused { End::Compensated } else { End::Succeeded }
    }

    pub(crate) fn definition(&self, urls: &Urls<'_>) -> Result<SagaDefinitionSpec, String> {
        let step = |index: usize| {
            let last = self.refused && index + 1 == self.steps;
            json!({
                "name": format!("step{index}"),
                "action": {"http": {"url": if last { urls.refused } else { urls.forward }, "body": {"n": "${input.n}"}}},
                "compensation": {"http": {"url": urls.undo, "body": {"key": "${call.forwardKey}"}}},
            })
        };
        let steps: Vec<Value> = (0..self.steps).map(step).collect();
        serde_json::from_value(json!({ "steps": steps })).map_err(super::text)
    }
}

/// One step that gets no answer within 30 s, for as long as the benchmark likes.
pub(crate) fn hanging(url: &str) -> Result<SagaDefinitionSpec, String> {
    let patient = json!({"maxAttempts": 1000, "maxBackoffMilliseconds": 1000});
    let call = json!({"http": {"url": url, "timeoutSeconds": 30}, "retryPolicy": patient});
    let step = json!({"name": "hang", "action": call, "compensation": call});
    serde_json::from_value(json!({ "steps": [step] })).map_err(super::text)
}

/// A run of the definition of this name.
pub(crate) fn run(definition: &str) -> SagaRunSpec {
    serde_json::from_value(json!({"definitionRef": {"name": definition}, "input": {"n": 1}})).unwrap_or_default()
}
