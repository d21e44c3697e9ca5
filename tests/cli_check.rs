//! `saga-operator check`: what a cluster would refuse is refused, and named in the same words.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

const API_SERVER: &str = "# The API server says: ";
const CHECK: &str = "# Found by `saga-operator check` and the controller: ";
/// Where a rule is about the whole list, the API server cannot say which item breaks it.
const CLOSER: &str = "# `saga-operator check` says: ";
const NOT_YAML: &str = "# No YAML parser reads it.";

struct Said {
    code: Option<i32>,
    out: String,
    err: String,
}

fn check(arguments: &[&str]) -> Said {
    let output = Command::new(env!("CARGO_BIN_EXE_saga-operator"))
        .arg("check")
        .args(arguments)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .stdin(Stdio::null())
        .output()
        .expect("failed to run the operator");
    Said {
        code: output.status.code(),
        out: String::from_utf8_lossy(&output.stdout).into_owned(),
        err: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

fn json(arguments: &[&str]) -> (Option<i32>, Value) {
    let said = check(&[&["-o", "json"], arguments].concat());
    let report = serde_json::from_str(&said.out);
    assert!(report.is_ok(), "not JSON: {}", said.out);
    (said.code, report.unwrap_or_default())
}

fn entries(directory: &str) -> Vec<PathBuf> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join(directory);
    let entries = fs::read_dir(directory).expect("failed to list a directory");
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("failed to list a directory").path()).collect();
    paths.sort();
    paths
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a path that is text")
}

/// A file that is gone with the directory.
fn file(directory: &tempfile::TempDir, name: &str, content: &str) -> String {
    let path = directory.path().join(name);
    fs::write(&path, content).expect("failed to write a file");
    text(&path).to_owned()
}

fn directory() -> tempfile::TempDir {
    tempfile::tempdir().expect("failed to make a directory")
}

const DEFINITION: &str = r#"apiVersion: sagas.dev/v1alpha1
kind: SagaDefinition
metadata: {name: order}
spec:
  activeDeadlineSeconds: 60
  inputSchema: {type: object, required: [id], properties: {id: {type: string}}}
  steps:
  - name: reserve
    action: {http: {url: "http://stock.shop.svc/${input.id}"}}
    compensation: {http: {url: "http://stock.shop.svc/releases"}}
"#;

const RUN: &str = r#"apiVersion: sagas.dev/v1alpha1
kind: SagaRun
metadata: {name: order-1}
spec:
  definitionRef: {name: order}
  input:
    id: a
"#;

#[test]
fn every_invalid_example_is_refused_for_its_one_mistake() {
    let files: Vec<PathBuf> = entries("examples/invalid")
        .into_iter()
        .filter(|path| path.extension().is_some_and(|extension| extension == "yaml"))
        .collect();
    assert!(files.len() >= 60, "only {} examples", files.len());
    for path in files {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let content = fs::read_to_string(&path).expect("failed to read an example");
        let expected = content.lines().nth(1).unwrap_or_default();
        let closer = content.lines().nth(2).and_then(|line| line.strip_prefix(CLOSER));
        let (code, report) = json(&[text(&path)]);
        if expected == NOT_YAML {
            assert_eq!(code, Some(2), "{name}: {report}");
            assert!(report["unusable"][0]["line"].as_u64().is_some_and(|line| line > 2), "{name}: {report}");
            continue;
        }
        assert_eq!(code, Some(1), "{name}: {report}");
        let mistakes = report["mistakes"].as_array().cloned().unwrap_or_default();
        assert_eq!(mistakes.len(), 1, "{name}: {report:#}");
        let said = |member: &str| mistakes[0][member].as_str().unwrap_or_default();
        let found = if let Some(found) = expected.strip_prefix(CHECK) {
            assert_eq!(found, format!("{} at {}", said("reason"), said("field")), "{name}");
            continue;
        } else {
            expected.strip_prefix(API_SERVER).unwrap_or("the second line has no known form")
        };
        let words = format!("{}: {}", said("field"), said("message"));
        if let Some(closer) = closer {
            assert_eq!(words, closer, "{name}");
            continue;
        }
        assert!(words.contains(found), "{name}: wanted '{found}', got '{words}'");
    }
}

