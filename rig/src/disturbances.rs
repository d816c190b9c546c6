//! What goes away in the middle of something, and comes again.

use crate::management::Rig;

impl Rig {
    /// Ends a manager of Cluster API's as a crash does; it stays away.
    pub fn stop(&self, manager: &str) {
        self.timeline.act(&format!("killed {manager}"));
        self.managers.lock().unwrap().get_mut(manager).unwrap().kill();
    }

    /// Starts it again.
    pub fn start_again(&self, manager: &str) {
        self.timeline.act(&format!("started {manager} again"));
        self.managers.lock().unwrap().get_mut(manager).unwrap().start_again();
    }

    /// Ends etcdadm-controller as a crash does, and starts it anew.
    pub fn crash_etcd_controller(&self) {
        self.timeline.act("killed etcdadm-controller, and started it again");
        self.etcd_controller.as_ref().unwrap().crash();
    }

    /// Ends the management cluster's API server as a crash does; it stays away.
    pub fn stop_api_server(&self) {
        self.timeline.act("killed kube-apiserver");
        self.cluster.stop();
    }

    /// Starts it again, and waits until it is ready.
    pub fn start_api_server_again(&self) {
        self.cluster.start_again();
        self.timeline.act("kube-apiserver is ready again");
    }
}
