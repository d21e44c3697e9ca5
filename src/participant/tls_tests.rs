//! `HttpParticipant` over TLS: HTTP/1.1 and HTTP/2, and certificates that do not fit.

use std::io::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use futures::future::join_all;
use http::{Request, Response, Version};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::harness::{Caller, not_sent, response};
use super::{HttpOptions, Policy, StaticCredentials};
use crate::api::Reason;

struct Authority {
    issuer: rcgen::Issuer<'static, rcgen::KeyPair>,
    file: tempfile::NamedTempFile,
}

impl Authority {
    fn new() -> Self {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut parameters = rcgen::CertificateParams::new(vec![]).unwrap();
        parameters.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let certificate = parameters.self_signed(&key).unwrap();
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(certificate.pem().as_bytes()).unwrap();
        Self { issuer: rcgen::Issuer::new(parameters, key), file }
    }

    fn config(&self, name: &str, protocols: &[&str]) -> rustls::ServerConfig {
        let key = rcgen::KeyPair::generate().unwrap();
        let parameters = rcgen::CertificateParams::new(vec![name.to_owned()]).unwrap();
        let certificate = parameters.signed_by(&key, &self.issuer).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let chain: Vec<CertificateDer<'static>> = vec![certificate.der().clone()];
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let mut config = builder.unwrap().with_no_client_auth().with_single_cert(chain, key).unwrap();
        config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
        config
    }

    fn caller(&self) -> Caller {
        let options = HttpOptions { ca_file: Some(self.file.path().to_owned()), ..HttpOptions::default() };
        Caller::under(Policy::local(), StaticCredentials::default(), options)
    }
}

#[derive(Default)]
struct Counts {
    connections: AtomicUsize,
    requests: AtomicUsize,
}

/// Says in its body what it was asked.
async fn serve(config: rustls::ServerConfig) -> (SocketAddr, Arc<Counts>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let counts = Arc::new(Counts::default());
    let counted = counts.clone();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            counted.connections.fetch_add(1, Ordering::SeqCst);
            let (acceptor, counted) = (acceptor.clone(), counted.clone());
            tokio::spawn(async move {
                let Ok(stream) = acceptor.accept(socket).await else { return };
                let is_h2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
                let service = service_fn(move |request| echo(request, counted.clone()));
                let io = TokioIo::new(stream);
                if is_h2 {
                    let _ = http2::Builder::new(TokioExecutor::new()).serve_connection(io, service).await;
                } else {
                    let _ = http1::Builder::new().serve_connection(io, service).await;
                }
            });
        }
    });
    (address, counts)
}

async fn echo(request: Request<Incoming>, counts: Arc<Counts>) -> Result<Response<Full<Bytes>>, hyper::Error> {
    counts.requests.fetch_add(1, Ordering::SeqCst);
    let (parts, body) = request.into_parts();
    let body = body.collect().await?.to_bytes();
    let host = parts.headers.get("host").map(|host| host.to_str().unwrap().to_owned());
    let said = serde_json::json!({
        "version": if parts.version == Version::HTTP_2 { 2 } else { 1 },
        "host": host.or(parts.uri.authority().map(ToString::to_string)),
        "path": parts.uri.path_and_query().unwrap().as_str(),
        "key": parts.headers["idempotency-key"].to_str().unwrap(),
        "body": String::from_utf8_lossy(&body),
    });
    Ok(Response::new(Full::from(said.to_string())))
}

#[tokio::test]
async fn both_versions_say_the_same_over_one_connection() {
    let authority = Authority::new();
    for (protocols, version) in [(&["http/1.1"][..], 1), (&[], 1), (&["h2", "http/1.1"], 2)] {
        let (address, counts) = serve(authority.config("localhost", protocols)).await;
        let caller = authority.caller();
        for _ in 0..3 {
            let answer = response(caller.call(&format!("https://localhost:{}/a?b=c", address.port())).await);
            assert_eq!(answer.status, 200);
            assert_eq!(
                answer.body,
                serde_json::json!({
                    "version": version,
                    "host": format!("localhost:{}", address.port()),
                    "path": "/a?b=c",
                    "key": "\"3f1c0e6a-7d52-4c0b-9a53-5a3a0f3f9d11/reserve/forward\"",
                    "body": r#"{"a":1}"#,
                })
            );
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        assert_eq!(counts.connections.load(Ordering::SeqCst), 1);
        assert_eq!(counts.requests.load(Ordering::SeqCst), 3);
    }
}

#[tokio::test]
async fn many_calls_share_an_http_2_connection() {
    let authority = Authority::new();
    let (address, counts) = serve(authority.config("localhost", &["h2"])).await;
    let caller = authority.caller();
    let url = format!("https://localhost:{}/", address.port());
    response(caller.call(&url).await);
    for answer in join_all((0..50).map(|_| caller.call(&url))).await {
        assert_eq!(response(answer).status, 200);
    }
    assert_eq!(counts.requests.load(Ordering::SeqCst), 51);
    assert_eq!(counts.connections.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_certificate_that_does_not_fit_stops_the_call_before_it_is_sent() {
    let authority = Authority::new();
    let (address, counts) = serve(authority.config("localhost", &["h2"])).await;
    let (reason, message) = not_sent(Caller::new().call(&format!("https://localhost:{}/", address.port())).await);
    assert_eq!(reason, Reason::ConnectionFailed);
    assert!(message.contains("certificate"), "{message}");
    let (reason, _) = not_sent(authority.caller().call(&format!("https://127.0.0.1:{}/", address.port())).await);
    assert_eq!(reason, Reason::ConnectionFailed);
    assert_eq!(counts.requests.load(Ordering::SeqCst), 0);
}
