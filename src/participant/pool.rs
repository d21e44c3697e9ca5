//! Connections kept for the next call to the same origin.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::connection::Connection;
use super::egress::Origin;

/// Shorter than the shortest keep-alive in common use (5 s: Node.js, uvicorn), because a request that meets a closing
/// connection is in doubt, and doubt costs more than a handshake.
const MAX_IDLE: Duration = Duration::from_secs(4);
/// Then the name is resolved and its addresses are checked again, and the load spreads over new replicas.
const MAX_AGE: Duration = Duration::from_secs(60);
/// Idle connections of one origin, and of all.
const MAX_PER_ORIGIN: usize = 32;
const MAX_TOTAL: usize = 512;
/// How long a connection may take to finish with its last answer.
const SETTLE: Duration = Duration::from_secs(1);

/// Idle HTTP/1.1 connections, and HTTP/2 connections in use or not.
#[derive(Clone, Default)]
pub(super) struct Pool {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Default)]
struct Inner {
    kept: HashMap<Origin, Vec<Kept>>,
    total: usize,
    sweeping: bool,
}

struct Kept {
    connection: Connection,
    since: Instant,
}

impl Kept {
    fn is_fresh(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.since) < MAX_IDLE
            && now.saturating_duration_since(self.connection.born) < MAX_AGE
            && self.connection.is_ready()
    }
}

impl Pool {
    /// The connection to `origin` used last that is open, as far as can be seen from here.
    pub(super) fn take(&self, origin: &Origin) -> Option<Connection> {
        let mut inner = self.lock();
        let now = Instant::now();
        let kept = inner.kept.get_mut(origin)?;
        let before = kept.len();
        kept.retain(|kept| kept.is_fresh(now));
        let mut after = kept.len();
        let taken = match kept.last_mut() {
            Some(last) => match last.connection.share() {
                Some(shared) => {
                    last.since = now;
                    Some(shared)
                }
                None => {
                    after -= 1;
                    kept.pop().map(|kept| kept.connection)
                }
            },
            None => None,
        };
        if kept.is_empty() {
            inner.kept.remove(origin);
        }
        inner.total = inner.total.saturating_sub(before - after);
        taken
    }

    /// Keeps a connection that can be shared as soon as it is open.
    pub(super) fn opened(&self, origin: &Origin, connection: &Connection) {
        if let Some(shared) = connection.share() {
            self.keep(origin.clone(), shared);
        }
    }

    /// Keeps a connection whose last answer was read to the end.
    pub(super) fn put(&self, origin: Origin, mut connection: Connection) {
        if connection.share().is_some() {
            return;
        }
        if connection.is_ready() {
            return self.keep(origin, connection);
        }
        let pool = self.clone();
        tokio::spawn(async move {
            if tokio::time::timeout(SETTLE, connection.ready()).await == Ok(true) {
                pool.keep(origin, connection);
            }
        });
    }

    /// Forgets all connections to `origin`: one of them did not answer. Requests under way on them go on.
    pub(super) fn forget(&self, origin: &Origin) {
        let mut inner = self.lock();
        let forgotten = inner.kept.remove(origin).map_or(0, |kept| kept.len());
        inner.total = inner.total.saturating_sub(forgotten);
    }

    fn keep(&self, origin: Origin, connection: Connection) {
        let mut inner = self.lock();
        if inner.total >= MAX_TOTAL {
            return;
        }
        let kept = inner.kept.entry(origin).or_default();
        if kept.len() >= MAX_PER_ORIGIN {
            return;
        }
        kept.push(Kept { connection, since: Instant::now() });
        inner.total += 1;
        if !inner.sweeping {
            inner.sweeping = true;
            tokio::spawn(self.clone().sweep());
        }
    }

    /// Closes what nobody took, until nothing is left.
    async fn sweep(self) {
        loop {
            tokio::time::sleep(MAX_IDLE / 4).await;
            let mut inner = self.lock();
            let now = Instant::now();
            inner.kept.retain(|_, kept| {
                kept.retain(|kept| kept.is_fresh(now));
                !kept.is_empty()
            });
            inner.total = inner.kept.values().map(Vec::len).sum();
            if inner.total == 0 {
                inner.sweeping = false;
                return;
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
