//! Reading objects of one place and proving them: for scrub and heal.

use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use super::fetch::{Read, read};
use super::report::{BadObject, Count};
use super::work::{Budget, for_each, threads};
use crate::error::Result;
use crate::model::RepoId;
use crate::runtime::Runtime;
use crate::storage::Storage;

/// What reading objects showed.
#[derive(Debug, Default)]
pub(super) struct Examined {
    /// What was read.
    pub(super) read: Count,
    /// What is not what it should be, sorted by name.
    pub(super) bad: Vec<BadObject>,
}

/// Reads objects of a place, and proves each. What went away since it was listed is passed over.
pub(super) fn examine(
    storage: &dyn Storage,
    objects: &[(String, u64)],
    repo_id: RepoId,
    runtime: &Runtime,
) -> Result<Examined> {
    let budget = Budget::default();
    let bad = Mutex::new(Vec::new());
    let (count, bytes) = (AtomicU64::new(0), AtomicU64::new(0));
    for_each(objects, threads([storage]), &runtime.cancel, |(name, len)| {
        let _held = budget.take(*len);
        match read(storage, name, *len, repo_id)? {
            Read::Whole(_) | Read::Missing => {}
            Read::Bad(what) => bad.lock().push(BadObject::new(name, storage.location(), what)),
        }
        count.fetch_add(1, Ordering::Relaxed);
        bytes.fetch_add(*len, Ordering::Relaxed);
        runtime.progress.done(1, *len);
        Ok(())
    })?;
    let mut bad = bad.into_inner();
    bad.sort_unstable();
    let read = Count { objects: count.into_inner(), bytes: bytes.into_inner() };
    Ok(Examined { read, bad })
}
