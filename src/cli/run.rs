//! `run`: the controller.

mod elect;
mod elector;
mod parts;
mod serve;
mod surroundings;

use std::net::SocketAddr;
use std::process::ExitCode;

use kube::Config;

use crate::participant::{DestinationRule, Loopback};

/// Runs the controller: drives every SagaRun of the cluster, or of one namespace.
///
/// It talks to the API server that KUBECONFIG names, or with the account of its pod. Participants are Services of a run's
/// own namespace; everything else must be allowed with --allow-destination.
#[derive(Debug, clap::Args)]
pub(super) struct Run {
    /// A host that runs may call beside the Services of their own namespace; may be repeated.
    ///
    /// `api.example.com`, `*.example.com`, `10.1.2.3:8443` or `[fd00::1]`; without a port every port but those of nodes and
    /// control planes; `...@shop,checkout` for runs of these namespaces only. As a variable: separated by spaces.
    #[arg(long, env = "SAGA_ALLOW_DESTINATION", value_name = "HOST[:PORT]", value_delimiter = ' ')]
    allow_destination: Vec<DestinationRule>,

    /// Development only: let runs call this very machine.
    #[arg(long, env = "SAGA_INSECURE_ALLOW_LOOPBACK")]
    insecure_allow_loopback: bool,

    /// Look only at this namespace.
    #[arg(long, env = "SAGA_WATCH_NAMESPACE", value_name = "NAMESPACE")]
    watch_namespace: Option<String>,

    /// DNS domain of the cluster.
    #[arg(long, env = "SAGA_CLUSTER_DOMAIN", value_name = "DOMAIN", default_value = "cluster.local")]
    cluster_domain: String,

    /// PEM file of certificate authorities that participants may be signed by, beside the public ones.
    #[arg(long, env = "SAGA_CA_FILE", value_name = "FILE")]
    ca_file: Option<std::path::PathBuf>,

    /// Calls that one participant (scheme, host and port) may hold open at a time.
    #[arg(long, env = "SAGA_CALLS_PER_PARTICIPANT", value_name = "N", default_value_t = 512, value_parser = clap::value_parser!(u32).range(1..=65_535))]
    calls_per_participant: u32,

    #[command(flatten)]
    elect: elect::Elect,

    /// Where /livez and /readyz are served, as in `:8081`; nowhere unless given.
    #[arg(long, env = "SAGA_HEALTH_PROBE_BIND_ADDRESS", value_name = "[HOST]:PORT", value_parser = listener)]
    health_probe_bind_address: Option<SocketAddr>,

    /// Where /metrics is served, as in `:8080`; nowhere unless given.
    #[arg(long, env = "SAGA_METRICS_BIND_ADDRESS", value_name = "[HOST]:PORT", value_parser = listener)]
    metrics_bind_address: Option<SocketAddr>,

    /// How long calls on the wire may take when the process is asked to end.
    #[arg(long, env = "SAGA_SHUTDOWN_GRACE_SECONDS", value_name = "SECONDS", default_value_t = 25)]
    shutdown_grace_seconds: u16,
}

impl Run {
    pub(super) async fn run(self) -> ExitCode {
        let config = match Config::infer().await {
            Ok(config) => config,
            Err(error) => {
                tracing::error!(
                    %error,
                    "failed to find an API server: set KUBECONFIG, or run in a pod; for sagas without a cluster see \
                     `saga-operator local`"
                );
                return ExitCode::from(2);
            }
        };
        let terms = match self.elect.terms() {
            Ok(terms) => terms,
            Err(error) => {
                tracing::error!(%error, "the flags of leader election do not fit together");
                return ExitCode::from(2);
            }
        };
        match self.serve(config, terms).await {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                tracing::error!(%error, "the operator cannot go on");
                ExitCode::FAILURE
            }
        }
    }

    const fn loopback(&self) -> Loopback {
        if self.insecure_allow_loopback { Loopback::Allowed } else { Loopback::Refused }
    }
}

/// An address to listen at; without a host, at all of this pod's.
fn listener(text: &str) -> Result<SocketAddr, String> {
    let whole = if text.starts_with(':') { format!("[::]{text}") } else { text.to_owned() };
    whole.parse().map_err(|_| {
        "must be an IP address and a port, as in `127.0.0.1:8081`, or `:8081` for all addresses".to_owned()
    })
}
