//! Finishes marks: drop list, deletes, records (SPEC.md, section 13, p6 and p7).
//!
//! What is condemned never counts again. So whatever lives and is only in condemned packs is copied
//! first, and then the mark goes as a whole: two processes that finish the same mark, each on what
//! it saw, cannot rely on what the other one takes. Before anything is dropped, the packs that are
//! left have to hold everything that lives: this is looked at with the packs taken away.

use std::collections::HashSet;

use super::locked;
use super::options::PruneReport;
use super::repack::{Repacking, repack};
use super::survey::{Survey, refused};
use super::weigh::{Standing, Weights, weigh};
use crate::error::{Error, Result, StorageErrorKind};
use crate::model::ObjectHash;
use crate::repository::{LISTING_LAG_MS, PackInfo, SeenMark};
use crate::runtime::Phase;
use crate::storage::in_parallel;

/// How often what could not be copied is looked for elsewhere.
const SAVING_MAX: usize = 3;
/// Packs deleted between two looks at the cancel token.
const BATCH: usize = 256;

/// Finishes all marks that wait for nothing. Returns the packs that were dropped.
pub(super) fn finish_marks(
    survey: &mut Survey<'_>,
    report: &mut PruneReport,
) -> Result<HashSet<ObjectHash>> {
    let mut ripe: Vec<SeenMark> = survey
        .marks
        .iter()
        .filter(|judged| judged.verdict.waits.is_empty())
        .map(|judged| judged.mark.clone())
        .collect();
    let mut dropped = HashSet::new();
    let open: Vec<&SeenMark> = ripe.iter().filter(|mark| !is_decided(survey, mark)).collect();
    if !open.is_empty() {
        let open: Vec<SeenMark> = open.into_iter().cloned().collect();
        let weights = save_needed(survey, report)?;
        let closing = closable(survey, &weights, &open)?;
        dropped = closing.iter().flat_map(|mark| mark.packs.iter().copied()).collect();
        check_without(survey, &weights, &dropped)?;
        for mark in closing.iter().filter(|mark| !mark.packs.is_empty()) {
            let time_ms = survey.runtime.clock.now_ms();
            survey.repository.put_drop_list(mark.gc_id, &mark.packs, time_ms)?;
        }
        // A mark that cannot be finished stays, and so does all that it names.
        ripe.retain(|mark| closing.contains(mark) || !open.contains(mark));
    }
    // Lists of earlier runs, which may have been interrupted, name packs that are still there.
    let listed: HashSet<ObjectHash> = survey
        .drop_lists
        .iter()
        .flat_map(|list| list.packs.iter().copied())
        .chain(dropped.iter().copied())
        .collect();
    delete_packs(survey, &listed, report)?;
    remove_records(survey, &ripe, report)?;
    for mark in &ripe {
        if may_remove(survey, mark, &dropped) && remove(survey, &mark.name, report)? {
            survey.marks.retain(|judged| judged.mark.name != mark.name);
        }
    }
    let left = survey.marks.iter().flat_map(|judged| judged.mark.packs.iter().copied());
    survey.condemned = left.collect();
    Ok(dropped)
}

/// Whether there is a drop list of this mark: it is final.
pub(super) fn is_decided(survey: &Survey<'_>, mark: &SeenMark) -> bool {
    survey.drop_lists.iter().any(|list| list.gc_id == mark.gc_id)
}

