//! Where the programs of other projects are.

use std::env;
use std::path::{Path, PathBuf};

use testkit::skip;

/// Names the folder with Cluster API's managers and their definitions; rig/build makes one.
const FOLDER: &str = "EXPIRYD_RIG_CAPI";

/// The programs of a folder.
pub struct Programs {
    folder: PathBuf,
}

/// The programs that the environment names.
pub fn programs() -> Option<Programs> {
    let folder = env::var_os(FOLDER).map(PathBuf::from);
    if folder.is_none() {
        skip(&format!("{FOLDER} names no folder with Cluster API's managers; see rig/build"));
    }
    Some(Programs { folder: folder? })
}

impl Programs {
    /// Where a program is.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Where clusterctl is, as EKS Anywhere patches it: upstream's moves no cluster with machines that have no Node.
    pub(crate) fn clusterctl(&self) -> PathBuf {
        self.path("clusterctl")
    }

    /// The folder with the definitions of their kinds.
    pub(crate) fn definitions(&self) -> PathBuf {
        self.folder.join("crds")
    }

    /// Whether etcdadm's controllers are among them, and so EKS Anywhere's Cluster API, which they need.
    pub fn have_etcdadm(&self) -> bool {
        let there = |name: &str| Path::exists(&self.path(name));
        let all = there("etcdadm-controller") && there("etcdadm-bootstrap-provider");
        if !all {
            skip("no etcdadm-controller is there, nor the Cluster API that it is built with");
        }
        all
    }
}
