//! Puts off the moment from which what is still needed may be deleted.
//!
//! Object lock keeps an object for a time that is set when it is written. Deduplication needs old
//! objects for new snapshots, so their time has to be put off now and then. Only what is needed
//! gets more time; garbage is left to expire, or storage would never shrink.

use std::collections::HashSet;

use serde::Serialize;

use super::options::{PruneOptions, Tally};
use super::survey::Survey;
use super::times::Times;
use super::weigh::Standing;
use crate::error::{Error, Explained, Result, StorageError, StorageErrorKind};
use crate::repository::Repository;
use crate::runtime::{Phase, Runtime};
use crate::storage::{LockMode, LockSettings, ObjectLock, Retention, in_parallel};

/// Everything small: all of it is needed, or will be gone soon.
const SMALL: [&str; 6] = ["keys/", "keyring/", "config/", "index/", "snapshots/", "gc/damaged-"];
/// Objects between two looks at the cancel token.
const BATCH: usize = 1024;

/// How long what is needed shall be kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetainOptions {
    /// Until when, in milliseconds since 1970.
    pub until_ms: i64,
    /// What is kept until then anyway is left alone: `until_ms`, or less, so that a daily run does
    /// not cost a request to change every object every day.
    pub enough_ms: i64,
    /// How strictly; `None` keeps what an object has, or takes the bucket's default.
    pub mode: Option<LockMode>,
    /// Only says what would be done.
    pub dry_run: bool,
}

/// What became of the retention of a repository.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct RetainReport {
    /// Until when what was extended is kept now.
    #[serde(skip)]
    pub until_ms: i64,
    /// Objects that are kept longer now, or would be.
    pub extended: u64,
    /// The packs among them.
    pub extended_packs: Tally,
    /// Objects that were kept long enough.
    pub enough: u64,
    /// Objects that were gone when their turn came: somebody prunes, or merges the index.
    pub gone: u64,
    /// Packs that nothing needs: they are left to expire.
    pub left: Tally,
}

/// Extends the retention of all that is still needed. Never shortens one. An interrupted run is
/// finished by the next one.
///
/// # Errors
/// [`Error::Usage`] if storage has no object lock. [`Error::Refused`] and [`Error::History`] if
/// nobody can say what is needed. [`Error::Cancelled`], and
/// storage's.
pub fn retain(
    repository: &Repository,
    how: &RetainOptions,
    options: &PruneOptions,
    runtime: &Runtime,
) -> Result<RetainReport> {
    let (lock, settings) = lock_of(repository)?;
    let times = Times::new(Some(runtime.clock.now_ms()), runtime.clock.now_ms(), options);
    let list = || {
        let list = repository.snapshots()?;
        list.check_history(options.accept_history)?;
        Ok(list)
    };
    let survey = Survey::take(repository, options, times, list, false, runtime)?;
    let mut report = RetainReport { until_ms: how.until_ms, ..RetainReport::default() };
    let objects = needed(&survey, &mut report)?;

    runtime.progress.phase(Phase::Retaining);
    runtime.progress.expect(objects.len() as u64, 0);
    runtime.progress.expect_no_more();
    let mode = settings.default.map_or(LockMode::Governance, |default| default.mode);
    for batch in objects.chunks(BATCH) {
        runtime.cancel.check()?;
        let done = in_parallel(&**repository.storage(), batch, |object| {
            let done = extend(lock, &object.name, how, mode);
            runtime.progress.done(1, 0);
            done
        });
        for (object, done) in batch.iter().zip(done) {
            match done.map_err(explained)? {
                Done::Enough => report.enough += 1,
                Done::Gone => report.gone += 1,
                Done::Extended => {
                    report.extended += 1;
                    if let Some(len) = object.pack_len {
                        report.extended_packs.add(len);
                    }
                }
            }
        }
    }
    Ok(report)
}

