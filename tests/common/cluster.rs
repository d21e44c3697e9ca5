//! A real API server for tests: the one that `cargo xtask test` starts and names in `SAGA_TEST_KUBECONFIG`.

use std::path::Path;
use std::sync::OnceLock;
use std::time::Duration;

use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::runtime::wait::{await_condition, conditions};
use kube::{Client, Config, ResourceExt};
use saga_operator::api::{SagaDefinition, SagaRun};
use tokio::sync::OnceCell;

static OWN: OnceLock<String> = OnceLock::new();

/// From now on this is the cluster under test, for the whole process.
pub(crate) fn use_kubeconfig(path: &Path) {
    OWN.set(path.display().to_string()).expect("one cluster a process");
}

/// The kubeconfig of the cluster under test. Absence fails the test: one that did not run must not look like one that passed.
pub(crate) fn kubeconfig_path() -> String {
    if let Some(own) = OWN.get() {
        return own.clone();
    }
    std::env::var("SAGA_TEST_KUBECONFIG").expect("this test needs a real API server: run `cargo xtask test`")
}

/// A client with every right.
pub(crate) async fn admin() -> Client {
    // Harmless when another test of this process was first.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let kubeconfig = Kubeconfig::read_from(kubeconfig_path()).expect("failed to read the kubeconfig");
    let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default())
        .await
        .expect("failed to make a client configuration from the kubeconfig");
    Client::try_from(config).expect("failed to make a client")
}

/// Installs both CRDs, once per process, and returns when the API server serves them.
pub(crate) async fn install_crds(client: &Client) {
    static INSTALLED: OnceCell<()> = OnceCell::const_new();
    INSTALLED
        .get_or_init(|| async {
            let api: Api<CustomResourceDefinition> = Api::all(client.clone());
            for crd in saga_operator::api::schema::crds() {
                let name = crd.name_any();
                api.patch(&name, &PatchParams::apply("saga-operator-tests").force(), &Patch::Apply(&crd))
                    .await
                    .expect("failed to apply the CRD");
                let established = await_condition(api.clone(), &name, conditions::is_crd_established());
                tokio::time::timeout(Duration::from_secs(30), established)
                    .await
                    .expect("the CRD must become Established within 30 s")
                    .expect("failed to watch the CRD");
            }
        })
        .await;
}

/// A new namespace whose name begins with `prefix`; [`leave_namespace`] ends its use.
pub(crate) async fn namespace(client: &Client, prefix: &str) -> String {
    let unique = uuid::Uuid::new_v4().simple().to_string();
    let name = format!("{prefix}-{}", &unique[..8]);
    let namespace = Namespace {
        metadata: ObjectMeta { name: Some(name.clone()), ..ObjectMeta::default() },
        ..Namespace::default()
    };
    let api: Api<Namespace> = Api::all(client.clone());
    api.create(&PostParams::default(), &namespace).await.expect("failed to create the namespace");
    name
}

/// Ends the use of a namespace, without waiting for its contents to go. A failed test does not come here and leaves them to be
/// looked at.
///
/// In a cluster that lives no longer than the tests only that goes which an operator for all namespaces would take up: to remove
/// a namespace is some 150 requests, most of what an API server would do all day here.
pub(crate) async fn leave_namespace(client: &Client, name: &str) {
    if std::env::var_os("SAGA_TEST_ETCD").is_none() {
        let api: Api<Namespace> = Api::all(client.clone());
        api.delete(name, &DeleteParams::background()).await.expect("failed to delete the namespace");
        return;
    }
    let (params, all) = (DeleteParams::background(), ListParams::default());
    let runs: Api<SagaRun> = Api::namespaced(client.clone(), name);
    let definitions: Api<SagaDefinition> = Api::namespaced(client.clone(), name);
    // Where a test has no kinds, there is nothing of them.
    let _ = runs.delete_collection(&params, &all).await;
    let _ = definitions.delete_collection(&params, &all).await;
}
