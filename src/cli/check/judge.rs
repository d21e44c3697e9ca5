//! Judges documents: the CRD's schema and rules, then the compiler that the controller uses, then the inputs of runs.

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::document::Document;
use super::finding::{Finding, Severity};
use super::narrow::narrowed;
use super::schema::{Mistake, Schema, SchemaError};
use crate::api::names::{GROUP, VERSION};
use crate::api::{Reason, SagaDefinitionSpec, SagaRunSpec};
use crate::cli::manifest::Remark;
use crate::cli::manifest::untyped::Untyped;
use crate::saga::{self, Definition, Problem};

/// What manifests hold, and what is wrong with it.
#[derive(Debug, Default)]
pub(in crate::cli) struct Verdict {
    /// Definitions whose shape is right; they may be refused all the same.
    pub(in crate::cli) definitions: Vec<Judged<SagaDefinitionSpec>>,
    /// Runs whose shape is right.
    pub(in crate::cli) runs: Vec<Judged<SagaRunSpec>>,
    /// Mistakes and warnings, by file and line.
    pub(in crate::cli) findings: Vec<Finding>,
    /// What could not be read.
    pub(in crate::cli) unreadable: Vec<Remark>,
    /// Documents of both kinds.
    pub(in crate::cli) checked: usize,
}

/// An object and the document that it stands in.
#[derive(Debug)]
pub(in crate::cli) struct Judged<T> {
    /// With defaults filled in.
    pub(in crate::cli) spec: T,
    /// Where it stands.
    pub(in crate::cli) document: Document,
    /// A definition that can be run.
    pub(in crate::cli) compiled: Option<Definition>,
}

impl<T> Judged<T> {
    /// The name of the object.
    pub(in crate::cli) fn name(&self) -> &str {
        self.document.metadata("name")
    }
}

impl Verdict {
    /// Whether something is refused.
    pub(in crate::cli) fn has_mistakes(&self) -> bool {
        self.findings.iter().any(|finding| finding.severity == Severity::Mistake)
    }

    /// The definition of a run, where it is among the manifests: of its namespace, as far as both name one.
    pub(in crate::cli) fn definition_of(&self, run: &Judged<SagaRunSpec>) -> Option<&Judged<SagaDefinitionSpec>> {
        let namespace = run.document.metadata("namespace");
        self.definitions.iter().find(|definition| {
            let own = definition.document.metadata("namespace");
            definition.name() == run.spec.definition_ref.name
                && (own == namespace || own.is_empty() || namespace.is_empty())
        })
    }
}

/// Judges documents.
pub(in crate::cli) fn judge(documents: Vec<Untyped>, unreadable: Vec<Remark>) -> Result<Verdict, SchemaError> {
    let schemas = Schema::all()?;
    let mut verdict = Verdict { unreadable, ..Verdict::default() };
    for document in documents.into_iter().map(Document::new) {
        match schema(&schemas, &document) {
            Ok((kind, schema)) => {
                verdict.checked += 1;
                if kind == "SagaRun" {
                    verdict.run(schema, document);
                } else {
                    verdict.definition(schema, document);
                }
            }
            Err(foreign) => verdict.unreadable.push(foreign),
        }
    }
    verdict.inputs();
    verdict.findings.sort_by(|a, b| (&a.file, a.line, &a.field).cmp(&(&b.file, b.line, &b.field)));
    Ok(verdict)
}

/// The schema of a document.
fn schema<'a>(schemas: &'a [(String, Schema)], document: &Document) -> Result<(&'a str, &'a Schema), Remark> {
    let version = document.value()["apiVersion"].as_str().unwrap_or_default();
    let kind = document.value()["kind"].as_str().unwrap_or_default();
    match schemas.iter().find(|(known, _)| known == kind) {
        Some((kind, schema)) if version == format!("{GROUP}/{VERSION}") => Ok((kind.as_str(), schema)),
        Some(_) | None => {
            let message = format!(
                "it has apiVersion {version:?} and kind {kind:?}, and only SagaDefinition and SagaRun of \
                 {GROUP}/{VERSION}, and Secret of v1, are known here"
            );
            Err(Remark { place: document.place().clone(), message })
        }
    }
}

impl Verdict {
    fn definition(&mut self, schema: &Schema, document: Document) {
        let Some((spec, mistakes)) = self.shape::<SagaDefinitionSpec>(schema, &document) else { return };
        let (compiled, problems) = match Definition::compile(&spec, "check") {
            Ok(compiled) => (Some(compiled), Vec::new()),
            Err(problems) => (None, narrowed(&spec, problems)),
        };
        let compiled = compiled.filter(|_| mistakes.is_empty());
        let (mistakes, problems) = said_once(mistakes, problems);
        self.refuse(&document, mistakes);
        for problem in problems {
            let reason = problem.reason.as_str();
            self.findings.push(Finding::mistake(&document, &problem.field, reason, problem.message));
        }
        self.warn(&document, saga::warnings(&spec));
        self.findings.extend(again(self.definitions.iter().map(|known| &known.document), &document));
        self.definitions.push(Judged { spec, document, compiled });
    }

