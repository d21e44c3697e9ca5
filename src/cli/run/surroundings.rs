//! What must be there before the controller can begin, and what sagas must keep away from.

use std::net::IpAddr;
use std::time::Duration;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::runtime::wait::{Condition as _, conditions};
use kube::{Api, Config, CustomResourceExt as _};
use tokio::time::Instant;

use super::serve::RunError;
use crate::api::{SagaDefinition, SagaRun};
use crate::journal::kubernetes::Clients;

/// How long the kinds may take to appear in the API server.
const KINDS_PATIENCE: Duration = Duration::from_secs(60);

/// Waits until both kinds can be used. An API server that is away may come back meanwhile; what it refuses it refuses for
/// good.
pub(super) async fn await_kinds(clients: &Clients) -> Result<(), RunError> {
    let deadline = Instant::now() + KINDS_PATIENCE;
    for (kind, crd) in [("SagaDefinition", SagaDefinition::crd_name()), ("SagaRun", SagaRun::crd_name())] {
        await_kind(clients, kind, crd, deadline).await?;
    }
    Ok(())
}

async fn await_kind(clients: &Clients, kind: &'static str, crd: &str, deadline: Instant) -> Result<(), RunError> {
    let api: Api<CustomResourceDefinition> = Api::all(clients.read.clone());
    let mut told = None;
    loop {
        let missing = match api.get_opt(crd).await {
            Ok(found) if conditions::is_crd_established().matches_object(found.as_ref()) => return Ok(()),
            Ok(_) => RunError::NoKind(kind),
            Err(kube::Error::Api(refusal)) if matches!(refusal.code, 401 | 403) => {
                return Err(RunError::Unasked(kind, refusal.to_string()));
            }
            Err(error) => RunError::Unasked(kind, error.to_string()),
        };
        if Instant::now() > deadline {
            return Err(missing);
        }
        // Once for each reason: the API server may come back without the kind.
        if told.replace(std::mem::discriminant(&missing)) != Some(std::mem::discriminant(&missing)) {
            tracing::warn!(reason = %missing, "waiting for the kind, at most {} s", KINDS_PATIENCE.as_secs());
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
