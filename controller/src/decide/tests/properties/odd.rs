//! Clusters of every kind: what is odd may be odd in each part.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

use crate::decide::tests::*;
use crate::memory::{Cause, Nudge};

/// Days from now at which something turns.
fn date() -> impl Strategy<Value = Timestamp> {
    select(vec![-400, -30, -1, 0, 1, 2, 6, 7, 8, 9, 29, 60, 61, 68, 100, 300, 364, 9_000])
        .prop_map(day)
}

/// Seldom true.
fn seldom() -> impl Strategy<Value = bool> {
    prop::bool::weighted(0.1)
}

/// Usually true.
fn usually() -> impl Strategy<Value = bool> {
    prop::bool::weighted(0.9)
}

fn published() -> impl Strategy<Value = Published> {
    let record = || (date(), any::<bool>()).prop_map(|(date, degraded)| Record { date, degraded });
    prop_oneof![
        2 => Just(Published::Nothing),
        4 => record().prop_map(Published::Ours),
        1 => record().prop_map(Published::Lost),
        1 => option::of(date()).prop_map(Published::Foreign),
    ]
}

fn any_report() -> impl Strategy<Value = Report> {
    let status =
        select(vec![Status::Ok, Status::Ok, Status::Degraded, Status::Waiting, Status::None]);
    let path = option::of(select(vec![APISERVER.to_owned(), "/x".to_owned()]));
    let expiry = (date(), path).prop_map(|(not_after, path)| Expiry { not_after, path });
    let observed = select(vec![-100, -27, -1, 0, 0, 0, 2]).prop_map(hours);
    (observed, status, usually(), option::of(expiry), option::of(date())).prop_map(
        |(observed_at, status, settled, machine_rollout, etcd_rollout)| Report {
            observed_at,
            status,
            settled,
            machine_rollout,
            etcd_rollout,
        },
    )
}

fn control_plane_machine() -> impl Strategy<Value = ControlPlaneMachine> {
    let heard = prop_oneof![
        6 => any_report().prop_map(NodeReport::Of),
        1 => Just(NodeReport::NoNode),
        1 => Just(NodeReport::Unreachable),
        1 => Just(NodeReport::NoAgent),
    ];
    (select(vec![-400, -265, -2, 0]), seldom(), published(), option::of(date()), heard).prop_map(
        |(born, deleting, published, own, report)| ControlPlaneMachine {
            name: String::new(),
            born: day(born),
            deleting,
            published,
            own,
            report,
        },
    )
}

fn any_control_plane() -> impl Strategy<Value = ControlPlane> {
    let days = option::of(select(vec![7, 14, 60]));
    let progress = (seldom(), seldom(), usually(), usually()).prop_map(
        |(moving, outdated, ready, observed)| Progress { moving, outdated, ready, observed },
    );
    let rolled_for = vec(
        (select(vec![APISERVER, "apiserver-etcd-client", "/x"]), date(), date()).prop_map(
            |(path, not_after, at)| RolledFor {
                path: path.to_owned(),
                not_after,
                at,
                machine: "cp-1".to_owned(),
            },
        ),
        0..3,
    );
    let flags = [seldom(), seldom(), seldom(), seldom(), seldom()];
    let machines = vec(control_plane_machine(), 0..5);
    let lifetime = option::of(select(vec![1, 14, 100, 365, 1_000, 3_650]));
    (flags, days.clone(), days, 1..4_usize, progress, rolled_for, lifetime, machines).prop_map(
        |(flags, days, our_days, replicas, progress, rolled_for, lifetime_days, mut machines)| {
            for (n, machine) in machines.iter_mut().enumerate() {
                machine.name = format!("cp-{n}");
            }
            let [deleting, paused, in_place, topology_owned, template_has_key] = flags;
            ControlPlane {
                deleting,
                paused,
                in_place,
                topology_owned,
                template_has_key,
                days,
                our_days,
                replicas,
                progress,
                etcd: EtcdPlace::Stacked,
                lifetime_days,
                rolled_for,
                machines,
            }
        },
    )
}

fn any_etcd_machine() -> impl Strategy<Value = EtcdMachine> {
    let heard = prop_oneof![
        5 => any_report().prop_map(Ok),
        1 => Just(Err(NotHeard::NoAnswer)),
        1 => Just(Err(NotHeard::OtherName)),
    ];
    let mark = select(vec![None, None, Some("begun"), Some("foreign")]);
    let born = select(vec![-400, -265, -20, -1, 0]);
    (born, seldom(), usually(), mark, published(), heard, option::of(date())).prop_map(
        |(born, deleting, owned, mark, published, report, served)| EtcdMachine {
            name: String::new(),
            born: day(born),
            deleting,
            owned,
            mark: mark.map(str::to_owned),
            published,
            report,
            served,
        },
    )
}

fn any_intent() -> impl Strategy<Value = Intent> {
    let cause = select(vec![Cause::MachineDue, Cause::SecretDue, Cause::Joined]);
    let machines = vec(select(vec!["etcd-0", "etcd-1", "etcd-2", "etcd-9"]), 0..4);
    (cause, machines, option::of(date()), select(vec![-48, -3, -1, 0]), option::of(date()))
        .prop_map(|(cause, machines, secret_not_after, at, closed)| Intent {
            id: "begun".to_owned(),
            cause,
            machines: machines.into_iter().map(str::to_owned).collect(),
            secret_not_after,
            at: hours(at),
            closed,
        })
}

