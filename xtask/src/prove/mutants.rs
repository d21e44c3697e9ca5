//! The mutation score of the core: cargo-mutants makes small wrong edits, and the unit tests of the core must find them.
//!
//! # Flow
//! The mutants are dealt into shards. Each shard is tried in one run of cargo-mutants, and what it found is kept, so that
//! the whole can be done over days. When the tests of the core change, only those that they missed are tried again.
//!
//! # Guarantees
//! Mutants that are left out, and why, stand in `.cargo/mutants.toml`; nothing else is left out. A mutant that does not
//! compile counts neither way; one that hangs counts as found.
//!
//! # Caveats
//! What was found once counts as found until the core changes: who takes tests away tries all again with `--fresh`.

mod program;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use serde::Deserialize;

use super::piece::{self, Piece};
use super::table::Table;
use super::tree::Tree;
use super::{Context, Done};
use crate::files::{self, FileError};
use crate::signals;
use crate::stream;

const SECTION: &str = "mutants";
/// So that each is done in less than an hour.
const SHARDS: u32 = 40;
/// The tests of the core.
const TESTS: &str = "saga::";
/// Those among them that take the most time.
const SLOW: [&str; 3] = [
    "saga::tests::properties",
    "saga::tests::modes::no_story",
    "saga::tests::definitions::a_definition_whose_status_could_outgrow",
];
/// Per cent of the mutants that must be found.
const WANTED: f64 = 90.0;
/// For the unit tests of the core, which take seconds.
const TEST_LIMIT: Duration = Duration::from_secs(240);
/// For one compilation of one crate.
const BUILD_LIMIT: Duration = Duration::from_secs(900);

/// A part of the mutants, from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Shard {
    part: u32,
    of: u32,
}

/// Nothing was tried.
#[derive(Debug, thiserror::Error)]
enum MutantsError {
    /// cargo-mutants itself failed.
    #[error("failed to try the mutants, see above (cargo-mutants said {0})")]
    Failed(String),
    /// The tests are of no use.
    #[error("the unit tests of the core fail on the code as it is")]
    Baseline,
    /// Names do not choose what they should.
    #[error("{wanted} mutants were to be tried again, and {tried} were")]
    Others { wanted: usize, tried: u64 },
}

/// "3/20".
pub(super) fn shard(text: &str) -> Result<Shard, String> {
    let read =
        text.split_once('/').and_then(|(part, of)| Some(Shard { part: part.parse().ok()?, of: of.parse().ok()? }));
    read.filter(|shard| (1..=shard.of).contains(&shard.part)).ok_or_else(|| "must be like 3/20".to_owned())
}

/// The section.
pub(super) fn run(context: &Context<'_>, table: &mut Table) -> Done {
    let shards: Vec<Shard> = match context.command.shard {
        Some(shard) => vec![shard],
        None => (1..=SHARDS).map(|part| Shard { part, of: SHARDS }).collect(),
    };
    let (mut sum, mut done) = (Piece::default(), 0);
    let mut tree = None;
    for shard in &shards {
        let known = context.shelf.find(SECTION, &shard.name(), &context.sources.core)?;
        if known.is_none() && signals::interrupted() {
            break;
        }
        let begun = Instant::now();
        let piece = match known {
            Some(piece) => again(context, &mut tree, *shard, piece)?,
            None => attempt(context, &mut tree, *shard)?,
        };
        let Some(piece) = piece else { break };
        println!("mutants {}: {} ({:.0} s)", shard.name(), told(&piece), begun.elapsed().as_secs_f32());
        sum.add(&piece);
        done += 1;
    }
    tell(&sum, done, &shards, context, table);
    Ok(())
}

/// A copy in which the unit tests of the core are compiled and pass; made when it is needed first.
fn prepared<'a>(context: &Context<'_>, known: &'a mut Option<Tree>) -> Result<&'a Tree, Box<dyn std::error::Error>> {
    if known.is_none() {
        *known = Some(prepare(context)?);
    }
    known.as_ref().ok_or_else(|| MutantsError::Baseline.into())
}

fn prepare(context: &Context<'_>) -> Result<Tree, Box<dyn std::error::Error>> {
    let tree = Tree::core(context.sources)?;
    println!("the unit tests of the core on the code as it is");
    let mut cargo = tree.cargo("test");
    cargo.args(["--locked", "--quiet", "--package", "saga-operator", "--lib", "saga::"]);
    if stream::lines(&mut cargo, |line| println!("{line}"))?.status.success() {
        Ok(tree)
    } else {
        Err(MutantsError::Baseline.into())
    }
}

