//! Gives back the space of what no snapshot needs, while backups go on.
//!
//! This is the only module that deletes packs, so it works in steps that are runs apart: one run
//! decides what goes and *marks* it ([`plan()`] says what that would be); a later run, when everybody
//! who might rely on it has finished, looks again and deletes. Nobody ever waits for a lock. A crash
//! between any two steps leaves every snapshot restorable, and the next run goes on (SPEC.md,
//! sections 13 and 14).
//!
//! | While a prune runs | |
//! |---|---|
//! | backup, copy, undelete | may start, run and end; see `commit` |
//! | restore, check, mount | may run; what they read stays for a day at least |
//! | another prune | is refused, and would be harmless |
//!
//! A run: lease, then sessions, log, marks, index, packs in this order (`survey`), the ids that
//! live (`living`), marks that are ripe (`finish`), what is needed of each pack (`weigh`), what
//! becomes of it (`decide`), packing anew (`repack`), the new mark, tidying up (`clean`).
//!
//! Beside it: [`retain()`] puts off the moment from which what is needed may be deleted.
//!
//! Not here: which snapshots to forget (`retention`), whether stored bytes are good (`verify`).

mod clean;
mod decide;
mod finish;
mod lease;
mod living;
mod locked;
mod lost;
mod options;
mod plan;
mod repack;
mod retain;
mod survey;
mod times;
mod weigh;

use std::collections::HashSet;

pub use options::{
    GRACE_DEFAULT_MS, LostFile, LostFiles, MaxUnused, PruneOptions, PrunePlan, PruneReport,
    Retained, Tally, Wait,
};
pub use retain::{RetainOptions, RetainReport, retain};

use crate::error::{Error, Result};
use crate::model::{BackupId, ObjectHash};
use crate::repository::{Repository, SeenMark};
use crate::runtime::{Issue, IssueKind, Runtime};
use finish::{check_without, droppable, finish_marks};
use lease::Lease;
use plan::{Decision, decide_all, describe, ripe_packs};
use repack::Repacking;
use survey::{JudgedMark, Survey};
use times::Times;
use weigh::Standing;

/// Says what a run at this moment would do. Writes nothing.
///
/// # Errors
/// As [`run`], but for [`Error::Busy`].
pub fn plan(
    repository: &Repository,
    options: &PruneOptions,
    runtime: &Runtime,
) -> Result<PrunePlan> {
    let times = Times::new(Some(runtime.clock.now_ms()), runtime.clock.now_ms(), options);
    let list = || {
        let list = repository.snapshots()?;
        list.check_history(options.accept_history)?;
        Ok(list)
    };
    let survey = Survey::take(repository, options, times, list, options.list_lost, runtime)?;
    // What waits for nothing would be gone.
    let mut weights = survey.weigh(&HashSet::new())?;
    let ripe = ripe_packs(&survey);
    let mut decision = decide_all(&survey, &weights)?;
    // What of it is needed again would be copied before.
    let saved = weights.chosen_among(Standing::Condemned);
    let goes = |pack: &ObjectHash| ripe.contains(pack) || survey.dropped.contains(pack);
    for pack in survey.packs.iter().filter(|pack| goes(&pack.hash)) {
        decision.plan.delete.add(pack.len);
    }
    decision.plan.condemned = Tally::default();
    for pack in survey.waiting().filter(|pack| !ripe.contains(&pack.hash)) {
        decision.plan.condemned.add(pack.len);
    }
    let written = [saved, decision.repack.clone()].concat();
    if !written.is_empty() {
        (decision.plan.written, decision.plan.exact) =
            repack::measure(&survey, &mut weights, &written)?;
        decision.plan.exact &= written.len() == decision.repack.len();
    }
    decision.plan.freed_bytes = freed(&decision.plan);
    describe(&survey, &mut decision);
    if options.list_lost {
        decision.plan.lost = lost::lost_files(&survey)?;
    }
    Ok(decision.plan)
}

