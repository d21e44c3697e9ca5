//! The CustomResourceDefinitions, made from the types.
//!
//! The derive macros say most of it. What they cannot say is put on afterwards by [`crds`], so install and print what
//! that returns, never `SagaRun::crd()` itself.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt;
use schemars::{Schema, SchemaGenerator, json_schema};
use serde_json::{Map, Value, json};

use super::{SagaDefinition, SagaRun};

/// The CRDs of both kinds: SagaDefinition, SagaRun.
pub fn crds() -> Vec<CustomResourceDefinition> {
    [SagaDefinition::crd(), SagaRun::crd()].into_iter().map(finish).collect()
}

/// The CRDs of both kinds as a YAML stream of two documents: what `saga-operator crds` prints.
pub fn crds_yaml() -> String {
    crds().iter().map(crd_yaml).collect::<Vec<_>>().join("---\n")
}

/// One CRD as a YAML document: what `crds/<group>_<plural>.yaml` holds below its comment.
pub fn crd_yaml(crd: &CustomResourceDefinition) -> String {
    let mut crd = serde_json::to_value(crd).expect("a CRD is plain data");
    write_whole_numbers(&mut crd);
    serde_saphyr::to_string(&crd).expect("a CRD is plain data")
}

/// What the derive macros cannot say.
fn finish(crd: CustomResourceDefinition) -> CustomResourceDefinition {
    let mut crd = serde_json::to_value(crd).expect("a CRD is plain data");
    for version in crd["spec"]["versions"].as_array_mut().into_iter().flatten() {
        let schema = &mut version["schema"]["openAPIV3Schema"];
        remove_nullable(schema);
        join_lines(schema);
        let properties = &mut schema["properties"];
        // A new object counts as "not looked at yet" instead of "nothing wrong" for whoever compares generations.
        properties["status"]["default"] = json!({"observedGeneration": -1});
        // Names end up in labels, and in names of other objects.
        properties["metadata"] = json!({"type": "object", "properties": {"name": {"type": "string", "maxLength": 63}}});
    }
    serde_json::from_value(crd).expect("the finished CRD is a CRD")
}

/// Optional fields are absent, never null: `Option` means `nullable` to schemars. A field where null is a value says so
/// itself and has no `type`.
fn remove_nullable(schema: &mut Value) {
    match schema {
        Value::Object(members) => {
            if members.contains_key("type") && members.get("nullable") == Some(&Value::Bool(true)) {
                members.remove("nullable");
            }
            members.values_mut().for_each(remove_nullable);
        }
        Value::Array(items) => items.iter_mut().for_each(remove_nullable),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Doc comments are broken where the source code is; terminals break lines themselves.
fn join_lines(schema: &mut Value) {
    match schema {
        Value::Object(members) => {
            if let Some(Value::String(description)) = members.get_mut("description") {
                *description = description.replace('\n', " ");
            }
            members.values_mut().for_each(join_lines);
        }
        Value::Array(items) => items.iter_mut().for_each(join_lines),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// `minimum: 1` instead of `minimum: 1.0`: the Rust type of bounds is a floating-point number.
fn write_whole_numbers(value: &mut Value) {
    match value {
        Value::Number(number) => {
            // Exact: no bound is beyond 2^53.
            if let Some(whole) = number.as_f64().filter(|float| float.fract() == 0.0) {
                *value = json!(whole as i64);
            }
        }
        Value::Object(members) => members.values_mut().for_each(write_whole_numbers),
        Value::Array(items) => items.iter_mut().for_each(write_whole_numbers),
        Value::Null | Value::Bool(_) | Value::String(_) => {}
    }
}

/// A JSON object of any members.
pub(super) fn any_object(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "object", "x-kubernetes-preserve-unknown-fields": true})
}

/// Any JSON value, null included.
pub(super) fn any_value(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"nullable": true, "x-kubernetes-preserve-unknown-fields": true})
}

/// A list that has one owner as a whole: its order means something.
pub(super) fn atomic(schema: &mut Schema) {
    schema.insert("x-kubernetes-list-type".into(), "atomic".into());
}

/// A list of conditions, merged by their `type`.
pub(super) fn by_type(schema: &mut Schema) {
    schema.insert("x-kubernetes-list-type".into(), "map".into());
    schema.insert("x-kubernetes-list-map-keys".into(), json!(["type"]));
}

/// A list of decisions, merged by their `id`.
pub(super) fn by_id(schema: &mut Schema) {
    schema.insert("x-kubernetes-list-type".into(), "map".into());
    schema.insert("x-kubernetes-list-map-keys".into(), json!(["id"]));
}

/// A list in which nothing stands twice, and whose order means nothing.
pub(super) fn set(schema: &mut Schema) {
    schema.insert("x-kubernetes-list-type".into(), "set".into());
}

/// A default that the derive macro does not see, because the Rust field is an `Option`.
pub(super) fn default(value: i32) -> impl Fn(&mut Schema) {
    move |schema| {
        schema.insert("default".into(), value.into());
    }
}

/// An object that is written as a whole, by one writer.
pub(super) fn atomic_object(schema: &mut Schema) {
    schema.insert("x-kubernetes-map-type".into(), "atomic".into());
}

/// An empty object as the default.
pub(super) fn default_empty(schema: &mut Schema) {
    schema.insert("default".into(), Value::Object(Map::new()));
}
