//! Which entries of a snapshot are restored, and where they go.

use std::collections::{BTreeSet, HashSet};

use super::links::{LeaderKey, Leaders};
use super::options::RestoreOptions;
use crate::error::{Error, Result};
use crate::model::entry::{is_valid_path, is_within};
use crate::model::escape_bytes;
use crate::source::{Excludes, WalkOptions};

pub(super) struct Selection {
    /// The folder of the snapshot that becomes the target.
    subtree: Vec<u8>,
    /// The subtree is no folder: only one entry of the folder above it is restored.
    is_one_entry: bool,
    include: Excludes,
    /// What is asked for by its path.
    paths: BTreeSet<Vec<u8>>,
    exclude: Excludes,
    only: Option<Only>,
}

/// Exactly what is restored, decided before: what a transaction has no use for stays out.
#[derive(Debug, Default)]
pub(super) struct Only {
    /// With all that is in them.
    wanted: Paths,
    /// Folders that are made only to hold what is wanted, but made for good.
    made: Paths,
    /// Folders that lead to something wanted.
    leading: Paths,
    /// Left out, wherever they are.
    left_out: Paths,
}

/// Paths, by hash.
type Paths = HashSet<LeaderKey>;

impl Only {
    /// Adds an entry with all that is in it.
    pub(super) fn want(&mut self, path: &[u8]) {
        let ends = (0..path.len()).rev().filter(|at| path[*at] == b'/');
        for end in ends {
            // What leads to a folder that was added before was added with it.
            if !self.leading.insert(Leaders::key(&path[..end])) {
                break;
            }
        }
        self.wanted.insert(Leaders::key(path));
    }

    /// Adds a folder that is made for what is wanted in it.
    pub(super) fn make(&mut self, path: &[u8]) {
        self.made.insert(Leaders::key(path));
    }

    /// Leaves out an entry that is no folder.
    pub(super) fn leave_out(&mut self, path: &[u8]) {
        self.left_out.insert(Leaders::key(path));
    }

    /// Whether there is nothing to restore.
    pub(super) fn is_empty(&self) -> bool {
        self.wanted.is_empty() && self.made.is_empty()
    }
}

impl Selection {
    /// # Errors
    /// [`Error::Usage`] for a pattern or subtree that makes no sense.
    pub(super) fn new(options: &RestoreOptions) -> Result<Self> {
        let compile = |exact: &Vec<String>, folded: &Vec<String>| {
            Excludes::new(&WalkOptions {
                exclude: exact.clone(),
                iexclude: folded.clone(),
                ..WalkOptions::default()
            })
        };
        Ok(Self {
            subtree: subtree(options)?,
            is_one_entry: false,
            include: compile(&options.include, &options.iinclude)?,
            paths: options.paths.iter().map(|path| valid_path(path)).collect::<Result<_>>()?,
            exclude: compile(&options.exclude, &options.iexclude)?,
            only: None,
        })
    }

    /// The same, but that only what was decided before is asked for.
    pub(super) fn only(self, only: Only) -> Self {
        Self { only: Some(only), ..self }
    }

    /// The folder of the snapshot that becomes the target; of a subtree that is a file, the
    /// folder that it is in.
    pub(super) fn subtree(&self) -> &[u8] {
        &self.subtree
    }

    /// Makes the folder above the subtree the one that becomes the target.
    pub(super) fn widen_to_parent(&mut self) {
        let end = self.subtree.iter().rposition(|byte| *byte == b'/').unwrap_or(0);
        self.subtree.truncate(end);
        self.is_one_entry = true;
    }

    /// Whether only one entry of the folder that becomes the target is restored.
    pub(super) fn is_one_entry(&self) -> bool {
        self.is_one_entry
    }

