//! Arguments that several commands share.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};

use crate::cli::output::Output;
use crate::cli::select::{source_path, warn_of_bad};
use crate::cli::time::parse_at;
use crate::error::Result;
use crate::model::{BackupStrategy, parse_bytes};
use crate::repository::{Repository, Snapshot};
use crate::tree::{SnapshotFilter, SnapshotName};

/// Which snapshots.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Which snapshots")]
pub(crate) struct FilterArgs {
    /// Only snapshots of this host (may be repeated)
    #[arg(long, value_name = "NAME")]
    pub(crate) host: Vec<String>,

    /// Only snapshots with this tag; `a,b` means both (may be repeated: any of them)
    #[arg(long, value_name = "TAG")]
    pub(crate) tag: Vec<String>,

    /// Only snapshots of this source, an absolute path (may be repeated: all of them)
    #[arg(long, value_name = "PATH")]
    pub(crate) path: Vec<std::path::PathBuf>,

    /// Only snapshots from before this time: `2026-11-01`, `2026-11-01T12:00`, `3 days ago`
    #[arg(long, value_name = "TIME", value_parser = parse_at, allow_hyphen_values = true)]
    pub(crate) at: Option<i64>,
}

impl FilterArgs {
    /// The same for the list of snapshots.
    ///
    /// # Errors
    /// [`Error::Local`](crate::error::Error::Local) if a path is relative to a folder that is gone.
    pub(crate) fn filter(&self) -> Result<SnapshotFilter> {
        let tags = self.tag.iter().map(|group| group.split(',').map(str::to_owned).collect());
        Ok(SnapshotFilter {
            hosts: self.host.clone(),
            tags: tags.collect(),
            paths: self.path.iter().map(|path| source_path(path)).collect::<Result<_>>()?,
            until_ms: self.at,
        })
    }
}

/// Reads the name of a snapshot.
///
/// # Errors
/// [`Error::Usage`](crate::error::Error::Usage).
pub(super) fn snapshot_name(text: &OsStr) -> Result<SnapshotName> {
    SnapshotName::parse(text.as_bytes())
}

/// The snapshots of these names among `snapshots`, each once, in the order of the names.
///
/// # Errors
/// [`Error::Usage`](crate::error::Error::Usage) for what is no name, and for a name with a path;
/// [`Error::NotFound`](crate::error::Error::NotFound),
/// [`Error::Ambiguous`](crate::error::Error::Ambiguous).
pub(super) fn resolve<'l>(
    names: &[OsString],
    snapshots: impl DoubleEndedIterator<Item = &'l Snapshot> + Clone,
    filter: &SnapshotFilter,
) -> Result<Vec<&'l Snapshot>> {
    let mut found: Vec<&Snapshot> = Vec::new();
    for name in names {
        let name = whole_snapshot_name(name)?;
        let snapshot = name.find_among(snapshots.clone(), filter)?;
        if !found.iter().any(|other| other.record == snapshot.record) {
            found.push(snapshot);
        }
    }
    Ok(found)
}

/// Reads the name of a snapshot where no path can stand behind it.
fn whole_snapshot_name(text: &OsStr) -> Result<SnapshotName> {
    let name = snapshot_name(text)?;
    match name.path {
        None => Ok(name),
        Some(_) => Err(crate::error::Error::usage_hint(
            format!("`{}` names a path in a snapshot", text.to_string_lossy()),
            "name whole snapshots; `larder rewrite --exclude` takes paths out of them",
        )),
    }
}

/// A snapshot, and the path in it that was named with it.
pub(super) struct Chosen {
    pub(super) snapshot: Snapshot,
    /// As manifests have it; `None` if no path was given.
    pub(super) path: Option<Vec<u8>>,
}

impl FilterArgs {
    /// The one snapshot that `name` or, without a name, `--at` means.
    ///
    /// # Errors
    /// [`Error::Usage`](crate::error::Error::Usage), [`Error::NotFound`](crate::error::Error::NotFound),
    /// [`Error::Ambiguous`](crate::error::Error::Ambiguous), and what reading the list fails with.
    pub(super) fn choose(
        &self,
        name: Option<&OsStr>,
        repository: &Repository,
        out: &Output,
    ) -> Result<Chosen> {
        let name = name.map(snapshot_name).transpose()?;
        let filter = self.filter()?;
        let list = repository.snapshots()?;
        warn_of_bad(&list, out);
        let snapshot = match &name {
            Some(name) => name.find(&list, &filter)?,
            None => filter.newest(&list)?,
        };
        Ok(Chosen { snapshot: snapshot.clone(), path: name.and_then(|name| name.path) })
    }
}

/// Takes the words of any type that reads itself from text, and shows them in the help.
pub(crate) fn words<T>(values: &'static [&'static str]) -> impl TypedValueParser<Value = T>
where
    T: std::str::FromStr<Err: Into<Box<dyn std::error::Error + Send + Sync>>>
        + Clone
        + Send
        + Sync
        + 'static,
{
    PossibleValuesParser::new(values).try_map(|word| word.parse::<T>())
}

/// Takes a strategy.
pub(crate) fn strategy() -> impl TypedValueParser<Value = BackupStrategy> {
    words(&["incremental", "full", "differential"])
}

/// Takes a size such as `64K` or `1.5GiB`.
pub(crate) fn size(text: &str) -> Result<u64, String> {
    parse_bytes(text)
}
