//! The command itself, manifests for it, and participants that do as they are told.
#![allow(dead_code, reason = "each test binary uses a part of it")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::future::BoxFuture;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, Command};
use tokio::sync::watch;

/// Something hangs if it takes longer.
const GUARD: Duration = Duration::from_secs(120);

/// What a command said.
#[derive(Debug)]
pub struct Said {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

/// The command, with nothing of this process's environment that it reads.
pub fn operator(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_saga-operator"));
    for variable in ["SAGA_STATE", "SAGA_LOG", "SAGA_LOG_FORMAT"] {
        command.env_remove(variable);
    }
    command.args(args).stdin(Stdio::null()).kill_on_drop(true);
    command
}

/// Starts a command whose output is read at the end.
pub fn start(mut command: Command) -> Child {
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// Waits for the end of a command.
pub async fn end(child: Child) -> Said {
    let output = within(child.wait_with_output()).await.unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Said { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
}

/// `local` with arguments.
pub async fn local(args: &[&str]) -> Said {
    end(start(operator(&[&["local"], args].concat()))).await
}

/// Its exit status where nobody reads standard output and error: both are pipes without another end.
pub async fn unread(args: &[&str]) -> Option<i32> {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut command = operator(args);
    let mut child = command.stdout(writer.try_clone().unwrap()).stderr(writer).spawn().unwrap();
    within(child.wait()).await.unwrap().code()
}

/// Fails instead of hanging.
pub async fn within<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(GUARD, what).await.expect("it hangs")
}

/// Sends a signal by the shell: this crate forbids unsafe code.
pub fn signal(child: &Child, name: &str) {
    let pid = child.id().unwrap().to_string();
    assert!(std::process::Command::new("kill").args(["-s", name, &pid]).status().unwrap().success());
}

/// A directory with manifests.
pub struct Desk(TempDir);

impl Desk {
    pub fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    /// Writes a file; gives its path.
    pub fn file(&self, name: &str, text: &str) -> String {
        let path = self.0.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    }

    /// The path of a file that may not be there.
    pub fn path(&self, name: &str) -> String {
        self.0.path().join(name).to_str().unwrap().to_owned()
    }

    /// Manifests of an example, with the participants at `port`.
    pub fn example(&self, folder: &str, names: &[&str], port: u16) -> Vec<String> {
        let copy = |name: &&str| {
            let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("examples").join(folder).join(name);
            let text = std::fs::read_to_string(path).unwrap();
            self.file(name, &text.replace("127.0.0.1:8080", &format!("127.0.0.1:{port}")))
        };
        names.iter().map(copy).collect()
    }

    pub fn root(&self) -> &Path {
        self.0.path()
    }
}

/// A run of `definition`; `more` is indented by two.
pub fn run(name: &str, definition: &str, more: &str) -> String {
    format!(
        "apiVersion: sagas.dev/v1alpha1\nkind: SagaRun\nmetadata: {{name: {name}}}\nspec:\n  definitionRef: {{name: \
         {definition}}}\n{more}"
    )
}

/// A definition with `steps`, a YAML list indented by two, and a run of it named `order-1`.
pub fn saga(steps: &str, input: &str) -> String {
    format!("{}---\n{}", definition(steps), run("order-1", "order", &format!("  input: {input}\n")))
}

/// A definition named `order`.
pub fn definition(steps: &str) -> String {
    format!(
        "apiVersion: sagas.dev/v1alpha1\nkind: SagaDefinition\nmetadata: {{name: order}}\nspec:\n  \
         activeDeadlineSeconds: 600\n  steps:\n{steps}"
    )
}

/// A request as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Method and target.
    pub line: String,
    /// As they stand, in their order.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    raw: Vec<u8>,
}

impl Request {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    pub fn headers_without(&self, names: &[&str]) -> BTreeMap<String, String> {
        let own = |(name, _): &&(String, String)| !names.iter().any(|left| left.eq_ignore_ascii_case(name));
        self.headers.iter().filter(own).cloned().collect()
    }

