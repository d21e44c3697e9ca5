//! cargo-mutants, installed when it is not there.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::paths;
use crate::stream;

const VERSION: &str = "27.1.0";

/// It could not be installed.
#[derive(Debug, thiserror::Error)]
#[error(
    "failed to install cargo-mutants {VERSION}, see above: it needs the crate registry; one on the PATH is used as it is"
)]
struct NotInstalled;

/// The program; installs it first when it is not there.
pub(super) fn installed() -> Result<PathBuf, Box<dyn std::error::Error>> {
    let tools = paths::cache()?.join("tools");
    let own = tools.join("bin/cargo-mutants");
    if let Some(found) = paths::on_path("cargo-mutants").into_iter().chain([own.clone()]).find(|path| usable(path)) {
        return Ok(found);
    }
    let _lock = crate::files::lock(&tools.join("lock"), || println!("waiting: another run installs a tool"))?;
    if usable(&own) {
        return Ok(own);
    }
    println!("installing cargo-mutants {VERSION}: once, some minutes on 2 cores");
    let mut install = stream::cargo();
    install.args(["install", "--locked", "cargo-mutants", "--version", VERSION, "--root"]).arg(&tools);
    // Not among the project's own build products.
    install.env("CARGO_TARGET_DIR", tools.join("build"));
    let done = stream::lines(&mut install, |line| println!("{line}"))?.status.success();
    crate::files::remove_directory(&tools.join("build"))?;
    if done && usable(&own) { Ok(own) } else { Err(NotInstalled.into()) }
}

fn usable(program: &Path) -> bool {
    let output = Command::new(program).args(["mutants", "--version"]).output();
    output.is_ok_and(|output| output.status.success() && output.stdout.starts_with(b"cargo-mutants 27.1."))
}
