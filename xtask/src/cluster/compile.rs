//! Building the control plane from source, once for each state of `xtask/control-plane`.
//!
//! Flow: the name of the result is a hash of all that goes in. When it is not there, one process takes the lock and
//! builds beside the final place, then renames; the others wait and find it.
//!
//! Guarantees: a directory under its final name is complete. Caveats: results of earlier states are kept.

use std::env;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};

use super::toolchain::{self, ToolchainError};
use crate::files::{self, FileError};
use crate::paths::{self, NoCache};
use crate::stream::{self, StreamError};

/// The control plane could not be built.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CompileError {
    /// Go is not usable.
    #[error(transparent)]
    Toolchain(#[from] ToolchainError),
    /// There is nowhere to put it.
    #[error(transparent)]
    NoCache(#[from] NoCache),
    /// A file could not be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// Go did not start.
    #[error(transparent)]
    Stream(#[from] StreamError),
    /// Ctrl-C.
    #[error("the build of the control plane was interrupted; the next one goes on where it stopped")]
    Interrupted,
    /// Go found a fault.
    #[error(
        "failed to build the control plane; go's last words:\n{last_words}\nThe build takes its modules from the Go \
         module proxy (GOPROXY) and about 6 GB of disk for Go's caches. KUBEBUILDER_ASSETS can name a directory with a \
         ready-made etcd, kube-apiserver and kubectl instead"
    )]
    Failed {
        /// The end of its output.
        last_words: String,
    },
}

/// The names by which the one program is called.
const NAMES: [&str; 4] = ["etcd", "kube-apiserver", "kube-controller-manager", "kubectl"];
const PROGRAM: &str = "control-plane";
const SOURCES: [&str; 3] = ["go.mod", "go.sum", "main.go"];
/// How often the build says that it is still there.
const PROGRESS_EVERY: Duration = Duration::from_secs(15);
/// How many lines of a failed build are shown.
const LAST_WORDS: usize = 25;

/// The directory of the built control plane.
pub(crate) fn built() -> Result<PathBuf, CompileError> {
    let module = paths::workspace().join("xtask/control-plane");
    let go_mod = files::read(&module.join("go.mod"))?;
    let flags = link_flags(&go_mod);
    let home = paths::cache()?.join("control-plane");
    let directory = home.join(fingerprint(&module, &flags)?);
    if directory.is_dir() {
        return Ok(directory);
    }
    let go = toolchain::go(&go_mod)?;
    let _lock =
        files::lock(&home.join("lock"), || eprintln!("waiting: another build of the control plane is under way"))?;
    if directory.is_dir() {
        return Ok(directory);
    }
    let partial = directory.with_extension("partial");
    files::remove_directory(&partial)?;
    files::make_directory(&partial)?;
    let scratch = home.join("scratch");
    files::remove_directory(&scratch)?;
    files::make_directory(&scratch)?;
    let outcome = build(&go, &module, &flags, &partial.join(PROGRAM), &scratch);
    files::remove_directory(&scratch)?;
    outcome?;
    for name in NAMES {
        files::link(PROGRAM, &partial.join(name))?;
    }
    files::rename(&partial, &directory)?;
    Ok(directory)
}

/// Without a version in the binaries kubectl refuses the API server's.
fn link_flags(go_mod: &str) -> String {
    let version = toolchain::required(go_mod, "k8s.io/kubernetes").unwrap_or("v0.0.0");
    let mut parts = version.trim_start_matches('v').split('.');
    let (major, minor) = (parts.next().unwrap_or("0"), parts.next().unwrap_or("0"));
    let base = "k8s.io/component-base/version";
    format!(
        "-s -w -X {base}.gitVersion={version} -X {base}.gitMajor={major} -X {base}.gitMinor={minor} \
         -X {base}.gitTreeState=clean -X k8s.io/client-go/pkg/version.gitVersion={version}"
    )
}

fn fingerprint(module: &Path, flags: &str) -> Result<String, CompileError> {
    let mut hash = Sha256::new();
    for name in SOURCES {
        hash.update(files::read(&module.join(name))?);
        hash.update([0]);
    }
    hash.update(flags);
    hash.update(env::consts::ARCH);
    let mut text = String::new();
    for byte in hash.finalize().iter().take(8) {
        // Writing to a string does not fail.
        let _always_ok = write!(text, "{byte:02x}");
    }
    Ok(text)
}

fn build(go: &Path, module: &Path, flags: &str, output: &Path, scratch: &Path) -> Result<(), CompileError> {
    eprintln!(
        "building etcd, kube-apiserver, kube-controller-manager and kubectl from source: once, about 5 minutes on 2 cores"
    );
    let mut command = Command::new(go);
    command
        .args(["build", "-v", "-mod=readonly", "-buildvcs=false", "-trimpath", "-ldflags", flags, "-o"])
        .arg(output)
        .arg(".")
        .current_dir(module)
        // Only this module's rules: no workspace file, no flags of another project, no C compiler.
        .env("GOWORK", "off")
        .env("GOFLAGS", "")
        .env("GOTOOLCHAIN", "local")
        .env("CGO_ENABLED", "0")
        // An interrupted go leaves its half gigabyte of work behind, so it gets a place that is cleared.
        .env("GOTMPDIR", scratch);
    let mut progress = Progress::new();
    let ended = stream::lines(&mut command, |line| progress.line(line))?;
    if ended.status.success() {
        eprintln!("  built in {} s", progress.begun.elapsed().as_secs());
        return Ok(());
    }
    if crate::signals::interrupted() {
        return Err(CompileError::Interrupted);
    }
    let from = progress.output.len().saturating_sub(LAST_WORDS);
    Err(CompileError::Failed { last_words: progress.output[from..].join("\n") })
}

/// Go says a line for each module and each package; people need one now and then.
#[derive(Debug)]
struct Progress {
    begun: Instant,
    said: Instant,
    modules: usize,
    packages: usize,
    output: Vec<String>,
}

impl Progress {
    fn new() -> Self {
        let now = Instant::now();
        Self { begun: now, said: now, modules: 0, packages: 0, output: Vec::new() }
    }

    fn line(&mut self, line: &str) {
        if line.starts_with("go: downloading ") {
            self.modules += 1;
        } else {
            self.packages += 1;
        }
        if self.said.elapsed() >= PROGRESS_EVERY {
            self.said = Instant::now();
            let seconds = self.begun.elapsed().as_secs();
            eprintln!(
                "  {seconds:>4} s  {} modules fetched, {} packages compiled, now: {line}",
                self.modules, self.packages
            );
        }
        self.output.push(line.to_owned());
    }
}
