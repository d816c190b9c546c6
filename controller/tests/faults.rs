//! An API server, a Secret or a workload cluster in trouble: nothing is written on a guess, and what is due is
//! done once the trouble is over.

use std::sync::Arc;

use serde_json::{Value, json};
use tempfile::TempDir;

use time::{Duration, OffsetDateTime};

use testkit::cluster::{Cluster, assets};
use testkit::cluster_api::{Management, NAMESPACE};
use testkit::dates::{in_days, now, rfc3339};
use testkit::faulty_proxy::{Fault, FaultyProxy};
use testkit::kubeadm::{APISERVER, leaf};
use testkit::kubelet::AT_ONCE;
use testkit::{Agent, Host, Server, status, wait_for, wait_up_to};

use crate::control_plane::{
    EXPIRY, OPT_IN, annotate_cluster, condition, has_days, machine, machine_when, opted_in, prod,
    run_as,
};

/// Longer than a request may take, and than it takes until a cluster is looked at again after that.
const LONG: std::time::Duration = std::time::Duration::from_mins(1);

/// `prod`, opted in, with an agent on its machine, behind an API server that can be broken.
struct Prod {
    began: OffsetDateTime,
    cluster: Arc<Cluster>,
    proxy: FaultyProxy,
    host: Host,
    program: Server,
    _agent: Agent,
    _folder: TempDir,
}

impl Prod {
    /// The machine carries its date, and all is quiet.
    fn at_rest(assets: &std::path::Path) -> Self {
        let cluster = Arc::new(Cluster::start(assets));
        let folder = tempfile::tempdir().unwrap();
        let began = now();
        let (host, agent) = opted_in(&cluster, began + Duration::days(300));
        host.replace(APISERVER, leaf(began + Duration::days(200)));
        let proxy = FaultyProxy::start(&cluster);
        let flags = ["--listen", "127.0.0.1:0", "--no-leader-elect"];
        let program = run_as(&proxy.kubeconfig(), &folder, &flags);
        let this = Self { began, cluster, proxy, host, program, _agent: agent, _folder: folder };
        this.carries(200);
        has_days(&this.cluster);
        wait_for("the condition", || condition(&this.cluster));
        this
    }

    /// The machine's certificate is another one, and its Node says so.
    fn renew(&self, day: i64) {
        self.host.replace(APISERVER, leaf(self.began + Duration::days(day)));
        wait_for("the Node's date", || {
            let node = self.cluster.node("cp-1");
            (node["metadata"]["annotations"][EXPIRY] == self.date(day)).then_some(())
        });
    }

    /// So many days after the test began.
    fn date(&self, day: i64) -> String {
        rfc3339(self.began + Duration::days(day))
    }

    fn carries(&self, day: i64) {
        wait_up_to(LONG, "the date", || {
            let annotations = Management(&self.cluster).annotations("cp-1");
            let companion = format!("{};ok", self.date(day));
            let is = annotations[EXPIRY] == self.date(day);
            (is && annotations["expiryd.dev/published"] == companion).then_some(())
        });
    }

    fn date_now(&self) -> Value {
        Management(&self.cluster).annotations("cp-1")[EXPIRY].clone()
    }

    fn condition_when(&self, reason: &str) -> Value {
        wait_up_to(LONG, reason, || condition(&self.cluster).filter(|one| one["reason"] == reason))
    }

    /// Waits until so many requests had the fault that was asked for last.
    fn hit(&self, times: usize) {
        wait_up_to(LONG, "a request in trouble", || (self.proxy.hit() >= times).then_some(()));
    }

    fn has_not_panicked(&self) {
        assert!(!self.program.log().contains("panicked"));
    }
}

