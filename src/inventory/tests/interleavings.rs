//! Every interleaving of a renewal's file operations with scans, and of restarts with both.
//!
//! A procedure is the list of what it does to files. After each of its operations the agent may not
//! scan at all, scan once, or scan twice with a pause shorter than the settle time between; all
//! combinations are tried. What is published after each scan must be what holds: for each file its
//! date if it is whole, else its last one; never later, never nothing. The Node outlives every agent and
//! its date, too, is never later than what holds.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use expiryd_api::{EtcdTopology, Role, SourceKind, Status, Timestamp};
use serde_json::Value;
use testkit::certificate::CertificateBuilder;

use crate::clock::Moment;
use crate::config::Timing;
use crate::host_root::HostPath;
use crate::inventory::Stabilizer;
use crate::layout::Layout;
use crate::layout::known_files::{
    ExpectedContent, ExpectedFile, Origin, expected_content, expected_files,
};
use crate::node::annotations::Memory;
use crate::node::desired::{self, Decision, Desired};
use crate::pki::{Contents, read};
use crate::report::{self, Besides, Report};
use crate::scan::{File, Scan};

const TIMING: Timing = Timing { settle: Duration::from_secs(10), grace: Duration::from_mins(10) };
const PAUSE: Duration = Duration::from_secs(9);
const OLD: [&str; 3] = ["20270301000000Z", "20270302000000Z", "20270303000000Z"];
const NEW: [&str; 3] = ["20280301000000Z", "20280302000000Z", "20280303000000Z"];

/// What is in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Content {
    Empty,
    Torn,
    Old,
    New,
}

/// One operation: a file, by its place in the list, becomes this, or is removed.
type Operation = (usize, Option<Content>);

