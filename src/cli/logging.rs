//! Log output: for people on a terminal, as JSON for machines. Always on standard error.

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Format {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Sets up logging for this process; a filter that cannot be read is said and replaced.
pub(super) fn init(filter: &str, format: Format) {
    let (filter, mistake) = match EnvFilter::builder().parse(filter) {
        Ok(filter) => (filter, None),
        Err(error) => (EnvFilter::new("info"), Some(error)),
    };
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let ready = match format {
        Format::Text => builder.with_ansi(std::io::stderr().is_terminal()).with_target(false).try_init(),
        Format::Json => builder.json().try_init(),
    };
    if let (Some(error), Ok(())) = (mistake, ready) {
        tracing::warn!(%error, "failed to read --log; using 'info'");
    }
}
