//! The participant of the benchmark, and a clock around calls to it.

use std::collections::HashMap;
use std::process::Stdio;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use saga_operator::api::run::Direction;
use saga_operator::journal::Persisted;
use saga_operator::participant::Participant;
use saga_operator::saga::{Answer, Intent};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

/// A process that answers at once.
pub(crate) struct Noop {
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
        let line = BufReader::new(output).lines().next_line().await.map_err(|error| error.to_string())?;
        let url = line.as_deref().and_then(|line| line.split_whitespace().last()).map(str::to_owned);
        Ok(Self { url: url.ok_or("the participant did not say where it listens")?, _process: process })
    }
}

/// Notes when a refusal arrived and when the first compensation of the same run left.
pub(crate) struct Timed<P> {
    inner: P,
    refused: Mutex<HashMap<String, Instant>>,
    waits: Mutex<Vec<Duration>>,
}

impl<P> Timed<P> {
    pub(crate) fn new(inner: P) -> Self {
        Self { inner, refused: Mutex::default(), waits: Mutex::default() }
    }

    /// From refusals to first compensations.
    pub(crate) fn first_undo(&self) -> Vec<Duration> {
        self.waits.lock().map(|waits| waits.clone()).unwrap_or_default()
    }
}

impl<P: Participant> Participant for Timed<P> {
    async fn call(&self, intent: Persisted<Intent>) -> Answer {
        let uid = intent.get().run.uid.clone();
        if intent.get().call.direction == Direction::Compensate
            && let Some(refused) = self.refused.lock().ok().and_then(|mut refused| refused.remove(&uid))
            && let Ok(mut waits) = self.waits.lock()
        {
            waits.push(refused.elapsed());
        }
        let answer = self.inner.call(intent).await;
        if let Answer::Response(response) = &answer
            && response.status == 404
            && let Ok(mut refused) = self.refused.lock()
        {
            refused.insert(uid, Instant::now());
        }
        answer
    }
}
