//! What the API server was asked by the operator, out of its audit log.

use std::io::{BufRead as _, BufReader};

use serde_json::Value;

use crate::common::operator::OPERATOR;

/// What the operator asked about this namespace, in order.
fn entries(namespace: &str) -> Vec<Value> {
    let path = std::env::var("SAGA_AUDIT_LOG").expect("this test needs an audit log: run `cargo xtask test`");
    let log = BufReader::new(std::fs::File::open(path).expect("the audit log"));
    let lines = log.lines().map(|line| line.expect("a line"));
    let of_namespace = lines.filter(|line| line.contains(namespace));
    let entries = of_namespace.filter_map(|line| serde_json::from_str::<Value>(&line).ok());
    entries
        .filter(|entry| entry["user"]["username"] == OPERATOR && entry["objectRef"]["namespace"] == namespace)
        .collect()
}

fn is_write(entry: &Value) -> bool {
    !matches!(entry["verb"].as_str(), Some("get" | "list" | "watch"))
}

fn described(entry: &Value) -> String {
    let verb = entry["verb"].as_str().unwrap_or_default();
    let subresource = entry["objectRef"]["subresource"].as_str().map(|name| format!(" {name}")).unwrap_or_default();
    format!("{verb}{subresource} {}", entry["responseStatus"]["code"])
}

/// The writes of the operator on one run: verb, subresource, answer.
pub(crate) fn writes_on_run(namespace: &str, name: &str) -> Vec<String> {
    let entries = entries(namespace);
    let of_run = |entry: &&Value| entry["objectRef"]["resource"] == "sagaruns" && entry["objectRef"]["name"] == name;
    entries.iter().filter(|entry| is_write(entry)).filter(of_run).map(described).collect()
}

/// What the operator was refused for want of rights.
pub(crate) fn refused(namespace: &str) -> Vec<String> {
    let entries = entries(namespace);
    assert!(!entries.is_empty(), "the audit log knows nothing of {namespace}");
    let refused = entries.iter().filter(|entry| matches!(entry["responseStatus"]["code"].as_u64(), Some(401 | 403)));
    refused.map(|entry| format!("{} {}", entry["objectRef"]["resource"], described(entry))).collect()
}
