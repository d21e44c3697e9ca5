//! Running a command while its output is read line by line.

use std::env;
use std::io::{self, BufRead, BufReader, IsTerminal};
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use crate::signals::Foreground;

/// How long output may still come after the command has ended: something it left behind holds the pipe.
const LINGER: Duration = Duration::from_secs(3);

/// A command could not be run.
#[derive(Debug, thiserror::Error)]
#[error("failed to run {program}")]
pub(crate) struct StreamError {
    program: String,
    #[source]
    source: io::Error,
}

/// How a command ended, and what it left behind.
#[derive(Debug)]
pub(crate) struct Ended {
    /// Its exit status.
    pub(crate) status: ExitStatus,
    /// A process of it went on and was killed.
    pub(crate) left_something: bool,
    /// It took too long and was killed.
    pub(crate) overdue: bool,
}

/// Runs a command with its output and its errors in one pipe, in the order in which they are written.
pub(crate) fn lines(command: &mut Command, each: impl FnMut(&str)) -> Result<Ended, StreamError> {
    lines_within(command, Duration::MAX, each)
}

/// As [`lines`]; kills what takes longer than `limit`.
pub(crate) fn lines_within(
    command: &mut Command,
    limit: Duration,
    mut each: impl FnMut(&str),
) -> Result<Ended, StreamError> {
    let program = command.get_program().to_string_lossy().into_owned();
    lines_of(command, limit, &mut each).map_err(|source| StreamError { program, source })
}

fn lines_of(command: &mut Command, limit: Duration, each: &mut dyn FnMut(&str)) -> io::Result<Ended> {
    let begun = Instant::now();
    let (reader, writer) = io::pipe()?;
    command.stdin(Stdio::null()).stdout(writer.try_clone()?).stderr(writer).process_group(0);
    let mut child = command.spawn()?;
    // The command holds the pipe's other end until it is told to forget it; without this the pipe would never end.
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let foreground = Foreground::of(&child);

    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let mut reader = BufReader::new(reader);
        let mut line = Vec::new();
        while reader.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
            let text = String::from_utf8_lossy(&line).trim_end_matches(['\n', '\r']).to_owned();
            line.clear();
            if sender.send(text).is_err() {
                return;
            }
        }
    });

    let mut ended_at = None;
    let mut left_something = false;
    let mut overdue = false;
    loop {
        if !overdue && begun.elapsed() > limit {
            overdue = true;
            foreground.kill();
        }
        match receiver.recv_timeout(Duration::from_millis(100)) {
            Ok(line) => each(&line),
            Err(RecvTimeoutError::Disconnected) => break,
            Err(RecvTimeoutError::Timeout) => {
                if ended_at.is_none() && child.try_wait()?.is_some() {
                    ended_at = Some(Instant::now());
                }
                let silent_for = ended_at.map_or(Duration::ZERO, |at| at.elapsed());
                if silent_for > LINGER && !left_something {
                    left_something = true;
                    foreground.kill();
                } else if silent_for > LINGER * 2 {
                    break; // it left the group: the thread ends with the pipe
                }
            }
        }
    }
    Ok(Ended { status: child.wait()?, left_something, overdue })
}

/// Cargo, free of what an outer cargo says about this package: some build scripts would run again for it.
pub(crate) fn cargo() -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    for (name, _) in env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST_") || text == "CARGO_PRIMARY_PACKAGE" {
            command.env_remove(&name);
        }
    }
    // The pipe hides the terminal from it.
    if io::stdout().is_terminal() && env::var_os("NO_COLOR").is_none() {
        command.env("CARGO_TERM_COLOR", "always");
    }
    command.current_dir(crate::paths::workspace());
    command
}
