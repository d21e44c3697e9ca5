//! The command line: one file per subcommand.

mod board;
mod check;
mod crds;
mod demo;
mod local;
mod logging;
mod manifest;
pub mod participants;
mod run;
mod runtime;
mod stage;
mod timeline;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Sagas for Kubernetes: steps with compensations, driven to a safe end.
///
/// Try it without a cluster: `saga-operator demo`. Run your own sagas on this machine: `saga-operator local FILE...`.
#[derive(Debug, Parser)]
#[command(name = "saga-operator", version, propagate_version = true, max_term_width = 100)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,

    /// What to log, as `info` or `warn,saga_operator=debug`.
    #[arg(long, global = true, env = "SAGA_LOG", default_value = "warn,saga_operator=info", value_name = "FILTER")]
    log: String,

    /// How to log.
    #[arg(long, global = true, env = "SAGA_LOG_FORMAT", default_value = "text", value_name = "FORMAT")]
    log_format: logging::Format,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the controller in a cluster, or against the one that KUBECONFIG names.
    Run(run::Run),
    /// Run sagas of manifests on this machine, without a cluster.
    Local(local::Local),
    /// Watch four sagas succeed, compensate, retry and survive a crash. No cluster is needed.
    Demo(demo::Demo),
    /// Check manifests without a cluster.
    Check(check::Check),
    /// Serve the participants of the demo and the examples.
    Participants(participants::Participants),
    /// Print the CustomResourceDefinitions as YAML.
    Crds(crds::Crds),
}

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    match cli.command {
        Command::Run(run) => runtime::run(&cli.log, cli.log_format, run.run()),
        Command::Local(local) => runtime::run(&cli.log, cli.log_format, local.run()),
        Command::Demo(demo) => runtime::run(&cli.log, cli.log_format, demo.run()),
        Command::Participants(participants) => runtime::run(&cli.log, cli.log_format, participants.run()),
        Command::Check(check) => check.run(),
        Command::Crds(crds) => crds.run(),
    }
}
