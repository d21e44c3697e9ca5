//! Sagas and how they end, whatever happens on the way.

use saga_operator::cli::participants::EffectState;
use serde_json::{Value, json};

use crate::common::shop::retries;

/// A saga, what it is given, and how it ends.
#[derive(Clone, Copy)]
pub(crate) struct Story {
    pub(crate) name: &'static str,
    /// The definition for participants at an address.
    pub(crate) spec: fn(&str) -> Value,
    pub(crate) input: fn() -> Value,
    /// The reason of the condition Succeeded.
    pub(crate) end: &'static str,
    /// The steps whose effect stands.
    pub(crate) standing: &'static [(&'static str, EffectState)],
    /// Steps whose requests take longer, so that what runs side by side ends in the same order each time.
    pub(crate) slow: &'static [&'static str],
}

/// Four steps in a row, and all of them succeed.
pub(crate) const SEQUENCE: Story = Story {
    name: "a sequence that succeeds",
    spec: sequence,
    input: || json!({"quantity": 2}),
    end: "Succeeded",
    standing: &[
        ("reserve", EffectState::Done),
        ("charge", EffectState::Done),
        ("ship", EffectState::Done),
        ("restock", EffectState::Done),
    ],
    slow: &[],
};

/// Four steps in a row, and the last one is refused.
pub(crate) const SEQUENCE_UNDONE: Story = Story {
    name: "a sequence that is undone",
    spec: sequence,
    input: || json!({"quantity": 101}),
    end: "Compensated",
    standing: &[],
    slow: &[],
};

/// A call that is given up so soon that a takeover need not wait long. On a busy machine calls will be repeated.
fn call(url: &str, body: &Value) -> Value {
    json!({"http": {"url": url, "timeoutSeconds": 1, "body": body}, "retryPolicy": retries()})
}

fn undone(name: &str, action: &str, undo: &str, body: &Value) -> Value {
    json!({"name": name, "action": call(action, body), "compensation": call(undo, &json!({"key": "${call.forwardKey}"}))})
}

fn sequence(base: &str) -> Value {
    let inventory = [format!("{base}/inventory/reservations"), format!("{base}/inventory/releases")];
    let payment = [format!("{base}/payment/charges"), format!("{base}/payment/refunds")];
    let shipping = [format!("{base}/shipping/shipments"), format!("{base}/shipping/cancellations")];
    json!({"steps": [
        undone("reserve", &inventory[0], &inventory[1], &json!({"sku": "teapot", "quantity": 2})),
        undone("charge", &payment[0], &payment[1], &json!({"amount": 750})),
        undone("ship", &shipping[0], &shipping[1], &json!({"address": "1 Harbour Street"})),
        undone("restock", &inventory[0], &inventory[1], &json!({"sku": "cup", "quantity": "${input.quantity}"})),
    ]})
}
