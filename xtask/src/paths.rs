//! Where things lie.

use std::env;
use std::path::{Path, PathBuf};

/// There is nowhere to keep things between runs.
#[derive(Debug, thiserror::Error)]
#[error("neither XDG_CACHE_HOME nor HOME is set, so there is no place for the control plane's binaries")]
pub(crate) struct NoCache;

/// The root of the project.
pub(crate) fn workspace() -> PathBuf {
    let own =
        env::var_os("CARGO_MANIFEST_DIR").map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
    own.parent().map_or_else(|| own.clone(), Path::to_owned)
}

/// What is kept between runs and shared by all clones: binaries built once, the state of running clusters.
pub(crate) fn cache() -> Result<PathBuf, NoCache> {
    let directory = |name| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    directory("XDG_CACHE_HOME")
        .filter(|path| path.is_absolute())
        .or_else(|| directory("HOME").map(|home| home.join(".cache")))
        .map(|base| base.join("saga-operator"))
        .ok_or(NoCache)
}

/// A program on the PATH.
pub(crate) fn on_path(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    env::split_paths(&path).map(|directory| directory.join(program)).find(|candidate| candidate.is_file())
}
