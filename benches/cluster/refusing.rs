//! A participant that refuses, and notes how long it takes until it is asked to undo.

use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use axum::{Json, Router};
use saga_operator::api::names::header;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::AbortHandle;

use super::common::text;

/// Serves until dropped.
pub(crate) struct Refusing {
    pub(crate) refused: String,
    pub(crate) undo: String,
    times: Arc<Times>,
    task: AbortHandle,
}

#[derive(Default)]
struct Times {
    refused: Mutex<HashMap<String, Instant>>,
    waits: Mutex<Vec<Duration>>,
}

impl Refusing {
    pub(crate) async fn start() -> Result<Self, String> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.map_err(text)?;
        let url = format!("http://{}", listener.local_addr().map_err(text)?);
        let times = Arc::new(Times::default());
        let router = Router::new().route("/refused", post(refuse)).route("/undo", post(undo)).with_state(times.clone());
        let task = tokio::spawn(axum::serve(listener, router).into_future()).abort_handle();
        Ok(Self { refused: format!("{url}/refused"), undo: format!("{url}/undo"), times, task })
    }

    /// From the refusals to the first requests to undo; sorted.
    pub(crate) fn first_undo(&self) -> Vec<Duration> {
        let mut waits = self.times.waits.lock().unwrap_or_else(PoisonError::into_inner).clone();
        waits.sort();
        waits
    }

    /// Starts to count anew.
    pub(crate) fn forget(&self) {
        self.times.waits.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

impl Drop for Refusing {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn refuse(State(times): State<Arc<Times>>, headers: HeaderMap) -> StatusCode {
    times.refused.lock().unwrap_or_else(PoisonError::into_inner).insert(run(&headers), Instant::now());
    StatusCode::CONFLICT
}

async fn undo(State(times): State<Arc<Times>>, headers: HeaderMap) -> Json<Value> {
    let refused = times.refused.lock().unwrap_or_else(PoisonError::into_inner).remove(&run(&headers));
    if let Some(refused) = refused {
        times.waits.lock().unwrap_or_else(PoisonError::into_inner).push(refused.elapsed());
    }
    Json(json!({}))
}

fn run(headers: &HeaderMap) -> String {
    headers.get(header::RUN_UID).and_then(|uid| uid.to_str().ok()).unwrap_or_default().to_owned()
}
