//! What a rollout of etcd that begins at the wrong time does, without our controller; and that with it none does.

use std::thread;
use std::time::Duration;

use rig::{Controller, Ends, Etcd, Rig, Spans, in_days, rfc3339};
use serde_json::json;
use testkit::dates::usual;
use testkit::wait_up_to;

use crate::OPT_IN;
use crate::external::{are_replaced, intent, made};

const UPGRADE_COMPLETE: &str = "controlplane.cluster.x-k8s.io/upgrade-complete";

const KCP: &str = "kubeadm-control-plane";

/// What a rollout of etcd, and then of the control plane, may take.
const ROLLED: Duration = Duration::from_mins(8);

/// Many looks of our controller's.
const LOOKED_AT: Duration = Duration::from_secs(30);

#[test]
#[ignore = "takes minutes, and the programs of rig/build"]
fn the_hazard_is_real_upgrade_complete_in_mid_rollout_removes_a_member_that_the_control_plane_uses()
{
    let Some(rig) = Rig::start(Etcd::External) else { return };
    let made = made(&rig, Ends::default());
    rig.roll_etcd("one");
    let first = wait_up_to(ROLLED, "a member in the place of one that was let go of", || {
        let members = rig.etcd_members();
        let whole = members.len() == 4 && members.iter().all(|member| member.address.is_some());
        members.into_iter().find(|member| whole && !member.owned)
    });
    let url = format!("https://{}:2379", first.address.unwrap());
    assert!(rig.etcd_endpoints().contains(&url), "the control plane uses {url}");
    rig.annotate_etcd(UPGRADE_COMPLETE, "true");
    wait_up_to(ROLLED, "that member to be gone", || {
        (!rig.machines(true).contains(&first.name)).then_some(())
    });
    assert!(rig.etcd_endpoints().contains(&url), "the control plane uses {url} still");
    let old = made.old[1].iter().filter(|old| rig.machines(true).contains(old)).count();
    assert_eq!(old, 2, "the rollout is not over");
    assert_eq!(rig.timeline.control_plane_machines(), 3, "the control plane was not rolled");
}

#[test]
#[ignore = "takes minutes, and the programs of rig/build"]
fn the_hazard_is_real_a_date_that_moves_later_has_the_control_plane_finish_with_a_machine_too_many()
{
    let Some(rig) = Rig::start(Etcd::External) else { return };
    let made = made(&rig, Ends::default());
    // Paused, it takes nothing back of what is written on its EtcdadmCluster.
    rig.annotate_etcd("cluster.x-k8s.io/paused", "true");
    rig.set_days(7);
    let date = |days| rig.date_machine(&made.old[0][0], &rfc3339(in_days(days, 0)));
    date(1);
    wait_up_to(ROLLED, "another machine", || {
        (rig.timeline.control_plane_machines() == 4).then_some(())
    });
    date(300);
    let machines = wait_up_to(ROLLED, "KCP to say that it has finished", || {
        let annotations = rig.etcdadm_cluster()["metadata"]["annotations"].clone();
        annotations[UPGRADE_COMPLETE].is_string().then(|| rig.machines(false))
    });
    assert_eq!(machines.len(), 4, "{machines:?}");
    wait_up_to(ROLLED, "three again", || (rig.machines(false).len() == 3).then_some(()));
    assert_eq!(rig.timeline.control_plane_machines(), 4, "one was replaced in vain");
}

#[test]
#[ignore = "takes minutes, and the programs of rig/build"]
fn the_hazard_is_real_begun_while_the_control_plane_ends_its_own_it_rolls_that_twice() {
    let Some(rig) = Rig::start(Etcd::External) else { return };
    let made = made(&rig, Ends::default());
    rig.roll_etcd("one");
    wait_up_to(ROLLED, "the last old machine of the control plane to go", || {
        let left = rig.management().list("Machine").into_iter().filter(|machine| {
            let name = machine["metadata"]["name"].as_str().unwrap();
            let stays = machine["metadata"]["deletionTimestamp"].is_null();
            stays && made.old[0].iter().any(|old| old == name)
        });
        let others = rig.timeline.control_plane_machines() == 6;
        (others && left.count() == 0).then_some(())
    });
    rig.roll_etcd("two");
    wait_up_to(ROLLED, "nine members at once", || (rig.machines(true).len() == 9).then_some(()));
    wait_up_to(ROLLED, "a second rollout of the control plane", || {
        (rig.timeline.control_plane_machines() == 9).then_some(())
    });
}

#[test]
#[ignore = "takes minutes, and the programs of rig/build"]
fn the_hazard_is_real_begun_over_members_that_are_left_it_makes_members_without_a_limit() {
    let Some(rig) = Rig::start(Etcd::External) else { return };
    let _made = made(&rig, Ends::default());
    // Nobody says that the control plane has followed, so what was let go of stays.
    rig.stop(KCP);
    for (id, members) in [("one", 6), ("two", 9), ("three", 10)] {
        rig.roll_etcd(id);
        wait_up_to(ROLLED, "more members at once", || {
            let ready = rig.etcdadm_cluster()["status"]["ready"] == true;
            (rig.machines(true).len() == members && (ready || members == 10)).then_some(())
        });
    }
}

#[test]
#[ignore = "takes minutes, and the programs of rig/build"]
fn with_us_none_begins_before_the_control_plane_has_followed_and_no_member_is_left() {
    let Some(rig) = Rig::start(Etcd::External) else { return };
    // The first that somebody's rollout makes is due at once.
    let mut etcd = vec![usual(); 3];
    etcd.push(in_days(7, 90));
    let made = made(&rig, Ends { etcd, ..Ends::default() });
    rig.stop(KCP);
    rig.roll_etcd("somebodys");
    let controller = rig.controller(&Spans::default(), &[]);
    rig.annotate(OPT_IN, &json!("7d"));
    wait_up_to(ROLLED, "three members, and three that are left", || {
        let whole =
            rig.machines(true).len() == 6 && rig.etcdadm_cluster()["status"]["ready"] == true;
        (whole && waits_until_it_is_quiet(&controller)).then_some(())
    });
    rig.timeline.act("it waits over members that are left");
    thread::sleep(LOOKED_AT);
    assert!(waits_until_it_is_quiet(&controller));
    assert_eq!((intent(&rig), rig.timeline.etcd_machines()), (None, 6));
    rig.start_again(KCP);
    wait_up_to(ROLLED, "the control plane to be rolled", || {
        (rig.timeline.control_plane_machines() > 3).then_some(())
    });
    assert!(waits_until_it_is_quiet(&controller));
    assert_eq!((intent(&rig), rig.timeline.etcd_machines()), (None, 6));
    wait_up_to(ROLLED, "our rollout to begin", || intent(&rig));
    assert!(are_replaced(&rig, false, &made), "the control plane has followed");
    assert!(rig.etcd_members().iter().all(|member| !made.old[1].contains(&member.name)));
    assert_eq!(rig.timeline.control_plane_machines(), 6);
}

/// Whether our controller says that etcd is due, and that it waits for E2 alone.
fn waits_until_it_is_quiet(controller: &Controller) -> bool {
    controller.finds("not-quiet")
}