#[test]
fn every_other_example_passes_without_a_warning() {
    for path in entries("examples").into_iter().filter(|path| path.is_dir() && !path.ends_with("invalid")) {
        let (code, report) = json(&[text(&path)]);
        assert_eq!(code, Some(0), "{}: {report:#}", path.display());
        assert_eq!(report["warnings"], serde_json::json!([]), "{}", path.display());
        assert!(report["checked"].as_u64().is_some_and(|checked| checked > 1), "{report}");
    }
}

/// Sixty-four steps, each with three calls.
fn long_saga(name: impl Fn(usize) -> String, more: &str) -> String {
    let call = |what: &str| format!("{{http: {{url: \"http://shop.svc/{what}\"}}}}");
    let step = |index: usize| {
        format!(
            "  - name: {}\n    dependsOn: [{}]\n    action: {}\n    confirm: {}\n    compensation: {}\n    outputs: [{{name: \
             id, value: \"${{response.body.id}}\"}}]\n",
            name(index),
            (0..index).map(&name).collect::<Vec<_>>().join(", "),
            call("try"),
            call("confirm"),
            call("cancel"),
        )
    };
    let head = DEFINITION.split("  steps:").next().unwrap_or_default();
    format!("{head}{more}  steps:\n{}", (0..64).map(step).collect::<String>())
}

#[test]
fn sixty_four_steps_of_ordinary_names_are_accepted_and_of_the_longest_only_with_less_to_say() {
    let directory = directory();
    let check = |text: &str| json(&[&file(&directory, "a.yaml", text)]);
    let ordinary = |index: usize| format!("reserveStockOfWarehouse{index}");
    let longest = |index: usize| format!("{}{index:02}", "s".repeat(61));
    let careless = "  compensationPolicy: {onExhausted: Continue}\n";
    let (code, report) = check(&long_saga(ordinary, careless));
    assert_eq!(code, Some(0), "{report:#}");
    let (code, report) = check(&long_saga(longest, careless));
    assert_eq!(code, Some(1), "{report:#}");
    let mistake = |member: &str| report["mistakes"][0][member].as_str().unwrap_or_default();
    assert_eq!((mistake("reason"), mistake("field")), ("TooLarge", "spec.steps"), "{report:#}");
    assert!(mistake("message").contains("at most 65536 are stored; use "), "{report:#}");
}

#[test]
fn a_mistake_in_the_graph_does_not_hide_another_that_has_nothing_to_do_with_it() {
    let directory = directory();
    let second = "  - name: second\n    dependsOn: [third]\n    role: ReadOnly\n    action: {http: {url: \"http://a.svc/${x}\"}}\n";
    let third = "  - name: third\n    action: {http: {url: \"http://a.svc/\"}}\n";
    let path = file(&directory, "a.yaml", &format!("{DEFINITION}{second}{third}"));
    let (code, report) = json(&[&path]);
    assert_eq!(code, Some(1), "{report:#}");
    let fields: Vec<&str> =
        report["mistakes"].as_array().into_iter().flatten().filter_map(|mistake| mistake["field"].as_str()).collect();
    assert_eq!(
        fields,
        ["spec.steps[1].dependsOn[0]", "spec.steps[1].action.http.url", "spec.steps[2].compensation"],
        "{report:#}"
    );
}

#[test]
fn a_mistake_is_one_line_that_says_where() {
    let directory = directory();
    let path = file(&directory, "a.yaml", &DEFINITION.replace("input.id", "inputs.id"));
    let said = check(&[&path]);
    assert_eq!(said.code, Some(1), "{}", said.err);
    let first = said.out.lines().next().unwrap_or_default();
    assert!(first.starts_with(&format!("{path}:9: sagadefinition/order: spec.steps[0].action.http.url: ")), "{first}");
    assert!(first.ends_with("(InvalidExpression)"), "{first}");
    assert!(said.out.ends_with("1 manifest: 1 mistake, 0 warnings\n"), "{}", said.out);
}

