//! `examples/`: the API server takes them all. `examples/invalid/`: one mistake a file. The first line says which; the
//! second says who notices, and how.

mod common;

use std::fs;
use std::path::PathBuf;

use common::cluster;
use common::strict::{Fate, create, errors};
use saga_operator::api::SagaDefinition;
use serde_json::Value;

const API_SERVER: &str = "# The API server says: ";
const CHECK: &str = "# Found by `saga-operator check` and the controller: ";
const NOT_YAML: &str = "# No YAML parser reads it.";

struct Example {
    name: String,
    text: String,
}

impl Example {
    fn second_line(&self) -> &str {
        self.text.lines().nth(1).unwrap_or_default()
    }

    fn yaml(&self) -> Result<Value, String> {
        serde_saphyr::from_str(&self.text).map_err(|error| error.to_string())
    }
}

/// The files whose second line begins so, with what follows there.
fn examples(noticed_by: &str) -> Vec<(Example, String)> {
    let matching = all().into_iter().filter_map(|example| {
        let rest = example.second_line().strip_prefix(noticed_by)?.to_owned();
        Some((example, rest))
    });
    matching.collect()
}

fn all() -> Vec<Example> {
    let directory = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("examples/invalid");
    let entries = fs::read_dir(directory).expect("failed to list the examples");
    let mut examples: Vec<_> = entries
        .map(|entry| entry.expect("failed to list the examples").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "yaml"))
        .map(|path| {
            let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            Example { name, text: fs::read_to_string(&path).expect("failed to read an example") }
        })
        .collect();
    examples.sort_by(|a, b| a.name.cmp(&b.name));
    examples
}

#[test]
fn every_example_says_its_mistake_and_who_notices() {
    let examples = all();
    assert!(examples.len() >= 60, "only {} examples", examples.len());
    for example in examples {
        let first = example.text.lines().next().unwrap_or_default();
        assert!(first.starts_with("# ") && first.ends_with('.'), "{}: {first}", example.name);
        let second = example.second_line();
        assert!(
            [API_SERVER, CHECK, NOT_YAML].iter().any(|form| second.starts_with(form)),
            "{}: {second}",
            example.name
        );
    }
}

/// The manifests of the other examples, by their path.
fn good() -> Vec<(String, Value)> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("examples");
    let list = |path: PathBuf| {
        let entries = fs::read_dir(path).expect("failed to list the examples");
        entries.map(|entry| entry.expect("failed to list the examples").path()).collect::<Vec<_>>()
    };
    let folders = list(root).into_iter().filter(|path| path.is_dir() && !path.ends_with("invalid"));
    let files = folders.flat_map(list).filter(|path| path.extension().is_some_and(|extension| extension == "yaml"));
    files
        .map(|path| {
            let text = fs::read_to_string(&path).expect("failed to read an example");
            (path.display().to_string(), serde_saphyr::from_str(&text).unwrap_or(Value::String(text)))
        })
        .collect()
}

#[tokio::test]
async fn the_api_server_takes_every_other_example() {
    let client = cluster::admin().await;
    cluster::install_crds(&client).await;
    let namespace = cluster::namespace(&client, "crd-examples").await;
    let ours = |object: &Value| object["apiVersion"] == "sagas.dev/v1alpha1";
    let manifests: Vec<_> = good().into_iter().filter(|(_, object)| ours(object)).collect();
    assert!(manifests.len() >= 17, "only {} manifests", manifests.len());
    for (path, object) in manifests {
        let refusal = create(&client, &namespace, &object, Fate::Checked).await.err();
        assert!(refusal.is_none(), "{path}: {}", refusal.map(|refusal| errors(&refusal)).unwrap_or_default());
    }
    cluster::leave_namespace(&client, &namespace).await;
}

#[tokio::test]
async fn the_first_decision_about_a_run_is_made_by_either_patch_and_the_second_by_none() {
    let client = cluster::admin().await;
    cluster::install_crds(&client).await;
    let namespace = cluster::namespace(&client, "crd-examples").await;
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("examples/interventions");
    let read = |name: &str| fs::read_to_string(folder.join(name)).expect("failed to read an example");
    for (index, (first, second)) in
        [("retry.patch", "by-hand.patch"), ("by-hand.patch", "retry.patch")].iter().enumerate()
    {
        let name = format!("order-{index}");
        let mut run: Value = serde_saphyr::from_str(&read("run.yaml")).expect("the run is YAML");
        run["metadata"]["name"] = Value::String(name.clone());
        create(&client, &namespace, &run, Fate::Stored).await.expect("the run is accepted");
        let patch = async |file: &str| {
            let path =
                format!("/apis/sagas.dev/v1alpha1/namespaces/{namespace}/sagaruns/{name}?fieldValidation=Strict");
            let request = http::Request::patch(path).header("Content-Type", "application/json-patch+json");
            let request = request.body(read(file).into_bytes()).expect("failed to make a request");
            client.request::<Value>(request).await
        };
        let answer = patch(first).await.expect("the first decision");
        assert_eq!(answer["spec"]["interventions"].as_array().map(Vec::len), Some(1), "{first}");
        let refusal = patch(second).await.err().map(|error| error.to_string()).unwrap_or_default();
        assert!(refusal.contains("must only be added to, at the end"), "{second}: {refusal}");
    }
    cluster::leave_namespace(&client, &namespace).await;
}

#[test]
fn what_is_not_yaml_is_not_read() {
    for (example, _) in examples(NOT_YAML) {
        assert!(example.yaml().is_err(), "{} is YAML", example.name);
    }
}

#[tokio::test]
async fn the_api_server_refuses_its_examples_for_their_one_mistake() {
    let client = cluster::admin().await;
    cluster::install_crds(&client).await;
    let namespace = cluster::namespace(&client, "crd-examples").await;
    for (example, expected) in examples(API_SERVER) {
        let name = &example.name;
        let object = example.yaml().unwrap_or_else(Value::String);
        let refusal = create(&client, &namespace, &object, Fate::Checked).await.err();
        let said = refusal.map_or_else(|| "accepted".to_owned(), |refusal| errors(&refusal));
        assert!(said.contains(&expected), "{name}: wanted '{expected}', got '{said}'");
        // After a wrong type or length the API server says, under no field, that it has not looked at the rules.
        let mistakes: Vec<_> = said.lines().filter(|line| !line.starts_with("<nil>: ")).collect();
        assert_eq!(mistakes.len(), 1, "{name}: {said}");
    }
    cluster::leave_namespace(&client, &namespace).await;
}

#[tokio::test]
async fn the_api_server_cannot_see_the_mistakes_that_check_finds() {
    let client = cluster::admin().await;
    cluster::install_crds(&client).await;
    let namespace = cluster::namespace(&client, "crd-examples").await;
    for (example, _) in examples(CHECK) {
        let name = &example.name;
        let object = example.yaml().unwrap_or_else(Value::String);
        let refusal = create(&client, &namespace, &object, Fate::Checked).await.err();
        assert!(refusal.is_none(), "{name}: {}", refusal.map(|refusal| errors(&refusal)).unwrap_or_default());
        let typed = serde_saphyr::from_str::<SagaDefinition>(&example.text);
        assert!(typed.is_ok(), "{name}: {}", typed.err().map(|error| error.to_string()).unwrap_or_default());
    }
    cluster::leave_namespace(&client, &namespace).await;
}
