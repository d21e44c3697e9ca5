//! The flags of leader election, named as those of kube-controller-manager, and the elector that they make.

use std::collections::BTreeMap;

use kube::Config;

use crate::clock::Clock;
use crate::election::{Durations, DurationsError, Ground, Identity, Member, Office, Shards, ShardsError, Stance};
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

    /// Name of the Lease; with several shards what their names begin with (`saga-operator-0`).
    #[arg(long, env = "SAGA_LEADER_ELECT_RESOURCE_NAME", value_name = "NAME", default_value = "saga-operator")]
    leader_elect_resource_name: String,

    /// Namespace of the Lease; that of the pod unless named.
    #[arg(long, env = "SAGA_LEADER_ELECT_RESOURCE_NAMESPACE", value_name = "NAMESPACE")]
    leader_elect_resource_namespace: Option<String>,

    /// Into how many parts the runs are divided, 1 to 64, which the replicas share among them. The same for all replicas.
    ///
    /// With more than one, several replicas drive runs at the same time, each the runs of its own shards. Each shard costs one
    /// write in each retry period. Changed only while no replica runs.
    #[arg(long, env = "SAGA_SHARDS", value_name = "N", default_value_t = 1)]
    shards: u16,

    /// Name of this replica's pod: what the Lease calls its holder, with a random suffix.
    #[arg(long, env = "POD_NAME", value_name = "NAME", hide = true)]
    pod_name: Option<String>,
}

/// The flags do not fit together.
#[derive(Debug, thiserror::Error)]
pub(super) enum ElectError {
    #[error(transparent)]
    Durations(#[from] DurationsError),
    #[error(transparent)]
    Shards(#[from] ShardsError),
    #[error(
        "--shards is {0} and --leader-elect is off: replicas share shards by election; switch it on, or leave --shards at 1"
    )]
    Undivided(u16),
}

/// The flags, read.
#[derive(Clone, Debug)]
pub(super) struct Terms {
    durations: Durations,
    shards: Shards,
}

/// How this process comes to act.
pub(super) struct Election {
    /// What it leads.
    pub(super) office: Office,
    /// What it means for taking runs over.
    pub(super) tenure: Tenure,
    /// Who stands for it, and how to reach the API server for that; nobody, if nobody is elected.
    pub(super) member: Option<(Member, Config)>,
}

impl Terms {
    /// How long an elector may be silent.
    pub(super) const fn silence(&self) -> std::time::Duration {
        self.durations.lease()
    }
}

impl Elect {
    /// The flags, read.
    ///
    /// # Errors
    /// Which flag is wrong, and why.
    pub(super) fn terms(&self) -> Result<Terms, ElectError> {
        let (lease, deadline) = (&self.leader_elect_lease_duration, &self.leader_elect_renew_deadline);
        let durations = Durations::parse(lease, deadline, &self.leader_elect_retry_period)?;
        let shards = Shards::new(self.shards, &self.leader_elect_resource_name)?;
        if shards.count() > 1 && !self.is_on() {
            return Err(ElectError::Undivided(self.shards));
        }
        Ok(Terms { durations, shards })
    }

    fn is_on(&self) -> bool {
        self.leader_elect.unwrap_or_else(|| std::env::var_os("KUBERNETES_SERVICE_HOST").is_some())
    }

    /// The elector, with a client of its own: a renewal must not queue behind journal writes, nor be repeated.
    pub(super) fn election(&self, config: &Config, terms: Terms, clock: Clock) -> Election {
        if !self.is_on() {
            tracing::info!("leader election is off: replicas wait long before they take a run from another");
            return Election { office: Office::unelected(), tenure: Tenure::Contended, member: None };
        }
        let mut own = config.clone();
        own.default_retry = false;
        let named = self.leader_elect_resource_namespace.clone();
        let namespace = named.unwrap_or_else(|| config.default_namespace.clone());
        let ground = Ground { namespace, shards: terms.shards, labels: labels() };
        let host = self.pod_name.clone().or_else(|| std::env::var("HOSTNAME").ok()).unwrap_or_default();
        let random = uuid::Uuid::new_v4().as_u128();
        let seed = uuid::Uuid::new_v4().as_u64_pair().0;
        let stance = Stance { identity: Identity::fresh(&host, random), durations: terms.durations, clock, seed };
        let member = Member::new(ground, stance);
        Election { office: member.office(), tenure: Tenure::Elected, member: Some((member, own)) }
    }
}

fn labels() -> BTreeMap<String, String> {
    BTreeMap::from([("app.kubernetes.io/name".to_owned(), "saga-operator".to_owned())])
}
