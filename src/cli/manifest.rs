//! Reading manifests: what `local`, `check` and `plan` are given.
//!
//! # Flow
//! [`read`] collects texts ([`source`]), splits them into documents, reads each by its kind ([`document`]), and compares
//! how its values are written with how `kubectl` would read them ([`scan`], [`reading`]).
//!
//! # Guarantees
//! Every document is looked at, and the first mistake of each is reported with file and line. No message shows a value of
//! a Secret. Nothing is guessed: a number where a text belongs is an error, as it is for the API server.
//!
//! # Caveats
//! Values that come through an alias (`*name`) are not compared with `kubectl`'s reading.

mod document;
mod reading;
mod scan;
mod source;
pub(crate) mod untyped;

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use crate::api::{SagaDefinitionSpec, SagaRunSpec};
use crate::participant::{SecretValue, StaticCredentials};

/// What manifests hold.
#[derive(Debug, Default)]
pub(crate) struct Manifests {
    /// SagaDefinitions, in the order of the manifests.
    pub(crate) definitions: Vec<Named<SagaDefinitionSpec>>,
    /// SagaRuns, in the order of the manifests.
    pub(crate) runs: Vec<Named<SagaRunSpec>>,
    /// Secrets, in the order of the manifests: keys and values.
    pub(crate) secrets: Vec<Named<BTreeMap<String, SecretValue>>>,
    /// What works here, and may surprise elsewhere.
    pub(crate) warnings: Vec<Remark>,
}

/// An object of a manifest.
#[derive(Debug)]
pub(crate) struct Named<T> {
    /// `metadata.name`.
    pub(crate) name: String,
    /// Its content.
    pub(crate) spec: T,
    /// Where it begins.
    pub(crate) place: Place,
    lines: scan::Lines,
}

/// A line of a manifest.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    /// As the user named it.
    pub(crate) file: Arc<str>,
    /// From 1; none for the file as a whole.
    pub(crate) line: Option<usize>,
}

/// Something to say about a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Remark {
    /// Where.
    pub(crate) place: Place,
    /// What, and what to do.
    pub(crate) message: String,
}

/// Everything that is wrong with the manifests: at least one remark, a line each.
#[derive(Debug, thiserror::Error)]
#[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
pub(crate) struct ManifestErrors(pub(crate) Vec<Remark>);

impl<T> Named<T> {
    /// Where a field is written, as `spec.steps[1].action.http.url`; if it is not, the nearest that it would be in.
    pub(crate) fn place_of(&self, field: &str) -> Place {
        Place { file: self.place.file.clone(), line: self.lines.nearest(field).or(self.place.line) }
    }
}

impl Manifests {
    /// The Secrets, for headers. A key that is there twice has its later value.
    pub(crate) fn credentials(&self) -> StaticCredentials {
        let values = self.secrets.iter().flat_map(|secret| secret.spec.iter().map(move |value| (secret, value)));
        values.fold(StaticCredentials::default(), |all, (secret, (key, value))| {
            all.with(&secret.name, key, value.clone())
        })
    }
}

/// Reads files, directories (`*.yaml`, `*.yml`, `*.json` in them, sorted) and standard input (`-`).
///
/// # Errors
/// Everything that is wrong, not only the first.
pub(crate) fn read(paths: &[PathBuf]) -> Result<Manifests, ManifestErrors> {
    let mut errors = Vec::new();
    let texts = source::collect(paths, &mut errors);
    read_all(&texts, errors)
}

/// Reads one text; `name` stands for the file.
///
/// # Errors
/// Everything that is wrong, not only the first.
pub(crate) fn parse(name: &str, text: &str) -> Result<Manifests, ManifestErrors> {
    read_all(&[source::Text { file: name.into(), text: text.to_owned() }], Vec::new())
}

fn read_all(texts: &[source::Text], mut errors: Vec<Remark>) -> Result<Manifests, ManifestErrors> {
    let mut all = Manifests::default();
    for text in texts {
        let parts = source::documents(&text.text);
        if parts.is_empty() {
            errors.push(remark(&text.file, None, "it is empty: expected a SagaDefinition, a SagaRun or a Secret"));
        }
        for part in parts {
            if let Err(error) = document::read(&text.file, &part, &mut all) {
                errors.extend(error);
            }
        }
    }
    twice("SagaDefinition", &all.definitions, &mut errors);
    twice("SagaRun", &all.runs, &mut errors);
    twice("Secret", &all.secrets, &mut errors);
    if errors.is_empty() { Ok(all) } else { Err(ManifestErrors(errors)) }
}

fn twice<T>(kind: &str, objects: &[Named<T>], errors: &mut Vec<Remark>) {
    let mut known = BTreeMap::new();
    for object in objects {
        if let Some(first) = known.insert(&object.name, &object.place) {
            let message = format!("the {kind} '{}' is already at {first}: give one of them another name", object.name);
            errors.push(Remark { place: object.place.clone(), message });
        }
    }
}

fn remark(file: &Arc<str>, line: Option<usize>, message: impl Into<String>) -> Remark {
    Remark { place: Place { file: file.clone(), line }, message: message.into() }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "{}:{line}", self.file),
            None => f.write_str(&self.file),
        }
    }
}

impl fmt::Display for Remark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.message)
    }
}

#[cfg(test)]
mod tests;
