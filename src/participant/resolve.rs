//! From an origin to a connected socket: every address checked, the checked address connected to.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs as _};
use std::sync::Arc;

use futures::future::BoxFuture;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};

use super::egress::{DestinationError, Origin, Place, Policy};

/// Answers beyond these are not looked at, and so not connected to.
const MAX_ADDRESSES: usize = 16;

/// A resolver: the system's, or a table in tests.
pub trait Lookup: Send + Sync + 'static {
    /// All addresses of `name`, in the order of preference. A name with a final dot is complete.
    fn lookup<'a>(&'a self, name: &'a str) -> BoxFuture<'a, io::Result<Vec<IpAddr>>>;
}

/// Lookups at a time. Each takes a thread until the operating system gives up, whoever still waits for it.
const MAX_LOOKUPS: usize = 128;

/// The resolver of the operating system.
#[derive(Clone, Debug)]
pub struct SystemLookup {
    places: Arc<Semaphore>,
}

impl Default for SystemLookup {
    fn default() -> Self {
        Self { places: Arc::new(Semaphore::new(MAX_LOOKUPS)) }
    }
}

impl Lookup for SystemLookup {
    fn lookup<'a>(&'a self, name: &'a str) -> BoxFuture<'a, io::Result<Vec<IpAddr>>> {
        Box::pin(async move {
            let place = self.places.clone().acquire_owned().await.map_err(io::Error::other)?;
            let name = name.to_owned();
            let found = tokio::task::spawn_blocking(move || {
                let _place = place;
                (name.as_str(), 0).to_socket_addrs().map(|found| found.map(|address| address.ip()).collect())
            });
            found.await.map_err(io::Error::other)?
        })
    }
}

/// Why there is no socket. Nothing was sent.
#[derive(Debug)]
pub(super) enum DialError {
    Destination(DestinationError),
    Connection(String),
}

/// Resolves, checks and connects, by `deadline`.
pub(super) async fn dial(
    policy: &Policy,
    lookup: &dyn Lookup,
    origin: &Origin,
    deadline: Instant,
) -> Result<TcpStream, DialError> {
    let failed = |what: String| DialError::Connection(format!("failed to connect to {}: {what}", origin.display()));
    let addresses = match &origin.lookup {
        Place::Address(address) => vec![*address],
        Place::Name(name) => match timeout_at(deadline, resolve(lookup, name)).await {
            Err(_) => return Err(failed("no answer from DNS in time".to_owned())),
            Ok(Err(error)) => return Err(failed(format!("no address found: {error}"))),
            Ok(Ok(addresses)) => addresses,
        },
    };
    for address in &addresses {
        policy.check_address(&origin.display(), *address).map_err(DialError::Destination)?;
    }
    let mut last = "no address found".to_owned();
    for (index, address) in addresses.iter().enumerate() {
        // An address that swallows packets must not use up the time of the others.
        let left = deadline.saturating_duration_since(Instant::now());
        let share = left / u32::try_from(addresses.len() - index).unwrap_or(u32::MAX);
        match timeout_at(Instant::now() + share, TcpStream::connect(SocketAddr::new(*address, origin.port))).await {
            Ok(Ok(socket)) => {
                // A small request must not wait for an acknowledgement.
                let _ = socket.set_nodelay(true);
                return Ok(socket);
            }
            Ok(Err(error)) => last = error.to_string(),
            Err(_) => last = "no answer in time".to_owned(),
        }
    }
    Err(failed(last))
}

async fn resolve(lookup: &dyn Lookup, name: &str) -> io::Result<Vec<IpAddr>> {
    if matches!(name, "localhost" | "localhost.") {
        return Ok(vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()]);
    }
    let mut addresses = lookup.lookup(name).await?;
    addresses.truncate(MAX_ADDRESSES);
    if addresses.is_empty() { Err(io::Error::other("the name has no address")) } else { Ok(addresses) }
}
