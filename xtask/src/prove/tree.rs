//! A copy of the sources that may be edited, with build products of its own.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::piece;
use super::sources::{Sources, SourcesError};
use crate::stream;

/// A copy of the sources.
#[derive(Debug)]
pub(super) struct Tree(PathBuf);

impl Tree {
    /// The copy, brought up to date. Whatever an interrupted run left in it is undone.
    pub(super) fn of(sources: &Sources) -> Result<Self, SourcesError> {
        let tree = Self(piece::home().join("tree"));
        sources.copy_to(&tree.0)?;
        Ok(tree)
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    /// Cargo, at work there.
    pub(super) fn cargo(&self, command: &str) -> Command {
        let mut cargo = stream::cargo();
        cargo.arg(command).current_dir(&self.0);
        cargo.env("CARGO_TARGET_DIR", self.0.join("target")).env("CARGO_TERM_COLOR", "never");
        cargo
    }
}
