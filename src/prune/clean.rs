//! Tidies up what no rule needs any more: ended sessions, fences that did their work, old leases,
//! drop lists of packs that are gone, and index records of dropped packs.

use std::collections::HashSet;
use std::time::Duration;

use super::finish::remove;
use super::options::{HOUR_MS, PruneReport};
use super::survey::Survey;
use crate::error::{Error, Result, StorageErrorKind};
use crate::model::ObjectHash;
use crate::repository::LISTING_LAG_MS;

const DAY_MS: i64 = 24 * HOUR_MS;
/// A session that was silent for so long has no use for its objects.
const DEAD_MS: i64 = 7 * DAY_MS;
/// A fence that was not needed for so long will not be.
const FENCE_MS: i64 = 365 * DAY_MS;
/// Drop lists stay for so long at least.
const DROP_LIST_MS: i64 = 7 * DAY_MS;
/// Unfinished writes of others are removed after this.
const UNFINISHED: Duration = Duration::from_secs(7 * 24 * 3600);

/// Tidies up. `is_whole`: no living chunk is missing.
pub(super) fn clean(survey: &Survey<'_>, is_whole: bool, report: &mut PruneReport) -> Result<()> {
    sessions(survey, report)?;
    fences(survey, is_whole, report)?;
    leases(survey, report)?;
    match drop_lists(survey, report) {
        // A backup merges the index just now: the next run does it.
        Err(Error::Storage(error)) if error.kind == StorageErrorKind::Missing => {}
        done => done?,
    }
    let is_listed = |pack: &ObjectHash| survey.packs.get(pack).is_some();
    for list in survey.repository.spent_damage_lists(&is_listed)? {
        if !remove(survey, &list, report)? {
            break;
        }
    }
    match survey.repository.storage().clean_unfinished(UNFINISHED) {
        Ok(removed) => report.others += removed,
        // What is left takes room and does no harm, and some keys may not remove anything.
        Err(error) => tracing::warn!("unfinished writes stay: {}", Error::Storage(error).in_full()),
    }
    Ok(())
}

/// Sessions that ended a while ago, and those that nobody will hear of again. The announcement goes
/// first, so that a writer that wakes up misses it; the end goes last.
fn sessions(survey: &Survey<'_>, report: &mut PruneReport) -> Result<()> {
    let times = &survey.times;
    for session in &survey.sessions {
        let is_over = match (session.ended, session.ended_ms) {
            (true, Some(ms)) => {
                times.immediate || times.now_ms.saturating_sub(ms) >= LISTING_LAG_MS
            }
            (true, None) => false,
            (false, _) => {
                let is_fenced = survey.gc.fences.iter().any(|fence| {
                    fence.session_id == session.id
                        && times.age_ms(fence.modified_ms, fence.time_ms) >= LISTING_LAG_MS
                });
                let stated_ms = session.record.as_ref().map_or(times.now_ms, |r| r.now_ms);
                is_fenced && times.age_ms(session.newest_ms, stated_ms) >= DEAD_MS
            }
        };
        if !is_over {
            continue;
        }
        let (ends, others): (Vec<&String>, Vec<&String>) =
            session.names.iter().partition(|name| name.ends_with(".end"));
        for name in others.into_iter().chain(ends) {
            if !remove(survey, name, report)? {
                return Ok(());
            }
        }
    }
    Ok(())
}

fn fences(survey: &Survey<'_>, is_whole: bool, report: &mut PruneReport) -> Result<()> {
    for fence in &survey.gc.fences {
        let age_ms = survey.times.age_ms(fence.modified_ms, fence.time_ms);
        // Judged by what was listed before the index was read: the drop list of a mark that is
        // gone was in it.
        let is_marked = survey.gc.marks.iter().any(|mark| mark.gc_id == fence.gc_id);
        let records = survey.list.records().iter();
        let is_seen = records.clone().any(|r| r.outer.session_id == fence.session_id);
        let is_announced = survey.sessions.iter().any(|session| session.id == fence.session_id);
        let has_worked = is_seen && is_whole && age_ms >= LISTING_LAG_MS;
        let is_old = !is_announced && age_ms >= FENCE_MS;
        if !is_marked && (has_worked || is_old) && !remove(survey, &fence.name, report)? {
            return Ok(());
        }
    }
    Ok(())
}

/// Leases of prunes that are not at work any more.
fn leases(survey: &Survey<'_>, report: &mut PruneReport) -> Result<()> {
    for lease in &survey.gc.leases {
        let age_ms = survey.times.age_ms(lease.modified_ms, lease.lease.now_ms);
        if age_ms >= DAY_MS && !remove(survey, &lease.name, report)? {
            return Ok(());
        }
    }
    Ok(())
}

/// Drop lists of which no pack is listed and none is named by the index any more. If it still
/// names some, it is written anew without them.
fn drop_lists(survey: &Survey<'_>, report: &mut PruneReport) -> Result<()> {
    let (repository, runtime) = (survey.repository, survey.runtime);
    let lists = repository.load_drop_lists()?;
    if lists.is_empty() {
        return Ok(());
    }
    let packs: HashSet<ObjectHash> = lists.iter().flat_map(|list| list.packs.clone()).collect();
    let mut named = repository.named_by_index(&packs)?;
    let known = repository.index().packs().len();
    let is_old = |age_ms: i64| survey.times.immediate || age_ms >= DROP_LIST_MS;
    let age_ms = |list: &crate::repository::SeenDropList| {
        survey.times.age_ms(list.modified_ms, list.time_ms)
    };
    let is_due = lists.iter().any(|list| is_old(age_ms(list)));
    if !named.is_empty() && (is_due || named.len() * 10 >= known) {
        repository.reindex(&HashSet::new(), Vec::new(), runtime)?;
        named = repository.named_by_index(&packs)?;
    }
    for list in lists.iter().filter(|list| is_old(age_ms(list))) {
        let is_gone = |pack: &ObjectHash| {
            !named.contains(pack)
                && (survey.packs.get(pack).is_none() || report.retained.packs == 0)
        };
        if list.packs.iter().all(is_gone)
            && !remove(survey, &format!("index/{}", list.object), report)?
        {
            return Ok(());
        }
    }
    Ok(())
}
