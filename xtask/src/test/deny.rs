//! The dependencies' licences, sources and duplicates, by cargo-deny.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::Found;
use crate::paths;
use crate::stream;

const VERSION: &str = "0.20.2";

/// It could not be installed.
#[derive(Debug, thiserror::Error)]
#[error(
    "failed to install cargo-deny {VERSION}, see above: it needs a C compiler (Debian: gcc) and the crate registry; an \
     installed one on the PATH is used as it is"
)]
struct NotInstalled;

/// Runs it; installs it first when it is not there.
pub(super) fn check() -> Found {
    let program = program()?;
    let mut command = Command::new(program);
    command.args(["--workspace", "--locked", "check", "bans", "licenses", "sources"]);
    command.current_dir(paths::workspace());
    Ok(super::show(&mut command)?)
}

fn program() -> Result<PathBuf, Box<dyn std::error::Error>> {
    let tools = paths::cache()?.join("tools");
    let installed = tools.join("bin/cargo-deny");
    if let Some(found) = paths::on_path("cargo-deny").into_iter().chain([installed.clone()]).find(|path| usable(path)) {
        return Ok(found);
    }
    let _lock = crate::files::lock(&tools.join("lock"), || println!("waiting: another run installs cargo-deny"))?;
    if usable(&installed) {
        return Ok(installed);
    }
    println!("installing cargo-deny {VERSION}: once, about 3 minutes on 2 cores");
    let mut install = stream::cargo();
    install.args(["install", "--locked", "cargo-deny", "--version", VERSION, "--root"]).arg(&tools);
    // Not among the project's own build products.
    install.env("CARGO_TARGET_DIR", tools.join("build"));
    let done = super::show(&mut install)?;
    crate::files::remove_directory(&tools.join("build"))?;
    if done && usable(&installed) { Ok(installed) } else { Err(NotInstalled.into()) }
}

fn usable(program: &Path) -> bool {
    let output = Command::new(program).arg("--version").output();
    output.is_ok_and(|output| output.status.success() && output.stdout.starts_with(b"cargo-deny 0.20."))
}
