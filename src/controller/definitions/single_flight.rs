//! One read for all who ask the same at the same time.
//!
//! A process that comes to lead asks for the revision of each run that is under way, and most runs share a few.
//!
//! # Caveats
//! Who joins gets an answer that may be as old as the read is long.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, MutexGuard, PoisonError};

use futures::FutureExt;
use futures::future::{BoxFuture, Shared, WeakShared};

type Read<T> = BoxFuture<'static, T>;

/// Reads that are under way. A read that nobody waits for any more is given up.
pub(super) struct SingleFlight<K, T: Clone>(Mutex<HashMap<K, WeakShared<Read<T>>>>);

impl<K: Eq + Hash + Clone, T: Clone> SingleFlight<K, T> {
    pub(super) fn new() -> Self {
        Self(Mutex::default())
    }

    /// The answer of the read that is under way for this key, or of this one.
    pub(super) async fn join(&self, key: K, read: impl FnOnce() -> Read<T>) -> T {
        let flight = self.flight(&key, read);
        let answer = flight.clone().await;
        let mut flights = self.lock();
        let known = flights.get(&key).and_then(WeakShared::upgrade);
        if known.is_none_or(|known| known.ptr_eq(&flight)) {
            flights.remove(&key);
        }
        answer
    }

    fn flight(&self, key: &K, read: impl FnOnce() -> Read<T>) -> Shared<Read<T>> {
        let mut flights = self.lock();
        if let Some(known) = flights.get(key).and_then(WeakShared::upgrade) {
            return known;
        }
        let flight = read().shared();
        flights.extend(flight.downgrade().map(|weak| (key.clone(), weak)));
        flight
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<K, WeakShared<Read<T>>>> {
        // Nothing that holds the lock leaves the map half changed.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    use futures::future;
    use tokio::sync::oneshot;

    use super::*;

    /// Reads under the key `a`: counts, and answers once it is let.
    fn read(count: &Arc<AtomicU32>, let_go: oneshot::Receiver<()>) -> Read<u32> {
        let count = count.clone();
        Box::pin(async move {
            let number = count.fetch_add(1, Ordering::Relaxed) + 1;
            let _ = let_go.await;
            number
        })
    }

    #[tokio::test]
    async fn who_asks_while_a_read_is_under_way_shares_its_answer_and_who_asks_later_does_not() {
        let (flights, count) = (SingleFlight::new(), Arc::default());
        let (go, let_go) = oneshot::channel();
        let first = flights.join("a", || read(&count, let_go));
        let second = flights.join("a", || unreachable!("one read is under way"));
        let other = flights.join("b", || Box::pin(future::ready(7)));
        let then = async {
            tokio::task::yield_now().await;
            go.send(()).unwrap();
        };
        assert_eq!(tokio::join!(first, second, other, then), (1, 1, 7, ()));
        assert!(flights.lock().is_empty());
        let (go, let_go) = oneshot::channel();
        go.send(()).unwrap();
        assert_eq!(flights.join("a", || read(&count, let_go)).await, 2);
    }

    #[tokio::test]
    async fn a_read_that_nobody_waits_for_any_more_is_not_joined() {
        let (flights, count) = (SingleFlight::new(), Arc::default());
        let (_held, let_go) = oneshot::channel();
        let mut given_up = Box::pin(flights.join("a", || read(&count, let_go)));
        assert!(future::poll_immediate(&mut given_up).await.is_none());
        drop(given_up);
        assert_eq!(flights.join("a", || Box::pin(future::ready(9))).await, 9);
    }
}
