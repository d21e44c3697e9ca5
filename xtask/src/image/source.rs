//! Which commit is built, and its time.

use std::env;
use std::process::Command;

use crate::paths;

/// A variable says something else than a number.
#[derive(Debug, thiserror::Error)]
#[error("SOURCE_DATE_EPOCH is '{0}', which is no number of seconds since 1970")]
pub(crate) struct SourceError(String);

/// Where a build comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Source {
    /// Its hash, with `-dirty` when files differ from it; none without git.
    pub(crate) commit: Option<String>,
    /// Seconds since 1970: every time in the image.
    pub(crate) time: u64,
}

impl Source {
    /// RFC 3339.
    pub(crate) fn timestamp(&self) -> String {
        let time = i64::try_from(self.time).ok().and_then(|seconds| jiff::Timestamp::from_second(seconds).ok());
        time.unwrap_or(jiff::Timestamp::UNIX_EPOCH).to_string()
    }
}

/// `SAGA_COMMIT` and `SOURCE_DATE_EPOCH` win over what git says; without either the time is 1970.
pub(crate) fn read() -> Result<Source, SourceError> {
    let commit = set("SAGA_COMMIT").or_else(commit);
    let time = match set("SOURCE_DATE_EPOCH") {
        Some(text) => text.parse().map_err(|_| SourceError(text))?,
        None => git(&["log", "-1", "--format=%ct"]).and_then(|text| text.parse().ok()).unwrap_or(0),
    };
    Ok(Source { commit, time })
}

fn set(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.is_empty())
}

fn commit() -> Option<String> {
    let hash = git(&["rev-parse", "HEAD"])?;
    let clean = git(&["status", "--porcelain", "--untracked-files=no"]).is_some_and(|changes| changes.is_empty());
    Some(if clean { hash } else { format!("{hash}-dirty") })
}

/// What git prints; none when there is no git or no repository.
fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).current_dir(paths::workspace()).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}
