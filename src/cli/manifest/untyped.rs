//! Documents as they are, for `check`: a mistake in one field hides no other.

use std::path::PathBuf;
use std::sync::Arc;

use serde_json::Value;

use super::document::Reader;
use super::reading::{self, Finding};
use super::scan::{Role, Scalar, Style, scan};
use super::source::{self, Part};
use super::{Manifests, Named, Place, Remark, document, remark};

/// A saga object, or what claims to be one.
#[derive(Debug)]
pub(crate) struct Untyped {
    /// All of the document, and where it is written.
    pub(crate) object: Named<Value>,
    /// What kubectl would refuse, by JSON pointers.
    pub(crate) errors: Vec<(String, String)>,
    /// What kubectl reads as it is rarely meant, by JSON pointers.
    pub(crate) warnings: Vec<(String, String)>,
}

/// Reads what [`super::read`] does, without types. Secrets are read as there and left out.
pub(crate) fn read(paths: &[PathBuf]) -> (Vec<Untyped>, Vec<Remark>) {
    let (mut all, mut errors) = (Vec::new(), Vec::new());
    for text in source::collect(paths, &mut errors) {
        let parts = source::documents(&text.text);
        if parts.is_empty() {
            errors.push(remark(&text.file, None, "it is empty: expected a SagaDefinition, a SagaRun or a Secret"));
        }
        for part in parts {
            match one(&text.file, &part) {
                Ok(untyped) => all.extend(untyped),
                Err(remarks) => errors.extend(remarks),
            }
        }
    }
    (all, errors)
}

fn one(file: &Arc<str>, part: &Part<'_>) -> Result<Option<Untyped>, Vec<Remark>> {
    let value: Value = Reader::new(file, part).parse(part.text)?;
    if value["apiVersion"] == "v1" && value["kind"] == "Secret" {
        return document::read(file, part, &mut Manifests::default()).map(|()| None);
    }
    let (scalars, lines) = scan(part.text, part.before);
    let (mut errors, mut warnings) = (Vec::new(), Vec::new());
    for scalar in scalars {
        match reading::look(&scalar, &value).or_else(|| boolean(&scalar)) {
            Some(Finding::Error(message)) => errors.push((scalar.pointer, message)),
            Some(Finding::Warning(message)) => warnings.push((scalar.pointer, message)),
            None => {}
        }
    }
    let name = value["metadata"]["name"].as_str().unwrap_or_default().to_owned();
    let place = Place { file: file.clone(), line: Some(part.start) };
    Ok(Some(Untyped { object: Named { name, spec: value, place, lines }, errors, warnings }))
}

/// The country `no` is rarely meant to be `false`; where no type is asked for, nobody else notices.
fn boolean(scalar: &Scalar) -> Option<Finding> {
    let text = &scalar.text;
    let odd = scalar.role == Role::Value && scalar.style == Style::Plain && reading::is_odd_boolean(text);
    odd.then(|| {
        Finding::Warning(format!("`kubectl` reads `{text}` as a boolean: write `true` or `false`, or \"{text}\""))
    })
}
