//! A clock around calls.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use saga_operator::api::run::Direction;
use saga_operator::election::Claim;
use saga_operator::journal::Persisted;
use saga_operator::participant::Participant;
use saga_operator::saga::{Answer, Intent, Polling};

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

    /// From refusals to first compensations; sorted.
    pub(crate) fn first_undo(&self) -> Vec<Duration> {
        let mut waits = self.waits.lock().map(|waits| waits.clone()).unwrap_or_default();
        waits.sort();
        waits
    }
}

impl<P: Participant> Participant for Timed<P> {
    async fn call(&self, intent: Persisted<Intent>, claim: &Claim) -> Answer {
        let uid = intent.get().run.uid.clone();
        if intent.get().call.direction == Direction::Compensate
            && let Some(refused) = self.refused.lock().ok().and_then(|mut refused| refused.remove(&uid))
            && let Ok(mut waits) = self.waits.lock()
        {
            waits.push(refused.elapsed());
        }
        let answer = self.inner.call(intent, claim).await;
        if let Answer::Response(response) = &answer
            && response.status == 404
            && let Ok(mut refused) = self.refused.lock()
        {
            refused.insert(uid, Instant::now());
        }
        answer
    }

    async fn poll(&self, polling: Arc<Persisted<Polling>>) -> Answer {
        self.inner.poll(polling).await
    }
}
