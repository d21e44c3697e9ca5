//! A client that loses what a network loses, at a chosen request.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use axum::Router;
use axum::http::StatusCode;
use http::{Request, Response};
use kube::client::Body;
use kube::{Client, Config};
use saga_operator::journal::kubernetes::Clients;
use tower_service::Service;

/// What becomes of a request.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fault {
    /// It arrives; its answer does not.
    LoseAnswer,
    /// It does not arrive.
    LoseRequest,
}

/// What is to go wrong next.
#[derive(Clone, Default)]
pub(crate) struct Faults(Arc<Mutex<Option<Fault>>>);

impl Faults {
    /// The next request, and only that, meets this fault.
    pub(crate) fn next(&self, fault: Fault) {
        *self.0.lock().expect("not poisoned") = Some(fault);
    }
}

/// A client whose requests can be made to fail.
pub(crate) fn faulty(inner: Client) -> (Client, Faults) {
    let faults = Faults::default();
    (Client::new(Faulty { inner, faults: faults.clone() }, "default"), faults)
}

#[derive(Clone)]
struct Faulty {
    inner: Client,
    faults: Faults,
}

type Outcome = Result<Response<Body>, Box<dyn std::error::Error + Send + Sync>>;

impl Service<Request<Body>> for Faulty {
    type Response = Response<Body>;
    type Error = Box<dyn std::error::Error + Send + Sync>;
    type Future = Pin<Box<dyn Future<Output = Outcome> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let fault = self.faults.0.lock().expect("not poisoned").take();
        let inner = self.inner.clone();
        Box::pin(async move {
            match fault {
                None => Ok(inner.send(request).await?),
                Some(Fault::LoseRequest) => Err("connection reset".into()),
                Some(Fault::LoseAnswer) => {
                    inner.send(request).await?;
                    Err("connection reset".into())
                }
            }
        })
    }
}

/// The clients of the product, and a server that refuses everything and counts.
pub(crate) async fn refusing_server(status: u16) -> (Clients, Arc<AtomicUsize>) {
    let requests = Arc::new(AtomicUsize::new(0));
    let count = requests.clone();
    let refuse = move || {
        count.fetch_add(1, Ordering::SeqCst);
        async move { (StatusCode::from_u16(status).expect("a status"), [("Retry-After", "7")], "no") }
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move { axum::serve(listener, Router::new().fallback(refuse)).await });
    (clients(&address.to_string()), requests)
}

/// The clients of the product, and no server.
pub(crate) fn nobody() -> Clients {
    clients("127.0.0.1:1")
}

fn clients(address: &str) -> Clients {
    let uri = format!("http://{address}").parse().expect("a URI");
    Clients::new(Config::new(uri)).expect("clients")
}
