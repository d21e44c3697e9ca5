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
    /// The steps whose effect stands, in the order of their names.
    pub(crate) standing: &'static [(&'static str, EffectState)],
    /// Steps whose requests take longer, so that what runs side by side ends in the same order each time.
    pub(crate) slow: &'static [&'static str],
    /// The service that answers 202, and is asked until it is done.
    pub(crate) accepting: Option<&'static str>,
}

/// Four steps in a row, and all of them succeed.
pub(crate) const SEQUENCE: Story = Story {
    name: "a sequence that succeeds",
    spec: sequence,
    input: || json!({"quantity": 2}),
    end: "Succeeded",
    standing: &[
        ("charge", EffectState::Done),
        ("reserve", EffectState::Done),
        ("restock", EffectState::Done),
        ("ship", EffectState::Done),
    ],
    slow: &[],
    accepting: None,
};

/// Four steps in a row, and the last one is refused.
pub(crate) const SEQUENCE_UNDONE: Story = Story {
    name: "a sequence that is undone",
    spec: sequence,
    input: || json!({"quantity": 101}),
    end: "Compensated",
    standing: &[],
    slow: &[],
    accepting: None,
};

/// Four steps in a row, and the last one is tried but once.
pub(crate) const SEQUENCE_TRIED_ONCE: Story = Story {
    name: "a sequence whose last step is tried once",
    spec: |base| {
        let mut spec = sequence(base);
        spec["steps"][3]["action"]["retryPolicy"]["maxAttempts"] = json!(1);
        spec
    },
    end: "Compensated",
    standing: &[],
    ..SEQUENCE
};

/// The third of four steps takes its time: it is accepted, and then polled.
pub(crate) const SEQUENCE_POLLED: Story = Story {
    name: "a sequence with a polled step",
    spec: |base| {
        let mut spec = sequence(base);
        spec["steps"][2]["action"]["polling"] = json!({"intervalSeconds": 1, "timeoutSeconds": 300});
        spec
    },
    accepting: Some("shipping"),
    ..SEQUENCE
};

/// The same, and the last step is refused.
pub(crate) const SEQUENCE_POLLED_UNDONE: Story = Story {
    name: "a sequence with a polled step that is undone",
    spec: SEQUENCE_POLLED.spec,
    accepting: SEQUENCE_POLLED.accepting,
    ..SEQUENCE_UNDONE
};

/// Two branches that join before a Pivot, and a step that must follow.
pub(crate) const DIAMOND: Story = Story {
    name: "a diamond that succeeds",
    spec: diamond,
    input: || json!({"address": "1 Harbour Street"}),
    end: "Succeeded",
    standing: &[
        ("book", EffectState::Done),
        ("charge", EffectState::Done),
        ("dispatch", EffectState::Done),
        ("hold", EffectState::Done),
        ("tell", EffectState::Done),
    ],
    slow: &["hold"],
    accepting: None,
};

/// The same, and the Pivot is refused.
pub(crate) const DIAMOND_UNDONE: Story = Story {
    name: "a diamond that is undone",
    spec: diamond,
    input: || json!({"address": "nowhere"}),
    end: "Compensated",
    standing: &[],
    slow: &["hold"],
    accepting: None,
};

/// Try, then confirm: two steps side by side and one after them.
pub(crate) const TRIP: Story = Story {
    name: "a trip that is confirmed",
    spec: trip,
    input: || json!({"cars": 1}),
    end: "Succeeded",
    standing: &[("car", EffectState::Confirmed), ("room", EffectState::Confirmed), ("seat", EffectState::Confirmed)],
    slow: &["room"],
    accepting: None,
};

/// The same, and the last try is refused: the others are cancelled.
pub(crate) const TRIP_CANCELLED: Story = Story {
    name: "a trip that is cancelled",
    spec: trip,
    input: || json!({"cars": 101}),
    end: "Compensated",
    standing: &[],
    slow: &["room"],
    accepting: None,
};

/// So soon a call is given up: a takeover need not wait long, and on a machine that does other things calls are answered.
pub(crate) const TIMEOUT_SECONDS: u64 = 3;

fn call(url: &str, body: &Value) -> Value {
    json!({"http": {"url": url, "timeoutSeconds": TIMEOUT_SECONDS, "body": body}, "retryPolicy": retries()})
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

fn diamond(base: &str) -> Value {
    let inventory = [format!("{base}/inventory/reservations"), format!("{base}/inventory/releases")];
    let mut steps = [
        undone("book", &inventory[0], &inventory[1], &json!({"sku": "teapot", "quantity": 2})),
        undone(
            "charge",
            &format!("{base}/payment/charges"),
            &format!("{base}/payment/refunds"),
            &json!({"amount": 750}),
        ),
        undone("hold", &inventory[0], &inventory[1], &json!({"sku": "cup", "quantity": 4})),
        json!({"name": "dispatch", "role": "Pivot",
            "action": call(&format!("{base}/shipping/shipments"), &json!({"address": "${input.address}"}))}),
        json!({"name": "tell", "role": "Retriable",
            "action": call(&format!("{base}/notification/messages"), &json!({"text": "${run.name}"}))}),
    ];
    steps[2]["dependsOn"] = json!(["book"]);
    steps[3]["dependsOn"] = json!(["charge", "hold"]);
    json!({"steps": steps})
}

fn trip(base: &str) -> Value {
    let of = |what: &str| format!("{base}/inventory/{what}");
    let step = |name: &str, quantity: Value| {
        let mut step = undone(name, &of("reservations"), &of("releases"), &json!({"sku": name, "quantity": quantity}));
        step["confirm"] = call(&of("confirmations"), &json!({"key": "${call.forwardKey}"}));
        step
    };
    let mut steps = [step("seat", json!(1)), step("room", json!(1)), step("car", json!("${input.cars}"))];
    steps[1]["dependsOn"] = json!([]);
    steps[2]["dependsOn"] = json!(["seat", "room"]);
    json!({"steps": steps})
}
