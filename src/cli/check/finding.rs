//! What is said about a manifest, as text and as JSON.

use std::fmt;

use serde::Serialize;

use super::document::Document;
use crate::api::Reason;
use crate::cli::manifest::Remark;

/// One mistake or warning.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::cli) struct Finding {
    /// Whether it is refused.
    #[serde(skip)]
    pub(in crate::cli) severity: Severity,
    /// The file as it was named.
    pub(in crate::cli) file: String,
    /// Of the field, or of the nearest that is there.
    pub(in crate::cli) line: Option<usize>,
    /// `sagadefinition/<name>` or `sagarun/<name>`.
    pub(in crate::cli) object: String,
    /// Path of the field.
    pub(in crate::cli) field: String,
    /// One CamelCase word: `Invalid` for what the API server refuses, else as in the condition `Ready`.
    pub(in crate::cli) reason: String,
    /// What is wrong, and what to do.
    pub(in crate::cli) message: String,
}

/// Whether a finding is a mistake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::cli) enum Severity {
    /// It is refused.
    Mistake,
    /// It is accepted, and rarely meant.
    Warning,
}

impl Finding {
    /// A mistake at a field of a document.
    pub(super) fn mistake(document: &Document, field: &str, reason: &str, message: String) -> Self {
        let place = document.place_of(field);
        Self {
            severity: Severity::Mistake,
            file: place.file.to_string(),
            line: place.line,
            object: document.title(),
            field: field.to_owned(),
            reason: reason.to_owned(),
            message,
        }
    }

    /// A warning at a field of a document.
    pub(super) fn warning(document: &Document, field: &str, message: String) -> Self {
        Self { severity: Severity::Warning, ..Self::mistake(document, field, Reason::Accepted.as_str(), message) }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, line, object, field, reason, message, severity } = self;
        let line = line.map(|line| format!("{line}:")).unwrap_or_default();
        match severity {
            Severity::Mistake => write!(f, "{file}:{line} {object}: {field}: {message} ({reason})"),
            Severity::Warning => write!(f, "{file}:{line} warning: {object}: {field}: {message}"),
        }
    }
}

/// Everything that is said, for `-o json`.
#[derive(Debug, Serialize)]
pub(super) struct Report<'a> {
    /// Documents of both kinds that were looked at.
    pub(super) checked: usize,
    /// What is refused.
    pub(super) mistakes: Vec<&'a Finding>,
    /// What is accepted, and rarely meant.
    pub(super) warnings: Vec<&'a Finding>,
    /// What could not be read.
    pub(super) unusable: Vec<Unusable<'a>>,
}

/// What could not be read, and why.
#[derive(Debug, Serialize)]
pub(super) struct Unusable<'a> {
    file: &'a str,
    line: Option<usize>,
    message: &'a str,
}

impl<'a> Unusable<'a> {
    /// The same for programs.
    pub(super) fn new(remark: &'a Remark) -> Self {
        Self { file: &remark.place.file, line: remark.place.line, message: &remark.message }
    }
}
