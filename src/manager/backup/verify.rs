//! Proving that one backup can be restored, or saying what cannot.

use serde::Serialize;

use super::BackupManager;
use super::known::{Known, lost_record, no_snapshot};
use crate::error::Result;
use crate::manager::history::Run;
use crate::model::{BackupId, ObjectHash};
use crate::repository::Snapshot;
use crate::runtime::Runtime;
use crate::verify::{CheckOptions, Checked, Finding, HitSnapshot, ReadData, check};

/// No log record is longer.
const RECORD_LEN_MAX: u64 = 64 << 20;

/// What a verification looked at and found.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct VerificationDetails {
    /// Which backup.
    pub backup_id: Option<BackupId>,
    /// The hash that its stored record must have.
    pub expected_checksum: Option<ObjectHash>,
    /// The hash that it has; `None` if it cannot be read.
    pub checksum: Option<ObjectHash>,
    /// How much was looked at.
    pub checked: Checked,
    /// What of this backup is lost: files with their paths, and parts of the tree whose files are
    /// not even known. `None` if every byte is there.
    pub lost: Option<HitSnapshot>,
    /// Damaged files that are counted in `lost` and not listed.
    pub files_left_out: u64,
    /// All that is not as it should be in what was looked at, worst first. If `lost` is `None`, no
    /// file of this backup needs it: it can be restored all the same.
    pub findings: Vec<Finding>,
    /// Why it is not valid, in one line; `None` if it is.
    pub reason: Option<String>,
}

impl BackupManager {
    /// Checks that a backup can be restored to its last byte: its record has the hash that names
    /// it, all pages of its manifest are sound, and every chunk that they name, read and decoded,
    /// is what its id says.
    ///
    /// Damage is no error: `false` and the details say what is lost. A stored object of this backup
    /// that was changed where no file needs it counts, too; what only other backups use does not.
    ///
    /// # Errors
    /// [`Error::NotFound`](crate::error::Error::NotFound) if there is no completed backup of this id; the storage's where it could
    /// not be asked; [`Error::Cancelled`](crate::error::Error::Cancelled).
    pub fn verify_backup_integrity(&self, id: BackupId) -> Result<(bool, VerificationDetails)> {
        self.verify_backup_with(id, ReadData::All, &self.options().runtime)
    }

    /// As [`BackupManager::verify_backup_integrity`], reading as much of the data as `read_data`
    /// says, with progress and a cancel token of its own.
    ///
    /// # Errors
    /// As [`BackupManager::verify_backup_integrity`].
    pub fn verify_backup_with(
        &self,
        id: BackupId,
        read_data: ReadData,
        runtime: &Runtime,
    ) -> Result<(bool, VerificationDetails)> {
        let known = self.known()?;
        let Some(snapshot) = known.list.snapshots.iter().find(|snapshot| snapshot.id == id) else {
            return unreadable(id, &known);
        };
        let mut details = VerificationDetails {
            backup_id: Some(id),
            expected_checksum: Some(snapshot.record),
            ..VerificationDetails::default()
        };
        match self.record_hash(snapshot) {
            Ok(hash) => details.checksum = Some(hash),
            Err(error) if error.is_damage() => details.reason = Some(error.in_full()),
            Err(error) => return Err(error),
        }
        let options =
            CheckOptions { read_data, snapshots: Some(vec![id]), ..CheckOptions::default() };
        // Backups of this manager that run meanwhile load and merge the index that they share.
        let report = check(&self.repository().apart(), &options, runtime)?;
        details.checked = report.checked;
        details.findings = report.findings;
        details.files_left_out = report.hits.left_out;
        details.lost = report.hits.snapshots.into_iter().find(|hit| hit.id == id);
        if details.checksum != details.expected_checksum {
            details.reason.get_or_insert_with(|| "its stored record was changed".into());
        } else if let Some(lost) = &details.lost {
            details.reason = Some(lost_text(lost));
        } else if let Some(pack) = report.bad_used_packs.first() {
            details.reason = Some(format!("`{pack}` is damaged, but no file needs what is lost"));
        }
        Ok((details.reason.is_none(), details))
    }

    /// The hash of a snapshot's record as it is stored now.
    fn record_hash(&self, snapshot: &Snapshot) -> Result<ObjectHash> {
        let bytes = self.repository().storage().get(&snapshot.object_name, RECORD_LEN_MAX)?;
        Ok(ObjectHash(*blake3::hash(&bytes).as_bytes()))
    }
}

/// What is said of a backup that is not in the list: the record of one that was made here may be
/// damaged or lost.
fn unreadable(id: BackupId, known: &Known) -> Result<(bool, VerificationDetails)> {
    let run = known.runs.iter().find(|run| run.backup_id == id).ok_or_else(|| no_snapshot(id))?;
    let error = lost_record(run, &known.list).ok_or_else(|| no_snapshot(id))?;
    let details = VerificationDetails {
        backup_id: Some(id),
        expected_checksum: named_hash(run),
        reason: Some(error.in_full()),
        ..VerificationDetails::default()
    };
    Ok((false, details))
}

/// The hash that the name of a record ends with.
fn named_hash(run: &Run) -> Option<ObjectHash> {
    let name = run.stats.as_ref()?.object_name.as_deref()?;
    ObjectHash::from_hex(name.rsplit('-').next()?)
}

fn lost_text(lost: &HitSnapshot) -> String {
    let mut parts = Vec::new();
    if lost.file_count > 0 {
        let files = lost.file_count;
        parts.push(format!("{files} file{} damaged", if files == 1 { " is" } else { "s are" }));
    }
    if !lost.ranges.is_empty() {
        parts.push("parts of its tree cannot be read".into());
    }
    if let Some(first) = lost.files.first() {
        parts.push(format!("the first is `{}`", first.path));
    }
    parts.join(", ")
}
