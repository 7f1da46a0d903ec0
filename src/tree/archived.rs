//! What archives of a folder have in common: which names their members have.

use super::Manifest;
use crate::error::{Error, Result};
use crate::model::{FileKind, escape_bytes};
use crate::repository::Repository;

/// The names of members: those below a folder.
#[derive(Clone, Copy, Debug)]
pub(super) struct MemberNames<'f> {
    /// The folder, or the one file, that is archived.
    pub(super) folder: &'f [u8],
    /// What names begin behind.
    base: &'f [u8],
}

impl<'f> MemberNames<'f> {
    /// The names for an archive of `folder`: its contents come without its name, a single file
    /// keeps its own.
    ///
    /// # Errors
    /// [`Error::NotFound`] if there is no such folder, and what reading pages fails with.
    pub(super) fn of(
        repository: &Repository,
        manifest: &Manifest,
        folder: &'f [u8],
    ) -> Result<Self> {
        let mut base = folder;
        if !folder.is_empty() {
            let found = manifest.find(repository, folder)?.ok_or_else(|| {
                let name = format!("/{}", escape_bytes(folder));
                Error::NotFound { what: "path", name }
            })?;
            if found.kind != FileKind::Dir {
                base = &folder[..folder.len() - found.name().len()];
                base = base.strip_suffix(b"/").unwrap_or(base);
            }
        }
        Ok(Self { folder, base })
    }

    /// The name of a path in the archive; empty for the folder itself.
    pub(super) fn name<'p>(&self, path: &'p [u8]) -> &'p [u8] {
        let rest = path.get(self.base.len()..).unwrap_or_default();
        rest.strip_prefix(b"/").unwrap_or(rest)
    }
}
