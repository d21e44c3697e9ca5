//! The Kubernetes API conventions, and the house's own, checked on the generated CRDs.
//!
//! Sources: the API conventions of Kubernetes (kubernetes/community, api-conventions.md) and the rules of
//! kube-api-linter and crd-schema-checker, as far as a CRD can show them.

use std::collections::BTreeSet;

use saga_operator::api::schema::crds;
use serde_json::{Value, json};

/// One schema of a CRD, wherever it stands.
struct Node {
    /// As in an error of the API server, with the kind before it: `SagaRun.spec.definitionRef.name`; items are `[]`.
    path: String,
    /// The last name in the path; none for items of a list and for the root.
    name: Option<String>,
    /// Whether the object that it is in names it as required.
    required: bool,
    schema: Value,
}

impl Node {
    fn type_(&self) -> &str {
        self.schema["type"].as_str().unwrap_or("any")
    }

    fn has(&self, keyword: &str) -> bool {
        self.schema.get(keyword).is_some()
    }

    fn is_in(&self, part: &str) -> bool {
        self.path.split('.').nth(1) == Some(part)
    }
}

/// Every schema of both CRDs, except `metadata`, which is Kubernetes' own.
fn nodes() -> Vec<Node> {
    let mut nodes = Vec::new();
    for crd in crds() {
        let crd = serde_json::to_value(crd).expect("a CRD is plain data");
        let kind = crd["spec"]["names"]["kind"].as_str().expect("a CRD has a kind").to_owned();
        let schema = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"].clone();
        collect(Node { path: kind, name: None, required: true, schema }, &mut nodes);
    }
    nodes.retain(|node| !node.is_in("metadata"));
    assert!(nodes.len() > 100, "only {} schemas found", nodes.len());
    nodes
}

fn collect(node: Node, into: &mut Vec<Node>) {
    for (name, schema) in node.schema["properties"].as_object().into_iter().flatten() {
        let required = node.schema["required"].as_array().is_some_and(|names| names.contains(&json!(name)));
        let child =
            Node { path: format!("{}.{name}", node.path), name: Some(name.clone()), required, schema: schema.clone() };
        collect(child, into);
    }
    if let Some(items) = node.schema.get("items") {
        collect(Node { path: format!("{}[]", node.path), name: None, required: true, schema: items.clone() }, into);
    }
    into.push(node);
}

/// The paths of the schemas that break a rule; none should.
fn offenders(breaks: impl Fn(&Node) -> bool) -> Vec<String> {
    nodes().into_iter().filter(breaks).map(|node| node.path).collect()
}

#[track_caller]
fn assert_none(breaks: impl Fn(&Node) -> bool) {
    assert_eq!(offenders(breaks), Vec::<String>::new());
}

fn crd_json() -> Vec<Value> {
    crds().into_iter().map(|crd| serde_json::to_value(crd).expect("a CRD is plain data")).collect()
}

fn camel_case(word: &str) -> bool {
    word.starts_with(|first: char| first.is_ascii_uppercase()) && word.chars().all(|c| c.is_ascii_alphanumeric())
}

#[test]
fn no_field_is_called_phase_or_ends_in_timestamp_at_or_reference() {
    assert_none(|node| {
        node.name.as_deref().is_some_and(|name| {
            name == "phase" || ["Timestamp", "At", "Reference"].iter().any(|end| name.ends_with(end))
        })
    });
}

#[test]
fn field_names_are_camel_case_and_begin_in_lower_case() {
    assert_none(|node| {
        node.name.as_deref().is_some_and(|name| {
            !name.starts_with(|first: char| first.is_ascii_lowercase())
                || !name.chars().all(|c| c.is_ascii_alphanumeric())
        })
    });
}

#[test]
fn spans_of_time_are_integers_with_their_unit_in_the_name() {
    assert_none(|node| node.schema["format"] == "duration");
    let spans = ["timeout", "deadline", "backoff", "ttl", "interval", "period"];
    assert_none(|node| {
        node.type_() == "integer"
            && node.name.as_deref().is_some_and(|name| {
                let lower = name.to_lowercase();
                spans.iter().any(|span| lower.contains(span))
                    && !["Seconds", "SecondsAfterFinished", "Milliseconds", "Multiplier"]
                        .iter()
                        .any(|unit| name.ends_with(unit))
            })
    });
}

