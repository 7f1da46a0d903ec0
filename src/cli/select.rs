//! From what people type to snapshots: `latest~2`, `4f1c`, `4f1c:home/ann`, and filters.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use crate::error::{Error, Result};
use crate::model::{BackupId, escape_bytes};
use crate::repository::{Snapshot, SnapshotList};

use super::output::{Output, local_ms};

/// Most series that an error lists.
const LISTED_MAX: usize = 10;

/// A snapshot as people name it, with a path in it or without.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SnapshotName {
    which: Which,
    /// The part after `:`, without `/` at its ends; empty for the root.
    pub(crate) path: Option<Vec<u8>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Which {
    /// The newest, or the n-th before it.
    Latest(usize),
    /// The first digits of an id.
    Id(String),
}

impl SnapshotName {
    /// Reads a name.
    ///
    /// # Errors
    /// [`Error::Usage`] that says what a name looks like.
    pub(crate) fn parse(text: &OsStr) -> Result<Self> {
        let bytes = text.as_bytes();
        let (name, path) = match bytes.iter().position(|byte| *byte == b':') {
            Some(at) => (&bytes[..at], Some(clean_path(&bytes[at + 1..]))),
            None => (bytes, None),
        };
        let shown = escape_bytes(name);
        let which = if let Some(rest) = shown.strip_prefix("latest") {
            match rest.strip_prefix('~') {
                Some(number) => number.parse().ok().map(Which::Latest),
                None => rest.is_empty().then_some(Which::Latest(0)),
            }
        } else {
            let id = shown.to_ascii_lowercase();
            let hex = !id.is_empty() && id.bytes().all(|digit| digit.is_ascii_hexdigit());
            (hex && id.len() <= 2 * BackupId::LEN).then_some(Which::Id(id))
        };
        let which = which.ok_or_else(|| {
            Error::usage_hint(
                format!("`{shown}` is not the name of a snapshot"),
                "names are an id or its first digits, `latest`, `latest~2`; `larder snapshots` lists the ids",
            )
        })?;
        Ok(Self { which, path })
    }

    /// The snapshot of this name; `latest` is the newest that fits `filter`.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Ambiguous`].
    pub(crate) fn find<'a>(&self, list: &'a SnapshotList, filter: &Filter) -> Result<&'a Snapshot> {
        match &self.which {
            Which::Latest(back) => {
                let mut fitting = list.snapshots.iter().rev().filter(|s| filter.fits(s));
                fitting.nth(*back).ok_or_else(|| Error::NotFound {
                    what: "snapshot",
                    name: if *back == 0 { "latest".into() } else { format!("latest~{back}") },
                })
            }
            Which::Id(id) => {
                let mut fitting =
                    list.snapshots.iter().filter(|s| s.id.to_string().starts_with(id));
                match (fitting.next(), fitting.count()) {
                    (Some(one), 0) => Ok(one),
                    (Some(_), more) => Err(Error::Ambiguous {
                        what: "snapshot",
                        name: id.clone(),
                        count: more + 1,
                    }),
                    (None, _) => Err(Error::NotFound { what: "snapshot", name: id.clone() }),
                }
            }
        }
    }
}

/// A path as manifests have it: no `/` at the ends, no empty or `.` components.
pub(crate) fn clean_path(path: &[u8]) -> Vec<u8> {
    let parts = path.split(|byte| *byte == b'/').filter(|part| !matches!(*part, b"" | b"."));
    parts.collect::<Vec<_>>().join(&b'/')
}

/// Which snapshots are meant. `Default` is all.
#[derive(Clone, Debug, Default)]
pub(crate) struct Filter {
    /// Any of these hosts.
    pub(crate) hosts: Vec<String>,
    /// All tags of any of these groups.
    pub(crate) tags: Vec<Vec<String>>,
    /// All of these sources, as manifests have them.
    pub(crate) paths: Vec<Vec<u8>>,
    /// Started at this time or before, milliseconds since 1970.
    pub(crate) until_ms: Option<i64>,
}

