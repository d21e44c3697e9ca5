//! What expressions can see.

use std::collections::BTreeMap;

use serde_json::Value;

/// The values of the root variables for one rendering. Everything is borrowed; nothing is converted before it is used.
#[derive(Clone, Debug)]
pub struct Scope<'a> {
    pub(super) input: &'a Value,
    pub(super) run: Run<'a>,
    pub(super) steps: BTreeMap<&'a str, Option<&'a BTreeMap<String, Value>>>,
    pub(super) call: Option<Call<'a>>,
    pub(super) response: Option<&'a Response>,
}

impl<'a> Scope<'a> {
    /// A scope of a run that has no outputs yet, outside of a call.
    pub fn new(input: &'a Value, run: Run<'a>) -> Self {
        Scope { input, run, steps: BTreeMap::new(), call: None, response: None }
    }

    /// Adds a step. `None`: it has no outputs, so each of them is null (the same as for a step that was not added).
    #[must_use]
    pub fn step(mut self, name: &'a str, outputs: Option<&'a BTreeMap<String, Value>>) -> Self {
        self.steps.insert(name, outputs);
        self
    }

    /// Sets `call`. Without it, an expression that reads `call` is an error.
    #[must_use]
    pub fn call(mut self, call: Call<'a>) -> Self {
        self.call = Some(call);
        self
    }

    /// Sets `response`. Without it, an expression that reads `response` is an error.
    #[must_use]
    pub fn response(mut self, response: &'a Response) -> Self {
        self.response = Some(response);
        self
    }
}

/// `run`: the run itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run<'a> {
    /// `run.name`
    pub name: &'a str,
    /// `run.namespace`
    pub namespace: &'a str,
    /// `run.uid`
    pub uid: &'a str,
    /// `run.startTime`, RFC 3339.
    pub start_time: &'a str,
}

/// `call`: the call that is being prepared or was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Call<'a> {
    /// `call.key`: the idempotency key of this call.
    pub key: &'a str,
    /// `call.forwardKey`: the idempotency key of the action of the same step.
    pub forward_key: &'a str,
    /// `call.direction`: `forward`, `compensate` or `confirm`.
    pub direction: &'a str,
}

/// `response`: the answer to the call.
#[derive(Clone, Debug, PartialEq)]
pub struct Response {
    /// `response.status`
    pub status: u16,
    /// `response.headers`, with names in lower case.
    pub headers: BTreeMap<String, String>,
    /// `response.body`: parsed JSON, or the text where it is not JSON, or null.
    pub body: Value,
}
