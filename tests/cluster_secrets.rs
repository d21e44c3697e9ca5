//! Headers out of Secrets: what is missing is named, what is there is sent and never shown.

mod common;

use common::recorder::{Reaction, Recorder};
use common::shop::{Shop, condition, retries, stands};
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::api::rbac::v1::RoleBinding;
use kube::api::{Api, PostParams};
use kube::{Client, ResourceExt as _};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

const TOKEN: &str = "Bearer open-sesame";

/// A saga of one step that sends a header out of a Secret.
fn charge(base: &str) -> Value {
    let url = format!("{base}/charges");
    json!({"steps": [{
        "name": "charge",
        "role": "ReadOnly",
        "action": {
            "http": {"url": url, "timeoutSeconds": 5, "headers": [
                {"name": "Authorization", "valueFrom": {"secretKeyRef": {"name": "payment-api", "key": "authorization"}}},
            ]},
            "retryPolicy": retries(),
        },
    }]})
}

async fn participant() -> Recorder {
    Recorder::start(|_| Reaction::Answer(200, "", "{}")).await
}

async fn put<K>(client: &Client, namespace: &str, object: Value)
where
    K: kube::Resource<Scope = kube::core::NamespaceResourceScope, DynamicType = ()> + Clone + std::fmt::Debug,
    K: DeserializeOwned + serde::Serialize,
{
    let object: K = serde_json::from_value(object).expect("an object");
    Api::<K>::namespaced(client.clone(), namespace).create(&PostParams::default(), &object).await.expect("created");
}

/// What a namespace's owner does so that the operator may read Secrets there.
async fn permit(shop: &Shop) {
    let binding = json!({
        "metadata": {"name": "saga-operator"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "saga-operator-secret-reader"},
        "subjects": [{"kind": "ServiceAccount", "name": "saga-operator", "namespace": "saga-system"}],
    });
    put::<RoleBinding>(&shop.client, &shop.namespace, binding).await;
}

async fn store(shop: &Shop, key: &str) {
    let secret = json!({"metadata": {"name": "payment-api"}, "stringData": {key: TOKEN}});
    put::<Secret>(&shop.client, &shop.namespace, secret).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_that_may_not_be_read_fails_the_step_and_is_named() {
    let (shop, participant) = (Shop::open("secrets").await, participant().await);
    let operator = shop.operator();
    store(&shop, "authorization").await;
    shop.define("charge", charge(&participant.base_url())).await;
    shop.start("order", "charge", json!({})).await;
    let run = shop.ended("order").await;
    assert_eq!(stands(&run), "Compensated");
    let failure = run.status.as_ref().and_then(|status| status.failure.clone()).expect("a failure");
    assert_eq!((failure.step.as_deref(), failure.reason.as_str()), (Some("charge"), "SecretForbidden"));
    let message = &condition(&run, "Succeeded").message;
    assert!(message.contains("'payment-api'") && message.contains("ClusterRole"), "{message}");
    assert_eq!(participant.requests(), []);
    drop(operator);
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_that_is_missing_is_named_and_waited_for_and_its_value_is_sent_and_never_shown() {
    let (shop, participant) = (Shop::open("secrets").await, participant().await);
    let operator = shop.operator();
    permit(&shop).await;
    shop.define("charge", charge(&participant.base_url())).await;
    shop.start("order", "charge", json!({})).await;
    let waiting = shop
        .until("order", "waiting for a Secret", |run| {
            let steps = run.status.iter().flat_map(|status| &status.steps);
            steps.into_iter().any(|step| step.reason.as_deref() == Some("SecretNotFound"))
        })
        .await;
    let step = waiting.status.as_ref().map(|status| status.steps[0].clone()).expect("a step");
    let message = step.message.expect("a message");
    assert!(message.contains("'payment-api'") && message.contains("create it"), "{message}");
    assert_eq!(participant.requests(), []);

    store(&shop, "authorization").await;
    let run = shop.ended("order").await;
    assert_eq!(stands(&run), "Succeeded");
    let requests = participant.requests();
    assert_eq!(requests.len(), 1, "{requests:#?}");
    assert_eq!(requests[0].header("authorization"), TOKEN);

    let everything = [
        operator.log(),
        serde_json::to_string(&run).expect("JSON"),
        shop.kubectl(&["get", "events,sagaruns,sagadefinitions,controllerrevisions", "-o", "json"]).await,
    ];
    assert!(everything.iter().all(|text| !text.contains("open-sesame")), "the value is shown");
    assert!(everything[2].contains(&run.name_any()), "nothing is shown");
    drop(operator);
    shop.close().await;
}
