//! kubectl, as a user of the cluster.

use std::ffi::OsString;
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};
use std::thread::{self, JoinHandle};

use serde_json::{Value, json};

use super::NAMESPACE;
use crate::cluster::Variables;

/// kubectl does not do what it should.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KubectlError {
    #[error("failed to run kubectl")]
    Io(#[from] io::Error),
    #[error("kubectl {arguments} failed: {errors}")]
    Failed {
        /// What it was asked.
        arguments: String,
        /// What it said.
        errors: String,
    },
    #[error("failed to read what kubectl says")]
    Json(#[from] serde_json::Error),
}

#[derive(Debug)]
pub(crate) struct Kubectl {
    program: OsString,
    variables: Variables,
}

impl Kubectl {
    pub(crate) fn new(variables: &Variables) -> Self {
        let program = variables.iter().find(|(name, _)| *name == "SAGA_TEST_KUBECTL").map(|(_, path)| path.clone());
        Self { program: program.unwrap_or_else(|| "kubectl".into()), variables: variables.clone() }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.envs(self.variables.iter().map(|(name, value)| (name, value))).args(arguments);
        command.stdin(Stdio::null());
        command
    }

    /// Its output.
    pub(crate) fn run(&self, arguments: &[&str]) -> Result<String, KubectlError> {
        Self::output(arguments, &mut self.command(arguments), "")
    }

    /// The same, shown as a user types it. `shown`: instead of the last argument.
    pub(crate) fn show(&self, arguments: &[&str], shown: &str) -> Result<(), KubectlError> {
        let (last, first) = arguments.split_last().unwrap_or((&"", &[]));
        say(&format!("{} {}", first.join(" "), if shown.is_empty() { last } else { shown }));
        self.run(arguments)?;
        Ok(())
    }

    /// `kubectl apply` of a manifest.
    pub(crate) fn apply(&self, manifest: &str, shown: &str) -> Result<(), KubectlError> {
        let arguments = ["apply", "-n", NAMESPACE, "-f", "-"];
        say(&format!("apply -f {shown}"));
        let mut command = self.command(&arguments);
        let output = Self::output(&arguments, command.stdin(Stdio::piped()), manifest)?;
        print!("{output}");
        Ok(())
    }

    /// A run as it stands.
    pub(crate) fn sagarun(&self, name: &str) -> Result<Value, KubectlError> {
        Ok(serde_json::from_str(&self.run(&["get", "sagarun", name, "-n", NAMESPACE, "-o", "json"])?)?)
    }

    /// Prints what `kubectl get -w` says of all runs, until it is dropped.
    pub(crate) fn watch(&self) -> Result<Watch, KubectlError> {
        say("get sagarun --watch &");
        let mut command = self.command(&["get", "sagarun", "-n", NAMESPACE, "--watch"]);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).process_group(0).spawn()?;
        let relay = child.stdout.take().map(|output| {
            thread::spawn(move || {
                for line in BufReader::new(output).lines().map_while(Result::ok) {
                    println!("  {line}");
                }
            })
        });
        Ok(Watch { child, relay })
    }

    /// A kubeconfig with a token of the operator's ServiceAccount and nothing else.
    pub(crate) fn kubeconfig_of_operator(&self) -> Result<String, KubectlError> {
        let token = self.run(&["create", "token", "saga-operator", "-n", "saga-system"])?;
        let view = self.run(&["config", "view", "--raw", "--minify", "--flatten", "-o", "json"])?;
        let mut kubeconfig: Value = serde_json::from_str(&view)?;
        let user = kubeconfig["users"][0]["name"].take();
        kubeconfig["users"] = json!([{"name": user, "user": {"token": token.trim()}}]);
        Ok(kubeconfig.to_string())
    }

    fn output(arguments: &[&str], command: &mut Command, input: &str) -> Result<String, KubectlError> {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        if let Some(mut stdin) = child.stdin.take() {
            stdin.write_all(input.as_bytes())?;
        }
        let output = child.wait_with_output()?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        let errors = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        Err(KubectlError::Failed { arguments: arguments.join(" "), errors })
    }
}

fn say(text: &str) {
    println!("$ kubectl {text}");
}

/// A `kubectl get -w` at work.
#[derive(Debug)]
pub(crate) struct Watch {
    child: Child,
    relay: Option<JoinHandle<()>>,
}

impl Drop for Watch {
    fn drop(&mut self) {
        // It would go on for ever.
        drop(self.child.kill());
        drop(self.child.wait());
        drop(self.relay.take().map(JoinHandle::join));
    }
}
