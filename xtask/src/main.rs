//! The habits of the house as commands.
//!
//! Adding one: a module with a `Command` (clap) and a `run`, a line in [`Command`] and a line in [`dispatch`].

mod bench;
mod cluster;
mod demo_cluster;
mod files;
mod generate;
mod helm;
mod image;
mod paths;
mod process;
mod prove;
mod signals;
mod stream;
mod test;

use std::error::Error;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// What every command gives back: an exit code for a finding, an error when it could not do its work.
type Outcome = Result<ExitCode, Box<dyn Error>>;

#[derive(Debug, Parser)]
#[command(
    name = "xtask",
    bin_name = "cargo xtask",
    about = "The habits of the house as commands",
    disable_help_subcommand = true
)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// A real etcd, API server and controller manager on this machine
    #[command(subcommand)]
    Cluster(cluster::Command),
    /// Every check of the project; the last line says how many passed and failed
    Test(test::Command),
    /// The heavy proofs: every state of small sagas, lives by the thousand, wrong edits, kills at every point
    Prove(prove::Command),
    /// How fast sagas go, and what they cost
    Bench(bench::Command),
    /// Four sagas on a control plane: success, compensation, retries, and the operator killed on the way
    DemoCluster(demo_cluster::Command),
    /// Write the files that are made from the code, or check that they are up to date
    Generate(generate::Command),
    /// Helm for the charts' tests, built when it is not there: eval "$(cargo xtask helm)"
    Helm(helm::Command),
    /// The container image as an archive, made without a container engine
    Image(image::Command),
}

fn dispatch(command: Command) -> Outcome {
    match command {
        Command::Cluster(command) => cluster::run(command).map_err(Box::from),
        Command::Test(command) => test::run(&command).map_err(Box::from),
        Command::Prove(command) => prove::run(&command),
        Command::Bench(command) => bench::run(&command).map_err(Box::from),
        Command::DemoCluster(command) => demo_cluster::run(&command).map_err(Box::from),
        Command::Generate(command) => generate::run(&command).map_err(Box::from),
        Command::Helm(command) => helm::run(&command),
        Command::Image(command) => image::run(&command).map_err(Box::from),
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if let Err(error) = signals::install() {
        return report(&error);
    }
    match dispatch(arguments.command) {
        Ok(code) => code,
        Err(error) => report(error.as_ref()),
    }
}

/// Prints an error with its causes, one a line.
fn report(error: &dyn Error) -> ExitCode {
    eprintln!("error: {}", chain(error));
    ExitCode::FAILURE
}

/// An error and its causes as text.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text.push_str("\n  because: ");
        text.push_str(&inner.to_string());
        cause = inner.source();
    }
    text
}
