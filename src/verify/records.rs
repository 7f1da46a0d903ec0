//! The first step: every small object opens and decodes, and the records of each client follow
//! each other.

use std::collections::{BTreeMap, HashSet};

use rayon::prelude::*;

use super::report::{Collector, Severity, add};
use crate::error::{Error, Result, StorageErrorKind};
use crate::format::log::LogRecord;
use crate::model::{ClientId, ObjectHash};
use crate::repository::{Inspected, Repository, Snapshot};
use crate::runtime::Runtime;
use crate::storage::list_sorted;

/// Folders whose objects are read here; packs come later.
const FOLDERS: [&str; 6] = ["keys/", "keyring/", "config/", "snapshots/", "sessions/", "gc/"];

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
    collector: &Collector,
    runtime: &Runtime,
) -> Result<Records> {
    let storage = &**repository.storage();
    // In this order: what is listed first was made after all that it depends on.
    let list = repository.snapshots()?;
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
    add(&collector.counts.records, names.len() as u64);

    let mut condemned = HashSet::new();
    let mut chains: BTreeMap<ClientId, BTreeMap<u64, (LogRecord, ObjectHash)>> = BTreeMap::new();
    for (name, inspected) in names.iter().zip(inspected) {
        match inspected {
            None | Some(Inspected::Fine) => {}
            Some(Inspected::Odd(what)) => collector.put(Severity::Warning, name, what, None),
            Some(Inspected::Condemns(packs)) => condemned.extend(packs),
            Some(Inspected::Log { record, hash }) => {
                let chain = chains.entry(record.client_id).or_default();
                if let Some((_, other)) = chain.insert(record.client_seq, (*record, hash))
                    && other != hash
                {
                    let what = "another record of the same client has the same number";
                    collector.put(Severity::Warning, name, what, None);
                }
            }
        }
    }
    for (client_id, chain) in &chains {
        check_chain(*client_id, chain, collector);
    }
    Ok(Records { snapshots: list.snapshots, condemned })
}

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

/// A client numbers its records and names the one before in each: a hole or a change shows that
/// records were removed or put back.
fn check_chain(
    client_id: ClientId,
    chain: &BTreeMap<u64, (LogRecord, ObjectHash)>,
    collector: &Collector,
) {
    let mut before: Option<(u64, ObjectHash)> = None;
    for (seq, (record, hash)) in chain {
        if let Some((seq_before, hash_before)) = before {
            let client = client_id.short();
            if seq_before + 1 != *seq {
                let what = format!(
                    "records {} to {} of client {client} are missing",
                    seq_before + 1,
                    seq - 1
                );
                collector.put(Severity::Warning, "", what, Some(CHAIN_HINT));
            } else if record.prev != hash_before {
                let what = format!("record {seq} of client {client} follows another {seq_before}");
                collector.put(Severity::Warning, "", what, Some(CHAIN_HINT));
            }
        }
        before = Some((*seq, *hash));
    }
}

const CHAIN_HINT: &str =
    "snapshots may have been removed or put back: compare with a mirror, or ask who has access";
