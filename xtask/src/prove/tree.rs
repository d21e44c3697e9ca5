//! Copies of the sources that may be edited, with build products of their own.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::piece;
use super::sources::{Sources, SourcesError};
use crate::files;
use crate::stream;

/// The modules of the core: they compile without the others, and much faster.
const CORE: [&str; 3] = ["api", "expr", "saga"];

/// A copy of the sources.
#[derive(Debug)]
pub(super) struct Tree(PathBuf);

impl Tree {
    /// A copy of everything, brought up to date. Whatever an interrupted run left in it is undone.
    pub(super) fn whole(sources: &Sources) -> Result<Self, SourcesError> {
        let tree = Self(piece::home().join("whole"));
        sources.copy_to(&tree.0, |_, content| Some(content))?;
        tree.renew()?;
        Ok(tree)
    }

    /// As `whole`, with no module but the core: for its unit tests.
    pub(super) fn core(sources: &Sources) -> Result<Self, SourcesError> {
        let tree = Self(piece::home().join("core"));
        sources.copy_to(&tree.0, core_only)?;
        tree.renew()?;
        Ok(tree)
    }

    /// To cargo the package is the same in both trees, and what was compiled in the other would be up to date.
    fn renew(&self) -> Result<(), SourcesError> {
        let library = self.0.join("src/lib.rs");
        Ok(files::write_bytes(&library, &files::read_bytes(&library)?)?)
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    /// Where its build products are. Dependencies are the same for all.
    pub(super) fn products(&self) -> PathBuf {
        piece::home().join("core/target")
    }

    /// Cargo, at work there.
    pub(super) fn cargo(&self, command: &str) -> Command {
        let mut cargo = stream::cargo();
        cargo.arg(command).current_dir(&self.0).env("CARGO_TERM_COLOR", "never");
        self.equip(&mut cargo);
        cargo
    }

    /// What every command that compiles there needs: the same for all, or each would compile everything anew. Nobody debugs
    /// there, and debug information is much of what a compiler writes.
    pub(super) fn equip(&self, command: &mut Command) {
        command.env("CARGO_TARGET_DIR", self.products());
        command.env("CARGO_PROFILE_DEV_DEBUG", "0").env("CARGO_PROFILE_TEST_DEBUG", "0");
    }
}

fn core_only(path: &Path, content: Vec<u8>) -> Option<Vec<u8>> {
    let Ok(module) = path.strip_prefix("src") else {
        return (!path.starts_with("tests")).then_some(content);
    };
    if module == Path::new("lib.rs") {
        return Some(modules_of_core(&String::from_utf8_lossy(&content)).into_bytes());
    }
    CORE.iter()
        .any(|name| module.starts_with(name) || module == Path::new(name).with_extension("rs"))
        .then_some(content)
}

fn modules_of_core(library: &str) -> String {
    let name = |line: &str| line.strip_prefix("pub mod ")?.strip_suffix(';').map(str::to_owned);
    let kept = library.lines().filter(|line| name(line).is_none_or(|name| CORE.contains(&name.as_str())));
    kept.map(|line| format!("{line}\n")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_core_is_kept_and_nothing_else_of_the_library() {
        assert_eq!(
            modules_of_core("//! The house.\npub mod api;\npub mod cli;\npub mod saga;\n"),
            "//! The house.\npub mod api;\npub mod saga;\n"
        );
        let kept = |path: &str| core_only(Path::new(path), Vec::new()).is_some();
        assert!(kept("src/saga/turn.rs") && kept("src/saga.rs") && kept("src/lib.rs") && kept("Cargo.toml"));
        assert!(!kept("src/main.rs") && !kept("src/sagas/turn.rs") && !kept("tests/docs.rs"));
    }
}
