//! The two clients: reads may be repeated, writes must not.

use std::fmt;

use kube::client::ClientBuilder;
use kube::{Client, Config};

use crate::observe::pulse::Feel;

/// A client for reads and one for writes, to the same API server.
#[derive(Clone)]
pub struct Clients {
    /// Repeats what answers 429, 503 or 504, within the deadline of the call.
    pub read: Client,
    /// Sends each request once: kube's default would repeat a write that has landed, and report a conflict with itself.
    pub write: Client,
}

impl Clients {
    /// Both clients for one API server. No I/O.
    ///
    /// # Errors
    /// When the configuration holds certificates or credentials that cannot be used.
    pub fn new(config: Config) -> Result<Self, kube::Error> {
        Self::felt(config, &Feel(Vec::new()))
    }

    /// As [`Self::new`], and `feel` is told of every answer to a read.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn felt(config: Config, feel: &Feel) -> Result<Self, kube::Error> {
        let mut once = config.clone();
        once.default_retry = false;
        let read = ClientBuilder::try_from(config)?.with_layer(feel).build();
        Ok(Self { read, write: Client::try_from(once)? })
    }
}

impl fmt::Debug for Clients {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Clients").finish_non_exhaustive()
    }
}
