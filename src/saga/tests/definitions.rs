//! Compiling definitions: each mistake is named with its field, and the largest status is bounded.

use serde_json::json;

use super::fixtures::{ORDER, compile, definition, spec};
use crate::api::Reason;
use crate::api::definition::{Output, SagaDefinitionSpec};
use crate::saga::{Definition, size};

/// What compiling says about a spec: reason, field, message.
fn problems(spec: &SagaDefinitionSpec) -> Vec<(Reason, String, String)> {
    let problems = Definition::compile(spec, "r").err().unwrap_or_default();
    problems.into_iter().map(|problem| (problem.reason, problem.field, problem.message)).collect()
}

/// One mistake in an otherwise good definition: its field, and a word of its message.
fn mistake(change: impl FnOnce(&mut SagaDefinitionSpec), reason: Reason, field: &str, word: &str) {
    let mut spec = spec(ORDER);
    change(&mut spec);
    let found = problems(&spec);
    let hit = found.iter().any(|(why, at, text)| *why == reason && at == field && text.contains(word));
    assert!(hit, "expected {reason} at {field} with '{word}', found {found:#?}");
}

#[test]
fn the_example_compiles_with_every_default_filled_in() {
    let definition = definition(ORDER);
    assert_eq!(definition.steps.len(), 4);
    assert_eq!(definition.steps[2].action.retry.max_attempts, 5);
    assert_eq!(definition.steps[2].compensation.as_ref().unwrap().retry.max_attempts, 200);
    assert_eq!(definition.steps[0].action.timeout.as_secs(), 10);
}

#[test]
fn each_step_depends_on_the_one_before_it() {
    let definition = definition(ORDER);
    for (index, step) in definition.steps.iter().enumerate() {
        let before: Vec<usize> = index.checked_sub(1).into_iter().collect();
        assert_eq!(step.dependencies.iter().collect::<Vec<_>>(), before);
        assert_eq!(step.dependents.iter().collect::<Vec<_>>(), (index + 1..4).collect::<Vec<_>>());
    }
}

#[test]
fn a_definition_has_1_to_64_steps() {
    mistake(|spec| spec.steps.clear(), Reason::InvalidGraph, "spec.steps", "1 to 64");
    let many = |spec: &mut SagaDefinitionSpec| {
        let step = spec.steps[0].clone();
        spec.steps =
            (0..65).map(|index| crate::api::definition::Step { name: format!("s{index}"), ..step.clone() }).collect();
    };
    mistake(many, Reason::InvalidGraph, "spec.steps", "65");
}

#[test]
fn names_of_steps_and_outputs_are_identifiers_and_unique() {
    for name in ["", "Reserve", "re-serve", "1st", "in", "null", &"x".repeat(64)] {
        let change = |spec: &mut SagaDefinitionSpec| spec.steps[3].name = name.to_owned();
        mistake(change, Reason::InvalidGraph, "spec.steps[3].name", "must match");
        let change = |spec: &mut SagaDefinitionSpec| spec.steps[3].outputs[0].name = name.to_owned();
        mistake(change, Reason::InvalidGraph, "spec.steps[3].outputs[0].name", "must match");
    }
    let twice = |spec: &mut SagaDefinitionSpec| spec.steps[3].name = "reserve".into();
    mistake(twice, Reason::InvalidGraph, "spec.steps[3].name", "unique");
}

#[test]
fn a_compensation_is_there_exactly_where_there_is_an_effect() {
    let none = |spec: &mut SagaDefinitionSpec| spec.steps[0].compensation = None;
    mistake(none, Reason::InvalidGraph, "spec.steps[0].compensation", "required");
    let extra = |spec: &mut SagaDefinitionSpec| spec.steps[3].compensation = spec.steps[0].compensation.clone();
    mistake(extra, Reason::InvalidGraph, "spec.steps[3].compensation", "ReadOnly");
}

#[test]
fn numbers_stay_within_their_bounds() {
    type Change = fn(&mut SagaDefinitionSpec, i32);
    let cases: [(Change, &str, [i32; 2]); 7] = [
        (|spec, n| spec.active_deadline_seconds = Some(n), "spec.activeDeadlineSeconds", [0, 2_592_001]),
        (
            |spec, n| spec.steps[0].action.http.timeout_seconds = n,
            "spec.steps[0].action.http.timeoutSeconds",
            [0, 3601],
        ),
        (|spec, n| policy(spec).max_attempts = Some(n), "spec.steps[0].action.retryPolicy.maxAttempts", [0, 1001]),
        (
            |spec, n| policy(spec).initial_backoff_milliseconds = Some(n),
            "spec.steps[0].action.retryPolicy.initialBackoffMilliseconds",
            [-1, 3_600_001],
        ),
        (
            |spec, n| policy(spec).max_backoff_milliseconds = Some(n),
            "spec.steps[0].action.retryPolicy.maxBackoffMilliseconds",
            [0, 86_400_001],
        ),
        (
            |spec, n| policy(spec).backoff_multiplier = Some(n),
            "spec.steps[0].action.retryPolicy.backoffMultiplier",
            [0, 11],
        ),
        (|spec, n| policy(spec).jitter_percent = Some(n), "spec.steps[0].action.retryPolicy.jitterPercent", [-1, 101]),
    ];
    for (change, field, values) in cases {
        for value in values {
            mistake(|spec| change(spec, value), Reason::InvalidGraph, field, &value.to_string());
        }
    }
    let larger = |spec: &mut SagaDefinitionSpec| {
        policy(spec).initial_backoff_milliseconds = Some(500);
        policy(spec).max_backoff_milliseconds = Some(400);
    };
    let field = "spec.steps[0].action.retryPolicy.initialBackoffMilliseconds";
    mistake(larger, Reason::InvalidGraph, field, "maxBackoffMilliseconds");
}

