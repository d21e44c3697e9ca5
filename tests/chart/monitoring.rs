//! What the chart tells monitoring systems: objects of the Prometheus operator, alerts and a dashboard.

use std::collections::{BTreeMap, BTreeSet};

use saga_operator::observe::metrics;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The fields that the chart uses of `monitoring.coreos.com/v1`, as its API reference has them.
#[derive(Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Monitor {
    api_version: String,
    kind: String,
    metadata: Value,
    spec: Spec,
}

#[derive(Deserialize, Serialize)]
#[serde(rename_all_fields = "camelCase", deny_unknown_fields, untagged)]
enum Spec {
    Rule { groups: Vec<Group> },
    Service { namespace_selector: Namespaces, selector: Selector, endpoints: Vec<Endpoint> },
    Pods { namespace_selector: Namespaces, selector: Selector, pod_metrics_endpoints: Vec<Endpoint> },
}

#[derive(Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Namespaces {
    match_names: Vec<String>,
}

#[derive(Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Selector {
    match_labels: BTreeMap<String, String>,
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Endpoint {
    port: String,
    path: String,
    interval: String,
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Group {
    name: String,
    rules: Vec<Rule>,
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Rule {
    alert: String,
    expr: String,
    #[serde(rename = "for", skip_serializing_if = "Option::is_none")]
    lasts: Option<String>,
    labels: BTreeMap<String, String>,
    annotations: BTreeMap<String, String>,
}

/// The metrics that the operator serves, as a scraper names them.
pub(crate) fn served() -> BTreeSet<String> {
    [
        metrics::LEADS.to_owned(),
        format!("{}_total", metrics::TERMS),
        metrics::DRIVEN.to_owned(),
        format!("{}_seconds", metrics::WATCH_SILENCE),
        format!("{}_seconds", metrics::ELECTOR_SILENCE),
    ]
    .into()
}

/// The metrics that an expression names.
pub(crate) fn named(expression: &str) -> BTreeSet<String> {
    let words = expression.split(|letter: char| !letter.is_alphanumeric() && letter != '_');
    let ours = words.filter(|word| word.starts_with("saga_operator_") || word.starts_with("leader_election_"));
    ours.map(str::to_owned).collect()
}

/// All expressions in an object or a dashboard.
pub(crate) fn expressions(value: &Value) -> Vec<String> {
    match value {
        Value::Object(fields) => {
            let own = fields.get("expr").and_then(Value::as_str).map(str::to_owned);
            own.into_iter().chain(fields.values().flat_map(expressions)).collect()
        }
        Value::Array(items) => items.iter().flat_map(expressions).collect(),
        _ => Vec::new(),
    }
}
