//! What was seen of the real controllers, second by second: the lines of `proof/traces`.

use std::collections::BTreeMap;

use expiryd_api::Timestamp;

/// Milliseconds of the day.
pub type Millis = i64;

/// One line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// When.
    pub at: Millis,
    /// What.
    pub entry: Entry,
}

/// A kind of machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A member of etcd.
    Etcd,
    /// One of the control plane.
    ControlPlane,
}

/// What a line says, so far as the models know of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    /// A Machine was made.
    Made(Kind, String),
    /// A machine has its address, or its Node.
    Up(Kind, String),
    /// A Machine is being deleted.
    Deleting(Kind, String),
    /// A Machine is gone.
    Gone(Kind, String),
    /// The EtcdadmCluster owns a Machine no more.
    LetGo(String),
    /// The EtcdadmCluster's `status.ready`.
    Ready(bool),
    /// The client pair in the Secret ends then, in seconds since 1970.
    Secret(i64),
    /// The annotations of the EtcdadmCluster.
    Annotations(Annotations),
    /// Cluster API's key on a Machine of the control plane has this date now, or is gone.
    Dated(String, Option<Timestamp>),
    /// KCP has other endpoints of etcd.
    Endpoints,
    /// The experiment marked a Machine's EtcdadmConfig.
    Marked(String),
    /// The experiment annotated a Machine.
    Touched,
    /// The experiment wrote upgrade-complete on the EtcdadmCluster.
    UpgradeComplete,
    /// The experiment set `EtcdCertificatesAvailable` to False.
    CertificatesUnavailable,
    /// The experiment paused the Cluster, or ended that.
    ClusterPaused(bool),
    /// The experiment had the control plane rolled (`rollout.after`).
    RolloutAfter,
    /// etcdadm-controller was killed.
    Killed,
    /// etcdadm-controller was started.
    Started,
}

/// Annotations of the EtcdadmCluster that etcdadm-controller or KCP acts on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Annotations {
    /// `cluster.x-k8s.io/paused`.
    pub paused: bool,
    /// `controlplane.cluster.x-k8s.io/upgrade-complete`.
    pub upgrade_complete: bool,
}

/// The lines of a log, save those that say nothing a model knows of.
pub fn read(log: &str) -> Vec<Line> {
    let lines = log.lines().filter(|line| !line.is_empty());
    lines
        .filter_map(|line| {
            let (time, rest) = line.split_once(' ')?;
            Some(Line { at: millis(time)?, entry: entry(rest)? })
        })
        .collect()
}

/// The Machines of one control plane, from a watch of them: name, phase, two columns on whether it is up to date,
/// its date, Cluster API's key on it, and since when it is being deleted. The last row of one that is being
/// deleted is its end.
pub fn read_machines(log: &str, cluster: &str) -> Vec<Line> {
    let prefix = format!("{cluster}-cp-");
    let rows = log.lines().filter_map(|line| {
        let words: Vec<_> = line.split_whitespace().collect();
        let [time, name, phase, .., annotated, _] = *words.as_slice() else { return None };
        name.starts_with(&prefix).then_some((millis(time)?, name, phase, annotated))
    });
    let mut last = BTreeMap::new();
    let mut lines = Vec::new();
    for (at, name, phase, annotated) in rows {
        let date = Timestamp::parse(annotated).ok();
        let was = last.insert(name, (at, phase, date));
        let mut say = |entry| lines.push(Line { at, entry });
        let kind = Kind::ControlPlane;
        let was_phase = was.map(|(_, phase, _)| phase);
        if was.is_none() {
            say(Entry::Made(kind, name.to_owned()));
        }
        if phase != was_phase.unwrap_or_default() && matches!(phase, "Running" | "Deleting") {
            let named = name.to_owned();
            say(if phase == "Running" {
                Entry::Up(kind, named)
            } else {
                Entry::Deleting(kind, named)
            });
        }
        if date != was.and_then(|(_, _, date)| date) {
            say(Entry::Dated(name.to_owned(), date));
        }
    }
    for (name, (at, phase, _)) in last {
        if phase == "Deleting" {
            lines.push(Line { at, entry: Entry::Gone(Kind::ControlPlane, name.to_owned()) });
        }
    }
    lines.sort_by_key(|line| line.at);
    lines
}

