//! An etcd and an API server of a test's own, which it may kill. Certificates are those of the cluster that the tests share.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tokio::process::{Child, Command};

use crate::common::cluster;

/// On a machine that does other things, too.
const READY_WITHIN: Duration = Duration::from_secs(120);

/// What is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    ApiServer,
    Etcd,
    Both,
}

/// A control plane without controllers.
pub(crate) struct Plane {
    directory: TempDir,
    programs: PathBuf,
    secrets: PathBuf,
    ports: [u16; 3],
    etcd: Child,
    api: Child,
}

impl Plane {
    /// Starts it; from now on all clients of this process are for it.
    pub(crate) async fn start() -> Self {
        let shared = PathBuf::from(cluster::kubeconfig_path());
        let programs = std::env::var("SAGA_TEST_BIN_DIR").expect("this test needs programs: run `cargo xtask test`");
        let secrets = shared.parent().expect("a directory").to_owned();
        let directory = tempfile::tempdir().expect("a directory");
        let ports = ports();
        let programs = PathBuf::from(programs);
        let etcd = etcd(&programs, directory.path(), ports);
        let api = api_server(&programs, &secrets, directory.path(), ports);
        let kubeconfig = directory.path().join("kubeconfig");
        std::fs::write(&kubeconfig, elsewhere(&shared, ports[0])).expect("written");
        cluster::use_kubeconfig(&kubeconfig);
        let plane = Self { directory, programs, secrets, ports, etcd, api };
        plane.ready().await;
        plane
    }

    /// `kill -9`, and waits until it is gone.
    pub(crate) async fn kill(&mut self, part: Part) {
        if part != Part::ApiServer {
            self.etcd.kill().await.expect("killed");
        }
        if part != Part::Etcd {
            self.api.kill().await.expect("killed");
        }
    }

    /// Starts again what was killed, on the same data, and waits until it answers.
    pub(crate) async fn restart(&mut self, part: Part) {
        if part != Part::ApiServer {
            self.etcd = etcd(&self.programs, self.directory.path(), self.ports);
        }
        if part != Part::Etcd {
            self.api = api_server(&self.programs, &self.secrets, self.directory.path(), self.ports);
        }
        self.ready().await;
    }

    async fn ready(&self) {
        let begun = Instant::now();
        let client = cluster::admin().await;
        loop {
            let request = http::Request::get("/readyz").body(Vec::new()).expect("a request");
            let answer = tokio::time::timeout(Duration::from_secs(5), client.request_text(request)).await;
            match answer {
                Ok(Ok(text)) if text == "ok" => return,
                answer => assert!(begun.elapsed() < READY_WITHIN, "{answer:?}\n{}", self.log()),
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    fn log(&self) -> String {
        let log = std::fs::read_to_string(self.directory.path().join("kube-apiserver.log")).unwrap_or_default();
        let lines: Vec<_> = log.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }
}

/// Free ones, for the API server, etcd and its peers.
fn ports() -> [u16; 3] {
    let held = [(); 3].map(|()| TcpListener::bind(("127.0.0.1", 0)).expect("a port"));
    held.map(|listener| listener.local_addr().expect("an address").port())
}

/// The kubeconfig for another port.
fn elsewhere(kubeconfig: &Path, port: u16) -> String {
    let text = std::fs::read_to_string(kubeconfig).expect("a kubeconfig");
    let (before, rest) = text.split_once("https://127.0.0.1:").expect("a cluster of this machine");
    let after = rest.trim_start_matches(|letter: char| letter.is_ascii_digit());
    format!("{before}https://127.0.0.1:{port}{after}")
}

fn etcd(programs: &Path, directory: &Path, [_, clients, peers]: [u16; 3]) -> Child {
    let (clients, peers) = (format!("http://127.0.0.1:{clients}"), format!("http://127.0.0.1:{peers}"));
    let arguments = [
        "--name=only".to_owned(),
        format!("--data-dir={}", directory.join("data").display()),
        format!("--listen-client-urls={clients}"),
        format!("--advertise-client-urls={clients}"),
        format!("--listen-peer-urls={peers}"),
        format!("--initial-advertise-peer-urls={peers}"),
        format!("--initial-cluster=only={peers}"),
        "--log-level=warn".to_owned(),
        // The process is killed, not the machine: what the kernel has is not lost.
        "--unsafe-no-fsync".to_owned(),
    ];
    spawn(programs, directory, "etcd", &arguments)
}

fn api_server(programs: &Path, secrets: &Path, directory: &Path, [port, etcd, _]: [u16; 3]) -> Child {
    let file = |name: &str| secrets.join(name).display().to_string();
    let arguments = [
        format!("--etcd-servers=http://127.0.0.1:{etcd}"),
        "--bind-address=127.0.0.1".to_owned(),
        "--advertise-address=127.0.0.1".to_owned(),
        format!("--secure-port={port}"),
        "--endpoint-reconciler-type=none".to_owned(),
        "--service-cluster-ip-range=10.96.0.0/16".to_owned(),
        format!("--tls-cert-file={}", file("server.crt")),
        format!("--tls-private-key-file={}", file("server.key")),
        format!("--client-ca-file={}", file("ca.crt")),
        "--authorization-mode=RBAC".to_owned(),
        "--service-account-issuer=https://kubernetes.default.svc.cluster.local".to_owned(),
        format!("--service-account-key-file={}", file("tokens.pub")),
        format!("--service-account-signing-key-file={}", file("tokens.key")),
        // So that whoever follows every state can go on where it broke off: a cache begins anew with the process.
        "--watch-cache=false".to_owned(),
    ];
    spawn(programs, directory, "kube-apiserver", &arguments)
}

fn spawn(programs: &Path, directory: &Path, program: &str, arguments: &[String]) -> Child {
    let log = std::fs::OpenOptions::new().create(true).append(true).open(directory.join(format!("{program}.log")));
    let log = log.expect("a file");
    let mut command = Command::new(programs.join(program));
    command.args(arguments).current_dir(directory).kill_on_drop(true);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
    command.spawn().expect("the program starts")
}
