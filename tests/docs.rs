//! What the documentation and the examples say is there, is there; and what users meet is documented.

use std::collections::BTreeMap;
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

use saga_operator::api::condition::{COMPLETED, READY, RECONCILING, STALLED, SUCCEEDED};
use saga_operator::api::names::header;
use saga_operator::api::{Reason, SagaDefinition, SagaRun};
use saga_operator::observe::metrics;
use saga_operator::saga::{Definition, Occasion};
use serde_json::Value;

/// Headers of the operator, in the order of `names::header`.
const HEADERS: [&str; 10] = [
    header::IDEMPOTENCY_KEY,
    header::RUN,
    header::RUN_UID,
    header::STEP,
    header::DIRECTION,
    header::ATTEMPT,
    header::FENCE,
    header::DEADLINE,
    header::FORWARD_OUTCOME,
    header::TRACEPARENT,
];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &Path) -> String {
    let text = fs::read_to_string(path);
    assert!(text.is_ok(), "failed to read {}", path.display());
    text.unwrap_or_default()
}

fn page(name: &str) -> String {
    read(&root().join("docs").join(name))
}

/// Files below `directory` that end so, sorted.
fn files(directory: &Path, extension: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).expect("failed to list a directory");
    let mut found = Vec::new();
    for path in entries.map(|entry| entry.expect("failed to list a directory").path()) {
        if path.is_dir() {
            found.extend(files(&path, extension));
        } else if path.extension().is_some_and(|own| own == extension) {
            found.push(path);
        }
    }
    found.sort();
    found
}

fn missing<'a>(names: impl IntoIterator<Item = &'a str>, text: &str) -> Vec<&'a str> {
    names.into_iter().filter(|name| !text.contains(&format!("`{name}`"))).collect()
}

#[test]
fn every_reason_is_explained() {
    let names = Reason::ALL.iter().map(|reason| reason.as_str());
    assert_eq!(missing(names, &page("troubleshooting.md")), Vec::<&str>::new(), "not in docs/troubleshooting.md");
}

#[test]
fn every_occasion_is_explained() {
    let names = Occasion::ALL.iter().map(|occasion| occasion.as_str());
    assert_eq!(missing(names, &page("troubleshooting.md")), Vec::<&str>::new(), "not in docs/troubleshooting.md");
}

#[test]
fn no_reason_or_occasion_is_explained_that_does_not_exist() {
    let text = page("troubleshooting.md");
    let reasons = Reason::ALL.iter().map(|reason| reason.as_str());
    let known: Vec<_> = reasons.chain(Occasion::ALL.iter().map(|occasion| occasion.as_str())).collect();
    // The first cell of a row: one name or several, in backquotes.
    let cells = text.lines().filter_map(|line| line.strip_prefix("| `")?.split(" |").next());
    let names = cells.flat_map(|cell| cell.split('`').step_by(2)).filter(|name| !name.starts_with([',', ' ']));
    let unknown: Vec<_> = names.filter(|name| !name.is_empty() && !known.contains(name)).collect();
    assert_eq!(unknown, Vec::<&str>::new());
}

#[test]
fn every_condition_is_explained() {
    let names = [READY, SUCCEEDED, COMPLETED, RECONCILING, STALLED];
    assert_eq!(missing(names, &page("semantics.md")), Vec::<&str>::new(), "not in docs/semantics.md");
}

#[test]
fn every_metric_is_explained() {
    let page = page("high-availability.md");
    for name in [metrics::LEADS, metrics::TERMS, metrics::DRIVEN, metrics::WATCH_SILENCE, metrics::ELECTOR_SILENCE] {
        assert!(page.contains(&format!("| `{name}")), "{name}");
    }
}

#[test]
fn every_header_is_explained() {
    let text = page("participants.md").to_ascii_lowercase();
    assert_eq!(missing(HEADERS, &text), Vec::<&str>::new(), "not in docs/participants.md");
}

/// Manifests that belong together: runs refer to definitions among them.
#[derive(Default)]
struct Manifests {
    definitions: Vec<(String, Definition)>,
    runs: Vec<SagaRun>,
}

impl Manifests {
    fn add(&mut self, text: &str) -> Result<(), Box<dyn Error>> {
        for document in serde_saphyr::from_multiple::<Value>(text)? {
            match document["kind"].as_str() {
                Some("SagaDefinition") => {
                    let definition: SagaDefinition = serde_json::from_value(document)?;
                    let compiled = Definition::compile(&definition.spec, "example");
                    let compiled = compiled.map_err(|problems| format!("{problems:?}"))?;
                    self.definitions.push((definition.metadata.name.unwrap_or_default(), compiled));
                }
                Some("SagaRun") => self.runs.push(serde_json::from_value(document)?),
                Some("Secret") => {}
                other => return Err(format!("unexpected kind {other:?}").into()),
            }
        }
        Ok(())
    }

