//! When the API server last answered a list or a watch of a kind.
//!
//! A watch is silent for as long as nothing changes, so its events prove nothing. Its requests do: the server ends each
//! within a minute, and the next one is answered at once.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use http::{Request, Response};
use tower_layer::Layer;
use tower_service::Service;

use crate::clock::Clock;
use crate::saga::Monotonic;

/// The last sign of life of one kind's watch. Clones agree.
#[derive(Clone, Debug)]
pub struct Pulse {
    kind: &'static str,
    last: Arc<AtomicU64>,
    clock: Clock,
}

impl Pulse {
    /// The pulse of the kind with this plural name; it counts as alive now.
    pub fn new(kind: &'static str, clock: Clock) -> Self {
        let pulse = Self { kind, last: Arc::default(), clock };
        pulse.beat();
        pulse
    }

    /// The plural name of the kind.
    pub const fn kind(&self) -> &'static str {
        self.kind
    }

    /// How long ago it beat last.
    pub fn age(&self) -> Duration {
        let last = Duration::from_millis(self.last.load(Ordering::Relaxed));
        self.clock.now().monotonic.since(Monotonic(last))
    }

    fn beat(&self) {
        let now = self.clock.now().monotonic.0.as_millis();
        self.last.store(u64::try_from(now).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// A request for the collection: a list, or a watch of it.
    fn is_of(&self, path: &str) -> bool {
        path.rsplit('/').next() == Some(self.kind)
    }
}

/// Feels pulses in the answers of a client.
#[derive(Clone, Debug)]
pub struct Feel(pub Vec<Pulse>);

impl<S> Layer<S> for Feel {
    type Service = Felt<S>;

    fn layer(&self, inner: S) -> Felt<S> {
        Felt { inner, pulses: self.0.clone() }
    }
}

/// A client whose answers are felt.
#[derive(Clone, Debug)]
pub struct Felt<S> {
    inner: S,
    pulses: Vec<Pulse>,
}

impl<S, B, R> Service<Request<B>> for Felt<S>
where
    S: Service<Request<B>, Response = Response<R>>,
    S::Future: Send + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let pulse = self.pulses.iter().find(|pulse| pulse.is_of(request.uri().path())).cloned();
        let answer = self.inner.call(request);
        Box::pin(async move {
            let answer = answer.await?;
            if let Some(pulse) = pulse.filter(|_| answer.status().is_success()) {
                pulse.beat();
            }
            Ok(answer)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Answers by the status that the path begins with.
    #[derive(Clone)]
    struct Api;

    impl Service<Request<()>> for Api {
        type Response = Response<()>;
        type Error = std::convert::Infallible;
        type Future = std::future::Ready<Result<Response<()>, Self::Error>>;

        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
            Poll::Ready(Ok(()))
        }

        fn call(&mut self, request: Request<()>) -> Self::Future {
            let status: u16 = request.uri().path()[1..4].parse().expect("a status");
            std::future::ready(Ok(Response::builder().status(status).body(()).expect("a response")))
        }
    }

    #[tokio::test(start_paused = true)]
    async fn only_an_answer_to_a_list_or_watch_of_the_kind_is_a_sign_of_life() {
        let pulse = Pulse::new("sagaruns", Clock::start());
        let mut client = Feel(vec![pulse.clone()]).layer(Api);
        let minute = Duration::from_secs(60);
        for (path, beats) in [
            ("/200/namespaces/shop/sagaruns/order-1", false),
            ("/200/sagadefinitions?watch=true", false),
            ("/500/sagaruns?watch=true", false),
            ("/200/sagaruns?watch=true", true),
            ("/200/namespaces/shop/sagaruns?limit=500", true),
        ] {
            tokio::time::sleep(minute).await;
            let before = pulse.age();
            assert!(before >= minute);
            client.call(Request::get(path).body(()).expect("a request")).await.expect("an answer");
            assert_eq!(pulse.age() < before, beats, "{path}");
        }
    }
}
