//! `check`: says without a cluster what a cluster would refuse.
//!
//! Flow: [`manifest::untyped`] reads, [`schema`] and [`rules`] say what the API server would, [`judge`] adds what the controller
//! would by the same code ([`crate::saga::Definition::compile`]), [`finding`] prints.

mod document;
mod finding;
mod functions;
mod judge;
mod narrow;
mod repeated;
mod rules;
mod schema;

use std::path::PathBuf;
use std::process::ExitCode;

use self::finding::{Finding, Report, Severity, Unusable};
pub(in crate::cli) use self::judge::{Judged, Verdict};
use super::manifest;
use super::timeline::{self, line};

/// Checks manifests without a cluster: everything that the API server or the operator would refuse.
///
/// The input of a run is checked against its definition if both are among the manifests. Exit status: 0 nothing is
/// refused (there may be warnings), 1 something is, 2 unusable input.
#[derive(Debug, clap::Args)]
pub(super) struct Check {
    /// YAML or JSON files or directories of them; `-` is standard input.
    #[arg(required = true, value_name = "MANIFEST")]
    manifests: Vec<PathBuf>,

    /// How to print what is found.
    #[arg(short = 'o', long, default_value = "text", value_name = "FORMAT")]
    format: Format,
}

/// How to print.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub(super) enum Format {
    /// For people.
    Text,
    /// For programs: one JSON document.
    Json,
}

/// Reads and judges manifests.
pub(super) fn judged(manifests: &[PathBuf]) -> Result<Verdict, schema::SchemaError> {
    let (documents, unreadable) = manifest::untyped::read(manifests);
    judge::judge(documents, unreadable)
}

impl Check {
    pub(super) fn run(self) -> ExitCode {
        let verdict = match judged(&self.manifests) {
            Ok(verdict) => verdict,
            Err(error) => {
                timeline::complain(&format!("error: {error}"));
                return ExitCode::from(2);
            }
        };
        match self.format {
            Format::Text => text(&verdict),
            Format::Json => json(&verdict),
        }
        status(&verdict)
    }
}

/// 0, 1 or 2.
pub(super) fn status(verdict: &Verdict) -> ExitCode {
    match (verdict.unreadable.is_empty(), verdict.has_mistakes()) {
        (false, _) => ExitCode::from(2),
        (true, true) => ExitCode::from(1),
        (true, false) => ExitCode::SUCCESS,
    }
}

/// Says on standard error what could not be read.
pub(super) fn complain(verdict: &Verdict) {
    for unreadable in &verdict.unreadable {
        timeline::complain(&format!("error: {unreadable}"));
    }
}

/// What is refused, one a line.
pub(super) fn mistakes(verdict: &Verdict) -> Vec<&Finding> {
    of(verdict, Severity::Mistake)
}

fn of(verdict: &Verdict, severity: Severity) -> Vec<&Finding> {
    verdict.findings.iter().filter(|finding| finding.severity == severity).collect()
}

fn text(verdict: &Verdict) {
    let found: String = verdict.findings.iter().map(|finding| format!("{finding}\n")).collect();
    let count = |count: usize, what: &str| format!("{count} {what}{}", if count == 1 { "" } else { "s" });
    let checked = count(verdict.checked, "manifest");
    let mistakes = count(mistakes(verdict).len(), "mistake");
    let warnings = count(of(verdict, Severity::Warning).len(), "warning");
    line(&format!("{found}{checked}: {mistakes}, {warnings}"));
    complain(verdict);
}

fn json(verdict: &Verdict) {
    let report = Report {
        checked: verdict.checked,
        mistakes: mistakes(verdict),
        warnings: of(verdict, Severity::Warning),
        unusable: verdict.unreadable.iter().map(Unusable::new).collect(),
    };
    match serde_json::to_string_pretty(&report) {
        Ok(text) => line(&text),
        Err(error) => timeline::complain(&format!("error: failed to write JSON: {error}")),
    }
}
