#![allow(clippy::unwrap_used, clippy::panic)]

use std::fs;
use std::path::Path;

use super::*;

const RUN: &str =
    "apiVersion: sagas.dev/v1alpha1\nkind: SagaRun\nmetadata:\n  name: order\nspec:\n  definitionRef:\n    name: buy\n";

const SECRET: &str = "apiVersion: v1\nkind: Secret\nmetadata:\n  name: payment\n";

/// A definition whose step has these lines in its body.
fn with_body(body: &str) -> String {
    format!(
        "apiVersion: sagas.dev/v1alpha1\nkind: SagaDefinition\nmetadata:\n  name: buy\nspec:\n  steps:\n  - name: pay\n    \
         action:\n      http:\n        url: http://pay.example/charges\n        body:\n          {body}\n    role: ReadOnly\n"
    )
}

/// What is said about a text, a line each.
fn said(text: &str) -> String {
    parse("m.yaml", text).unwrap_err().to_string()
}

fn warned(text: &str) -> Vec<String> {
    parse("m.yaml", text).unwrap().warnings.iter().map(ToString::to_string).collect()
}

fn assert_said(text: &str, expected: &[&str]) {
    let said = said(text);
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(lines.len(), expected.len(), "{said}");
    for (line, expected) in lines.iter().zip(expected) {
        assert!(line.contains(expected), "'{line}' does not say '{expected}'");
    }
}

#[test]
fn all_documents_of_a_text_are_read_with_their_places() {
    let text = format!("# first\n{}---\n---\n# only a comment\n--- # second\n{RUN}---\n{SECRET}", with_body("a: 1"));
    let all = parse("m.yaml", &text).unwrap();
    assert_eq!(all.definitions[0].place.to_string(), "m.yaml:2");
    assert_eq!(all.runs[0].place.to_string(), "m.yaml:19");
    assert_eq!(all.secrets[0].place.to_string(), "m.yaml:27");
    let url = all.definitions[0].place_of("spec.steps[0].action.http.url");
    assert_eq!(url.to_string(), "m.yaml:11");
    let missing = all.definitions[0].place_of("spec.steps[0].action.http.headers[0].name");
    assert_eq!(missing.to_string(), "m.yaml:10");
    assert!(all.warnings.is_empty());
}

#[test]
fn json_is_read_too_with_tabs() {
    let text = "{\n\t\"apiVersion\": \"sagas.dev/v1alpha1\",\n\t\"kind\": \"SagaRun\",\n\t\"metadata\": {\"name\": \"order\"},\n\t\
                \"spec\": {\"definitionRef\": {\"name\": \"buy\"}, \"input\": {\"a\": \"\\u00e4\"}}\n}\n";
    let all = parse("m.json", text).unwrap();
    assert_eq!(all.runs[0].spec.input["a"], "ä");
}

#[test]
fn a_byte_order_mark_and_windows_line_ends_do_no_harm() {
    let text = format!("\u{feff}{}", RUN.replace('\n', "\r\n"));
    assert_eq!(parse("m.yaml", &text).unwrap().runs[0].spec.definition_ref.name, "buy");
}

#[test]
fn the_mistakes_of_all_documents_are_said() {
    let unknown = RUN.replace("definitionRef:", "definitionReference:");
    let text = format!("{unknown}---\nkind: Pod\napiVersion: v1\n---\na: [1\n---\n{RUN}");
    assert_said(&text, &["m.yaml:6: unknown field `definitionReference`", "m.yaml:9: nothing is known", "m.yaml:1"]);
}

#[test]
fn a_document_that_is_no_manifest_is_refused() {
    assert_said("", &["m.yaml: it is empty"]);
    assert_said("# nothing\n---\n", &["m.yaml: it is empty"]);
    assert_said("\n\nhello\n", &["m.yaml:3: expected fields"]);
    assert_said("- a\n", &["m.yaml:1: expected fields"]);
    assert_said("a: 1\n", &["m.yaml:1: it has no `apiVersion` and `kind`"]);
    assert_said(
        "apiVersion: apps/v1\nkind: Deployment\n",
        &["m.yaml:2: nothing is known here of the kind `Deployment`"],
    );
    assert_said(&RUN.replace("v1alpha1", "v1"), &["m.yaml:1: the `apiVersion` of a SagaRun is `sagas.dev/v1alpha1`"]);
    assert_said(&RUN.replace("SagaRun", "SagaRum"), &["m.yaml:2: nothing is known here of the kind `SagaRum`"]);
}

