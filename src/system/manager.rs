//! The service manager: `sd_notify(3)` messages. Without `NOTIFY_SOCKET` each of them does nothing.

use std::net::TcpListener;
use std::time::Duration;

use listenfd::ListenFd;
use sd_notify::NotifyState;
use tracing::debug;

/// How long systemd lets the loop be silent (`WatchdogSec=`); `None` when it does not watch.
pub fn watchdog() -> Option<Duration> {
    sd_notify::watchdog_enabled()
}

/// The sockets that systemd bound for this process (systemd.socket(5)); none without it.
///
/// # Errors
/// A sentence for the operator: one of them is not a TCP socket.
pub fn sockets() -> Result<Vec<TcpListener>, String> {
    let mut passed = ListenFd::from_env();
    (0..passed.len())
        .filter_map(|place| passed.take_tcp_listener(place).transpose())
        .collect::<Result<_, _>>()
        .map_err(|error| format!("a socket of the service manager is not a TCP socket: {error}"))
}

/// The agent has looked at the machine, and this is its state in one line.
pub fn ready(status: &str) {
    notify(&[NotifyState::Ready, NotifyState::Status(status)]);
}

/// The loop turned, and this is its state in one line.
pub fn alive(status: &str) {
    notify(&[NotifyState::Watchdog, NotifyState::Status(status)]);
}

/// The configuration is being read again; [`ready`] ends it.
pub fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => notify(&[NotifyState::Reloading, now]),
        Err(_) => notify(&[NotifyState::Reloading]),
    }
}

/// The agent is on its way out.
pub fn stopping() {
    notify(&[NotifyState::Stopping]);
}

fn notify(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        debug!(%error, "the service manager cannot be told");
    }
}
