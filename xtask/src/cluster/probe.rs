//! Asking the API server whether it is ready: one GET over mutual TLS, because starting kubectl for each question
//! costs a tenth of a second of a core.

use std::io::{self, BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use super::pki::Pki;

const TIMEOUT: Duration = Duration::from_secs(2);

/// The probe itself could not be made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ProbeError {
    /// A certificate was not readable.
    #[error("failed to read a certificate that was just made")]
    Pem(#[from] rustls::pki_types::pem::Error),
    /// TLS refused the certificates.
    #[error("failed to set up TLS")]
    Tls(#[from] rustls::Error),
}

/// Asks one API server as its administrator.
#[derive(Debug)]
pub(crate) struct Probe {
    address: SocketAddr,
    tls: Arc<ClientConfig>,
}

impl Probe {
    /// A probe of the API server on this port of loopback.
    pub(crate) fn new(port: u16, pki: &Pki) -> Result<Self, ProbeError> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(pki.authority.as_bytes())?)?;
        let certificate = CertificateDer::from_pem_slice(pki.admin.certificate.as_bytes())?;
        let key = PrivateKeyDer::from_pem_slice(pki.admin.key.as_bytes())?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let tls = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_client_auth_cert(vec![certificate], key)?;
        Ok(Self { address: SocketAddr::from((Ipv4Addr::LOCALHOST, port)), tls: Arc::new(tls) })
    }

    /// Whether a GET of this path is answered with 200.
    pub(crate) fn ok(&self, path: &str) -> bool {
        self.status_line(path).is_ok_and(|line| line.split(' ').nth(1) == Some("200"))
    }

    fn status_line(&self, path: &str) -> io::Result<String> {
        let socket = TcpStream::connect_timeout(&self.address, TIMEOUT)?;
        socket.set_read_timeout(Some(TIMEOUT))?;
        socket.set_write_timeout(Some(TIMEOUT))?;
        let name = ServerName::try_from("localhost").map_err(io::Error::other)?;
        let connection = ClientConnection::new(Arc::clone(&self.tls), name).map_err(io::Error::other)?;
        let mut stream = StreamOwned::new(connection, socket);
        write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line)?;
        Ok(line)
    }
}

/// Whether anybody listens on this port of loopback.
pub(crate) fn listens(port: u16) -> bool {
    TcpStream::connect_timeout(&SocketAddr::from((Ipv4Addr::LOCALHOST, port)), TIMEOUT).is_ok()
}
