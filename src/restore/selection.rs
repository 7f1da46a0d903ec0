//! Which entries of a snapshot are restored, and where they go.

use std::collections::BTreeSet;

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
        })
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
    }

    /// Whether an entry is asked for, in a folder that is asked for or not.
    pub(super) fn includes(&self, path: &[u8], is_dir: bool, folder_included: bool) -> bool {
        folder_included
            || (self.include.is_empty() && self.paths.is_empty())
            || self.paths.contains(path)
            || self.include.exclude(path, name(path), is_dir)
    }

    /// Whether something in a folder that is not asked for itself may be.
    pub(super) fn may_lead_on(&self, folder: &[u8]) -> bool {
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
        ends.into_iter().any(|end| {
            let path = &folder[..end];
            !path.is_empty()
                && (self.paths.contains(path) || self.include.exclude(path, name(path), true))
        })
    }

    /// Whether everything is restored.
    pub(super) fn is_everything(&self) -> bool {
        let Self { subtree, include, paths, exclude, .. } = self;
        subtree.is_empty() && include.is_empty() && paths.is_empty() && exclude.is_empty()
    }
}

fn subtree(options: &RestoreOptions) -> Result<Vec<u8>> {
    valid_path(options.subtree.as_deref().unwrap_or_default())
}

fn valid_path(given: &[u8]) -> Result<Vec<u8>> {
    let trimmed = trim_slashes(given);
    if is_valid_path(trimmed) {
        return Ok(trimmed.to_vec());
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
