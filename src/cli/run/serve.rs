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
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::Run;
use super::elect::Elector;
use crate::api::{SagaDefinition, SagaRun};
use crate::clock::Clock;
use crate::controller::definitions::{DefinitionsController, Destinations, KubernetesDefinitions};
use crate::controller::events::{self, EventQueue};
use crate::controller::runs::RunWatch;
use crate::election::{Claim, Durations};
use crate::engine::{Engine, Fleet, LogWitness};
use crate::journal::kubernetes::{Clients, KubernetesJournal};
use crate::observe::health::Health;
use crate::observe::pulse::{Feel, Pulse};
use crate::participant::{HttpError, HttpOptions, HttpParticipant, KubernetesCredentials, Policy};
use crate::saga::{Holder, Owner};

/// How long the kinds may take to appear in the API server.
const KINDS_PATIENCE: Duration = Duration::from_secs(60);

type ClusterEngine = Engine<KubernetesJournal, HttpParticipant, KubernetesDefinitions, (LogWitness, EventQueue)>;

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
    #[error("failed to serve /livez and /readyz at {0}: {1}")]
    Probes(SocketAddr, std::io::Error),
    #[error("failed to listen for signals: {0}")]
    Signals(#[from] std::io::Error),
}

impl Run {
    /// Runs until SIGTERM or SIGINT.
    pub(super) async fn serve(self, config: Config, durations: Durations) -> Result<(), RunError> {
        if self.insecure_allow_loopback {
            tracing::warn!(
                "--insecure-allow-loopback: any saga can call services of this machine; for development only"
            );
        }
        // First of all: nobody listening, the first process of a container does not even notice.
        let mut signals = Signals::listen()?;
        let addresses = api_server_addresses(&config).await;
        let clock = Clock::start();
        let election = self.elect.election(&config, durations, clock)?;
        let claim = election.claim();
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
            (claim.clone(), clock),
        );
        let (queue, publisher) = events::queue();
        let owner = Owner { id: Holder::process(uuid::Uuid::new_v4().as_u128()), tenure: election.tenure() };
        let parts =
            Parts { policy, definitions: definitions.definitions(), events: queue, owner, claim: claim.clone() };
        let engine = Arc::new(self.engine(&clients, clock, parts)?);
        let fleet = Fleet::new(engine.clone());
        let ready = Arc::new(AtomicBool::new(false));
        let health =
            Health { pulses, claim: claim.clone(), elector_bound: durations.lease(), clock, ready: ready.clone() };
        let watch = RunWatch {
            client: clients.read.clone(),
            namespace,
            fleet: fleet.clone(),
            changes: definitions.changes(),
            ready,
        };
        // Through the client that repeats nothing: an Event is not worth a second try.
        tokio::spawn(publisher.run(clients.write.clone()));
        let (mut definitions, mut watch) =
            (tokio::spawn(definitions.run(shutdown.clone())), tokio::spawn(watch.run(runs)));
        let elector = Elector::start(election);
        let probes = probes(self.health_probe_bind_address, health);
        tracing::info!(holder = engine.owner.id.as_str(), version = env!("CARGO_PKG_VERSION"), "the operator is up");

        // A part that ended would leave a process that looks well and does nothing.
        tokio::select! {
            () = signals.any() => {}
            () = claim.ended() => return Err(RunError::Deposed),
            error = probes => return Err(error),
            _ = &mut definitions => return Err(RunError::Ended("definitions")),
            _ = &mut watch => return Err(RunError::Ended("runs")),
        }
        tracing::info!("asked to end: nothing new is sent; calls on the wire are awaited");
        watch.abort();
        shutdown.cancel();
        engine.drain.cancel();
        let settled = tokio::select! {
            settled = self.settle(&fleet, definitions) => settled,
            () = claim.ended() => return Err(RunError::Deposed),
        };
        match settled {
            Settled::All => elector.give_up().await,
            // Who comes next waits until the Lease has run out, and with it the last of these calls' sender.
            Settled::ButFor(runs) => tracing::warn!(
                runs,
                "calls are still on the wire: the Lease is not given back; whoever takes their runs over repeats them"
            ),
        }
        Ok(())
    }

    /// Waits for what is under way.
    async fn settle(&self, fleet: &Fleet<ClusterEngine>, definitions: JoinHandle<()>) -> Settled {
        let grace = Duration::from_secs(self.shutdown_grace_seconds.into());
        let idle = tokio::time::timeout(grace, fleet.idle()).await;
        drop(definitions.await);
        if idle.is_ok() { Settled::All } else { Settled::ButFor(fleet.len()) }
    }

    fn engine(&self, clients: &Clients, clock: Clock, parts: Parts) -> Result<ClusterEngine, HttpError> {
        let Parts { policy, definitions, events, owner, claim } = parts;
        let credentials = Arc::new(KubernetesCredentials::new(clients.read.clone()));
        let calls_per_origin = usize::try_from(self.calls_per_participant).unwrap_or(usize::MAX);
        let options = HttpOptions { calls_per_origin, ca_file: self.ca_file.clone() };
        Ok(Engine {
            journal: KubernetesJournal::new(clients.clone(), clock),
            participant: Arc::new(HttpParticipant::new(policy, credentials, clock, options)?),
            definitions,
            witness: (LogWitness, events),
            clock,
            owner,
            claim,
            drain: CancellationToken::new(),
        })
    }
}

/// Whether everything that was under way came to its end.
enum Settled {
    All,
    /// But for so many runs.
    ButFor(usize),
}

/// What the engine is made of, beside what it makes itself.
struct Parts {
    policy: Arc<Policy>,
    definitions: KubernetesDefinitions,
    events: EventQueue,
    owner: Owner,
    claim: Claim,
}

/// Serves the probes, if somebody wants them; comes back only with an error.
async fn probes(address: Option<SocketAddr>, health: Health) -> RunError {
    let Some(address) = address else { return std::future::pending().await };
    match health.serve(address).await {
        Ok(()) => RunError::Ended("probes"),
        Err(error) => RunError::Probes(address, error),
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
