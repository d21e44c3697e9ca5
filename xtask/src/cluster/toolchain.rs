//! Go: is it there, and new enough?

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::paths;

/// Go is not usable.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ToolchainError {
    /// There is none.
    #[error(
        "go was not found on the PATH. The control plane of the tests is built from source with Go {wanted} or later \
         (https://go.dev/dl/); KUBEBUILDER_ASSETS can name a directory with a ready-made one instead"
    )]
    Missing {
        /// The oldest version that will do.
        wanted: String,
    },
    /// It is too old.
    #[error("{} is {found}, but the control plane of the tests needs Go {wanted} or later (https://go.dev/dl/)", path.display())]
    TooOld {
        /// Which.
        path: PathBuf,
        /// What it says it is.
        found: String,
        /// The oldest version that will do.
        wanted: String,
    },
}

/// A Go that can build the module of this go.mod.
pub(crate) fn go(go_mod: &str) -> Result<PathBuf, ToolchainError> {
    let wanted = go_mod.lines().find_map(|line| line.strip_prefix("go ")).unwrap_or("1").trim().to_owned();
    let Some(path) = paths::on_path("go") else { return Err(ToolchainError::Missing { wanted }) };
    let found = version(&path);
    if release(&found) < release(&wanted) {
        return Err(ToolchainError::TooOld { path, found, wanted });
    }
    Ok(path)
}

/// The version that a go.mod asks of a module.
pub(crate) fn required<'a>(go_mod: &'a str, module: &str) -> Option<&'a str> {
    go_mod.lines().find_map(|line| line.trim().strip_prefix(module)?.strip_prefix(' ')?.split_whitespace().next())
}

/// What `go version` says after "go version ": "go1.26.1 linux/amd64".
fn version(go: &Path) -> String {
    let output = Command::new(go).arg("version").env("GOTOOLCHAIN", "local").output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    let text = text.trim();
    text.strip_prefix("go version ").unwrap_or(text).to_owned()
}

/// Major and minor; what is not a version is older than everything.
fn release(text: &str) -> (u32, u32) {
    let mut parts = text.trim_start_matches("go").split(|letter: char| !letter.is_ascii_digit());
    let mut next = || parts.next().and_then(|part| part.parse().ok()).unwrap_or(0);
    (next(), next())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_compare_by_number() {
        assert!(release("go1.9.4 linux/amd64") < release("1.26.0"));
        assert!(release("go1.26.8 linux/amd64") >= release("1.26.0"));
        assert!(release("go1.27rc1 linux/amd64") >= release("1.26"));
        assert!(release("") < release("1.26"));
    }

    #[test]
    fn a_requirement_is_found_by_its_whole_name() {
        let go_mod = "require (\n\tk8s.io/kubernetes-extra v0.1.0\n\tk8s.io/kubernetes v1.36.3 // why\n)\n";
        assert_eq!(required(go_mod, "k8s.io/kubernetes"), Some("v1.36.3"));
        assert_eq!(required(go_mod, "k8s.io/api"), None);
    }
}
