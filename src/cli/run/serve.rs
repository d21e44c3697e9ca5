//! Puts the parts of the controller together, and takes them apart in order at the end.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::runtime::reflector::store::Writer;
use kube::runtime::wait::{Condition as _, conditions};
use kube::{Api, Config, CustomResourceExt as _};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::Run;
use super::elect::{Election, Terms};
use super::elector::Elector;
use crate::api::{SagaDefinition, SagaRun};
use crate::clock::Clock;
use crate::controller::definitions::{DefinitionsController, Destinations, KubernetesDefinitions};
use crate::controller::events::{self, EventQueue};
use crate::controller::runs::RunWatch;
use crate::election::{Claim, Shard};
use crate::engine::{Engine, Fleets, LogWitness, Told};
use crate::journal::kubernetes::{Clients, KubernetesJournal};
use crate::observe::health::Health;
use crate::observe::metrics::Metrics;
use crate::observe::pulse::{Feel, Pulse};
use crate::participant::{HttpError, HttpOptions, HttpParticipant, KubernetesCredentials, Policy};
use crate::saga::{Holder, Owner, Tenure};

/// How long the kinds may take to appear in the API server.
const KINDS_PATIENCE: Duration = Duration::from_secs(60);

type ClusterEngine = Engine<Arc<KubernetesJournal>, HttpParticipant, KubernetesDefinitions, (LogWitness, EventQueue)>;

