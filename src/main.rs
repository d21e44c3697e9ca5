//! The operator's process; see the library.

fn main() -> std::process::ExitCode {
    saga_operator::cli::main()
}
