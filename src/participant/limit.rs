//! How many calls one origin may hold at a time, so that one that hangs leaves sockets for the others.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::egress::Origin;

/// Origins remembered before those without calls are forgotten.
const FORGET_ABOVE: usize = 1024;

/// One bound for each origin.
#[derive(Debug)]
pub(super) struct Limit {
    calls: usize,
    origins: Mutex<HashMap<Origin, Arc<Semaphore>>>,
}

impl Limit {
    /// At least one call.
    pub(super) fn new(calls: usize) -> Self {
        Self { calls: calls.clamp(1, Semaphore::MAX_PERMITS), origins: Mutex::default() }
    }

    /// Waits for a place, in the order of arrival; dropped, it waits no more. The semaphores are never closed, so there is
    /// always a permit in the end.
    pub(super) async fn enter(&self, origin: &Origin) -> Option<OwnedSemaphorePermit> {
        self.of(origin).acquire_owned().await.ok()
    }

    fn of(&self, origin: &Origin) -> Arc<Semaphore> {
        let mut origins = self.origins.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(semaphore) = origins.get(origin) {
            return semaphore.clone();
        }
        if origins.len() >= FORGET_ABOVE {
            // A permit and a waiter each hold their semaphore.
            origins.retain(|_, semaphore| Arc::strong_count(semaphore) > 1);
        }
        origins.entry(origin.clone()).or_insert_with(|| Arc::new(Semaphore::new(self.calls))).clone()
    }
}