#[test]
fn all_mistakes_of_a_body_are_named_at_their_lines() {
    let body = "\n      body:\n        a: \"${x}\"\n        fine: \"${input.id}\"\n        b: [\"${y}\"]\n";
    let action = "action: {http: {url: \"http://stock.shop.svc/${input.id}\"}}\n";
    let with_body = format!("action:\n     http:\n      url: http://stock.shop.svc/{body}");
    let directory = directory();
    let path = file(&directory, "a.yaml", &DEFINITION.replace(action, &with_body));
    let (code, report) = json(&[&path]);
    assert_eq!(code, Some(1), "{report:#}");
    let at = |index: usize| (report["mistakes"][index]["field"].clone(), report["mistakes"][index]["line"].clone());
    assert_eq!(at(0), ("spec.steps[0].action.http.body.a".into(), 13.into()), "{report:#}");
    assert_eq!(at(1), ("spec.steps[0].action.http.body.b[0]".into(), 15.into()), "{report:#}");
    assert_eq!(report["mistakes"].as_array().map(Vec::len), Some(2));
}

#[test]
fn a_warning_does_not_fail() {
    let directory = directory();
    let path = file(&directory, "a.yaml", &DEFINITION.replace("  activeDeadlineSeconds: 60\n", ""));
    let said = check(&[&path]);
    assert_eq!(said.code, Some(0), "{}", said.out);
    assert!(said.out.contains(":4: warning: sagadefinition/order: spec.activeDeadlineSeconds: "), "{}", said.out);
}

#[test]
fn the_input_of_a_run_is_checked_against_its_definition() {
    let directory = directory();
    let path = file(&directory, "a.yaml", &format!("{DEFINITION}---\n{}", RUN.replace("id: a", "id: 7")));
    let (code, report) = json(&[&path]);
    assert_eq!(code, Some(1), "{report:#}");
    let mistake = &report["mistakes"][0];
    assert_eq!((&mistake["reason"], &mistake["field"]), (&"InvalidInput".into(), &"spec.input.id".into()), "{mistake}");
    assert_eq!(mistake["line"], 18, "{mistake}");
    assert!(!mistake["message"].as_str().unwrap_or_default().contains('7'), "the value is not repeated: {mistake}");
}

#[test]
fn a_run_of_an_unknown_definition_says_that_its_input_was_not_checked() {
    let directory = directory();
    let path = file(&directory, "run.yaml", RUN);
    let said = check(&[&path]);
    assert_eq!(said.code, Some(0), "{}", said.out);
    assert!(said.out.contains("warning") && said.out.contains("was not checked"), "{}", said.out);
}

#[test]
fn a_run_and_its_definition_may_stand_in_two_files_in_any_order() {
    let directory = directory();
    let run = file(&directory, "a.yaml", RUN);
    let definition = file(&directory, "b.yaml", DEFINITION);
    let said = check(&[&run, &definition]);
    assert_eq!((said.code, said.out.as_str()), (Some(0), "2 manifests: 0 mistakes, 0 warnings\n"));
    let said = check(&[text(directory.path())]);
    assert_eq!((said.code, said.out.as_str()), (Some(0), "2 manifests: 0 mistakes, 0 warnings\n"));
}

#[test]
fn what_kubectl_would_read_differently_is_a_warning() {
    let directory = directory();
    let path = file(
        &directory,
        "a.yaml",
        &format!("{DEFINITION}---\n{}", RUN.replace("id: a", "id: a\n    y: 1\n    z: null")),
    );
    let said = check(&[&path]);
    assert_eq!(said.code, Some(0), "{}", said.out);
    assert!(said.out.contains(":19: warning: ") && said.out.contains("as a boolean"), "{}", said.out);
    assert!(said.out.contains(":20: warning: ") && said.out.contains("`kubectl apply` deletes"), "{}", said.out);
}

#[test]
fn a_missing_file_is_unusable() {
    let said = check(&["no-such-file.yaml"]);
    assert_eq!(said.code, Some(2));
    assert!(said.err.starts_with("error: no-such-file.yaml: there is no such file"), "{}", said.err);
}

