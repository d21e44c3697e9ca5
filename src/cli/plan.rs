//! `plan`: what a run would do, shown before anything is called.

mod known;
mod running;
mod text;
mod undo;

use std::path::PathBuf;
use std::process::ExitCode;

use serde::Serialize;

use self::known::{Choice, UnusableInput};
use self::running::{Found, NoRun};
use super::check::{self, Format, Verdict};
use super::timeline::{complain, line};
use super::{logging, runtime};
use crate::clock::Clock;
use crate::saga::preview::{Preview, Undo, preview};

/// Shows what a run would do: the order of steps and of undoing, every request, how long it may take. Nothing is called.
///
/// With the input of a run the requests are shown as they would be sent; what needs the answer to an earlier step stays
/// an expression until --output gives it. With --undo: what cancelling a run would do now. Exit status: 0 the plan stands,
/// 1 the manifests, the input or an expression are wrong, 2 unusable input.
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

    /// Show what cancelling a run would do now: requests in their order, what stays and why, what is awaited and stalled.
    ///
    /// The run is given with its status, as `kubectl get sagarun NAME -o yaml` prints it, together with its definition; or
    /// with --namespace by its name.
    #[arg(long, conflicts_with_all = ["definition", "input", "output"])]
    undo: bool,

    /// Read the run, whose name is given instead of manifests, and its definition from this namespace of the cluster that
    /// KUBECONFIG names.
    #[arg(short, long, value_name = "NAMESPACE", requires = "undo", conflicts_with = "run")]
    namespace: Option<String>,

    /// How to print the plan.
    #[arg(short = 'o', long, default_value = "text", value_name = "FORMAT")]
    format: Format,

    /// YAML or JSON files or directories of them; `-` is standard input. With --namespace: the name of one run.
    #[arg(required = true, value_name = "MANIFEST|RUN")]
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

/// A rehearsed cancellation with its names.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct NamedUndo<'a> {
    namespace: &'a str,
    run: &'a str,
    uid: &'a str,
    definition: &'a str,
    revision: Option<&'a str>,
    #[serde(flatten)]
    undo: &'a Undo,
}

impl Plan {
    /// Only what is read from a cluster needs a runtime.
    pub(super) fn run(self, filter: &str, format: logging::Format) -> ExitCode {
        match (self.undo, &self.namespace) {
            (false, _) => self.show(),
            (true, None) => self.show_undo(running::of_manifests(&self.manifests, self.run.as_deref())),
            (true, Some(namespace)) => {
                let [name] = &self.manifests[..] else {
                    return unusable(&UnusableInput::Unusable("with --namespace: name one run".to_owned()));
                };
                let name = name.to_string_lossy();
                runtime::run(filter, format, async { self.show_undo(running::of_cluster(namespace, &name).await) })
            }
        }
    }

    fn show_undo(&self, found: Result<Found, NoRun>) -> ExitCode {
        let rehearsed = found.and_then(|found| {
            let undo = found.rehearse(Clock::start().now())?;
            Ok((found, undo))
        });
        let (found, undo) = match rehearsed {
            Ok(rehearsed) => rehearsed,
            Err(error) => return unusable(&error),
        };
        let run = &found.running.run;
        let named = NamedUndo {
            namespace: &run.namespace,
            run: &run.name,
            uid: &run.uid,
            definition: &found.definition,
            revision: found.running.stored.revision.as_deref(),
            undo: &undo,
        };
        match (self.format, serde_json::to_string_pretty(&named)) {
            (Format::Text, _) => line(&undo::page(&found, &undo)),
            (Format::Json, Ok(text)) => line(&text),
            (Format::Json, Err(error)) => return unusable(&error),
        }
        ExitCode::SUCCESS
    }

    fn show(self) -> ExitCode {
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
