//! What is remembered of a running cluster: `clusters/NAME/` in the cache, the process list in `state.json`.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::files::{self, FileError};
use crate::paths::{self, NoCache};
use crate::process::{Identity, ProcessError};

/// A cluster as it was started.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct State {
    /// Its name.
    pub(crate) name: String,
    /// Everything of it lies in here.
    pub(crate) directory: PathBuf,
    /// The API server.
    pub(crate) server: String,
    /// The client endpoint of etcd.
    pub(crate) etcd: String,
    /// The programs it was started from.
    pub(crate) programs: PathBuf,
    /// What was started, in order.
    pub(crate) processes: Vec<Recorded>,
    /// Nobody needs the cluster when this process is gone; without one it stays until `down`.
    pub(crate) owner: Option<Identity>,
}

/// One started program.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Recorded {
    /// Its name.
    pub(crate) program: String,
    /// Which process it is.
    pub(crate) identity: Identity,
}

/// What is remembered could not be read, written, or ended.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StateError {
    /// There is nowhere to keep it.
    #[error(transparent)]
    NoCache(#[from] NoCache),
    /// A file could not be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// A process would not end.
    #[error(transparent)]
    Process(#[from] ProcessError),
    /// The file is not ours.
    #[error("failed to understand {}", path.display())]
    Json {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        #[source]
        source: serde_json::Error,
    },
}

const FILE: &str = "state.json";

/// The directory with one directory for each cluster.
pub(crate) fn home() -> Result<PathBuf, NoCache> {
    Ok(paths::cache()?.join("clusters"))
}

impl State {
    /// What is remembered of the cluster in this directory, if anything.
    pub(crate) fn load(directory: &Path) -> Result<Option<Self>, StateError> {
        let path = directory.join(FILE);
        let Some(text) = files::read_if_there(&path)? else { return Ok(None) };
        serde_json::from_str(&text).map(Some).map_err(|source| StateError::Json { path, source })
    }

    /// Every cluster that is remembered.
    pub(crate) fn all() -> Result<Vec<Self>, StateError> {
        let home = home()?;
        let mut all = Vec::new();
        for name in files::names(&home)? {
            all.extend(Self::load(&home.join(name))?);
        }
        Ok(all)
    }

    /// Remembers it. Written beside and renamed, so that an interrupted start can still be taken down.
    pub(crate) fn save(&self) -> Result<(), StateError> {
        let path = self.directory.join(FILE);
        let beside = path.with_extension("new");
        let text =
            serde_json::to_string_pretty(self).map_err(|source| StateError::Json { path: path.clone(), source })?;
        files::write(&beside, &text)?;
        Ok(files::rename(&beside, &path)?)
    }

    /// Whether all of it runs.
    pub(crate) fn alive(&self) -> bool {
        !self.processes.is_empty() && self.processes.iter().all(|recorded| recorded.identity.alive())
    }

    /// Whether the process it was started for has ended without taking it down.
    pub(crate) fn orphaned(&self) -> bool {
        self.owner.as_ref().is_some_and(|owner| !owner.alive())
    }

    /// Stops exactly what was started, last first, and forgets it. The data goes too, so nothing is asked to end nicely.
    pub(crate) fn destroy(&self) -> Result<(), StateError> {
        for recorded in self.processes.iter().rev() {
            recorded.identity.kill()?;
        }
        Ok(files::remove_directory(&self.directory)?)
    }

    /// The administrator's kubeconfig.
    pub(crate) fn kubeconfig(&self) -> PathBuf {
        self.directory.join("admin.kubeconfig")
    }

    /// One JSON object a line for each answered request.
    pub(crate) fn audit_log(&self) -> PathBuf {
        self.directory.join("audit.log")
    }

    /// Where a program writes what it has to say.
    pub(crate) fn log(&self, program: &str) -> PathBuf {
        self.directory.join(format!("{program}.log"))
    }
}
