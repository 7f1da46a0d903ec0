//! Proves that snapshots can be restored, or says what cannot.
//!
//! A check has up to four steps. *Records*: every small object opens and decodes. *Packs*: what
//! the index names is there with the right length. *Manifests*: every page of every snapshot is
//! read and verified once, and every chunk that they name is in a pack that is there. *Data* (if
//! asked for): packs are read whole, and every segment is opened and every chunk compared with
//! its id. If anything is damaged, the manifests are walked once more to name the files.
//!
//! Snapshots are listed before the index and the index before the packs, so a backup that runs
//! meanwhile adds nothing that looks like damage.
//!
//! Nothing is written. Not here: putting things right (`repair`).

mod data;
mod hits;
mod lists;
mod manifests;
mod needed;
mod options;
mod packs;
mod pick;
mod records;
mod report;

pub use crate::model::Subset;
pub use hits::{HitFile, HitPart, HitRange, HitSnapshot, Hits, hits};
pub use options::{CheckOptions, ReadData};
pub use report::{CheckReport, Checked, Finding, Severity};

use std::collections::HashSet;

use crate::error::{Error, Result};
use crate::model::ObjectHash;
pub use crate::repository::Damage;
use crate::repository::{Repository, Snapshot, hash_in_name, pack_name};
use crate::runtime::{Phase, Runtime};
use report::Collector;

/// Checks a repository. Damage is no error: it is in the report.
///
/// # Errors
/// The storage's where it could not be asked, [`Error::NotFound`] for a snapshot that was named
/// and is not there, and [`Error::Cancelled`].
pub fn check(
    repository: &Repository,
    options: &CheckOptions,
    runtime: &Runtime,
) -> Result<CheckReport> {
    // What is missing in the index must be seen, not made up for.
    repository.forbid_recovery();
    // What others of this process read before was sound then.
    repository.forget_read();
    let collector = Collector::new(options.findings_max);
    if let Some(warning) = repository.storage().warning() {
        let hint = "import what is left of it into a repository: `larder import`";
        collector.put(Severity::Damage, repository.location(), warning, Some(hint));
    }
    runtime.progress.phase(Phase::CheckingStructure);
    let pool = structure_pool(repository)?;
    let records = pool.install(|| records::check(repository, options, &collector, runtime))?;
    let snapshots = chosen(records.snapshots, options)?;
    let subset = options.read_data.subset();
    let packs = packs::check(repository, &records.condemned, subset.is_some(), &collector)?;
    let mut damage = packs.damage;
    let some_only = options.snapshots.is_some();
    let used = pool.install(|| {
        manifests::check(repository, &snapshots, some_only, &mut damage, &collector, runtime)
    })?;
    if let Some(subset) = subset {
        runtime.progress.phase(Phase::CheckingData);
        let mut picked = packs.present;
        if some_only {
            picked.retain(|pack| used.contains(&pack.info.hash));
        }
        let picked = pick::pick(picked, subset, &runtime.random);
        data::check(repository, &picked, &mut damage, &collector, runtime)?;
    }
    let elsewhere = repository.mirrors().map(|mirrors| mirrors.report()).unwrap_or_default();
    // Not all of them are named: then nothing that is missing can be said to be of no use.
    let is_known = elsewhere.elsewhere_count == elsewhere.elsewhere.len() as u64;
    let mut unneeded = if is_known { damage.missing_packs.clone() } else { HashSet::new() };
    for read in elsewhere.elsewhere {
        if let Some(hash) = hash_in_name(&read.object) {
            unneeded.remove(&hash);
        }
        let what = format!("it was read from the mirror `{}`: {}", read.mirror, read.why);
        let hint = "`larder heal` puts it right";
        collector.put(Severity::Damage, read.object, what, Some(hint));
    }
    let hits = if damage.is_empty() {
        Hits::default()
    } else {
        pool.install(|| hits(repository, &snapshots, &damage, options.files_max, runtime))?
    };
    if !some_only && hits.snapshots.is_empty() && damage.pages.is_empty() && !damage.lost_chunks {
        packs::soften_unneeded(&unneeded, &damage.distrusted_packs, &collector);
    }
    let names = |is_meant: &dyn Fn(&ObjectHash) -> bool| {
        let meant = damage.bad_packs.iter().filter(|(hash, _)| is_meant(hash));
        let mut names: Vec<String> =
            meant.map(|(hash, pack_type)| pack_name(*pack_type, *hash)).collect();
        names.sort();
        names
    };
    let bad_packs = names(&|_| true);
    let bad_used_packs = names(&|hash| some_only && used.contains(hash));
    Ok(CheckReport { bad_packs, bad_used_packs, damage, ..collector.into_report(hits) })
}

/// The snapshots that were asked for, newest first.
fn chosen(mut snapshots: Vec<Snapshot>, options: &CheckOptions) -> Result<Vec<Snapshot>> {
    snapshots.reverse();
    let Some(wanted) = &options.snapshots else { return Ok(snapshots) };
    for id in wanted {
        if !snapshots.iter().any(|snapshot| snapshot.id == *id) {
            return Err(Error::NotFound { what: "snapshot", name: id.to_string() });
        }
    }
    snapshots.retain(|snapshot| wanted.contains(&snapshot.id));
    Ok(snapshots)
}

/// Threads for what mixes computing with small reads: where each read waits for a network, more
/// of them than there are cores. A pool of its own, so that others never wait for storage.
fn structure_pool(repository: &Repository) -> Result<rayon::ThreadPool> {
    let cores = std::thread::available_parallelism().map_or(2, usize::from);
    rayon::ThreadPoolBuilder::new()
        .num_threads(repository.storage().concurrency().clamp(cores, 32))
        .thread_name(|number| format!("check {number}"))
        .build()
        .map_err(|e| Error::Internal { what: format!("no threads for the check: {e}") })
}

#[cfg(test)]
mod tests;
