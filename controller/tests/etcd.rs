//! What is read of etcd's machines: a real member and a real agent, by the client pair in the Secret.

use std::path::PathBuf;

use serde_json::{Value, json};
use tempfile::TempDir;
use time::OffsetDateTime;

use testkit::authority::{Authority, Pair};
use testkit::cluster::{Cluster, assets};
use testkit::cluster_api::{Management, NAMESPACE};
use testkit::dates::{in_days, rfc3339};
use testkit::etcd_member::Member;
use testkit::etcd_pki::client;
use testkit::network::{can_leave, leave};
use testkit::{skip, wait_for};

use crate::control_plane::{OPT_IN, annotate_cluster, prod, program, with_etcd};
use crate::openapi;

/// `prod` with an etcd of one machine.
struct Prod {
    cluster: Cluster,
    authority: Authority,
    member: Member,
    folder: TempDir,
}

const PAIR: &str = "prod-apiserver-etcd-client";

impl Prod {
    /// Its machine has this address, and certificates for this one, which end then.
    fn start(
        assets: &std::path::Path,
        address: &str,
        certified: &str,
        end: OffsetDateTime,
    ) -> Self {
        let cluster = Cluster::start(assets);
        prod(&cluster);
        let status = json!({ "ready": true, "endpoints": format!("https://{address}:2379") });
        with_etcd(&cluster, 1, &status);
        let management = Management(&cluster);
        management.create("Machine", "etcd-1", machine(address));
        annotate_cluster(&cluster, OPT_IN, &"7d".into());

        let authority = Authority::new("etcd-ca");
        let member =
            Member::boot(&assets.join("etcd"), &authority, "etcd-1", address, certified, end);
        management.secret("prod-etcd", &[("tls.crt", &authority.pem())]);
        let Pair { certificate, key } = client(&authority, "prod", in_days(360, 0));
        management.secret(PAIR, &[("tls.crt", &certificate), ("tls.key", &key)]);
        Self { cluster, authority, member, folder: tempfile::tempdir().unwrap() }
    }

    /// The plan of the cluster.
    fn plan(&self) -> Value {
        let mut command = program(&self.cluster, &self.folder);
        let output = command.args(["plan", "-o", "json"]).output().unwrap();
        let plan: Value = serde_json::from_slice(&output.stdout).unwrap();
        openapi::is("Cluster", &plan["clusters"][0]);
        plan["clusters"][0].clone()
    }

    /// The dates of etcd's machine, by who says them.
    fn ends(&self) -> Vec<(String, String)> {
        ends(&self.plan())
    }
}

pub(crate) fn machine(address: &str) -> Value {
    json!({
        "metadata": {
            "labels": {
                "cluster.x-k8s.io/cluster-name": "prod",
                "cluster.x-k8s.io/etcd-cluster": "prod-etcd",
            },
            "ownerReferences": [{
                "apiVersion": "etcdcluster.cluster.x-k8s.io/v1beta1",
                "kind": "EtcdadmCluster", "name": "prod-etcd", "uid": "1",
            }],
        },
        "spec": {},
        "status": { "addresses": [{ "type": "InternalIP", "address": address }] },
    })
}

fn ends(plan: &Value) -> Vec<(String, String)> {
    let machines = plan["machines"].as_array().unwrap().iter();
    let machine = machines.clone().find(|machine| machine["name"] == "etcd-1").unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let ends = machine["ends"].as_array().unwrap().iter();
    ends.map(|end| (text(&end["source"]), text(&end["notAfter"]))).collect()
}

/// Whoever was not heard, with the reason; it has to hold these words.
fn unheard(plan: &Value, who: &str, why: &str) {
    let mut all = plan["unheard"].as_array().into_iter().flatten();
    let is = |one: &&Value| {
        one["who"].as_str().unwrap().contains(who) && one["why"].as_str().unwrap().contains(why)
    };
    assert!(all.any(|one| is(&one)), "{who}, {why}: {}", plan["unheard"]);
}

/// The programs of an API server, once this thread is in a network of its own: what an agent is asked over loopback
/// it answers without TLS.
fn apart() -> Option<PathBuf> {
    let assets = assets()?;
    if let Err(why) = can_leave() {
        skip(why);
        return None;
    }
    leave();
    Some(assets)
}

