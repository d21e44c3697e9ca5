//! The flags of leader election, named as those of kube-controller-manager, and the candidate that they make.

use std::collections::BTreeMap;

use kube::{Client, Config};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::election::{Candidate, Claim, Durations, DurationsError, End, Identity, Place, Stance};
use crate::saga::Tenure;

/// Which of several replicas drives the runs.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Leader election")]
pub(super) struct Elect {
    /// Let only one of several replicas drive runs. On in a pod; elsewhere off unless asked for.
    ///
    /// Without it replicas share the work by taking runs over from each other when they are silent for long: safe, and slow
    /// after a crash.
    #[arg(long, env = "SAGA_LEADER_ELECT", value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    leader_elect: Option<bool>,

    /// How long the others wait for a leader that has gone silent, in whole seconds (`15s`, `1m`).
    #[arg(long, env = "SAGA_LEADER_ELECT_LEASE_DURATION", value_name = "DURATION", default_value = "15s")]
    leader_elect_lease_duration: String,

    /// How long a leader that cannot renew its Lease goes on before it stops (`10s`); shorter than the lease duration.
    #[arg(long, env = "SAGA_LEADER_ELECT_RENEW_DEADLINE", value_name = "DURATION", default_value = "10s")]
    leader_elect_renew_deadline: String,

    /// How often the Lease is renewed and looked at (`2s`, `500ms`); 1.2 times of it shorter than the renew deadline.
    #[arg(long, env = "SAGA_LEADER_ELECT_RETRY_PERIOD", value_name = "DURATION", default_value = "2s")]
    leader_elect_retry_period: String,

    /// Name of the Lease.
    #[arg(long, env = "SAGA_LEADER_ELECT_RESOURCE_NAME", value_name = "NAME", default_value = "saga-operator")]
    leader_elect_resource_name: String,

    /// Namespace of the Lease; that of the pod unless named.
    #[arg(long, env = "SAGA_LEADER_ELECT_RESOURCE_NAMESPACE", value_name = "NAMESPACE")]
    leader_elect_resource_namespace: Option<String>,

    /// Name of this replica's pod: what the Lease calls its holder, with a random suffix.
    #[arg(long, env = "POD_NAME", value_name = "NAME", hide = true)]
    pod_name: Option<String>,
}

/// How this process comes to act.
pub(super) enum Election {
    /// Nobody is elected.
    Off,
    /// It stands for a Lease.
    On(Box<Candidate>),
}

impl Elect {
    /// The durations, as given.
    ///
    /// # Errors
    /// Which flag is wrong, and why.
    pub(super) fn durations(&self) -> Result<Durations, DurationsError> {
        let (lease, deadline) = (&self.leader_elect_lease_duration, &self.leader_elect_renew_deadline);
        Durations::parse(lease, deadline, &self.leader_elect_retry_period)
    }

    fn is_on(&self) -> bool {
        self.leader_elect.unwrap_or_else(|| std::env::var_os("KUBERNETES_SERVICE_HOST").is_some())
    }

    /// The candidate, with a client of its own: a renewal must not queue behind journal writes, nor be repeated.
    pub(super) fn election(
        &self,
        config: &Config,
        durations: Durations,
        clock: Clock,
    ) -> Result<Election, kube::Error> {
        if !self.is_on() {
            tracing::info!("leader election is off: replicas wait long before they take a run from another");
            return Ok(Election::Off);
        }
        let mut own = config.clone();
        own.default_retry = false;
        let named = self.leader_elect_resource_namespace.clone();
        let namespace = named.unwrap_or_else(|| config.default_namespace.clone());
        let place = Place { namespace, name: self.leader_elect_resource_name.clone(), labels: labels() };
        let host = self.pod_name.clone().or_else(|| std::env::var("HOSTNAME").ok()).unwrap_or_default();
        let random = uuid::Uuid::new_v4().as_u128();
        let seed = uuid::Uuid::new_v4().as_u64_pair().0;
        let stance = Stance { identity: Identity::fresh(&host, random), durations, clock, seed };
        Ok(Election::On(Box::new(Candidate::new(Client::try_from(own)?, place, stance))))
    }
}

impl Election {
    /// What everything that is stored or sent has to show.
    pub(super) fn claim(&self) -> Claim {
        match self {
            Self::Off => Claim::unelected(),
            Self::On(candidate) => candidate.claim(),
        }
    }

    /// What it means for taking runs over.
    pub(super) const fn tenure(&self) -> Tenure {
        match self {
            Self::Off => Tenure::Contended,
            Self::On(_) => Tenure::Elected,
        }
    }
}

/// The candidate at work, if there is one.
pub(super) struct Elector {
    release: CancellationToken,
    task: Option<JoinHandle<End>>,
}

impl Elector {
    /// Lets the candidate stand.
    pub(super) fn start(election: Election) -> Self {
        let release = CancellationToken::new();
        let task = match election {
            Election::Off => None,
            Election::On(candidate) => Some(tokio::spawn(candidate.run(release.clone()))),
        };
        Self { release, task }
    }

    /// Gives the Lease back: another process may act from now on. Nothing may be under way any more.
    pub(super) async fn give_up(self) {
        self.release.cancel();
        if let Some(task) = self.task
            && let Err(error) = task.await
        {
            tracing::error!(%error, "failed to give the Lease back; the others wait until it has run out");
        }
    }
}

fn labels() -> BTreeMap<String, String> {
    BTreeMap::from([("app.kubernetes.io/name".to_owned(), "saga-operator".to_owned())])
}