    /// Where an entry goes, relative to the target; empty for the target itself.
    pub(super) fn relative<'p>(&self, path: &'p [u8]) -> Option<&'p [u8]> {
        if !is_within(path, &self.subtree) {
            return None;
        }
        let rest = &path[self.subtree.len()..];
        Some(rest.strip_prefix(b"/").unwrap_or(rest))
    }

    /// The path in the snapshot of what goes to `relative`.
    pub(super) fn absolute(&self, relative: &[u8]) -> Vec<u8> {
        match (self.subtree.is_empty(), relative.is_empty()) {
            (true, _) => relative.to_vec(),
            (_, true) => self.subtree.clone(),
            _ => [&self.subtree[..], b"/", relative].concat(),
        }
    }

    /// Whether an entry, and what is in it, is left out.
    pub(super) fn excludes(&self, path: &[u8], is_dir: bool) -> bool {
        self.exclude.exclude(path, name(path), is_dir)
            || self.only.as_ref().is_some_and(|only| {
                !only.left_out.is_empty() && only.left_out.contains(&Leaders::key(path))
            })
    }

    /// Whether an entry is asked for, in a folder that is asked for or not.
    pub(super) fn includes(&self, path: &[u8], is_dir: bool, folder_included: bool) -> bool {
        if let Some(only) = &self.only {
            return folder_included || only.wanted.contains(&Leaders::key(path));
        }
        folder_included
            || (self.include.is_empty() && self.paths.is_empty())
            || self.paths.contains(path)
            || self.include.exclude(path, name(path), is_dir)
    }

    /// Whether something in a folder that is not asked for itself may be.
    pub(super) fn may_lead_on(&self, folder: &[u8]) -> bool {
        if let Some(only) = &self.only {
            let key = Leaders::key(folder);
            return only.leading.contains(&key) || only.made.contains(&key);
        }
        if !self.include.is_empty() || folder.is_empty() {
            return true;
        }
        let within = [folder, b"/"].concat();
        self.paths.range(within.clone()..).next().is_some_and(|path| path.starts_with(&within))
    }

    /// What is asked for by its path.
    pub(super) fn paths(&self) -> impl Iterator<Item = &[u8]> {
        self.paths.iter().map(Vec::as_slice)
    }

    /// Whether a folder, or one that it is in, is asked for by name.
    pub(super) fn is_within_included(&self, folder: &[u8]) -> bool {
        let ends = (0..folder.len()).filter(|at| folder[*at] == b'/').chain([folder.len()]);
        self.only.is_none()
            && ends.into_iter().any(|end| {
                let path = &folder[..end];
                !path.is_empty()
                    && (self.paths.contains(path) || self.include.exclude(path, name(path), true))
            })
    }

    /// Whether a folder gets its metadata, if it is made.
    pub(super) fn finishes(&self, folder: &[u8], included: bool) -> bool {
        let is_made = |only: &Only| only.made.contains(&Leaders::key(folder));
        included || self.only.as_ref().is_none_or(is_made)
    }

    /// Whether everything is restored.
    pub(super) fn is_everything(&self) -> bool {
        let Self { subtree, include, paths, exclude, .. } = self;
        self.only.is_none()
            && subtree.is_empty()
            && include.is_empty()
            && paths.is_empty()
            && exclude.is_empty()
    }
}

fn subtree(options: &RestoreOptions) -> Result<Vec<u8>> {
    valid_path(options.subtree.as_deref().unwrap_or_default())
}

fn valid_path(given: &[u8]) -> Result<Vec<u8>> {
    Ok(trim(given)?.to_vec())
}

/// A path in a snapshot as it stands there.
///
/// # Errors
/// [`Error::Usage`] if none can be like that.
pub(super) fn trim(given: &[u8]) -> Result<&[u8]> {
    let trimmed = trim_slashes(given);
    if is_valid_path(trimmed) {
        return Ok(trimmed);
    }
    Err(Error::usage_hint(
        format!("`{}` is no path in a snapshot", escape_bytes(given)),
        "give it as `larder ls` shows it",
    ))
}

fn trim_slashes(path: &[u8]) -> &[u8] {
    let start = path.iter().position(|byte| *byte != b'/').unwrap_or(path.len());
    let end = path.iter().rposition(|byte| *byte != b'/').map_or(start, |last| last + 1);
    &path[start..end]
}

/// The last component of a path.
pub(super) fn name(path: &[u8]) -> &[u8] {
    path.rsplit(|byte| *byte == b'/').next().unwrap_or_default()
}
