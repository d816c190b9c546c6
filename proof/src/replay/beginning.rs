//! How a part of a trace begins: a cluster at rest, with the machines that had been made before.

use std::collections::BTreeMap;

use super::{Part, Replay, Steps, seconds};
use crate::trace::{Entry, Kind, Line, Millis};
use crate::world::{DAY, Made, World};

/// What the control planes of the traces are rolled within.
const DAYS: i64 = 7;

impl Replay {
    /// A cluster at rest, with what was before.
    pub(super) fn begin(part: &Part<'_>) -> Self {
        let before = || part.seen.iter().take_while(|line| line.at < part.from);
        let mut machines: Vec<(Kind, &String, Millis, bool)> = Vec::new();
        let mut secret = 0;
        for Line { at, entry } in before() {
            match entry {
                Entry::Made(kind, name) => machines.push((*kind, name, *at, true)),
                Entry::Gone(_, name) => machines.retain(|(_, other, ..)| *other != name),
                Entry::LetGo(name) => {
                    for (_, _, _, owned) in machines.iter_mut().filter(|(_, n, ..)| *n == name) {
                        *owned = false;
                    }
                }
                Entry::Secret(not_after) => secret = *not_after,
                _ => {}
            }
        }
        // Of those that were made in one second the first by name is the oldest.
        machines.sort_by_key(|(_, name, at, _)| (seconds(*at), *name));
        let count = |kind| machines.iter().filter(|(k, _, _, owned)| *k == kind && *owned).count();
        let now = seconds(part.from);
        let ends = now + 300 * DAY;
        let made = Made {
            born: now,
            control_plane: count(Kind::ControlPlane),
            members: count(Kind::Etcd),
            control_plane_ends: ends,
            etcd_ends: ends,
            secret_ends: secret,
        };
        let mut world = World::at_rest(now, DAYS, &made);
        world.control_plane.days = Some(DAYS);
        let mut names = BTreeMap::new();
        if let Some(etcd) = &mut world.etcd {
            let members = machines.iter().filter(|(kind, ..)| *kind == Kind::Etcd);
            for (machine, (_, name, at, owned)) in etcd.machines.iter_mut().zip(members) {
                names.insert(machine.id, (*name).clone());
                machine.born = seconds(*at);
                machine.owned = *owned;
            }
        }
        let control_planes = machines.iter().filter(|(kind, ..)| *kind == Kind::ControlPlane);
        for (machine, (_, name, at, _)) in
            world.control_plane.machines.iter_mut().zip(control_planes)
        {
            names.insert(machine.id, (*name).clone());
            machine.born = seconds(*at);
        }
        let about_to_be_made = |wanted: Kind| {
            let later = part.seen.iter().filter(|line| line.at >= part.from);
            let names = later.filter_map(move |line| match &line.entry {
                Entry::Made(kind, name) if *kind == wanted => Some(name.clone()),
                _ => None,
            });
            names.collect()
        };
        Self {
            world,
            steps: Steps::default(),
            names,
            members: about_to_be_made(Kind::Etcd),
            control_planes: about_to_be_made(Kind::ControlPlane),
            runs: true,
            looks_at: Millis::MAX,
            paused: false,
            cluster_paused: false,
        }
    }
}