#[test]
fn an_empty_directory_and_an_empty_file_are_unusable() {
    let directory = directory();
    assert_eq!(check(&[text(directory.path())]).code, Some(2));
    let path = file(&directory, "a.yaml", "# nothing\n");
    assert_eq!(check(&[&path]).code, Some(2));
}

#[test]
fn what_is_not_yaml_is_unusable_and_has_a_line() {
    let directory = directory();
    let path = file(&directory, "a.yaml", "a: 1\nb: [\n");
    let said = check(&[&path]);
    assert_eq!(said.code, Some(2));
    assert!(said.err.starts_with(&format!("error: {path}:2: ")), "{}", said.err);
}

#[test]
fn a_foreign_document_is_unusable_and_has_a_line() {
    let directory = directory();
    let foreign = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n";
    let path = file(&directory, "a.yaml", &format!("{DEFINITION}---\n{foreign}"));
    let said = check(&[&path]);
    assert_eq!(said.code, Some(2));
    assert!(said.err.starts_with(&format!("error: {path}:12: ")), "{}", said.err);
    assert!(said.err.contains("\"ConfigMap\""), "{}", said.err);
    let (code, report) = json(&[&path]);
    assert_eq!((code, &report["unusable"][0]["line"], &report["checked"]), (Some(2), &12.into(), &1.into()));
}

#[test]
fn a_mistake_in_one_file_does_not_hide_those_of_another() {
    let directory = directory();
    let broken = file(&directory, "a.yaml", "a: [\n");
    let wrong = file(&directory, "b.yaml", &DEFINITION.replace("metadata: {name: order}", "metadata: {name: Order_1}"));
    let (code, report) = json(&[&broken, &wrong]);
    assert_eq!(code, Some(2));
    assert_eq!(report["mistakes"][0]["field"], "metadata.name", "{report:#}");
}

#[test]
fn a_password_in_a_url_is_not_repeated() {
    let said = check(&["examples/invalid/url-with-password.yaml"]);
    assert_eq!(said.code, Some(1));
    assert!(!said.out.contains("shop:"), "{}", said.out);
}

#[test]
fn two_objects_of_a_name_are_a_mistake() {
    let directory = directory();
    let path = file(&directory, "a.yaml", &format!("{DEFINITION}---\n{DEFINITION}"));
    let (code, report) = json(&[&path]);
    assert_eq!(code, Some(1), "{report:#}");
    let message = report["mistakes"][0]["message"].as_str().unwrap_or_default();
    assert!(message.contains(&format!("{path}:1 too")), "{report:#}");
    assert_eq!(report["mistakes"][0]["line"], 14);
}

#[test]
fn an_expression_that_a_comment_cuts_short_is_named() {
    let directory = directory();
    let text = DEFINITION.replace("\"http://stock.shop.svc/${input.id}\"", "http://stock.shop.svc/${input.id #}");
    let text = text.replace("action: {http: {", "action:\n      http:\n        ").replace("#}}}\n", "#}\n");
    let path = file(&directory, "a.yaml", &text);
    let said = check(&[&path]);
    assert_eq!(said.code, Some(1), "{}{}", said.out, said.err);
    assert!(said.out.contains("begins a comment"), "{}", said.out);
}

#[test]
fn a_large_definition_full_of_mistakes_is_judged_in_time() {
    let strings: String = (0..100).map(|n| format!("        k{n}: \"${{nothing + {n}}}\"\n")).collect();
    let step = |n: usize| {
        let call = format!("http:\n       url: http://a.b/c\n       body:\n{strings}");
        format!("  - name: s{n}\n    role: ReadOnly\n    action:\n      {call}")
    };
    let head = DEFINITION.split("  - name").next().unwrap_or_default();
    let text = format!("{head}{}", (0..64).map(step).collect::<String>());
    let directory = directory();
    let path = file(&directory, "a.yaml", &text);
    let begun = std::time::Instant::now();
    let (code, report) = json(&[&path]);
    assert_eq!((code, report["mistakes"].as_array().map(Vec::len)), (Some(1), Some(6400)));
    assert!(begun.elapsed().as_secs() < 60, "{:?}", begun.elapsed());
}
