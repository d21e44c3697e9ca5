//! `plan`: what a run would do, shown before anything is called.

mod known;
mod text;

use std::path::PathBuf;
use std::process::ExitCode;

use serde::Serialize;

use self::known::{Choice, UnusableInput};
use super::check::{self, Format, Verdict};
use super::timeline::{complain, line};
use crate::saga::preview::{Preview, preview};

/// Shows what a run would do: the order of steps and of undoing, every request, how long it may take. Nothing is called.
///
/// With the input of a run the requests are shown as they would be sent; what needs the answer to an earlier step stays
/// an expression until --output gives it. Exit status: 0 the plan stands, 1 the manifests, the input or an expression
/// are wrong, 2 unusable input.
#[derive(Debug, clap::Args)]
pub(super) struct Plan {
    /// Name of the definition, where the manifests hold several.
    #[arg(long, value_name = "NAME")]
    definition: Option<String>,

    /// Name of a run in the manifests, whose input is taken; not needed where there is one run of the definition.
    #[arg(long, value_name = "NAME", conflicts_with = "input")]
    run: Option<String>,

    /// Input of a run: a JSON object, or `@` and the name of a file that holds one.
    #[arg(long, value_name = "JSON|@FILE")]
    input: Option<String>,

    /// An output that a step would have, such as `reserveStock.id="r-1"`; may be given several times.
    #[arg(long, value_name = "STEP.OUTPUT=JSON")]
    output: Vec<String>,

    /// How to print the plan.
    #[arg(short = 'o', long, default_value = "text", value_name = "FORMAT")]
    format: Format,

    /// YAML or JSON files or directories of them; `-` is standard input.
    #[arg(required = true, value_name = "MANIFEST")]
    manifests: Vec<PathBuf>,
}

/// The plan with its names.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Named<'a> {
    definition: &'a str,
    run: Option<&'a str>,
    #[serde(flatten)]
    preview: &'a Preview,
    faults: &'a [(String, String)],
}

impl Plan {
    pub(super) fn run(self) -> ExitCode {
        let verdict = match check::judged(&self.manifests) {
            Ok(verdict) => verdict,
            Err(error) => return unusable(&error),
        };
        check::complain(&verdict);
        for mistake in check::mistakes(&verdict) {
            complain(&mistake.to_string());
        }
        if !verdict.unreadable.is_empty() || verdict.has_mistakes() {
            return check::status(&verdict);
        }
        match self.perform(&verdict) {
            Ok(code) => code,
            Err(UnusableInput::Wrong(message)) => {
                complain(&format!("error: {message}"));
                ExitCode::from(1)
            }
            Err(error @ UnusableInput::Unusable(_)) => unusable(&error),
        }
    }

    fn perform(&self, verdict: &Verdict) -> Result<ExitCode, UnusableInput> {
        let choice =
            Choice { definition: self.definition.as_deref(), run: self.run.as_deref(), input: self.input.as_deref() };
        let (definition, compiled, mut known) = choice.make(verdict)?;
        known.outputs = known::outputs(&self.output, &definition.spec)?;
        let preview = preview(&definition.spec, compiled, &known);
        let faults = preview.faults();
        let named =
            Named { definition: definition.name(), run: known.run.as_deref(), preview: &preview, faults: &faults };
        match self.format {
            Format::Text => line(&text::page(named.definition, &known, &preview)),
            Format::Json => match serde_json::to_string_pretty(&named) {
                Ok(text) => line(&text),
                Err(error) => return Err(UnusableInput::Unusable(format!("failed to write JSON: {error}"))),
            },
        }
        for (place, fault) in &faults {
            complain(&format!("error: {place}: {fault}"));
        }
        Ok(if faults.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(1) })
    }
}

fn unusable(error: &dyn std::error::Error) -> ExitCode {
    complain(&format!("error: {error}"));
    ExitCode::from(2)
}
