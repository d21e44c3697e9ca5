//! What both benchmarks share: sagas, lanes, processes, tables.

// Each benchmark compiles these files for itself and uses a part of them.
#![allow(dead_code)]

pub(crate) mod hung;
pub(crate) mod lanes;
pub(crate) mod noop;
pub(crate) mod process;
pub(crate) mod shape;
pub(crate) mod table;

use std::process::ExitCode;

/// What the command line asks for; `cargo bench` puts in a `--bench` of its own.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Arguments {
    /// Sagas of each cell.
    pub(crate) sagas: Option<usize>,
    /// Only the comparison beside a participant that hangs.
    pub(crate) hung: bool,
}

impl Arguments {
    fn read() -> Self {
        let sagas = std::env::args().skip(1).find_map(|argument| argument.parse().ok());
        Self { sagas, hung: std::env::args().any(|argument| argument == "--hung") }
    }
}

/// Runs a benchmark with the operator's own kind of runtime.
pub(crate) fn run(measure: impl AsyncFnOnce(Arguments) -> Result<(), String>) -> ExitCode {
    drop(rustls::crypto::aws_lc_rs::default_provider().install_default());
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().thread_stack_size(16 << 20).build();
    let measured = runtime.map_err(text).and_then(|runtime| runtime.block_on(measure(Arguments::read())));
    match measured {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Errors are only printed here.
pub(crate) fn text(error: impl ToString) -> String {
    error.to_string()
}
