//! Objects as the types of Kubernetes have them: what the types do not know is a mistake.

use k8s_openapi::api::admissionregistration::v1::{ValidatingAdmissionPolicy, ValidatingAdmissionPolicyBinding};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, Pod, Service, ServiceAccount};
use k8s_openapi::api::flowcontrol::v1::FlowSchema;
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding, Role, RoleBinding};
use saga_operator::api::SagaDefinition;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::monitoring::Monitor;

/// What is wrong with an object.
pub(crate) fn fault(object: &Value) -> Option<String> {
    let kind = object["kind"].as_str().unwrap_or_default();
    match kind {
        "ClusterRole" => differs::<ClusterRole>(object),
        "ClusterRoleBinding" => differs::<ClusterRoleBinding>(object),
        "ConfigMap" => differs::<ConfigMap>(object),
        "Deployment" => differs::<Deployment>(object),
        "FlowSchema" => differs::<FlowSchema>(object),
        "NetworkPolicy" => differs::<NetworkPolicy>(object),
        "Pod" => differs::<Pod>(object),
        "PodMonitor" | "PrometheusRule" | "ServiceMonitor" => differs::<Monitor>(object),
        "PodDisruptionBudget" => differs::<PodDisruptionBudget>(object),
        "Role" => differs::<Role>(object),
        "RoleBinding" => differs::<RoleBinding>(object),
        "SagaDefinition" => {
            serde_json::from_value::<SagaDefinition>(object.clone()).err().map(|error| error.to_string())
        }
        "Service" => differs::<Service>(object),
        "ServiceAccount" => differs::<ServiceAccount>(object),
        "ValidatingAdmissionPolicy" => differs::<ValidatingAdmissionPolicy>(object),
        "ValidatingAdmissionPolicyBinding" => differs::<ValidatingAdmissionPolicyBinding>(object),
        // Younger than the types of the oldest supported version; the API server itself is asked.
        "MutatingAdmissionPolicy" | "MutatingAdmissionPolicyBinding" => None,
        _ => Some(format!("unexpected kind {kind}")),
    }
}

/// Types leave out what they do not know, so what was written back tells.
fn differs<K: DeserializeOwned + Serialize>(object: &Value) -> Option<String> {
    let back = match serde_json::from_value::<K>(object.clone()) {
        Ok(typed) => serde_json::to_value(typed).expect("JSON"),
        Err(error) => return Some(error.to_string()),
    };
    lost(object, &back, "")
}

/// The first field that is not there any more, or another.
fn lost(from: &Value, to: &Value, path: &str) -> Option<String> {
    match (from, to) {
        (Value::Object(from), Value::Object(to)) => from.iter().find_map(|(key, value)| {
            let path = format!("{path}.{key}");
            to.get(key).map_or_else(|| Some(format!("{path} is not known")), |found| lost(value, found, &path))
        }),
        (Value::Array(from), Value::Array(to)) if from.len() == to.len() => {
            from.iter().zip(to).enumerate().find_map(|(index, (from, to))| lost(from, to, &format!("{path}[{index}]")))
        }
        _ => (from != to).then(|| format!("{path} is {from}, which is read as {to}")),
    }
}
