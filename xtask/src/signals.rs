//! Ctrl-C and SIGTERM: what was started is stopped before the command ends.
//!
//! Flow: children run in process groups of their own, so the terminal's Ctrl-C reaches only this process. It passes the
//! signal on to the group in the foreground and remembers it; whoever waits looks at [`interrupted`] and cleans up. A
//! second signal kills the group.

use std::io;
use std::sync::atomic::{AtomicI32, AtomicUsize, Ordering};
use std::thread;

use rustix::process::{Pid, Signal, kill_process_group};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

/// The process group that gets the signals; 0 when none does.
static FOREGROUND: AtomicI32 = AtomicI32::new(0);
static RECEIVED: AtomicUsize = AtomicUsize::new(0);

/// The handler could not be installed.
#[derive(Debug, thiserror::Error)]
#[error("failed to install the signal handler")]
pub(crate) struct InstallError(#[source] io::Error);

/// Starts to listen for signals.
pub(crate) fn install() -> Result<(), InstallError> {
    let mut signals = Signals::new([SIGINT, SIGTERM]).map_err(InstallError)?;
    thread::spawn(move || {
        for _ in signals.forever() {
            let earlier = RECEIVED.fetch_add(1, Ordering::SeqCst);
            signal_group(FOREGROUND.load(Ordering::SeqCst), if earlier == 0 { Signal::TERM } else { Signal::KILL });
        }
    });
    Ok(())
}

/// Whether somebody wants this command to end.
pub(crate) fn interrupted() -> bool {
    RECEIVED.load(Ordering::SeqCst) > 0
}

/// While it lives, signals are passed on to a child's process group.
#[derive(Debug)]
pub(crate) struct Foreground(i32);

impl Foreground {
    /// Passes signals on to the group that this child leads.
    pub(crate) fn of(child: &std::process::Child) -> Self {
        let group = i32::try_from(child.id()).unwrap_or(0);
        FOREGROUND.store(group, Ordering::SeqCst);
        if interrupted() {
            signal_group(group, Signal::TERM);
        }
        Self(group)
    }

    /// Kills whatever is left of the group.
    pub(crate) fn kill(&self) {
        signal_group(self.0, Signal::KILL);
    }
}

impl Drop for Foreground {
    fn drop(&mut self) {
        FOREGROUND.store(0, Ordering::SeqCst);
    }
}

fn signal_group(group: i32, signal: Signal) {
    if let Some(group) = (group > 0).then(|| Pid::from_raw(group)).flatten() {
        // The group may have ended on its own.
        let _gone = kill_process_group(group, signal);
    }
}