type Tried = Result<Option<Piece>, Box<dyn std::error::Error>>;

/// Tries a shard; nothing, if somebody wants this to end.
fn attempt(context: &Context<'_>, tree: &mut Option<Tree>, shard: Shard) -> Tried {
    let tree = prepared(context, tree)?;
    let output = fresh_output()?;
    // Nine of ten are found by tests that take a quarter of the time of all.
    let mut fast = vec!["--", TESTS, "--"];
    fast.extend(SLOW.iter().flat_map(|slow| ["--skip", slow]));
    let part = ["--shard".to_owned(), format!("{}/{}", shard.part - 1, shard.of)];
    let Some(mut piece) = round(tree, &part, &output, &fast)? else { return Ok(None) };
    if !piece.names.is_empty() {
        let Some(missed) = round(tree, &part, &output, &["--iterate", "--", TESTS])? else { return Ok(None) };
        keep_missed(context, shard, missed.clone())?;
        recheck(&mut piece, missed);
    }
    piece.sources.clone_from(&context.sources.core);
    context.shelf.keep(SECTION, &shard.name(), &piece)?;
    Ok(Some(piece))
}

/// Tries those of a shard that were missed, if its tests are others now; nothing, if somebody wants this to end.
fn again(context: &Context<'_>, tree: &mut Option<Tree>, shard: Shard, mut known: Piece) -> Tried {
    if known.names.is_empty() {
        return Ok(Some(known));
    }
    let missed = match context.shelf.find(SECTION, &missed_name(shard), &context.sources.tried_core)? {
        Some(missed) => missed,
        None => {
            let only: Vec<String> = known.names.iter().flat_map(|name| ["--re".to_owned(), exactly(name)]).collect();
            let Some(missed) = round(prepared(context, tree)?, &only, &fresh_output()?, &["--", TESTS])? else {
                return Ok(None);
            };
            let tried: u64 = missed.figures.values().sum();
            if tried != known.names.len() as u64 {
                return Err(MutantsError::Others { wanted: known.names.len(), tried }.into());
            }
            keep_missed(context, shard, missed.clone())?;
            missed
        }
    };
    recheck(&mut known, missed);
    Ok(Some(known))
}

/// What is known of those that the shard missed.
fn keep_missed(context: &Context<'_>, shard: Shard, mut missed: Piece) -> Done {
    missed.sources.clone_from(&context.sources.tried_core);
    context.shelf.keep(SECTION, &missed_name(shard), &missed)
}

fn missed_name(shard: Shard) -> String {
    format!("{}-missed", shard.name())
}

fn fresh_output() -> Result<PathBuf, FileError> {
    let output = piece::home().join("mutants");
    files::remove_directory(&output)?;
    files::make_directory(&output)?;
    Ok(output)
}

/// A regular expression for one name.
fn exactly(name: &str) -> String {
    let mut pattern = String::from("^");
    for letter in name.chars() {
        if r"\.+*?()|[]{}^$".contains(letter) {
            pattern.push('\\');
        }
        pattern.push(letter);
    }
    pattern + "$"
}

/// One run of cargo-mutants; nothing, if somebody wants this to end.
fn round(tree: &Tree, chosen: &[String], output: &Path, more: &[&str]) -> Tried {
    let mut command = Command::new(program::installed()?);
    command.arg("mutants").arg("--dir").arg(tree.path()).arg("--output").arg(output);
    // The build products of the tree, so that a mutant costs one compilation of one crate, and only that of its unit tests.
    tree.equip(&mut command);
    command.args(["--cargo-arg", "--lib"]);
    let (limit, build_limit) = (TEST_LIMIT.as_secs().to_string(), BUILD_LIMIT.as_secs().to_string());
    command.args(chosen).args(["--timeout", &limit, "--build-timeout", &build_limit]);
    // The tree is a copy already, and nobody else works in it. The baseline is run: a mutant counts as found when a command
    // fails, and this one must not fail for any other reason.
    command.args(["--in-place", "--baseline", "run", "--no-shuffle", "--colors", "never"]).args(more);
    let ended = stream::lines(&mut command, |line| println!("{line}"))?;
    if signals::interrupted() {
        return Ok(None);
    }
    // 0: all found; 2: some missed; 3: some hung. Anything else: it could not do its work.
    if !matches!(ended.status.code(), Some(0 | 2 | 3)) {
        return Err(MutantsError::Failed(ended.status.to_string()).into());
    }
    Ok(Some(read(&files::read(&output.join("mutants.out/outcomes.json"))?)?))
}

