//! The operator as users run it: the real binary in a process of its own, with the rights of `deploy/rbac.yaml` and no
//! others.

use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::api::{Api, DynamicObject, Patch, PatchParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config, Discovery, ResourceExt as _};
use serde_json::json;
use tempfile::TempDir;
use tokio::process::{Child, Command};
use tokio::sync::OnceCell;

use super::cluster;

/// The user that the API server sees.
pub(crate) const OPERATOR: &str = "system:serviceaccount:saga-system:saga-operator";
const NAMESPACE: &str = "saga-system";
const NAME: &str = "saga-operator";
/// A token outlives every test.
const TOKEN_SECONDS: i64 = 3 * 60 * 60;
/// How long a process may take to end: more than its grace.
const GONE_WITHIN: Duration = Duration::from_secs(60);

/// What the operator is given to reach the API server.
#[derive(Clone)]
pub(crate) struct Access {
    /// `https://HOST:PORT`
    pub(crate) server: String,
    /// DER.
    pub(crate) authorities: Vec<Vec<u8>>,
    /// Of its ServiceAccount.
    pub(crate) token: String,
}

impl Access {
    /// Applies `deploy/rbac.yaml` and asks for a token, once per process.
    pub(crate) async fn get(client: &Client) -> Self {
        static ACCESS: OnceCell<Access> = OnceCell::const_new();
        ACCESS.get_or_init(|| Self::new(client)).await.clone()
    }

    async fn new(client: &Client) -> Self {
        install_rights(client).await;
        let kubeconfig = Kubeconfig::read_from(cluster::kubeconfig_path()).expect("a kubeconfig");
        let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await;
        let config = config.expect("a configuration");
        let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), NAMESPACE);
        let request = TokenRequest {
            spec: TokenRequestSpec { expiration_seconds: Some(TOKEN_SECONDS), ..TokenRequestSpec::default() },
            ..TokenRequest::default()
        };
        let answer = accounts.create_token_request(NAME, &PostParams::default(), &request).await.expect("a token");
        Self {
            server: config.cluster_url.to_string().trim_end_matches('/').to_owned(),
            authorities: config.root_cert.unwrap_or_default(),
            token: answer.status.expect("a token").token,
        }
    }

    fn kubeconfig(&self, server: Option<&str>) -> String {
        let pem = |der: &Vec<u8>| {
            format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", STANDARD.encode(der))
        };
        let authorities = STANDARD.encode(self.authorities.iter().map(pem).collect::<String>());
        let (cluster, user) = match server {
            // The proxy has the token.
            Some(proxy) => (json!({"server": proxy}), json!({})),
            None => (
                json!({"server": self.server, "certificate-authority-data": authorities}),
                json!({"token": self.token}),
            ),
        };
        json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "test",
            "clusters": [{"name": "test", "cluster": cluster}],
            "users": [{"name": "test", "user": user}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
        })
        .to_string()
    }
}

/// A running operator. Dropping it kills it; when that is because a test failed, its log is shown.
pub(crate) struct Operator {
    process: Victim,
    directory: TempDir,
}

/// The process of an operator, for those who want to kill it.
#[derive(Clone)]
pub(crate) struct Victim(Arc<Mutex<Child>>);

impl Victim {
    /// `kill -9`. It is as good as gone afterwards; nothing is waited for.
    pub(crate) fn kill(&self) {
        self.0.lock().expect("not poisoned").start_kill().ok();
    }
}

impl Operator {
    /// Starts it for one namespace. `proxy`: talks to this server instead of the API server.
    pub(crate) fn start(access: &Access, namespace: &str, proxy: Option<&str>) -> Self {
        Self::start_with(access, namespace, proxy, &[])
    }

    /// The same with more arguments.
    pub(crate) fn start_with(access: &Access, namespace: &str, proxy: Option<&str>, more: &[&str]) -> Self {
        Self::start_in(access, namespace, proxy, more, &[])
    }

    /// The same with variables of the environment.
    pub(crate) fn start_in(
        access: &Access,
        namespace: &str,
        proxy: Option<&str>,
        more: &[&str],
        variables: &[(String, String)],
    ) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let kubeconfig = directory.path().join("kubeconfig");
        std::fs::write(&kubeconfig, access.kubeconfig(proxy)).expect("written");
        let log = std::fs::File::create(directory.path().join("log")).expect("a file");
        let mut command = Command::new(env!("CARGO_BIN_EXE_saga-operator"));
        command.args(["--log", "info,saga_operator=debug", "run"]);
        command.args(["--insecure-allow-loopback", "--watch-namespace", namespace]).args(more);
        // Nothing of the tests' own surroundings.
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("SAGA_") || name == "http_proxy" || name == "HTTP_PROXY" {
                command.env_remove(name);
            }
        }
        command.env("KUBECONFIG", &kubeconfig).env("NO_COLOR", "1").kill_on_drop(true);
        command.envs(variables.iter().cloned());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        let child = command.spawn().expect("the operator starts");
        Self { process: Victim(Arc::new(Mutex::new(child))), directory }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.process.0.lock().expect("not poisoned").id().expect("it runs")
    }

    pub(crate) fn victim(&self) -> Victim {
        self.process.clone()
    }

    /// What it said so far.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.directory.path().join("log")).unwrap_or_default()
    }

    /// `kill -9`, and waits until it is gone.
    pub(crate) async fn kill(&self) {
        self.process.kill();
        self.gone().await;
    }

    /// SIGTERM; returns how it ended.
    pub(crate) async fn stop(self) -> ExitStatus {
        self.terminate().await;
        self.gone().await
    }

    /// SIGTERM.
    pub(crate) async fn terminate(&self) {
        self.signal("-TERM").await;
    }

    /// A signal, as `kill` calls it.
    pub(crate) async fn signal(&self, signal: &str) {
        // The child is not yet waited for, so its number cannot have become another's.
        let pid = self.process.0.lock().expect("not poisoned").id();
        if let Some(pid) = pid {
            Command::new("kill").args([signal, &pid.to_string()]).status().await.expect("kill");
        }
    }

    /// How it ended, if it has.
    pub(crate) fn ended(&self) -> Option<ExitStatus> {
        self.process.0.lock().expect("not poisoned").try_wait().expect("a child")
    }

    /// Waits until it is gone.
    pub(crate) async fn gone(&self) -> ExitStatus {
        let deadline = tokio::time::Instant::now() + GONE_WITHIN;
        loop {
            if let Some(status) = self.ended() {
                return status;
            }
            assert!(tokio::time::Instant::now() < deadline, "the operator does not end");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

impl Drop for Operator {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("==== the log of an operator:\n{}", self.log());
        }
    }
}

/// Applies `deploy/rbac.yaml`.
async fn install_rights(client: &Client) {
    let discovery = Discovery::new(client.clone()).run().await.expect("discovered");
    let manifest = include_str!("../../deploy/rbac.yaml");
    for object in serde_saphyr::from_multiple::<DynamicObject>(manifest).expect("YAML") {
        let types = object.types.clone().expect("a kind");
        let gvk = kube::core::GroupVersionKind::try_from(&types).expect("a kind");
        let (resource, _) = discovery.resolve_gvk(&gvk).expect("a known kind");
        let api: Api<DynamicObject> = match &object.metadata.namespace {
            Some(namespace) => Api::namespaced_with(client.clone(), namespace, &resource),
            None => Api::all_with(client.clone(), &resource),
        };
        let params = PatchParams::apply("saga-operator-tests").force();
        api.patch(&object.name_any(), &params, &Patch::Apply(&object)).await.expect("applied");
    }
}
