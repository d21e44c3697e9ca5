//! The programs of a control plane and their flags.

use std::path::Path;

use super::start::Durability;

/// The store.
pub(crate) const ETCD: &str = "etcd";
/// The API server.
pub(crate) const API_SERVER: &str = "kube-apiserver";
/// The controllers.
pub(crate) const CONTROLLERS: &str = "kube-controller-manager";

/// One line for each answer, who and what without the bodies: enough to count writes.
pub(crate) const AUDIT_POLICY: &str = "\
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- level: Metadata
";

/// What works without nodes and is missed without: the rest of the controllers would only cost memory.
/// Without the aggregation of roles `view`, `edit` and `admin` are empty.
const CONTROLLER_NAMES: [&str; 7] = [
    "garbage-collector-controller",
    "namespace-controller",
    "serviceaccount-controller",
    "serviceaccount-token-controller",
    "root-ca-certificate-publisher-controller",
    "clusterrole-aggregation-controller",
    "ttl-after-finished-controller",
];

const SERVICE_RANGE: &str = "10.96.0.0/16";

/// The arguments of etcd.
pub(crate) fn etcd(directory: &Path, clients: u16, peers: u16, durability: Durability) -> Vec<String> {
    let (clients, peers) = (format!("http://127.0.0.1:{clients}"), format!("http://127.0.0.1:{peers}"));
    let mut arguments = vec![
        "--name=only".to_owned(),
        format!("--data-dir={}", directory.join("etcd").display()),
        format!("--listen-client-urls={clients}"),
        format!("--advertise-client-urls={clients}"),
        format!("--listen-peer-urls={peers}"),
        format!("--initial-advertise-peer-urls={peers}"),
        format!("--initial-cluster=only={peers}"),
        "--log-level=warn".to_owned(),
    ];
    if durability == Durability::NoFsync {
        arguments.push("--unsafe-no-fsync".to_owned());
    }
    arguments
}

/// The arguments of the API server.
pub(crate) fn api_server(directory: &Path, port: u16, etcd: u16) -> Vec<String> {
    let file = |name: &str| directory.join(name).display().to_string();
    vec![
        format!("--etcd-servers=http://127.0.0.1:{etcd}"),
        "--bind-address=127.0.0.1".to_owned(),
        format!("--secure-port={port}"),
        // Endpoints on loopback are refused; nobody reaches the API server through its Service here.
        "--advertise-address=127.0.0.1".to_owned(),
        "--endpoint-reconciler-type=none".to_owned(),
        format!("--service-cluster-ip-range={SERVICE_RANGE}"),
        format!("--tls-cert-file={}", file("server.crt")),
        format!("--tls-private-key-file={}", file("server.key")),
        format!("--client-ca-file={}", file("ca.crt")),
        "--authorization-mode=RBAC".to_owned(),
        "--service-account-issuer=https://kubernetes.default.svc.cluster.local".to_owned(),
        format!("--service-account-key-file={}", file("tokens.pub")),
        format!("--service-account-signing-key-file={}", file("tokens.key")),
        format!("--audit-policy-file={}", file("audit-policy.yaml")),
        format!("--audit-log-path={}", file("audit.log")),
        // One file for the life of the cluster: whoever counts reads it from start to end.
        "--audit-log-maxsize=0".to_owned(),
    ]
}

/// The arguments of the controller manager.
pub(crate) fn controllers(directory: &Path) -> Vec<String> {
    let file = |name: &str| directory.join(name).display().to_string();
    vec![
        format!("--kubeconfig={}", file("controllers.kubeconfig")),
        format!("--controllers={}", CONTROLLER_NAMES.join(",")),
        "--use-service-account-credentials=true".to_owned(),
        "--leader-elect=false".to_owned(),
        // It serves nothing that is needed here, so it takes no port.
        "--secure-port=0".to_owned(),
        format!("--service-account-private-key-file={}", file("tokens.key")),
        format!("--root-ca-file={}", file("ca.crt")),
        // Namespaces of tests come and go by the dozen.
        "--kube-api-qps=200".to_owned(),
        "--kube-api-burst=400".to_owned(),
        "--concurrent-namespace-syncs=20".to_owned(),
    ]
}
