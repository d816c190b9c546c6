//! The `expiryd-controller` program; everything it does is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    expiryd_controller::cli::main()
}
