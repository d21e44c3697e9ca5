//! Helm, as users run it.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;

/// The operator's chart.
pub(crate) const CHART: &str = "charts/saga-operator";
/// That of the kinds.
pub(crate) const KINDS: &str = "charts/saga-operator-crds";
/// What a present API server has and Helm alone does not know of.
pub(crate) const SERVED: [&str; 2] = ["sagas.dev/v1alpha1", "admissionregistration.k8s.io/v1/MutatingAdmissionPolicy"];
/// What a Prometheus operator serves.
pub(crate) const MONITORED: [&str; 3] = [
    "monitoring.coreos.com/v1/ServiceMonitor",
    "monitoring.coreos.com/v1/PodMonitor",
    "monitoring.coreos.com/v1/PrometheusRule",
];
/// The release and the namespace of [`Helm::render`].
pub(crate) const RELEASE: &str = "saga-operator";
pub(crate) const NAMESPACE: &str = "saga-system";

/// One of the two programs. It keeps nothing between tests.
pub(crate) struct Helm {
    program: PathBuf,
    home: TempDir,
}

impl Helm {
    pub(crate) fn three() -> Self {
        Self::named("SAGA_TEST_HELM3")
    }

    pub(crate) fn four() -> Self {
        Self::named("SAGA_TEST_HELM4")
    }

    fn named(variable: &str) -> Self {
        let wanted = format!("{variable} is not set: run `cargo xtask test`, or eval \"$(cargo xtask helm)\"");
        let program = std::env::var_os(variable).ok_or(wanted).expect("Helm");
        Self { program: program.into(), home: tempfile::tempdir().expect("a directory") }
    }

    /// Runs it in the project's directory.
    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(&self.program);
        command.args(arguments).current_dir(env!("CARGO_MANIFEST_DIR"));
        for name in ["HELM_CACHE_HOME", "HELM_CONFIG_HOME", "HELM_DATA_HOME"] {
            command.env(name, self.home.path());
        }
        command.output().expect("Helm runs")
    }

    /// What a chart becomes, as text; what Helm complains of.
    pub(crate) fn text(&self, chart: &str, values: &Value, more: &[&str]) -> Result<String, String> {
        let file = self.values(values);
        let mut arguments = vec!["template", RELEASE, chart, "--namespace", NAMESPACE, "--values"];
        arguments.push(file.path().to_str().expect("a path in words"));
        arguments.extend(more);
        let output = self.run(&arguments);
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
    }

    /// The objects of the operator's chart on an API server that has everything.
    pub(crate) fn render(&self, values: &Value) -> Result<Vec<Value>, String> {
        let served = SERVED.iter().chain(&MONITORED).flat_map(|kind| ["--api-versions", kind]);
        let more: Vec<_> = ["--kube-version", "1.36.0"].into_iter().chain(served).collect();
        Ok(objects(&self.text(CHART, values, &more)?))
    }

    /// A file of values; JSON is YAML, too.
    pub(crate) fn values(&self, values: &Value) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new_in(self.home.path()).expect("a file");
        std::fs::write(file.path(), values.to_string()).expect("written");
        file
    }
}

/// The objects of a YAML stream.
pub(crate) fn objects(text: &str) -> Vec<Value> {
    let all: Vec<Value> = serde_saphyr::from_multiple(text).expect("YAML");
    all.into_iter().filter(|object| !object.is_null()).collect()
}

/// Kind and name, for messages.
pub(crate) fn name(object: &Value) -> String {
    let text = |path| object.pointer(path).and_then(Value::as_str).unwrap_or("?");
    format!("{} {}", text("/kind"), text("/metadata/name"))
}

/// A file of the project.
pub(crate) fn read(path: impl AsRef<Path>) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    std::fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display())).expect("a file")
}

/// Values with one of them set: `at(json!({}), "image.tag", json!("1"))`.
pub(crate) fn at(mut values: Value, path: &str, value: Value) -> Value {
    let mut here = &mut values;
    for key in path.split('.') {
        here = &mut here[key];
    }
    *here = value;
    values
}

/// The leaves of the schema of the values, by their paths: what users may set.
pub(crate) fn leaves(chart: &str) -> Vec<(String, Value)> {
    fn walk(prefix: &str, schema: &Value, found: &mut Vec<(String, Value)>) {
        for (key, inner) in schema["properties"].as_object().into_iter().flatten() {
            let path = if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") };
            // Groups have no default of their own.
            if inner.get("default").is_some() {
                found.push((path, inner.clone()));
            } else {
                walk(&path, inner, found);
            }
        }
    }
    let schema = serde_json::from_str(&read(format!("{chart}/values.schema.json"))).expect("JSON");
    let mut found = Vec::new();
    walk("", &schema, &mut found);
    assert!(found.len() > 1, "{chart} has no values");
    found
}
