//! A cluster is moved to another management cluster, by clusterctl, and everything goes on there.

use std::fs;
use std::process::Command;
use std::time::Duration;

use testkit::cluster::{Cluster, assets};
use testkit::cluster_api::NAMESPACE;
use testkit::wait_up_to;

use crate::definitions;
use crate::etcd_controller;
use crate::etcd_hosts::EtcdHosts;
use crate::management::Rig;
use crate::node_agents::NodeAgents;

/// What a move may take, with what is in its way.
const MOVED: Duration = Duration::from_mins(3);

const BOOTSTRAP_PROVIDER: &str = "etcdadm-bootstrap-provider";

impl Rig {
    /// Moves it: every object gets a UID and a birth of its own, and none has its status. The other management
    /// cluster has the address of the first one, and its managers are started anew.
    pub fn move_to_another(&mut self, hosts: &EtcdHosts, agents: &NodeAgents) {
        let other = Cluster::start(&assets().unwrap());
        definitions::install(&other, &self.programs.programs().definitions());
        other.make_namespace(NAMESPACE);
        other.make_namespace(etcd_controller::NAMESPACE);
        self.timeline.act("moves the cluster to another management cluster");
        // The machines stay, although their objects go.
        let (hosts, agents) = (hosts.worker.rest(), agents.worker.rest());
        self.clusterctl_move(&other);
        for server in self.managers.lock().unwrap().values_mut() {
            server.kill();
        }
        self.etcd_controller.as_ref().unwrap().stop();
        self.cluster.take_over(&other);
        self.moved_to = Some(other);
        for (name, server) in self.managers.lock().unwrap().iter_mut() {
            if *name == BOOTSTRAP_PROVIDER {
                *server = self.programs.etcdadm_bootstrap_provider(self.cluster.port);
            } else {
                server.start_again();
            }
        }
        drop((hosts, agents));
        self.timeline.act("everything works in the other management cluster");
    }

    fn clusterctl_move(&self, other: &Cluster) {
        let to = self.folder.path().join("to");
        fs::write(&to, other.admin_kubeconfig()).unwrap();
        let mut command = Command::new(self.programs.programs().clusterctl());
        command.args(["move", "-v", "2", "-n", NAMESPACE]);
        command.arg("--kubeconfig").arg(&self.kubeconfig).arg("--to-kubeconfig").arg(&to);
        command.env("CLUSTERCTL_DISABLE_VERSIONCHECK", "true").env("HOME", self.folder.path());
        // It gives up, and has changed nothing, where a Machine goes while it looks; a person tries it again.
        wait_up_to(MOVED, "clusterctl to move the cluster", || {
            let output = command.output().unwrap();
            eprintln!("{}", String::from_utf8_lossy(&output.stderr));
            output.status.success().then_some(())
        });
    }
}
