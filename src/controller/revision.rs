//! What a frozen definition looks like: an immutable `ControllerRevision` that holds the spec.
//!
//! # Guarantees
//! The name ends in a hash of the spec, so the same spec gives the same name and a revision whose data was exchanged is
//! found out. A revision that is marked, or being deleted, may vanish: nobody may begin to rely on it.

use k8s_openapi::api::apps::v1::ControllerRevision;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use k8s_openapi::apimachinery::pkg::runtime::RawExtension;
use kube::Resource;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::api::names::{DEFINITION_LABEL, IN_USE_FINALIZER};
use crate::api::{SagaDefinition, SagaDefinitionSpec};

/// On a revision that is about to be collected unless a run turns out to use it.
pub const COLLECTING_ANNOTATION: &str = "sagas.dev/collecting";
/// Longest name of an object.
const MAX_NAME: usize = 253;
/// Characters of the hash in a name: 40 bits.
const HASH_LEN: usize = 10;
/// Most names for one spec: the next is tried when an earlier one is taken or being deleted.
const MAX_NAMES: usize = 9;

/// The usual name of the revision that holds this spec.
pub fn name(definition: &str, spec: &SagaDefinitionSpec) -> String {
    let room = MAX_NAME - HASH_LEN - 1 - "-9".len();
    let mut end = definition.len().min(room);
    while !definition.is_char_boundary(end) {
        end -= 1;
    }
    let prefix = definition[..end].trim_end_matches(['-', '.']);
    format!("{prefix}-{}", hash(spec))
}

/// The names that the revision of a spec may have, the usual one first.
pub fn names(definition: &str, spec: &SagaDefinitionSpec) -> impl Iterator<Item = String> + use<> {
    let usual = name(definition, spec);
    (1..=MAX_NAMES).map(move |number| if number == 1 { usual.clone() } else { format!("{usual}-{number}") })
}

/// Whether a revision of this name holds this spec.
pub fn says(revision: &str, definition: &str, spec: &SagaDefinitionSpec) -> bool {
    names(definition, spec).any(|name| name == revision)
}

/// The object to create.
pub fn build(definition: &SagaDefinition, name: &str, number: i64) -> ControllerRevision {
    let owner = OwnerReference {
        // Not blocking: nobody has to wait for a revision, and it would need another right.
        block_owner_deletion: Some(false),
        controller: Some(true),
        ..definition.controller_owner_ref(&()).unwrap_or_default()
    };
    let label = definition.metadata.name.clone().unwrap_or_default();
    ControllerRevision {
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            namespace: definition.metadata.namespace.clone(),
            labels: Some([(DEFINITION_LABEL.to_owned(), label)].into()),
            owner_references: Some(vec![owner]),
            finalizers: Some(vec![IN_USE_FINALIZER.to_owned()]),
            ..ObjectMeta::default()
        },
        data: Some(RawExtension(data(&definition.spec))),
        revision: number,
    }
}

/// A revision as JSON, escaped as the API server itself escapes. It compares `data` byte for byte, and re-encodes what a
/// PATCH gives it: a revision stored with a bare `&` could not be patched, and so not be released, by anyone.
pub fn encode(revision: &ControllerRevision) -> Result<Vec<u8>, serde_json::Error> {
    let mut text = serde_json::to_string(revision)?;
    // Outside of strings JSON has none of these characters.
    for (bare, escaped) in
        [("&", "\\u0026"), ("<", "\\u003c"), (">", "\\u003e"), ("\u{2028}", "\\u2028"), ("\u{2029}", "\\u2029")]
    {
        if text.contains(bare) {
            text = text.replace(bare, escaped);
        }
    }
    Ok(text.into_bytes())
}

/// The spec that a revision holds.
///
/// # Errors
/// When this version cannot read it. The text says where.
pub fn spec(revision: &ControllerRevision) -> Result<SagaDefinitionSpec, String> {
    let data = revision.data.as_ref().map(|data| data.0.clone()).unwrap_or_default();
    serde_json::from_value(data).map_err(|error| format!("`data`: {error}"))
}