impl Filter {
    /// Whether `snapshot` is meant.
    pub(crate) fn fits(&self, snapshot: &Snapshot) -> bool {
        let body = &snapshot.body;
        let has_root = |path: &Vec<u8>| body.roots.iter().any(|root| clean_path(&root.0) == *path);
        (self.hosts.is_empty() || self.hosts.contains(&snapshot.host))
            && (self.tags.is_empty()
                || self.tags.iter().any(|group| group.iter().all(|tag| body.tags.contains(tag))))
            && self.paths.iter().all(has_root)
            && self.until_ms.is_none_or(|until_ms| snapshot.time_ms() <= until_ms)
    }

    /// The newest snapshot at a point in time, for `--at` in place of a name.
    ///
    /// # Errors
    /// [`Error::NotFound`] if there is none; [`Error::Usage`] that lists the series, if several
    /// fit: which of two hosts is meant must not be a guess.
    pub(crate) fn at<'a>(&self, list: &'a SnapshotList) -> Result<&'a Snapshot> {
        let mut newest: Vec<&Snapshot> = Vec::new();
        for snapshot in list.snapshots.iter().rev().filter(|s| self.fits(s)) {
            if !newest.iter().any(|other| other.body.series == snapshot.body.series) {
                newest.push(snapshot);
            }
        }
        match newest[..] {
            [one] => Ok(one),
            [] => {
                let time = self.until_ms.map_or_else(String::new, local_ms);
                Err(Error::NotFound { what: "snapshot", name: format!("before {time}") })
            }
            _ => {
                let mut series: Vec<String> = newest
                    .iter()
                    .take(LISTED_MAX)
                    .map(|s| {
                        format!("--host {} (`{}`)", escape_bytes(s.host.as_bytes()), shown_roots(s))
                    })
                    .collect();
                if newest.len() > LISTED_MAX {
                    series.push("...".into());
                }
                Err(Error::usage_hint(
                    format!("{} series have a snapshot of that time", newest.len()),
                    format!("choose one with `--host` or `--path`: {}", series.join(", ")),
                ))
            }
        }
    }
}

/// The sources of a snapshot as text.
pub(crate) fn shown_roots(snapshot: &Snapshot) -> String {
    let roots: Vec<_> = snapshot.body.roots.iter().map(|root| shown_path(&root.0)).collect();
    roots.join(", ")
}

/// A manifest's path as people know it, with `/` in front.
pub(crate) fn shown_path(path: &[u8]) -> String {
    let text = escape_bytes(path);
    if text.starts_with('/') { text.into_owned() } else { format!("/{text}") }
}

/// Absolute form of a `--path`, without looking at the disk: the source may be gone.
pub(crate) fn source_path(path: &PathBuf) -> Result<Vec<u8>> {
    let absolute = std::path::absolute(path)
        .map_err(|error| Error::local("find the place of", path, error))?;
    Ok(clean_path(absolute.as_os_str().as_bytes()))
}

/// Says which records could not be read; they may be snapshots that are missed.
pub(crate) fn warn_of_bad(list: &SnapshotList, out: &Output) {
    for error in &list.bad {
        out.warn(&format!("a snapshot may be missing from the list: {error}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<SnapshotName> {
        SnapshotName::parse(OsStr::new(text))
    }

    #[test]
    fn names_have_a_snapshot_and_a_path() {
        let name = |which, path: Option<&str>| SnapshotName { which, path: path.map(Into::into) };
        assert_eq!(parsed("latest").expect("a name"), name(Which::Latest(0), None));
        assert_eq!(parsed("latest~12").expect("a name"), name(Which::Latest(12), None));
        assert_eq!(parsed("4F1c").expect("a name"), name(Which::Id("4f1c".into()), None));
        assert_eq!(
            parsed("latest~1:/home//ann/./x:y/").expect("a name"),
            name(Which::Latest(1), Some("home/ann/x:y"))
        );
        assert_eq!(parsed("4f:").expect("a name"), name(Which::Id("4f".into()), Some("")));
    }

    #[test]
    fn other_words_are_no_names() {
        for wrong in ["", "late", "latest~", "latest~x", "latest1", "xyz", &"a".repeat(33)] {
            assert!(matches!(parsed(wrong), Err(Error::Usage { .. })), "{wrong}");
        }
    }
}