#[test]
fn points_in_time_are_date_times_whose_name_ends_in_time() {
    assert_none(|node| {
        let named = node.name.as_deref().is_some_and(|name| name == "time" || name.ends_with("Time"));
        let formatted = node.schema["format"] == "date-time";
        named != formatted
    });
}

#[test]
fn every_string_has_a_greatest_length_or_is_an_enum() {
    assert_none(|node| node.type_() == "string" && !node.has("maxLength") && !node.has("enum"));
}

#[test]
fn every_required_string_has_a_smallest_length_unless_it_may_be_empty() {
    let may_be_empty = ["message"];
    assert_none(|node| {
        node.type_() == "string"
            && node.required
            && !node.has("minLength")
            && !node.has("enum")
            && !node.has("format")
            && !may_be_empty.contains(&node.name.as_deref().unwrap_or_default())
    });
}

#[test]
fn every_list_has_a_greatest_length_and_says_how_it_is_merged() {
    assert_none(|node| node.type_() == "array" && !(node.has("maxItems") && node.has("x-kubernetes-list-type")));
}

#[test]
fn every_object_in_a_list_has_a_required_field() {
    assert_none(|node| node.path.ends_with("[]") && node.type_() == "object" && !node.has("required"));
}

#[test]
fn every_integer_has_a_format_and_bounds_within_it() {
    assert_none(|node| {
        if node.type_() != "integer" {
            return false;
        }
        let limit = match node.schema["format"].as_str() {
            Some("int32") => f64::from(i32::MAX),
            // What a double, and so JSON, holds exactly; the API server refuses more.
            Some("int64") => 9_007_199_254_740_991.0,
            _ => return true,
        };
        let bounds = [&node.schema["minimum"], &node.schema["maximum"]].map(|bound| bound.as_f64());
        // An order, not an amount.
        let least = if node.name.as_deref() == Some("priority") { f64::from(i32::MIN) } else { -1.0 };
        !matches!(bounds, [Some(minimum), Some(maximum)] if least <= minimum && minimum < maximum && maximum <= limit)
    });
}

#[test]
fn there_are_no_fractional_numbers() {
    assert_none(|node| node.type_() == "number");
}

#[test]
fn null_is_a_value_of_a_body_and_of_nothing_else() {
    assert_none(|node| node.has("nullable") && node.name.as_deref() != Some("body"));
}

#[test]
fn there_are_no_maps_and_free_form_json_only_where_users_own_the_shape() {
    assert_none(|node| node.has("additionalProperties"));
    let free: BTreeSet<_> = offenders(|node| node.has("x-kubernetes-preserve-unknown-fields")).into_iter().collect();
    let users_own = [
        "SagaDefinition.spec.inputSchema",
        "SagaDefinition.spec.steps[].action.http.body",
        "SagaDefinition.spec.steps[].compensation.http.body",
        "SagaDefinition.spec.steps[].confirm.http.body",
        "SagaRun.spec.input",
        "SagaRun.status.outputs",
        "SagaRun.status.steps[].outputs",
    ];
    assert_eq!(free, users_own.map(String::from).into());
    assert_none(|node| node.type_() == "any" && !node.has("x-kubernetes-preserve-unknown-fields"));
}

#[test]
fn the_only_boolean_is_suspend() {
    assert_none(|node| node.type_() == "boolean" && node.name.as_deref() != Some("suspend"));
}

#[test]
fn enum_values_are_camel_case_except_http_methods() {
    assert_none(|node| {
        node.name.as_deref() != Some("method")
            && node.schema["enum"]
                .as_array()
                .is_some_and(|values| !values.iter().all(|value| value.as_str().is_some_and(camel_case)))
    });
}

#[test]
fn every_description_begins_with_the_name_of_its_field_and_is_a_sentence() {
    assert_none(|node| {
        let description = node.schema["description"].as_str().unwrap_or_default();
        let begins = match &node.name {
            Some(name) => description.strip_prefix(name.as_str()).is_some_and(|rest| rest.starts_with(' ')),
            None => !description.is_empty(),
        };
        !begins || !description.ends_with('.') || description.contains('\n')
    });
}

