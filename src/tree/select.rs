//! From what people type to snapshots: `latest~2`, `4f1c`, `4f1c:home/ann`, filters, points in
//! time. Pure functions over the list of snapshots.

use crate::error::{Error, Result};
use crate::model::entry::is_valid_path;
use crate::model::{BackupId, escape_bytes, unescape_bytes};
use crate::repository::{Snapshot, SnapshotList};

/// Most series that an error lists.
const LISTED_MAX: usize = 10;

/// A snapshot as people name it, with a path in it or without.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotName {
    which: Which,
    /// The part after `:` as manifests have it; empty for the root.
    pub path: Option<Vec<u8>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Which {
    /// The newest, or the n-th before it.
    Latest(usize),
    /// The first digits of an id.
    Id(String),
}

impl SnapshotName {
    /// Reads `latest`, `latest~N` or the first digits of an id, and what follows a `:` as a path:
    /// raw bytes, or escaped as they are shown (`%FF`).
    ///
    /// # Errors
    /// [`Error::Usage`] that says what a name looks like.
    pub fn parse(text: &[u8]) -> Result<Self> {
        let (name, path) = match text.iter().position(|byte| *byte == b':') {
            Some(at) => (&text[..at], Some(parse_path(&text[at + 1..])?)),
            None => (text, None),
        };
        let shown = escape_bytes(name);
        let which = if let Some(rest) = shown.strip_prefix("latest") {
            match rest.strip_prefix('~') {
                Some(number) => number.parse().ok().map(Which::Latest),
                None => rest.is_empty().then_some(Which::Latest(0)),
            }
        } else {
            let id = shown.to_ascii_lowercase();
            let is_hex = !id.is_empty() && id.bytes().all(|digit| digit.is_ascii_hexdigit());
            (is_hex && id.len() <= 2 * BackupId::LEN).then_some(Which::Id(id))
        };
        let which = which.ok_or_else(|| {
            Error::usage_hint(
                format!("`{shown}` is not the name of a snapshot"),
                "names are an id or its first digits, `latest`, `latest~2`; \
                 `larder snapshots` lists the ids",
            )
        })?;
        Ok(Self { which, path })
    }

    /// The snapshot of this name. `latest` is the newest that fits `filter`; an id means its
    /// snapshot, whatever the filter.
    ///
    /// # Errors
    /// [`Error::NotFound`], and [`Error::Ambiguous`] if several ids begin with these digits.
    pub fn find<'l>(
        &self,
        list: &'l SnapshotList,
        filter: &SnapshotFilter,
    ) -> Result<&'l Snapshot> {
        self.find_among(list.snapshots.iter(), filter)
    }

    /// The snapshot of this name among `snapshots`, which are sorted, the oldest first.
    ///
    /// # Errors
    /// As [`SnapshotName::find`].
    pub fn find_among<'l>(
        &self,
        mut snapshots: impl DoubleEndedIterator<Item = &'l Snapshot>,
        filter: &SnapshotFilter,
    ) -> Result<&'l Snapshot> {
        let missing = |name: String| Error::NotFound { what: "snapshot", name };
        match &self.which {
            Which::Latest(back) => {
                snapshots.rev().filter(|snapshot| filter.fits(snapshot)).nth(*back).ok_or_else(
                    || missing(if *back == 0 { "latest".into() } else { format!("latest~{back}") }),
                )
            }
            Which::Id(id) => {
                let fits = |s: &&Snapshot| s.id.to_string().starts_with(id);
                match (snapshots.find(fits), snapshots.filter(fits).count()) {
                    (None, _) => Err(missing(id.clone())),
                    (Some(one), 0) => Ok(one),
                    (Some(_), more) => Err(Error::Ambiguous {
                        what: "snapshot",
                        name: id.clone(),
                        count: more + 1,
                    }),
                }
            }
        }
    }
}

/// Reads a path in a snapshot as people write it: `/` at the ends, empty and `.` components mean
/// nothing, bytes may be escaped as they are shown (`%FF`).
///
/// # Errors
/// [`Error::Usage`] for `..` and zero bytes, which no path of a snapshot has.
pub fn parse_path(text: &[u8]) -> Result<Vec<u8>> {
    let path = clean_path(&unescape_bytes(text));
    if !is_valid_path(&path) {
        return Err(Error::usage_hint(
            format!("`{}` is no path in a snapshot", escape_bytes(text)),
            "give the path as it was when it was backed up, without `..`",
        ));
    }
    Ok(path)
}

