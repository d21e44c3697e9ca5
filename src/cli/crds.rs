//! `crds`: the CustomResourceDefinitions as YAML.

use std::io::Write as _;
use std::process::ExitCode;

/// Prints both definitions, as `kubectl apply -f -` takes them.
#[derive(Debug, clap::Args)]
pub(super) struct Crds {}

impl Crds {
    pub(super) fn run(self) -> ExitCode {
        match std::io::stdout().write_all(crate::api::schema::crds_yaml().as_bytes()) {
            Ok(()) => ExitCode::SUCCESS,
            // The reader went away, as `head` does.
            Err(_) => ExitCode::FAILURE,
        }
    }
}
