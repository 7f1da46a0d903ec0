//! Restoring a whole backup.

use std::path::Path;

use super::BackupManager;
use crate::error::Result;
use crate::model::BackupId;
use crate::restore::{RestoreOptions, RestoreReport, restore};

impl BackupManager {
    /// Restores all of a backup below the folder `target`, which is made if it is missing: each
    /// file at its whole path, as `target/home/ann/letter.txt`. For parts of a backup, points in
    /// time and restores in place see [`RecoveryManager`](crate::manager).
    ///
    /// # Errors
    /// [`Error::NotFound`](crate::error::Error::NotFound) if there is no completed backup of this
    /// id; else as [`restore`].
    pub fn restore_backup(&self, id: BackupId, target: &Path) -> Result<RestoreReport> {
        let snapshot = self.snapshot(id)?;
        let options = RestoreOptions { target: target.to_path_buf(), ..RestoreOptions::default() };
        restore(self.repository(), &snapshot, &options, &self.options().runtime)
    }
}
