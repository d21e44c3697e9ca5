//! Puts the parts of the controller together, and takes them apart in order at the end.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::runtime::reflector::store::Writer;
use kube::runtime::wait::{Condition as _, conditions};
use kube::{Api, Config, CustomResourceExt as _};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::Run;
use crate::api::{SagaDefinition, SagaRun};
use crate::clock::Clock;
use crate::controller::definitions::{DefinitionsController, Destinations, KubernetesDefinitions};
use crate::controller::events::{self, EventQueue};
use crate::controller::runs::RunWatch;
use crate::engine::{Engine, Fleet, LogWitness};
use crate::journal::kubernetes::{Clients, KubernetesJournal};
use crate::participant::{HttpError, HttpOptions, HttpParticipant, KubernetesCredentials, Policy};
use crate::saga::{Holder, Owner, Tenure};

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
    #[error("failed to watch {0}: the watch ended; see the log above")]
    Ended(&'static str),
    #[error("failed to listen for signals: {0}")]
    Signals(#[from] std::io::Error),
}

impl Run {
    /// Runs until SIGTERM or SIGINT.
    pub(super) async fn serve(self, config: Config) -> Result<(), RunError> {
        if self.insecure_allow_loopback {
            tracing::warn!(
                "--insecure-allow-loopback: any saga can call services of this machine; for development only"
            );
        }
        // First of all: nobody listening, the first process of a container does not even notice.
        let mut signals = Signals::listen()?;
        let addresses = api_server_addresses(&config).await;
        let clients = Clients::new(config)?;
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
        let definitions =
            DefinitionsController::new(clients.clone(), namespace.clone(), destinations, runs.as_reader());
        let (queue, publisher) = events::queue();
        let engine = Arc::new(self.engine(&clients, policy, definitions.definitions(), queue)?);
        let fleet = Fleet::new(engine.clone());
        let watch =
            RunWatch { client: clients.read.clone(), namespace, fleet: fleet.clone(), changes: definitions.changes() };
        // Through the client that repeats nothing: an Event is not worth a second try.
        tokio::spawn(publisher.run(clients.write.clone()));
        let mut definitions = tokio::spawn(definitions.run(shutdown.clone()));
        let mut watch = tokio::spawn(watch.run(runs));
        tracing::info!(holder = engine.owner.id.as_str(), version = env!("CARGO_PKG_VERSION"), "the operator is up");

        // A watch that ended would leave a process that looks well and does nothing.
        let part_ended = tokio::select! {
            () = signals.any() => None,
            _ = &mut definitions => Some("definitions"),
            _ = &mut watch => Some("runs"),
        };
        if let Some(part) = part_ended {
            return Err(RunError::Ended(part));
        }
        tracing::info!("asked to end: nothing new is sent; calls on the wire are awaited");
        watch.abort();
        shutdown.cancel();
        engine.drain.cancel();
        let grace = Duration::from_secs(self.shutdown_grace_seconds.into());
        if tokio::time::timeout(grace, fleet.idle()).await.is_err() {
            tracing::warn!(
                runs = fleet.len(),
                "calls are still on the wire; whoever takes their runs over repeats them"
            );
        }
        drop(definitions.await);
        Ok(())
    }

    fn engine(
        &self,
        clients: &Clients,
        policy: Arc<Policy>,
        definitions: KubernetesDefinitions,
        events: EventQueue,
    ) -> Result<ClusterEngine, HttpError> {
        let clock = Clock::start();
        let credentials = Arc::new(KubernetesCredentials::new(clients.read.clone()));
        let calls_per_origin = usize::try_from(self.calls_per_participant).unwrap_or(usize::MAX);
        let options = HttpOptions { calls_per_origin, ca_file: self.ca_file.clone() };
        Ok(Engine {
            journal: KubernetesJournal::new(clients.clone()),
            participant: Arc::new(HttpParticipant::new(policy, credentials, clock, options)?),
            definitions,
            witness: (LogWitness, events),
            clock,
            owner: Owner { id: Holder::process(uuid::Uuid::new_v4().as_u128()), tenure: Tenure::Contended },
            drain: CancellationToken::new(),
        })
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
