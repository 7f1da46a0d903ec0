//! What storage keeps although it was deleted, or told to be: for reports.

use super::options::{PruneReport, Retained};
use super::survey::{ListedPack, Survey};
use crate::storage::in_parallel;

/// Packs whose retention is asked for; of more than these the newest say enough.
const ASKED_MAX: usize = 10_000;

/// Adds to `report` until when storage keeps the packs that it refused to delete, and whether it
/// keeps those that it deleted as old versions. A service that does not tell is no error.
pub(super) fn explain(survey: &Survey<'_>, refused: &[&ListedPack], report: &mut PruneReport) {
    let storage = survey.repository.storage();
    let Some(lock) = storage.object_lock() else { return };
    if report.deleted.packs > 0 {
        report.keeps_versions = lock.settings().is_ok_and(|settings| settings.versions);
    }
    let mut newest = refused.to_vec();
    newest.sort_by_key(|pack| std::cmp::Reverse(pack.modified_ms));
    newest.truncate(ASKED_MAX);
    let asked = in_parallel(&**storage, &newest, |pack| lock.retention(&pack.name()));
    let until: Vec<i64> = asked.into_iter().flatten().flatten().map(|kept| kept.until_ms).collect();
    let (first, last) = (until.iter().copied().min(), until.into_iter().max());
    if let (Some(first_ms), Some(last_ms)) = (first, last) {
        report.retained_until = Some(Retained { first_ms, last_ms });
    }
}
