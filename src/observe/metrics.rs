//! `/metrics`: what a scraper asks, in the format of OpenMetrics.
//!
//! Everything is read when it is asked for; nothing is counted on the way of a run.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::routing::get;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::{Registry, Unit};

use super::listen::listen;
use super::pulse::Pulse;
use crate::clock::Clock;
use crate::election::Office;

/// 1 while this process leads by the Lease of that `name`, else 0; named as by client-go.
pub const LEADS: &str = "leader_election_master_status";
/// Terms that this process has begun as a leader; `_total` is added to it. Summed over all replicas: changes of leaders.
pub const TERMS: &str = "saga_operator_leader_terms";
/// Runs that this process drives at the moment.
pub const DRIVEN: &str = "saga_operator_runs_driven";
/// How long ago the API server last answered a list or a watch of that `kind`; `_seconds` is added to it.
pub const WATCH_SILENCE: &str = "saga_operator_watch_silence";
/// How long ago the elector last did something; `_seconds` is added to it.
pub const ELECTOR_SILENCE: &str = "saga_operator_elector_silence";

const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// What is shown.
#[derive(Clone)]
pub struct Metrics {
    /// The watches.
    pub pulses: Vec<Pulse>,
    /// What this process leads.
    pub office: Office,
    /// The clock of all of these.
    pub clock: Clock,
    /// How many runs it drives.
    pub driven: Arc<dyn Fn() -> usize + Send + Sync>,
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

impl Metrics {
    /// Serves for ever.
    ///
    /// # Errors
    /// When nobody can listen there.
    pub async fn serve(self, address: SocketAddr) -> std::io::Result<()> {
        let listener = listen(address).await?;
        tracing::info!(address = %listener.local_addr()?, "serving /metrics");
        axum::serve(listener, self.routes()).await
    }

    fn routes(self) -> Router {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(self));
        Router::new().route("/metrics", get(scrape)).with_state(Arc::new(registry))
    }
}

async fn scrape(
    State(registry): State<Arc<Registry>>,
) -> (StatusCode, [(axum::http::HeaderName, &'static str); 1], String) {
    let mut text = String::new();
    match encode(&mut text, &registry) {
        Ok(()) => (StatusCode::OK, [(CONTENT_TYPE, OPEN_METRICS)], text),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, [(CONTENT_TYPE, "text/plain")], error.to_string()),
    }
}

impl Collector for Metrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let held = self.office.leases(self.clock.now().monotonic);
        if !held.is_empty() {
            let mut leads =
                encoder.encode_descriptor(LEADS, "whether this process leads by a Lease", None, MetricType::Gauge)?;
            for (lease, leading) in &held {
                let labels = [("name", lease.as_str())];
                ConstGauge::new(i64::from(*leading)).encode(leads.encode_family(&labels)?)?;
            }
            let terms = ConstCounter::new(self.office.terms_begun());
            let help = "terms that this process has begun as a leader";
            terms.encode(encoder.encode_descriptor(TERMS, help, None, terms.metric_type())?)?;
            let silence = ConstGauge::new(self.office.silent_for().as_secs_f64());
            let help = "time since the elector last did something";
            let descriptor =
                encoder.encode_descriptor(ELECTOR_SILENCE, help, Some(&Unit::Seconds), silence.metric_type())?;
            silence.encode(descriptor)?;
        }
        let driven = ConstGauge::new(i64::try_from((self.driven)()).unwrap_or(i64::MAX));
        driven.encode(encoder.encode_descriptor(
            DRIVEN,
            "runs that this process drives",
            None,
            driven.metric_type(),
        )?)?;
        let help = "time since the API server last answered a list or a watch";
        let mut silence = encoder.encode_descriptor(WATCH_SILENCE, help, Some(&Unit::Seconds), MetricType::Gauge)?;
        for pulse in &self.pulses {
            let labels = [("kind", pulse.kind())];
            ConstGauge::new(pulse.age().as_secs_f64()).encode(silence.encode_family(&labels)?)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_process_that_nobody_elects_shows_its_work_and_nothing_of_an_election() {
        let clock = Clock::start();
        let metrics = Metrics {
            pulses: vec![Pulse::new("sagaruns", clock)],
            office: Office::unelected(),
            clock,
            driven: Arc::new(|| 7),
        };
        tokio::time::sleep(Duration::from_secs(3)).await;
        let mut registry = Registry::default();
        registry.register_collector(Box::new(metrics));
        let (status, _, text) = scrape(State(Arc::new(registry))).await;
        assert_eq!(status, StatusCode::OK);
        assert!(text.contains(&format!("\n{DRIVEN} 7\n")), "{text}");
        assert!(text.contains(&format!("{WATCH_SILENCE}_seconds{{kind=\"sagaruns\"}} 3.0\n")), "{text}");
        assert!(!text.contains(LEADS) && text.ends_with("# EOF\n"), "{text}");
    }
}
