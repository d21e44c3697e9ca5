//! Processes that outlive the command that started them.

use std::fs;
use std::io;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use serde::{Deserialize, Serialize};

/// How long a killed process may take to disappear.
const GONE_WITHIN: Duration = Duration::from_secs(10);

/// One process of this boot. A pid alone is used again; a pid with its start time is not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Identity {
    pid: u32,
    /// Clock ticks after boot.
    started: u64,
    boot: String,
}

/// A process could not be started or stopped.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ProcessError {
    /// The program did not start.
    #[error("failed to start {program}")]
    Start {
        /// Which.
        program: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The signal was refused.
    #[error("failed to stop process {pid}")]
    Stop {
        /// Which.
        pid: u32,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It does not react.
    #[error("process {pid} is still there {} s after SIGKILL", GONE_WITHIN.as_secs())]
    Stays {
        /// Which.
        pid: u32,
    },
}

impl Identity {
    /// The process that has this pid now.
    pub(crate) fn of(pid: u32) -> Option<Self> {
        let (_, started) = stat(pid)?;
        Some(Self { pid, started, boot: boot()? })
    }

    /// This very process.
    pub(crate) fn own() -> Option<Self> {
        Self::of(std::process::id())
    }

    /// Its number, for people.
    pub(crate) fn pid(&self) -> u32 {
        self.pid
    }

    /// Whether it still runs. A zombie does not.
    pub(crate) fn alive(&self) -> bool {
        boot().is_some_and(|boot| boot == self.boot)
            && stat(self.pid).is_some_and(|(state, started)| started == self.started && !matches!(state, 'Z' | 'X'))
    }

    /// Kills it, if it is still the same process, and waits until it is gone.
    pub(crate) fn kill(&self) -> Result<(), ProcessError> {
        // Opened first, checked second: from here on the handle cannot come to mean another process.
        let handle =
            i32::try_from(self.pid).ok().and_then(Pid::from_raw).map(|pid| pidfd_open(pid, PidfdFlags::empty()));
        let handle = match handle {
            Some(Ok(handle)) => handle,
            Some(Err(rustix::io::Errno::SRCH)) | None => return Ok(()),
            Some(Err(error)) => return Err(ProcessError::Stop { pid: self.pid, source: error.into() }),
        };
        if !self.alive() {
            return Ok(());
        }
        if let Err(error) = pidfd_send_signal(&handle, Signal::KILL)
            && error != rustix::io::Errno::SRCH
        {
            return Err(ProcessError::Stop { pid: self.pid, source: error.into() });
        }
        let deadline = Instant::now() + GONE_WITHIN;
        while self.alive() {
            if Instant::now() > deadline {
                return Err(ProcessError::Stays { pid: self.pid });
            }
            thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }

    /// Resident memory in MiB.
    pub(crate) fn memory_mib(&self) -> Option<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid)).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
        line.split_whitespace().next()?.parse::<u64>().ok().map(|kib| kib / 1024)
    }
}

/// Starts a program in the background, its output in a file.
pub(crate) fn start(command: &mut Command, log: &Path) -> Result<Child, ProcessError> {
    use std::os::unix::process::CommandExt;
    let failed = |source| ProcessError::Start { program: command.get_program().to_string_lossy().into_owned(), source };
    let output = fs::File::create(log).map_err(failed)?;
    let errors = output.try_clone().map_err(failed)?;
    command.stdin(Stdio::null()).stdout(output).stderr(errors).process_group(0);
    command
        .spawn()
        .map_err(|source| ProcessError::Start { program: command.get_program().to_string_lossy().into_owned(), source })
}

/// State letter and start time. The name before them is in parentheses and may hold anything, parentheses too.
fn stat(pid: u32) -> Option<(char, u64)> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, rest) = text.rsplit_once(')')?;
    let mut fields = rest.split_whitespace();
    let state = fields.next()?.chars().next()?;
    let started = fields.nth(18)?.parse().ok()?;
    Some((state, started))
}

fn boot() -> Option<String> {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").ok().map(|text| text.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recycled_pid_is_another_process() -> Result<(), Box<dyn std::error::Error>> {
        let own = Identity::own().ok_or("no /proc")?;
        assert!(own.alive());
        let earlier = Identity { started: own.started - 1, ..own };
        assert!(!earlier.alive());
        earlier.kill()?; // or this test would not end
        Ok(())
    }

    #[test]
    fn a_killed_process_is_gone_although_nobody_waited_for_it() -> Result<(), Box<dyn std::error::Error>> {
        let mut child = Command::new("sleep").arg("60").spawn()?;
        let identity = Identity::of(child.id()).ok_or("no /proc")?;
        identity.kill()?;
        assert!(!identity.alive());
        identity.kill()?;
        child.wait()?;
        Ok(())
    }
}