#[test]
fn an_etcd_machine_is_read_twice_by_its_agent_and_by_what_it_serves() {
    let Some(assets) = apart() else { return };
    let end = in_days(200, 0);
    let mut prod = Prod::start(&assets, "192.0.2.1", "192.0.2.1", end);
    let both = [("agent".to_owned(), rfc3339(end)), ("served".to_owned(), rfc3339(end))].to_vec();
    wait_for("both dates", || (prod.ends() == both).then_some(()));
    let management = Management(&prod.cluster);

    // A CA that did not issue theirs: nobody is believed.
    let authority = prod.authority.pem();
    management.replace_secret("prod-etcd", &[("tls.crt", &Authority::new("etcd-ca").pem())]);
    let plan = prod.plan();
    assert_eq!(ends(&plan), []);
    unheard(&plan, "the agent of etcd-1 at 192.0.2.1:9797", "invalid peer certificate");
    unheard(&plan, "etcd of etcd-1 at 192.0.2.1:2379", "invalid peer certificate");
    management.replace_secret("prod-etcd", &[("tls.crt", &authority)]);

    // A pair that has ended: both refuse it, and what etcd serves is seen all the same.
    let expired = client(&prod.authority, "prod", in_days(-1, 0));
    let pair_end = in_days(360, 0);
    let good = client(&prod.authority, "prod", pair_end);
    let write = |pair: &Pair| {
        let fields = [("tls.crt", pair.certificate.as_str()), ("tls.key", pair.key.as_str())];
        management.replace_secret(PAIR, &fields);
    };
    write(&expired);
    let plan = prod.plan();
    assert_eq!(ends(&plan), [("served".to_owned(), rfc3339(end))]);
    unheard(&plan, "the agent of etcd-1", "fatal alert: CertificateExpired");
    // Of a stranger, and none at all.
    write(&client(&Authority::new("etcd-ca"), "prod", in_days(360, 0)));
    unheard(&prod.plan(), "the agent of etcd-1", "fatal alert");
    management.replace_secret(PAIR, &[("tls.crt", "no certificate")]);
    unheard(&prod.plan(), "etcd with its client pair, by the Secret", "holds no certificate");
    let path = format!("/api/v1/namespaces/{NAMESPACE}/secrets/{PAIR}");
    prod.cluster.ask("DELETE", &path, &Value::Null);
    unheard(&prod.plan(), "etcd with its client pair, by the Secret", "not found");
    management.secret(PAIR, &[("tls.crt", &good.certificate), ("tls.key", &good.key)]);
    assert_eq!(prod.ends(), both);
    // Without the CA nobody is talked to, and when the pair ends is known all the same.
    management.replace_secret("prod-etcd", &[("tls.crt", "no certificate")]);
    let plan = prod.plan();
    unheard(&plan, "etcd with its CA, by the Secret prod-etcd", "holds no certificate");
    assert_eq!(plan["etcdClientPair"], rfc3339(pair_end));
    management.replace_secret("prod-etcd", &[("tls.crt", &authority)]);

    // Its agent is away, and then etcd as well.
    prod.member.stop_agent();
    let plan = prod.plan();
    assert_eq!(ends(&plan), [("served".to_owned(), rfc3339(end))]);
    unheard(&plan, "the agent of etcd-1 at 192.0.2.1:9797", "onnection refused");
    prod.member.stop_etcd();
    let plan = prod.plan();
    assert_eq!(ends(&plan), []);
    unheard(&plan, "etcd of etcd-1 at 192.0.2.1:2379", "onnection refused");
}

#[test]
fn an_agent_with_a_certificate_for_other_names_is_not_believed_and_what_etcd_serves_is() {
    let Some(assets) = apart() else { return };
    let end = in_days(200, 0);
    let prod = Prod::start(&assets, "192.0.2.1", "192.0.2.9", end);
    let served = [("served".to_owned(), rfc3339(end))];
    let plan =
        wait_for("what etcd serves", || Some(prod.plan()).filter(|plan| ends(plan) == served));
    unheard(&plan, "the agent of etcd-1 at 192.0.2.1:9797", "not valid for name");
    let findings = plan["findings"].as_array().unwrap();
    assert!(findings.iter().any(|finding| finding["guard"] == "name-mismatch"), "{findings:?}");
}
