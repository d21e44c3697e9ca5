//! As much HTTP as it takes to ask the participants: one request a connection.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

const TIMEOUT: Duration = Duration::from_secs(10);

/// A service was not to be asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HttpError {
    #[error("failed to reach the participants")]
    Io(#[from] io::Error),
    #[error("the participants refuse: {0}")]
    Refused(String),
}

/// Returns the body of a successful answer.
pub(crate) fn ask(address: &str, method: &str, path: &str, accept: &str, body: &str) -> Result<String, HttpError> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    let length = body.len();
    write!(
        stream,
        "{method} {path} HTTP/1.0\r\nHost: {address}\r\nAccept: {accept}\r\nContent-Length: {length}\r\n\r\n{body}"
    )?;
    // 1.0: the end of the connection is the end of the answer.
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    let status = head.split(' ').nth(1).unwrap_or_default();
    if status.starts_with('2') { Ok(body.to_owned()) } else { Err(HttpError::Refused(format!("{status} {body}"))) }
}
