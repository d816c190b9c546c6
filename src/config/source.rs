//! One `[[source]]` of the configuration, or one `--source`.

use std::path::PathBuf;

use expiryd_api::{RenewedBy, SourceKind};
use glob::Pattern;

use super::settings::SourceSettings;
use super::{ConfigError, wrong};
use crate::host_root::HostPath;

/// A source that the configuration adds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfiguredSource {
    /// Where it is.
    pub place: Place,
    /// How its files are read.
    pub kind: SourceKind,
    /// Who renews its certificates.
    pub renewed_by: RenewedBy,
}

/// Where the files of a configured source are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// One file, which ought to be there.
    File(HostPath),
    /// Every `*.crt` and `*.pem` in a directory, which ought to be there.
    Directory(HostPath),
    /// Every file that matches a shell pattern; none is fine.
    Glob(Pattern),
}

impl ConfiguredSource {
    /// Whether a file of this path could be one of its own.
    pub fn covers(&self, path: &HostPath) -> bool {
        match &self.place {
            Place::File(file) => file == path,
            Place::Directory(directory) => path.parent().as_ref() == Some(directory),
            Place::Glob(pattern) => pattern.matches_path(path.as_path()),
        }
    }
}

/// A source of the configuration as the layout takes it.
pub(super) fn resolve(settings: SourceSettings) -> Result<ConfiguredSource, ConfigError> {
    let SourceSettings { file, directory, glob, kubeconfig, renewed_by } = settings;
    let path = |path| HostPath::new(path).map_err(|why| wrong("source", why));
    let (place, kind) = match (file, directory, glob, kubeconfig) {
        (Some(file), None, None, None) => (Place::File(path(file)?), SourceKind::File),
        (None, Some(directory), None, None) => {
            (Place::Directory(path(directory)?), SourceKind::File)
        }
        (None, None, Some(glob), None) => {
            let pattern =
                Pattern::new(&glob).map_err(|e| wrong("source", format!("{glob:?}: {e}")))?;
            path(PathBuf::from(glob))?;
            (Place::Glob(pattern), SourceKind::File)
        }
        (None, None, None, Some(file)) => (Place::File(path(file)?), SourceKind::Kubeconfig),
        _ => {
            return Err(wrong(
                "source",
                "it must have exactly one of file, directory, glob and kubeconfig".to_owned(),
            ));
        }
    };
    Ok(ConfiguredSource { place, kind, renewed_by })
}

/// Reads a source as `--source` takes it: `[file|directory|glob|kubeconfig:]PATH[@RENEWER]`.
///
/// # Errors
/// Says which part is wrong.
pub fn parse(text: &str) -> Result<SourceSettings, String> {
    let (rest, renewed_by) = match text.rsplit_once('@') {
        Some((rest, by)) if !by.contains('/') => (rest, by.parse()?),
        _ => (text, RenewedBy::Operator),
    };
    let mut source =
        SourceSettings { file: None, directory: None, glob: None, kubeconfig: None, renewed_by };
    match rest.split_once(':').filter(|(kind, _)| !kind.contains('/')) {
        None | Some(("file", _)) => {
            source.file = Some(rest.strip_prefix("file:").unwrap_or(rest).into());
        }
        Some(("directory", path)) => source.directory = Some(path.into()),
        Some(("glob", pattern)) => source.glob = Some(pattern.to_owned()),
        Some(("kubeconfig", path)) => source.kubeconfig = Some(path.into()),
        Some((kind, _)) => {
            return Err(format!(
                "{kind:?} is not a kind of source; use file, directory, glob or kubeconfig"
            ));
        }
    }
    Ok(source)
}
