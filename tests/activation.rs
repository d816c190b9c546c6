//! Sockets that the service manager bound.

use std::net::SocketAddr;
use std::process::Command;

use testkit::{Agent, Host, expiryd, skip};

/// systemd-socket-activate(1) binds, and starts the agent with the first connection.
#[test]
fn a_socket_of_the_service_manager_is_served_instead_of_the_configured_address() {
    if Command::new("systemd-socket-activate").arg("--version").output().is_err() {
        skip("systemd-socket-activate is not installed");
        return;
    }
    // An address of this process alone, so that whoever is given a port by the kernel has it elsewhere.
    let [.., a, b] = std::process::id().to_be_bytes();
    let address = SocketAddr::from(([127, 77, a, b], 9797));
    let host = Host::like("ubuntu-etcd");
    let mut command = Command::new("systemd-socket-activate");
    command.arg("--listen").arg(address.to_string());
    command.args(["--setenv=EXPIRYD_LISTEN=127.0.0.1:1", "--setenv=EXPIRYD_LOG_FORMAT=json"]);
    command.arg(expiryd().get_program()).args(["run", "--host-root"]).arg(host.root());
    // The first connection, which starts it.
    let knock = std::thread::spawn(move || {
        testkit::wait_for("the socket", || std::net::TcpStream::connect(address).ok())
    });
    let agent = Agent::spawn(command);
    assert_eq!(agent.address, address);
    assert_eq!(agent.report()["earliest"]["path"], "/etc/etcd/pki/server.crt");
    drop(knock.join());
}
