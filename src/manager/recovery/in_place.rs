//! Bringing files back to where they came from, wholly or not at all.

use std::path::PathBuf;

use jiff::Timestamp;
use serde::Serialize;

use super::points::time_of;
use super::restore::refusal;
use super::{RecoveryManager, RecoveryRequest};
use crate::error::Result;
use crate::model::BackupId;
use crate::restore::transaction::{InPlaceOptions, InPlaceReport, restore_in_place};
use crate::restore::{RestoreOptions, rehearse};

/// What a recovery in place did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct InPlaceRecovery {
    /// The backup that files came from.
    pub backup_id: BackupId,
    /// Its time.
    pub timestamp: Timestamp,
    /// Entries that were verified before anything was touched, if that was asked for.
    pub verified_before: u64,
    /// What was exchanged.
    #[serde(flatten)]
    pub restored: InPlaceReport,
}

impl RecoveryManager {
    /// Brings back what `request` asks for to where it came from, wholly or not at all. The target
    /// of the request stands for the root of all paths; an empty one is `/`. A subtree chooses what
    /// is restored, and goes to its own place.
    ///
    /// # Errors
    /// As [`RecoveryManager::restore`] and [`restore_in_place`].
    pub fn restore_in_place(&self, request: &RecoveryRequest) -> Result<InPlaceRecovery> {
        let runtime = self.runtime_of(request);
        let snapshot = self.choose(&request.point, &runtime)?;
        let options = self.options_of(request)?;
        let repository = self.manager().repository();
        let verified = rehearse(repository, &snapshot, &options, request.verify_before, &runtime)?;
        if verified.failed > 0 {
            return Err(refusal(&snapshot, &verified));
        }
        let state_dir = self.manager().options().state_dir.clone();
        let options = in_place_options(options, state_dir);
        let restored = restore_in_place(repository, &snapshot, &options, &runtime)?;
        Ok(InPlaceRecovery {
            backup_id: snapshot.id,
            timestamp: time_of(&snapshot),
            verified_before: verified.created,
            restored,
        })
    }
}

fn in_place_options(plain: RestoreOptions, state_dir: Option<PathBuf>) -> InPlaceOptions {
    let defaults = InPlaceOptions::default();
    let is_given = !plain.target.as_os_str().is_empty();
    InPlaceOptions {
        target: if is_given { plain.target } else { defaults.target },
        subtree: plain.subtree,
        include: plain.include,
        iinclude: plain.iinclude,
        exclude: plain.exclude,
        iexclude: plain.iexclude,
        paths: plain.paths,
        overwrite: plain.overwrite,
        ask: plain.ask,
        delete: plain.delete,
        dry_run: plain.dry_run,
        verify: plain.verify,
        ignore_room: plain.ignore_room,
        sparse: plain.sparse,
        owner: plain.owner,
        threads: plain.threads,
        state_dir,
        hook: defaults.hook,
    }
}
