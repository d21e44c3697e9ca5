//! Measurements: `benches/` on a local journal, in a cluster, and beside a participant that hangs.
//!
//! Nothing is compared with a limit: the figures are for people, who know what else the machine does.

use std::process::ExitCode;

use clap::ValueEnum;

use crate::cluster::{self, Borrowed, ClusterError, Durability};
use crate::signals;
use crate::stream::{self, StreamError};

#[derive(Debug, clap::Args)]
pub(crate) struct Command {
    /// Only these measurements
    #[arg(long, value_enum, value_name = "NAME")]
    only: Vec<Part>,
    /// Sagas of each cell; by default enough for some seconds
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(16..))]
    sagas: Option<u32>,
    /// In the cluster of KUBECONFIG (also with SAGA_TEST_CLUSTER=kubeconfig)
    #[arg(long)]
    kubeconfig: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// A local journal
    Local,
    /// A cluster whose every write is on the disk before it is acknowledged
    Cluster,
    /// Healthy sagas beside 200 that hang, on both
    Hung,
}

/// Nothing could be measured.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BenchError {
    /// There is no cluster.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    /// Cargo did not start.
    #[error(transparent)]
    Stream(#[from] StreamError),
}

/// The command.
pub(crate) fn run(command: &Command) -> Result<ExitCode, BenchError> {
    let wants = |part| command.only.is_empty() || command.only.contains(&part);
    // Built first, so that the cluster does not wait for the compiler.
    let mut good = cargo(&["--no-run", "--bench", "local", "--bench", "cluster"], None)?;
    if good && wants(Part::Local) {
        good &= measure("a local journal", "local", &[], command, None)?;
    }
    if good && wants(Part::Hung) {
        good &= measure("a local journal, beside sagas that hang", "local", &["--hung"], command, None)?;
    }
    if good && !signals::interrupted() && (wants(Part::Cluster) || wants(Part::Hung)) {
        let cluster = Borrowed::take(command.kubeconfig, Durability::Fsync)?;
        if wants(Part::Cluster) {
            good &= measure("a cluster", "cluster", &[], command, Some(&cluster))?;
        }
        if wants(Part::Hung) {
            good &= measure("a cluster, beside sagas that hang", "cluster", &["--hung"], command, Some(&cluster))?;
        }
    }
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn measure(
    title: &str,
    bench: &str,
    flags: &[&str],
    command: &Command,
    cluster: Option<&Borrowed>,
) -> Result<bool, StreamError> {
    if signals::interrupted() {
        return Ok(false);
    }
    println!("\n==== {title}");
    let sagas = command.sagas.map(|sagas| sagas.to_string());
    let arguments: Vec<&str> =
        ["--bench", bench, "--"].into_iter().chain(sagas.as_deref()).chain(flags.iter().copied()).collect();
    cargo(&arguments, cluster)
}

fn cargo(arguments: &[&str], cluster: Option<&Borrowed>) -> Result<bool, StreamError> {
    let mut cargo = stream::cargo();
    cargo.args(["bench", "--quiet", "--locked", "--package", "saga-operator"]).args(arguments);
    for name in cluster::VARIABLE_NAMES {
        cargo.env_remove(name);
    }
    // Whatever is started without a cluster must not find the developer's own.
    cargo.env("KUBECONFIG", "/dev/null");
    if let Some(cluster) = cluster {
        cargo.envs(cluster.variables.iter().map(|(name, value)| (name, value)));
    }
    Ok(stream::lines(&mut cargo, |line| println!("{line}"))?.status.success())
}
