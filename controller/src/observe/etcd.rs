//! Reads an EtcdadmCluster, its Machines, the client pair in the Secret, and etcdadm-controller's pods.

use expiryd_api::{PORT, Timestamp};
use futures::future::join_all;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::api::{Api, DynamicObject, ListParams};

use super::agents::{ClientFile, ClientFiles, Heard, Silence, ask};
use super::control_plane::{published, remembered};
use super::served::ETCD_PORT;
use super::{Gathered, ObserveError, Reading, Target, born, timestamp};
use crate::facts::{EtcdCluster, EtcdController, EtcdMachine, NotHeard, Report};
use crate::memory::{
    ALLOW_SINGLE_ETCD, ETCD_CLIENT_PAIRS, INTENT, Intent, NUDGE, Nudge, SKIPPED_HEALTH_CHECKS,
};
use crate::objects::{
    ClusterSpec, Condition, ETCD_CLUSTER, EtcdClusterView, EtcdConfigView, EtcdKinds, MachineView,
    PAUSED, annotation, is_deleting, is_owned_by,
};
use crate::unheard::Unheard;

/// Where etcdadm-controller runs, as EKS Anywhere installs it.
pub(crate) const NAMESPACE: &str = "etcdadm-controller-system";
pub(crate) const CONTROLLER_LABEL: &str = "control-plane=controller-manager";

/// Set by KCP once the control plane has followed an etcd rollout.
pub(crate) const UPGRADE_COMPLETE: &str = "controlplane.cluster.x-k8s.io/upgrade-complete";
/// Set by etcdadm-controller, or by us with a nudge, while etcd is rolled.
pub(crate) const UPGRADING: &str = "etcdcluster.cluster.x-k8s.io/upgrading";
/// What an intent's mark begins with, among an EtcdadmConfig's commands: the shell's no-op.
pub(crate) const MARK: &str = ": expiryd ";

/// The condition by which etcdadm-controller knows that it has made the client pair (`controllers/controller.go`).
pub(crate) const CERTIFICATES: &str = "EtcdCertificatesAvailable";
/// Its reason where we ask for another pair.
pub(crate) const REFRESH_ASKED: &str = "RefreshAskedFor";

impl Reading<'_> {
    /// The etcd of a cluster whose control plane has an EtcdadmCluster for it.
    pub(super) async fn etcd(
        &self,
        cluster: &ClusterSpec,
        gathered: &mut Gathered,
    ) -> Result<Option<EtcdCluster>, ObserveError> {
        let named = cluster.managed_external_etcd_ref.as_ref();
        let Some((named, kinds)) = named.zip(self.observer.kinds.etcd.as_ref()) else {
            return Ok(None);
        };
        let said = self.api(&kinds.cluster).get_opt(&named.name).await;
        let Some(object) = self.said("the EtcdadmCluster", said)? else { return Ok(None) };
        let seen: EtcdClusterView = self.view(&object)?;
        gathered.targets.etcd = Some(Target::of(&object));
        self.etcd_configs(kinds, gathered).await?;

        let name = &self.key.name;
        let by = |what: &str, secret: &str| format!("{what}, by the Secret {name}-{secret},");
        let pair = self.client_file().await;
        let pair = gathered.said(by("etcd with its client pair", "apiserver-etcd-client"), pair);
        let authorities = self.etcd_authorities().await;
        let authorities = gathered.said(by("etcd with its CA", "etcd"), authorities);
        let secret = pair.as_ref().and_then(ClientFile::certificate);
        let files =
            pair.zip(authorities).map(|(pair, authorities)| ClientFiles { pair, authorities });
        let machines = self.etcd_machines(&object, files.as_ref(), gathered).await?;
        let replicas = seen.spec.replicas.unwrap_or(1);
        let observed = seen.status.observed_generation;
        let endpoints = seen.status.endpoints.split(',').map(str::trim);
        Ok(Some(EtcdCluster {
            deleting: is_deleting(&object),
            paused: annotation(&object, PAUSED).is_some(),
            replicas,
            ready: seen.status.ready
                && seen.status.ready_replicas.is_none_or(|ready| ready >= replicas)
                && observed.is_none_or(|of| Some(of) == object.metadata.generation),
            upgrade_complete: annotation(&object, UPGRADE_COMPLETE).is_some(),
            upgrading: annotation(&object, UPGRADING).is_some(),
            endpoints: endpoints.filter(|one| !one.is_empty()).map(str::to_owned).collect(),
            allow_single: annotation(&object, ALLOW_SINGLE_ETCD) == Some("true"),
            nudge: annotation(&object, NUDGE).and_then(Nudge::parse),
            intent: remembered::<Option<Intent>>(&object, INTENT),
            pairs: remembered(&object, ETCD_CLIENT_PAIRS),
            secret,
            refresh_asked: seen.status.conditions.iter().any(is_refresh_asked),
            ca_not_after: files.as_ref().and_then(ClientFiles::ca_not_after),
            skipped_health_checks: annotation(&object, SKIPPED_HEALTH_CHECKS).is_some(),
            controller: self.etcd_controller().await,
            machines,
        }))
    }

    async fn etcd_machines(
        &self,
        etcd: &DynamicObject,
        files: Option<&ClientFiles>,
        gathered: &mut Gathered,
    ) -> Result<Vec<EtcdMachine>, ObserveError> {
        let name = etcd.name_any();
        let kind = &self.observer.kinds.machine;
        let label = format!(",{ETCD_CLUSTER}={name}");
        let objects = self.labelled("etcd's Machines", kind, &label).await?;
        let seen = objects.iter().map(|object| self.view::<MachineView>(object));
        let seen: Vec<_> = seen.collect::<Result<_, _>>()?;
        let ask = async |seen: &MachineView| match files {
            Some(files) => Some(ask(&seen.status.addresses, files).await),
            None => None,
        };
        // At once: a decision is too old to be carried out when each of them has kept it waiting.
        let answers = join_all(seen.iter().map(ask)).await;
        let mut machines = Vec::new();
        for (object, answer) in objects.iter().zip(answers) {
            let (report, served) = heard(&object.name_any(), answer, gathered);
            let name = object.name_any();
            let commands =
                gathered.targets.etcd_configs.get(&name).map(|(_, commands)| commands.as_slice());
            let born = born(object, etcd, None);
            gathered.targets.born.insert(name.clone(), born);
            machines.push(EtcdMachine {
                born,
                deleting: is_deleting(object),
                owned: is_owned_by(object, "EtcdadmCluster", &etcd.name_any()),
                mark: commands.and_then(mark),
                published: published(object),
                report,
                served,
                name: name.clone(),
            });
            gathered.targets.machines.insert(name, Target::of(object));
        }
        Ok(machines)
    }

    /// The EtcdadmConfigs, by the Machines that they belong to.
    async fn etcd_configs(
        &self,
        kinds: &EtcdKinds,
        gathered: &mut Gathered,
    ) -> Result<(), ObserveError> {
        for object in self.labelled("the EtcdadmConfigs", &kinds.config, "").await? {
            let seen: EtcdConfigView = self.view(&object)?;
            let owners = object.owner_references().iter();
            let machine = owners.filter(|owner| owner.kind == "Machine").map(|o| o.name.clone());
            let commands = seen.spec.post_etcdadm_commands;
            for machine in machine {
                gathered
                    .targets
                    .etcd_configs
                    .insert(machine, (Target::of(&object), commands.clone()));
            }
        }
        Ok(())
    }

    /// The pods of etcdadm-controller, as far as they can be seen.
    async fn etcd_controller(&self) -> EtcdController {
        let pods: Api<Pod> = Api::namespaced(self.observer.client.clone(), NAMESPACE);
        let Ok(pods) = pods.list(&ListParams::default().labels(CONTROLLER_LABEL)).await else {
            return EtcdController::default();
        };
        controller(&pods.items, self.observer.may_restart_etcd_controller)
    }
}

