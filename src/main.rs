//! The `larder` program.

fn main() -> std::process::ExitCode {
    larder::cli::run(std::env::args_os())
}
