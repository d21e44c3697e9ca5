//! Which control plane: the one that `KUBEBUILDER_ASSETS` names, or one built from source.

use std::env;
use std::path::{Path, PathBuf};

use super::compile::{self, CompileError};

/// The programs of one control plane.
#[derive(Debug, Clone)]
pub(crate) struct Binaries {
    /// The directory they lie in.
    pub(crate) directory: PathBuf,
    /// Ready-made control planes for tests often come without a controller manager.
    pub(crate) controller_manager: bool,
}

/// There is no usable control plane.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BinariesError {
    /// The directory that was named is not complete.
    #[error("KUBEBUILDER_ASSETS is {}, and these are not in it: {missing}", directory.display())]
    Incomplete {
        /// That directory.
        directory: PathBuf,
        /// What it lacks.
        missing: String,
    },
    /// Building one failed.
    #[error(transparent)]
    Compile(#[from] CompileError),
}

/// The programs that a control plane cannot do without.
const NEEDED: [&str; 3] = ["etcd", "kube-apiserver", "kubectl"];
const CONTROLLER_MANAGER: &str = "kube-controller-manager";

/// Finds the control plane, and builds it when it was never built here.
pub(crate) fn locate() -> Result<Binaries, BinariesError> {
    match env::var_os("KUBEBUILDER_ASSETS").filter(|value| !value.is_empty()) {
        Some(directory) => ready_made(Path::new(&directory)),
        None => Ok(Binaries { directory: compile::built()?, controller_manager: true }),
    }
}

fn ready_made(directory: &Path) -> Result<Binaries, BinariesError> {
    // Programs are started from other directories.
    let directory = directory.canonicalize().unwrap_or_else(|_| directory.to_owned());
    let missing: Vec<_> = NEEDED.into_iter().filter(|name| !directory.join(name).is_file()).collect();
    if !missing.is_empty() {
        return Err(BinariesError::Incomplete { directory, missing: missing.join(", ") });
    }
    let controller_manager = directory.join(CONTROLLER_MANAGER).is_file();
    if !controller_manager {
        eprintln!(
            "warning: no {CONTROLLER_MANAGER} in {}: nothing collects garbage, ends namespaces or makes the default \
             ServiceAccount. Unset KUBEBUILDER_ASSETS to build a whole control plane.",
            directory.display()
        );
    }
    Ok(Binaries { directory, controller_manager })
}

impl Binaries {
    /// The path of one of them.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_incomplete_directory_is_told_what_it_lacks() {
        let error = ready_made(Path::new("/proc/self")).map(|_| ()).map_err(|error| error.to_string());
        let text = error.err().unwrap_or_default();
        assert!(text.ends_with("not in it: etcd, kube-apiserver, kubectl"), "{text}");
    }
}
