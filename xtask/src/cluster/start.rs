//! Starting a control plane: etcd, then the API server, then the controller manager.
//!
//! Flow: certificates and ports first, then each program as soon as the one it needs answers.
//! Guarantees: every process is on record before the next one starts; on any failure all of them are stopped and the
//! state is removed. Nothing listens but on loopback.
//! Caveats: etcd has no TLS, so other users of the machine can read and write it; this is for tests.

use std::net::Ipv4Addr;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use super::binaries::Binaries;
use super::pki::{Pair, Pki, PkiError};
use super::ports::{self, NoPorts};
use super::probe::{self, Probe, ProbeError};
use super::state::{Recorded, State, StateError};
use super::{kubeconfig, program};
use crate::files::{self, FileError};
use crate::process::{self, Identity, ProcessError};
use crate::signals;

/// A cluster could not be started.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StartError {
    /// Certificates could not be made.
    #[error(transparent)]
    Pki(#[from] PkiError),
    /// There are no free ports.
    #[error(transparent)]
    Ports(#[from] NoPorts),
    /// The API server cannot be asked.
    #[error(transparent)]
    Probe(#[from] ProbeError),
    /// Its state could not be kept.
    #[error(transparent)]
    State(#[from] StateError),
    /// A file could not be written.
    #[error(transparent)]
    File(#[from] FileError),
    /// A program did not start.
    #[error(transparent)]
    Process(#[from] ProcessError),
    /// Ctrl-C.
    #[error("interrupted while the cluster was starting")]
    Interrupted,
    /// A program gave up.
    #[error("{program} ended while it was starting; its last words:\n{last_words}")]
    Died {
        /// Which.
        program: String,
        /// The end of its log.
        last_words: String,
    },
    /// A program takes too long.
    #[error("waited {} s for {what}; the last words of {program}:\n{last_words}", PATIENCE.as_secs())]
    TimedOut {
        /// For what.
        what: &'static str,
        /// Whose.
        program: String,
        /// The end of its log.
        last_words: String,
    },
}

/// What is asked of a new cluster.
#[derive(Debug, Clone)]
pub(crate) struct Options {
    /// Its name.
    pub(crate) name: String,
    /// Whether etcd waits for the disk.
    pub(crate) durability: Durability,
    /// For whom it is: see [`State::owner`].
    pub(crate) owner: Option<Identity>,
}

/// What etcd does at a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Durability {
    /// As in production: the write is on the disk before it is acknowledged.
    Fsync,
    /// The write is with the kernel: lost with the machine, much faster.
    NoFsync,
}

/// A loaded machine is slow; a healthy one needs four seconds.
const PATIENCE: Duration = Duration::from_secs(90);
const LAST_WORDS: usize = 12;
/// The first address of the range of Services: the API server's own.
const SERVICE_ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 96, 0, 1);

/// Starts a cluster in a directory that must not be in use.
pub(crate) fn start(directory: &Path, binaries: &Binaries, options: &Options) -> Result<State, StartError> {
    files::remove_directory(directory)?;
    files::make_private_directory(directory)?;
    let ports = ports::free()?;
    let [api, etcd, _] = ports;
    let state = State {
        name: options.name.clone(),
        directory: directory.to_owned(),
        server: format!("https://127.0.0.1:{api}"),
        etcd: format!("http://127.0.0.1:{etcd}"),
        programs: binaries.directory.clone(),
        processes: Vec::new(),
        owner: options.owner.clone(),
    };
    let mut start = Start { state, binaries };
    match start.run(ports, options.durability) {
        Ok(()) => Ok(start.state),
        Err(error) => {
            start.state.destroy()?;
            Err(error)
        }
    }
}

/// A start under way.
#[derive(Debug)]
struct Start<'a> {
    state: State,
    binaries: &'a Binaries,
}

impl Start<'_> {
    fn run(&mut self, [api, etcd, etcd_peers]: [u16; 3], durability: Durability) -> Result<(), StartError> {
        let pki = Pki::generate(SERVICE_ADDRESS)?;
        self.write_files(&pki)?;
        let probe = Probe::new(api, &pki)?;

        self.spawn(program::ETCD, &program::etcd(&self.state.directory, etcd, etcd_peers, durability))?;
        self.wait_for("etcd to listen", program::ETCD, || probe::listens(etcd))?;

        self.spawn(program::API_SERVER, &program::api_server(&self.state.directory, api, etcd))?;
        self.wait_for("the API server to be ready", program::API_SERVER, || probe.ok("/readyz"))?;

        if self.binaries.controller_manager {
            self.spawn(program::CONTROLLERS, &program::controllers(&self.state.directory))?;
            self.wait_for("the default ServiceAccount", program::CONTROLLERS, || {
                probe.ok("/api/v1/namespaces/default/serviceaccounts/default")
            })?;
        }
        Ok(())
    }

    fn write_files(&self, pki: &Pki) -> Result<(), StartError> {
        let directory = &self.state.directory;
        let write = |name: &str, text: &str| files::write_secret(&directory.join(name), text);
        write("ca.crt", &pki.authority)?;
        write("server.crt", &pki.server.certificate)?;
        write("server.key", &pki.server.key)?;
        write("tokens.key", &pki.tokens_key)?;
        write("tokens.pub", &pki.tokens_public)?;
        write("audit-policy.yaml", program::AUDIT_POLICY)?;
        let kubeconfig = |user: &str, pair: &Pair| {
            kubeconfig::text(&format!("saga-{}", self.state.name), &self.state.server, &pki.authority, user, pair)
        };
        write("controllers.kubeconfig", &kubeconfig("controllers", &pki.controllers))?;
        files::write_secret(&self.state.kubeconfig(), &kubeconfig("admin", &pki.admin))?;
        Ok(())
    }

    fn spawn(&mut self, program: &str, arguments: &[String]) -> Result<(), StartError> {
        let mut command = Command::new(self.binaries.path(program));
        command.args(arguments).current_dir(&self.state.directory);
        let child = process::start(&mut command, &self.state.log(program))?;
        if let Some(identity) = Identity::of(child.id()) {
            self.state.processes.push(Recorded { program: program.to_owned(), identity });
        }
        Ok(self.state.save()?)
    }

    fn wait_for(&self, what: &'static str, program: &str, ready: impl Fn() -> bool) -> Result<(), StartError> {
        let deadline = Instant::now() + PATIENCE;
        while !ready() {
            if signals::interrupted() {
                return Err(StartError::Interrupted);
            }
            if !self.state.alive() {
                return Err(StartError::Died {
                    program: program.to_owned(),
                    last_words: last_words(&self.state.log(program)),
                });
            }
            if Instant::now() > deadline {
                let last_words = last_words(&self.state.log(program));
                return Err(StartError::TimedOut { what, program: program.to_owned(), last_words });
            }
            thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }
}

fn last_words(log: &Path) -> String {
    let text = files::read(log).unwrap_or_default();
    let lines: Vec<_> = text.lines().collect();
    lines[lines.len().saturating_sub(LAST_WORDS)..].join("\n")
}
