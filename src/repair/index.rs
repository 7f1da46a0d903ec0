//! Makes the index name every pack that is there, with its true length and directory.
//!
//! Packs are the truth, the index is only a table of contents: whatever index objects are damaged
//! or gone, it is made again from the directories at the ends of the packs.

use std::collections::HashSet;

use serde::Serialize;

use super::Flaw;
use crate::error::Result;
use crate::format::index::DeltaPack;
use crate::repository::{Author, Findings, PackInfo, PackRef, Repository};
use crate::runtime::{Phase, Runtime};
use crate::storage::in_parallel;

/// Directories that are read at once.
const READ_PACKS: usize = 64;

/// How an index is repaired.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct IndexRepairOptions {
    /// Says what would be done, and writes nothing.
    pub dry_run: bool,
    /// Compares the directory of each pack with the index, too: one request a pack.
    pub read_packs: bool,
    /// Leaves packs that are missing out of the index: they are lost for good. One that turns up
    /// again is taken in like any pack that no index object names.
    pub without_missing: bool,
}

/// What an index repair found and did.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct IndexRepair {
    /// Whether nothing was written.
    pub dry_run: bool,
    /// Packs that are in storage and in the index now.
    pub packs: u64,
    /// Packs that no index object named, and that are taken in.
    pub added_packs: u64,
    /// Their bytes.
    pub added_bytes: u64,
    /// Packs that no index object names, and whose own directory cannot be read: nobody knows
    /// what is in them.
    pub unreadable: Vec<Flaw>,
    /// Index objects and marks that cannot be read. They do no harm once all packs are named
    /// without them.
    pub bad_objects: Vec<Flaw>,
    /// Packs that the index names and that are not there.
    pub missing: Vec<String>,
    /// Packs that have another length than they should have.
    pub damaged: Vec<Flaw>,
    /// Packs of which the index said something else than their own directory.
    pub corrected: Vec<String>,
}

impl IndexRepair {
    /// Whether the index now says the truth about packs that are all there and readable.
    pub fn is_whole(&self) -> bool {
        self.unreadable.is_empty() && self.missing.is_empty() && self.damaged.is_empty()
    }
}

/// Repairs the index.
///
/// # Errors
/// The storage's, and [`crate::error::Error::Cancelled`]. Damage is no error: it is in the report.
pub fn repair_index(
    repository: &Repository,
    options: &IndexRepairOptions,
    author: &Author,
    runtime: &Runtime,
) -> Result<IndexRepair> {
    runtime.progress.phase(Phase::RepairingIndex);
    let (session, findings) = if options.dry_run {
        (None, repository.look_over(runtime)?)
    } else {
        let (session, findings) =
            repository.begin_session("repair index", &author.host, runtime)?;
        (Some(session), findings)
    };
    let repaired = finish(repository, options, findings, runtime);
    if let Some(session) = session
        && let Err(error) = session.end()
    {
        // The index is repaired without this.
        tracing::warn!("the session could not be closed: {error}");
    }
    repaired
}

fn finish(
    repository: &Repository,
    options: &IndexRepairOptions,
    findings: Findings,
    runtime: &Runtime,
) -> Result<IndexRepair> {
    let bad: Vec<Flaw> = findings.bad.iter().map(Flaw::of).collect();
    let (unreadable, bad_objects) = bad.into_iter().partition(Flaw::is_of_pack);
    let resized = findings.resized.iter().map(|(info, len)| {
        let what = format!("it has {len} bytes and should have {}", info.len);
        Flaw::new(info.object_name(), what)
    });
    let mut report = IndexRepair {
        dry_run: options.dry_run,
        packs: 0,
        added_packs: findings.adopted_packs,
        added_bytes: findings.adopted_bytes,
        unreadable,
        bad_objects,
        missing: findings.missing.iter().map(PackInfo::object_name).collect(),
        damaged: resized.collect(),
        corrected: Vec::new(),
    };
    let listed = repository.list_packs()?;
    let indexed = repository.index().packs();
    let there: Vec<_> = indexed
        .into_iter()
        .filter(|(_, info)| listed.get(&info.hash) == Some((info.len, info.pack_type)))
        .collect();
    report.packs = there.len() as u64;
    if options.dry_run {
        report.packs += report.added_packs;
    }
    if options.without_missing && !options.dry_run && !findings.missing.is_empty() {
        let missing = findings.missing.iter().map(|info| info.hash).collect();
        repository.reindex(&missing, Vec::new(), runtime)?;
    }
    if options.read_packs {
        compare(repository, &there, &mut report, options, runtime)?;
    }
    report.missing.sort();
    report.damaged.sort();
    report.unreadable.sort();
    Ok(report)
}

/// Compares what packs say of themselves with what the index says of them.
fn compare(
    repository: &Repository,
    there: &[(PackRef, PackInfo)],
    report: &mut IndexRepair,
    options: &IndexRepairOptions,
    runtime: &Runtime,
) -> Result<()> {
    runtime.progress.expect(there.len() as u64, 0);
    runtime.progress.expect_no_more();
    let records = repository.index().records_per_pack();
    let mut wrong = HashSet::new();
    let mut instead = Vec::new();
    for part in there.chunks(READ_PACKS) {
        runtime.cancel.check()?;
        let read = in_parallel(&**repository.storage(), part, |(_, info)| {
            repository.pack_directory(info.hash, info.len, info.pack_type)
        });
        for ((pack, info), directory) in part.iter().zip(read) {
            runtime.progress.done(1, 0);
            let directory = match directory {
                Ok(directory) => directory,
                Err(error) if error.is_damage() => {
                    report.damaged.push(Flaw::of(&error));
                    continue;
                }
                Err(error) => return Err(error),
            };
            let records = records.get(pack).copied().unwrap_or(0);
            if repository.index_agrees(*pack, &directory, records).is_none() {
                report.corrected.push(info.object_name());
                wrong.insert(info.hash);
                instead.push(DeltaPack { pack: info.hash, len: info.len, directory });
            }
        }
    }
    if !options.dry_run && !wrong.is_empty() {
        repository.reindex(&wrong, instead, runtime)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
