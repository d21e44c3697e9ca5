//! The sources that a proof is about, and copies of them that may be edited.

use std::path::{Path, PathBuf};
use std::process::Command;

use sha2::{Digest, Sha256};

use crate::files::{self, FileError};
use crate::paths;

/// What no test of the operator sees.
const ELSEWHERE: [&str; 5] = ["docs/", "xtask/", "benches/", "seeded/", ".ci/"];

/// All files of the project, and a digest of those that tests see.
#[derive(Debug)]
pub(super) struct Sources {
    files: Vec<PathBuf>,
    /// Of what tests see.
    pub(super) digest: String,
}

/// The sources could not be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum SourcesError {
    /// Git does not say which files there are.
    #[error("failed to list the files of the project with git: {0}")]
    Git(String),
    /// A file.
    #[error(transparent)]
    File(#[from] FileError),
}

impl Sources {
    /// As they lie in the work tree.
    pub(super) fn read() -> Result<Self, SourcesError> {
        let files = listed()?;
        let mut hash = Sha256::new();
        for path in files.iter().filter(|path| is_seen(path)) {
            let content = files::read_bytes(&paths::workspace().join(path))?;
            for part in [path.to_string_lossy().as_bytes(), &content] {
                hash.update((part.len() as u64).to_be_bytes());
                hash.update(part);
            }
        }
        let digest = hash.finalize().iter().take(16).map(|byte| format!("{byte:02x}")).collect();
        Ok(Self { files, digest })
    }

    /// The digest of these sources together with something else.
    pub(super) fn digest_with(&self, more: &str) -> String {
        let hash = Sha256::new().chain_update(&self.digest).chain_update(more).finalize();
        hash.iter().take(16).map(|byte| format!("{byte:02x}")).collect()
    }

    /// Makes `tree` a copy. Files that are the same already keep their times, so that cargo compiles only what changed.
    pub(super) fn copy_to(&self, tree: &Path) -> Result<(), SourcesError> {
        for path in &self.files {
            let (from, to) = (files::read_bytes(&paths::workspace().join(path))?, tree.join(path));
            if !to.is_file() || files::read_bytes(&to)? != from {
                files::write_bytes(&to, &from)?;
            }
        }
        for path in files::below(tree, &["target", "mutants.out", "mutants.out.old"])? {
            if path.strip_prefix(tree).is_ok_and(|path| !self.files.iter().any(|file| file == path)) {
                files::remove_file(&path)?;
            }
        }
        Ok(())
    }
}

fn is_seen(path: &Path) -> bool {
    let text = path.to_string_lossy();
    !ELSEWHERE.iter().any(|prefix| text.starts_with(prefix)) && (text.contains('/') || !text.ends_with(".md"))
}

/// Tracked files and new ones that are not ignored.
fn listed() -> Result<Vec<PathBuf>, SourcesError> {
    let mut git = Command::new("git");
    git.args(["ls-files", "--cached", "--others", "--exclude-standard", "-z"]).current_dir(paths::workspace());
    let output = git.output().map_err(|error| SourcesError::Git(error.to_string()))?;
    if !output.status.success() {
        return Err(SourcesError::Git(String::from_utf8_lossy(&output.stderr).trim().to_owned()));
    }
    let text = String::from_utf8_lossy(&output.stdout);
    let mut files: Vec<PathBuf> = text.split('\0').filter(|name| !name.is_empty()).map(PathBuf::from).collect();
    // Deleted in the work tree and not yet in the index.
    files.retain(|path| paths::workspace().join(path).is_file());
    files.sort();
    files.dedup();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_only_people_read_does_not_make_a_proof_old() {
        let seen = |path: &str| is_seen(Path::new(path));
        assert!(seen("src/saga/turn.rs") && seen("Cargo.lock") && seen("tests/docs.rs"));
        assert!(!seen("README.md") && !seen("docs/proof.md") && !seen("seeded/a.yaml"));
    }
}