/// Takes in what all tests say about those that the fast ones missed.
fn recheck(piece: &mut Piece, again: Piece) {
    for name in ["CaughtMutant", "Timeout"] {
        *piece.figures.entry(name.to_owned()).or_default() += again.figure(name);
    }
    piece.figures.insert("MissedMutant".to_owned(), again.figure("MissedMutant"));
    piece.names = again.names;
}

/// What cargo-mutants writes, as far as it is of interest.
#[derive(Debug, Deserialize)]
struct Outcomes {
    outcomes: Vec<OneOutcome>,
}

#[derive(Debug, Deserialize)]
struct OneOutcome {
    scenario: Scenario,
    summary: String,
}

#[derive(Debug, Deserialize)]
enum Scenario {
    Baseline,
    Mutant { name: String },
}

fn read(text: &str) -> Result<Piece, serde_json::Error> {
    let read: Outcomes = serde_json::from_str(text)?;
    let mut piece = Piece::default();
    for one in read.outcomes {
        let Scenario::Mutant { name } = one.scenario else { continue };
        if one.summary == "MissedMutant" {
            piece.names.push(name);
        }
        *piece.figures.entry(one.summary).or_default() += 1;
    }
    Ok(piece)
}

fn told(piece: &Piece) -> String {
    let [found, hung, missed, unviable] =
        ["CaughtMutant", "Timeout", "MissedMutant", "Unviable"].map(|name| piece.figure(name));
    format!("{found} found, {hung} hung, {missed} missed, {unviable} do not compile")
}

/// Per cent of those that compile; nothing of nothing.
#[allow(clippy::cast_precision_loss, reason = "thousands")]
fn score(piece: &Piece) -> Option<f64> {
    let found = piece.figure("CaughtMutant") + piece.figure("Timeout");
    let all = found + piece.figure("MissedMutant");
    (all > 0).then(|| found as f64 * 100.0 / all as f64)
}

fn tell(sum: &Piece, done: usize, shards: &[Shard], context: &Context<'_>, table: &mut Table) {
    for name in &sum.names {
        println!("missed: {name}");
    }
    let part = match context.command.shard {
        Some(shard) => format!(", part {}", shard.name()),
        None if done < shards.len() => format!(", {done} of {} shards", shards.len()),
        None => String::new(),
    };
    match score(sum) {
        Some(score) => {
            table.row("mutation score of src/saga", format!("{score:.1} % ({}{part})", told(sum)));
            if score < WANTED {
                table.fail(format!("the mutation score is below {WANTED} %"));
            }
        }
        None => table.fail("no mutant was tried: what did not run must not look like what passed".to_owned()),
    }
    if done < shards.len() {
        table.fail(format!("{} of {} shards of mutants were not tried", shards.len() - done, shards.len()));
    }
}

impl Shard {
    fn name(self) -> String {
        format!("{}-of-{}", self.part, self.of)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_are_counted_from_one() {
        assert_eq!(shard("3/20"), Ok(Shard { part: 3, of: 20 }));
        assert!(["0/20", "21/20", "3", "a/b"].iter().all(|text| shard(text).is_err()));
    }

    #[test]
    fn a_name_is_chosen_as_it_stands() {
        let name = "src/saga/a.rs:1:2: replace || with && in <impl A for B>::f -> Option<(u8, [u8; 2])>";
        let wanted = r"^src/saga/a\.rs:1:2: replace \|\| with && in <impl A for B>::f -> Option<\(u8, \[u8; 2\]\)>$";
        assert_eq!(exactly(name), wanted);
    }

    #[test]
    fn what_does_not_compile_counts_neither_way_and_what_hangs_counts_as_found() -> Result<(), serde_json::Error> {
        let one =
            |summary: &str| format!(r#"{{"scenario":{{"Mutant":{{"name":"m {summary}"}}}},"summary":"{summary}"}}"#);
        let all = ["CaughtMutant", "Timeout", "CaughtMutant", "MissedMutant", "Unviable"].map(one).join(",");
        let mut piece = read(&format!(r#"{{"outcomes":[{{"scenario":"Baseline","summary":"Success"}},{all}]}}"#))?;
        assert_eq!(score(&piece), Some(75.0));
        assert_eq!(piece.names, ["m MissedMutant"]);
        assert_eq!(score(&Piece::default()), None);
        let again = |summary| read(&format!(r#"{{"outcomes":[{}]}}"#, one(summary)));
        recheck(&mut piece, again("CaughtMutant")?);
        assert_eq!((score(&piece), piece.names.len()), (Some(100.0), 0));
        Ok(())
    }
}