/// The leaves of a machine, with the names of their files, and what renews them.
struct Procedure {
    role: Role,
    origin: Origin,
    directory: &'static str,
    leaves: [&'static str; 3],
    /// What such a machine has besides and nothing touches, later than the others.
    untouched: Vec<(Origin, &'static str, Arc<Contents>)>,
    /// Where the control plane's etcd runs.
    etcd: Option<EtcdTopology>,
    /// Place 3 is `ca.crt`.
    operations: Vec<Operation>,
    contents: BTreeMap<(usize, Content), Arc<Contents>>,
}

/// A file is opened with `O_TRUNC` and then written in two parts.
fn rewritten(file: usize) -> [Operation; 3] {
    [(file, Some(Content::Empty)), (file, Some(Content::Torn)), (file, Some(Content::New))]
}

impl Procedure {
    fn new(
        (role, origin, directory): (Role, Origin, &'static str),
        leaves: [&'static str; 3],
        operations: Vec<Operation>,
    ) -> Self {
        let mut contents = BTreeMap::new();
        let mut holds = |file, content, bytes: &[u8]| {
            contents.insert(
                (file, content),
                Arc::new(read(&HostPath::root(), SourceKind::File, bytes)),
            );
        };
        for file in 0..4 {
            let pem = |dates: &[&str; 3]| match dates.get(file) {
                Some(date) => CertificateBuilder::leaf(date).pem(),
                None => CertificateBuilder::ca("20360101000000Z").pem(),
            };
            let (old, new) = (pem(&OLD), pem(&NEW));
            holds(file, Content::Empty, b"");
            holds(file, Content::Torn, &new.as_bytes()[..new.len() / 2]);
            holds(file, Content::Old, old.as_bytes());
            holds(file, Content::New, new.as_bytes());
        }
        let other = expected_files(role, None)
            .filter(|file| {
                !file.names.iter().any(|name| leaves.contains(name) || *name == "ca.crt")
            })
            .map(|ExpectedFile { origin, names }| {
                let name = names[0];
                let late = "20360101000000Z";
                let pem = match expected_content(origin, name.as_bytes()) {
                    ExpectedContent::Ca => CertificateBuilder::ca(late).pem(),
                    _ => CertificateBuilder::leaf(late).pem(),
                };
                let contents = read(&HostPath::root(), SourceKind::File, pem.as_bytes());
                (origin, name, Arc::new(contents))
            });
        let untouched = other.collect();
        Self { role, origin, directory, leaves, untouched, etcd: None, operations, contents }
    }

    /// `kubeadm certs renew`: each file is truncated and written again, in this order.
    fn kubeadm() -> Self {
        let leaves = ["apiserver.crt", "apiserver-kubelet-client.crt", "front-proxy-client.crt"];
        let machine = (Role::ControlPlane, Origin::ControlPlanePki, "etc/kubernetes/pki");
        Self::new(machine, leaves, [0, 1, 2].map(rewritten).concat())
    }

    /// EKS Anywhere on an etcd machine (`pkg/certificates`, `renewerubuntu.go`): `rm -rf pki/*`, then
    /// `cp ca.*`, then etcdadm writes each leaf. Two of them are seen while they are written; a third
    /// would make the combinations nine times as many.
    fn etcd() -> Self {
        let leaves = ["server.crt", "peer.crt", "etcdctl-etcd-client.crt"];
        let removed = [3, 2, 1, 0].map(|file| (file, None));
        let written = [
            (3, Some(Content::New)),
            (0, Some(Content::Empty)),
            (0, Some(Content::New)),
            (1, Some(Content::Torn)),
            (1, Some(Content::New)),
            (2, Some(Content::New)),
        ];
        let operations = [removed.as_slice(), &written].concat();
        Self::new((Role::Etcd, Origin::EtcdPki, "etc/etcd/pki"), leaves, operations)
    }

    /// EKS Anywhere on a Bottlerocket control plane (`renewerbottlerocket.go`): kubeadm in a container,
    /// then `cp` over `server-etcd-client.crt`.
    fn bottlerocket() -> Self {
        let leaves = ["apiserver.crt", "front-proxy-client.crt", "server-etcd-client.crt"];
        let machine = (Role::ControlPlane, Origin::ControlPlanePki, "var/lib/kubeadm/pki");
        Self {
            etcd: Some(EtcdTopology::External),
            ..Self::new(machine, leaves, [0, 1, 2].map(rewritten).concat())
        }
    }

    fn directory(&self) -> HostPath {
        HostPath::root().join(self.directory)
    }

    fn scan(&self, disk: &Disk) -> Scan {
        let files = disk.now.iter().enumerate().filter_map(|(place, content)| {
            let name = self.leaves.get(place).copied().unwrap_or("ca.crt");
            let contents = Arc::clone(&self.contents[&(place, (*content)?)]);
            let name_bytes = name.as_bytes().to_vec();
            let file =
                File { origin: self.origin, kind: SourceKind::File, name: name_bytes, contents };
            Some((self.directory().join(name), file))
        });
        let layout = Layout {
            places: Vec::new(),
            os: "ubuntu".to_owned(),
            // What an emptied directory makes the machine look like.
            role: if disk.now.iter().all(Option::is_none) { Role::Unknown } else { self.role },
            etcd_topology: self.etcd,
            hostname: None,
            sources: Vec::new(),
            problems: Vec::new(),
            unlisted: Vec::new(),
            absent: BTreeSet::new(),
            wanted: BTreeSet::new(),
            control_plane_pki: self.directory(),
            etcd_pki: self.directory(),
            api_server_port: None,
            watched: Vec::new(),
        };
        let untouched = self.untouched.iter().map(|(origin, name, contents)| {
            let file = File {
                origin: *origin,
                kind: SourceKind::File,
                name: name.as_bytes().to_vec(),
                contents: Arc::clone(contents),
            };
            (layout.directory(*origin).join(name), file)
        });
        let files = files.chain(untouched).collect();
        Scan { layout, files, parsed: 0 }
    }
}

/// What is on the disk, and what was last whole there.
#[derive(Clone)]
struct Disk {
    now: [Option<Content>; 4],
    whole: [Content; 4],
}

impl Disk {
    const fn before() -> Self {
        Self { now: [Some(Content::Old); 4], whole: [Content::Old; 4] }
    }

    fn apply(&mut self, (file, content): Operation) {
        self.now[file] = content;
        if content == Some(Content::New) {
            self.whole[file] = Content::New;
        }
    }

    /// How many files are missing, empty or torn.
    fn not_whole(&self) -> usize {
        let whole = |content: &&_| matches!(content, Some(Content::Old | Content::New));
        self.now.len() - self.now.iter().filter(whole).count()
    }

    /// The earliest date of a leaf, each as it was last whole.
    fn earliest(&self) -> &'static str {
        let dates = (0..3).map(|leaf| match self.whole[leaf] {
            Content::New => NEW[leaf],
            _ => OLD[leaf],
        });
        dates.min().unwrap()
    }
}

/// An agent, and the time.
#[derive(Clone)]
struct Agent {
    stabilizer: Stabilizer,
    now: Duration,
    /// Whether it was there before the renewal began.
    knows: bool,
    /// The machine's Node, which outlives the agent.
    node: Value,
    memory: Memory,
}

impl Agent {
    fn started(now: Duration, knows: bool, node: Value) -> Self {
        Self { stabilizer: Stabilizer::new(TIMING), now, knows, node, memory: Memory::none() }
    }

    fn look(&mut self, procedure: &Procedure, disk: &Disk) -> Report {
        let wall = Timestamp::from_unix(1_800_000_000 + i64::try_from(self.now.as_secs()).unwrap());
        let inventory =
            self.stabilizer.observe(procedure.scan(disk), Moment { monotonic: self.now, wall });
        let report = report::build(inventory, Besides::default(), wall);
        self.annotate(&report);
        report
    }

    /// Writes to the Node what the publisher would.
    fn annotate(&mut self, report: &Report) {
        match desired::annotations(report) {
            Decision::NotYet => {}
            Decision::Publish(Desired::Annotations(new)) => {
                let new = if new.is_degraded() {
                    new.held_against(&self.node, &mut self.memory)
                } else {
                    self.memory.told(&new);
                    new
                };
                self.node = new.patch(report.observed_at);
            }
            other => panic!("{other:?}"),
        }
    }

    /// Whether the Node's date is there and no later than the earliest that is true.
    fn check_node(&self, disk: &Disk, trail: &[Choice]) {
        let date = &self.node["metadata"]["annotations"]["expiryd.dev/earliest-expiry"];
        let date = date.as_str().map(|date| date.replace(['-', ':', 'T'], ""));
        assert!(date.is_some_and(|date| *date <= *disk.earliest()), "after {trail:?}");
    }

    /// Looks, and holds what is published against what is true.
    fn check(&mut self, procedure: &Procedure, disk: &Disk, trail: &[Choice]) {
        let report = self.look(procedure, disk);
        // An etcd machine has no Node.
        if procedure.role == Role::ControlPlane {
            self.check_node(disk, trail);
        }
        // What a restarted agent believes is a fact only once everything is there again.
        if self.knows || (report.settled && disk.not_whole() == 0) {
            assert_eq!(published(&report).as_deref(), Some(disk.earliest()), "after {trail:?}");
        }
        if self.knows {
            assert!(report.settled, "after {trail:?}");
            let expected = if disk.not_whole() == 0 { Status::Ok } else { Status::Degraded };
            assert_eq!(report.status, expected, "after {trail:?}");
            let stale = report.certificates.iter().filter(|c| c.stale).count();
            assert_eq!(stale, disk.not_whole(), "after {trail:?}");
        }
    }
}

/// The earliest date as it stands in [`OLD`] and [`NEW`].
fn published(report: &Report) -> Option<String> {
    let date = report.earliest.as_ref()?.not_after.to_string();
    Some(date.replace(['-', ':', 'T'], ""))
}

/// What the agent does after an operation.
#[derive(Debug, Clone, Copy)]
enum Choice {
    Nothing,
    Look,
    LookPauseLook,
}

/// Tries every combination of choices from this operation on; returns how many there were.
fn explore(
    procedure: &Procedure,
    step: usize,
    disk: &Disk,
    agent: &Agent,
    trail: &mut Vec<Choice>,
) -> usize {
    let Some(operation) = procedure.operations.get(step) else {
        let mut agent = agent.clone();
        agent.look(procedure, disk);
        agent.now += TIMING.settle;
        let report = agent.look(procedure, disk);
        assert_eq!(published(&report).as_deref(), Some(NEW[0]), "at the end of {trail:?}");
        assert_eq!((report.status, report.settled), (Status::Ok, true), "at the end of {trail:?}");
        assert!(report.certificates.iter().all(|c| !c.stale), "at the end of {trail:?}");
        return 1;
    };
    let mut disk = disk.clone();
    disk.apply(*operation);
    let mut tried = 0;
    for choice in [Choice::Nothing, Choice::Look, Choice::LookPauseLook] {
        let mut agent = agent.clone();
        agent.now += Duration::from_millis(300);
        trail.push(choice);
        if !matches!(choice, Choice::Nothing) {
            agent.check(procedure, &disk, trail);
        }
        if matches!(choice, Choice::LookPauseLook) {
            // An agent that was restarted may believe what it sees before the renewal is over.
            agent.now += if agent.knows { PAUSE } else { TIMING.settle };
            agent.check(procedure, &disk, trail);
        }
        tried += explore(procedure, step + 1, &disk, &agent, trail);
        trail.pop();
    }
    tried
}

/// An agent that has watched the machine for a while.
fn settled(procedure: &Procedure) -> Agent {
    let mut agent = Agent::started(Duration::ZERO, true, Value::Null);
    agent.look(procedure, &Disk::before());
    agent.now += TIMING.settle;
    assert!(agent.look(procedure, &Disk::before()).settled);
    agent
}

fn every_interleaving_holds(procedure: &Procedure) {
    let tried = explore(procedure, 0, &Disk::before(), &settled(procedure), &mut Vec::new());
    assert_eq!(tried, 3_usize.pow(u32::try_from(procedure.operations.len()).unwrap()));
}

/// The agent is killed and started again after each operation; then every interleaving of the rest.
fn every_restart_holds(procedure: &Procedure) {
    for killed_after in 1..=procedure.operations.len() {
        let mut disk = Disk::before();
        procedure.operations[..killed_after].iter().for_each(|operation| disk.apply(*operation));
        let node = settled(procedure).node;
        let agent = Agent::started(Duration::from_mins(1), false, node);
        explore(procedure, killed_after, &disk, &agent, &mut Vec::new());
    }
}

#[test]
fn kubeadms_renewal_never_moves_the_date_late_or_takes_it_away() {
    every_interleaving_holds(&Procedure::kubeadm());
    every_restart_holds(&Procedure::kubeadm());
}

#[test]
fn bottlerockets_renewal_never_moves_the_date_late_or_takes_it_away() {
    every_interleaving_holds(&Procedure::bottlerocket());
    every_restart_holds(&Procedure::bottlerocket());
}

#[test]
fn the_renewal_of_etcd_never_moves_the_date_late_or_takes_it_away() {
    every_interleaving_holds(&Procedure::etcd());
    every_restart_holds(&Procedure::etcd());
}

#[test]
fn etcds_emptied_directory_may_stay_so_for_almost_the_grace() {
    let procedure = Procedure::etcd();
    let (emptied, refilled) = procedure.operations.split_at(4);
    let mut agent = settled(&procedure);
    let mut disk = Disk::before();
    for operation in emptied {
        disk.apply(*operation);
        agent.check(&procedure, &disk, &[]);
    }
    for _ in 0..9 {
        agent.now += Duration::from_mins(1);
        agent.check(&procedure, &disk, &[]);
    }
    for operation in refilled {
        disk.apply(*operation);
        agent.check(&procedure, &disk, &[]);
    }
}