/// Copies what lives and is in no pack that is sound and condemned by nobody: a condemned pack
/// never counts again, whoever condemned it, because another process may be finishing the same mark
/// just now. Returns the weights after that.
fn save_needed(survey: &mut Survey<'_>, report: &mut PruneReport) -> Result<Weights> {
    for _ in 0..SAVING_MAX {
        let mut weights = survey.weigh(&HashSet::new())?;
        refuse_lost(&weights)?;
        let needed = weights.chosen_among(Standing::Condemned);
        if needed.is_empty() {
            return Ok(weights);
        }
        let saved = repack(survey, &mut weights, &needed, Repacking::Saves)?;
        for number in &needed {
            let info = &weights.packs[*number].info;
            if saved.done.contains(&info.hash) {
                report.rescued.add(info.len);
            } else {
                // Perhaps another copy is sound.
                survey.damaged_condemned.insert(info.hash);
            }
        }
        report.written.packs += saved.added.packs;
        report.written.bytes += saved.added.stored_bytes;
        survey.warnings.extend(saved.failed.iter().map(|e| format!("could not be copied: {e}")));
        survey.load_index()?;
    }
    survey.weigh(&HashSet::new())
}

/// The marks of which everything may go: nothing that lives is left in them alone.
fn closable(
    survey: &mut Survey<'_>,
    weights: &Weights,
    marks: &[SeenMark],
) -> Result<Vec<SeenMark>> {
    let needed: HashSet<ObjectHash> = weights
        .packs
        .iter()
        .filter(|pack| {
            pack.holds_last || pack.standing == Standing::Condemned && pack.living_chunks > 0
        })
        .map(|pack| pack.info.hash)
        .collect();
    let mut closable = Vec::new();
    for mark in marks {
        let mut is_needed = mark.packs.iter().any(|pack| needed.contains(pack));
        for pack in &mark.packs {
            is_needed |= match survey.packs.get(pack) {
                Some(listed) => holds_missing(survey, weights, listed)?,
                None => false,
            };
        }
        if is_needed {
            survey.warnings.push(
                "condemned packs hold what is needed and cannot be copied; they stay: run \
                 `larder check`, then `larder repair packs`"
                    .into(),
            );
        } else {
            closable.push(mark.clone());
        }
    }
    Ok(closable)
}

/// Of so much that is missing, nobody can say where it was.
pub(super) fn refuse_lost(weights: &Weights) -> Result<()> {
    if weights.missing_count > weights.missing.len() as u64 {
        return Err(refused(
            format!("{} chunks that snapshots need are not in the index", weights.missing_count),
            "run `larder repair index`, then `larder check`",
        ));
    }
    Ok(())
}

/// What of these packs may be condemned: whatever holds nothing that is needed.
pub(super) fn droppable(
    survey: &Survey<'_>,
    weights: &Weights,
    packs: &[ObjectHash],
) -> Result<Vec<ObjectHash>> {
    refuse_lost(weights)?;
    let needed: HashSet<ObjectHash> = weights
        .chosen_among(Standing::Condemned)
        .into_iter()
        .map(|number| weights.packs[number].info.hash)
        .collect();
    let mut drop = Vec::new();
    for pack in packs.iter().filter(|pack| !needed.contains(*pack)) {
        if let Some(listed) = survey.packs.get(pack)
            && !holds_missing(survey, weights, listed)?
        {
            drop.push(*pack);
        }
    }
    Ok(drop)
}

/// Whether a pack has something that snapshots need and the index does not know. Asked only if
/// there is such a thing.
fn holds_missing(
    survey: &Survey<'_>,
    weights: &Weights,
    pack: &super::survey::ListedPack,
) -> Result<bool> {
    if weights.missing.is_empty() {
        return Ok(false);
    }
    match survey.repository.pack_directory(pack.hash, pack.len, pack.pack_type) {
        Ok(directory) => Ok(directory.id_list().iter().any(|id| weights.is_missing(id))),
        // Nobody knows, so it stays.
        Err(error) if error.is_damage() => Ok(true),
        Err(error) => Err(error),
    }
}

