//! The rights that the operator is given, against those that it used while all tests ran.
//!
//! # Flow
//! The audit log of the API server says what the operator asked for and whether it might; `deploy/rbac.yaml` says what it may.
//! A right that nothing used is one too many. A request that was refused, of a kind that no role allows, is a right that is
//! missing.
//!
//! # Caveats
//! A right is a verb on a resource: namespaces and names of objects are not compared. Tests refuse some requests on purpose,
//! in a namespace without a role for Secrets, say; that is no missing right, since a role for them exists.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use serde::Deserialize;

use crate::paths;

/// Who the operators of the tests are.
const OPERATOR: &str = "system:serviceaccount:saga-system:saga-operator";

/// A verb on a resource: `patch sagaruns.sagas.dev`, `update sagaruns/status.sagas.dev`.
type Right = String;

#[derive(Debug, Deserialize)]
struct Role {
    #[serde(default)]
    rules: Vec<Rule>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Rule {
    #[serde(default)]
    api_groups: Vec<String>,
    #[serde(default)]
    resources: Vec<String>,
    verbs: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Event {
    verb: String,
    user: User,
    object_ref: Option<Object>,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
}

#[derive(Debug, Deserialize)]
struct User {
    #[serde(default)]
    username: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Object {
    #[serde(default)]
    api_group: String,
    resource: String,
    subresource: Option<String>,
}

/// What the operator asked for.
#[derive(Debug, Default)]
struct Asked {
    allowed: BTreeSet<Right>,
    refused: BTreeSet<Right>,
}

/// Compares them, and says what differs.
pub(super) fn check(audit_log: &Path) -> Result<bool, Box<dyn std::error::Error>> {
    let granted = granted(&std::fs::read_to_string(paths::workspace().join("deploy/rbac.yaml"))?)?;
    let asked = asked(BufReader::new(File::open(audit_log)?))?;
    println!("{} rights are given, {} were used", granted.len(), granted.intersection(&asked.allowed).count());
    let unused: Vec<_> = granted.difference(&asked.allowed).collect();
    let missing: Vec<_> = asked.refused.difference(&granted).collect();
    for right in &unused {
        println!("given and not used: {right}; take it out of deploy/rbac.yaml and the chart");
    }
    for right in &missing {
        println!(
            "asked for and not given: {right}; it belongs into deploy/rbac.yaml and the chart, or is not to be asked for"
        );
    }
    Ok(unused.is_empty() && missing.is_empty())
}

fn granted(manifests: &str) -> Result<BTreeSet<Right>, serde_saphyr::Error> {
    let roles: Vec<Role> = serde_saphyr::from_multiple(manifests)?;
    let mut rights = BTreeSet::new();
    for rule in roles.iter().flat_map(|role| &role.rules) {
        for (group, resource) in
            rule.api_groups.iter().flat_map(|group| rule.resources.iter().map(move |it| (group, it)))
        {
            rights.extend(rule.verbs.iter().map(|verb| right(verb, resource, group)));
        }
    }
    Ok(rights)
}

fn asked(log: impl BufRead) -> Result<Asked, Box<dyn std::error::Error>> {
    let mut asked = Asked::default();
    for line in log.lines() {
        let line = line?;
        // Most lines are of others, and need not be read as JSON.
        if !line.contains(OPERATOR) {
            continue;
        }
        let event: Event = serde_json::from_str(&line)?;
        let Some(object) = event.object_ref.filter(|_| event.user.username == OPERATOR) else { continue };
        let resource = match object.subresource {
            Some(subresource) => format!("{}/{subresource}", object.resource),
            None => object.resource,
        };
        let right = right(&event.verb, &resource, &object.api_group);
        match event.annotations.get("authorization.k8s.io/decision").map(String::as_str) {
            Some("allow") => asked.allowed.insert(right),
            Some(_) => asked.refused.insert(right),
            // Stages before the decision.
            None => false,
        };
    }
    Ok(asked)
}

fn right(verb: &str, resource: &str, group: &str) -> Right {
    if group.is_empty() { format!("{verb} {resource}") } else { format!("{verb} {resource}.{group}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(verb: &str, user: &str, subresource: &str, decision: &str) -> String {
        format!(
            r#"{{"verb":"{verb}","user":{{"username":"{user}"}},"objectRef":{{"resource":"sagaruns","apiGroup":"sagas.dev"{subresource}}},"annotations":{{"authorization.k8s.io/decision":"{decision}"}}}}"#
        )
    }

    #[test]
    fn rights_are_read_from_roles_and_from_the_audit_log() -> Result<(), Box<dyn std::error::Error>> {
        let manifests = "kind: Namespace\nmetadata: {name: x}\n---\nkind: Role\nrules:\n\
            - {apiGroups: [sagas.dev], resources: [sagaruns, sagaruns/status], verbs: [get, update]}\n\
            - {apiGroups: [\"\"], resources: [secrets], verbs: [get]}\n";
        let wanted = [
            "get sagaruns.sagas.dev",
            "get sagaruns/status.sagas.dev",
            "get secrets",
            "update sagaruns.sagas.dev",
            "update sagaruns/status.sagas.dev",
        ];
        assert_eq!(granted(manifests)?.into_iter().collect::<Vec<_>>(), wanted);

        let log = [
            event("get", OPERATOR, "", "allow"),
            event("update", OPERATOR, r#","subresource":"status""#, "allow"),
            event("delete", OPERATOR, "", "forbid"),
            event("create", "somebody", "", "allow"),
            format!(r#"{{"verb":"get","user":{{"username":"{OPERATOR}"}},"annotations":{{}}}}"#),
        ];
        let asked = asked(log.join("\n").as_bytes())?;
        let allowed: Vec<_> = asked.allowed.iter().map(String::as_str).collect();
        assert_eq!(allowed, ["get sagaruns.sagas.dev", "update sagaruns/status.sagas.dev"]);
        assert_eq!(asked.refused.into_iter().collect::<Vec<_>>(), ["delete sagaruns.sagas.dev"]);
        Ok(())
    }
}
