//! The operator as a static binary.
//!
//! Assumptions: the C library is the GNU one, 2.36 or later, with its static parts (Debian: libc6-dev). It resolves names
//! in a static program too (files and DNS are built in), and unpacks the relocations. Wherever the program runs there is
//! `/dev/urandom`, which the runtimes of containers provide.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::source::Source;
use crate::files::{self, FileError};
use crate::paths;
use crate::stream::{self, StreamError};

/// There is no static binary.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BinaryError {
    /// Images are made on two kinds of machine.
    #[error("images are made on x86_64 and aarch64, this machine is {0}: use the Dockerfile")]
    Machine(&'static str),
    /// Cargo did not start.
    #[error(transparent)]
    Stream(#[from] StreamError),
    /// The compiler found a fault.
    #[error(
        "failed to compile the operator, see above: a static binary needs the C library's static parts (Debian: libc6-dev)"
    )]
    Compile,
    /// A file could not be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// It is something else.
    #[error("{} {said}", path.display())]
    NotStatic {
        /// Which.
        path: PathBuf,
        /// What it is.
        said: &'static str,
    },
    /// It does not run.
    #[error("{} does not say its version: {said}", path.display())]
    Silent {
        /// Which.
        path: PathBuf,
        /// What it says.
        said: String,
    },
}

/// What is built for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Platform {
    /// As rustc calls it.
    pub(crate) triple: &'static str,
    /// As images call it.
    pub(crate) architecture: &'static str,
}

impl Platform {
    /// A binary for another machine could not be looked at here.
    pub(crate) const fn of_this_machine() -> Result<Self, BinaryError> {
        match std::env::consts::ARCH.as_bytes() {
            b"x86_64" => Ok(Self { triple: "x86_64-unknown-linux-gnu", architecture: "amd64" }),
            b"aarch64" => Ok(Self { triple: "aarch64-unknown-linux-gnu", architecture: "arm64" }),
            _ => Err(BinaryError::Machine(std::env::consts::ARCH)),
        }
    }
}

/// Compiles it; some minutes the first time.
pub(super) fn compile(platform: Platform, target: &Path, source: &Source) -> Result<PathBuf, BinaryError> {
    println!("compiling the operator as a static binary");
    let mut cargo = stream::cargo();
    // Named, so that the flags below are not for what runs at build time: macros cannot be static.
    cargo.args(["rustc", "--locked", "--profile", "image", "--package", "saga-operator", "--bin", "saga-operator"]);
    cargo.args(["--target", platform.triple, "--target-dir"]).arg(target);
    // Relocations as bits: more than a megabyte less.
    cargo.args(["--", "-Clink-arg=-Wl,-z,pack-relative-relocs"]);
    cargo.env_remove("RUSTFLAGS").env("CARGO_ENCODED_RUSTFLAGS", flags(target));
    match &source.commit {
        Some(commit) => cargo.env("SAGA_COMMIT", commit),
        None => cargo.env_remove("SAGA_COMMIT"),
    };
    if !stream::lines(&mut cargo, |line| println!("{line}"))?.status.success() {
        return Err(BinaryError::Compile);
    }
    Ok(target.join(platform.triple).join("image/saga-operator"))
}

/// Static, and without the paths of this machine in messages: they would make each clone's binary another one.
fn flags(target: &Path) -> String {
    let workspace = paths::workspace();
    let mut flags = vec!["-Ctarget-feature=+crt-static".to_owned()];
    let elsewhere = (!target.starts_with(&workspace)).then(|| (target.to_owned(), "/saga-operator/target"));
    let crates = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let crates = crates.or_else(|| std::env::home_dir().map(|home| home.join(".cargo")));
    let places = [Some((workspace, "/saga-operator")), elsewhere, crates.map(|crates| (crates, "/cargo"))];
    for (place, name) in places.into_iter().flatten() {
        flags.push(format!("--remap-path-prefix={}={name}", place.display()));
    }
    flags.join("\u{1f}")
}

/// Whether it can run where there is nothing else; returns what it says of itself.
pub(super) fn check(path: &Path) -> Result<String, BinaryError> {
    if let Err(said) = needs_nothing(&files::read_bytes(path)?) {
        return Err(BinaryError::NotStatic { path: path.to_owned(), said });
    }
    let silent = |said: String| BinaryError::Silent { path: path.to_owned(), said };
    let output = Command::new(path).arg("--version").env_clear().output().map_err(|error| silent(error.to_string()))?;
    let said = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    if output.status.success() && said.starts_with("saga-operator ") { Ok(said) } else { Err(silent(said)) }
}

/// A program that wants a dynamic linker names it in a segment of its own.
pub(super) fn needs_nothing(elf: &[u8]) -> Result<(), &'static str> {
    const INTERPRETER: u32 = 3;
    let number = |at: usize, length: usize| {
        let bytes = elf.get(at..at.checked_add(length)?)?;
        Some(bytes.iter().rev().fold(0_u64, |number, byte| number << 8 | u64::from(*byte)))
    };
    // 64 bits, little-endian: both machines that images are made for.
    if !elf.starts_with(b"\x7fELF\x02\x01") {
        return Err("is no program of this machine");
    }
    let table = || Some((number(32, 8)?, number(54, 2)?, number(56, 2)?));
    let (start, size, count) = table().ok_or("is cut off")?;
    for index in 0..count {
        let at = usize::try_from(start + index * size).map_err(|_| "is cut off")?;
        if number(at, 4).ok_or("is cut off")? == u64::from(INTERPRETER) {
            return Err("needs a dynamic linker, so it cannot run alone in an image");
        }
    }
    Ok(())
}