/// A path as manifests have it: no `/` at the ends, no empty or `.` components.
pub fn clean_path(path: &[u8]) -> Vec<u8> {
    let parts = path.split(|byte| *byte == b'/').filter(|part| !matches!(*part, b"" | b"."));
    parts.collect::<Vec<_>>().join(&b'/')
}

/// Which snapshots are meant. `Default` is all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SnapshotFilter {
    /// Any of these hosts.
    pub hosts: Vec<String>,
    /// All tags of any of these groups.
    pub tags: Vec<Vec<String>>,
    /// All of these sources, with or without `/` in front.
    pub paths: Vec<Vec<u8>>,
    /// Started at this time or before, milliseconds since 1970.
    pub until_ms: Option<i64>,
}

impl SnapshotFilter {
    /// Whether `snapshot` is meant.
    pub fn fits(&self, snapshot: &Snapshot) -> bool {
        let body = &snapshot.body;
        let has_root = |path: &Vec<u8>| {
            let path = clean_path(path);
            body.roots.iter().any(|root| clean_path(&root.0) == path)
        };
        let has_all = |group: &Vec<String>| group.iter().all(|tag| body.tags.contains(tag));
        (self.hosts.is_empty() || self.hosts.contains(&snapshot.host))
            && (self.tags.is_empty() || self.tags.iter().any(has_all))
            && self.paths.iter().all(has_root)
            && self.until_ms.is_none_or(|until_ms| snapshot.time_ms() <= until_ms)
    }

    /// The snapshots that are meant, oldest first.
    pub fn fitting<'l>(
        &self,
        list: &'l SnapshotList,
    ) -> impl DoubleEndedIterator<Item = &'l Snapshot> {
        list.snapshots.iter().filter(|snapshot| self.fits(snapshot))
    }

    /// The newest snapshot that is meant: with `until_ms`, the state at that point in time.
    ///
    /// # Errors
    /// [`Error::NotFound`] if there is none; [`Error::Usage`] that names the oldest if that is later
    /// than the time asked for, and one that lists the series if several are left and neither host nor path chose: which of two machines is meant must not
    /// be a guess.
    pub fn newest<'l>(&self, list: &'l SnapshotList) -> Result<&'l Snapshot> {
        let mut series: Vec<&Snapshot> = Vec::new();
        for snapshot in self.fitting(list).rev() {
            if !series.iter().any(|other| other.body.series == snapshot.body.series) {
                series.push(snapshot);
            }
        }
        let Some(newest) = series.first().copied() else {
            return Err(self.none_so_old(list));
        };
        // Snapshots of one host that all hold the path that was asked for: the newest is meant.
        let is_chosen = !self.paths.is_empty() && series.iter().all(|s| s.host == newest.host);
        if series.len() == 1 || is_chosen {
            return Ok(newest);
        }
        let mut shown: Vec<String> =
            series.iter().take(LISTED_MAX).map(|snapshot| shown_series(snapshot)).collect();
        if series.len() > LISTED_MAX {
            shown.push("...".into());
        }
        Err(Error::usage_hint(
            format!("{} series have a snapshot of that time: {}", series.len(), shown.join(", ")),
            "choose one with `--host` or `--path`, or name a snapshot by its id",
        ))
    }
}

impl SnapshotFilter {
    /// Why no snapshot is meant: says since when there would be one.
    fn none_so_old(&self, list: &SnapshotList) -> Error {
        let any_time = Self { until_ms: None, ..self.clone() };
        let oldest = any_time.fitting(list).min_by_key(|snapshot| snapshot.time_ms());
        let time = |ms| jiff::Timestamp::from_millisecond(ms).ok();
        let until = self.until_ms.and_then(time);
        let (Some(oldest), Some(until)) = (oldest, until) else {
            return Error::NotFound { what: "snapshot", name: "latest".into() };
        };
        let id = oldest.id.short();
        let shown =
            time(oldest.time_ms()).map_or_else(String::new, |time| format!(" of {time:.0}"));
        Error::usage_hint(
            format!("no snapshot is from {until:.0} or before; the oldest is {id}{shown}"),
            format!("name that one, `{id}`, or a later time"),
        )
    }
}

fn shown_series(snapshot: &Snapshot) -> String {
    let roots: Vec<_> = snapshot.body.roots.iter().map(|root| escape_bytes(&root.0)).collect();
    format!("`{}` of host `{}`", roots.join("`, `"), escape_bytes(snapshot.host.as_bytes()))
}

#[cfg(test)]
mod tests;
