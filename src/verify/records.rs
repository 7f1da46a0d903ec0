//! The first step: every small object opens and decodes, and the records of all clients fit
//! together.

use std::collections::HashSet;

use rayon::prelude::*;

use super::CheckOptions;
use super::report::{Collector, Severity, add};
use crate::error::{Error, Result, StorageErrorKind};
use crate::model::ObjectHash;
use crate::repository::{Breach, Inspected, Repository, Snapshot, SnapshotList};
use crate::runtime::Runtime;
use crate::storage::list_sorted;

/// Folders whose objects are read here. The log is read as a whole, and packs come later.
const FOLDERS: [&str; 6] = ["keys/", "keyring/", "config/", "sessions/", "gc/", "mirrors/"];

/// What later steps need to know.
pub(super) struct Records {
    /// All snapshots that can be read, oldest first.
    pub(super) snapshots: Vec<Snapshot>,
    /// Packs that may be there or not: a prune is removing them.
    pub(super) condemned: HashSet<ObjectHash>,
}

/// Checks all small objects and brings the index up to date.
pub(super) fn check(
    repository: &Repository,
    options: &CheckOptions,
    collector: &Collector,
    runtime: &Runtime,
) -> Result<Records> {
    let storage = &**repository.storage();
    // In this order: what is listed first was made after all that it depends on.
    let list = repository.snapshots_afresh()?;
    check_history(&list, options, collector);
    // All that is below `snapshots/` has been read with this, and what is wrong with it is here.
    let records_read = (list.records().len() + list.bad.len()) as u64;
    for error in list.bad {
        collector.damage(error)?;
    }
    let mut names = vec!["repo".to_string()];
    for folder in FOLDERS {
        names.extend(list_sorted(storage, folder)?.into_iter().map(|meta| meta.name));
    }
    // Objects that vanish while they are listed and read were replaced by others.
    names.extend(list_sorted(storage, "index/")?.into_iter().map(|meta| meta.name));
    for error in repository.load_index()? {
        collector.damage(error)?;
    }
    runtime.progress.expect(names.len() as u64, 0);
    let inspected: Vec<Option<Inspected>> = names
        .par_iter()
        .map(|name| {
            runtime.cancel.check()?;
            let inspected = inspect(repository, name, collector);
            runtime.progress.done(1, 0);
            inspected
        })
        .collect::<Result<_>>()?;
    add(&collector.counts.records, records_read + names.len() as u64);

    let mut condemned = HashSet::new();
    for (name, inspected) in names.iter().zip(inspected) {
        match inspected {
            None | Some(Inspected::Fine) => {}
            Some(Inspected::Odd(what)) => collector.put(Severity::Warning, name, what, None),
            Some(Inspected::Condemns(packs)) => condemned.extend(packs),
        }
    }
    Ok(Records { snapshots: list.snapshots, condemned })
}

/// What the records of all clients, this machine's memory and a head code say of each other.
fn check_history(list: &SnapshotList, options: &CheckOptions, collector: &Collector) {
    for breach in &list.rollback {
        let severity = match breach {
            Breach::Missing { .. } | Breach::Replaced { .. } => Severity::Damage,
            Breach::Fork { .. } => Severity::Warning,
        };
        collector.put(severity, "", breach, Some(HISTORY_HINT));
    }
    for notice in &list.notices {
        collector.put(Severity::Warning, "", notice, None);
    }
    if let Some(code) = &options.expect_head
        && let Err(what) = list.check_head(code)
    {
        collector.put(Severity::Damage, "", what, Some(HEAD_HINT));
    }
}

const HISTORY_HINT: &str =
    "snapshots may have been removed or put back: compare with a mirror, or ask who has access";
const HEAD_HINT: &str = "compare with a mirror, or ask who has access; a code is good until its \
                         snapshot is pruned: write down a newer one now and then";

/// `None` if it is damaged, or gone since it was listed.
fn inspect(
    repository: &Repository,
    name: &str,
    collector: &Collector,
) -> Result<Option<Inspected>> {
    let error = match repository.inspect(name) {
        Ok(inspected) => return Ok(Some(inspected)),
        Err(error) => error,
    };
    let is_missing = matches!(&error, Error::Storage(e) if e.kind == StorageErrorKind::Missing)
        && name != "repo";
    if is_missing {
        return Ok(None);
    }
    collector.damage(error)?;
    Ok(None)
}
