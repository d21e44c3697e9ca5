//! The processes of the demo. Dropping one kills it.

use std::fs;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use super::http::{self, HttpError};
use crate::process::{self, ProcessError};
use crate::stream;

/// A process of the demo is not as it should be.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ActorError {
    #[error(transparent)]
    Process(#[from] ProcessError),
    #[error(transparent)]
    Http(#[from] HttpError),
    #[error("failed to use a file or a process of the demo")]
    Io(#[from] io::Error),
    #[error("failed to build the operator; the compiler says why")]
    Build,
    #[error("the participants ended before they listened")]
    Participants,
}

/// Builds the operator; returns where it is.
pub(crate) fn build() -> Result<PathBuf, ActorError> {
    let mut cargo = stream::cargo();
    cargo.args(["build", "--bin", "saga-operator", "--message-format=json-render-diagnostics"]);
    let output = cargo.stderr(Stdio::inherit()).output()?;
    let executable = |line: &str| {
        let message: Value = serde_json::from_str(line).ok()?;
        let own = message["target"]["name"] == "saga-operator";
        message["executable"].as_str().filter(|_| own).map(PathBuf::from)
    };
    let found = String::from_utf8_lossy(&output.stdout).lines().find_map(executable);
    found.filter(|_| output.status.success()).ok_or(ActorError::Build)
}

/// A directory that goes with the demo.
#[derive(Debug)]
pub(crate) struct Directory(PathBuf);

impl Directory {
    pub(crate) fn new() -> io::Result<Self> {
        use std::os::unix::fs::DirBuilderExt as _;
        let path = std::env::temp_dir().join(format!("saga-demo-{}", std::process::id()));
        // A token lies in it.
        fs::DirBuilder::new().mode(0o700).create(&path)?;
        Ok(Self(path))
    }

    fn log_file(&self) -> PathBuf {
        self.0.join("operator.log")
    }

    /// What the operators said.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.log_file()).unwrap_or_default()
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        // It lies in the system's directory for such.
        drop(fs::remove_dir_all(&self.0));
    }
}

#[derive(Debug)]
struct Actor(Child);

impl Drop for Actor {
    fn drop(&mut self) {
        // It may have ended by itself.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// The operator.
#[derive(Debug)]
pub(crate) struct Operator(Actor);

impl Operator {
    pub(crate) fn start(
        binary: &Path,
        directory: &Directory,
        kubeconfig: &str,
        namespace: &str,
    ) -> Result<Self, ActorError> {
        let file = directory.0.join("operator.kubeconfig");
        fs::write(&file, kubeconfig)?;
        let mut command = Command::new(binary);
        command.args(["run", "--insecure-allow-loopback", "--watch-namespace", namespace]);
        command.env("KUBECONFIG", file);
        Ok(Self(Actor(process::start(&mut command, &directory.log_file())?)))
    }

    pub(crate) fn pid(&self) -> u32 {
        self.0.0.id()
    }

    /// `kill -9`.
    pub(crate) fn kill(self) {
        drop(self);
    }
}

/// The services that the sagas call.
#[derive(Debug)]
pub(crate) struct Participants {
    _process: Actor,
    address: String,
}

impl Participants {
    pub(crate) fn start(binary: &Path) -> Result<Self, ActorError> {
        use std::os::unix::process::CommandExt as _;
        let mut command = Command::new(binary);
        command.args(["participants", "--listen", "127.0.0.1:0"]);
        let mut process = Actor(command.stdin(Stdio::null()).stdout(Stdio::piped()).process_group(0).spawn()?);
        let output = process.0.stdout.take().ok_or(ActorError::Participants)?;
        let mut line = String::new();
        BufReader::new(output).read_line(&mut line)?;
        let address = line.trim().rsplit_once("http://").map(|(_, address)| address.to_owned());
        Ok(Self { _process: process, address: address.ok_or(ActorError::Participants)? })
    }

    pub(crate) fn base_url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What they saw of a run, and the effects that it made.
    pub(crate) fn ledger(&self, uid: &str) -> Result<Ledger, ActorError> {
        let text = http::ask(&self.address, "GET", &format!("/ledger?run={uid}"), "application/json", "")?;
        let ledger: Value = serde_json::from_str(&text).unwrap_or_default();
        let list = |name: &str| ledger[name].as_array().cloned().unwrap_or_default();
        Ok(Ledger { entries: list("entries"), effects: list("effects") })
    }

    /// The same of all runs, for people.
    pub(crate) fn ledger_text(&self) -> Result<String, ActorError> {
        Ok(http::ask(&self.address, "GET", "/ledger", "text/plain", "")?)
    }

    /// One service misbehaves some times, at calls of one direction.
    pub(crate) fn fault(&self, service: &str, mode: &str, times: u32, direction: &str) -> Result<(), ActorError> {
        let fault = serde_json::json!({"mode": mode, "times": times, "direction": direction}).to_string();
        http::ask(&self.address, "PUT", &format!("/faults/{service}"), "application/json", &fault)?;
        Ok(())
    }
}

/// What participants saw of a run.
#[derive(Debug)]
pub(crate) struct Ledger {
    pub(crate) entries: Vec<Value>,
    pub(crate) effects: Vec<Value>,
}

impl Ledger {
    /// Requests of a step.
    pub(crate) fn of_step(&self, step: &str) -> Vec<&Value> {
        self.entries.iter().filter(|entry| entry["step"] == step).collect()
    }

    /// Steps that were undone, in order.
    pub(crate) fn undone(&self) -> Vec<&str> {
        let undone = self.entries.iter().filter(|entry| entry["change"] == "undone");
        undone.filter_map(|entry| entry["step"].as_str()).collect()
    }

    /// Effects that stand, and whether none was made twice.
    pub(crate) fn standing(&self) -> (usize, bool) {
        let standing = self.effects.iter().filter(|effect| effect["state"] != "undone").count();
        (standing, self.effects.iter().all(|effect| effect["times"] == 1))
    }
}
