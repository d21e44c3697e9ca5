//! What every asynchronous command needs: a runtime with room for expressions, logging, TLS.

use std::future::Future;
use std::process::ExitCode;
use std::time::Duration;

use super::logging;

/// Rules and templates of a definition recurse; with this much stack they never need another (src/expr).
const STACK_BYTES: usize = 16 * 1024 * 1024;

/// For what ends with the runtime, as files that are removed. Not for ever: a name that is still being looked up must not
/// keep a process that has lost its leadership.
const LAST_WORDS: Duration = Duration::from_secs(3);

/// Runs a command to its end.
pub(super) fn run(filter: &str, format: logging::Format, command: impl Future<Output = ExitCode>) -> ExitCode {
    logging::init(filter, format);
    // Two TLS libraries in one process panic at first use; this names the one. Set already: fine.
    drop(rustls::crypto::aws_lc_rs::default_provider().install_default());
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().thread_stack_size(STACK_BYTES).build();
    match runtime {
        Ok(runtime) => {
            let code = runtime.block_on(command);
            runtime.shutdown_timeout(LAST_WORDS);
            code
        }
        Err(error) => {
            tracing::error!(%error, "failed to start: the system gives no threads");
            ExitCode::FAILURE
        }
    }
}