#[test]
fn a_name_is_needed_and_fits_into_headers() {
    assert_said(&RUN.replace("  name: order", "  generateName: order-"), &["m.yaml:3: `metadata.name` is missing"]);
    assert_said(&RUN.replace("metadata:\n  name: order\n", ""), &["m.yaml:1: `metadata.name` is missing"]);
    assert_said(&RUN.replace("order", "Order 1"), &["m.yaml:4: `metadata.name` is at most 63"]);
    assert_said(&RUN.replace("order", &"x".repeat(64)), &["m.yaml:4: `metadata.name` is at most 63"]);
    assert_said(
        &RUN.replace("order", "3001"),
        &["m.yaml:4: `3001` is a number, and a text belongs here: write it as \"3001\""],
    );
}

#[test]
fn unknown_and_duplicate_fields_are_said_with_their_line() {
    assert_said(&format!("{RUN}  suspended: true\n"), &["m.yaml:8: unknown field `suspended`"]);
    assert_said(&format!("{RUN}sepc: {{}}\n"), &["m.yaml:8: unknown field `sepc`"]);
    assert_said(&format!("{RUN}  suspend: true\n  suspend: false\n"), &["m.yaml:9: duplicate mapping key `suspend`"]);
    assert_said(&with_body("a: 1\n          a: 2"), &["m.yaml:13: duplicate mapping key `a`"]);
    assert_said(&RUN.replace("spec:\n  definitionRef:\n    name: buy\n", ""), &["m.yaml:1: `spec` is missing"]);
}

#[test]
fn wrong_types_are_said_as_the_api_server_would() {
    assert_said(&format!("{RUN}  activeDeadlineSeconds: 10s\n"), &["m.yaml:8: expected a whole number"]);
    assert_said(
        &format!("{RUN}  activeDeadlineSeconds: \"10\"\n"),
        &["m.yaml:8: `10` is a text, and a number belongs"],
    );
    assert_said(&format!("{RUN}  suspend: \"true\"\n"), &["m.yaml:8: `true` is a text, and `true` or `false` belongs"]);
    assert_said(&RUN.replace("name: buy", "name: yes"), &["m.yaml:7: `yes` is a boolean, and a text belongs here"]);
    assert_said(&RUN.replace("name: buy", "name: 1e3"), &["m.yaml:7: `1e3` is a number, and a text belongs here"]);
    assert_said(&RUN.replace("name: buy", "name: [buy]"), &["m.yaml:7: expected a text"]);
    assert_said(&format!("{RUN}  input: []\n"), &["m.yaml:8: expected fields"]);
}

#[test]
fn what_is_not_yaml_is_said_with_a_hint_where_an_expression_is_not_quoted() {
    let unquoted = with_body("amount: ${input.amount > 0 ? input.amount : 0}");
    assert_said(
        &unquoted,
        &["m.yaml:12: mapping values are not allowed in this context; put the value with `${` in quotes"],
    );
    assert_said(&with_body("list: [${input.a}, 1]"), &["m.yaml:12: "]);
    assert_said(
        &with_body("amount: ${input.amount # all}"),
        &["m.yaml:12: `${input.amount` ends within its expression"],
    );
    assert_said(&RUN.replace("    name: buy", "\tname: buy"), &["m.yaml:7: a line begins with a tab"]);
    let quoted = with_body("amount: \"${input.a ? 1 : 2}\"\n          literal: $${");
    assert!(parse("m.yaml", &quoted).is_ok());
}

#[test]
fn what_kubectl_reads_otherwise_is_warned_of() {
    assert_eq!(
        warned(&with_body(
            "on: 1\n          amount: 9007199254740993\n          zip: 01067\n          fine: 9007199254740992"
        )),
        [
            "m.yaml:12: `kubectl` reads the key `on` as a boolean: write it as \"on\"",
            "m.yaml:13: `9007199254740993` is beyond 2^53, where digits get lost on the way: write it as \"9007199254740993\"",
            "m.yaml:14: `kubectl` reads `01067` as an octal number: write it as \"01067\", or without the zero in front",
        ]
    );
    assert!(warned(&with_body("\"on\": \"9007199254740993\"")).is_empty());
}