#[test]
fn a_write_that_fails_is_made_again_and_nothing_rests_on_it_until_then() {
    let Some(assets) = assets() else { return };
    let prod = Prod::at_rest(&assets);
    let faults = [
        Fault::Refuse(403),
        Fault::Refuse(404),
        Fault::Refuse(409),
        Fault::Refuse(422),
        Fault::TooMany(1),
        Fault::Refuse(500),
        Fault::Refuse(503),
        Fault::HangUp,
        Fault::Garbage,
        Fault::Hang,
    ];
    for (day, fault) in (201..).zip(faults) {
        let before = prod.date_now();
        prod.proxy.break_requests("PATCH", "/machines/cp-1", fault);
        prod.renew(day);
        prod.hit(if fault == Fault::Hang { 1 } else { 2 });
        assert_eq!(prod.date_now(), before, "{fault:?}");
        if fault == Fault::Refuse(403) {
            let condition = prod.condition_when("WriteRefused");
            let said = condition["message"].as_str().unwrap();
            assert!(said.contains("Not done: write ") && said.contains("cp-1"), "{said}");
        }
        prod.proxy.mend();
        prod.carries(day);
    }
    // Carried out, and the answer is lost: it is seen when it is read again, and not written twice.
    prod.proxy.break_requests("PATCH", "/machines/cp-1", Fault::Lost);
    prod.renew(260);
    prod.carries(260);
    prod.proxy.mend();
    prod.has_not_panicked();
}

#[test]
fn what_cannot_be_read_is_not_guessed() {
    let Some(assets) = assets() else { return };
    let prod = Prod::at_rest(&assets);
    let paths = ["/clusters/prod", "/kubeadmcontrolplanes/prod", "/machines?", "/kubeadmconfigs?"];
    let faults = [Fault::Refuse(403), Fault::Refuse(500), Fault::TooMany(1), Fault::Garbage];
    for (day, (path, fault)) in (201..).zip(paths.into_iter().zip(faults)) {
        prod.proxy.break_requests("GET", path, fault);
        prod.hit(1);
        prod.proxy.take_writes();
        prod.renew(day);
        prod.hit(2);
        assert_eq!(prod.proxy.take_writes(), Vec::<String>::new(), "{path} {fault:?}");
        prod.proxy.mend();
        prod.carries(day);
    }
    prod.proxy.break_requests("GET", "/machines?", Fault::Hang);
    prod.hit(1);
    prod.proxy.mend();
    prod.renew(240);
    prod.carries(240);
    prod.has_not_panicked();
}

/// A cache that is behind, as an API server behind a load balancer may have one.
#[test]
fn what_was_read_from_a_stale_cache_is_refused_by_its_resource_version() {
    let Some(assets) = assets() else { return };
    let prod = Prod::at_rest(&assets);
    prod.renew(201);
    prod.carries(201);
    // The Machine as it was before anything was written to it.
    prod.proxy.break_requests("GET", "/machines?", Fault::Stale);
    prod.proxy.take_writes();
    prod.hit(6);
    let writes = prod.proxy.take_writes();
    let machine = |write: &&String| write.contains("/machines/cp-1");
    assert!(writes.iter().any(|write| machine(&write)), "{writes:?}");
    assert_eq!(prod.date_now(), prod.date(201));
    assert!(prod.program.log().contains("has changed since it was read"));
    prod.proxy.mend();
    prod.renew(202);
    prod.carries(202);
}

