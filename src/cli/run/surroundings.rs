//! What must be there before the controller can begin, and what sagas must keep away from.

use std::net::IpAddr;
use std::time::Duration;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::runtime::wait::{Condition as _, conditions};
use kube::{Api, Config, CustomResourceExt as _};

use super::serve::RunError;
use crate::api::{SagaDefinition, SagaRun};
use crate::journal::kubernetes::Clients;

/// How long the kinds may take to appear in the API server.
const KINDS_PATIENCE: Duration = Duration::from_secs(60);

/// Waits until both kinds can be used.
pub(super) async fn await_kinds(clients: &Clients) -> Result<(), RunError> {
    await_kind(clients, "SagaDefinition", SagaDefinition::crd_name()).await?;
    await_kind(clients, "SagaRun", SagaRun::crd_name()).await
}

/// Waits until a kind can be used. An API server that is away may come back meanwhile; what it refuses it refuses for good.
async fn await_kind(clients: &Clients, kind: &'static str, crd: &str) -> Result<(), RunError> {
    let api: Api<CustomResourceDefinition> = Api::all(clients.read.clone());
    let mut said = false;
    let deadline = tokio::time::Instant::now() + KINDS_PATIENCE;
    loop {
        let missing = match api.get_opt(crd).await {
            Ok(found) if conditions::is_crd_established().matches_object(found.as_ref()) => return Ok(()),
            Ok(_) => "it is not there".to_owned(),
            Err(kube::Error::Api(refusal)) if matches!(refusal.code, 401 | 403) => {
                return Err(RunError::Kind(kind, refusal.to_string()));
            }
            Err(error) => error.to_string(),
        };
        if tokio::time::Instant::now() > deadline {
            return Err(RunError::Kind(kind, format!("after {} s: {missing}", KINDS_PATIENCE.as_secs())));
        }
        if !std::mem::replace(&mut said, true) {
            tracing::warn!(
                kind,
                missing,
                "waiting for the kind: install it with `saga-operator crds | kubectl apply -f -`"
            );
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

/// The addresses of the API server, which no saga may call.
pub(super) async fn api_server_addresses(config: &Config) -> Vec<IpAddr> {
    let mut hosts: Vec<String> = config.cluster_url.host().map(str::to_owned).into_iter().collect();
    hosts.extend(std::env::var("KUBERNETES_SERVICE_HOST").ok());
    let mut addresses = Vec::new();
    for host in hosts {
        let host = host.trim_matches(['[', ']']);
        match tokio::net::lookup_host((host, 0)).await {
            Ok(found) => addresses.extend(found.map(|address| address.ip())),
            Err(error) => {
                tracing::warn!(host, %error, "failed to look up the API server: its address is not kept from sagas")
            }
        }
    }
    // A development cluster on this very machine: the flag that allows loopback decides, not this list.
    addresses.retain(|address| !address.is_loopback());
    addresses
}
