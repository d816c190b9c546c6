//! The `expiryd` program; everything it does is in the library.

use std::alloc::System;
use std::process::ExitCode;

use zeroizing_alloc::ZeroAlloc;

/// Erases what is freed: files that hold a certificate often hold its key, and a parser keeps copies.
#[global_allocator]
static ALLOCATOR: ZeroAlloc<System> = ZeroAlloc(System);

fn main() -> ExitCode {
    expiryd::cli::main()
}
