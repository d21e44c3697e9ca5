//! `participants`: the services that the demo and the examples call, in one process on one port.
//!
//! *Guarantees* P1..P5 of what the operator asks of a participant, and P6 by this machine's clock: see [`Ledger`].
//! *Caveats* For trying things out: no TLS, no authorisation, and memory that grows with every key.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::timeline::{complain, line};

mod call;
mod fault;
mod ledger;
mod operation;
mod routes;
mod state;
mod text;

pub use call::{Call, Kind, SERVICES, Service};
pub use fault::{Fault, FaultMode, Faults};
pub use ledger::{Ledger, LedgerError};
pub use state::{Change, Effect, EffectState, Entry};

/// How long requests under way may take when the services stop.
const SHUTDOWN: Duration = Duration::from_secs(3);

/// Serves the shop that the demo and the examples call: it keeps what the operator asks of a participant.
///
/// `GET /` says what there is, also how it can be made to misbehave.
#[derive(Clone, Debug, clap::Args)]
pub struct Participants {
    /// Address to listen on.
    #[arg(long, default_value = "127.0.0.1:8080", value_name = "ADDRESS")]
    listen: SocketAddr,
    /// File that keeps what was done, so that it survives a kill; made when missing.
    #[arg(long, value_name = "FILE")]
    ledger: Option<PathBuf>,
}

impl Participants {
    /// Serves until SIGINT or SIGTERM.
    pub async fn run(self) -> ExitCode {
        let services = match self.ledger {
            Some(file) => DemoServices::with_ledger(file),
            None => DemoServices::new(),
        };
        let running = match services.start(self.listen).await {
            Ok(running) => running,
            Err(error) => {
                complain(&format!("error: {error}"));
                return ExitCode::FAILURE;
            }
        };
        line(&format!("participants listen on {}", running.base_url()));
        wait_for_signal().await;
        running.shutdown().await;
        ExitCode::SUCCESS
    }
}

/// The services, not yet started.
#[derive(Clone, Debug, Default)]
pub struct DemoServices {
    ledger: Option<PathBuf>,
}

/// Why the services cannot start.
#[derive(Debug, thiserror::Error)]
pub enum ParticipantsError {
    /// The address cannot be used.
    #[error("failed to listen on {address}: {source}")]
    Listen {
        /// The address asked for.
        address: SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
    /// The ledger file cannot be used.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

impl DemoServices {
    /// Services that forget everything when they stop.
    pub fn new() -> Self {
        Self::default()
    }

    /// Services that remember in `file`, which is read first where it exists.
    pub fn with_ledger(file: PathBuf) -> Self {
        Self { ledger: Some(file) }
    }

    /// Listens on `address`; port 0 takes any. Needs a Tokio runtime.
    pub async fn start(self, address: SocketAddr) -> Result<RunningServices, ParticipantsError> {
        let ledger = match &self.ledger {
            Some(file) => Ledger::open(file)?,
            None => Ledger::default(),
        };
        let listen = |source| ParticipantsError::Listen { address, source };
        let listener = TcpListener::bind(address).await.map_err(listen)?;
        let address = listener.local_addr().map_err(listen)?;
        let stop = CancellationToken::new();
        let shared = Arc::new(routes::Shared { ledger, faults: Faults::default(), stop: stop.clone() });
        let server = axum::serve(listener, routes::router(shared.clone()))
            .with_graceful_shutdown(stop.clone().cancelled_owned());
        let task = tokio::spawn(async move { server.await });
        Ok(RunningServices { address, shared, stop, task })
    }
}

/// The services at work; stopped when dropped.
pub struct RunningServices {
    address: SocketAddr,
    shared: Arc<routes::Shared>,
    stop: CancellationToken,
    task: JoinHandle<std::io::Result<()>>,
}

impl RunningServices {
    /// Where they listen.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// `http://HOST:PORT`; the services are the first part of the path.
    pub fn base_url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What they did.
    pub fn ledger(&self) -> &Ledger {
        &self.shared.ledger
    }

    /// How they misbehave.
    pub fn faults(&self) -> &Faults {
        &self.shared.faults
    }

    /// Stops listening, ends hanging answers, and waits a few seconds for the others.
    pub async fn shutdown(mut self) {
        self.stop.cancel();
        let _ = tokio::time::timeout(SHUTDOWN, &mut self.task).await;
    }
}

impl Drop for RunningServices {
    fn drop(&mut self) {
        self.stop.cancel();
        self.task.abort();
    }
}

async fn wait_for_signal() {
    use tokio::signal::unix::{SignalKind, signal};
    let Ok(mut terminate) = signal(SignalKind::terminate()) else {
        let _ = tokio::signal::ctrl_c().await;
        return;
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminate.recv() => {}
    }
}
