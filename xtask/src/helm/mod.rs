//! The charts: Helm itself, pinned, and the files of the charts that are made from others.

mod chart;
mod program;
mod values;

use std::process::ExitCode;

pub(crate) use chart::{ChartError, files};
pub(crate) use program::variables;

#[derive(Debug, clap::Args)]
pub(crate) struct Command {}

/// Prints what a shell needs to run the charts' tests by hand.
pub(crate) fn run(_command: &Command) -> Result<ExitCode, Box<dyn std::error::Error>> {
    for (name, path) in variables(|line| eprintln!("{line}"))? {
        println!("export {name}='{}'", path.display());
    }
    Ok(ExitCode::SUCCESS)
}
