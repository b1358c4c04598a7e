//! The `undertone` command.

#![forbid(unsafe_code)]

fn main() -> std::process::ExitCode {
    undertone::cli::main()
}
