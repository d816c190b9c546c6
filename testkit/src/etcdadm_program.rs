//! The real etcdadm, as far as it makes a machine's certificates, when `EXPIRYD_RIG_ETCDADM` names the folder that
//! holds it.

use std::env;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::etcd_pki::FOLDER;
use crate::host::{Host, skip};

const NAMED_BY: &str = "EXPIRYD_RIG_ETCDADM";

/// Where etcdadm is; rig/build makes it.
pub fn etcdadm() -> Option<PathBuf> {
    let folder = env::var_os(NAMED_BY).map(PathBuf::from);
    if folder.is_none() {
        skip(&format!("{NAMED_BY} names no folder with etcdadm; see rig/build"));
    }
    Some(folder?.join("etcdadm"))
}

/// What to run to have it make what is missing of a machine's certificates. It goes on to join the members through an
/// address at which nobody is, as EKS Anywhere has it do for a renewal, and that it does not succeed is no failure here.
pub fn certificates(etcdadm: &Path, host: &Host, name: &str) -> Command {
    let tools = host.configuration().with_file_name("tools");
    fs::create_dir_all(&tools).unwrap();
    // It stops etcd first, and finds none here.
    let systemctl = tools.join("systemctl");
    fs::write(&systemctl, "#!/bin/sh\n").unwrap();
    fs::set_permissions(&systemctl, fs::Permissions::from_mode(0o755)).unwrap();
    let path = env::var("PATH").unwrap();
    let mut command = Command::new("sh");
    command
        .args(["-c", "\"$@\" 2>&1 | grep -q 'membership.*Error'", "sh"])
        .arg(etcdadm)
        .args(["join", "https://127.0.0.1:1", "--name", name, "--certs-dir"])
        .arg(host.path(FOLDER))
        .env("PATH", format!("{}:{path}", tools.display()));
    command
}
