//! Infrastructure for etcd's machines: for each `EtcdHostMachine` that a Machine owns and has bootstrap data
//! for, a machine; and none any more once it is gone.
//!
//! It keeps Cluster API's contract of v1beta1 for infrastructure machines: providerID, addresses, ready.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use testkit::authority::Authority;
use testkit::cluster::Cluster;
use testkit::cluster_api::Management;
use testkit::dates::usual;
use testkit::etcd_member::Member;
use testkit::lying_agent::Lie;
use testkit::network::machine;
use time::OffsetDateTime;

use crate::worker::Worker;

/// How often it looks.
const PERIOD: Duration = Duration::from_millis(250);

/// Works until it is dropped, and ends its machines then.
pub struct EtcdHosts {
    pub(crate) worker: Worker,
    shared: Arc<Shared>,
}

struct Shared {
    cluster: Arc<Cluster>,
    authority: Authority,
    etcd: PathBuf,
    /// When the certificates end of the first machines, in the order in which they boot.
    ends: Vec<OffsetDateTime>,
    /// What the agents say in the place of the truth, machine by machine and then from the first again.
    lies: Vec<Lie>,
    members: Mutex<BTreeMap<String, Member>>,
}

impl EtcdHosts {
    /// The certificates of the first machines end then, and those of all others when they usually do. Where there
    /// are lies, the agents say these.
    pub(crate) fn start(
        cluster: Arc<Cluster>,
        authority: Authority,
        etcd: PathBuf,
        ends: Vec<OffsetDateTime>,
        lies: Vec<Lie>,
    ) -> Self {
        let members = Mutex::default();
        let shared = Arc::new(Shared { cluster, authority, etcd, ends, lies, members });
        let working = Arc::clone(&shared);
        let mut booted = 0;
        let worker = Worker::every(PERIOD, move || working.look(&mut booted));
        Self { worker, shared }
    }

    /// The members that run now, by the `EtcdHostMachine`'s name.
    pub fn running(&self) -> Vec<String> {
        self.shared.members.lock().unwrap().keys().cloned().collect()
    }

    /// Ends the agent of one machine.
    pub fn stop_agent(&self, name: &str) {
        self.shared.members.lock().unwrap().get_mut(name).unwrap().stop_agent();
    }

    /// Starts the etcd of one machine anew.
    pub fn restart(&self, name: &str) {
        let mut members = self.shared.members.lock().unwrap();
        members.get_mut(name).unwrap().restart(&self.shared.etcd, name);
    }

    /// The CA that signs for all of them.
    pub fn authority(&self) -> &Authority {
        &self.shared.authority
    }
}

impl Shared {
    fn look(&self, booted: &mut u8) {
        let management = Management(&self.cluster);
        let wanted = management.list("EtcdHostMachine");
        let name = |object: &Value| object["metadata"]["name"].as_str().unwrap().to_owned();
        let names: Vec<_> = wanted.iter().map(name).collect();
        self.members.lock().unwrap().retain(|member, _| names.contains(member));
        let machines = management.list("Machine");
        for object in
            wanted.iter().filter(|object| object["metadata"]["deletionTimestamp"].is_null())
        {
            let name = name(object);
            let address = self.members.lock().unwrap().get(&name).map(|m| m.address.clone());
            if let Some(address) = address {
                // A cluster that is moved to another management cluster comes there without its status.
                if object["status"]["ready"].is_null() {
                    report(management, &name, &address);
                }
                continue;
            }
            if !has_bootstrap_data(object, &machines) {
                continue;
            }
            let ends = self.ends.get(usize::from(*booted)).copied().unwrap_or_else(usual);
            let lie = self.lies.iter().cycle().nth(usize::from(*booted)).copied();
            *booted += 1;
            let address = machine(*booted);
            let others: Vec<_> =
                self.members.lock().unwrap().values().map(|m| m.address.clone()).collect();
            let mut member =
                Member::join(&self.etcd, &self.authority, &name, &address, ends, &others);
            if let Some(lie) = lie {
                member.lie(lie);
            }
            self.members.lock().unwrap().insert(name.clone(), member);
            report(management, &name, &address);
        }
    }
}

/// Whether the Machine that owns this one has it (Cluster API's contract: wait for the owner and its data).
fn has_bootstrap_data(object: &Value, machines: &[Value]) -> bool {
    let owners = object["metadata"]["ownerReferences"].as_array();
    let owner = owners.into_iter().flatten().find(|owner| owner["kind"] == "Machine");
    owner.is_some_and(|owner| {
        machines.iter().any(|machine| {
            machine["metadata"]["uid"] == owner["uid"]
                && machine["spec"]["bootstrap"]["dataSecretName"].is_string()
        })
    })
}

fn report(management: Management<'_>, name: &str, address: &str) {
    let spec = json!({ "spec": { "providerID": format!("etcd-host://{name}") } });
    management.patch("EtcdHostMachine", name, &spec);
    let addresses = json!([{ "type": "InternalIP", "address": address }]);
    let status = json!({ "ready": true, "addresses": addresses });
    management.status("EtcdHostMachine", name, &status);
}
