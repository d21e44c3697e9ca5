//! The operator as a process of its own.

use std::fs::{DirBuilder, File};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use tokio::process::{Child, Command};

use super::common::process::Usage;
use super::common::text;
use super::install::Cluster;

const GRACE: Duration = Duration::from_secs(10);

/// A running operator; killed when dropped.
pub(crate) struct Operator {
    process: Child,
    directory: PathBuf,
}

impl Operator {
    /// Starts one that looks at a namespace, with the default log in a file.
    pub(crate) async fn start(cluster: &Cluster, namespace: &str) -> Result<Self, String> {
        let directory = std::env::temp_dir().join(format!("saga-operator-{namespace}"));
        DirBuilder::new().mode(0o700).create(&directory).map_err(text)?;
        let kubeconfig = directory.join("kubeconfig");
        std::fs::write(&kubeconfig, serde_json::to_string(&cluster.operators).map_err(text)?).map_err(text)?;
        let log = File::create(directory.join("log")).map_err(text)?;
        let process = Command::new(env!("CARGO_BIN_EXE_saga-operator"))
            .args(["run", "--watch-namespace", namespace, "--insecure-allow-loopback"])
            .env("KUBECONFIG", &kubeconfig)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| format!("failed to start the operator: {error}"))?;
        Ok(Self { process, directory })
    }

    /// What it used so far.
    pub(crate) fn usage(&self) -> Usage {
        self.process.id().map(Usage::of).unwrap_or_default()
    }

    /// Ends it in order.
    pub(crate) async fn stop(mut self) {
        let Some(pid) = self.process.id() else { return };
        let asked = Command::new("kill").arg(pid.to_string()).status().await;
        if asked.is_ok_and(|status| status.success()) {
            // Late: dropping it kills it.
            drop(tokio::time::timeout(GRACE, self.process.wait()).await);
        }
    }
}

impl Drop for Operator {
    fn drop(&mut self) {
        if std::env::var_os("SAGA_BENCH_KEEP_LOGS").is_none() {
            drop(std::fs::remove_dir_all(&self.directory)); // it holds a token
        }
    }
}
