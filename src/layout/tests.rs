//! What a machine is taken for, and what of it is read first, watched and granted.
#![expect(clippy::disallowed_methods, reason = "these tests make the host that is detected")]

use std::fs;

use expiryd_api::{Reason, RenewedBy};
use glob::Pattern;
use tempfile::TempDir;

use super::*;

const FILES: usize = 100;

/// A host with these files, all of them empty, unless one is os-release.
fn host_with(os: &str, files: &[&str]) -> (TempDir, HostRoot) {
    let directory = tempfile::tempdir().unwrap();
    let write = |path: &str, text: &str| {
        let path = directory.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    write("etc/os-release", &format!("ID={os}\n"));
    for path in files {
        write(path, "");
    }
    let root = HostRoot::open(directory.path()).unwrap();
    (directory, root)
}

fn detected(os: &str, files: &[&str], overrides: &LayoutOverrides) -> Layout {
    let (_directory, root) = host_with(os, files);
    detect(&root, overrides, FILES)
}

fn path(path: &str) -> HostPath {
    HostPath::new(path).unwrap()
}

fn configured(place: Place) -> ConfiguredSource {
    ConfiguredSource { place, kind: SourceKind::File, renewed_by: RenewedBy::Operator }
}

fn names(sources: &[Source]) -> Vec<String> {
    sources.iter().map(|source| source.path.to_string()).collect()
}

#[test]
fn what_means_something_is_read_before_what_the_configuration_adds_and_that_before_the_rest() {
    let files = [
        "etc/kubernetes/pki/aaa.crt",
        "etc/kubernetes/pki/apiserver.crt",
        "etc/kubernetes/scheduler.conf",
        "opt/x.pem",
    ];
    let (_directory, root) = host_with("ubuntu", &files);
    let overrides = LayoutOverrides {
        sources: vec![configured(Place::File(path("/opt/x.pem")))],
        ..LayoutOverrides::default()
    };
    let known = ["/etc/kubernetes/pki/apiserver.crt", "/etc/kubernetes/scheduler.conf"];
    let two = detect(&root, &overrides, 2);
    assert_eq!(names(&two.sources), known);
    let three = detect(&root, &overrides, 3);
    assert_eq!(names(&three.sources), [&known[..], &["/opt/x.pem"]].concat());
    let problems: Vec<_> = three.problems.iter().map(|p| (p.path.to_string(), p.reason)).collect();
    assert_eq!(problems, [("/etc/kubernetes/pki/aaa.crt".to_owned(), Reason::TooMany)]);
    assert!(three.is_unlisted(&path("/etc/kubernetes/pki/aaa.crt")));
    let all = detect(&root, &overrides, 4);
    assert_eq!((all.sources.len(), all.problems.len(), all.unlisted.len()), (4, 0, 0));
}

#[test]
fn a_file_is_unlisted_with_its_directory_and_not_with_a_neighbour() {
    let mut layout = detected("ubuntu", &[], &LayoutOverrides::default());
    layout.unlisted.push(path("/etc/etcd/pki"));
    assert!(layout.is_unlisted(&path("/etc/etcd/pki/server.crt")));
    assert!(!layout.is_unlisted(&path("/etc/etcd/server.crt")));
    assert!(!layout.is_unlisted(&path("/etc/etcd/pki.bak/server.crt")));
}

#[test]
fn a_name_is_watched_in_the_directory_that_has_it() {
    let watched = Watched::named(&path("/etc/kubernetes/admin.conf"), true).unwrap();
    assert_eq!(watched.directory, path("/etc/kubernetes"));
    assert_eq!((watched.name.as_deref(), watched.awaited), (Some(&b"admin.conf"[..]), true));
    assert_eq!(Watched::named(&HostPath::root(), true), None);
}

#[test]
fn the_configuration_outweighs_what_was_found() {
    let files = ["srv/cp/apiserver.crt", "srv/cp/etcd/ca.crt", "srv/etcd/server.crt"];
    let mut overrides = LayoutOverrides {
        control_plane_pki: Some(path("/srv/cp")),
        etcd_pki: Some(path("/srv/etcd")),
        ..LayoutOverrides::default()
    };
    let found = detected("ubuntu", &files, &overrides);
    assert_eq!(found.sources.len(), 3);
    assert_eq!((found.control_plane_pki, found.etcd_pki), (path("/srv/cp"), path("/srv/etcd")));
    assert_eq!(found.role, Role::ControlPlane);
    assert_eq!(found.etcd_topology, Some(EtcdTopology::External));

    overrides.etcd_topology = Some(EtcdTopology::Stacked);
    let told = detected("ubuntu", &files, &overrides);
    assert_eq!(told.etcd_topology, Some(EtcdTopology::Stacked));
    for role in [Role::Etcd, Role::Worker, Role::Unknown] {
        overrides.role = Some(role);
        let told = detected("ubuntu", &files, &overrides);
        assert_eq!((told.role, told.etcd_topology), (role, None));
    }
}

#[test]
fn a_bottlerocket_worker_is_known_by_the_kubelets_kubeconfig() {
    let kubeconfig = ["etc/kubernetes/kubelet/kubeconfig"];
    let role = |os, files: &[&str]| detected(os, files, &LayoutOverrides::default()).role;
    assert_eq!(role("bottlerocket", &kubeconfig), Role::Worker);
    assert_eq!(role("bottlerocket", &[]), Role::Unknown);
    assert_eq!(role("ubuntu", &kubeconfig), Role::Unknown);
    assert_eq!(role("ubuntu", &["etc/kubernetes/pki/ca.crt"]), Role::Worker);
}

#[test]
fn each_operating_system_has_its_kubelet_kubeconfig() {
    let at = |os| {
        let (_directory, root) = host_with(os, &[]);
        kubelet_kubeconfig(&root).to_string()
    };
    assert_eq!(at("bottlerocket"), "/etc/kubernetes/kubelet/kubeconfig");
    assert_eq!(at("ubuntu"), "/etc/kubernetes/kubelet.conf");
}

#[test]
fn places_are_the_usual_ones_and_what_the_configuration_names_but_for_single_files() {
    let overrides = LayoutOverrides {
        etcd_pki: Some(path("/srv/etcd")),
        sources: vec![
            configured(Place::File(path("/opt/a/x.pem"))),
            configured(Place::Directory(path("/opt/b"))),
            configured(Place::Glob(Pattern::new("/opt/c/*/x.crt").unwrap())),
        ],
        ..LayoutOverrides::default()
    };
    let places = detected("ubuntu", &[], &overrides).places;
    let places: Vec<_> = places.iter().map(ToString::to_string).collect();
    let usual = ["/etc/kubernetes", "/etc/etcd", "/var/lib/kubelet/pki"];
    assert_eq!(places, [&usual[..], &["/srv/etcd", "/opt/b", "/opt/c"]].concat());
}

#[test]
fn the_kubelets_current_certificate_is_a_source_and_its_past_ones_are_not() {
    let files = ["kubelet-client-current.pem", "kubelet-client-2026-01-15-08-00-00.pem"];
    let files = files.map(|name| format!("var/lib/kubelet/pki/{name}"));
    let files = files.each_ref().map(String::as_str);
    let sources = detected("ubuntu", &files, &LayoutOverrides::default()).sources;
    assert_eq!(names(&sources), ["/var/lib/kubelet/pki/kubelet-client-current.pem"]);
    assert_eq!((sources[0].origin, sources[0].kind), (Origin::KubeletClient, SourceKind::Kubelet));
}

#[test]
fn a_configured_file_or_directory_that_is_not_there_is_a_problem_and_a_pattern_is_not() {
    let place = |place| {
        let sources = vec![configured(place)];
        let overrides = LayoutOverrides { sources, ..LayoutOverrides::default() };
        detected("ubuntu", &["opt/there.pem"], &overrides)
    };
    let file = place(Place::File(path("/opt/gone.pem")));
    assert_eq!(file.problems[0].reason, Reason::NotFound);
    assert_eq!(place(Place::File(path("/opt/there.pem"))).problems, []);
    let directory = place(Place::Directory(path("/opt/gone")));
    assert_eq!(directory.problems[0].reason, Reason::NotFound);
    assert_eq!(place(Place::Glob(Pattern::new("/opt/gone/*.pem").unwrap())).problems, []);
}

#[test]
fn a_pattern_crosses_no_directory_and_shows_no_hidden_file() {
    let files = ["opt/a/x.crt", "opt/a/deep/y.crt", "opt/a/.z.crt", "opt/b/x.pem"];
    let found = |pattern| {
        let sources = vec![configured(Place::Glob(Pattern::new(pattern).unwrap()))];
        let overrides = LayoutOverrides { sources, ..LayoutOverrides::default() };
        names(&detected("ubuntu", &files, &overrides).sources)
    };
    assert_eq!(found("/opt/*/*.crt"), ["/opt/a/x.crt"]);
    assert_eq!(found("/opt/**/*.crt"), ["/opt/a/deep/y.crt", "/opt/a/x.crt"]);
    assert_eq!(found("/opt/b/x.*"), ["/opt/b/x.pem"]);
}

#[test]
fn what_a_known_machine_never_has_is_not_waited_for() {
    let awaited = |files: &[&str]| {
        let watched = detected("ubuntu", files, &LayoutOverrides::default()).watched;
        watched.iter().any(|watched| watched.awaited)
    };
    assert!(awaited(&[]) && awaited(&["etc/kubernetes/pki/ca.crt"]));
    assert!(!awaited(&["etc/etcd/pki/server.crt"]));
    assert!(!awaited(&["etc/kubernetes/pki/apiserver.crt"]));
}

#[test]
fn files_of_each_origin_have_their_directory() {
    let layout = detected("bottlerocket", &[], &LayoutOverrides::default());
    let directory = |origin| layout.directory(origin).to_string();
    assert_eq!(directory(Origin::ControlPlanePki), "/var/lib/kubeadm/pki");
    assert_eq!(directory(Origin::ControlPlaneKubeconfig), "/var/lib/kubeadm");
    assert_eq!(directory(Origin::EtcdPki), "/var/lib/etcd/pki");
    assert_eq!(directory(Origin::KubeletClient), "/var/lib/kubelet/pki");
}
