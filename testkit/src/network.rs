//! A network of this thread's own, with what it starts: webhooks and fake API servers listen on all
//! addresses and have no flag against it.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::process::Command;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use nix::sched::{CloneFlags, unshare};

use crate::host::is_root;

/// The machines' addresses: from 192.0.2.0/24, which is for documentation (RFC 5737). None of 127.0.0.0/8:
/// what an agent is asked over loopback it answers without TLS.
const MACHINES: &str = "192.0.2.0/24";

/// An address of no machine, and a default route: kube-apiserver does not start without either.
const OWN: &str = "198.51.100.1/32";

/// Whether [`leave`] can be called here.
///
/// # Errors
/// It cannot, and why not.
pub fn can_leave() -> Result<(), &'static str> {
    if !is_root() {
        return Err("a network of its own needs root");
    }
    match Command::new("ip").arg("-V").output() {
        Ok(output) if output.status.success() => Ok(()),
        _ => Err("ip (iproute2) is missing"),
    }
}

/// Leaves the network for an empty one, in which every address of the machines is at home.
pub fn leave() {
    unshare(CloneFlags::CLONE_NEWNET).unwrap();
    ip("link set lo up");
    ip(&format!("address add {OWN} dev lo"));
    ip(&format!("route add local {MACHINES} dev lo"));
    ip("route add default dev lo");
}

fn ip(arguments: &str) {
    let output = Command::new("ip").args(arguments.split(' ')).output().unwrap();
    assert!(output.status.success(), "ip {arguments}: {}", String::from_utf8_lossy(&output.stderr));
}

/// The address of a machine.
pub fn machine(number: u8) -> String {
    format!("192.0.2.{number}")
}

/// Does something in another network, from which this port of loopback leads here: for a program that
/// listens where another one does.
pub fn apart<T: Send + 'static>(port: u16, act: impl FnOnce() -> T + Send + 'static) -> T {
    let (connections, accepted) = channel();
    thread::spawn(move || join_here(port, &accepted));
    let (result, done) = channel();
    thread::spawn(move || {
        leave();
        let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
        result.send(act()).unwrap();
        accept(&listener, &connections);
    });
    done.recv().unwrap()
}

/// A socket stays in the network that it was made in, wherever it is used.
fn accept(listener: &TcpListener, connections: &Sender<TcpStream>) {
    for connection in listener.incoming().map_while(Result::ok) {
        if connections.send(connection).is_err() {
            return;
        }
    }
}

fn join_here(port: u16, accepted: &Receiver<TcpStream>) {
    for there in accepted {
        let Ok(here) = TcpStream::connect(("127.0.0.1", port)) else { continue };
        let pair =
            |from: &TcpStream, to: &TcpStream| Some((from.try_clone().ok()?, to.try_clone().ok()?));
        for (from, to) in [pair(&there, &here), pair(&here, &there)].into_iter().flatten() {
            thread::spawn(move || copy(from, to));
        }
    }
}

fn copy(mut from: TcpStream, mut to: TcpStream) -> io::Result<()> {
    let mut buffer = vec![0; 16 << 10];
    loop {
        let count = from.read(&mut buffer)?;
        if count == 0 {
            return to.shutdown(Shutdown::Write);
        }
        to.write_all(&buffer[..count])?;
    }
}
