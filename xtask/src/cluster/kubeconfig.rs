//! Kubeconfigs with everything in them, so that the file alone is enough.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::pki::Pair;

/// A kubeconfig for one user of one cluster.
pub(crate) fn text(cluster: &str, server: &str, authority: &str, user: &str, pair: &Pair) -> String {
    let (authority, certificate, key) =
        (STANDARD.encode(authority), STANDARD.encode(&pair.certificate), STANDARD.encode(&pair.key));
    format!(
        "\
apiVersion: v1
kind: Config
clusters:
- name: {cluster}
  cluster:
    server: {server}
    certificate-authority-data: {authority}
users:
- name: {user}
  user:
    client-certificate-data: {certificate}
    client-key-data: {key}
contexts:
- name: {cluster}
  context:
    cluster: {cluster}
    user: {user}
current-context: {cluster}
"
    )
}
