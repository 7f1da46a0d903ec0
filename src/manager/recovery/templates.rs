//! The templates (files) of a recovery point, a page at a time.

use serde::{Deserialize, Serialize};

use super::RecoveryManager;
use crate::error::Result;
use crate::model::{BackupId, Entry, FileKind, escape_bytes};
use crate::repository::Snapshot;
use crate::tree::{Manifest, parse_path};

/// A part of the templates of a recovery point, in the order of the snapshot.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "serve", derive(utoipa::ToSchema))]
pub struct TemplatePage {
    /// Ids: paths from `/`, escaped where they are no text.
    pub template_ids: Vec<String>,
    /// The last of them, to be given as `after` for the next part; `None` at the end.
    pub next: Option<String>,
}

impl RecoveryManager {
    /// The templates of a recovery point that come after the one called `after`, or from the
    /// first on; `limit` at most. A file with several names counts once, by the first.
    ///
    /// Finds its place in the manifest: a late part costs no more than the first.
    ///
    /// # Errors
    /// [`Error::NotFound`](crate::error::Error::NotFound) if there is no such backup;
    /// [`Error::Usage`](crate::error::Error::Usage) for an `after` that is no path; what reading
    /// the manifest fails with.
    pub fn template_ids(
        &self,
        id: BackupId,
        after: Option<&str>,
        limit: usize,
    ) -> Result<TemplatePage> {
        let snapshot = self.manager.snapshot(id)?;
        let after = after.map(|after| parse_path(after.as_bytes())).transpose()?;
        self.manager.load_index()?;
        self.template_ids_of(&snapshot, &after.unwrap_or_default(), limit)
    }

    /// As [`RecoveryManager::template_ids`], after a path in the snapshot; the index has to be
    /// loaded.
    pub(super) fn template_ids_of(
        &self,
        snapshot: &Snapshot,
        after: &[u8],
        limit: usize,
    ) -> Result<TemplatePage> {
        let manifest = Manifest::of(snapshot);
        let mut page = TemplatePage::default();
        for entry in manifest.entries_from(self.manager.repository(), after) {
            let entry = entry?;
            if !is_template(&entry) || entry.path == after {
                continue;
            }
            if page.template_ids.len() == limit {
                page.next = page.template_ids.last().cloned();
                break;
            }
            page.template_ids.push(template_id(&entry.path));
        }
        Ok(page)
    }
}

fn is_template(entry: &Entry) -> bool {
    entry.kind == FileKind::File && entry.link_to.is_none()
}

/// The id of the template with this path in a snapshot.
fn template_id(path: &[u8]) -> String {
    format!("/{}", escape_bytes(path))
}
