//! Secret values for headers: read when sending, kept nowhere.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use futures::future::BoxFuture;
use k8s_openapi::api::core::v1::Secret;

use crate::api::definition::SecretKeyRef;

/// Reads Secrets.
pub trait Credentials: Send + Sync + 'static {
    /// The value of `key` in `namespace`. May be dropped at any time.
    fn secret<'a>(
        &'a self,
        namespace: &'a str,
        key: &'a SecretKeyRef,
    ) -> BoxFuture<'a, Result<SecretValue, CredentialError>>;
}

/// A value of a Secret. Neither `Debug` nor anything else shows it.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretValue(Vec<u8>);

impl SecretValue {
    /// Takes the value.
    pub fn new(value: impl Into<Vec<u8>>) -> Self {
        Self(value.into())
    }

    /// For the one place that puts it on the wire.
    pub(super) fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for SecretValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretValue(redacted)")
    }
}

/// Why there is no value; names what was asked for, never what was found.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CredentialError {
    /// No such Secret: it may be created later.
    #[error("secret '{0}' does not exist: create it in the run's namespace")]
    NoSecret(String),
    /// No such key in it: it may be added later.
    #[error("secret '{}' has no key '{}': add it", .0.name, .0.key)]
    NoKey(SecretKeyRef),
    /// Not for the operator's eyes.
    #[error("failed to read secret '{0}': forbidden; bind the operator's ClusterRole for Secrets in this namespace")]
    Forbidden(String),
    /// Nobody could tell: worth another try.
    #[error("failed to read secret '{name}': {cause}")]
    Unavailable {
        /// Name of the Secret.
        name: String,
        /// What happened, in words without content.
        cause: String,
    },
}

/// Secrets of the cluster, read with the operator's own account: `get` only, one request a value.
#[derive(Clone)]
pub struct KubernetesCredentials {
    client: kube::Client,
}

impl KubernetesCredentials {
    /// Longest wait for the API server.
    const TIMEOUT: Duration = Duration::from_secs(5);

    /// Reads through `client`.
    pub const fn new(client: kube::Client) -> Self {
        Self { client }
    }

    async fn read(&self, namespace: &str, key: &SecretKeyRef) -> Result<SecretValue, CredentialError> {
        let unavailable =
            |cause: &str| CredentialError::Unavailable { name: key.name.clone(), cause: cause.to_owned() };
        let api = kube::Api::<Secret>::namespaced(self.client.clone(), namespace);
        let secret = match tokio::time::timeout(Self::TIMEOUT, api.get(&key.name)).await {
            Err(_) => return Err(unavailable("no answer from the API server in time")),
            Ok(Ok(secret)) => secret,
            Ok(Err(kube::Error::Api(status))) => {
                return Err(match status.code {
                    404 => CredentialError::NoSecret(key.name.clone()),
                    403 => CredentialError::Forbidden(key.name.clone()),
                    // 401 among them: the operator's token may be renewed.
                    code => unavailable(&format!("the API server answered {code}")),
                });
            }
            // Its text may quote what could not be read.
            Ok(Err(_)) => return Err(unavailable("no usable answer from the API server")),
        };
        let value = secret.data.and_then(|mut data| data.remove(&key.key));
        value.map(|bytes| SecretValue(bytes.0)).ok_or_else(|| CredentialError::NoKey(key.clone()))
    }
}

impl Credentials for KubernetesCredentials {
    fn secret<'a>(
        &'a self,
        namespace: &'a str,
        key: &'a SecretKeyRef,
    ) -> BoxFuture<'a, Result<SecretValue, CredentialError>> {
        Box::pin(self.read(namespace, key))
    }
}

/// Secrets that the caller knows; the same in every namespace.
#[derive(Clone, Debug, Default)]
pub struct StaticCredentials {
    secrets: BTreeMap<String, BTreeMap<String, SecretValue>>,
}

impl StaticCredentials {
    /// Adds one value.
    #[must_use]
    pub fn with(mut self, name: &str, key: &str, value: SecretValue) -> Self {
        self.secrets.entry(name.to_owned()).or_default().insert(key.to_owned(), value);
        self
    }
}

impl Credentials for StaticCredentials {
    fn secret<'a>(
        &'a self,
        _namespace: &'a str,
        key: &'a SecretKeyRef,
    ) -> BoxFuture<'a, Result<SecretValue, CredentialError>> {
        let found = match self.secrets.get(&key.name) {
            None => Err(CredentialError::NoSecret(key.name.clone())),
            Some(keys) => keys.get(&key.key).cloned().ok_or_else(|| CredentialError::NoKey(key.clone())),
        };
        Box::pin(std::future::ready(found))
    }
}
