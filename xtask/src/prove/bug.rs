//! A seeded bug: one small wrong edit, kept as data beside the code that it spoils, and the tests that find it.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Deserialize;

use crate::files::{self, FileError};
use crate::paths;

/// One file of `seeded/`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Bug {
    /// The file's name, without its ending.
    #[serde(skip)]
    pub(super) name: String,
    /// What the edit breaks, as a sentence of the semantics.
    pub(super) breaks: String,
    /// Where.
    pub(super) file: PathBuf,
    /// Stands there exactly once,
    find: String,
    /// and is replaced by this.
    replace: String,
    /// Tests that fail for it, each of them: names by target, `lib` for the unit tests.
    pub(super) caught_by: BTreeMap<String, Vec<String>>,
}

/// A seeded bug that cannot be tried.
#[derive(Debug, thiserror::Error)]
pub(super) enum BugError {
    /// A file.
    #[error(transparent)]
    File(#[from] FileError),
    /// It is not what a seeded bug looks like.
    #[error("failed to read seeded/{name}.yaml")]
    Unreadable {
        /// Which.
        name: String,
        /// Why.
        #[source]
        source: Box<serde_saphyr::Error>,
    },
    /// The code has changed.
    #[error("seeded/{name}.yaml does not fit any more: {why}")]
    Unfit {
        /// Which.
        name: String,
        /// Why.
        why: String,
    },
}

/// All seeded bugs, by name.
pub(super) fn all() -> Result<Vec<Bug>, BugError> {
    let directory = paths::workspace().join("seeded");
    let mut bugs = Vec::new();
    for file in files::names(&directory)? {
        let Some(name) = file.strip_suffix(".yaml") else { continue };
        let unreadable = |source| BugError::Unreadable { name: name.to_owned(), source: Box::new(source) };
        let bug: Bug = serde_saphyr::from_str(&files::read(&directory.join(&file))?).map_err(unreadable)?;
        bugs.push(Bug { name: name.to_owned(), ..bug });
    }
    Ok(bugs)
}

impl Bug {
    /// The whole of the spoilt file.
    pub(super) fn spoil(&self, code: &str) -> Result<String, BugError> {
        let found = code.matches(&self.find).count();
        if found != 1 || self.find == self.replace {
            return Err(self.unfit(format!("what it edits stands {found} times in {}", self.file.display())));
        }
        Ok(code.replacen(&self.find, &self.replace, 1))
    }

    /// Whether the core alone is enough to try it.
    pub(super) fn is_of_core(&self) -> bool {
        let only_unit_tests = self.caught_by.keys().all(|target| target == "lib");
        only_unit_tests
            && self.file.starts_with("src/saga")
            && self.caught_by.values().flatten().all(|test| test.starts_with("saga::"))
    }

    /// What makes it this bug and no other.
    pub(super) fn identity(&self) -> String {
        format!("{self:?}")
    }

    /// Whether it can be tried: its place is there once, and so is every test that it names.
    #[cfg(test)]
    fn check(&self) -> Result<(), BugError> {
        self.spoil(&files::read(&paths::workspace().join(&self.file))?)?;
        if self.caught_by.values().map(Vec::len).sum::<usize>() == 0 {
            return Err(self.unfit("it names no test".to_owned()));
        }
        for (target, tests) in &self.caught_by {
            for test in tests {
                let places = places(target, test);
                let mut texts = places.iter().filter_map(|place| files::read(&paths::workspace().join(place)).ok());
                let name = test.rsplit("::").next().unwrap_or(test);
                if !texts.any(|text| is_defined(&text, name)) {
                    return Err(self.unfit(format!("there is no test '{test}' in '{target}'")));
                }
            }
        }
        Ok(())
    }

    fn unfit(&self, why: String) -> BugError {
        BugError::Unfit { name: self.name.clone(), why }
    }
}

/// Where a test may be written: the files of the modules on its path.
#[cfg(test)]
fn places(target: &str, test: &str) -> Vec<PathBuf> {
    let root = if target == "lib" { PathBuf::from("src") } else { PathBuf::from("tests").join(target) };
    let mut places = if target == "lib" { Vec::new() } else { vec![root.with_extension("rs")] };
    let mut place = root;
    for module in test.split("::") {
        place.push(module);
        places.extend([place.with_extension("rs"), place.join("mod.rs")]);
    }
    places
}

/// As a function, or alone on a line where a macro makes one of it.
#[cfg(test)]
fn is_defined(text: &str, name: &str) -> bool {
    text.contains(&format!("fn {name}(")) || text.lines().any(|line| line.trim() == name)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn bug(find: &str, tests: &[(&str, &str)]) -> Bug {
        Bug {
            name: "x".to_owned(),
            breaks: "I1".to_owned(),
            file: "xtask/src/prove/bug.rs".into(),
            find: find.to_owned(),
            replace: "wrong".to_owned(),
            caught_by: tests.iter().map(|(target, test)| ((*target).to_owned(), vec![(*test).to_owned()])).collect(),
        }
    }

    #[test]
    fn every_seeded_bug_fits_the_code_and_names_tests_that_exist() -> Result<(), BugError> {
        let bugs = all()?;
        assert!(bugs.len() >= 25, "only {} seeded bugs", bugs.len());
        bugs.iter().try_for_each(Bug::check)?;
        let sentences: BTreeSet<&str> = bugs.iter().map(|bug| bug.breaks.as_str()).collect();
        assert!(sentences.len() > bugs.len() / 2, "many bugs break the same sentence");
        Ok(())
    }

    #[test]
    fn an_edit_needs_exactly_one_place() {
        let text = "a b a";
        assert_eq!(bug("b", &[]).spoil(text).ok().as_deref(), Some("a wrong a"));
        assert!(bug("a", &[]).spoil(text).is_err() && bug("c", &[]).spoil(text).is_err());
    }

    #[test]
    fn a_test_that_does_not_exist_is_found_out() {
        let unique = "//! A seeded bug: one small wrong edit";
        let known = ("lib", "saga::tests::golden::a_saga_succeeds");
        assert!(bug(unique, &[]).check().is_err(), "no test at all");
        assert!(bug(unique, &[known]).check().is_err(), "this very line repeats what is to be found");
        let place = concat!("//! A seeded bug: ", "one small wrong edit, kept");
        assert!(bug(place, &[known]).check().is_ok());
        assert!(bug(place, &[("lib", "saga::tests::golden::a_saga_that_is_not_there")]).check().is_err());
        assert!(bug(place, &[("engine_hazards", "a_panic_of_the_sender_counts_as_a_lost_answer")]).check().is_ok());
    }
}
