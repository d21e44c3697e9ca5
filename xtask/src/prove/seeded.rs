//! Seeded bugs: each is put into a copy of the sources, and the tests that it names must fail there.
//!
//! # Flow
//! The named tests run on the copy as it is: they must pass. Then one bug after the other is put in, its tests run, and the
//! edit is taken back. Only the crate itself is compiled again.
//!
//! # Guarantees
//! Caught means that every test it names ran and failed. A spoilt copy that does not compile, a test that hangs and one
//! that takes the whole process down count as not caught: none of them says what is wrong.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;
use std::time::{Duration, Instant};

use super::bug::{self, Bug};
use super::piece::Piece;
use super::table::Table;
use super::tree::Tree;
use super::{Context, Done};
use crate::files;
use crate::signals;
use crate::stream;

const SECTION: &str = "seeded";
/// For the tests of one bug; they take seconds.
const LIMIT: Duration = Duration::from_secs(300);

/// Nothing can be said about any bug.
#[derive(Debug, thiserror::Error)]
enum SeededError {
    /// The tests are of no use.
    #[error("tests fail on the code as it is: {0:?}")]
    AlreadyFailing(Vec<String>),
    /// The code does not compile.
    #[error("the code as it is does not compile")]
    Broken,
    /// There is nothing to try.
    #[error("no seeded bug is called that")]
    None,
}

/// The section.
pub(super) fn run(context: &Context<'_>, table: &mut Table) -> Done {
    let wanted = context.command.bug.as_deref().unwrap_or("");
    let bugs: Vec<Bug> = bug::all()?.into_iter().filter(|bug| bug.name.contains(wanted)).collect();
    if bugs.is_empty() {
        return Err(SeededError::None.into());
    }
    let known = bugs.iter().map(|bug| context.shelf.find(SECTION, &bug.name, &stamp(context, bug)));
    let mut found = known.collect::<Result<Vec<_>, _>>()?;
    if found.iter().any(Option::is_none) {
        let bench = Bench(Tree::of(context.sources)?);
        let missing: Vec<&Bug> =
            bugs.iter().zip(&found).filter(|(_, found)| found.is_none()).map(|(bug, _)| bug).collect();
        bench.check_sound(&missing)?;
        let count = missing.len();
        let places: Vec<usize> = (0..bugs.len()).filter(|place| found[*place].is_none()).collect();
        for (number, place) in places.into_iter().enumerate() {
            if signals::interrupted() {
                break;
            }
            found[place] = try_one(context, &bench, &bugs[place], &format!("{} of {count}", number + 1))?;
        }
    }
    tell(&bugs, &found, table);
    Ok(())
}

/// What was found about one bug; nothing, if somebody wants this to end.
fn try_one(
    context: &Context<'_>,
    bench: &Bench,
    bug: &Bug,
    number: &str,
) -> Result<Option<Piece>, Box<dyn std::error::Error>> {
    let begun = Instant::now();
    let verdict = bench.spoilt(bug, || bench.tests(&bug.caught_by))?;
    if signals::interrupted() {
        return Ok(None);
    }
    let missed = verdict.missed(bug);
    let mut piece = Piece { sources: stamp(context, bug), ..Piece::default() };
    if missed.is_empty() {
        println!("{number}: caught {} ({:.0} s)", bug.name, begun.elapsed().as_secs_f32());
        piece.figures.insert("caught".to_owned(), 1);
        context.shelf.keep(SECTION, &bug.name, &piece)?;
    } else {
        println!("{number}: MISSED {}: {}", bug.name, missed.join("; "));
        piece.names = missed;
    }
    Ok(Some(piece))
}

fn stamp(context: &Context<'_>, bug: &Bug) -> String {
    context.sources.digest_with(&bug.identity())
}

fn tell(bugs: &[Bug], found: &[Option<Piece>], table: &mut Table) {
    let mut caught = 0;
    println!("\nwho catches what:");
    for (bug, piece) in bugs.iter().zip(found) {
        let who = match piece {
            None => "not tried".to_owned(),
            Some(piece) if piece.figure("caught") == 1 => {
                caught += 1;
                let names =
                    bug.caught_by.iter().flat_map(|(target, tests)| tests.iter().map(move |test| (target, test)));
                names.map(|(target, test)| format!("{target} {test}")).collect::<Vec<_>>().join(", ")
            }
            Some(piece) => {
                table.fail(format!("seeded bug {}: {}", bug.name, piece.names.join("; ")));
                "NOBODY".to_owned()
            }
        };
        println!("  {}: {who}\n      breaks: {}", bug.name, bug.breaks);
    }
    table.row("seeded bugs caught", format!("{caught} of {}", bugs.len()));
}

/// What became of the tests of one bug.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    /// The spoilt code does not compile.
    DoesNotCompile,
    /// What each test that ended said: whether it passed.
    Ran(BTreeMap<String, bool>),
    /// It took too long.
    Hung,
}

impl Verdict {
    /// Why a bug is not caught; nothing, if it is.
    fn missed(&self, bug: &Bug) -> Vec<String> {
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

/// The copy in which bugs are tried.
#[derive(Debug)]
struct Bench(Tree);

impl Bench {
    /// The tests pass on the code as it is.
    fn check_sound(&self, bugs: &[&Bug]) -> Result<(), Box<dyn std::error::Error>> {
        let mut tests: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for (target, names) in bugs.iter().flat_map(|bug| &bug.caught_by) {
            tests.entry(target.clone()).or_default().extend(names.iter().cloned());
        }
        let tests = tests.into_iter().map(|(target, names)| (target, names.into_iter().collect())).collect();
        println!("the tests on the code as it is");
        match self.tests(&tests)? {
            Verdict::Ran(ran) => {
                let bad = tests.values().flatten().filter(|test| ran.get(*test) != Some(&true));
                let bad: Vec<String> = bad.cloned().collect();
                if bad.is_empty() { Ok(()) } else { Err(SeededError::AlreadyFailing(bad).into()) }
            }
            Verdict::Hung => Err(SeededError::AlreadyFailing(vec!["one hangs".to_owned()]).into()),
            Verdict::DoesNotCompile => Err(SeededError::Broken.into()),
        }
    }

    /// Does something with the edit in place, and takes it back.
    fn spoilt(
        &self,
        bug: &Bug,
        what: impl FnOnce() -> Result<Verdict, Box<dyn std::error::Error>>,
    ) -> Result<Verdict, Box<dyn std::error::Error>> {
        let path = self.0.path().join(&bug.file);
        let code = files::read(&path)?;
        files::write(&path, &bug.spoil(&code)?)?;
        let verdict = what();
        files::write(&path, &code)?;
        verdict
    }

    /// Compiles, and runs these tests.
    fn tests(&self, tests: &BTreeMap<String, Vec<String>>) -> Result<Verdict, Box<dyn std::error::Error>> {
        let mut build = self.cargo();
        build.args(["--no-run", "--quiet"]);
        for target in tests.keys() {
            build.args(select(target));
        }
        let mut said = Vec::new();
        if !stream::lines(&mut build, |line| said.push(line.to_owned()))?.status.success() {
            said.iter().filter(|line| line.contains("error")).take(5).for_each(|line| println!("  {line}"));
            return Ok(Verdict::DoesNotCompile);
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
        cargo.args(["--locked", "--package", "saga-operator", "--profile", "mutants"]);
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