    fn run(&mut self, schema: &Schema, document: Document) {
        let Some((spec, mistakes)) = self.shape::<SagaRunSpec>(schema, &document) else { return };
        self.refuse(&document, mistakes);
        self.warn(&document, saga::input_warnings(&spec.input));
        self.findings.extend(again(self.runs.iter().map(|known| &known.document), &document));
        self.runs.push(Judged { spec, document, compiled: None });
    }

    /// Where the reader has warned already, it knows better how the value is written.
    fn warn(&mut self, document: &Document, warnings: Vec<Problem>) {
        let known: Vec<String> = document.warnings().map(|(field, _)| field).collect();
        let new = warnings.into_iter().filter(|warning| !known.contains(&warning.field));
        self.findings.extend(new.map(|warning| Finding::warning(document, &warning.field, warning.message)));
    }

    fn refuse(&mut self, document: &Document, mistakes: Vec<Mistake>) {
        let refused = mistakes.into_iter();
        self.findings
            .extend(refused.map(|Mistake { field, message }| Finding::mistake(document, &field, "Invalid", message)));
    }

    /// What the API server says, with the object; where its types are wrong, no more can be said than that.
    fn shape<T: DeserializeOwned>(&mut self, schema: &Schema, document: &Document) -> Option<(T, Vec<Mistake>)> {
        for (field, message) in document.warnings() {
            self.findings.push(Finding::warning(document, &field, message.to_owned()));
        }
        for (field, message) in document.errors() {
            self.findings.push(Finding::mistake(document, &field, "Invalid", message.to_owned()));
        }
        let mut object = document.value().clone();
        let mistakes = schema.judge(&mut object);
        match serde_json::from_value(object["spec"].take()) {
            Ok(spec) => Some((spec, mistakes)),
            Err(error) => {
                if mistakes.is_empty() {
                    self.findings.push(Finding::mistake(document, "spec", "Invalid", error.to_string()));
                }
                self.refuse(document, mistakes);
                None
            }
        }
    }

    /// Checks the inputs of runs whose definitions are there.
    fn inputs(&mut self) {
        let mut found = Vec::new();
        for run in &self.runs {
            let Some(definition) = self.definition_of(run) else {
                let name = &run.spec.definition_ref.name;
                let message = format!("the definition {name:?} is not among the manifests: the input was not checked");
                found.push(Finding::warning(&run.document, "spec.definitionRef.name", message));
                continue;
            };
            let Some(compiled) = &definition.compiled else { continue };
            if let Err(message) = compiled.check_input(&Value::Object(run.spec.input.clone())) {
                let reason = Reason::InvalidInput.as_str();
                found.push(Finding::mistake(&run.document, &input_field(&message, run), reason, message));
            }
        }
        self.findings.append(&mut found);
    }
}

/// The core states again what the API server refuses, for objects older than a rule: what is said once is enough. Of a
/// rule on the whole list of steps the core knows which step breaks it, and so says it better.
fn said_once(mistakes: Vec<Mistake>, problems: Vec<Problem>) -> (Vec<Mistake>, Vec<Problem>) {
    const LIST: &str = "spec.steps";
    let (about_list, mut mistakes): (Vec<_>, Vec<_>) = mistakes.into_iter().partition(|mistake| mistake.field == LIST);
    let same = |mistake: &Mistake, problem: &Problem| {
        problem.field.starts_with(&mistake.field) || mistake.field.starts_with(&problem.field)
    };
    let graph = |problem: &Problem| problem.reason == Reason::InvalidGraph;
    let new = |problem: &Problem, mistakes: &[Mistake]| !mistakes.iter().any(|mistake| same(mistake, problem));
    let placed = |problem: &&Problem| {
        graph(problem) && problem.field.len() > LIST.len() && problem.field.starts_with(LIST) && new(problem, &mistakes)
    };
    if !about_list.is_empty() && problems.iter().any(|problem| placed(&problem)) {
        let problems = problems.into_iter().filter(|problem| new(problem, &mistakes)).collect();
        return (mistakes, problems);
    }
    mistakes.extend(about_list);
    let unsaid = |problem: &Problem| new(problem, &mistakes) && (mistakes.is_empty() || !graph(problem));
    let problems = problems.into_iter().filter(unsaid).collect();
    (mistakes, problems)
}

/// A second object of a name would overwrite the first.
fn again<'a>(mut known: impl Iterator<Item = &'a Document>, document: &Document) -> Option<Finding> {
    let name = document.metadata("name");
    let same = |other: &&Document| {
        other.metadata("name") == name && other.metadata("namespace") == document.metadata("namespace")
    };
    let first = known.find(same).filter(|_| !name.is_empty())?;
    let message = format!("is that of the object at {} too: give one of them another name", first.place());
    Some(Finding::mistake(document, "metadata.name", "Invalid", message))
}

/// The member of the input that a message is about, from its JSON Pointer.
fn input_field(message: &str, run: &Judged<SagaRunSpec>) -> String {
    let pointer = message.split('\'').nth(1).filter(|pointer| pointer.len() > 1 && pointer.starts_with('/'));
    let input = Value::Object(run.spec.input.clone());
    let below = pointer.map(|pointer| super::schema::path_of(&input, pointer)).unwrap_or_default();
    if below.is_empty() || below.starts_with('[') {
        format!("spec.input{below}")
    } else {
        format!("spec.input.{below}")
    }
}
