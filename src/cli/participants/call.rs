//! What the services offer, and a request to them.

use axum::http::HeaderMap;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::api::names::header;

/// What a route does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Kind {
    /// Takes effect once for a key.
    Do,
    /// Makes the effect of the key in its body final.
    Confirm,
    /// Undoes the effect of the key in its body.
    Undo,
    /// Has no effect.
    Read,
    /// Asks how far work is that was accepted before. No effect.
    Look,
}

/// A route.
#[derive(Clone, Copy, Debug)]
pub struct Service {
    /// First part of the path.
    pub name: &'static str,
    /// The whole path.
    pub path: &'static str,
    /// What it does.
    pub kind: Kind,
    /// What its effect is called.
    pub noun: &'static str,
    /// For people.
    pub about: &'static str,
}

const fn service(
    name: &'static str,
    path: &'static str,
    kind: Kind,
    noun: &'static str,
    about: &'static str,
) -> Service {
    Service { name, path, kind, noun, about }
}

/// Every route that a saga calls. `POST`, pricing apart, which is a `GET`.
pub const SERVICES: [Service; 10] = [
    service("pricing", "/pricing/quotes", Kind::Read, "quote", "GET ?sku=S&quantity=N -> 200 {amount}"),
    service(
        "inventory",
        "/inventory/reservations",
        Kind::Do,
        "reservation",
        "{sku, quantity} -> 201 {id}; 422 for a quantity above 100",
    ),
    service("inventory", "/inventory/confirmations", Kind::Confirm, "reservation", "{key} of a reservation -> 200"),
    service("inventory", "/inventory/releases", Kind::Undo, "reservation", "{key} of a reservation -> 200"),
    service("payment", "/payment/charges", Kind::Do, "charge", "{amount} -> 201 {id}; 402 for an amount above 1000"),
    service("payment", "/payment/captures", Kind::Confirm, "charge", "{key} of a charge -> 200"),
    service("payment", "/payment/refunds", Kind::Undo, "charge", "{key} of a charge -> 200"),
    service(
        "shipping",
        "/shipping/shipments",
        Kind::Do,
        "shipment",
        "{address} -> 201 {id}; 422 for the address \"nowhere\"",
    ),
    service("shipping", "/shipping/cancellations", Kind::Undo, "shipment", "{key} of a shipment -> 200"),
    service("notification", "/notification/messages", Kind::Do, "message", "{text} -> 201 {id}"),
];

/// Asks for accepted work; whose it is stands in the call.
pub(super) const LOOK: Service = service(
    "",
    "/operations/",
    Kind::Look,
    "",
    "GET /operations/ID -> 202 until the work is done, then 200 as it ended",
);

/// A request, as far as the services look at it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Call {
    /// First part of the path.
    pub service: String,
    /// The path.
    pub path: String,
    /// What the path does.
    pub kind: Kind,
    /// `Idempotency-Key`, without its quotes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// Of a Confirm or Undo: the key in its body.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forward_key: Option<String>,
    /// `Saga-Run`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<String>,
    /// `Saga-Run-UID`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run_uid: Option<String>,
    /// `Saga-Step`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<String>,
    /// `Saga-Direction`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub direction: Option<String>,
    /// `Saga-Attempt`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempt: Option<u32>,
    /// `Saga-Fence`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fence: Option<u64>,
    /// `Saga-Deadline`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline: Option<Timestamp>,
    /// `Saga-Forward-Outcome`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forward_outcome: Option<String>,
    /// `traceparent`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<String>,
    /// Hash of the body: the same key must come with the same one.
    pub digest: String,
    /// Not kept.
    #[serde(skip)]
    pub body: Value,
}

impl Call {
    /// Reads a request to `service`. A body that is no JSON is null.
    pub fn new(service: &Service, headers: &HeaderMap, body: &[u8]) -> Self {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let hash = Sha256::digest(body);
        let body: Value = serde_json::from_slice(body).unwrap_or_default();
        let unquoted = |key: &str| key.trim().trim_matches('"').to_owned();
        let forward_key = match service.kind {
            Kind::Confirm | Kind::Undo => body.get("key").and_then(Value::as_str).map(unquoted),
            Kind::Do | Kind::Read | Kind::Look => None,
        };
        Self {
            service: service.name.to_owned(),
            path: service.path.to_owned(),
            kind: service.kind,
            key: text(header::IDEMPOTENCY_KEY).map(|key| unquoted(&key)).filter(|key| !key.is_empty()),
            forward_key,
            run: text(header::RUN),
            run_uid: text(header::RUN_UID),
            step: text(header::STEP),
            direction: text(header::DIRECTION),
            attempt: text(header::ATTEMPT).and_then(|number| number.parse().ok()),
            fence: text(header::FENCE).and_then(|number| number.parse().ok()),
            deadline: text(header::DEADLINE).and_then(|time| time.parse().ok()),
            forward_outcome: text(header::FORWARD_OUTCOME),
            traceparent: text(header::TRACEPARENT),
            digest: hash[..8].iter().map(|byte| format!("{byte:02x}")).collect(),
            body,
        }
    }

    /// A question about the work called `operation`, which `service` was asked for.
    pub fn look(service: &str, operation: &str, headers: &HeaderMap) -> Self {
        let path = format!("/operations/{operation}");
        Self { service: service.to_owned(), path, ..Self::new(&LOOK, headers, b"") }
    }

    /// The route that was called; none for a question about work.
    pub fn service(&self) -> Option<&'static Service> {
        SERVICES.iter().find(|service| service.path == self.path)
    }

    /// Going forward: neither a compensation nor a confirmation.
    pub fn is_forward(&self) -> bool {
        match &self.direction {
            Some(direction) => direction == "forward",
            None => self.kind == Kind::Do,
        }
    }
}