#[test]
fn without_its_kubeconfig_or_its_nodes_a_cluster_keeps_what_was_written_and_people_are_told() {
    let Some(assets) = assets() else { return };
    let prod = Prod::at_rest(&assets);
    let management = Management(&prod.cluster);
    let good = prod.cluster.admin_kubeconfig();
    let rest = condition(&prod.cluster).unwrap()["reason"].as_str().unwrap().to_owned();
    let stranger = testkit::authority::Authority::new("kubernetes");
    let wrong_authority = {
        let mut other = good.clone();
        let start = other.find("certificate-authority-data: ").unwrap() + 28;
        let end = start + other[start..].find('}').unwrap();
        other.replace_range(start..end, &base64(&stranger.pem()));
        other
    };
    let expired = {
        let pair = prod.cluster.authority.member("system:masters", "admin", 2001);
        let user = format!(
            "client-certificate-data: {}, client-key-data: {}",
            base64(&pair.certificate),
            base64(&pair.key)
        );
        let start = good.find("client-certificate-data: ").unwrap();
        let end = start + good[start..].find('}').unwrap();
        format!("{}{user}{}", &good[..start], &good[end..])
    };
    let program = good.replace("users: [{name: u, user: {", "users: [{name: u, user: {exec: {apiVersion: client.authentication.k8s.io/v1, interactiveMode: Never, command: /bin/false}, ");
    // A parser's own words would show what is around the fault.
    let no_name = good.replace(
        "users: [{name: u, user: {",
        "users: [{name: u, user: {username: [x], token: hush-hush, ",
    );
    let nobody_there = good.replace(&format!(":{}'", prod.cluster.port), ":1'");
    let bad = [
        ("wrong authority", wrong_authority.as_str()),
        ("expired pair", &expired),
        ("a program", &program),
        ("a name that is none", &no_name),
        ("nobody there", &nobody_there),
        ("no kubeconfig", "}{"),
        ("empty", ""),
    ];
    for (day, (what, kubeconfig)) in (201..).zip(bad) {
        management.replace_secret("prod-kubeconfig", &[("value", kubeconfig)]);
        let told = prod.condition_when("Unreachable");
        assert!(told["message"].as_str().unwrap().contains("prod-kubeconfig"), "{what}: {told}");
        let said = [told.to_string(), prod.program.log()].concat();
        assert!(!said.contains("hush") && !said.contains("-data"), "{said}");
        prod.renew(day);
        prod.proxy.break_requests("GET", "/clusters/prod", Fault::None);
        prod.hit(3);
        prod.proxy.mend();
        assert_ne!(prod.date_now(), prod.date(day), "{what}");
        management.replace_secret("prod-kubeconfig", &[("value", &good)]);
        prod.carries(day);
        prod.condition_when(&rest);
    }
    // The Secret is gone altogether, and comes back.
    let path = format!("/api/v1/namespaces/{NAMESPACE}/secrets/prod-kubeconfig");
    prod.cluster.ask("DELETE", &path, &Value::Null);
    prod.condition_when("Unreachable");
    management.secret("prod-kubeconfig", &[("value", &good)]);
    prod.condition_when(&rest);
    prod.has_not_panicked();
}

#[test]
fn a_workload_cluster_that_answers_without_end_is_not_heard_and_costs_no_memory() {
    let Some(assets) = assets() else { return };
    let prod = Prod::at_rest(&assets);
    let through = prod.proxy.kubeconfig();
    Management(&prod.cluster).replace_secret("prod-kubeconfig", &[("value", &through)]);
    prod.proxy.break_requests("GET", "/api/v1/nodes?", Fault::Endless);
    let told = prod.condition_when("Unreachable");
    assert!(told["message"].as_str().unwrap().contains("its answer"), "{told}");
    let most = status(prod.program.pid(), "VmHWM");
    assert!(most < 64 << 10, "{most} kB");
    prod.has_not_panicked();
}

fn base64(text: &str) -> String {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.encode(text)
}

#[test]
fn who_never_opted_in_has_nothing_written_and_who_opts_out_one_withdrawal() {
    let Some(assets) = assets() else { return };
    let cluster = Arc::new(Cluster::start(&assets));
    let folder = tempfile::tempdir().unwrap();
    prod(&cluster);
    let host = machine(&cluster, in_days(300, 0));
    let _agent = Agent::start(&host, AT_ONCE);
    let proxy = FaultyProxy::start(&cluster);
    let flags = ["--listen", "127.0.0.1:0", "--no-leader-elect"];
    let _program = run_as(&proxy.kubeconfig(), &folder, &flags);
    let looks = |times: usize| {
        proxy.break_requests("GET", "/clusters/prod", Fault::None);
        wait_up_to(LONG, "looks", || (proxy.hit() >= times).then_some(()));
        proxy.mend();
    };
    looks(5);
    assert_eq!(proxy.take_writes(), Vec::<String>::new());

    annotate_cluster(&cluster, OPT_IN, &"7d".into());
    machine_when(&cluster, "the date", |a| a[EXPIRY].is_string());
    let generation =
        Management(&cluster).get("KubeadmControlPlane", "prod")["metadata"]["generation"].clone();
    let status = json!({ "observedGeneration": generation });
    looks(3);
    Management(&cluster).status("KubeadmControlPlane", "prod", &status);
    proxy.take_writes();
    annotate_cluster(&cluster, OPT_IN, &Value::Null);
    machine_when(&cluster, "nothing of ours", |a| a[EXPIRY].is_null());
    looks(5);
    proxy.take_writes();
    looks(5);
    assert_eq!(proxy.take_writes(), Vec::<String>::new());
}