/// What was heard of a machine, with a note of what was not.
fn heard(
    machine: &str,
    answer: Option<Result<Heard, String>>,
    gathered: &mut Gathered,
) -> (Result<Report, NotHeard>, Option<Timestamp>) {
    // Without the Secrets nobody is asked, which is noted once.
    let Some(answer) = answer else { return (Err(NotHeard::NoAnswer), None) };
    let Some(heard) = gathered.said(machine.to_owned(), answer) else {
        return (Err(NotHeard::NoAnswer), None);
    };
    let Heard { address, report, served } = heard;
    let report = report.map_err(|Silence { is, why }| {
        let who = format!("the agent of {machine} at {address}:{PORT}");
        gathered.unheard.push(Unheard::new(who, &why));
        is
    });
    (report, gathered.said(format!("etcd of {machine} at {address}:{ETCD_PORT}"), served))
}

/// Whether this is the condition by which we ask for another client pair.
fn is_refresh_asked(condition: &Condition) -> bool {
    condition.kind == CERTIFICATES && condition.reason == REFRESH_ASKED
}

/// What its pods say. Where none is seen, none can be evicted: it runs somewhere else, or not at all.
fn controller(pods: &[Pod], may_restart: bool) -> EtcdController {
    let started = pods.iter().flat_map(|pod| {
        let statuses = pod.status.iter().flat_map(|s| s.container_statuses.iter().flatten());
        statuses.filter_map(|container| {
            container.state.as_ref()?.running.as_ref()?.started_at.as_ref().map(timestamp)
        })
    });
    let created = pods.iter().filter_map(|pod| pod.metadata.creation_timestamp.as_ref());
    EtcdController {
        started_at: started.min(),
        may_restart: may_restart && !pods.is_empty(),
        // Whoever evicted it: a pod as young as that was just started.
        restarted_at: created.map(timestamp).max(),
    }
}

/// The intent whose mark is among the commands.
fn mark(commands: &[String]) -> Option<String> {
    commands.iter().find_map(|command| command.strip_prefix(MARK)).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_no_pod_is_seen_none_can_be_evicted() {
        assert!(!controller(&[], true).may_restart);
        assert!(controller(&[Pod::default()], true).may_restart);
        assert!(!controller(&[Pod::default()], false).may_restart);
    }
}
