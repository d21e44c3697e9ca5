//! Every check of the project, one after the other, whatever the earlier ones found.
//!
//! Guarantees: the last line is `N passed, N failed`; the exit code is zero only without failures; the control plane
//! that was started is stopped, also after a failure and after Ctrl-C.

mod count;
mod deny;
mod rights;

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use clap::ValueEnum;

use self::count::Counter;
use crate::cluster::{self, Borrowed, Durability};
use crate::paths;
use crate::signals;
use crate::stream::{self, StreamError};

#[derive(Debug, clap::Args)]
pub(crate) struct Command {
    /// Only these checks
    #[arg(long, value_enum, value_name = "NAME")]
    only: Vec<Check>,
    /// Start no control plane; tests that need one are on their own
    #[arg(long)]
    no_cluster: bool,
    /// Test against the cluster of KUBECONFIG (also with SAGA_TEST_CLUSTER=kubeconfig)
    #[arg(long, conflicts_with = "no_cluster")]
    kubeconfig: bool,
    /// For `cargo test`: which tests, and what follows `--`
    #[arg(last = true)]
    tests: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Check {
    /// The layout of the code
    Fmt,
    /// The compiler's and clippy's warnings
    Clippy,
    /// Licences, sources and duplicates of dependencies
    Deny,
    /// All that is compiled for tests
    Build,
    /// Files made from the code
    Generate,
    /// Every test, against a real control plane
    Tests,
}

/// Tests of the core alone, which keep all processors busy for minutes: they need no control plane, and share the machine with
/// none.
const ALONE: [&str; 2] = ["model", "simulation"];

/// The checks could not be run at all.
#[derive(Debug, thiserror::Error)]
#[error("failed to write to standard output")]
pub(crate) struct TestError(#[from] io::Error);

/// What was found so far.
#[derive(Debug, Default)]
struct Tally {
    passed: usize,
    failed: usize,
    /// A line for each check.
    checks: Vec<String>,
    /// The names of what failed.
    failures: Vec<String>,
    /// The names of tests that were not asked.
    ignored: Vec<String>,
}

/// The command.
pub(crate) fn run(command: &Command) -> Result<ExitCode, TestError> {
    let mut tally = Tally::default();
    // Before anything is built: a program whose file is replaced while it runs does not know where it was.
    let own = std::env::current_exe();
    for check in Check::value_variants() {
        if signals::interrupted() {
            tally.failed += 1;
            tally.failures.push("interrupted".to_owned());
            break;
        }
        if !command.only.is_empty() && !command.only.contains(check) {
            continue;
        }
        match check {
            Check::Fmt => tally.run("fmt", || quiet(&["fmt", "--all", "--check"])),
            Check::Clippy => tally.run("clippy", || {
                quiet(&["clippy", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"])
            }),
            Check::Deny => tally.run("deny", deny::check),
            Check::Build => tally.run("build", || quiet(&["test", "--workspace", "--locked", "--no-run"])),
            Check::Generate => tally.run("generate", || generate(command, &own)),
            Check::Tests => tests(&mut tally, command),
        }
    }
    tally.print()
}

type Found = Result<bool, Box<dyn std::error::Error>>;

/// In a process of its own: what it prints goes through the same pipe.
fn generate(command: &Command, own: &io::Result<PathBuf>) -> Found {
    let own = own.as_ref().map_err(ToString::to_string)?;
    let mut generate = std::process::Command::new(own);
    generate.args(["generate", "--check"]);
    // Built by itself it has dependencies with other features, and most of them are compiled once more.
    if command.only.is_empty() || command.only.contains(&Check::Build) {
        generate.arg("--operator").arg(own.with_file_name("saga-operator"));
    }
    Ok(show(&mut generate)?)
}

/// Runs cargo; the check is whether it succeeds.
fn quiet(arguments: &[&str]) -> Found {
    Ok(show(stream::cargo().args(arguments))?)
}

fn show(command: &mut std::process::Command) -> Result<bool, StreamError> {
    Ok(stream::lines(command, |line| println!("{line}"))?.status.success())
}

fn tests(tally: &mut Tally, command: &Command) {
    let all = command.tests.is_empty();
    if all {
        counted(tally, "documentation", cargo(&["--doc".to_owned()]));
        counted(tally, "tests of the core alone", cargo(&targets(&ALONE)));
    }
    let mut borrowed = None;
    if !command.no_cluster {
        tally.run("control plane", || {
            borrowed = Some(Borrowed::take(command.kubeconfig, Durability::NoFsync)?);
            Ok(true)
        });
    }
    let mut programs = Vec::new();
    tally.run("helm", || {
        programs = crate::helm::variables(|line| println!("{line}"))?;
        Ok(true)
    });
    let mut chosen = command.tests.clone();
    if all {
        match others() {
            Ok(others) => chosen = others,
            Err(error) => {
                tally.run("targets", || Err(error.into()));
            }
        }
    }
    let mut tests = cargo(&chosen);
    tests.envs(programs);
    if let Some(cluster) = &borrowed {
        tests.envs(cluster.variables.iter().map(|(name, value)| (name, value)));
    }
    counted(tally, "tests", tests);
    // Tests that were not run used nothing.
    let whole = all && !signals::interrupted();
    if let Some(log) = borrowed.as_ref().filter(|_| whole).and_then(Borrowed::audit_log) {
        tally.run("rights", || rights::check(&log));
    }
}

fn cargo(arguments: &[String]) -> std::process::Command {
    let mut cargo = stream::cargo();
    cargo.args(["test", "--workspace", "--locked", "--no-fail-fast"]).args(arguments);
    for name in cluster::VARIABLE_NAMES {
        cargo.env_remove(name);
    }
    // Whatever a test starts without naming a cluster must not find the developer's own.
    cargo.env("KUBECONFIG", "/dev/null");
    cargo
}

/// All targets but those that are run alone.
fn others() -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(paths::workspace().join("tests"))? {
        let path = entry?.path();
        let name = path.file_stem().and_then(|name| name.to_str()).filter(|_| path.extension().is_some());
        names.extend(name.filter(|name| !ALONE.contains(name)).map(str::to_owned));
    }
    names.sort_unstable();
    let tests = targets(&names.iter().map(String::as_str).collect::<Vec<_>>());
    Ok(["--lib", "--bins"].map(str::to_owned).into_iter().chain(tests).collect())
}

fn targets(names: &[&str]) -> Vec<String> {
    names.iter().flat_map(|name| ["--test".to_owned(), (*name).to_owned()]).collect()
}

/// Runs tests, and counts them.
fn counted(tally: &mut Tally, name: &str, mut cargo: std::process::Command) {
    if signals::interrupted() {
        return;
    }
    header(name);
    let begun = Instant::now();
    let mut counter = Counter::default();
    let ended = stream::lines(&mut cargo, |line| {
        println!("{line}");
        counter.line(line);
    });
    match ended {
        Ok(ended) => {
            if ended.left_something {
                println!("warning: a test left a process behind, which was killed");
            }
            counter.finish(ended.status.success());
        }
        Err(error) => {
            println!("{}", crate::chain(&error));
            counter.finish(false);
        }
    }
    let (passed, failed) = (counter.passed, counter.failed);
    tally.checks.push(line(name, failed == 0, begun) + &format!(": {passed} passed, {failed} failed"));
    tally.passed += passed;
    tally.failed += failed;
    tally.failures.append(&mut counter.failures);
    tally.ignored.append(&mut counter.ignored);
}

fn header(name: &str) {
    println!("\n==== {name}");
}

fn line(name: &str, good: bool, begun: Instant) -> String {
    format!("{} {name} ({:.1} s)", if good { "pass" } else { "FAIL" }, begun.elapsed().as_secs_f32())
}

impl Tally {
    fn run(&mut self, name: &str, check: impl FnOnce() -> Found) {
        header(name);
        let begun = Instant::now();
        let good = check().unwrap_or_else(|error| {
            println!("error: {}", crate::chain(error.as_ref()));
            false
        });
        self.checks.push(line(name, good, begun));
        if good {
            self.passed += 1;
        } else {
            self.failed += 1;
            self.failures.push(name.to_owned());
        }
    }

    fn print(&self) -> Result<ExitCode, TestError> {
        let mut out = io::stdout().lock();
        writeln!(out, "\n==== summary")?;
        for check in &self.checks {
            writeln!(out, "{check}")?;
        }
        for name in &self.ignored {
            writeln!(out, "ignored: {name}")?;
        }
        for name in &self.failures {
            writeln!(out, "failed: {name}")?;
        }
        writeln!(out, "{} passed, {} failed", self.passed, self.failed)?;
        out.flush()?;
        Ok(if self.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}