fn freed(plan: &PrunePlan) -> i64 {
    let signed = |bytes: u64| i64::try_from(bytes).unwrap_or(i64::MAX);
    signed(plan.delete.bytes)
        .saturating_add(signed(plan.repack.bytes))
        .saturating_sub(signed(plan.written.bytes))
}

/// Finishes what earlier runs have marked, if it is time, and marks what is not needed now.
///
/// # Errors
/// [`Error::Busy`] if another prune is at work, or if all is to be done at once and a session is
/// open. [`Error::Refused`] if something that decides what lives is in doubt: nothing is removed
/// then. [`Error::History`] if the log is not to be trusted. [`Error::Cancelled`], and storage's;
/// the next run goes on.
pub fn run(
    repository: &Repository,
    options: &PruneOptions,
    runtime: &Runtime,
) -> Result<PruneReport> {
    let (lease, probe_ms) = Lease::take(repository, options, runtime)?;
    let times = Times::new(probe_ms, runtime.clock.now_ms(), options);
    let ran = run_leased(repository, options, times, &lease, runtime);
    lease.end();
    ran
}

fn run_leased(
    repository: &Repository,
    options: &PruneOptions,
    times: Times,
    lease: &Lease<'_>,
    runtime: &Runtime,
) -> Result<PruneReport> {
    let list = || repository.trusted_snapshots(options.accept_history, &options.author, runtime);
    let mut survey = Survey::take(repository, options, times, list, false, runtime)?;
    survey.lease = Some(lease);
    let mut report = PruneReport::default();
    refuse_sessions(&survey)?;
    repository.check_data_place()?;
    complete_split(repository, runtime)?;
    for judged in &survey.marks {
        fence(&survey, &judged.mark, judged)?;
    }
    if times.immediate && survey.marks.iter().any(|judged| !judged.verdict.to_fence.is_empty()) {
        // What a session commits before it can see its fence has to be seen here.
        survey.refresh()?;
    }
    if !finish_marks(&mut survey, &mut report)?.is_empty() {
        survey.load_index()?;
    }
    lease.renew()?;
    let mut weights = survey.weigh(&HashSet::new())?;
    let is_whole = weights.missing_count == 0 && weights.chosen_among(Standing::Damaged).is_empty();
    let mut decision = decide_all(&survey, &weights)?;
    for message in &survey.warnings {
        warn(runtime, message);
    }
    let repacked = repack::repack(&survey, &mut weights, &decision.repack, Repacking::Frees)?;
    for error in &repacked.failed {
        warn(
            runtime,
            &format!("not packed anew, `larder repair packs` saves what is left: {error}"),
        );
    }
    lease.renew()?;
    report.written.packs += repacked.added.packs;
    report.written.bytes += repacked.added.stored_bytes;
    decision.plan.written = report.written;
    decision.plan.freed_bytes = freed(&decision.plan);
    if !repacked.done.is_empty() {
        survey.load_index()?;
    }
    let condemned = condemn(&survey, &decision, &repacked.done)?;
    if let Some(mark) = condemned {
        settle(&mut survey, mark, &mut report)?;
    }
    for pack in survey.waiting() {
        report.condemned.add(pack.len);
    }
    describe(&survey, &mut decision);
    report.plan = decision.plan;
    clean::clean(&survey, is_whole, &mut report)?;
    // The prune is done; a merge that fails, as somebody else merges, is tried again by the next run.
    if let Err(error) = repository.compact_index(runtime) {
        tracing::warn!("the index could not be merged: {error}");
    }
    Ok(report)
}

fn warn(runtime: &Runtime, message: &str) {
    let message = message.to_string();
    runtime.progress.issue(&Issue { kind: IssueKind::Warning, path: Vec::new(), message });
}

/// Makes the place of the data whole by itself. What the other place has lost decides what lives
/// if it is a record or a part of the index.
fn complete_split(repository: &Repository, runtime: &Runtime) -> Result<()> {
    let lost = repository.complete_split()?.lost;
    let Some(cold) = repository.split().map(|split| split.cold().location()) else {
        return Ok(());
    };
    let hint = format!(
        "copy them from there to `{}`; if they were removed on purpose, remove them there too",
        repository.location()
    );
    let decides = |name: &&String| name.starts_with("index/") || name.starts_with("snapshots/");
    if let Some(name) = lost.iter().find(decides) {
        let count = lost.len();
        return Err(Error::Refused {
            what: format!("objects ({count}, among them `{name}`) are only at `{cold}`: lost here"),
            hint,
        });
    }
    for name in &lost {
        warn(runtime, &format!("`{name}` is only at `{cold}`: lost here; {hint}"));
    }
    Ok(())
}