/// Whether a revision holds exactly this spec.
pub fn holds(revision: &ControllerRevision, spec: &SagaDefinitionSpec) -> bool {
    revision.data.as_ref().is_some_and(|found| found.0 == data(spec))
}

/// Whether a definition owns a revision; another one of the same name does not.
pub fn is_owned(revision: &ControllerRevision, definition_uid: &str) -> bool {
    revision.metadata.owner_references.iter().flatten().any(|owner| owner.uid == definition_uid)
}

/// Whether a revision will stay as long as runs name it.
pub fn stays(metadata: &ObjectMeta) -> bool {
    !is_marked(metadata) && metadata.deletion_timestamp.is_none()
}

/// Whether a revision is about to be collected.
pub fn is_marked(metadata: &ObjectMeta) -> bool {
    metadata.annotations.as_ref().is_some_and(|annotations| annotations.contains_key(COLLECTING_ANNOTATION))
}

fn data(spec: &SagaDefinitionSpec) -> Value {
    // A spec is strings, numbers and maps with string keys: nothing that JSON cannot say.
    serde_json::to_value(spec).unwrap_or_default()
}

fn hash(spec: &SagaDefinitionSpec) -> String {
    let mut text = String::new();
    canonical(&data(spec), &mut text);
    let digest = Sha256::digest(text);
    digest.iter().map(|byte| format!("{byte:02x}")).collect::<String>()[..HASH_LEN].to_owned()
}

/// JSON with sorted keys and without spaces, whatever order the map type keeps.
fn canonical(value: &Value, into: &mut String) {
    match value {
        Value::Object(members) => {
            let mut members: Vec<_> = members.iter().collect();
            members.sort_by_key(|(key, _)| key.as_str());
            into.push('{');
            for (index, (key, value)) in members.into_iter().enumerate() {
                if index > 0 {
                    into.push(',');
                }
                into.push_str(&Value::from(key.as_str()).to_string());
                into.push(':');
                canonical(value, into);
            }
            into.push('}');
        }
        Value::Array(items) => {
            into.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    into.push(',');
                }
                canonical(item, into);
            }
            into.push(']');
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => into.push_str(&value.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn of(spec: Value) -> SagaDefinitionSpec {
        serde_json::from_value(spec).expect("a spec")
    }

    fn one(url: &str) -> SagaDefinitionSpec {
        of(
            json!({"steps": [{"name": "a", "role": "ReadOnly", "action": {"http": {"url": url, "body": {"b": 1, "a": [2]}}}}]}),
        )
    }

    #[test]
    fn the_same_spec_has_the_same_name_and_another_has_another() {
        let reordered = of(json!({"steps": [{
            "action": {"http": {"body": {"a": [2], "b": 1}, "url": "http://a/"}}, "role": "ReadOnly", "name": "a",
        }]}));
        assert_eq!(name("order", &one("http://a/")), name("order", &reordered));
        assert_ne!(name("order", &one("http://a/")), name("order", &one("http://b/")));
        // Runs are pinned to names: another name for the same spec would orphan them.
        assert_eq!(name("order", &one("http://a/")), "order-88b16a593d");
    }

    #[test]
    fn a_name_is_a_name_however_long_the_definition_is_called() {
        let long = format!("{}.tail", "a".repeat(240));
        let name = names(&long, &one("http://a/")).last().expect("names");
        assert!(name.len() <= MAX_NAME && !name.contains(".-"), "{name}");
        assert!(says(&name, &long, &one("http://a/")));
        assert!(!says(&name, &long, &one("http://b/")));
    }

    #[test]
    fn a_revision_reads_back() {
        let mut definition = SagaDefinition::new("order", one("http://a/"));
        definition.metadata.uid = Some("u".to_owned());
        let revision = build(&definition, "order-1", 4);
        assert_eq!(spec(&revision).expect("readable"), definition.spec);
        assert!(holds(&revision, &definition.spec) && is_owned(&revision, "u") && stays(&revision.metadata));
        assert!(!holds(&revision, &one("http://b/")) && !is_owned(&revision, "v"));
    }
}