    /// Every run has its definition, and an input that it accepts.
    fn check(&self) -> Result<(), String> {
        for run in &self.runs {
            let wanted = &run.spec.definition_ref.name;
            let definition = self.definitions.iter().find(|(name, _)| name == wanted);
            let (_, definition) =
                definition.ok_or_else(|| format!("there is no definition '{wanted}' beside the run"))?;
            definition.check_input(&Value::Object(run.spec.input.clone()))?;
        }
        Ok(())
    }
}

#[test]
fn every_example_is_read_and_compiles() -> Result<(), Box<dyn Error>> {
    let mut examples = BTreeMap::<PathBuf, Manifests>::new();
    for path in files(&root().join("examples"), "yaml") {
        if path.components().any(|part| part.as_os_str() == "invalid") {
            continue;
        }
        let directory = path.parent().map(Path::to_owned).unwrap_or_default();
        let added = examples.entry(directory).or_default().add(&read(&path));
        added.map_err(|error| format!("{}: {error}", path.display()))?;
    }
    assert!(examples.len() >= 3, "only {} examples", examples.len());
    for (directory, manifests) in examples {
        assert!(!manifests.runs.is_empty(), "{} has no run", directory.display());
        manifests.check().map_err(|error| format!("{}: {error}", directory.display()))?;
    }
    Ok(())
}

#[test]
fn the_saga_of_the_readme_is_read_and_compiles() -> Result<(), Box<dyn Error>> {
    let readme = read(&root().join("README.md"));
    let mut manifests = Manifests::default();
    for block in readme.split("```yaml\n").skip(1).filter_map(|rest| Some(rest.split_once("```")?.0)) {
        manifests.add(block)?;
    }
    assert_eq!((manifests.definitions.len(), manifests.runs.len()), (1, 1));
    Ok(manifests.check()?)
}

#[test]
fn every_example_says_what_to_watch() {
    for path in files(&root().join("examples"), "yaml") {
        let readme = path.with_file_name("README.md");
        assert!(readme.is_file(), "{} has no README.md beside it", path.display());
    }
}

#[test]
fn every_relative_link_leads_to_a_file() {
    let mut pages: Vec<PathBuf> =
        ["README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md"].map(|name| root().join(name)).into();
    pages.extend(files(&root().join("docs"), "md"));
    pages.extend(files(&root().join("examples"), "md"));
    let mut broken = Vec::new();
    for path in pages {
        for link in links(&read(&path)) {
            let Some(directory) = path.parent() else { continue };
            let (file, anchor) = link.split_once('#').unwrap_or((&link, ""));
            let target = if file.is_empty() { path.clone() } else { directory.join(file) };
            let there = target.exists() && (anchor.is_empty() || headings(&read(&target)).contains(&anchor.to_owned()));
            if !there {
                broken.push(format!("{}: {link}", path.display()));
            }
        }
    }
    assert_eq!(broken, Vec::<String>::new());
}

/// Targets of `[text](target)` outside of code, without those that leave the repository.
fn links(text: &str) -> Vec<String> {
    let prose: String = without_code(text);
    let targets =
        prose.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(target, _)| target.to_owned());
    targets.filter(|target| !target.contains("://") && !target.starts_with("mailto:")).collect()
}

fn without_code(text: &str) -> String {
    let mut inside = false;
    let lines = text.lines().filter(|line| {
        let fence = line.trim_start().starts_with("```");
        inside ^= fence;
        !inside && !fence
    });
    // Code within a line: every second part between backquotes.
    let prose = lines.map(|line| line.split('`').step_by(2).collect::<Vec<_>>().join("")).collect::<Vec<_>>();
    prose.join("\n")
}

/// Anchors of the headings, as GitHub makes them.
fn headings(text: &str) -> Vec<String> {
    let titles = text.lines().filter(|line| line.starts_with('#')).map(|line| line.trim_start_matches('#').trim());
    let anchor = |title: &str| {
        let kept = title.to_lowercase();
        kept.chars()
            .filter(|letter| letter.is_alphanumeric() || matches!(letter, ' ' | '-' | '_'))
            .map(|letter| if letter == ' ' { '-' } else { letter })
            .collect()
    };
    titles.map(anchor).collect()
}
