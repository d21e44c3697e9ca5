//! One connection to an origin: TCP, TLS, HTTP/1.1 or HTTP/2.

use std::future::Future;
use std::io;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::Bytes;
use http::{Request, Response, Uri, Version};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_rustls::{FixedServerNameResolver, HttpsConnector};
use hyper_util::client::legacy::connect::Connection as _;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio::task::AbortHandle;
use tower_service::Service;

use super::egress::{Origin, Scheme};
use super::rule::HostName;

/// Bytes of all header lines of an answer.
const MAX_HEADER_BYTES: usize = 64 * 1024;
/// Header lines of an answer.
const MAX_HEADERS: usize = 100;

type Outgoing = Request<Full<Bytes>>;

/// A connection; closed at once, with whatever is still to be written, when its last handle is dropped.
pub(super) struct Connection {
    sender: Sender,
    task: Arc<Task>,
    pub(super) born: Instant,
}

/// What moves the bytes.
struct Task(AbortHandle);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

enum Sender {
    /// One request at a time.
    Http1(http1::SendRequest<Full<Bytes>>),
    /// Many.
    Http2(http2::SendRequest<Full<Bytes>>),
}

/// Why there is no answer.
pub(super) enum SendError {
    /// The request came back: hyper gives it back only when not a byte of it was written.
    Unsent,
    /// It may have left.
    Lost(hyper::Error),
}

impl Connection {
    /// Speaks TLS where the origin wants it, then HTTP. Nothing of a request is sent. The caller bounds the time.
    pub(super) async fn open(socket: TcpStream, origin: &Origin, tls: &Arc<ClientConfig>) -> io::Result<Self> {
        let (name, scheme) = match (&origin.host, origin.scheme) {
            (HostName::Name(name), scheme) => (name.clone(), scheme),
            (HostName::Address(address), scheme) => (address.to_string(), scheme),
        };
        let name = ServerName::try_from(name).map_err(io::Error::other)?;
        // The connector looks at the scheme only: name and socket are given.
        let uri = Uri::from_static(match scheme {
            Scheme::Http => "http://given",
            Scheme::Https => "https://given",
        });
        let resolver = Arc::new(FixedServerNameResolver::new(name));
        let stream = HttpsConnector::new(Given(Some(socket)), tls.clone(), false, resolver).call(uri).await;
        let stream = stream.map_err(io::Error::other)?;
        let born = Instant::now();
        if stream.connected().is_negotiated_h2() {
            let mut builder = http2::Builder::new(TokioExecutor::new());
            builder.max_header_list_size(MAX_HEADER_BYTES as u32);
            let (sender, connection) = builder.handshake(stream).await.map_err(io::Error::other)?;
            let task = Task(tokio::spawn(async { drop(connection.await) }).abort_handle());
            Ok(Self { sender: Sender::Http2(sender), task: Arc::new(task), born })
        } else {
            let mut builder = http1::Builder::new();
            builder.max_headers(MAX_HEADERS).max_header_size(MAX_HEADER_BYTES);
            let (sender, connection) = builder.handshake(stream).await.map_err(io::Error::other)?;
            let task = Task(tokio::spawn(async { drop(connection.await) }).abort_handle());
            Ok(Self { sender: Sender::Http1(sender), task: Arc::new(task), born })
        }
    }

    /// Which form its requests have.
    pub(super) const fn version(&self) -> Version {
        match self.sender {
            Sender::Http1(_) => Version::HTTP_11,
            Sender::Http2(_) => Version::HTTP_2,
        }
    }

    /// A second handle, where several requests can be under way.
    pub(super) fn share(&self) -> Option<Self> {
        match &self.sender {
            Sender::Http1(_) => None,
            Sender::Http2(sender) => {
                Some(Self { sender: Sender::Http2(sender.clone()), task: self.task.clone(), born: self.born })
            }
        }
    }

    /// Whether a request can be given to it now.
    pub(super) fn is_ready(&self) -> bool {
        match &self.sender {
            Sender::Http1(sender) => sender.is_ready(),
            Sender::Http2(sender) => sender.is_ready(),
        }
    }

    /// Waits until it can take a request; false when it never will.
    pub(super) async fn ready(&mut self) -> bool {
        match &mut self.sender {
            Sender::Http1(sender) => sender.ready().await.is_ok(),
            Sender::Http2(sender) => sender.ready().await.is_ok(),
        }
    }

    /// Sends once and waits for the status line.
    pub(super) async fn send(&mut self, request: Outgoing) -> Result<Response<Incoming>, SendError> {
        let sent = match &mut self.sender {
            Sender::Http1(sender) => sender.try_send_request(request).await,
            Sender::Http2(sender) => sender.try_send_request(request).await,
        };
        sent.map_err(|mut error| match error.take_message() {
            Some(_) => SendError::Unsent,
            None => SendError::Lost(error.into_error()),
        })
    }
}

/// TLS as every https call uses it. Trusts the public roots of the build, and the certificates in the PEM file `ca_file`.
pub(super) fn tls(ca_file: Option<&Path>) -> io::Result<Arc<ClientConfig>> {
    let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    if let Some(path) = ca_file {
        let public = roots.len();
        for certificate in CertificateDer::pem_file_iter(path).map_err(io::Error::other)? {
            roots.add(certificate.map_err(io::Error::other)?).map_err(io::Error::other)?;
        }
        if roots.len() == public {
            return Err(io::Error::other("no certificate in it"));
        }
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider);
    let builder = builder.with_safe_default_protocol_versions().map_err(io::Error::other)?;
    let mut config = builder.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// A connector that has its socket already: the one to the checked address.
struct Given(Option<TcpStream>);

impl Service<Uri> for Given {
    type Response = TokioIo<TcpStream>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let socket = self.0.take().ok_or_else(|| io::Error::other("the socket is used up"));
        Box::pin(async { socket.map(TokioIo::new) })
    }
}
