//! Where the tests of seeded bugs run.

use std::collections::{BTreeMap, BTreeSet};
use std::process::{Command, ExitStatus};
use std::time::Duration;

use super::bug::Bug;
use super::sources::{Sources, SourcesError};
use super::tree::Tree;
use crate::files;
use crate::stream;

/// For the tests of one bug; they take seconds.
const LIMIT: Duration = Duration::from_secs(300);

/// Cargo did not end by itself.
#[derive(Debug, thiserror::Error)]
#[error("failed to compile the tests: cargo ended with {0}")]
struct Killed(ExitStatus);

type Found = Result<Verdict, Box<dyn std::error::Error>>;

/// What became of the tests of one bug.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The spoilt code does not compile.
    DoesNotCompile,
    /// What each test that ended said: whether it passed.
    Ran(BTreeMap<String, bool>),
    /// It took too long.
    Hung,
}

impl Verdict {
    /// Why a bug is not caught; nothing, if it is.
    pub(super) fn missed(&self, bug: &Bug) -> Vec<String> {
        let ran = match self {
            Self::DoesNotCompile => return vec!["the edit does not compile".to_owned()],
            Self::Hung => return vec![format!("its tests take more than {} s", LIMIT.as_secs())],
            Self::Ran(ran) => ran,
        };
        let tests = bug.caught_by.values().flatten();
        let missed = tests.filter_map(|test| match ran.get(test) {
            Some(false) => None,
            Some(true) => Some(format!("{test} passes")),
            None => Some(format!("{test} did not end")),
        });
        missed.collect()
    }
}

/// A copy in which bugs are tried.
#[derive(Debug)]
pub(super) struct Bench(Tree);

impl Bench {
    /// One for bugs that unit tests of the core catch.
    pub(super) fn core(sources: &Sources) -> Result<Self, SourcesError> {
        Tree::core(sources).map(Self)
    }

    /// One for all others.
    pub(super) fn whole(sources: &Sources) -> Result<Self, SourcesError> {
        Tree::whole(sources).map(Self)
    }

    /// The tests of these bugs that do not pass on the code as it is.
    pub(super) fn unsound(&self, bugs: &[&Bug]) -> Result<Vec<String>, Box<dyn std::error::Error>> {
        let mut tests: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for (target, names) in bugs.iter().flat_map(|bug| &bug.caught_by) {
            tests.entry(target.clone()).or_default().extend(names.iter().cloned());
        }
        let tests = tests.into_iter().map(|(target, names)| (target, names.into_iter().collect())).collect();
        Ok(match self.tests(&tests)? {
            Verdict::Ran(ran) => {
                tests.values().flatten().filter(|test| ran.get(*test) != Some(&true)).cloned().collect()
            }
            Verdict::Hung => vec!["one that hangs".to_owned()],
            Verdict::DoesNotCompile => vec!["all: they do not compile".to_owned()],
        })
    }

    /// What the tests of a bug say with its edit in place. The edit is taken back.
    pub(super) fn spoilt(&self, bug: &Bug) -> Found {
        let path = self.0.path().join(&bug.file);
        let code = files::read(&path)?;
        files::write(&path, &bug.spoil(&code)?)?;
        let found = self.tests(&bug.caught_by);
        files::write(&path, &code)?;
        found
    }

    /// Compiles, and runs these tests.
    fn tests(&self, tests: &BTreeMap<String, Vec<String>>) -> Found {
        let mut build = self.cargo();
        build.args(["--no-run", "--quiet"]);
        for target in tests.keys() {
            build.args(select(target));
        }
        let mut said = Vec::new();
        let status = stream::lines(&mut build, |line| said.push(line.to_owned()))?.status;
        if !status.success() {
            said.iter().filter(|line| line.contains("error")).take(5).for_each(|line| println!("  {line}"));
            // Cargo says 101 for code that is wrong. Whatever else happened says nothing about the edit.
            return if status.code() == Some(101) { Ok(Verdict::DoesNotCompile) } else { Err(Killed(status).into()) };
        }
        let mut ran = BTreeMap::new();
        for (target, names) in tests {
            let mut cargo = self.cargo();
            cargo.args(select(target)).args(["--", "--exact"]).args(names);
            let ended = stream::lines_within(&mut cargo, LIMIT, |line| {
                if let Some((name, passed)) = result(line) {
                    ran.insert(name, passed);
                }
            })?;
            if ended.overdue {
                return Ok(Verdict::Hung);
            }
        }
        Ok(Verdict::Ran(ran))
    }

    fn cargo(&self) -> Command {
        let mut cargo = self.0.cargo("test");
        cargo.args(["--locked", "--package", "saga-operator"]);
        cargo
    }
}

fn select(target: &str) -> Vec<&str> {
    if target == "lib" { vec!["--lib"] } else { vec!["--test", target] }
}

/// "test saga::tests::a ... FAILED".
fn result(line: &str) -> Option<(String, bool)> {
    let (name, said) = line.strip_prefix("test ")?.split_once(" ... ")?;
    let name = name.trim_end_matches(" - should panic").to_owned();
    match said {
        "ok" => Some((name, true)),
        "FAILED" => Some((name, false)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bug(tests: &[&str]) -> Result<Bug, serde_saphyr::Error> {
        let tests: Vec<String> = tests.iter().map(|test| format!("    - {test}\n")).collect();
        serde_saphyr::from_str(&format!(
            "breaks: b\nfile: f\nfind: a\nreplace: b\ncaught_by:\n  lib:\n{}",
            tests.concat()
        ))
    }

    fn ran(results: &[(&str, bool)]) -> Verdict {
        Verdict::Ran(results.iter().map(|(name, passed)| ((*name).to_owned(), *passed)).collect())
    }

    #[test]
    fn a_bug_is_caught_only_if_every_test_that_it_names_failed() -> Result<(), serde_saphyr::Error> {
        let bug = bug(&["a", "b"])?;
        assert!(ran(&[("a", false), ("b", false), ("c", true)]).missed(&bug).is_empty());
        assert_eq!(ran(&[("a", false), ("b", true)]).missed(&bug), ["b passes"]);
        assert_eq!(ran(&[("a", false)]).missed(&bug), ["b did not end"]);
        assert_eq!((Verdict::DoesNotCompile.missed(&bug).len(), Verdict::Hung.missed(&bug).len()), (1, 1));
        Ok(())
    }

    #[test]
    fn results_are_read_from_what_tests_print() {
        assert_eq!(result("test a::b ... FAILED"), Some(("a::b".to_owned(), false)));
        assert_eq!(result("test a::b ... ok"), Some(("a::b".to_owned(), true)));
        assert_eq!(result("test a::b has been running for over 60 seconds"), None);
        assert_eq!(result("test result: FAILED. 0 passed; 1 failed"), None);
    }
}
