//! Reads a KubeadmControlPlane, its Machines and their Nodes.

use expiryd_api::Timestamp;
use expiryd_api::annotation::MACHINE_EXPIRY;
use kube::ResourceExt;
use kube::api::DynamicObject;

use super::workload::Workload;
use super::{Gathered, ObserveError, Reading, Target, born};
use crate::facts::{ControlPlane, ControlPlaneMachine, EtcdPlace, NodeReport, Progress};
use crate::memory::{KCP_DAYS, PUBLISHED, Published, ROLLED_FOR};
use crate::objects::{
    CONTROL_PLANE, ClusterSpec, ControlPlaneView, MachineView, PAUSED, annotation, is_deleting,
    is_owned_by,
};

impl Reading<'_> {
    /// The control plane; `None` for one that is no KubeadmControlPlane.
    pub(super) async fn control_plane(
        &self,
        cluster: &ClusterSpec,
        gathered: &mut Gathered,
    ) -> Result<Option<(ControlPlane, Workload)>, ObserveError> {
        let named = cluster.control_plane_ref.as_ref();
        let named = named.filter(|named| named.kind == "KubeadmControlPlane");
        let Some((named, kind)) = named.zip(self.observer.kinds.control_plane.as_ref()) else {
            return Ok(None);
        };
        let said = self.api(kind).get_opt(&named.name).await;
        let said = self.said("the KubeadmControlPlane", said)?;
        let Some(control_plane) = said else { return Ok(None) };
        let seen: ControlPlaneView = self.view(&control_plane)?;
        gathered.targets.control_plane = Some(Target::of(&control_plane));

        let label = format!(",{CONTROL_PLANE}");
        let machine = &self.observer.kinds.machine;
        let machines = self.labelled("the Machines", machine, &label).await?;
        let own = self.own_dates().await?;
        let workload = self.workload(gathered).await;
        let mut read = Vec::new();
        // One that somebody labelled so and that has another owner is none of its (C1).
        let is_its =
            |object: &&DynamicObject| is_owned_by(object, "KubeadmControlPlane", &named.name);
        for object in machines.iter().filter(is_its) {
            let machine = self.machine(object, &control_plane, &own, &workload)?;
            gathered.targets.machines.insert(machine.name.clone(), Target::of(object));
            gathered.targets.born.insert(machine.name.clone(), machine.born);
            read.push(machine);
        }
        Ok(Some((facts(&control_plane, seen, read), workload)))
    }

    fn machine(
        &self,
        object: &DynamicObject,
        owner: &DynamicObject,
        own: &[(String, Timestamp)],
        workload: &Workload,
    ) -> Result<ControlPlaneMachine, ObserveError> {
        let seen: MachineView = self.view(object)?;
        let config = seen.spec.bootstrap.config_ref.map(|config| config.name);
        let of_config = |(name, _): &&(String, Timestamp)| Some(name) == config.as_ref();
        let node_name = seen.status.node_ref.map(|node| node.name);
        let (report, node_created) = match node_name {
            None => (NodeReport::NoNode, None),
            Some(name) => workload.report(&name, seen.spec.provider_id.as_deref()),
        };
        Ok(ControlPlaneMachine {
            name: object.name_any(),
            born: born(object, owner, node_created),
            deleting: is_deleting(object),
            published: published(object),
            own: own.iter().find(of_config).map(|(_, date)| *date),
            report,
        })
    }

    /// KCP's own dates, by the KubeadmConfigs that they are on.
    async fn own_dates(&self) -> Result<Vec<(String, Timestamp)>, ObserveError> {
        let Some(kind) = &self.observer.kinds.kubeadm_config else { return Ok(Vec::new()) };
        // Without their content: a worker's may hold megabytes of files.
        let configs = self.api(kind).list_metadata(&self.selected("")).await;
        let configs = self.said("the KubeadmConfigs", configs)?;
        let dated = configs.iter().filter_map(|config| {
            let date = Timestamp::parse(config.annotations().get(MACHINE_EXPIRY)?).ok()?;
            Some((config.name_any(), date))
        });
        Ok(dated.collect())
    }
}

fn facts(
    object: &DynamicObject,
    seen: ControlPlaneView,
    machines: Vec<ControlPlaneMachine>,
) -> ControlPlane {
    let ControlPlaneView { spec, status } = seen;
    let before = spec.rollout.before.or(spec.rollout_before);
    let strategy = spec.rollout.strategy.or(spec.rollout_strategy);
    let replicas = spec.replicas.unwrap_or(1);
    let configuration = spec.kubeadm_config_spec.cluster_configuration.unwrap_or_default();
    let external = configuration.etcd.external;
    let up_to_date = status.up_to_date_replicas.or(status.updated_replicas);
    // Of a version that has no such condition, nothing is moving by its account: Machines are counted.
    let moving = ["RollingOut", "ScalingUp", "ScalingDown"]
        .iter()
        .any(|kind| status.condition(kind).is_some_and(|is| is != "False"));
    let topology = "topology.cluster.x-k8s.io/owned";
    ControlPlane {
        deleting: is_deleting(object),
        paused: annotation(object, PAUSED).is_some(),
        in_place: strategy.is_some_and(|strategy| strategy.kind == "InPlace"),
        topology_owned: object.labels().contains_key(topology),
        days: before.and_then(|before| before.certificates_expiry_days).filter(|days| *days != 0),
        our_days: annotation(object, KCP_DAYS).and_then(|days| days.parse().ok()),
        template_has_key: spec.machine_template.metadata.annotations.contains_key(MACHINE_EXPIRY),
        replicas,
        progress: Progress {
            moving,
            outdated: status.condition("MachinesSpecUpToDate") == Some("False"),
            ready: status.ready_replicas == Some(replicas) && up_to_date == Some(replicas),
            observed: status.observed_generation == object.metadata.generation,
        },
        etcd: external.map_or(EtcdPlace::Stacked, |etcd| EtcdPlace::External(etcd.endpoints)),
        rolled_for: remembered(object, ROLLED_FOR),
        lifetime_days: configuration.certificate_validity_period_days,
        machines,
    }
}

/// What an annotation of ours remembers; what cannot be read counts as nothing.
pub(super) fn remembered<T: serde::de::DeserializeOwned + Default>(
    object: &DynamicObject,
    key: &str,
) -> T {
    let text = annotation(object, key);
    text.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default()
}

/// Cluster API's key on a Machine, and whose it is.
pub(super) fn published(object: &DynamicObject) -> Published {
    Published::read(annotation(object, MACHINE_EXPIRY), annotation(object, PUBLISHED))
}
