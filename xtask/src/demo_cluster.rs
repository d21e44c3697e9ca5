//! Sagas on a real API server: one succeeds, one is undone, one retries, one survives the death of the operator; one goes
//! on behind its Pivot, two hold things that are confirmed or cancelled, one needs a person.
//!
//! Flow: a control plane, the participants, the operator with the token of its ServiceAccount; then `kubectl apply` and
//! what `kubectl get -w` says. The end is what the participants saw and whether every claim held.
//! Guarantees: the exit code is zero only if all held; what was started is stopped, also after a failure and Ctrl-C.

mod actors;
mod http;
mod kubectl;
mod proof;
mod stories;

use std::process::ExitCode;
use std::time::Instant;

use crate::cluster::{Borrowed, ClusterError, Durability};
use crate::paths;
use actors::{ActorError, Directory, Operator, Participants};
use kubectl::{Kubectl, KubectlError};
use proof::Proof;

#[derive(Debug, clap::Args)]
pub(crate) struct Command {
    /// In the cluster of KUBECONFIG (also with SAGA_TEST_CLUSTER=kubeconfig); the operator still runs on this machine
    #[arg(long)]
    kubeconfig: bool,
}

/// The demo could not be shown to its end.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DemoError {
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    #[error(transparent)]
    Kubectl(#[from] KubectlError),
    #[error(transparent)]
    Actor(#[from] ActorError),
    #[error("interrupted")]
    Interrupted,
    #[error("failed to show that {what} within {} s", PATIENCE.as_secs())]
    Late {
        /// What did not happen.
        what: String,
    },
}

/// Far longer than any story takes.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(120);
/// Where the sagas live.
const NAMESPACE: &str = "saga-demo";

/// Everybody on the stage.
struct Stage {
    kubectl: Kubectl,
    participants: Participants,
    /// None: just killed.
    operator: Option<Operator>,
    binary: std::path::PathBuf,
    directory: Directory,
}

/// The command.
pub(crate) fn run(command: &Command) -> Result<ExitCode, DemoError> {
    let binary = actors::build()?;
    let cluster = Borrowed::take(command.kubeconfig, Durability::NoFsync)?;
    let begun = Instant::now();
    let mut stage = Stage::set(Kubectl::new(&cluster.variables), binary)?;
    let mut proof = Proof::default();
    let told = stories::tell(&mut stage, &mut proof);
    if told.is_err() || !proof.holds() {
        println!("\nThe last words of the operator:\n{}", stage.last_words());
    }
    told?;
    proof.print(&stage.participants)?;
    stage.clear()?;
    println!("\n{} ({:.0} s)", if proof.holds() { "All of it held." } else { "NOT ALL OF IT HELD." }, {
        begun.elapsed().as_secs_f32()
    });
    Ok(if proof.holds() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

impl Stage {
    fn set(kubectl: Kubectl, binary: std::path::PathBuf) -> Result<Self, DemoError> {
        let directory = Directory::new().map_err(ActorError::Io)?;
        let deploy = |path: &str| paths::workspace().join(path).display().to_string();
        for path in ["crds", "deploy/rbac.yaml"] {
            kubectl.show(&["apply", "--server-side", "-f", &deploy(path)], path)?;
        }
        kubectl.run(&["wait", "--for=condition=Established", "crd", "--all", "--timeout=30s"])?;
        kubectl.show(&["create", "namespace", NAMESPACE], "")?;
        let participants = Participants::start(&binary)?;
        println!("Participants (inventory, payment, shipping) listen on {}.", participants.base_url());
        let mut stage = Self { kubectl, participants, operator: None, binary, directory };
        stage.start_operator()?;
        Ok(stage)
    }

    /// Starts an operator with no more rights than it has in a cluster.
    fn start_operator(&mut self) -> Result<(), DemoError> {
        let kubeconfig = self.kubectl.kubeconfig_of_operator()?;
        let operator = Operator::start(&self.binary, &self.directory, &kubeconfig, NAMESPACE)?;
        println!("The operator runs as ServiceAccount saga-system/saga-operator (process {}).", operator.pid());
        self.operator = Some(operator);
        Ok(())
    }

    fn last_words(&self) -> String {
        self.directory.log()
    }

    /// Leaves nothing in a cluster that is somebody's.
    fn clear(&self) -> Result<(), DemoError> {
        let all = "sagaruns.sagas.dev,sagadefinitions.sagas.dev";
        self.kubectl.run(&["delete", all, "--all", "-n", NAMESPACE, "--timeout=30s"])?;
        self.kubectl.run(&["delete", "namespace", NAMESPACE, "--wait=false"])?;
        Ok(())
    }
}
