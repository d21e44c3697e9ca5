//! The proofs that are tests themselves, run with more than `cargo xtask test` gives them.

use std::process::Command;
use std::time::Instant;

use super::piece::Piece;
use super::table::{Table, grouped};
use super::{Context, Done};
use crate::cluster::{self, Borrowed, Durability, Variables};
use crate::signals;
use crate::stream;

/// Seeds of one piece.
const BATCH: u64 = 20_000;
/// The one test that lives through seeds.
const LIVES: &str = "every_promise_is_kept_whatever_goes_wrong";

/// A figure that a test prints: a number, and the text right before or after it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Figure {
    pub(super) name: &'static str,
    pub(super) mark: Mark,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Mark {
    Before(&'static str),
    After(&'static str),
}

/// What to run.
pub(super) struct Job<'a> {
    pub(super) section: &'static str,
    /// Of the piece.
    pub(super) name: String,
    pub(super) target: &'static str,
    /// This test alone.
    pub(super) test: &'a str,
    pub(super) variables: Vec<(&'static str, String)>,
    pub(super) figures: &'a [Figure],
    /// Lines that begin like this are kept as they are.
    pub(super) kept: &'a [&'static str],
}

/// A section did not say what it is asked for.
#[derive(Debug, thiserror::Error)]
enum SuiteError {
    /// There is no such test target, or it does not compile.
    #[error("failed to list the tests of `--test {0}`, see above")]
    NotListed(&'static str),
    /// Everything ran, and nothing was counted.
    #[error("no test said how many {0}: what did not run must not look like what passed")]
    NoFigure(&'static str),
}

const STATES: [Figure; 1] = [Figure { name: "states explored", mark: Mark::Before(" unique states") }];
const LIVED: [Figure; 2] = [
    Figure { name: "seeds run", mark: Mark::Before(" seeds,") },
    Figure { name: "faults injected", mark: Mark::Before(" faults injected") },
];
const POINTS: [Figure; 2] = [
    Figure { name: "crash points on a real API server", mark: Mark::After("crash points: ") },
    Figure { name: "disturbances there in all", mark: Mark::After(" points: ") },
];
/// What disturbs runs on a real API server, point by point.
const DISTURBING: [&str; 5] =
    ["cluster_crash", "cluster_faults", "cluster_deletion", "cluster_watch", "cluster_pressure"];

/// Every state of small sagas: a piece for each test.
pub(super) fn model(context: &Context<'_>, table: &mut Table) -> Done {
    let tests = list("model")?;
    let jobs = tests.iter().map(|test| Job {
        section: "model",
        name: test.clone(),
        target: "model",
        test,
        variables: vec![("SAGA_MODEL_STATES", context.command.states.to_string())],
        figures: &STATES,
        kept: &[],
    });
    let done = all(context, table, jobs.collect(), &Variables::default())?;
    tell(table, &STATES, &done, tests.len())
}

/// Whole lives: a piece for each batch of seeds.
pub(super) fn simulation(context: &Context<'_>, table: &mut Table) -> Done {
    let end = context.command.first_seed.saturating_add(context.command.seeds);
    let mut jobs = Vec::new();
    let mut first = context.command.first_seed;
    while first < end {
        let count = BATCH.min(end - first);
        jobs.push(Job {
            section: "simulation",
            name: format!("{first}-{count}"),
            target: "simulation",
            test: LIVES,
            variables: vec![("SAGA_FIRST_SEED", first.to_string()), ("SAGA_SEEDS", count.to_string())],
            figures: &LIVED,
            kept: &[],
        });
        first += count;
    }
    let pieces = jobs.len();
    let done = all(context, table, jobs, &Variables::default())?;
    tell(table, &LIVED, &done, pieces)
}

/// `kill -9`, and every other trouble, at every point of a story: a piece for each.
pub(super) fn crash(context: &Context<'_>, table: &mut Table) -> Done {
    let mut tests = Vec::new();
    for target in DISTURBING {
        tests.extend(list(target)?.into_iter().map(|test| (target, test)));
    }
    let jobs: Vec<Job<'_>> = tests
        .iter()
        .map(|(target, test)| Job {
            section: "crash",
            name: format!("{target}-{test}"),
            target,
            test,
            variables: vec![("SAGA_PROVE", "1".to_owned())],
            figures: &POINTS,
            kept: &[],
        })
        .collect();
    let done = all_in_cluster(context, table, jobs)?;
    tell(table, &POINTS, &done, tests.len())
}

/// The same as [`all`], in a cluster that is there only if something has to be run.
pub(super) fn all_in_cluster(
    context: &Context<'_>,
    table: &mut Table,
    jobs: Vec<Job<'_>>,
) -> Result<(Piece, usize), Box<dyn std::error::Error>> {
    let mut borrowed = None;
    if jobs.iter().any(|job| !matches!(known(context, job), Ok(Some(_)))) {
        borrowed = Some(Borrowed::take(context.command.kubeconfig, Durability::NoFsync)?);
    }
    let variables = borrowed.as_ref().map(|cluster| cluster.variables.clone()).unwrap_or_default();
    all(context, table, jobs, &variables)
}

/// Runs what was not run yet. Gives what was found, and how many pieces that is.
fn all(
    context: &Context<'_>,
    table: &mut Table,
    jobs: Vec<Job<'_>>,
    variables: &Variables,
) -> Result<(Piece, usize), Box<dyn std::error::Error>> {
    let (mut sum, mut done, count) = (Piece::default(), 0, jobs.len());
    for (number, job) in jobs.iter().enumerate() {
        let begun = Instant::now();
        let (piece, when) = match known(context, job)? {
            Some(piece) => (piece, "found before".to_owned()),
            None if signals::interrupted() => break,
            None => match run(context, job, variables)? {
                Some(piece) => (piece, format!("{:.0} s", begun.elapsed().as_secs_f32())),
                None if signals::interrupted() => break,
                None => {
                    table.violate(format!("{} {}", job.section, job.name));
                    continue;
                }
            },
        };
        let told: Vec<String> =
            piece.figures.iter().map(|(name, figure)| format!("{} {name}", grouped(*figure))).collect();
        println!("{} {} of {count}: {} ({when}): {}", job.section, number + 1, job.name, told.join(", "));
        sum.add(&piece);
        done += 1;
    }
    Ok((sum, done))
}

fn known(context: &Context<'_>, job: &Job<'_>) -> Result<Option<Piece>, crate::files::FileError> {
    context.shelf.find(job.section, &job.name, &context.sources.digest)
}

/// Runs one piece, and keeps what it found; nothing, if a test failed.
fn run(
    context: &Context<'_>,
    job: &Job<'_>,
    variables: &Variables,
) -> Result<Option<Piece>, Box<dyn std::error::Error>> {
    let mut cargo = cargo(job.target);
    cargo.args(["--", "--exact", job.test, "--nocapture"]);
    cargo.envs(variables.iter().map(|(name, value)| (name, value)));
    cargo.envs(job.variables.iter().map(|(name, value)| (*name, value)));
    let mut piece = Piece { sources: context.sources.digest.clone(), ..Piece::default() };
    let mut passed = false;
    let ended = stream::lines(&mut cargo, |line| {
        println!("{line}");
        passed |= line.contains("test result: ok. 1 passed");
        for figure in job.figures {
            if let Some(number) = figure.read(line) {
                *piece.figures.entry(figure.name.to_owned()).or_default() += number;
            }
        }
        if job.kept.iter().any(|begin| line.starts_with(begin)) {
            piece.names.push(line.to_owned());
        }
    })?;
    if !ended.status.success() || !passed {
        return Ok(None);
    }
    context.shelf.keep(job.section, &job.name, &piece)?;
    Ok(Some(piece))
}

pub(super) fn tell(table: &mut Table, figures: &'static [Figure], (sum, done): &(Piece, usize), count: usize) -> Done {
    for figure in figures {
        let number = sum.figure(figure.name);
        let part = if *done < count { format!(" ({done} of {count} pieces)") } else { String::new() };
        table.row(figure.name, grouped(number) + &part);
    }
    if *done < count {
        table.fail(format!("{} of {count} pieces did not pass or were not run", count - done));
    }
    match figures.iter().find(|figure| sum.figure(figure.name) == 0) {
        Some(figure) => Err(SuiteError::NoFigure(figure.name).into()),
        None => Ok(()),
    }
}

/// The tests of a target.
pub(super) fn list(target: &'static str) -> Result<Vec<String>, Box<dyn std::error::Error>> {
    let mut tests = Vec::new();
    let mut cargo = cargo(target);
    let ended = stream::lines(cargo.args(["--", "--list"]), |line| match line.strip_suffix(": test") {
        Some(test) => tests.push(test.to_owned()),
        None => println!("{line}"),
    })?;
    if ended.status.success() && !tests.is_empty() { Ok(tests) } else { Err(SuiteError::NotListed(target).into()) }
}

fn cargo(target: &str) -> Command {
    let mut cargo = stream::cargo();
    cargo.args(["test", "--locked", "--package", "saga-operator", "--profile", "prove", "--test", target]);
    for name in cluster::VARIABLE_NAMES {
        cargo.env_remove(name);
    }
    // Whatever a test starts without naming a cluster must not find the developer's own.
    cargo.env("KUBECONFIG", "/dev/null").env("CARGO_TERM_COLOR", "never");
    cargo
}

impl Figure {
    /// The number in a line; other text may stand around it.
    fn read(self, line: &str) -> Option<u64> {
        let is_digit = |character: char| character.is_ascii_digit() || character == ',';
        let digits = match self.mark {
            Mark::Before(text) => {
                let before = &line[..line.find(text)?];
                let begin = before.rfind(|character| !is_digit(character)).map_or(0, |at| at + 1);
                before.get(begin..)?
            }
            Mark::After(text) => {
                let after = &line[line.find(text)? + text.len()..];
                &after[..after.find(|character| !is_digit(character)).unwrap_or(after.len())]
            }
        };
        digits.replace(',', "").parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_read_from_the_middle_of_lines() {
        assert_eq!(STATES[0].read("test it_holds ... model: 1234567 unique states"), Some(1_234_567));
        assert_eq!(STATES[0].read("model: 1,234,567 unique states, depth 40"), Some(1_234_567));
        assert_eq!(STATES[0].read("model: no unique states"), None);
        let line = "20000 seeds, 41234 runs, 512345 faults injected";
        assert_eq!(LIVED.map(|figure| figure.read(line)), [Some(20_000), Some(512_345)]);
        assert_eq!(POINTS[0].read("test killed ... crash points: 34 (a sequence)"), Some(34));
        assert_eq!(POINTS[0].read("crash points everywhere"), None);
        assert_eq!(POINTS.map(|figure| figure.read("fault points: 12 (a trip)")), [None, Some(12)]);
    }
}
