//! The API as Markdown, from the schemas that the API server gets.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use serde_json::Value;

use super::cell;

/// The whole page.
pub(super) fn page(crds: &[CustomResourceDefinition]) -> String {
    let mut page =
        "# API\n\nMade from the code by `cargo xtask generate`: change the code, not this page.\n".to_owned();
    for crd in crds {
        let names = &crd.spec.names;
        let short = names.short_names.iter().flatten().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
        for version in &crd.spec.versions {
            let schema = version.schema.as_ref().and_then(|schema| schema.open_api_v3_schema.as_ref());
            // Plain data: it always has a JSON form.
            let schema = serde_json::to_value(schema).unwrap_or_default();
            page.push_str(&format!("\n## {}\n\n`{}/{}`", names.kind, crd.spec.group, version.name));
            page.push_str(&format!(", short name {short}. {}\n", text(&schema, "description")));
            columns(&mut page, version.additional_printer_columns.iter().flatten());
            for part in ["spec", "status"] {
                object(&mut page, part, &schema["properties"][part]);
            }
        }
    }
    page
}

fn columns<'a>(
    page: &mut String,
    columns: impl Iterator<
        Item = &'a k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceColumnDefinition,
    >,
) {
    page.push_str("\n| column | meaning |\n|---|---|\n");
    for column in columns {
        let wide = if column.priority.unwrap_or_default() > 0 { " (`-o wide`)" } else { "" };
        let description = column.description.as_deref().unwrap_or("Time since its creation");
        page.push_str(&format!("| {}{wide} | {} |\n", column.name, cell(description)));
    }
}

/// A table for the object, then one for each object in it.
fn object(page: &mut String, path: &str, schema: &Value) {
    let Some(properties) = schema["properties"].as_object() else { return };
    page.push_str(&format!("\n### {path}\n\n{}\n", text(schema, "description")));
    rules(page, schema);
    page.push_str("\n| field | type | default | bounds | meaning |\n|---|---|---|---|---|\n");
    let required: Vec<&str> = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    for (name, field) in properties {
        let default = match &field["default"] {
            Value::Null if required.contains(&name.as_str()) => "required".to_owned(),
            Value::Null => String::new(),
            default => format!("`{default}`"),
        };
        let meaning = field["description"].as_str().unwrap_or_default();
        let [kind, bounds] = [kind(field), bounds(field)].map(|text| cell(&text));
        page.push_str(&format!("| `{name}` | {kind} | {default} | {bounds} | {} |\n", cell(meaning)));
    }
    for (name, field) in properties {
        if field["type"] == "array" {
            object(page, &format!("{path}.{name}[]"), &field["items"]);
        } else {
            object(page, &format!("{path}.{name}"), field);
        }
    }
}

/// What admission refuses beyond types and bounds.
fn rules(page: &mut String, schema: &Value) {
    let rules: Vec<String> = schema["x-kubernetes-validations"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|rule| format!("- `{}` {}\n", text(rule, "fieldPath").trim_start_matches('.'), text(rule, "message")))
        .map(|line| line.replace("- `` ", "- "))
        .collect();
    if !rules.is_empty() {
        page.push_str(&format!("\nRefused otherwise:\n\n{}", rules.concat()));
    }
}

fn kind(field: &Value) -> String {
    match (text(field, "type"), text(field, "format")) {
        ("array", _) => format!("list of {}", kind(&field["items"])),
        ("", _) => "any JSON".to_owned(),
        (kind, "") => kind.to_owned(),
        (kind, format) => format!("{kind} ({format})"),
    }
}

fn bounds(field: &Value) -> String {
    let mut all = Vec::new();
    let range = |low: &str, high: &str, what: &str| {
        let [low, high] = [low, high].map(|bound| field[bound].as_f64().map(|bound| bound.to_string()));
        match (low, high) {
            (Some(low), Some(high)) => Some(format!("{low} to {high}{what}")),
            (Some(low), None) => Some(format!("at least {low}{what}")),
            (None, Some(high)) => Some(format!("at most {high}{what}")),
            (None, None) => None,
        }
    };
    all.extend(range("minimum", "maximum", ""));
    all.extend(range("minLength", "maxLength", " characters"));
    all.extend(range("minItems", "maxItems", " items"));
    all.extend(range("minProperties", "maxProperties", " members"));
    if let Some(options) = field["enum"].as_array() {
        all.push(
            options
                .iter()
                .map(|option| format!("`{}`", option.as_str().unwrap_or_default()))
                .collect::<Vec<_>>()
                .join(", "),
        );
    }
    if let Some(pattern) = field["pattern"].as_str() {
        // A backtick in the pattern would end a shorter fence.
        all.push(if pattern.contains('`') { format!("`` {pattern} ``") } else { format!("`{pattern}`") });
    }
    for rule in field["x-kubernetes-validations"].as_array().into_iter().flatten() {
        if text(field, "type") != "object" {
            all.push(text(rule, "message").to_owned());
        }
    }
    all.join("; ")
}

fn text<'a>(value: &'a Value, member: &str) -> &'a str {
    value[member].as_str().unwrap_or_default()
}
