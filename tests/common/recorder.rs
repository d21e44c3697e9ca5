//! A participant that keeps every request to the byte.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// A request as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Raw {
    /// `POST /path?query HTTP/1.1`
    pub(crate) line: String,
    /// In the order and spelling of the wire.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Raw {
    /// The value of a header; a missing one fails the test.
    pub(crate) fn header(&self, name: &str) -> &str {
        let found = self.find(name);
        assert!(found.is_some(), "there is no header {name}: {self:#?}");
        found.unwrap_or_default()
    }

    pub(crate) fn find(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }
}

/// What becomes of a request.
#[derive(Clone, Debug)]
pub(crate) enum Reaction {
    /// Status, headers as lines, body.
    Answer(u16, &'static str, &'static str),
    /// No answer, and the connection stays open.
    Hang,
    /// No answer, and the connection is closed.
    Close,
}

type Script = Arc<dyn Fn(&[Raw]) -> Reaction + Send + Sync>;

/// The server; it ends when dropped.
pub(crate) struct Recorder {
    address: SocketAddr,
    requests: Arc<Mutex<Vec<Raw>>>,
    server: JoinHandle<()>,
}

impl Recorder {
    /// `script` is asked after each request, with all so far.
    pub(crate) async fn start(script: impl Fn(&[Raw]) -> Reaction + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let requests = Arc::<Mutex<Vec<Raw>>>::default();
        let (script, kept): (Script, _) = (Arc::new(script), requests.clone());
        let server = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let (script, requests) = (script.clone(), kept.clone());
                connections.spawn(async move {
                    // A caller that goes away is a caller that goes away.
                    let _ = answer(stream, &script, &requests).await;
                });
            }
        });
        Self { address, requests, server }
    }

    /// `http://HOST:PORT`
    pub(crate) fn base_url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn requests(&self) -> Vec<Raw> {
        self.requests.lock().expect("not poisoned").clone()
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// One request a connection.
async fn answer(mut stream: TcpStream, script: &Script, requests: &Mutex<Vec<Raw>>) -> std::io::Result<()> {
    let Some(request) = read(&mut stream).await? else { return Ok(()) };
    let reaction = {
        let mut requests = requests.lock().expect("not poisoned");
        requests.push(request);
        script(&requests)
    };
    match reaction {
        Reaction::Answer(status, headers, body) => {
            let length = body.len();
            let text = format!(
                "HTTP/1.1 {status} As Told\r\nConnection: close\r\nContent-Length: {length}\r\n{headers}\r\n{body}"
            );
            stream.write_all(text.as_bytes()).await?;
            stream.shutdown().await
        }
        Reaction::Hang => {
            // Until the caller gives up.
            stream.read_to_end(&mut Vec::new()).await.map(drop)
        }
        Reaction::Close => Ok(()),
    }
}

async fn read(stream: &mut TcpStream) -> std::io::Result<Option<Raw>> {
    let mut bytes = Vec::new();
    let head = loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break end;
        }
        if stream.read_buf(&mut bytes).await? == 0 {
            return Ok(None);
        }
    };
    let mut body = bytes.split_off(head + 4);
    let text = String::from_utf8_lossy(&bytes[..head]).into_owned();
    let mut lines = text.split("\r\n");
    let line = lines.next().unwrap_or_default().to_owned();
    let header = |line: &str| line.split_once(": ").map(|(name, value)| (name.to_owned(), value.to_owned()));
    let headers: Vec<_> = lines.filter_map(header).collect();
    let mut raw = Raw { line, headers, body: Vec::new() };
    let length = raw.find("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
    while body.len() < length {
        if stream.read_buf(&mut body).await? == 0 {
            return Ok(None);
        }
    }
    raw.body = body;
    Ok(Some(raw))
}