/// Why the controller cannot go on.
#[derive(Debug, thiserror::Error)]
pub(super) enum RunError {
    #[error("failed to use the configuration of the API server: {0}")]
    Client(#[from] kube::Error),
    #[error(
        "failed to find the kind {0} in the API server: install it with `saga-operator crds | kubectl apply -f -` ({1})"
    )]
    Kind(&'static str, String),
    #[error(transparent)]
    Http(#[from] HttpError),
    #[error("failed to go on with {0}: that part of the operator ended; see the log above")]
    Ended(&'static str),
    #[error("this process does not lead any more: it stops, so that whoever leads next is alone; see the log above")]
    Deposed,
    #[error("failed to listen at {0}: {1}; see --health-probe-bind-address and --metrics-bind-address")]
    Listen(SocketAddr, std::io::Error),
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
        let addresses = api_server_addresses(&config).await;
        let clock = Clock::start();
        let elector_bound = terms.silence();
        let Election { office, tenure, member } = self.elect.election(&config, terms, clock)?;
        let pulses = ["sagaruns", "sagadefinitions"].map(|kind| Pulse::new(kind, clock)).to_vec();
        let clients = Clients::felt(config, &Feel(pulses.clone()))?;
        for (kind, crd) in [("SagaDefinition", SagaDefinition::crd_name()), ("SagaRun", SagaRun::crd_name())] {
            tokio::select! {
                found = await_kind(&clients, kind, crd) => found?,
                () = signals.any() => return Ok(()),
            }
        }
        let rules = self.allow_destination.clone();
        let policy = Arc::new(Policy::cluster(rules, &self.cluster_domain, addresses, self.loopback()));

        let shutdown = CancellationToken::new();
        let runs = Writer::new(());
        let destinations = {
            let policy = policy.clone();
            Destinations::new(move |namespace, url| policy.check_url(namespace, url).map_err(|error| error.to_string()))
        };
        let namespace = self.watch_namespace.clone();
        let definitions = DefinitionsController::new(
            clients.clone(),
            namespace.clone(),
            destinations,
            runs.as_reader(),
            (office.clone(), clock),
        );
        let (queue, publisher) = events::queue();
        let shared = Shared {
            journal: Arc::new(KubernetesJournal::new(clients.clone(), clock)),
            participant: self.participant(&clients, clock, policy)?,
            definitions: definitions.definitions(),
            events: queue,
            clock,
            tenure,
        };
        let journal = shared.journal.clone();
        let fleets = Fleets::new(office.clone(), move |shard, claim| Arc::new(shared.engine(shard, claim)));
        let ready = Arc::new(AtomicBool::new(false));
        let metrics = {
            let fleets = fleets.clone();
            Metrics { pulses: pulses.clone(), office: office.clone(), clock, driven: Arc::new(move || fleets.len()) }
        };
        let health = Health { pulses, office: office.clone(), elector_bound, ready: ready.clone() };
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
        let (mut definitions, mut watch) =
            (tokio::spawn(definitions.run(shutdown.clone())), tokio::spawn(watch.run(runs)));
        let (mut elector, drained) = Elector::start(member);
        let mut deposed = {
            let (fleets, told) = (fleets.clone(), Told { begun, drained });
            tokio::spawn(async move { fleets.follow(told).await })
        };
        let probes = serve(self.health_probe_bind_address, |address| health.serve(address));
        let metrics = serve(self.metrics_bind_address, |address| metrics.serve(address));
        tracing::info!(version = env!("CARGO_PKG_VERSION"), "the operator is up");

        // A part that ended would leave a process that looks well and does nothing.
        tokio::select! {
            () = signals.any() => {}
            _ = &mut deposed => return Err(RunError::Deposed),
            error = elector.ended() => return Err(error),
            error = probes => return Err(error),
            error = metrics => return Err(error),
            _ = &mut definitions => return Err(RunError::Ended("definitions")),
            _ = &mut watch => return Err(RunError::Ended("runs")),
        }
        tracing::info!("asked to end: nothing new is sent; calls on the wire are awaited");
        watch.abort();
        shutdown.cancel();
        fleets.drain();
        let settled = async {
            drop(definitions.await);
            elector.leave(&fleets).await
        };
        let grace = Duration::from_secs(self.shutdown_grace_seconds.into());
        tokio::select! {
            settled = tokio::time::timeout(grace, settled) => settled.unwrap_or_else(|_| {
                // Who comes next waits until the Lease has run out, and with it the sender of these calls.
                tracing::warn!(
                    runs = fleets.len(),
                    "calls are still on the wire: their Lease is not given back; whoever takes their runs over repeats them"
                );
                Ok(())
            }),
            _ = deposed => Err(RunError::Deposed),
        }
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

/// What the engines of all terms share.
struct Shared {
    journal: Arc<KubernetesJournal>,
    participant: Arc<HttpParticipant>,
    definitions: KubernetesDefinitions,
    events: EventQueue,
    clock: Clock,
    tenure: Tenure,
}

impl Shared {
    /// The engine of one term.
    fn engine(&self, shard: Shard, claim: Claim) -> ClusterEngine {
        let id = Holder::process(uuid::Uuid::new_v4().as_u128());
        tracing::info!(%shard, holder = id.as_str(), "drives the runs of this shard");
        Engine {
            journal: self.journal.clone(),
            participant: self.participant.clone(),
            definitions: self.definitions.clone(),
            witness: (LogWitness, self.events.clone()),
            clock: self.clock,
            owner: Owner { id, tenure: self.tenure },
            claim,
            drain: CancellationToken::new(),
        }
    }
}

/// Serves something, if somebody wants it; comes back only with an error.
async fn serve<S: Future<Output = std::io::Result<()>>>(
    address: Option<SocketAddr>,
    serve: impl FnOnce(SocketAddr) -> S,
) -> RunError {
    let Some(address) = address else { return std::future::pending().await };
    match serve(address).await {
        Ok(()) => RunError::Ended("a listener"),
        Err(error) => RunError::Listen(address, error),
    }
}

/// Waits until a kind can be used.
async fn await_kind(clients: &Clients, kind: &'static str, crd: &str) -> Result<(), RunError> {
    let api: Api<CustomResourceDefinition> = Api::all(clients.read.clone());
    let mut said = false;
    let deadline = tokio::time::Instant::now() + KINDS_PATIENCE;
    loop {
        let found = match api.get_opt(crd).await {
            Ok(found) => found,
            Err(error) => return Err(RunError::Kind(kind, error.to_string())),
        };
        if conditions::is_crd_established().matches_object(found.as_ref()) {
            return Ok(());
        }
        if tokio::time::Instant::now() > deadline {
            return Err(RunError::Kind(kind, format!("it did not appear within {} s", KINDS_PATIENCE.as_secs())));
        }
        if !std::mem::replace(&mut said, true) {
            tracing::warn!(kind, "waiting for the kind: install it with `saga-operator crds | kubectl apply -f -`");
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

/// The addresses of the API server, which no saga may call.
async fn api_server_addresses(config: &Config) -> Vec<IpAddr> {
    let mut hosts: Vec<String> = config.cluster_url.host().map(str::to_owned).into_iter().collect();
    hosts.extend(std::env::var("KUBERNETES_SERVICE_HOST").ok());
    let mut addresses = Vec::new();
    for host in hosts {
        let host = host.trim_matches(['[', ']']);
        match tokio::net::lookup_host((host, 0)).await {
            Ok(found) => addresses.extend(found.map(|address| address.ip())),
            Err(error) => {
                tracing::warn!(host, %error, "failed to look up the API server: its address is not kept from sagas")
            }
        }
    }
    // A development cluster on this very machine: the flag that allows loopback decides, not this list.
    addresses.retain(|address| !address.is_loopback());
    addresses
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
