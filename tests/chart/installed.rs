//! The chart on a real API server, for one namespace, and people who come with rights of their own.

use std::future::Future;
use std::time::Duration;

use http::Request;
use k8s_openapi::api::authorization::v1::SubjectAccessReview;
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use kube::api::{Api, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use serde_json::{Value, json};

use super::common::cluster;
use super::helm::{CHART, Helm, RELEASE};

/// Policies take effect some time after they are made, and rights some time after they are given.
const PATIENCE: Duration = Duration::from_secs(60);
const LOOK: Duration = Duration::from_millis(100);

pub(crate) struct Installed {
    pub(crate) admin: Client,
    pub(crate) namespace: String,
    pub(crate) helm: Helm,
}

impl Installed {
    /// Installs for a new namespace, in which it lies itself: other tests must not meet its policies.
    pub(crate) async fn new(prefix: &str, helm: Helm, more: Value) -> Self {
        let admin = cluster::admin().await;
        cluster::install_crds(&admin).await;
        let namespace = cluster::namespace(&admin, prefix).await;
        let installed = Self { admin, namespace, helm };
        let mut values = json!({"watchNamespaces": [installed.namespace], "userRoles": {"create": false}});
        values.as_object_mut().expect("an object").extend(more.as_object().cloned().unwrap_or_default());
        let file = installed.helm.values(&values);
        // The names of the ClusterRoles for people are fixed, and a test that failed may have left them.
        let values = file.path().to_str().expect("a path");
        installed.helm(&["install", RELEASE, CHART, "--take-ownership", "--values", values]);
        installed
    }

    /// Runs Helm on the cluster and namespace; returns what it prints.
    pub(crate) fn helm(&self, arguments: &[&str]) -> String {
        let kubeconfig = cluster::kubeconfig_path();
        let place = ["--kubeconfig", &kubeconfig, "--namespace", &self.namespace];
        let output = self.helm.run(&[arguments, &place].concat());
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "helm {arguments:?}: {said}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    pub(crate) fn operator(&self) -> String {
        format!("system:serviceaccount:{}:saga-operator", self.namespace)
    }

    /// A client with the rights of this user.
    pub(crate) async fn user(&self, name: &str) -> Client {
        let kubeconfig = Kubeconfig::read_from(cluster::kubeconfig_path()).expect("a kubeconfig");
        let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await;
        let mut config = config.expect("a configuration");
        config.auth_info.impersonate = Some(name.to_owned());
        config.auth_info.impersonate_groups = Some(vec!["system:authenticated".to_owned()]);
        Client::try_from(config).expect("a client")
    }

    /// Gives a user a right in the namespace.
    pub(crate) async fn grant(&self, user: &str, rule: Value) {
        let name = format!("{user}-{}", &uuid::Uuid::new_v4().simple().to_string()[..8]);
        let role = serde_json::from_value(json!({"metadata": {"name": name}, "rules": [rule]})).expect("a Role");
        let roles: Api<Role> = Api::namespaced(self.admin.clone(), &self.namespace);
        roles.create(&PostParams::default(), &role).await.expect("created");
        self.bind(user, "Role", &name).await;
    }

    pub(crate) async fn bind(&self, user: &str, kind: &str, role: &str) {
        let binding = json!({
            "metadata": {"generateName": "test-"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": role},
            "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": user}],
        });
        let binding = serde_json::from_value(binding).expect("a RoleBinding");
        let bindings: Api<RoleBinding> = Api::namespaced(self.admin.clone(), &self.namespace);
        bindings.create(&PostParams::default(), &binding).await.expect("created");
    }

    /// Whether the API server would let a user do something: `verb group/resource[/subresource][:name]`.
    pub(crate) async fn may(&self, user: &str, namespace: &str, what: &str) -> bool {
        let (verb, rest) = what.split_once(' ').expect("a verb");
        let (rest, name) = rest.split_once(':').unwrap_or((rest, ""));
        let mut parts = rest.split('/');
        let mut part = || parts.next().unwrap_or_default();
        let (group, resource, subresource) = (part(), part(), part());
        let review = json!({"metadata": {}, "spec": {"user": user, "groups": ["system:authenticated"], "resourceAttributes": {
            "namespace": namespace, "verb": verb, "group": group, "resource": resource, "subresource": subresource,
            "name": name,
        }}});
        let review = serde_json::from_value(review).expect("a review");
        let reviews: Api<SubjectAccessReview> = Api::all(self.admin.clone());
        let answer = reviews.create(&PostParams::default(), &review).await.expect("an answer");
        answer.status.is_some_and(|status| status.allowed)
    }

    /// The path of an object of ours.
    pub(crate) fn path(&self, rest: &str) -> String {
        format!("/apis/sagas.dev/v1alpha1/namespaces/{}/{rest}", self.namespace)
    }

    /// Takes everything away again.
    pub(crate) async fn close(self) {
        self.helm(&["uninstall", RELEASE]);
        cluster::leave_namespace(&self.admin, &self.namespace).await;
    }
}

/// Whether what is asked for is only checked, or done.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Try {
    Only,
    Really,
}

/// Creates or, where the path ends with a name, merges; the refusal is the API server's message.
pub(crate) async fn send(client: &Client, path: &str, body: &Value, how: Try) -> Result<Value, String> {
    let dry_run = if how == Try::Only { "&dryRun=All" } else { "" };
    let uri = format!("{path}?fieldManager=tests{dry_run}");
    let request = if body["kind"].is_string() {
        Request::post(uri).header("Content-Type", "application/json")
    } else {
        Request::patch(uri).header("Content-Type", "application/merge-patch+json")
    };
    let request = request.body(body.to_string().into_bytes()).expect("a request");
    client.request::<Value>(request).await.map_err(|error| match error {
        kube::Error::Api(status) => status.message,
        error => error.to_string(),
    })
}

/// What a policy says to somebody who only tries; asked again until it is in force.
pub(crate) async fn denied(client: &Client, path: &str, body: &Value) -> String {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        let answer = send(client, path, body, Try::Only).await;
        if let Err(said) = &answer
            && let Some((_, said)) = said.split_once("denied request: ")
        {
            return said.to_owned();
        }
        assert!(tokio::time::Instant::now() < deadline, "no policy denies it: {answer:?}");
        tokio::time::sleep(LOOK).await;
    }
}

/// What comes of it once the rights that were given are in force.
pub(crate) async fn allowed(client: &Client, path: &str, body: &Value, how: Try) -> Value {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        match send(client, path, body, how).await {
            Ok(object) => return object,
            Err(said) => assert!(tokio::time::Instant::now() < deadline, "{said}"),
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Waits until something holds.
pub(crate) async fn until<F: Future<Output = bool>>(what: &str, holds: impl Fn() -> F) {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while !holds().await {
        assert!(tokio::time::Instant::now() < deadline, "in vain: {what}");
        tokio::time::sleep(LOOK).await;
    }
}
