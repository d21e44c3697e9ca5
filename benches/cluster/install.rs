//! The cluster: kinds, rights, namespaces, definitions.

use std::time::{Duration, Instant};

use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::{Namespace, ServiceAccount};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Api, Patch, PatchParams, PostParams};
use kube::config::{AuthInfo, KubeConfigOptions, Kubeconfig};
use kube::core::{DynamicObject, ObjectMeta};
use kube::runtime::wait::{await_condition, conditions};
use kube::{Client, Config, Discovery, ResourceExt};
use saga_operator::api::{ConditionStatus, SagaDefinition, SagaDefinitionSpec, condition, schema};
use serde_json::json;

use super::common::text;

const ACCOUNT: &str = "saga-operator";
const ACCOUNT_NAMESPACE: &str = "saga-system";
const PATIENCE: Duration = Duration::from_secs(30);

/// A cluster that is ready for operators.
pub(crate) struct Cluster {
    /// With every right.
    pub(crate) admin: Client,
    /// Of etcd, when it can be reached.
    pub(crate) etcd: Option<Client>,
    /// With the operator's rights.
    pub(crate) operators: Kubeconfig,
}

impl Cluster {
    /// Installs kinds and rights into the cluster of `SAGA_TEST_KUBECONFIG`.
    pub(crate) async fn prepare() -> Result<Self, String> {
        let path = std::env::var("SAGA_TEST_KUBECONFIG")
            .map_err(|_| "no cluster: run `cargo xtask bench`, or name one in SAGA_TEST_KUBECONFIG")?;
        let kubeconfig = Kubeconfig::read_from(path).map_err(text)?;
        let config =
            Config::from_custom_kubeconfig(kubeconfig.clone(), &KubeConfigOptions::default()).await.map_err(text)?;
        let admin = Client::try_from(config).map_err(text)?;
        install_kinds(&admin).await?;
        install_rights(&admin).await?;
        let operators = for_account(&admin, kubeconfig).await?;
        let etcd = match std::env::var("SAGA_TEST_ETCD") {
            Ok(url) => Some(Client::try_from(Config::new(url.parse().map_err(text)?)).map_err(text)?),
            Err(_) => None,
        };
        Ok(Self { admin, etcd, operators })
    }

    /// A new namespace.
    pub(crate) async fn namespace(&self) -> Result<String, String> {
        let name = format!("bench-{}", &uuid::Uuid::new_v4().simple().to_string()[..8]);
        let metadata = ObjectMeta { name: Some(name.clone()), ..ObjectMeta::default() };
        let api: Api<Namespace> = Api::all(self.admin.clone());
        api.create(&PostParams::default(), &Namespace { metadata, ..Namespace::default() }).await.map_err(text)?;
        Ok(name)
    }

    /// Puts in a definition, and waits until an operator says that it can be run.
    pub(crate) async fn define(&self, namespace: &str, name: &str, spec: SagaDefinitionSpec) -> Result<(), String> {
        let api: Api<SagaDefinition> = Api::namespaced(self.admin.clone(), namespace);
        api.create(&PostParams::default(), &SagaDefinition::new(name, spec)).await.map_err(text)?;
        let deadline = Instant::now() + PATIENCE;
        loop {
            let status = api.get(name).await.map_err(text)?.status.unwrap_or_default();
            let ready = status.conditions.iter().find(|condition| condition.type_ == condition::READY);
            if ready.is_some_and(|ready| ready.status == ConditionStatus::True) {
                return Ok(());
            }
            if Instant::now() > deadline {
                return Err(format!("the definition {name} does not become ready: {ready:?}"));
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

async fn install_kinds(client: &Client) -> Result<(), String> {
    let api: Api<CustomResourceDefinition> = Api::all(client.clone());
    for crd in schema::crds() {
        let name = crd.name_any();
        let params = PatchParams::apply("saga-operator-bench").force();
        api.patch(&name, &params, &Patch::Apply(&crd)).await.map_err(text)?;
        let established = await_condition(api.clone(), &name, conditions::is_crd_established());
        tokio::time::timeout(PATIENCE, established).await.map_err(text)?.map_err(text)?;
    }
    Ok(())
}

async fn install_rights(client: &Client) -> Result<(), String> {
    let discovery = Discovery::new(client.clone()).run().await.map_err(text)?;
    let manifest = include_str!("../../deploy/rbac.yaml");
    for object in serde_saphyr::from_multiple::<DynamicObject>(manifest).map_err(text)? {
        let types = object.types.clone().ok_or("an object without a kind")?;
        let gvk = kube::core::GroupVersionKind::try_from(&types).map_err(text)?;
        let (resource, _) = discovery.resolve_gvk(&gvk).ok_or_else(|| format!("an unknown kind: {}", types.kind))?;
        let api: Api<DynamicObject> = match &object.metadata.namespace {
            Some(namespace) => Api::namespaced_with(client.clone(), namespace, &resource),
            None => Api::all_with(client.clone(), &resource),
        };
        let params = PatchParams::apply("saga-operator-bench").force();
        api.patch(&object.name_any(), &params, &Patch::Apply(&object)).await.map_err(text)?;
    }
    Ok(())
}

/// The same cluster, with a token of the operator's account.
async fn for_account(client: &Client, kubeconfig: Kubeconfig) -> Result<Kubeconfig, String> {
    let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), ACCOUNT_NAMESPACE);
    let spec = TokenRequestSpec { expiration_seconds: Some(24 * 60 * 60), ..TokenRequestSpec::default() };
    let request = TokenRequest { spec, ..TokenRequest::default() };
    let answer = accounts.create_token_request(ACCOUNT, &PostParams::default(), &request).await.map_err(text)?;
    let token = answer.status.ok_or("the API server gave no token")?.token;
    let user: AuthInfo = serde_json::from_value(json!({ "token": token })).map_err(text)?;
    let mut kubeconfig = kubeconfig;
    for named in &mut kubeconfig.auth_infos {
        named.auth_info = Some(user.clone());
    }
    Ok(kubeconfig)
}
