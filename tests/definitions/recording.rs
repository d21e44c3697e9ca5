//! A client that remembers what it asked for.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use http::{Method, Request, Response};
use kube::Client;
use kube::client::Body;
use tower_service::Service;

/// Requests so far, in order, as `METHOD path?query`.
#[derive(Clone, Default)]
pub(crate) struct Requests(Arc<Mutex<Vec<(Method, String)>>>);

impl Requests {
    /// How many of them were not reads.
    pub(crate) fn writes(&self) -> usize {
        self.0.lock().expect("not poisoned").iter().filter(|(method, _)| method != Method::GET).count()
    }

    /// Where the last one of this method is whose path holds this text, before a place.
    pub(crate) fn last(&self, method: &Method, text: &str, before: usize) -> Option<usize> {
        let requests = self.0.lock().expect("not poisoned");
        requests.iter().take(before).rposition(|(made, path)| made == method && path.contains(text))
    }

    /// The same client, remembered here.
    pub(crate) fn of(&self, inner: Client) -> Client {
        Client::new(Recording { inner, requests: self.clone() }, "default")
    }
}

#[derive(Clone)]
struct Recording {
    inner: Client,
    requests: Requests,
}

impl Service<Request<Body>> for Recording {
    type Response = Response<Body>;
    type Error = kube::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, kube::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let made = (request.method().clone(), request.uri().to_string());
        self.requests.0.lock().expect("not poisoned").push(made);
        let inner = self.inner.clone();
        Box::pin(async move { inner.send(request).await })
    }
}