/// Makes sure that no living chunk is lost with these packs.
///
/// # Errors
/// [`Error::Internal`].
pub(super) fn check_without(
    survey: &Survey<'_>,
    weights: &Weights,
    packs: &HashSet<ObjectHash>,
) -> Result<()> {
    let standing = |info: &PackInfo| match packs.contains(&info.hash) {
        true => Standing::Absent,
        false => survey.standing(info, &HashSet::new()),
    };
    let left = weigh(survey.repository, &survey.living, &standing, survey.runtime)?;
    if left.missing_count == weights.missing_count {
        return Ok(());
    }
    let lost = left.missing_count.saturating_sub(weights.missing_count);
    Err(Error::Internal { what: format!("{lost} chunks that live would be removed") })
}

/// Deletes packs that drop lists name.
fn delete_packs(
    survey: &Survey<'_>,
    packs: &HashSet<ObjectHash>,
    report: &mut PruneReport,
) -> Result<()> {
    let (repository, runtime) = (survey.repository, survey.runtime);
    let there: Vec<_> = survey.packs.iter().filter(|pack| packs.contains(&pack.hash)).collect();
    if there.is_empty() {
        return Ok(());
    }
    runtime.progress.phase(Phase::Removing);
    runtime.progress.expect(there.len() as u64, there.iter().map(|pack| pack.len).sum());
    runtime.progress.expect_no_more();
    let mut refused = Vec::new();
    for batch in there.chunks(BATCH) {
        runtime.cancel.check()?;
        survey.renew_lease()?;
        let deleted = in_parallel(&**repository.storage(), batch, |pack| {
            repository.storage().delete(&pack.name())
        });
        for (pack, deleted) in batch.iter().zip(deleted) {
            match deleted {
                Ok(()) => report.deleted.add(pack.len),
                // Storage that refuses deletes keeps them; nothing uses them any more.
                Err(error) if error.kind == StorageErrorKind::Denied => {
                    report.retained.add(pack.len);
                    refused.push(*pack);
                }
                Err(error) => return Err(error.into()),
            }
            runtime.progress.done(1, pack.len);
        }
    }
    locked::explain(survey, &refused, report);
    Ok(())
}

/// Lets go of the snapshot records that marks name, if they are still forgotten.
fn remove_records(
    survey: &mut Survey<'_>,
    marks: &[SeenMark],
    report: &mut PruneReport,
) -> Result<()> {
    let named: HashSet<ObjectHash> =
        marks.iter().flat_map(|mark| mark.records.iter().copied()).collect();
    let gone: Vec<ObjectHash> = survey
        .going()
        .map(|forgotten| forgotten.snapshot.record)
        .filter(|record| named.contains(record))
        .collect();
    if gone.is_empty() {
        return Ok(());
    }
    let (options, runtime) = (survey.options, survey.runtime);
    let removed =
        survey.repository.finish_forgotten(&gone, &options.author, &survey.list, runtime)?;
    report.records += removed.removed;
    report.retained_others += removed.retained;
    // The log was read before.
    survey.finished_records.extend(gone);
    Ok(())
}

/// Whether nobody can see the mark gone and its drop list not yet.
fn may_remove(survey: &Survey<'_>, mark: &SeenMark, dropped: &HashSet<ObjectHash>) -> bool {
    let mut lists = survey.drop_lists.iter().filter(|list| list.gc_id == mark.gc_id).peekable();
    if survey.times.immediate {
        return true;
    }
    match lists.peek() {
        // Nothing of it was dropped, or all of it just now.
        None => !mark.packs.iter().any(|pack| dropped.contains(pack)),
        Some(_) => {
            lists.all(|list| survey.times.age_ms(list.modified_ms, list.time_ms) >= LISTING_LAG_MS)
        }
    }
}

/// Deletes an object that nothing needs any more.
pub(super) fn remove(survey: &Survey<'_>, name: &str, report: &mut PruneReport) -> Result<bool> {
    match survey.repository.storage().delete(name) {
        Ok(()) => {
            report.others += 1;
            Ok(true)
        }
        Err(error) if error.kind == StorageErrorKind::Denied => {
            report.retained_others += 1;
            Ok(false)
        }
        Err(error) => Err(error.into()),
    }
}
