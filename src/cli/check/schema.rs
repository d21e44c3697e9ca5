//! What the API server refuses: types, bounds and rules of the CRDs themselves, so that nothing is said twice.
//!
//! # Flow
//! Defaults are filled in, the structural schema is turned into a JSON Schema, and what that finds is said as the API
//! server says it; then the admission rules are evaluated ([`super::rules`]).

use jsonschema::error::{TypeKind, ValidationErrorKind};
use jsonschema::{ValidationError, Validator};
use serde_json::{Map, Value, json};

use super::{repeated, rules};

/// A mistake at a field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mistake {
    /// Its path.
    pub(super) field: String,
    /// As the API server says it.
    pub(super) message: String,
}

/// The schema of one kind.
#[derive(Debug)]
pub(super) struct Schema {
    structural: Value,
    validator: Validator,
}

/// The CRDs are not what this module knows: a bug.
#[derive(Debug, thiserror::Error)]
#[error("failed to use the schema of {kind}: {message}")]
pub(in crate::cli) struct SchemaError {
    kind: String,
    message: String,
}

impl Schema {
    /// The schemas of both kinds, by kind.
    pub(super) fn all() -> Result<Vec<(String, Self)>, SchemaError> {
        crate::api::schema::crds()
            .iter()
            .map(|crd| {
                let kind = crd.spec.names.kind.clone();
                let failed = |message: String| SchemaError { kind: kind.clone(), message };
                let version = crd.spec.versions.first().ok_or_else(|| failed("it has no version".to_owned()))?;
                let schema = version.schema.as_ref().and_then(|schema| schema.open_api_v3_schema.as_ref());
                let structural = serde_json::to_value(schema).map_err(|error| failed(error.to_string()))?;
                let validator = jsonschema::options()
                    .with_draft(jsonschema::Draft::Draft202012)
                    .with_pattern_options(jsonschema::PatternOptions::regex())
                    .build(&whole(&structural))
                    .map_err(|error| failed(error.to_string()))?;
                Ok((kind.clone(), Self { structural, validator }))
            })
            .collect()
    }

    /// Every mistake that the API server would name, in the order of the fields; defaults are filled in.
    pub(super) fn judge(&self, object: &mut Value) -> Vec<Mistake> {
        if let Some(members) = object.as_object_mut() {
            // A subresource: ignored at creation.
            members.remove("status");
        }
        fill_in(&self.structural, object);
        let mut mistakes: Vec<Mistake> =
            self.validator.iter_errors(object).flat_map(|error| said(&error, object)).collect();
        mistakes.extend(name_mistake(object));
        repeated::check(&self.structural, object, "", &mut mistakes);
        let shape = mistakes.is_empty();
        rules::check(&self.structural, object, "", shape, &mut mistakes);
        mistakes
    }
}

/// The schema of a whole object, envelope included.
fn whole(structural: &Value) -> Value {
    let mut schema = converted(structural);
    if let Some(properties) = schema["properties"].as_object_mut() {
        properties.insert("apiVersion".to_owned(), json!({"type": "string"}));
        properties.insert("kind".to_owned(), json!({"type": "string"}));
        // The rest of the metadata is Kubernetes' own.
        properties["metadata"]["additionalProperties"] = Value::Bool(true);
    }
    schema
}

/// A structural schema as a JSON Schema: fields that it does not name are mistakes, as with `kubectl apply`.
fn converted(structural: &Value) -> Value {
    let Value::Object(members) = structural else { return structural.clone() };
    let mut schema = Map::new();
    for (keyword, value) in members {
        match (keyword.as_str(), value) {
            ("properties", Value::Object(properties)) => {
                let properties = properties.iter().map(|(name, schema)| (name.clone(), converted(schema)));
                schema.insert(keyword.clone(), Value::Object(properties.collect()));
            }
            ("items" | "additionalProperties", value) => {
                schema.insert(keyword.clone(), converted(value));
            }
            // No bound, or none that JSON Schema has.
            ("description" | "default" | "format" | "nullable", _) => {}
            (extension, _) if extension.starts_with("x-kubernetes-") => {}
            (_, value) => {
                schema.insert(keyword.clone(), value.clone());
            }
        }
    }
    if members.contains_key("properties") && !open(structural) {
        schema.entry("additionalProperties").or_insert(Value::Bool(false));
    }
    Value::Object(schema)
}

