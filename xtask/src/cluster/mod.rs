//! A real control plane on this machine: etcd, kube-apiserver and kube-controller-manager, RBAC on, no nodes.
//!
//! Several can run at once, each with a name, ports of its own and a directory of its own. One whose owner is gone (a
//! test run that was killed) is taken down by the next `up` or test run.

mod binaries;
mod compile;
mod environment;
mod kubeconfig;
mod pki;
mod ports;
mod probe;
mod program;
mod start;
mod state;
mod toolchain;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use clap::Subcommand;

use environment::NoKubeconfig;
pub(crate) use environment::{NAMES as VARIABLE_NAMES, Variables, asks_for_kubeconfig};
pub(crate) use start::Durability;
use start::{Options, StartError};
use state::{State, StateError};

use crate::files::{self, FileError};
use crate::paths::{self, NoCache};
use crate::process::Identity;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Start a cluster; nothing happens when it runs already
    Up {
        #[command(flatten)]
        choice: Choice,
        /// etcd waits for the disk, as in production
        #[arg(long)]
        fsync: bool,
    },
    /// Stop a cluster and remove everything it kept
    Down {
        #[command(flatten)]
        choice: Choice,
    },
    /// Print what a shell needs to use a cluster: eval "$(cargo xtask cluster env)"
    Env {
        #[command(flatten)]
        choice: Choice,
    },
    /// List the clusters and their processes
    Status,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Choice {
    /// Which cluster
    #[arg(long, default_value = "dev", value_parser = name)]
    name: String,
    /// The cluster of KUBECONFIG instead of one started here (also with SAGA_TEST_CLUSTER=kubeconfig)
    #[arg(long)]
    kubeconfig: bool,
}

/// Clusters could not be handled.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClusterError {
    /// There are no programs to start.
    #[error(transparent)]
    Binaries(#[from] binaries::BinariesError),
    /// It does not start.
    #[error(transparent)]
    Start(#[from] StartError),
    /// Its state is not readable, or it does not stop.
    #[error(transparent)]
    State(#[from] StateError),
    /// A file could not be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// There is nowhere to keep anything.
    #[error(transparent)]
    NoCache(#[from] NoCache),
    /// Another cluster was asked for, and not named.
    #[error(transparent)]
    NoKubeconfig(#[from] NoKubeconfig),
    /// It does not run.
    #[error("the cluster {0} does not run; start it with: cargo xtask cluster up --name {0}")]
    NotUp(String),
}

/// A cluster's name is a directory's name and part of a kubeconfig.
fn name(text: &str) -> Result<String, String> {
    let plain = |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '-';
    if text.is_empty() || text.len() > 40 || text.starts_with('-') || !text.chars().all(plain) {
        return Err("1 to 40 lower-case letters, digits and dashes".to_owned());
    }
    Ok(text.to_owned())
}

/// The command.
pub(crate) fn run(command: Command) -> Result<ExitCode, ClusterError> {
    match command {
        Command::Up { choice, .. } | Command::Down { choice } if choice.theirs() => {
            environment::of_kubeconfig()?;
            println!("using the cluster of KUBECONFIG: nothing to start or stop");
        }
        Command::Up { choice, fsync } => {
            let durability = if fsync { Durability::Fsync } else { Durability::NoFsync };
            up(&Options { name: choice.name, durability, owner: None })?;
        }
        Command::Down { choice } => {
            let stopped = down(&choice.name)?;
            println!("the cluster {} {}", choice.name, if stopped { "is down" } else { "did not run" });
        }
        Command::Env { choice } if choice.theirs() => {
            print!("{}", environment::exports(&environment::of_kubeconfig()?))
        }
        Command::Env { choice } => {
            let directory = state::home()?.join(&choice.name);
            let state = State::load(&directory)?.filter(State::alive).ok_or(ClusterError::NotUp(choice.name))?;
            print!("{}", environment::exports(&environment::of(&state)));
        }
        Command::Status => status()?,
    }
    Ok(ExitCode::SUCCESS)
}

impl Choice {
    fn theirs(&self) -> bool {
        self.kubeconfig || asks_for_kubeconfig()
    }
}

/// A cluster for the time of one test run: dropping it takes it down.
#[derive(Debug)]
pub(crate) struct Borrowed {
    /// What tests are told about it.
    pub(crate) variables: Variables,
    /// None: the cluster is not ours.
    name: Option<String>,
}

impl Borrowed {
    /// The cluster of `KUBECONFIG`, or a new one for this process.
    pub(crate) fn take(theirs: bool, durability: Durability) -> Result<Self, ClusterError> {
        if theirs || asks_for_kubeconfig() {
            return Ok(Self { variables: environment::of_kubeconfig()?, name: None });
        }
        let name = format!("test-{}", std::process::id());
        let state = up(&Options { name: name.clone(), durability, owner: Identity::own() })?;
        Ok(Self { variables: environment::of(&state), name: Some(name) })
    }

    /// Where the API server writes what was asked of it, if it is ours.
    pub(crate) fn audit_log(&self) -> Option<PathBuf> {
        self.variables.iter().find(|(name, _)| *name == environment::AUDIT_LOG).map(|(_, path)| path.into())
    }
}

impl Drop for Borrowed {
    fn drop(&mut self) {
        if let Some(Err(error)) = self.name.as_deref().map(down) {
            eprintln!("warning: {}", crate::chain(&error));
        }
    }
}

fn up(options: &Options) -> Result<State, ClusterError> {
    take_down_orphans()?;
    let binaries = binaries::locate()?;
    let directory = state::home()?.join(&options.name);
    let _lock = lock()?;
    if let Some(state) = State::load(&directory)? {
        if state.alive() {
            println!("the cluster {} is up already: {}", state.name, state.server);
            return Ok(state);
        }
        state.destroy()?;
    }
    let begun = Instant::now();
    let state = start::start(&directory, &binaries, options)?;
    println!("the cluster {} is up after {:.1} s: {}", state.name, begun.elapsed().as_secs_f32(), state.server);
    Ok(state)
}

/// Returns whether there was anything to stop.
fn down(name: &str) -> Result<bool, ClusterError> {
    let _lock = lock()?;
    let state = State::load(&state::home()?.join(name))?;
    state.as_ref().map_or(Ok(()), State::destroy)?;
    Ok(state.is_some())
}

fn take_down_orphans() -> Result<(), ClusterError> {
    for state in State::all()?.iter().filter(|state| state.orphaned()) {
        eprintln!("taking down the cluster {}: the test run it belonged to is gone", state.name);
        down(&state.name)?;
    }
    Ok(())
}

/// One start or stop at a time on this machine: two starts could choose the same ports.
fn lock() -> Result<std::fs::File, ClusterError> {
    let path = paths::cache()?.join("clusters.lock");
    Ok(files::lock(&path, || eprintln!("waiting: another cluster is being started or stopped"))?)
}

fn status() -> Result<(), ClusterError> {
    let all = State::all()?;
    if all.is_empty() {
        println!("no cluster runs here");
    }
    for state in all {
        println!("{}  {}  etcd {}  in {}", state.name, state.server, state.etcd, state.directory.display());
        for recorded in &state.processes {
            let memory = recorded.identity.memory_mib().filter(|_| recorded.identity.alive());
            let condition = memory.map_or_else(|| "dead".to_owned(), |mib| format!("{mib} MiB"));
            println!("  {:<24} pid {:<8} {condition}", recorded.program, recorded.identity.pid());
        }
    }
    Ok(())
}