    /// Reads one request; none where nothing came.
    async fn read(stream: &mut TcpStream) -> Option<Self> {
        let mut raw = Vec::new();
        let head = loop {
            if let Some(end) = raw.windows(4).position(|window| window == b"\r\n\r\n") {
                break end;
            }
            if stream.read_buf(&mut raw).await.ok()? == 0 {
                return None;
            }
        };
        let text = String::from_utf8_lossy(&raw[..head]).into_owned();
        let mut lines = text.split("\r\n");
        let line = lines.next()?.strip_suffix(" HTTP/1.1")?.to_owned();
        let headers: Vec<_> = lines
            .filter_map(|line| line.split_once(": "))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        let length = headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("content-length"));
        let length: usize = length.map_or(0, |(_, length)| length.parse().unwrap());
        while raw.len() < head + 4 + length {
            if stream.read_buf(&mut raw).await.ok()? == 0 {
                return None;
            }
        }
        Some(Self { line, headers, body: raw[head + 4..].to_vec(), raw })
    }
}

/// A server that gets each request on a connection of its own, and answers as it was told.
pub struct Server {
    pub port: u16,
    seen: Arc<Mutex<Vec<Request>>>,
    count: watch::Receiver<usize>,
    task: tokio::task::JoinHandle<()>,
}

impl Server {
    /// `answer` gets the number of the request, from 0.
    pub async fn start(
        answer: impl Fn(usize, Request, TcpStream) -> BoxFuture<'static, ()> + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (seen, answer) = (Arc::<Mutex<Vec<Request>>>::default(), Arc::new(answer));
        let (news, count) = watch::channel(0);
        let (log, news) = (seen.clone(), Arc::new(news));
        let task = tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let (log, answer, news) = (log.clone(), answer.clone(), news.clone());
                tokio::spawn(async move {
                    let Some(request) = Request::read(&mut stream).await else { return };
                    let number = {
                        let mut log = log.lock().unwrap();
                        log.push(request.clone());
                        log.len() - 1
                    };
                    news.send_modify(|count| *count = number + 1);
                    answer(number, request, stream).await;
                });
            }
        });
        Self { port, seen, count, task }
    }

    /// Answers everything with `status` and `body`.
    pub async fn answering(status: u16, body: &'static str) -> Self {
        Self::start(move |_, _, stream| Box::pin(reply(stream, status, "", body.into()))).await
    }

    pub fn seen(&self) -> Vec<Request> {
        self.seen.lock().unwrap().clone()
    }

    /// Waits until so many requests came.
    pub async fn arrived(&self, requests: usize) {
        within(self.count.clone().wait_for(|count| *count >= requests)).await.unwrap();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Answers and closes. `headers` are whole lines.
pub async fn reply(mut stream: TcpStream, status: u16, headers: &str, body: Vec<u8>) {
    let head = format!("HTTP/1.1 {status} X\r\n{headers}connection: close\r\ncontent-length: {}\r\n\r\n", body.len());
    let answer = [head.into_bytes(), body].concat();
    // Who asked may be dead by now.
    let _sent = stream.write_all(&answer).await;
    let _closed = stream.shutdown().await;
}

/// Passes a request on to another server, and gives its whole answer.
pub async fn forward(request: &Request, port: u16) -> Vec<u8> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    let text = String::from_utf8(request.raw.clone()).unwrap();
    let (line, rest) = text.split_once("\r\n").unwrap();
    stream.write_all(format!("{line}\r\nconnection: close\r\n{rest}").as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    answer
}

/// Counts connections; nothing should ever come.
pub struct Canary {
    pub port: u16,
    listener: TcpListener,
}

impl Canary {
    pub async fn start() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        Self { port: listener.local_addr().unwrap().port(), listener }
    }

    /// Connections made since the last time: the system keeps them until they are accepted. The last is its own.
    pub async fn connections(&self) -> usize {
        let own = TcpStream::connect(("127.0.0.1", self.port)).await.unwrap().local_addr().unwrap();
        let mut others = 0;
        while self.listener.accept().await.unwrap().1 != own {
            others += 1;
        }
        others
    }
}
