//! Files that are made from the code: the CRDs and the reference pages; and what the charts have of them.
//!
//! Flow: each row of [`OUTPUTS`] runs the operator once and turns its standard output into files; they are written, or
//! with `--check` compared. Then come the files of the charts, which are made from files.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{self, ExitCode};

use crate::files::{self, FileError};
use crate::helm::{self, ChartError};
use crate::paths;
use crate::stream;

#[derive(Debug, clap::Args)]
pub(crate) struct Command {
    /// Write nothing; fail when a file is not what the code makes
    #[arg(long)]
    check: bool,
    /// Ask this program instead of one that is built for it
    #[arg(long, value_name = "FILE", hide = true)]
    operator: Option<PathBuf>,
}

/// One run of the operator.
#[derive(Debug)]
struct Output {
    arguments: &'static [&'static str],
    to: Target,
    presence: Presence,
}

/// Where the output goes.
#[derive(Debug, Clone, Copy)]
enum Target {
    /// As it is, into this file.
    File(&'static str),
    /// A YAML stream of CRDs, each into a file of its own; nothing else belongs into the directory.
    CrdDirectory(&'static str),
    /// Files of the charts, beside others.
    Charts,
}

/// Whether the operator has the command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Presence {
    /// It is a fault when it does not.
    Required,
    /// Not yet: it is skipped when it is unknown or prints nothing. Goes to `Required` with the command.
    #[cfg_attr(not(test), expect(dead_code, reason = "the operator has all of its commands"))]
    Planned,
}

const OUTPUTS: &[Output] = &[
    Output { arguments: &["crds"], to: Target::CrdDirectory("crds"), presence: Presence::Required },
    Output { arguments: &["help-markdown"], to: Target::File("docs/reference/cli.md"), presence: Presence::Required },
    Output { arguments: &["api-markdown"], to: Target::File("docs/reference/api.md"), presence: Presence::Required },
];

const CRD_HEADER: &str = "# Made from the code by `cargo xtask generate`: change the code, not this file.\n";

/// Files could not be generated.
#[derive(Debug, thiserror::Error)]
pub(crate) enum GenerateError {
    /// The operator did not start.
    #[error("failed to run the operator with {arguments}")]
    Run {
        /// How.
        arguments: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The operator ended with an error, which it has printed.
    #[error("the operator failed with {arguments}: {said}")]
    Failed {
        /// How it was called.
        arguments: String,
        /// What it said.
        said: String,
    },
    /// A document of the stream is not a CRD.
    #[error("document {number} of the operator's CRDs has no usable metadata.name: {said}")]
    NotACrd {
        /// Which, counted from 1.
        number: usize,
        /// What is wrong.
        said: String,
    },
    /// A file could not be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// A chart's file could not be made.
    #[error(transparent)]
    Chart(#[from] ChartError),
}

/// The command.
pub(crate) fn run(command: &Command) -> Result<ExitCode, GenerateError> {
    let root = paths::workspace();
    let operator = || {
        if let Some(operator) = &command.operator {
            return process::Command::new(operator);
        }
        let mut cargo = stream::cargo();
        cargo.args(["run", "--quiet", "--locked", "--package", "saga-operator", "--"]);
        cargo
    };
    let mut different = 0;
    for output in OUTPUTS {
        let Some(text) = printed(operator(), output)? else {
            println!("skipped: the operator does not know `{}` yet", output.arguments.join(" "));
            continue;
        };
        different += settle(command, &root, output.to, &wanted(output.to, &text)?)?;
    }
    different += settle(command, &root, Target::Charts, &helm::files(&root)?)?;
    if different == 0 {
        return Ok(ExitCode::SUCCESS);
    }
    println!("{different} generated files are not what the code makes; run: cargo xtask generate");
    Ok(ExitCode::FAILURE)
}

/// Writes files, or returns how many differ.
fn settle(
    command: &Command,
    root: &Path,
    target: Target,
    files: &BTreeMap<PathBuf, String>,
) -> Result<usize, GenerateError> {
    if command.check {
        return compare(root, target, files);
    }
    store(root, target, files)?;
    Ok(0)
}

/// The operator's standard output; none for a planned command that it does not have.
fn printed(mut operator: process::Command, output: &Output) -> Result<Option<String>, GenerateError> {
    let arguments = output.arguments.join(" ");
    let result = operator.args(output.arguments).output();
    let result = result.map_err(|source| GenerateError::Run { arguments: arguments.clone(), source })?;
    let said = String::from_utf8_lossy(&result.stderr).trim().to_owned();
    let text = String::from_utf8_lossy(&result.stdout).into_owned();
    let unknown = said.contains("unrecognized subcommand") || (result.status.success() && text.is_empty());
    match (unknown, output.presence) {
        (true, Presence::Planned) => Ok(None),
        (true, Presence::Required) => {
            Err(GenerateError::Failed { arguments, said: format!("it printed nothing. {said}") })
        }
        (false, _) if !result.status.success() => Err(GenerateError::Failed { arguments, said }),
        (false, Presence::Planned | Presence::Required) => Ok(Some(text)),
    }
}

/// What the files should hold, by their paths below the root.
fn wanted(target: Target, text: &str) -> Result<BTreeMap<PathBuf, String>, GenerateError> {
    let mut files = BTreeMap::new();
    match target {
        Target::File(path) => {
            files.insert(PathBuf::from(path), ended_by_newline(text));
        }
        // Not the operator's.
        Target::Charts => {}
        Target::CrdDirectory(directory) => {
            for (index, document) in documents(text).enumerate() {
                let name = crd_file(&document).map_err(|said| GenerateError::NotACrd { number: index + 1, said })?;
                files.insert(Path::new(directory).join(name), format!("{CRD_HEADER}{}", ended_by_newline(&document)));
            }
        }
    }
    Ok(files)
}

/// The documents of a YAML stream. A line of three dashes inside a block is indented, so it separates nothing.
fn documents(text: &str) -> impl Iterator<Item = String> {
    let mut all = vec![String::new()];
    for line in text.lines() {
        if line.trim_end() == "---" {
            all.push(String::new());
        } else if let Some(last) = all.last_mut() {
            last.push_str(line);
            last.push('\n');
        }
    }
    all.into_iter().filter(|document| !document.trim().is_empty())
}

#[derive(Debug, serde::Deserialize)]
struct Named {
    metadata: Metadata,
}

#[derive(Debug, serde::Deserialize)]
struct Metadata {
    name: String,
}

/// A CRD is named plural.group, its file group_plural.yaml.
fn crd_file(document: &str) -> Result<String, String> {
    let crd: Named = serde_saphyr::from_str(document).map_err(|error| error.to_string())?;
    let (plural, group) = crd.metadata.name.split_once('.').ok_or("its name has no group")?;
    if group.contains('/') || plural.contains('/') {
        return Err("its name is no file's name".to_owned());
    }
    Ok(format!("{group}_{plural}.yaml"))
}

fn ended_by_newline(text: &str) -> String {
    format!("{}\n", text.trim_end())
}

/// Names of files in the target's directory that nothing makes any more.
fn left_over(root: &Path, target: Target, files: &BTreeMap<PathBuf, String>) -> Result<Vec<PathBuf>, GenerateError> {
    let Target::CrdDirectory(directory) = target else { return Ok(Vec::new()) };
    let there = files::names(&root.join(directory))?.into_iter().map(|name| Path::new(directory).join(name));
    Ok(there.filter(|path| !files.contains_key(path)).collect())
}

fn store(root: &Path, target: Target, files: &BTreeMap<PathBuf, String>) -> Result<(), GenerateError> {
    for (path, text) in files {
        if files::read_if_there(&root.join(path))?.as_ref() != Some(text) {
            files::write(&root.join(path), text)?;
            println!("wrote {}", path.display());
        }
    }
    for path in left_over(root, target, files)? {
        println!("nothing makes {} any more: remove it", path.display());
    }
    Ok(())
}

/// Returns how many files differ.
fn compare(root: &Path, target: Target, files: &BTreeMap<PathBuf, String>) -> Result<usize, GenerateError> {
    let mut different = 0;
    for (path, text) in files {
        let there = files::read_if_there(&root.join(path))?;
        if there.as_ref() != Some(text) {
            different += 1;
            let (number, line) = first_difference(there.as_deref().unwrap_or(""), text);
            println!("differs: {}, first in line {number}, which should be: {line}", path.display());
        }
    }
    for path in left_over(root, target, files)? {
        different += 1;
        println!("differs: nothing makes {} any more", path.display());
    }
    Ok(different)
}

fn first_difference<'a>(there: &str, wanted: &'a str) -> (usize, &'a str) {
    let mut old = there.lines();
    for (index, line) in wanted.lines().enumerate() {
        if old.next() != Some(line) {
            return (index + 1, line);
        }
    }
    (wanted.lines().count() + 1, "the end")
}

#[cfg(test)]
mod tests {
    use super::*;