fn open(structural: &Value) -> bool {
    structural["x-kubernetes-preserve-unknown-fields"] == Value::Bool(true)
}

/// Fills in defaults as the API server does, before it looks at rules: a null where there is a default counts as absent.
fn fill_in(structural: &Value, value: &mut Value) {
    match value {
        Value::Object(members) => {
            for (name, schema) in structural["properties"].as_object().into_iter().flatten() {
                let nullable = schema["nullable"] == Value::Bool(true);
                let absent = members.get(name).is_none_or(|member| member.is_null() && !nullable);
                if let (true, Some(default)) = (absent, schema.get("default")) {
                    members.insert(name.clone(), default.clone());
                }
                if let Some(member) = members.get_mut(name) {
                    fill_in(schema, member);
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| fill_in(&structural["items"], item)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// A name is needed, and is a DNS subdomain: a rule of every kind, so it stands in no CRD.
fn name_mistake(object: &Value) -> Option<Mistake> {
    let metadata = &object["metadata"];
    let field = "metadata.name".to_owned();
    let Some(name) = metadata["name"].as_str() else {
        let missing = metadata["generateName"].as_str().is_none_or(str::is_empty);
        let message = "Required value: name or generateName is required".to_owned();
        return missing.then_some(Mistake { field, message });
    };
    let alphanumeric = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let label = |label: &str| {
        label.starts_with(alphanumeric)
            && label.ends_with(alphanumeric)
            && label.chars().all(|c| alphanumeric(c) || c == '-')
    };
    let message = format!("Invalid value: {name:?}: must be lower-case letters, digits, '-' and '.', as DNS has them");
    (!name.split('.').all(label)).then_some(Mistake { field, message })
}

/// What the API server says of a violation; several unknown fields are several mistakes.
fn said(error: &ValidationError<'_>, object: &Value) -> Vec<Mistake> {
    let field = path_of(object, error.instance_path().as_str());
    let value = error.instance();
    let invalid = |message: String| format!("Invalid value: {}: {message}", quoted(value));
    let message = match error.kind() {
        ValidationErrorKind::AdditionalProperties { unexpected } => {
            return unexpected
                .iter()
                .map(|name| {
                    let field = member(&field, name);
                    Mistake { message: format!("unknown field {field:?}"), field }
                })
                .collect();
        }
        ValidationErrorKind::Required { property } => {
            let field = member(&field, property.as_str().unwrap_or_default());
            return vec![Mistake { field, message: "Required value".to_owned() }];
        }
        ValidationErrorKind::Type { kind } => {
            let wanted = match kind {
                TypeKind::Single(kind) => kind.to_string(),
                TypeKind::Multiple(kinds) => format!("{kinds:?}"),
            };
            format!("Invalid value: {:?}: must be of type {wanted}", type_of(value))
        }
        ValidationErrorKind::Enum { options } => {
            let known: Vec<String> = options.as_array().into_iter().flatten().map(Value::to_string).collect();
            format!("Unsupported value: {}: supported values: {}", quoted(value), known.join(", "))
        }
        ValidationErrorKind::MaxItems { limit } => {
            let length = value.as_array().map_or(0, Vec::len);
            format!("Too many: {length}: must have at most {limit} items")
        }
        ValidationErrorKind::MinItems { limit } => {
            let length = value.as_array().map_or(0, Vec::len);
            format!("Invalid value: {length}: must have at least {limit} items")
        }
        ValidationErrorKind::MaxLength { limit } => format!("Too long: may not be more than {limit} characters"),
        ValidationErrorKind::MinLength { limit } => invalid(format!("must be at least {limit} characters long")),
        ValidationErrorKind::Maximum { limit } => invalid(format!("must be less than or equal to {}", bound(limit))),
        ValidationErrorKind::Minimum { limit } => invalid(format!("must be greater than or equal to {}", bound(limit))),
        // A URL may hold a password, which is then the very mistake.
        ValidationErrorKind::Pattern { pattern } if field.ends_with(".url") => {
            format!("Invalid value: must match '{pattern}'")
        }
        ValidationErrorKind::Pattern { pattern } => invalid(format!("must match '{pattern}'")),
        // No other keyword stands in the CRDs; what the validator says is better than nothing.
        _ => error.to_string(),
    };
    vec![Mistake { field, message }]
}

/// The Rust type of bounds is a floating-point number; all of them are whole.
fn bound(limit: &Value) -> String {
    limit.as_f64().map_or_else(|| limit.to_string(), |limit| limit.to_string())
}

/// A scalar as JSON.
fn quoted(value: &Value) -> String {
    match value {
        Value::Object(_) | Value::Array(_) => format!("{:?}", type_of(value)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.to_string(),
    }
}

fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// The path of a member.
pub(super) fn member(path: &str, key: &str) -> String {
    let plain = !key.is_empty() && key.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '$'));
    match (plain, path.is_empty()) {
        (true, true) => key.to_owned(),
        (true, false) => format!("{path}.{key}"),
        (false, _) => format!("{path}[{key:?}]"),
    }
}

/// A JSON Pointer as a path: whether `0` is an index is for the object to say.
pub(in crate::cli) fn path_of(object: &Value, pointer: &str) -> String {
    let mut at = object;
    let mut path = String::new();
    for segment in pointer.split('/').skip(1) {
        let key = segment.replace("~1", "/").replace("~0", "~");
        let index = at.as_array().and_then(|_| key.parse::<usize>().ok());
        at = match index {
            Some(index) => {
                path = format!("{path}[{index}]");
                &at[index]
            }
            None => {
                path = member(&path, &key);
                &at[key.as_str()]
            }
        };
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a structural schema may hold; what stands here is judged, or says nothing about a manifest.
    const KNOWN: [&str; 22] = [
        "additionalProperties",
        "default",
        "description",
        "enum",
        "format",
        "items",
        "maxItems",
        "maxLength",
        "maxProperties",
        "maximum",
        "minItems",
        "minLength",
        "minimum",
        "nullable",
        "pattern",
        "properties",
        "required",
        "type",
        "x-kubernetes-preserve-unknown-fields",
        "x-kubernetes-validations",
        "x-kubernetes-list-type",
        "x-kubernetes-list-map-keys",
    ];

    fn keywords(schema: &Value, found: &mut Vec<String>) {
        let Some(members) = schema.as_object() else { return };
        for (keyword, value) in members {
            found.push(keyword.clone());
            match keyword.as_str() {
                "properties" => value.as_object().into_iter().flatten().for_each(|(_, schema)| keywords(schema, found)),
                "items" | "additionalProperties" => keywords(value, found),
                _ => {}
            }
        }
    }

    #[test]
    fn every_keyword_of_the_specs_is_known() {
        for (kind, schema) in Schema::all().expect("schemas") {
            let mut found = Vec::new();
            keywords(&schema.structural["properties"]["spec"], &mut found);
            let unknown: Vec<String> = found.into_iter().filter(|word| !KNOWN.contains(&word.as_str())).collect();
            assert_eq!(unknown, Vec::<String>::new(), "{kind}");
        }
    }

    #[test]
    fn several_unknown_fields_are_several_mistakes_and_each_is_named_whole() {
        let (_, schema) = Schema::all().expect("schemas").remove(1);
        let mut run = json!({
            "apiVersion": "sagas.dev/v1alpha1", "kind": "SagaRun", "extra": 1,
            "metadata": {"name": "a", "labels": {"x": "y"}}, "status": {"anything": 1},
            "spec": {"definitionRef": {"name": "a", "x.y": 1}, "other": 1, "suspend": null},
        });
        let mut said: Vec<String> = schema.judge(&mut run).into_iter().map(|mistake| mistake.message).collect();
        said.sort();
        let unknown = [
            r#"unknown field "extra""#,
            r#"unknown field "spec.definitionRef[\"x.y\"]""#,
            r#"unknown field "spec.other""#,
        ];
        assert_eq!(said.len(), 3, "{said:?}");
        assert!(
            unknown
                .iter()
                .all(|words| said.iter().any(|said| said.replace("\\\"", "\"") == words.replace("\\\"", "\""))),
            "{said:?}"
        );
        assert_eq!(run["spec"]["suspend"], false, "a null where there is a default counts as absent");
    }

    #[test]
    fn names_are_those_of_dns() {
        let mistake = |name: &str| name_mistake(&json!({"metadata": {"name": name}})).is_some();
        assert!(["a", "a-1.b", "0"].iter().all(|name| !mistake(name)));
        assert!(["", "A", "a_b", "-a", "a-", "a..b", "ä"].iter().all(|name| mistake(name)));
        assert!(name_mistake(&json!({"metadata": {"generateName": "a-"}})).is_none());
        assert!(name_mistake(&json!({})).is_some());
    }
}
