//! The modules use each other in one direction only.

use std::collections::BTreeSet;
use std::fs;

use walkdir::WalkDir;

use crate::harness::project;

/// What each module may use; the order is the one of src/lib.rs.
const ALLOWED: &[(&str, &[&str])] = &[
    ("clock", &[]),
    ("closed_list", &[]),
    ("escape", &[]),
    ("failure", &[]),
    ("host_root", &["escape"]),
    ("kubeconfig", &[]),
    ("problem", &["closed_list", "host_root"]),
    ("publication", &["clock", "closed_list"]),
    ("vitals", &["clock", "problem"]),
    ("pki", &["clock", "closed_list", "escape", "kubeconfig", "problem"]),
    ("layout", &["host_root", "pki", "problem"]),
    ("scan", &["clock", "host_root", "layout", "pki", "problem"]),
    ("inventory", &["clock", "host_root", "pki", "problem", "scan"]),
    (
        "report",
        &["clock", "closed_list", "host_root", "inventory", "pki", "problem", "publication"],
    ),
    (
        "publish",
        &[
            "clock",
            "escape",
            "host_root",
            "inventory",
            "kubeconfig",
            "layout",
            "pki",
            "problem",
            "publication",
            "report",
            "vitals",
        ],
    ),
    ("watch", &["host_root", "layout", "problem"]),
    ("system", &["closed_list"]),
    ("config", &["escape", "host_root", "inventory", "layout", "pki", "publish", "scan", "system"]),
    (
        "agent",
        &[
            "clock",
            "config",
            "escape",
            "failure",
            "host_root",
            "inventory",
            "layout",
            "pki",
            "problem",
            "publication",
            "publish",
            "report",
            "scan",
            "system",
            "vitals",
            "watch",
        ],
    ),
    (
        "cli",
        &[
            "agent",
            "clock",
            "config",
            "failure",
            "host_root",
            "inventory",
            "pki",
            "publish",
            "report",
            "scan",
            "system",
        ],
    ),
];

#[test]
fn each_module_uses_only_those_before_it() {
    let source = project("src");
    let mut modules = BTreeSet::new();
    for entry in WalkDir::new(&source).into_iter().map(Result::unwrap) {
        let path = entry.path().strip_prefix(&source).unwrap();
        let name = path.with_extension("").iter().next().map(|n| n.to_string_lossy().into_owned());
        let Some(module) =
            name.filter(|n| entry.file_type().is_file() && n != "lib" && n != "main")
        else {
            continue;
        };
        if path.ends_with("tests.rs")
            || path.iter().any(|part| part == "tests")
            || path.ends_with("specimen.rs")
        {
            continue;
        }
        let (_, allowed) = ALLOWED
            .iter()
            .find(|(name, _)| *name == module)
            .unwrap_or_else(|| panic!("say in this test what {module} may use"));
        for line in fs::read_to_string(entry.path()).unwrap().lines() {
            let Some(used) = line.strip_prefix("use crate::") else { continue };
            let used = used.split([':', ';']).next().unwrap();
            assert!(used == module || allowed.contains(&used), "{} uses {used}", path.display());
        }
        modules.insert(module);
    }
    let described: BTreeSet<_> = ALLOWED.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(modules, described);
    for (place, (module, allowed)) in ALLOWED.iter().enumerate() {
        let before: Vec<_> = ALLOWED[..place].iter().map(|(name, _)| name).collect();
        assert!(allowed.iter().all(|used| before.contains(&used)), "{module} uses a later one");
    }
}
