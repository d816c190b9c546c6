//! The modules use each other in one direction only: the order of src/lib.rs.

use std::fs;

use testkit::project;
use walkdir::WalkDir;

/// The modules in the order of lib.rs.
fn modules() -> Vec<String> {
    let lib = fs::read_to_string(project("src/lib.rs")).unwrap();
    let module = |line: &str| Some(line.strip_prefix("pub mod ")?.strip_suffix(';')?.to_owned());
    lib.lines().filter_map(module).collect()
}

/// Every module that a file names as `crate::MODULE`, in its imports or in its code.
fn used(text: &str) -> impl Iterator<Item = &str> {
    text.split("crate::").skip(1).map(|rest| {
        let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
        &rest[..end]
    })
}

/// Whether a file is a test and nothing else.
fn is_test(path: &std::path::Path) -> bool {
    path.components().any(|part| part.as_os_str().to_string_lossy().starts_with("tests"))
}

#[test]
fn each_module_uses_only_those_before_it() {
    let (source, modules) = (project("src"), modules());
    let place = |name: &str| modules.iter().position(|module| module == name);
    let mut files = 0;
    for entry in WalkDir::new(&source).into_iter().map(Result::unwrap) {
        let path = entry.path().strip_prefix(&source).unwrap();
        let name = path.with_extension("").iter().next().map(|n| n.to_string_lossy().into_owned());
        let Some(module) = name.filter(|name| {
            entry.file_type().is_file() && name != "lib" && name != "main" && !is_test(path)
        }) else {
            continue;
        };
        let Some(own) = place(&module) else {
            assert_eq!(path.extension().map(|e| e != "rs"), Some(true), "lib.rs lacks {module}");
            continue;
        };
        let text = fs::read_to_string(entry.path()).unwrap();
        // Unit tests stand at the end of a file and may use what they like.
        let code = text.split("#[cfg(test)]").next().unwrap();
        for used in used(code) {
            let before = place(used).is_some_and(|used| used <= own);
            assert!(before, "{} uses {used}, which comes later in lib.rs", path.display());
        }
        files += 1;
    }
    assert!(files > modules.len(), "{files} files were read");
}
