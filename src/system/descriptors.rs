//! What whoever started the process left open for it, which may be a key's file: it is closed before anything else.

use std::net::TcpListener;
use std::os::fd::AsRawFd;

use nix::dir::Dir;
use nix::fcntl::OFlag;
use nix::sys::stat::Mode;
use nix::unistd::close;

/// Standard input, output and error are 0 to 2.
const STANDARD: i32 = 2;

/// Closes every descriptor but the standard ones and these sockets. To be called while nothing else is open yet.
/// Without a /proc nothing is closed.
pub fn close_all_but(sockets: &[TcpListener]) {
    for number in open_descriptors() {
        if number > STANDARD && sockets.iter().all(|socket| socket.as_raw_fd() != number) {
            // The one of the list itself is closed already.
            let _ = close(number);
        }
    }
}

fn open_descriptors() -> Vec<i32> {
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let Ok(mut list) = Dir::open("/proc/self/fd", flags, Mode::empty()) else { return Vec::new() };
    let names = list.iter().flatten();
    names.filter_map(|entry| entry.file_name().to_str().ok()?.parse().ok()).collect()
}
