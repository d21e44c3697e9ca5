//! The command line: one file per subcommand.

mod advice;
mod board;
mod check;
mod crds;
mod demo;
mod local;
mod logging;
mod manifest;
pub mod participants;
mod plan;
mod reference;
mod run;
mod runtime;
mod stage;
mod timeline;

use std::process::ExitCode;
use std::sync::LazyLock;

use clap::{Parser, Subcommand};

/// Sagas for Kubernetes: steps with compensations, driven to a safe end.
///
/// Try it without a cluster: `saga-operator demo`. Run your own sagas on this machine: `saga-operator local FILE...`.
#[derive(Debug, Parser)]
#[command(name = "saga-operator", version = VERSION.as_str(), propagate_version = true, max_term_width = 100)]
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

// What a command says of itself stands at its own type: a comment here would hide it.
#[derive(Debug, Subcommand)]
enum Command {
    Run(run::Run),
    Local(local::Local),
    Demo(demo::Demo),
    Check(check::Check),
    Plan(plan::Plan),
    Participants(participants::Participants),
    Crds(crds::Crds),
    #[command(hide = true)]
    HelpMarkdown(reference::HelpMarkdown),
    #[command(hide = true)]
    ApiMarkdown(reference::ApiMarkdown),
}

/// The version, and the commit in builds that were told it by `SAGA_COMMIT`.
static VERSION: LazyLock<String> = LazyLock::new(|| {
    let commit = option_env!("SAGA_COMMIT").filter(|commit| !commit.is_empty()).unwrap_or("unknown");
    format!("{} (commit {commit})", env!("CARGO_PKG_VERSION"))
});

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    match cli.command {
        Command::Run(run) => runtime::run(&cli.log, cli.log_format, run.run()),
        Command::Local(local) => runtime::run(&cli.log, cli.log_format, local.run()),
        Command::Demo(demo) => runtime::run(&cli.log, cli.log_format, demo.run()),
        Command::Participants(participants) => runtime::run(&cli.log, cli.log_format, participants.run()),
        Command::Check(check) => check.run(),
        Command::Plan(plan) => plan.run(&cli.log, cli.log_format),
        Command::Crds(crds) => crds.run(),
        Command::HelpMarkdown(help) => help.run(),
        Command::ApiMarkdown(api) => api.run(),
    }
}
