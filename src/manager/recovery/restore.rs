//! Bringing files back.

use super::points::time_of;
use super::{RecoveryManager, RecoveryReport, RecoveryRequest};
use crate::error::{Error, Result};
use crate::model::escape_bytes;
use crate::repository::Snapshot;
use crate::restore::{RestoreOptions, RestoreReport, rehearse, restore};
use crate::runtime::Runtime;
use crate::tree::parse_path;

/// Files that a refusal names.
const NAMED_MAX: usize = 3;

impl RecoveryManager {
    /// Brings back what `request` asks for.
    ///
    /// A recovery that was interrupted is finished by the same request again: what is right stays,
    /// and counts as unchanged.
    ///
    /// # Errors
    /// [`Error::NotFound`] for a backup, template or subtree that is not there, [`Error::Usage`]
    /// for a time without a point (it names the oldest) or with points of several series, for a
    /// target in the repository and for options that make no sense; [`Error::Damaged`] if it was
    /// to be verified first and something cannot be restored wholly (each file is told to the
    /// progress, and nothing was touched); [`Error::Local`] if the target cannot be used or has no
    /// room; [`Error::Cancelled`]; the storage's.
    pub fn restore(&self, request: &RecoveryRequest) -> Result<RecoveryReport> {
        let runtime = self.runtime_of(request);
        let snapshot = self.choose(&request.point, &runtime)?;
        let options = self.options_of(request)?;
        let verified = self.rehearse(&snapshot, &options, request, &runtime)?;
        if verified.failed > 0 {
            return Err(refusal(&snapshot, &verified));
        }
        let restored = restore(self.manager.repository(), &snapshot, &options, &runtime)?;
        Ok(RecoveryReport {
            backup_id: snapshot.id,
            timestamp: time_of(&snapshot),
            verified_before: verified.created,
            verified_before_bytes: verified.bytes,
            restored,
        })
    }

    /// Finds out whether what `request` asks for could be restored, as
    /// [`RecoveryRequest::verify_before`] says, without a look at the target. What could not be is
    /// in the report, and told to the progress.
    ///
    /// # Errors
    /// As [`RecoveryManager::restore`], but for all about the target and about damage.
    pub fn verify(&self, request: &RecoveryRequest) -> Result<RestoreReport> {
        let runtime = self.runtime_of(request);
        let snapshot = self.choose(&request.point, &runtime)?;
        let options = self.options_of(request)?;
        self.rehearse(&snapshot, &options, request, &runtime)
    }

    fn rehearse(
        &self,
        snapshot: &Snapshot,
        options: &RestoreOptions,
        request: &RecoveryRequest,
        runtime: &Runtime,
    ) -> Result<RestoreReport> {
        rehearse(self.manager.repository(), snapshot, options, request.verify_before, runtime)
    }

    /// The options of a request, with its templates among them.
    ///
    /// # Errors
    /// [`Error::Usage`] for a template id that is no path.
    pub(super) fn options_of(&self, request: &RecoveryRequest) -> Result<RestoreOptions> {
        let mut options = request.restore.clone();
        for id in &request.template_ids {
            options.paths.push(parse_path(id.as_bytes())?);
        }
        Ok(options)
    }

    /// Clock, progress and cancel token of a request.
    pub(super) fn runtime_of(&self, request: &RecoveryRequest) -> Runtime {
        request.runtime.clone().unwrap_or_else(|| self.manager.options().runtime.clone())
    }
}

/// Says that something is lost, and that nothing was done therefore.
pub(super) fn refusal(snapshot: &Snapshot, verified: &RestoreReport) -> Error {
    let mut names: Vec<String> = verified
        .failures
        .iter()
        .take(NAMED_MAX)
        .map(|failure| format!("`{}`", escape_bytes(&failure.path)))
        .collect();
    if verified.failed > names.len() as u64 {
        names.push("...".into());
    }
    let (count, names) = (verified.failed, names.join(", "));
    let what = format!(
        "{count} of the entries asked for cannot be restored wholly: {names}; nothing was restored"
    );
    Error::damaged(format!("snapshot {}", snapshot.id.short()), what)
}