    const STREAM: &str = "---\nkind: CustomResourceDefinition\nmetadata:\n  name: sagaruns.sagas.dev\nspec:\n  text: |\n    ---\n    \
                          not a separator\n---\nmetadata: {name: sagadefinitions.sagas.dev}\n";

    type Tested = Result<(), Box<dyn std::error::Error>>;

    fn stub(script: &str) -> process::Command {
        let mut shell = process::Command::new("sh");
        shell.args(["-c", script, "stub"]);
        shell
    }

    fn directory(name: &str) -> Result<PathBuf, FileError> {
        let path = std::env::temp_dir().join(format!("xtask-generate-{name}-{}", std::process::id()));
        files::remove_directory(&path)?;
        files::make_directory(&path)?;
        Ok(path)
    }

    #[test]
    fn each_crd_goes_into_a_file_named_by_group_and_plural() -> Tested {
        let files = wanted(Target::CrdDirectory("crds"), STREAM)?;
        let names: Vec<_> = files.keys().map(|path| path.display().to_string()).collect();
        assert_eq!(names, ["crds/sagas.dev_sagadefinitions.yaml", "crds/sagas.dev_sagaruns.yaml"]);
        assert!(files[Path::new("crds/sagas.dev_sagaruns.yaml")].contains("    ---\n    not a separator\n"));
        Ok(())
    }