/// What the experiment did to one cluster, and to the controllers, which all have in common.
pub fn actions_on(log: &str, cluster: &str) -> Vec<Line> {
    let of_it = |rest: &str| {
        let words: Vec<_> = rest.split_whitespace().collect();
        let machine = format!("{cluster}-etcd-");
        let is_program =
            ["ACT EC ", "ACT KCP ", "KILLED EC "].iter().any(|start| rest.starts_with(start));
        is_program || words.iter().any(|w| *w == cluster || w.contains(&machine))
    };
    let lines = log.lines().filter_map(|line| line.split_once(' '));
    lines
        .filter(|(_, rest)| of_it(rest))
        .filter_map(|(time, rest)| Some(Line { at: millis(time)?, entry: action(rest)? }))
        .collect()
}

fn millis(time: &str) -> Option<Millis> {
    let parts: Option<Vec<i64>> = time.split([':', '.']).map(|part| part.parse().ok()).collect();
    let [hours, minutes, seconds, millis] = *parts?.as_slice() else { return None };
    Some(((hours * 60 + minutes) * 60 + seconds) * 1_000 + millis)
}

fn entry(rest: &str) -> Option<Entry> {
    let (subject, said) = rest.split_once(' ')?;
    match subject {
        "M" => machine(Kind::Etcd, said),
        "CP" => machine(Kind::ControlPlane, said),
        "SECRET" if said.contains("-apiserver-etcd-client ") => {
            let (_, date) = said.rsplit_once("notAfter=")?;
            let date = format!("{}Z", date.trim());
            Some(Entry::Secret(Timestamp::parse(&date).ok()?.unix()))
        }
        "EC" if said.starts_with("annotations: ") => {
            let (_, now) = said.split_once("->")?;
            Some(Entry::Annotations(Annotations {
                paused: now.contains("'cluster.x-k8s.io/paused'"),
                upgrade_complete: now.contains("upgrade-complete"),
            }))
        }
        "EC" if said.contains("ready: False->True") => Some(Entry::Ready(true)),
        "EC" if said.contains("ready: True->False") => Some(Entry::Ready(false)),
        "KCP" if said.starts_with("endpoints: ") => Some(Entry::Endpoints),
        _ => None,
    }
}

fn machine(kind: Kind, said: &str) -> Option<Entry> {
    let (name, what) = said.split_once(' ')?;
    let name = name.to_owned();
    Some(match what.trim() {
        "deleting: False->True" => Entry::Deleting(kind, name),
        "DELETED" => Entry::Gone(kind, name),
        "owner: EtcdadmCluster->none" => Entry::LetGo(name),
        what if what.starts_with("deleting=False") => Entry::Made(kind, name),
        what if what.starts_with("addr=") => Entry::Up(kind, name),
        what if what.ends_with("->Running") => Entry::Up(kind, name),
        _ => return None,
    })
}

fn action(rest: &str) -> Option<Entry> {
    let words: Vec<_> = rest.split_whitespace().collect();
    Some(match *words.as_slice() {
        ["ACT", "marked", machine, _] => Entry::Marked(machine.to_owned()),
        ["ACT", "annotated", object] if object.contains("machine.cluster") => Entry::Touched,
        ["ACT", "annotated", _, key, "true"] if key.ends_with("/upgrade-complete") => {
            Entry::UpgradeComplete
        }
        ["ACT", "condition", _, "EtcdCertificatesAvailable", "False"] => {
            Entry::CertificatesUnavailable
        }
        ["ACT", "cluster", _, paused] => Entry::ClusterPaused(paused == "spec.paused=true"),
        ["ACT", "KCP", "rollout.after=now"] => Entry::RolloutAfter,
        ["ACT", "EC", "SIGTERM"] | ["KILLED", "EC", ..] => Entry::Killed,
        ["ACT", "EC", "start" | "restart", _] => Entry::Started,
        _ => return None,
    })
}