fn policy(spec: &mut SagaDefinitionSpec) -> &mut crate::api::definition::RetryPolicy {
    spec.steps[0].action.retry_policy.as_mut().unwrap()
}

#[test]
fn headers_are_tokens_that_neither_the_operator_nor_the_transport_sets() {
    for name in ["", "two words", "Host", "content-length", "IDEMPOTENCY-KEY", "Saga-Fence", "saga-x", "traceparent"] {
        let change = |spec: &mut SagaDefinitionSpec| spec.steps[1].action.http.headers[0].name = name.to_owned();
        mistake(change, Reason::InvalidGraph, "spec.steps[1].action.http.headers[0].name", "must");
    }
    let twice = |spec: &mut SagaDefinitionSpec| spec.steps[1].action.http.headers[1].name = "x-ORDER".into();
    mistake(twice, Reason::InvalidGraph, "spec.steps[1].action.http.headers[1].name", "unique");
    let both = |spec: &mut SagaDefinitionSpec| spec.steps[1].action.http.headers[1].value = Some("x".into());
    mistake(both, Reason::InvalidExpression, "spec.steps[1].action.http.headers[1]", "either");
}

#[test]
fn lists_and_texts_have_bounds() {
    let long = |spec: &mut SagaDefinitionSpec| spec.description = Some("x".repeat(1025));
    mistake(long, Reason::TooLarge, "spec.description", "1024");
    let many = |spec: &mut SagaDefinitionSpec| {
        spec.steps[0].outputs = (0..17).map(|n| Output { name: format!("o{n}"), value: "x".into() }).collect();
    };
    mistake(many, Reason::TooLarge, "spec.steps[0].outputs", "16");
    let body = |spec: &mut SagaDefinitionSpec| spec.steps[0].action.http.body = Some(json!("x".repeat(65 * 1024)));
    mistake(body, Reason::TooLarge, "spec.steps[0].action.http.body", "65536");
    let url = |spec: &mut SagaDefinitionSpec| spec.steps[0].action.http.url = format!("http://a/{}", "x".repeat(2048));
    mistake(url, Reason::TooLarge, "spec.steps[0].action.http.url", "2048");
    let secrets = |spec: &mut SagaDefinitionSpec| {
        let header = spec.steps[1].action.http.headers[1].clone();
        spec.steps[1].action.http.headers = (0..9)
            .map(|n| {
                let mut header = header.clone();
                header.name = format!("x-{n}");
                header.value_from.as_mut().unwrap().secret_key_ref.name = format!("secret-{n}");
                header
            })
            .collect();
    };
    mistake(secrets, Reason::TooLarge, "spec.steps", "8 different Secrets");
}

#[test]
fn an_expression_names_only_what_is_done_before_it_is_evaluated() {
    let url = |url: &'static str| move |spec: &mut SagaDefinitionSpec| spec.steps[1].action.http.url = url.into();
    let field = "spec.steps[1].action.http.url";
    mistake(url("http://a/${steps.nobody.outputs.id}"), Reason::InvalidExpression, field, "not in `spec.steps`");
    mistake(url("http://a/${steps.rate.outputs.percent}"), Reason::InvalidExpression, field, "not done before");
    mistake(url("http://a/${steps.charge.outputs.id}"), Reason::InvalidExpression, field, "not done before");
    mistake(url("http://a/${steps.reserve.outputs.ids}"), Reason::InvalidExpression, field, "whose outputs are: id");
    mistake(url("http://a/${response.body}"), Reason::InvalidExpression, field, "response");
    mistake(url("http://a/${1 +}"), Reason::InvalidExpression, field, "valid CEL");
    let own = |spec: &mut SagaDefinitionSpec| {
        spec.steps[1].compensation.as_mut().unwrap().call.http.body = Some(json!("${steps.charge.outputs.id}"));
    };
    let mut good = spec(ORDER);
    own(&mut good);
    assert_eq!(problems(&good), [], "a compensation may use the outputs of its own action");
}

