//! `local`: sagas of manifests on this machine, with the same engine as in a cluster.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use super::advice::{Resumable, advice};
use super::board::{Rest, rest};
use super::manifest::{self, Manifests, Place};
use super::stage::Stage;
use super::timeline::{Timeline, complain, line};
use crate::api::condition::SUCCEEDED;
use crate::journal::Loaded;
use crate::journal::local::{LocalError, LocalJournal};
use crate::saga::{End, Stored};

/// Runs the sagas of manifests against real participants, without a cluster.
///
/// Manifests hold SagaDefinitions, SagaRuns and, for headers, Secrets. With --state the sagas survive a crash: the same
/// command goes on where the last one stopped, and takes over what may be changed in the manifest of a run: suspension,
/// cancellation, interventions. Exit status: 0 every run Succeeded, 1 some did not, 2 unusable input.
#[derive(Debug, clap::Args)]
pub(super) struct Local {
    /// File that holds the state of the runs; made when missing. Without it the state is gone at the end.
    #[arg(long, env = "SAGA_STATE", value_name = "FILE")]
    state: Option<PathBuf>,

    /// YAML or JSON files or directories of them; `-` is standard input.
    #[arg(required = true, value_name = "MANIFEST")]
    manifests: Vec<PathBuf>,
}

/// Why nothing, or not everything, was run.
#[derive(Debug, thiserror::Error)]
enum Unusable {
    #[error(transparent)]
    Manifest(#[from] manifest::ManifestErrors),
    #[error(transparent)]
    State(#[from] LocalError),
    #[error(transparent)]
    Http(#[from] crate::participant::HttpError),
    #[error(
        "{place}: failed to start the run '{run}': there is no SagaDefinition '{definition}' in the manifests, nor in the \
         state; name its manifest too"
    )]
    NoDefinition { place: Place, run: String, definition: String },
    #[error("failed to find a SagaRun in the manifests, and no unfinished run in the state: nothing to run")]
    NothingToRun,
}

impl Local {
    pub(super) async fn run(self) -> ExitCode {
        tokio::select! {
            done = self.perform() => match done {
                Ok(true) => ExitCode::SUCCESS,
                Ok(false) => ExitCode::from(1),
                Err(unusable) => {
                    complain(&format!("error: {unusable}"));
                    ExitCode::from(2)
                }
            },
            () = asked_to_end() => {
                complain(&match &self.state {
                    Some(file) => format!("interrupted: the same command goes on with '{}'", file.display()),
                    None => "interrupted: what was done stays done; without --state it cannot be resumed".to_owned(),
                });
                ExitCode::from(1)
            }
        }
    }

    async fn perform(&self) -> Result<bool, Unusable> {
        let manifests = manifest::read(&self.manifests)?;
        for warning in &manifests.warnings {
            complain(&format!("warning: {warning}"));
        }
        let journal = match &self.state {
            Some(file) => LocalJournal::open(file)?,
            None => LocalJournal::temporary()?,
        };
        let stage = Stage::new(journal, manifests.credentials(), Arc::new(Timeline::new("")))?;
        let runs = prepare(&stage, &manifests).await?;
        stage.drive(runs.clone()).await;
        let all = report(&stage, &runs);
        let resumable = if self.state.is_some() { Resumable::Yes } else { Resumable::No };
        for run in &runs {
            if let Some(advice) = stage.stored(&run.run.uid).and_then(|stored| advice(&run.run, &stored, resumable)) {
                complain(&advice);
            }
        }
        Ok(all)
    }
}

/// SIGINT or SIGTERM.
async fn asked_to_end() {
    use tokio::signal::unix::{SignalKind, signal};
    let Ok(mut terminate) = signal(SignalKind::terminate()) else {
        let _heard = tokio::signal::ctrl_c().await;
        return;
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminate.recv() => {}
    }
}

async fn prepare(stage: &Stage, manifests: &Manifests) -> Result<Vec<Loaded>, Unusable> {
    for definition in &manifests.definitions {
        stage.define(&definition.name, &definition.spec).await?;
    }
    // All of them before the first is stored: what is refused leaves nothing behind.
    for run in &manifests.runs {
        let definition = &run.spec.definition_ref.name;
        if stage.lacks(definition).await {
            let (place, run, definition) = (run.place.clone(), run.name.clone(), definition.clone());
            return Err(Unusable::NoDefinition { place, run, definition });
        }
    }
    let mut runs = Vec::new();
    for run in &manifests.runs {
        runs.push(stage.submit(&run.name, &run.spec).await?);
    }
    for run in stage.unfinished()? {
        if !runs.iter().any(|known| known.run == run.run) {
            runs.push(run);
        }
    }
    if runs.is_empty() { Err(Unusable::NothingToRun) } else { Ok(runs) }
}

/// Prints how the runs stand; true when all succeeded.
fn report(stage: &Stage, runs: &[Loaded]) -> bool {
    let mut table = comfy_table::Table::new();
    table.load_style(comfy_table::presets::NOTHING);
    table.set_header(["RUN", "SUCCEEDED", "REASON", "PROGRESS", "MESSAGE"]);
    let mut all = true;
    for run in runs {
        let Some(stored) = stage.stored(&run.run.uid) else { continue };
        all &= stored.end == Some(End::Succeeded);
        table.add_row(row(&run.run.name, &stored));
    }
    line("");
    line(&table.to_string());
    for run in runs {
        let outputs = stage.stored(&run.run.uid).map(|stored| stored.outputs).unwrap_or_default();
        if !outputs.is_empty() {
            line(&format!("\nOutputs of {}", run.run.name));
        }
        for (name, value) in outputs {
            line(&format!("  {name}: {value}"));
        }
    }
    all
}

fn row(name: &str, stored: &Stored) -> [String; 5] {
    let condition = stored.conditions.iter().find(|condition| condition.type_ == SUCCEEDED);
    let (status, reason, message) = condition.map_or_else(Default::default, |condition| {
        (format!("{:?}", condition.status), condition.reason.clone(), condition.message.clone())
    });
    let hint = if rest(stored) == Rest::NeedsPerson { " (needs a person)" } else { "" };
    let progress = format!("{}/{}", stored.progress(), stored.steps.len());
    [name.to_owned(), status, format!("{reason}{hint}"), progress, message]
}
