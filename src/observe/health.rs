//! `/livez` and `/readyz`: what the kubelet asks.
//!
//! # Guarantees
//! Ready says nothing about leading: a follower is ready, it watches and can take over. Not alive means that a restart is
//! the only thing left to try: a watch that nobody answers, or an elector that hangs, for longer than its bound.
//!
//! # Caveats
//! While the API server is gone nothing can be watched, and replicas are restarted every few minutes; a fresh process takes
//! up its runs as soon as the server is back.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;

use super::listen::listen;
use super::pulse::Pulse;
use crate::election::Office;

/// A watch is renewed within a minute; three that fail are no accident.
pub const WATCH_BOUND: Duration = Duration::from_secs(180);

/// What is looked at.
#[derive(Clone, Debug)]
pub struct Health {
    /// The watches.
    pub pulses: Vec<Pulse>,
    /// What the elector writes.
    pub office: Office,
    /// How long an elector may be silent.
    pub elector_bound: Duration,
    /// The caches are filled.
    pub ready: Arc<AtomicBool>,
}

impl Health {
    /// Serves for ever.
    ///
    /// # Errors
    /// When nobody can listen there.
    pub async fn serve(self, address: SocketAddr) -> std::io::Result<()> {
        let listener = listen(address).await?;
        tracing::info!(address = %listener.local_addr()?, "serving /livez and /readyz");
        let routes = Router::new().route("/livez", get(livez)).route("/readyz", get(readyz)).with_state(self);
        axum::serve(listener, routes).await
    }

    /// Everything that is silent for longer than it may be, in words.
    fn silent(&self) -> Vec<String> {
        let watches = self.pulses.iter().map(|pulse| (format!("watch of {}", pulse.kind()), pulse.age(), WATCH_BOUND));
        let elector = self.office.silent_for();
        let all = watches.chain([("leader elector".to_owned(), elector, self.elector_bound)]);
        all.filter(|(_, age, bound)| age > bound)
            .map(|(what, age, bound)| format!("{what}: silent for {} s, may be {} s", age.as_secs(), bound.as_secs()))
            .collect()
    }
}

async fn livez(State(health): State<Health>) -> (StatusCode, String) {
    answer(health.silent())
}

async fn readyz(State(health): State<Health>) -> (StatusCode, String) {
    let ready = health.ready.load(Ordering::Relaxed);
    answer(if ready { Vec::new() } else { vec!["the runs are not listed yet".to_owned()] })
}

fn answer(wrong: Vec<String>) -> (StatusCode, String) {
    if wrong.is_empty() {
        (StatusCode::OK, "ok\n".to_owned())
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, wrong.join("\n") + "\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;

    #[tokio::test(start_paused = true)]
    async fn a_process_is_alive_while_its_watches_are_answered_and_ready_once_it_has_listed() {
        let clock = Clock::start();
        let health = Health {
            pulses: vec![Pulse::new("sagaruns", clock)],
            office: Office::unelected(),
            elector_bound: Duration::from_secs(30),
            ready: Arc::default(),
        };
        assert_eq!(livez(State(health.clone())).await.0, StatusCode::OK);
        assert_eq!(readyz(State(health.clone())).await.0, StatusCode::SERVICE_UNAVAILABLE);
        health.ready.store(true, Ordering::Relaxed);
        assert_eq!(readyz(State(health.clone())).await.0, StatusCode::OK);
        tokio::time::sleep(WATCH_BOUND + Duration::from_secs(1)).await;
        let (status, text) = livez(State(health)).await;
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(text, "watch of sagaruns: silent for 181 s, may be 180 s\n");
    }
}
