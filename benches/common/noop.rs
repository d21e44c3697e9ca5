//! A participant that answers at once, in a process of its own.

use std::process::Stdio;

use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

use super::text;

/// The process; killed when dropped.
pub(crate) struct Noop {
    /// `http://HOST:PORT`.
    pub(crate) url: String,
    _process: Child,
}

impl Noop {
    pub(crate) async fn start() -> Result<Self, String> {
        let mut process = Command::new(env!("CARGO_BIN_EXE_saga-operator"))
            .args(["participants", "--listen", "127.0.0.1:0"])
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| format!("failed to start the participant: {error}"))?;
        let output = process.stdout.take().ok_or("the participant has no output")?;
        let line = BufReader::new(output).lines().next_line().await.map_err(text)?;
        let url = line.as_deref().and_then(|line| line.split_whitespace().last()).map(str::to_owned);
        Ok(Self { url: url.ok_or("the participant did not say where it listens")?, _process: process })
    }
}
