//! A client that counts.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use http::{Request, Response};
use kube::Client;
use kube::client::Body;
use tower_service::Service;

/// Requests so far.
#[derive(Clone, Default)]
pub(crate) struct Writes(Arc<AtomicUsize>);

impl Writes {
    pub(crate) fn count(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

/// The same client, counted.
pub(crate) fn counting(inner: Client) -> (Client, Writes) {
    let writes = Writes::default();
    (Client::new(Counting { inner, writes: writes.clone() }, "default"), writes)
}

#[derive(Clone)]
struct Counting {
    inner: Client,
    writes: Writes,
}

impl Service<Request<Body>> for Counting {
    type Response = Response<Body>;
    type Error = kube::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, kube::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        self.writes.0.fetch_add(1, Ordering::SeqCst);
        let inner = self.inner.clone();
        Box::pin(async move { inner.send(request).await })
    }
}