#[test]
fn booleans_without_quotes_are_read_as_kubectl_reads_them() {
    let all =
        parse("m.yaml", &format!("{RUN}  input: {{a: yes, b: n, c: off, d: \"yes\", e: 1_000, f: ~}}\n")).unwrap();
    let expected = serde_json::json!({"a": true, "b": false, "c": false, "d": "yes", "e": 1000, "f": null});
    assert_eq!(serde_json::Value::Object(all.runs[0].spec.input.clone()), expected);
}

#[test]
fn secrets_are_read_from_both_forms_and_never_shown() {
    let all =
        parse("m.yaml", &format!("{SECRET}data:\n  a: aHVzaA==\n  b: aHVzaA==\nstringData:\n  b: plain\n")).unwrap();
    let values = &all.secrets[0].spec;
    assert_eq!(values["a"], SecretValue::new("hush"));
    assert_eq!(values["b"], SecretValue::new("plain"));

    for wrong in
        ["data:\n  a: hush-hush\n", "stringData:\n  a: 424242\n", "stringData:\n  a: [hush]\n", "extra: hush\n"]
    {
        let said = said(&format!("{SECRET}{wrong}"));
        assert!(said.starts_with("m.yaml:5: ") || said.starts_with("m.yaml:6: "), "{said}");
        assert!(!said.contains("hush") && !said.contains("424242"), "{said}");
    }
}

#[test]
fn the_same_object_twice_is_refused() {
    assert_said(&format!("{RUN}---\n{RUN}"), &["m.yaml:9: the SagaRun 'order' is already at m.yaml:1"]);
}

#[test]
fn directories_are_read_in_the_order_of_their_files() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("m");
    fs::create_dir_all(path.join("deeper.yaml")).unwrap();
    for (file, run) in [("b.yml", "two"), ("a.yaml", "one"), ("c.json", "three"), ("notes.txt", "not")] {
        fs::write(path.join(file), RUN.replace("order", run)).unwrap();
    }
    let all = read(&[path]).unwrap();
    let names: Vec<&str> = all.runs.iter().map(|run| run.name.as_str()).collect();
    assert_eq!(names, ["one", "two", "three"]);
}

#[test]
fn what_cannot_be_read_is_said_beside_the_rest() {
    let directory = tempfile::tempdir().unwrap();
    let (empty, latin) = (directory.path().join("empty"), directory.path().join("latin.yaml"));
    fs::create_dir(&empty).unwrap();
    fs::write(&latin, b"a: b\nc: \xe4\n").unwrap();
    let missing = directory.path().join("missing.yaml");
    let said = read(&[missing, empty, latin]).unwrap_err().to_string();
    let lines: Vec<&str> = said.lines().collect();
    assert!(lines[0].ends_with("missing.yaml: there is no such file or directory"), "{said}");
    assert!(lines[1].ends_with("empty: the directory holds no *.yaml, *.yml or *.json file"), "{said}");
    assert!(lines[2].ends_with("latin.yaml:2: it is not UTF-8 text"), "{said}");
}

#[test]
fn the_examples_are_read_without_a_word() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    for entry in fs::read_dir(&root).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && !path.ends_with("invalid") {
            let all = read(std::slice::from_ref(&path)).unwrap_or_else(|errors| panic!("{errors}"));
            assert!(all.warnings.is_empty(), "{:?}", all.warnings);
        }
    }
}

#[test]
fn the_examples_that_are_no_yaml_are_refused_with_their_line() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/invalid");
    let tab = read(&[root.join("yaml-tab.yaml")]).unwrap_err().to_string();
    assert!(tab.ends_with("yaml-tab.yaml:12: a line begins with a tab: YAML is indented with spaces"), "{tab}");
    let unquoted = read(&[root.join("yaml-unquoted-expression.yaml")]).unwrap_err().to_string();
    assert!(unquoted.contains("yaml-unquoted-expression.yaml:27: ") && unquoted.contains("in quotes"), "{unquoted}");
}
