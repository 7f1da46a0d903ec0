//! The versions of a path in one series, snapshot by snapshot.

use std::sync::Arc;

use super::lookup::Known;
use super::{Gap, GapReason, SeenIn, SeriesHistory, Version, VersionChange};
use crate::error::{Error, Result};
use crate::model::entry::is_within;
use crate::model::{Entry, FileKind};
use crate::repository::{Repository, Snapshot};
use crate::tree::diff::{Contents, compare_contents};
use crate::tree::{DiffSide, DiffSummary, DifferenceKind, Fields, Manifest, clean_path, diff};

/// What is known so far.
pub(super) struct Versions<'r> {
    repository: &'r Repository,
    path: &'r [u8],
    /// The last snapshot that could be read, and what it has.
    before: Option<(Manifest, Option<Arc<Entry>>)>,
    pub(super) history: SeriesHistory,
}

/// How an entry differs from the one before.
type Difference = (VersionChange, Option<DiffSummary>);

impl<'r> Versions<'r> {
    /// Nothing is known yet of the series of `snapshot`.
    pub(super) fn new(repository: &'r Repository, path: &'r [u8], snapshot: &Snapshot) -> Self {
        let history = SeriesHistory {
            series: snapshot.body.series,
            host: snapshot.host.clone(),
            roots: snapshot.body.roots.iter().map(|root| root.0.clone()).collect(),
            versions: Vec::new(),
            gaps: Vec::new(),
        };
        Self { repository, path, before: None, history }
    }

    /// The next snapshot of the series has this.
    ///
    /// # Errors
    /// Storage that cannot be reached.
    pub(super) fn add(&mut self, snapshot: &Snapshot, found: Known) -> Result<()> {
        let entry = match found {
            Ok(entry) => entry,
            Err(error) => return self.add_gap(snapshot, GapReason::Damaged(error)),
        };
        if entry.is_none()
            && let Some(message) = self.not_backed_up(snapshot)
        {
            return self.add_gap(snapshot, GapReason::NotBackedUp(message));
        }
        let manifest = Manifest::of(snapshot);
        let difference = match (&self.before, &entry) {
            (Some((before, Some(old))), Some(new)) => {
                match self.compare((before, old), (&manifest, new)) {
                    Ok(difference) => difference,
                    Err(error) if error.is_damage() => match self.damage_in(&manifest)? {
                        Some(damage) => {
                            return self.add_gap(snapshot, GapReason::Damaged(Arc::new(damage)));
                        }
                        // The damage is in the snapshot before: nobody knows what it had.
                        None => Some((VersionChange::Content(Fields::default()), None)),
                    },
                    Err(error) => return Err(error),
                }
            }
            (None, Some(_)) => Some((VersionChange::First, None)),
            (Some((_, None)), Some(_)) => Some((VersionChange::Appeared, None)),
            (Some((_, Some(_))), None) => Some((VersionChange::Removed, None)),
            (None | Some((_, None)), None) => None,
        };
        let seen = SeenIn::new(snapshot);
        match (difference, self.history.versions.last_mut()) {
            (Some((change, inside)), _) => self.history.versions.push(Version {
                first: seen,
                last: seen,
                snapshots: 1,
                entry: entry.clone(),
                change,
                inside,
            }),
            (None, Some(version)) => {
                version.last = seen;
                version.snapshots += 1;
            }
            // It is not there yet.
            (None, None) => {}
        }
        self.before = Some((manifest, entry));
        Ok(())
    }

    fn add_gap(&mut self, snapshot: &Snapshot, reason: GapReason) -> Result<()> {
        self.history.gaps.push(Gap { snapshot: SeenIn::new(snapshot), reason });
        Ok(())
    }

    /// Why the path, or a folder that it lies in, could not be read when it was backed up.
    fn not_backed_up(&self, snapshot: &Snapshot) -> Option<String> {
        let mut errors = snapshot.body.errors.iter();
        let error = errors.find(|error| is_within(self.path, &clean_path(&error.path.0)))?;
        Some(error.message.clone())
    }

    fn compare(
        &self,
        old: (&Manifest, &Arc<Entry>),
        new: (&Manifest, &Arc<Entry>),
    ) -> Result<Option<Difference>> {
        let (a, b) = (old.1, new.1);
        if a.kind != b.kind {
            return Ok(Some((VersionChange::Kind, None)));
        }
        if a.kind == FileKind::Dir {
            return self.compare_folders(old, new);
        }
        if a == b && a.link_to.is_none() {
            return Ok(None);
        }
        let fields = Fields::between(a, b);
        let is_same =
            matches!(compare_contents(self.repository, (old.0, a), (new.0, b))?, Contents::Same);
        Ok(match (is_same, fields == Fields::default()) {
            (false, _) => Some((VersionChange::Content(fields), None)),
            (true, false) => Some((VersionChange::Metadata(fields), None)),
            (true, true) => None,
        })
    }

    fn compare_folders(
        &self,
        old: (&Manifest, &Arc<Entry>),
        new: (&Manifest, &Arc<Entry>),
    ) -> Result<Option<Difference>> {
        if old.0 == new.0 {
            return Ok(None);
        }
        let (mut has_content, mut has_any) = (false, false);
        let side = |manifest: &Manifest| DiffSide { manifest: *manifest, folder: self.path };
        let summary = diff(self.repository, side(old.0), side(new.0), &mut |difference| {
            has_any = true;
            has_content |= difference.kind != DifferenceKind::Metadata;
            Ok(())
        })?;
        let fields = Fields::between(old.1, new.1);
        Ok(match (has_content, has_any) {
            (true, _) => Some((VersionChange::Content(fields), Some(summary))),
            (false, true) => Some((VersionChange::Metadata(fields), Some(summary))),
            (false, false) => None,
        })
    }

    /// The first damage in what `manifest` has of the path, if that is where it is.
    fn damage_in(&self, manifest: &Manifest) -> Result<Option<Error>> {
        for entry in manifest.entries_within(self.repository, self.path) {
            let failed = match &entry {
                Ok(entry) => manifest.content_entry(self.repository, entry).err(),
                Err(_) => entry.err(),
            };
            match failed {
                Some(error) if error.is_damage() => return Ok(Some(error)),
                Some(error) => return Err(error),
                None => {}
            }
        }
        Ok(None)
    }
}