fn any_etcd() -> impl Strategy<Value = EtcdCluster> {
    let flags = [seldom(), seldom(), seldom(), seldom(), seldom()];
    let secret = option::of((select(vec!["one", "two"]), date()));
    let secret = secret.prop_map(|pair| {
        pair.map(|(sha256, not_after)| SecretPair { sha256: sha256.to_owned(), not_after })
    });
    let pairs = vec(
        (select(vec!["zero", "one"]), date(), date()).prop_map(
            |(sha256, not_after, first_seen)| ClientPair {
                sha256: sha256.to_owned(),
                not_after,
                first_seen,
            },
        ),
        0..3,
    );
    let controller = (option::of(date()), any::<bool>(), option::of(date())).prop_map(
        |(started_at, may_restart, restarted_at)| EtcdController {
            started_at,
            may_restart,
            restarted_at,
        },
    );
    let nudge = option::of(
        select(vec![-3, 0]).prop_map(|at| Nudge { id: "begun".to_owned(), at: hours(at) }),
    );
    let machines = vec(any_etcd_machine(), 0..6);
    let own = (usually(), nudge, option::of(any_intent()), pairs, secret);
    (flags, own, controller, machines).prop_map(
        |(flags, (ready, nudge, intent, pairs, secret), controller, mut machines)| {
            for (n, machine) in machines.iter_mut().enumerate() {
                machine.name = format!("etcd-{n}");
            }
            let [deleting, paused, upgrade_complete, upgrading, skipped_health_checks] = flags;
            EtcdCluster {
                deleting,
                paused,
                replicas: 3,
                ready,
                upgrade_complete,
                upgrading,
                endpoints: vec!["https://192.0.2.1:2379".to_owned()],
                allow_single: false,
                nudge,
                intent,
                pairs,
                secret,
                refresh_asked: upgrading && skipped_health_checks,
                ca_not_after: None,
                skipped_health_checks,
                controller,
                machines,
            }
        },
    )
}

/// As odd as can be, or at rest with a part or two that are odd and dates that may be due.
pub(super) fn any_facts() -> impl Strategy<Value = Facts> {
    prop_oneof![odd_facts(), nearly_at_rest()]
}

fn nearly_at_rest() -> impl Strategy<Value = Facts> {
    let swaps = [(); 8].map(|()| seldom());
    (odd_facts(), any_etcd(), swaps, [date(), date(), date()]).prop_map(
        |(odd, odd_etcd, swaps, dates)| {
            let [cluster, progress, machines, report_of_first, own, members, member, pair] = swaps;
            let mut facts = external();
            let [of_etcd, of_control_plane, reported] = dates;
            for machine in &mut control_plane(&mut facts).machines {
                machine.own = Some(of_control_plane);
                if let NodeReport::Of(Report { machine_rollout: Some(expiry), .. }) =
                    &mut machine.report
                {
                    expiry.not_after = reported;
                }
            }
            for machine in &mut etcd(&mut facts).machines {
                machine.served = Some(of_etcd);
            }
            if cluster {
                facts.cluster = odd.cluster;
            }
            if let Some(odd) = odd.control_plane {
                let control_plane = control_plane(&mut facts);
                if progress {
                    control_plane.progress = odd.progress;
                }
                if let Some(odd) = odd.machines.first().filter(|_| report_of_first) {
                    control_plane.machines[0].report = odd.report.clone();
                }
                if machines {
                    control_plane.machines = odd.machines;
                }
            }
            let etcd = etcd(&mut facts);
            if member && !odd_etcd.machines.is_empty() {
                etcd.machines[0] = odd_etcd.machines[0].clone();
            }
            if members {
                etcd.machines = odd_etcd.machines;
            }
            if pair {
                (etcd.pairs, etcd.secret, etcd.controller) =
                    (odd_etcd.pairs, odd_etcd.secret, odd_etcd.controller);
            }
            if own {
                (etcd.ready, etcd.upgrading, etcd.upgrade_complete, etcd.intent) = (
                    odd_etcd.ready,
                    odd_etcd.upgrading,
                    odd_etcd.upgrade_complete,
                    odd_etcd.intent,
                );
            }
            facts
        },
    )
}

fn odd_facts() -> impl Strategy<Value = Facts> {
    let words = ["7d", "7d", "7d", "true", "5d", "50d", "400d", "soon"];
    let opt_in = option::weighted(0.9, select(words.map(str::to_owned).to_vec()));
    let acknowledged = option::of(Just(format!("{APISERVER}@{}", day(6))));
    let cluster = (opt_in, seldom(), acknowledged, [seldom(), seldom(), seldom()]).prop_map(
        |(opt_in, hold, acknowledged, [paused, deleting, is_management])| Cluster {
            opt_in,
            hold,
            acknowledged,
            paused,
            deleting,
            ca_not_after: None,
            is_management,
        },
    );
    let control_plane = option::weighted(0.95, any_control_plane());
    (cluster, control_plane, option::of(any_etcd()), usually()).prop_map(
        |(cluster, mut control_plane, etcd, follows)| {
            if let (Some(control_plane), Some(etcd)) = (&mut control_plane, &etcd) {
                let endpoints = if follows { etcd.endpoints.clone() } else { Vec::new() };
                control_plane.etcd = EtcdPlace::External(endpoints);
            }
            Facts { cluster, control_plane, etcd }
        },
    )
}