#[test]
fn conditions_are_a_list_map_of_metav1_conditions_keyed_by_type() {
    let conditions: Vec<_> = nodes().into_iter().filter(|node| node.name.as_deref() == Some("conditions")).collect();
    let paths: Vec<_> = conditions.iter().map(|node| node.path.as_str()).collect();
    assert_eq!(paths, ["SagaDefinition.status.conditions", "SagaRun.status.conditions"]);
    for node in conditions {
        assert_eq!(node.schema["x-kubernetes-list-type"], "map");
        assert_eq!(node.schema["x-kubernetes-list-map-keys"], json!(["type"]));
        assert_eq!(node.schema["maxItems"], 32);
        let item = &node.schema["items"];
        assert_eq!(item["required"], json!(["lastTransitionTime", "message", "reason", "status", "type"]));
        let fields: Vec<_> = item["properties"].as_object().into_iter().flatten().map(|(name, _)| name).collect();
        assert_eq!(fields, ["lastTransitionTime", "message", "observedGeneration", "reason", "status", "type"]);
        assert_eq!(item["properties"]["status"]["enum"], json!(["True", "False", "Unknown"]));
        assert_eq!(item["properties"]["reason"]["maxLength"], 1024);
        assert_eq!(item["properties"]["message"]["maxLength"], 32768);
        assert_eq!(item["properties"]["type"]["maxLength"], 316);
    }
}