    #[test]
    fn a_document_without_a_name_is_refused_by_its_number() {
        let error = wanted(Target::CrdDirectory("crds"), "metadata: {name: a.b}\n---\nkind: X\n").err();
        assert!(error.is_some_and(|error| error.to_string().starts_with("document 2 ")));
    }

    #[test]
    fn what_is_stored_compares_equal_and_what_is_touched_does_not() -> Tested {
        let root = directory("round")?;
        let target = Target::CrdDirectory("crds");
        let files = wanted(target, STREAM)?;
        assert_eq!(compare(&root, target, &files)?, 2);
        store(&root, target, &files)?;
        assert_eq!(compare(&root, target, &files)?, 0);
        files::write(&root.join("crds/sagas.dev_sagaruns.yaml"), "other")?;
        files::write(&root.join("crds/old.yaml"), "left over")?;
        assert_eq!(compare(&root, target, &files)?, 2);
        Ok(files::remove_directory(&root)?)
    }

    #[test]
    fn only_a_planned_command_may_be_missing() -> Tested {
        let planned = Output { arguments: &["x"], to: Target::File("x"), presence: Presence::Planned };
        let required = Output { presence: Presence::Required, ..planned };
        let unknown = "echo \"error: unrecognized subcommand 'x'\" >&2; exit 2";
        assert!(printed(stub(unknown), &planned)?.is_none());
        assert!(printed(stub(unknown), &required).is_err());
        assert!(printed(stub("exit 0"), &planned)?.is_none());
        assert!(printed(stub("exit 0"), &required).is_err());
        assert!(printed(stub("echo broken >&2; exit 1"), &planned).is_err());
        assert_eq!(printed(stub("echo \"# $1\""), &required)?.as_deref(), Some("# x\n"));
        Ok(())
    }

    #[test]
    fn a_difference_is_named_by_its_line() {
        assert_eq!(first_difference("a\nb\n", "a\nc\n"), (2, "c"));
        assert_eq!(first_difference("a\nb\n", "a\n"), (2, "the end"));
    }
}
