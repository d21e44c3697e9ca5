//! The reference pages, made from the code: `cargo xtask generate` writes them to `docs/reference/`.

mod api;
mod help;

use std::io::Write as _;
use std::process::ExitCode;

/// Prints the reference of the command line as Markdown.
#[derive(Debug, clap::Args)]
pub(super) struct HelpMarkdown {}

/// Prints the reference of the API as Markdown.
#[derive(Debug, clap::Args)]
pub(super) struct ApiMarkdown {}

impl HelpMarkdown {
    pub(super) fn run(self) -> ExitCode {
        print(&help::page(<super::Cli as clap::CommandFactory>::command()))
    }
}

impl ApiMarkdown {
    pub(super) fn run(self) -> ExitCode {
        print(&api::page(&crate::api::schema::crds()))
    }
}

fn print(text: &str) -> ExitCode {
    match std::io::stdout().write_all(text.as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

/// Text that stays in its cell of a table.
fn cell(text: &str) -> String {
    text.replace('\n', " ").replace('|', "\\|")
}