#[test]
fn every_expression_is_compiled_and_named_with_its_field() {
    let bad = "${nobody}";
    type Change = fn(&mut SagaDefinitionSpec, String);
    let cases: [(Change, &str); 5] = [
        (|spec, text| spec.steps[0].when = Some(text), "spec.steps[0].when"),
        (|spec, text| spec.steps[0].outputs[0].value = text, "spec.steps[0].outputs[0].value"),
        (|spec, text| spec.steps[0].action.http.body = Some(json!([text])), "spec.steps[0].action.http.body"),
        (|spec, text| spec.steps[1].action.responses[0].when = text, "spec.steps[1].action.responses[0].when"),
        (
            |spec, text| spec.steps[1].action.http.headers[0].value = Some(text),
            "spec.steps[1].action.http.headers[0].value",
        ),
    ];
    for (change, field) in cases {
        mistake(|spec| change(spec, bad.to_owned()), Reason::InvalidExpression, field, "unknown variable");
    }
}

#[test]
fn an_input_schema_must_be_a_schema_of_bounded_size() {
    let set = |schema: serde_json::Value| {
        move |spec: &mut SagaDefinitionSpec| spec.input_schema = schema.as_object().cloned()
    };
    mistake(set(json!({"type": "thing"})), Reason::InvalidSchema, "spec.inputSchema", "JSON Schema");
    let remote = json!({"$ref": "https://schemas.example/order"});
    mistake(set(remote), Reason::InvalidSchema, "spec.inputSchema", "JSON Schema");
    let large = json!({"description": "x".repeat(33 * 1024)});
    mistake(set(large), Reason::TooLarge, "spec.inputSchema", "32768");
}

#[test]
fn a_violation_of_the_schema_names_place_and_rule_but_not_the_value() {
    let definition = definition(ORDER);
    let error = definition.check_input(&json!({"orderId": "o", "x": 1})).err();
    assert_eq!(error, None);
    let error = definition.check_input(&json!([])).unwrap_err();
    assert!(error.contains("/type"), "{error}");
    let mut strict = spec(ORDER);
    strict.input_schema = json!({"properties": {"card": {"maxLength": 3}}}).as_object().cloned();
    let strict = Definition::compile(&strict, "r").unwrap();
    let error = strict.check_input(&json!({"card": "4111-1111"})).unwrap_err();
    assert!(error.contains("/card") && error.contains("maxLength") && !error.contains("4111"), "{error}");
    assert!(definition.check_input(&json!({"orderId": "x".repeat(70_000)})).unwrap_err().contains("65536"));
}

#[test]
fn all_mistakes_are_told_at_once() {
    let mut spec = spec(ORDER);
    spec.steps[0].action.http.url = "http://a/${x}".into();
    spec.steps[2].compensation = None;
    spec.steps[3].name = "no-name".into();
    assert!(problems(&spec).len() >= 3);
}

#[test]
fn a_problem_is_told_with_its_field_first() {
    let problem = compile("steps: []").unwrap_err().remove(0);
    assert_eq!(problem.to_string(), "spec.steps: must have 1 to 64 items, and has 0");
}

/// A definition of the largest shape: so many steps with long names and so many outputs each.
fn wide(steps: usize, name: usize, outputs: usize) -> SagaDefinitionSpec {
    let base = spec(ORDER).steps[2].clone();
    let pad = |prefix: String, length: usize| format!("{prefix}{}", "x".repeat(length.saturating_sub(prefix.len())));
    let step = |index: usize| crate::api::definition::Step {
        name: pad(format!("s{index}"), name),
        when: None,
        outputs: (0..outputs)
            .map(|n| Output { name: pad(format!("o{n}"), name), value: "${response.body}".into() })
            .collect(),
        ..base.clone()
    };
    SagaDefinitionSpec { steps: (0..steps).map(step).collect(), ..SagaDefinitionSpec::default() }
}

#[test]
fn the_largest_definition_that_the_schema_allows_has_a_status_that_fits() {
    let bytes = size::worst_case(&wide(64, 63, 16));
    assert!((50_000..=size::MAX_STATUS_BYTES).contains(&bytes), "{bytes}");
    assert_eq!(problems(&wide(64, 63, 16)), []);
}

#[test]
fn a_definition_whose_status_could_outgrow_the_store_is_refused() {
    let found = problems(&wide(64, 63, 100));
    let (reason, field, message) = found.last().unwrap();
    assert_eq!((*reason, field.as_str()), (Reason::TooLarge, "spec.steps"));
    assert!(message.contains("at most 65536 are stored"), "{message}");
}

#[test]
fn the_bound_of_a_small_definition_is_small() {
    let bytes = size::worst_case(&spec(ORDER));
    assert!((16_000..32_000).contains(&bytes), "{bytes}");
}

#[test]
fn outputs_are_measured_as_an_api_server_stores_them() {
    assert_eq!(size::escaped("\"a<b>&\""), 7 + 15);
    assert_eq!(size::escaped("\u{2028}"), 6);
    assert_eq!(size::output((&"id".to_owned(), &json!("&"))), 2 + 8);
}