/// The locks of a repository's storage.
fn lock_of(repository: &Repository) -> Result<(&dyn ObjectLock, LockSettings)> {
    let location = repository.location();
    let none = |what: String| {
        Error::usage_hint(
            what,
            "make a bucket with object lock and a default retention (section \"Object lock\" of \
             the README), and copy the repository into it",
        )
    };
    let lock = repository.storage().object_lock().ok_or_else(|| {
        none(format!("`{location}` is on storage that cannot keep objects from being deleted"))
    })?;
    let settings = lock.settings().map_err(explained)?;
    match settings.object_lock {
        true => Ok((lock, settings)),
        false => Err(none(format!("the bucket of `{location}` has no object lock"))),
    }
}

/// An object that is needed.
struct Needed {
    name: String,
    /// Of packs.
    pack_len: Option<u64>,
}

/// Everything that snapshots which may still be had back need.
fn needed(survey: &Survey<'_>, report: &mut RetainReport) -> Result<Vec<Needed>> {
    let storage = survey.repository.storage();
    let weights = survey.weigh(&HashSet::new())?;
    let lives = weights.packs.iter().filter(|pack| pack.living_chunks > 0 || pack.holds_last);
    let lives: HashSet<_> =
        lives.filter(|pack| pack.standing != Standing::Absent).map(|pack| pack.info.hash).collect();
    let mut all = vec![Needed { name: "repo".into(), pack_len: None }];
    for pack in survey.packs.iter() {
        if lives.contains(&pack.hash) {
            all.push(Needed { name: pack.name(), pack_len: Some(pack.len) });
        } else {
            report.left.add(pack.len);
        }
    }
    for prefix in SMALL {
        let folder = &prefix[..=prefix.find('/').unwrap_or(prefix.len() - 1)];
        storage.list(folder, &mut |meta| {
            if meta.name.starts_with(prefix) {
                all.push(Needed { name: meta.name, pack_len: None });
            }
        })?;
    }
    Ok(all)
}

enum Done {
    Enough,
    Extended,
    Gone,
}

fn extend(
    lock: &dyn ObjectLock,
    name: &str,
    how: &RetainOptions,
    default: LockMode,
) -> Result<Done, StorageError> {
    let missing = |error: &StorageError| error.kind == StorageErrorKind::Missing;
    let kept = match lock.retention(name) {
        Err(error) if missing(&error) => return Ok(Done::Gone),
        kept => kept?,
    };
    let is_enough = |kept: Retention| {
        kept.until_ms >= how.enough_ms.min(how.until_ms)
            && how.mode.is_none_or(|mode| kept.mode >= mode)
    };
    if kept.is_some_and(is_enough) {
        return Ok(Done::Enough);
    }
    // What is kept strictly stays so, whatever is asked for.
    let had = kept.map(|kept| kept.mode);
    let mode = how.mode.or(had).unwrap_or(default).max(had.unwrap_or(LockMode::Governance));
    if how.dry_run {
        return Ok(Done::Extended);
    }
    let until_ms = kept.map_or(how.until_ms, |kept| kept.until_ms.max(how.until_ms));
    match lock.retain(name, &Retention { mode, until_ms }) {
        Err(error) if missing(&error) => Ok(Done::Gone),
        retained => retained.map(|()| Done::Extended),
    }
}

/// A service only says that it is not allowed; this says what would allow it.
fn explained(error: StorageError) -> Error {
    if error.kind != StorageErrorKind::Denied {
        return error.into();
    }
    let source = Explained {
        text: format!("these keys may not do that ({})", error.source),
        hint: Some(
            "it takes the rights s3:GetObjectRetention and s3:PutObjectRetention, and \
             s3:BypassGovernanceRetention to make `governance` into `compliance`; keep such keys \
             away from machines that back up. What was extended stays so, run it again"
                .into(),
        ),
    };
    StorageError { source: source.into(), ..error }.into()
}
