//! Pieces of a proof, and what each found.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::files::{self, FileError};
use crate::paths;

/// What a piece found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Piece {
    /// Of the sources it was found on.
    pub(super) sources: String,
    /// By name.
    pub(super) figures: BTreeMap<String, u64>,
    /// What is told of it one by one.
    pub(super) names: Vec<String>,
}

/// Where pieces are kept.
#[derive(Debug)]
pub(super) struct Shelf {
    directory: PathBuf,
    _lock: std::fs::File,
}

/// Where everything of this command lies.
pub(super) fn home() -> PathBuf {
    paths::workspace().join("target/prove")
}

impl Shelf {
    /// For this process alone, until it ends.
    pub(super) fn open(fresh: bool) -> Result<Self, FileError> {
        let lock = files::lock(&home().join("lock"), || println!("waiting: another run is proving"))?;
        let directory = home().join("found");
        if fresh {
            files::remove_directory(&directory)?;
        }
        Ok(Self { directory, _lock: lock })
    }

    /// A piece that was found on the same sources.
    pub(super) fn find(&self, section: &str, name: &str, sources: &str) -> Result<Option<Piece>, FileError> {
        let text = files::read_if_there(&self.place(section, name))?;
        // One that cannot be read was written by another version, or cut short: it is found again.
        let piece: Option<Piece> = text.and_then(|text| serde_json::from_str(&text).ok());
        Ok(piece.filter(|piece| piece.sources == sources))
    }

    /// Keeps a piece.
    pub(super) fn keep(&self, section: &str, name: &str, piece: &Piece) -> Result<(), Box<dyn std::error::Error>> {
        files::write(&self.place(section, name), &serde_json::to_string_pretty(piece)?)?;
        Ok(())
    }

    fn place(&self, section: &str, name: &str) -> PathBuf {
        let name: String = name.chars().map(|c| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' }).collect();
        self.directory.join(section).join(format!("{name}.json"))
    }
}

impl Piece {
    /// Adds what another found.
    pub(super) fn add(&mut self, other: &Self) {
        for (name, figure) in &other.figures {
            *self.figures.entry(name.clone()).or_default() += figure;
        }
        self.names.extend(other.names.iter().cloned());
    }

    /// A figure; 0 when nobody said it.
    pub(super) fn figure(&self, name: &str) -> u64 {
        self.figures.get(name).copied().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_added_and_names_are_joined() {
        let piece = |figure, name: &str| Piece {
            sources: "s".to_owned(),
            figures: BTreeMap::from([("states".to_owned(), figure)]),
            names: vec![name.to_owned()],
        };
        let mut all = Piece::default();
        all.add(&piece(2, "a"));
        all.add(&piece(3, "b"));
        assert_eq!((all.figure("states"), all.figure("seeds")), (5, 0));
        assert_eq!(all.names, ["a", "b"]);
    }
}