/// Doing everything at once is for a repository that nobody writes to.
fn refuse_sessions(survey: &Survey<'_>) -> Result<()> {
    if !survey.times.immediate {
        return Ok(());
    }
    let open: Vec<String> = survey
        .sessions
        .iter()
        .filter(|session| !session.ended && !survey.times.is_silent(session))
        .map(crate::repository::SeenSession::describe)
        .collect();
    if open.is_empty() {
        return Ok(());
    }
    Err(Error::Busy {
        what: format!(
            "a prune without grace needs a repository that nobody writes to; open: {} (a session \
             that died counts as over 12 hours after its last sign)",
            open.join(", ")
        ),
    })
}

/// Fences the silent sessions that a mark waits for.
fn fence(survey: &Survey<'_>, mark: &SeenMark, judged: &JudgedMark) -> Result<()> {
    for session in &judged.verdict.to_fence {
        let now_ms = survey.runtime.clock.now_ms();
        survey.repository.put_fence(mark.gc_id, *session, now_ms)?;
    }
    Ok(())
}

/// Marks what goes (p3). Returns the mark; `None` if nothing goes.
fn condemn(
    survey: &Survey<'_>,
    decision: &Decision,
    repacked: &[ObjectHash],
) -> Result<Option<SeenMark>> {
    let packs = [&decision.delete[..], repacked].concat();
    let mut records: Vec<ObjectHash> =
        survey.going().map(|forgotten| forgotten.snapshot.record).collect();
    records.sort_unstable();
    let known: HashSet<ObjectHash> =
        survey.marks.iter().flat_map(|judged| judged.mark.records.iter().copied()).collect();
    records.retain(|record| !known.contains(record) && !survey.finished_records.contains(record));
    if packs.is_empty() && records.is_empty() {
        return Ok(None);
    }
    // What lives in them has to be elsewhere, too: in new packs, or in others.
    let packs: HashSet<ObjectHash> = packs.into_iter().collect();
    let weights = survey.weigh(&packs)?;
    let mut packs: Vec<ObjectHash> = packs.into_iter().collect();
    packs.sort_unstable();
    let packs = droppable(survey, &weights, &packs)?;
    check_without(survey, &weights, &packs.iter().copied().collect())?;
    let gc_id = BackupId(survey.runtime.random.bytes());
    let time_ms = survey.runtime.clock.now_ms();
    let name = survey.repository.put_mark(gc_id, &packs, &records, time_ms)?;
    let modified_ms = survey.repository.storage().head(&name)?.modified_ms;
    Ok(Some(SeenMark { name, modified_ms, gc_id, time_ms, packs, records }))
}

/// What follows a new mark (p4): who has to be waited for, and, if nobody is, everything else.
fn settle(survey: &mut Survey<'_>, mark: SeenMark, report: &mut PruneReport) -> Result<()> {
    let repository = survey.repository;
    survey.gc = repository.load_gc()?;
    let (sessions, bad) = repository.load_sessions()?;
    survey.warnings.extend(bad.iter().map(|error| format!("not understood: {error}")));
    survey.sessions = sessions;
    let verdict = survey.times.judge(&mark, &survey.sessions, &survey.gc);
    let judged = JudgedMark { mark: mark.clone(), verdict };
    fence(survey, &mark, &judged)?;
    survey.marks.push(judged);
    survey.condemned.extend(mark.packs.iter().copied());
    if !survey.times.immediate {
        return Ok(());
    }
    refuse_sessions(survey)?;
    // p6: what was committed since the log was read lives too.
    survey.refresh()?;
    finish_marks(survey, report)?;
    survey.load_index()
}
