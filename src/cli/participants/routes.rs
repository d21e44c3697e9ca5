//! The HTTP side of the services.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post, put};
use axum::{Json, Router};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::call::{Call, Kind, SERVICES, Service};
use super::fault::{Fault, FaultMode, Faults, MAX_WAIT};
use super::ledger::Ledger;
use super::state::Entry;
use super::text;

/// Largest body read.
const MAX_BODY: usize = 1024 * 1024;
/// When to ask again for work that is not done, in seconds.
const ASK_AGAIN: u32 = 1;

/// What all requests see.
pub(super) struct Shared {
    pub(super) ledger: Ledger,
    pub(super) faults: Faults,
    pub(super) stop: CancellationToken,
}

type Here = State<Arc<Shared>>;

pub(super) fn router(shared: Arc<Shared>) -> Router {
    let mut router = Router::new()
        .route("/", get(about))
        .route("/noop", post(async || Json(json!({}))))
        .route("/faults", get(list_faults))
        .route("/faults/{service}", put(set_fault).delete(clear_fault))
        .route("/operations/{id}", get(operation))
        .route("/ledger", get(list_ledger));
    for service in &SERVICES {
        router = router.route(
            service.path,
            match service.kind {
                Kind::Read => get(async move |State(shared): Here, headers: HeaderMap, uri: Uri| {
                    quote(shared, service, &headers, &uri).await
                }),
                Kind::Do | Kind::Confirm | Kind::Undo | Kind::Look => {
                    post(async move |State(shared): Here, headers: HeaderMap, body: Bytes| {
                        serve(shared, service, Call::new(service, &headers, &body)).await
                    })
                }
            },
        );
    }
    router.layer(DefaultBodyLimit::max(MAX_BODY)).with_state(shared)
}

async fn serve(shared: Arc<Shared>, service: &'static Service, call: Call) -> Response {
    let fault = shared.faults.meet(service.name, call.direction.as_deref());
    let mode = fault.as_ref().map(|fault| fault.mode);
    if let Some(slow) = fault.as_ref().filter(|fault| fault.mode == FaultMode::Slow) {
        // Before the transaction: a key that is repeated meanwhile overtakes, and this one becomes the repetition.
        shared.wait(slow.wait()).await;
    }
    let at_work = shared.clone();
    // Finished even if the caller goes away, and off the workers while the file is synced.
    let done = tokio::task::spawn_blocking(move || at_work.ledger.handle(service, call, fault.as_ref())).await;
    if mode == Some(FaultMode::Hang) {
        shared.wait(MAX_WAIT).await;
        return json_error(StatusCode::SERVICE_UNAVAILABLE, "stopping");
    }
    answer(done.map_err(std::io::Error::other).flatten())
}

/// How far accepted work is.
async fn operation(State(shared): Here, Path(id): Path<String>, headers: HeaderMap) -> Response {
    let done = tokio::task::spawn_blocking(move || shared.ledger.look(&id, &headers)).await;
    answer(done.map_err(std::io::Error::other).flatten())
}

fn answer(done: std::io::Result<Entry>) -> Response {
    let Ok(Entry { status, answer, operation, .. }) = done else {
        return json_error(StatusCode::SERVICE_UNAVAILABLE, "the ledger cannot be written");
    };
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    match operation.filter(|_| status == StatusCode::ACCEPTED) {
        Some(operation) => {
            let place = format!("/operations/{operation}");
            (status, [(header::LOCATION, place), (header::RETRY_AFTER, ASK_AGAIN.to_string())], Json(answer))
                .into_response()
        }
        None => (status, Json(answer)).into_response(),
    }
}

/// A price, made up from the quantity.
async fn quote(shared: Arc<Shared>, service: &'static Service, headers: &HeaderMap, uri: &Uri) -> Response {
    let call = Call::new(service, headers, b"");
    let query = |name: &str| {
        let pairs = uri.query().unwrap_or_default().split('&').filter_map(|pair| pair.split_once('='));
        let found = pairs.filter(|(key, _)| *key == name).map(|(_, value)| value).next()?;
        Some(percent_encoding::percent_decode_str(found).decode_utf8_lossy().into_owned())
    };
    let (sku, quantity) = (query("sku"), query("quantity").and_then(|text| text.parse::<u32>().ok()).unwrap_or(1));
    let response = serve(shared, service, call).await;
    if response.status() != StatusCode::OK {
        return response;
    }
    Json(json!({ "sku": sku, "quantity": quantity, "amount": u64::from(quantity) * 25, "currency": "EUR" }))
        .into_response()
}

impl Shared {
    /// At most `time`; ends early when the services stop.
    async fn wait(&self, time: Duration) {
        tokio::select! {
            () = tokio::time::sleep(time.min(MAX_WAIT)) => {}
            () = self.stop.cancelled() => {}
        }
    }
}

async fn about() -> String {
    text::about()
}

async fn list_faults(State(shared): Here) -> Json<Value> {
    Json(json!(shared.faults.all()))
}

async fn set_fault(State(shared): Here, Path(service): Path<String>, body: Bytes) -> Response {
    if let Err(response) = known(&service) {
        return response;
    }
    match serde_json::from_slice::<Fault>(&body) {
        Ok(fault) => {
            shared.faults.set(&service, fault.clone());
            Json(fault).into_response()
        }
        Err(error) => json_error(StatusCode::BAD_REQUEST, &format!("failed to read the fault: {error}")),
    }
}

async fn clear_fault(State(shared): Here, Path(service): Path<String>) -> Response {
    if let Err(response) = known(&service) {
        return response;
    }
    shared.faults.clear(&service);
    StatusCode::NO_CONTENT.into_response()
}

async fn list_ledger(State(shared): Here, headers: HeaderMap, uri: Uri) -> Response {
    let run = uri.query().and_then(|query| query.split('&').find_map(|pair| pair.strip_prefix("run=")));
    let of_run = |uid: Option<&str>| run.is_none() || uid == run;
    let mut entries = shared.ledger.entries();
    entries.retain(|entry| of_run(entry.call.run_uid.as_deref()));
    let mut effects = shared.ledger.effects();
    effects.retain(|effect| of_run(effect.run_uid.as_deref()));
    let accept = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if accept.starts_with("text/plain") {
        return text::ledger(&entries, &effects).into_response();
    }
    Json(json!({ "entries": entries, "effects": effects })).into_response()
}

fn known(service: &str) -> Result<(), Response> {
    if SERVICES.iter().any(|known| known.name == service) {
        return Ok(());
    }
    Err(json_error(StatusCode::NOT_FOUND, "no such service: GET / lists them"))
}

fn json_error(status: StatusCode, error: &str) -> Response {
    (status, Json(json!({ "error": error }))).into_response()
}