#[test]
fn conditions_come_first_in_the_status_types() {
    let run = serde_json::to_string(&saga_operator::api::SagaRunStatus {
        conditions: vec![ready()],
        progress: Some("0/1".to_owned()),
        observed_generation: Some(1),
        ..Default::default()
    });
    let definition = serde_json::to_string(&saga_operator::api::SagaDefinitionStatus {
        conditions: vec![ready()],
        step_count: Some(1),
        ..Default::default()
    });
    for status in [run, definition] {
        assert!(status.expect("a status is plain data").starts_with(r#"{"conditions":"#));
    }
}

fn ready() -> saga_operator::api::Condition {
    serde_json::from_value(json!({
        "type": "Ready", "status": "True", "reason": "Accepted", "message": "",
        "lastTransitionTime": "2026-11-21T00:00:00Z",
    }))
    .expect("this is a condition")
}

#[test]
fn status_is_a_subresource_with_a_default_that_says_not_looked_at_yet() {
    for crd in crd_json() {
        let version = &crd["spec"]["versions"][0];
        assert_eq!(version["subresources"], json!({"status": {}}));
        let status = &version["schema"]["openAPIV3Schema"]["properties"]["status"];
        assert_eq!(status["default"], json!({"observedGeneration": -1}));
        assert_eq!(status["properties"]["observedGeneration"]["minimum"].as_f64(), Some(-1.0));
        assert_eq!(status.get("required"), None, "everything in a status is optional");
    }
}

#[test]
fn the_status_of_a_run_is_replaced_as_a_whole() {
    let atomic = offenders(|node| node.schema["x-kubernetes-map-type"] == "atomic");
    assert_eq!(atomic, ["SagaRun.status"]);
}

#[test]
fn defaults_stand_on_optional_fields_only() {
    assert_none(|node| node.has("default") && node.required);
}

#[test]
fn a_default_of_an_empty_object_stands_where_no_rule_looks_inside() {
    assert_none(|node| {
        node.schema["default"] == json!({}) && (node.has("x-kubernetes-validations") || node.has("properties"))
    });
}

#[test]
fn the_defaults_are_these() {
    let defaults: BTreeSet<_> = nodes()
        .into_iter()
        .filter(|node| node.has("default") && node.is_in("spec"))
        .map(|node| {
            // The calls of a step are alike.
            let path = node.path.replace(".compensation.", ".action.").replace(".confirm.", ".action.");
            (path, node.schema["default"].to_string())
        })
        .collect();
    let expected = [
        ("SagaDefinition.spec.compensationPolicy.onExhausted", "\"Halt\""),
        ("SagaDefinition.spec.compensationPolicy.order", "\"Reverse\""),
        ("SagaDefinition.spec.steps[].action.polling.intervalSeconds", "2"),
        ("SagaDefinition.spec.steps[].action.polling.timeoutSeconds", "3600"),
        ("SagaDefinition.spec.steps[].action.http.method", "\"POST\""),
        ("SagaDefinition.spec.steps[].action.http.timeoutSeconds", "10"),
        ("SagaDefinition.spec.steps[].action.retryPolicy.backoffMultiplier", "2"),
        ("SagaDefinition.spec.steps[].action.retryPolicy.initialBackoffMilliseconds", "200"),
        ("SagaDefinition.spec.steps[].action.retryPolicy.jitterPercent", "20"),
        ("SagaDefinition.spec.steps[].action.retryPolicy.maxBackoffMilliseconds", "30000"),
        ("SagaDefinition.spec.steps[].role", "\"Compensatable\""),
        ("SagaRun.spec.deletionPolicy", "\"Compensate\""),
        ("SagaRun.spec.input", "{}"),
        ("SagaRun.spec.suspend", "false"),
    ];
    assert_eq!(defaults, expected.map(|(path, value)| (path.to_owned(), value.to_owned())).into());
}

#[test]
fn no_field_names_a_namespace() {
    assert_none(|node| node.name.as_deref().is_some_and(|name| name.to_lowercase().contains("namespace")));
}

#[test]
fn secrets_are_named_and_never_contained() {
    let mentions: Vec<_> = nodes()
        .into_iter()
        .filter(|node| node.name.as_deref().is_some_and(|name| name.to_lowercase().contains("secret")))
        .collect();
    assert_eq!(mentions.len(), 3, "one for each of the action, the compensation and the confirm");
    for node in mentions {
        assert_eq!(node.name.as_deref(), Some("secretKeyRef"));
        let fields: Vec<_> =
            node.schema["properties"].as_object().into_iter().flatten().map(|(name, _)| name).collect();
        assert_eq!(fields, ["key", "name"]);
    }
}

#[test]
fn every_rule_says_what_must_be_and_files_the_error_under_a_reason_that_shows_it() {
    let mut count = 0;
    for node in nodes() {
        for rule in node.schema["x-kubernetes-validations"].as_array().into_iter().flatten() {
            count += 1;
            let message = rule["message"].as_str().unwrap_or_default();
            let grammar = ["must ", "must not ", "may not be specified when ", "may not be specified unless "];
            assert!(grammar.iter().any(|begin| message.starts_with(begin)), "{}: {message}", node.path);
            let reason = rule["reason"].as_str().unwrap_or_default();
            // FieldValueDuplicate hides the message.
            let shown = ["FieldValueInvalid", "FieldValueRequired", "FieldValueForbidden"];
            assert!(shown.contains(&reason), "{}: {reason}", node.path);
            if node.name.as_deref() == Some("spec") {
                assert!(rule["fieldPath"].is_string(), "{}: a rule on the whole spec must name the field", node.path);
            }
        }
    }
    assert!(count > 10, "only {count} rules found");
}

#[test]
fn kinds_have_the_names_and_columns_that_users_type_and_read() {
    let described: Vec<_> = crd_json()
        .iter()
        .map(|crd| {
            let names = &crd["spec"]["names"];
            assert_eq!(names["categories"], json!(["saga"]));
            let columns: Vec<_> = crd["spec"]["versions"][0]["additionalPrinterColumns"]
                .as_array()
                .into_iter()
                .flatten()
                .map(|column| {
                    let wide = if column["priority"] == 1 { " (wide)" } else { "" };
                    format!("{}{wide}", column["name"].as_str().unwrap_or_default())
                })
                .collect();
            format!("{} {} {}: {}", crd["metadata"]["name"], names["kind"], names["shortNames"][0], columns.join(", "))
        })
        .collect();
    let expected = [
        r#""sagadefinitions.sagas.dev" "SagaDefinition" "sagadef": Ready, Reason, Steps, Active, Age"#,
        r#""sagaruns.sagas.dev" "SagaRun" "sagarun": Definition, Succeeded, Reason, Progress, Age, Started (wide), Completed (wide), Message (wide)"#,
    ];
    assert_eq!(described, expected);
}

#[test]
fn runs_can_be_selected_by_their_definition() {
    let selectable: Vec<_> =
        crd_json().iter().map(|crd| crd["spec"]["versions"][0]["selectableFields"].clone()).collect();
    assert_eq!(selectable, [Value::Null, json!([{"jsonPath": ".spec.definitionRef.name"}])]);
}

#[test]
fn names_of_objects_have_at_most_63_characters() {
    for crd in crd_json() {
        let metadata = &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["metadata"];
        assert_eq!(metadata["properties"]["name"]["maxLength"], 63);
    }
}
