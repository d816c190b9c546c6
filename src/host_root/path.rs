//! Paths as the node itself writes them.

use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use serde::{Serialize, Serializer};

use crate::escape::Escaped;

/// A path as the node itself would write it: absolute, without `.` and `..`.
///
/// Ordered bytewise, and shown [`Escaped`].
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct HostPath(PathBuf);

impl HostPath {
    /// `/`.
    pub fn root() -> Self {
        Self(PathBuf::from("/"))
    }

    /// Takes an absolute path; `.` is dropped and `..` goes up, never above `/`.
    ///
    /// # Errors
    /// Says so when the path is relative, or has a NUL in it, which no file's name has.
    pub fn new(path: impl AsRef<Path>) -> Result<Self, String> {
        let path = path.as_ref();
        let bytes = path.as_os_str().as_bytes();
        if bytes.contains(&0) {
            return Err(format!("\"{}\" has a NUL in it; remove that", Escaped(bytes)));
        }
        if !path.is_absolute() {
            let path = Escaped(bytes);
            return Err(format!("\"{path}\" is not an absolute path; begin it with /"));
        }
        Ok(Self::root().join(path))
    }

    /// This path with `rest` under it; an absolute `rest` replaces it, as on a command line.
    #[must_use]
    pub fn join(&self, rest: impl AsRef<Path>) -> Self {
        let mut path = self.0.clone();
        for component in rest.as_ref().components() {
            match component {
                Component::RootDir => path = PathBuf::from("/"),
                Component::ParentDir => drop(path.pop()),
                Component::Normal(name) => path.push(name),
                Component::CurDir | Component::Prefix(_) => {}
            }
        }
        Self(path)
    }

    /// The directory that holds it; `None` for `/`.
    pub fn parent(&self) -> Option<Self> {
        self.0.parent().map(|p| Self(p.to_path_buf()))
    }

    /// Its last component, or nothing for `/`.
    pub fn file_name(&self) -> &[u8] {
        self.0.file_name().map_or(&[], OsStrExt::as_bytes)
    }

    /// What is left of it beneath `dir`; `None` when it is not beneath `dir`.
    pub fn beneath(&self, dir: &Self) -> Option<&Path> {
        self.0.strip_prefix(&dir.0).ok()
    }

    /// As a path of the standard library: the node's own, not one of this process.
    pub fn as_path(&self) -> &Path {
        &self.0
    }
}

impl Ord for HostPath {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.as_os_str().as_bytes().cmp(other.0.as_os_str().as_bytes())
    }
}

impl PartialOrd for HostPath {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for HostPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Escaped(self.0.as_os_str().as_bytes()).fmt(f)
    }
}

impl fmt::Debug for HostPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.to_string())
    }
}

impl Serialize for HostPath {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
