//! Puts the parts of the controller together, and sees to it that they end in order.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use kube::Config;
use kube::runtime::reflector::store::Writer;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::Run;
use super::elect::{Election, Terms};
use super::elector::Elector;
use super::parts::{Parts, Shared};
use super::surroundings::{api_server_addresses, await_kinds};
use crate::clock::Clock;
use crate::controller::definitions::{DefinitionsController, Destinations};
use crate::controller::events;
use crate::controller::runs::RunWatch;
use crate::engine::{Fleets, Told};
use crate::journal::kubernetes::{Clients, KubernetesJournal};
use crate::observe::health::Health;
use crate::observe::metrics::Metrics;
use crate::observe::pulse::{Feel, Pulse};
use crate::participant::{HttpError, HttpOptions, HttpParticipant, KubernetesCredentials, Policy};

/// Why the controller cannot go on.
#[derive(Debug, thiserror::Error)]
pub(super) enum RunError {
    #[error("failed to use the configuration of the API server: {0}")]
    Client(#[from] kube::Error),
    #[error("failed to find the kind {0} in the API server: install it with `saga-operator crds | kubectl apply -f -`")]
    NoKind(&'static str),
    #[error(
        "failed to ask the API server for the kind {0}: {1}; is it up, does the network let this process through, may its \
         account `get` the CustomResourceDefinition?"
    )]
    Unasked(&'static str, String),
    #[error(transparent)]
    Http(#[from] HttpError),
    #[error("failed to go on with {0}: that part of the operator ended; see the log above")]
    Ended(&'static str),
    #[error("this process does not lead any more: it stops, so that whoever leads next is alone; see the log above")]
    Deposed,
    #[error("failed to listen at {0}: {1}; see --health-probe-bind-address and --metrics-bind-address")]
    Listen(SocketAddr, std::io::Error),
    #[error("failed to start a thread: {0}")]
    Thread(std::io::Error),
    #[error("failed to listen for signals: {0}")]
    Signals(#[from] std::io::Error),
}

impl Run {
    /// Runs until SIGTERM or SIGINT.
    pub(super) async fn serve(self, config: Config, terms: Terms) -> Result<(), RunError> {
        if self.insecure_allow_loopback {
            tracing::warn!(
                "--insecure-allow-loopback: any saga can call services of this machine; for development only"
            );
        }
        // First of all: nobody listening, the first process of a container does not even notice.
        let mut signals = Signals::listen()?;
        let clock = Clock::start();
        let addresses = api_server_addresses(&config).await;
        let elector_bound = terms.silence();
        let election = self.elect.election(&config, terms, clock);
        let office = election.office.clone();
        let pulses = ["sagaruns", "sagadefinitions"].map(|kind| Pulse::new(kind, clock)).to_vec();
        let clients = Clients::felt(config, &Feel(pulses.clone()))?;
        tokio::select! {
            found = await_kinds(&clients) => found?,
            () = signals.any() => return Ok(()),
        }
        let ready = Arc::new(AtomicBool::new(false));
        let mut parts = self.start(&clients, addresses, (election, clock), ready.clone())?;
        let metrics = {
            let fleets = parts.fleets.clone();
            Metrics { pulses: pulses.clone(), office: office.clone(), clock, driven: Arc::new(move || fleets.len()) }
        };
        let health = Health { pulses, office, elector_bound, ready };
        let probes = listen(self.health_probe_bind_address, |address| health.serve(address));
        let metrics = listen(self.metrics_bind_address, |address| metrics.serve(address));
        tracing::info!(version = env!("CARGO_PKG_VERSION"), "the operator is up");

        let ended = tokio::select! {
            () = signals.any() => Ok(()),
            error = parts.failed() => Err(error),
            error = probes => Err(error),
            error = metrics => Err(error),
        };
        let ended = match ended {
            Ok(()) => parts.leave(Duration::from_secs(self.shutdown_grace_seconds.into())).await,
            failed => failed,
        };
        parts.stop().await;
        ended
    }

    /// Everything that works on definitions and runs, each part in a task of its own.
    fn start(
        &self,
        clients: &Clients,
        addresses: Vec<IpAddr>,
        (election, clock): (Election, Clock),
        ready: Arc<AtomicBool>,
    ) -> Result<Parts, RunError> {
        let Election { office, tenure, member } = election;
        let rules = self.allow_destination.clone();
        let policy = Arc::new(Policy::cluster(rules, &self.cluster_domain, addresses, self.loopback()));
        let destinations = {
            let policy = policy.clone();
            Destinations::new(move |namespace, url| policy.check_url(namespace, url).map_err(|error| error.to_string()))
        };
        let namespace = self.watch_namespace.clone();
        let runs = Writer::new(());
        let definitions = DefinitionsController::new(
            clients.clone(),
            namespace.clone(),
            destinations,
            runs.as_reader(),
            (office.clone(), clock),
        );
        let (queue, publisher) = events::queue();
        let journal = Arc::new(KubernetesJournal::new(clients.clone(), clock));
        let shared = Shared {
            journal: journal.clone(),
            participant: self.participant(clients, clock, policy)?,
            definitions: definitions.definitions(),
            events: queue,
            clock,
            tenure,
        };
        let fleets = Fleets::new(office.clone(), move |shard, claim| Arc::new(shared.engine(shard, claim)));
        let (begun, begins) = mpsc::unbounded_channel();
        let watch = RunWatch {
            client: clients.read.clone(),
            namespace,
            fleets: fleets.clone(),
            begun: begins,
            office: (office, clock),
            journal,
            changes: definitions.changes(),
            ready,
        };
        // Through the client that repeats nothing: an Event is not worth a second try.
        tokio::spawn(publisher.run(clients.write.clone()));
        let shutdown = CancellationToken::new();
        let definitions = tokio::spawn(definitions.run(shutdown.clone()));
        let watch = tokio::spawn(watch.run(runs));
        let (elector, drained) = Elector::start(member).map_err(RunError::Thread)?;
        let deposed = {
            let (fleets, told) = (fleets.clone(), Told { begun, drained });
            tokio::spawn(async move { fleets.follow(told).await })
        };
        Ok(Parts { fleets, elector, definitions, watch, deposed, shutdown })
    }

    fn participant(
        &self,
        clients: &Clients,
        clock: Clock,
        policy: Arc<Policy>,
    ) -> Result<Arc<HttpParticipant>, HttpError> {
        let credentials = Arc::new(KubernetesCredentials::new(clients.read.clone()));
        let calls_per_origin = usize::try_from(self.calls_per_participant).unwrap_or(usize::MAX);
        let options = HttpOptions { calls_per_origin, ca_file: self.ca_file.clone() };
        Ok(Arc::new(HttpParticipant::new(policy, credentials, clock, options)?))
    }
}

/// Serves something, if somebody wants it; comes back only with an error.
async fn listen<S: Future<Output = std::io::Result<()>>>(
    address: Option<SocketAddr>,
    serve: impl FnOnce(SocketAddr) -> S,
) -> RunError {
    let Some(address) = address else { return std::future::pending().await };
    match serve(address).await {
        Ok(()) => RunError::Ended("a listener"),
        Err(error) => RunError::Listen(address, error),
    }
}

/// SIGTERM and SIGINT.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn listen() -> std::io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    /// Waits for one; those that came since [`Self::listen`] count.
    async fn any(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
