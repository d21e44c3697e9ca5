//! The sources that a proof is about, and copies of them that may be edited.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use sha2::{Digest, Sha256};

use crate::files::{self, FileError};
use crate::paths;

/// What no test of the operator sees.
const ELSEWHERE: [&str; 5] = ["docs/", "xtask/", "benches/", "seeded/", ".ci/"];

/// Its unit tests.
const TESTS_OF_CORE: &str = "src/saga/tests";

/// All files of the project, and a digest of those that tests see.
#[derive(Debug)]
pub(super) struct Sources {
    files: Vec<PathBuf>,
    /// Of what tests see.
    pub(super) digest: String,
    /// Of the core.
    pub(super) core: String,
    /// Of the core and its unit tests.
    pub(super) tried_core: String,
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
        let (mut all, mut core, mut tried) = (Sha256::new(), Sha256::new(), Sha256::new());
        for path in files.iter().filter(|path| is_seen(path)) {
            let content = files::read_bytes(&paths::workspace().join(path))?;
            for part in [path.to_string_lossy().as_bytes(), &content] {
                let length = (part.len() as u64).to_be_bytes();
                all.update(length);
                all.update(part);
                if is_seen_by_core(path) {
                    tried.update(length);
                    tried.update(part);
                    if !path.starts_with(TESTS_OF_CORE) {
                        core.update(length);
                        core.update(part);
                    }
                }
            }
        }
        Ok(Self { files, digest: hex(all), core: hex(core), tried_core: hex(tried) })
    }

    /// Makes `tree` a copy of what `choose` makes of each file. Files that are the same already keep their times, so that
    /// cargo compiles only what changed.
    pub(super) fn copy_to(
        &self,
        tree: &Path,
        choose: impl Fn(&Path, Vec<u8>) -> Option<Vec<u8>>,
    ) -> Result<(), SourcesError> {
        let mut kept = BTreeSet::new();
        for path in &self.files {
            let to = tree.join(path);
            let Some(content) = choose(path, files::read_bytes(&paths::workspace().join(path))?) else { continue };
            if !to.is_file() || files::read_bytes(&to)? != content {
                files::write_bytes(&to, &content)?;
            }
            kept.insert(to);
        }
        for path in files::below(tree, &["target"])?.iter().filter(|path| !kept.contains(*path)) {
            files::remove_file(path)?;
        }
        Ok(())
    }
}

/// The digest of a text.
pub(super) fn digest(text: &str) -> String {
    hex(Sha256::new().chain_update(text))
}

fn hex(hash: Sha256) -> String {
    hash.finalize().iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

/// Dependencies are not among it: a new version of one does not make the tests of the core see less.
fn is_seen_by_core(path: &Path) -> bool {
    let of_core = ["src/api", "src/expr", "src/saga"].iter().any(|module| path.starts_with(module));
    of_core || path == Path::new(".cargo/mutants.toml") || path == Path::new("rust-toolchain.toml")
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
        let core = |path: &str| is_seen_by_core(Path::new(path));
        assert!(core("src/saga/turn.rs") && core(".cargo/mutants.toml"));
        assert!(!core("src/engine/mod.rs") && !core("tests/docs.rs") && !core("Cargo.lock") && !core("CHANGELOG.md"));
        assert!(!seen("README.md") && !seen("docs/proof.md") && !seen("seeded/a.yaml"));
    }
}
