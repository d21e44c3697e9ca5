//! `local`: sagas of manifests on this machine, with the same engine as in a cluster.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use super::board::{Rest, rest};
use super::manifest::{self, Manifests};
use super::stage::Stage;
use super::timeline::{Timeline, line};
use crate::api::condition::SUCCEEDED;
use crate::journal::Loaded;
use crate::journal::local::{LocalError, LocalJournal};
use crate::saga::{End, Stored};

/// Runs the sagas of manifests against real participants, without a cluster.
///
/// Manifests hold SagaDefinitions, SagaRuns and, for headers, Secrets. With --state the sagas survive a crash: the same
/// command goes on where the last one stopped. Exit status: 0 every run Succeeded, 1 some did not, 2 unusable input.
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
                    eprintln!("error: {unusable}");
                    ExitCode::from(2)
                }
            },
            _ = tokio::signal::ctrl_c() => {
                match &self.state {
                    Some(file) => eprintln!("interrupted: the same command goes on with '{}'", file.display()),
                    None => eprintln!("interrupted: what was done stays done; without --state it cannot be resumed"),
                }
                ExitCode::from(1)
            }
        }
    }

    async fn perform(&self) -> Result<bool, Unusable> {
        let manifests = manifest::read(&self.manifests)?;
        for warning in &manifests.warnings {
            eprintln!("warning: {warning}");
        }
        let journal = match &self.state {
            Some(file) => LocalJournal::open(file)?,
            None => LocalJournal::temporary()?,
        };
        let stage = Stage::new(journal, manifests.credentials(), Arc::new(Timeline::new("")))?;
        let runs = prepare(&stage, &manifests).await?;
        stage.drive(runs.clone()).await;
        Ok(report(&stage, &runs))
    }
}

async fn prepare(stage: &Stage, manifests: &Manifests) -> Result<Vec<Loaded>, Unusable> {
    for definition in &manifests.definitions {
        stage.define(&definition.name, &definition.spec).await?;
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
