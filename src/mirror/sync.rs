//! Makes one place hold what another one holds.
//!
//! The order of copying keeps the target valid at every moment (SPEC.md, sections 14 and 21): keys
//! and configuration, packs, the index without drop lists, records, drop lists, and `repo` last if
//! it is not there yet. So a mirror that was never complete is no repository, and one that was is
//! always a repository of some earlier moment. Whatever ends it, the next run goes on there.
//!
//! Nothing is deleted but what the caller names, and only if the source does not list it.

use parking_lot::Mutex;
use serde::Serialize;

use super::contents::{Contents, check_is_of, repository_at};
use super::fetch::{Fetcher, Found};
use super::object::{Kind, prove, type_of};
use super::plan::{Lack, Plan};
use super::report::{BadObject, Count};
use super::scrub::repo_flaw;
use super::work::{Budget, for_each, threads};
use crate::error::{Error, Result, StorageErrorKind};
use crate::format::header::ObjectType;
use crate::model::RepoId;
use crate::runtime::{Phase, Runtime};
use crate::storage::{PutMode, SharedStorage, Storage, list_sorted};

/// How often a sync begins anew because objects vanished before they were copied.
const ROUNDS_MAX: usize = 5;

/// Records that are read ahead while they are written one after the other.
const RECORDS_AHEAD: usize = 64;
const RECORDS_AHEAD_BYTES: u64 = 16 << 20;

/// Where configurations are.
const CONFIG_FOLDER: &str = "config/";

/// How a sync behaves.
#[derive(Clone, Default)]
pub struct SyncOptions {
    /// Only compares.
    pub dry_run: bool,
    /// Copies that are asked for what the source does not have whole.
    pub others: Vec<SharedStorage>,
    /// Names of objects that were deleted at the source on purpose, in the order in which they may
    /// go: the target lets go of those that the source does not list.
    pub deletes: Vec<String>,
    /// Records that the source's records know. Without them, only those that it has are known.
    pub heads: Vec<String>,
}

/// What a sync found and did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct SyncReport {
    /// Whether nothing was written.
    pub dry_run: bool,
    /// Where the objects came from.
    pub from: String,
    /// Where they went.
    pub to: String,
    /// Whether the target was no repository before.
    pub is_new: bool,
    /// What the source holds.
    pub source: Count,
    /// What the target lacked.
    pub missing: Count,
    /// What was copied.
    pub copied: Count,
    /// Objects among them that were there with another length.
    pub replaced: u64,
    /// Objects among them that the source did not have whole, and another copy had.
    pub from_others: u64,
    /// Objects that no place has whole.
    pub bad: Vec<BadObject>,
    /// What was deleted, because it was deleted at the source.
    pub deleted: u64,
    /// What was deleted at the source and stays at the target, because the target refuses to delete
    /// it.
    pub retained: u64,
    /// What the target has and the source does not, before anything was deleted.
    pub extra: Count,
    /// Key slots among them: they still open the target.
    pub extra_keys: u64,
    /// Whether there are snapshots among them that the source knows nothing of. Only seen with
    /// [`SyncOptions::heads`].
    pub is_newer: bool,
    /// Files of the target that no repository has.
    pub foreign: Count,
}

impl SyncReport {
    /// Whether the target has all that the source has.
    pub fn is_complete(&self) -> bool {
        self.bad.is_empty() && (!self.dry_run || (self.missing.objects == 0 && !self.is_new))
    }
}

/// Copies what `target` lacks of `source`. Needs no key.
///
/// # Errors
/// [`Error::RepositoryMissing`] if the source has none, [`Error::Usage`] and
/// [`Error::LocationNotEmpty`] if the target holds something else, [`Error::Busy`] if the source
/// changes too much, the storages', and [`Error::Cancelled`]. Damage is no error: it is in the
/// report.
pub fn sync(
    source: &dyn Storage,
    target: &dyn Storage,
    options: &SyncOptions,
    runtime: &Runtime,
) -> Result<SyncReport> {
    let repo_id = repository_at(source)?;
    let report = SyncReport {
        dry_run: options.dry_run,
        from: source.location().to_owned(),
        to: target.location().to_owned(),
        ..SyncReport::default()
    };
    let budget = Budget::default();
    let fetcher = Fetcher { source, others: &options.others, repo_id, budget };
    let threads = threads([source, target]);
    let heads = &options.heads[..];
    let report = Mutex::new(report);
    let mut copier =
        Copier { fetcher, target, threads, runtime, heads, report, vanished: Mutex::default() };
    for round in 1.. {
        runtime.progress.phase(Phase::Comparing);
        let there = Contents::list(target)?;
        check_is_of(target, &there, repo_id, source)?;
        let plan = Plan::make(source, &there, heads, &runtime.cancel)?;
        copier.note(&plan, &there, round == 1);
        if options.dry_run {
            break;
        }
        runtime.progress.phase(Phase::Copying);
        runtime.progress.expect(plan.missing.objects, plan.missing.bytes);
        if copier.copy(&plan, &there, repo_id, round == ROUNDS_MAX)? {
            copier.delete(&options.deletes, &there)?;
            break;
        }
    }
    Ok(copier.report.into_inner())
}

/// Copies what a mirror lacks of keys and configuration: they change without a backup. Older
/// configurations than the newest, which the source does not have any more, go: only for who has
/// just written that one.
///
/// # Errors
/// As [`sync()`].
pub fn sync_keys(source: &dyn Storage, target: &dyn Storage, runtime: &Runtime) -> Result<()> {
    let (repo_id, budget) = (repository_at(source)?, Budget::default());
    let there = Contents::list_keys(target)?;
    check_is_of(target, &there, repo_id, source)?;
    let plan = Plan::of_keys(source, &there)?;
    let fetcher = Fetcher { source, others: &[], repo_id, budget };
    let (report, vanished) = (Mutex::default(), Mutex::default());
    let copier = Copier { fetcher, target, threads: 1, runtime, heads: &[], report, vanished };
    copier.all(&plan.keys, |lack| copier.one(lack))?;
    let listed = list_sorted(source, CONFIG_FOLDER)?;
    // The generation comes first in their names.
    let is_old = |name: &&String| {
        name.starts_with(CONFIG_FOLDER)
            && listed.last().is_some_and(|newest| **name < newest.name)
            && listed.iter().all(|meta| meta.name != **name)
    };
    for name in there.others.keys().filter(is_old) {
        target.delete(name)?;
    }
    Ok(())
}

struct Copier<'a> {
    fetcher: Fetcher<'a>,
    target: &'a dyn Storage,
    threads: usize,
    runtime: &'a Runtime,
    heads: &'a [String],
    report: Mutex<SyncReport>,
    /// Objects that the source listed and does not have any more.
    vanished: Mutex<Vec<String>>,
}

impl Copier<'_> {
    fn note(&self, plan: &Plan, there: &Contents, is_first: bool) {
        let mut report = self.report.lock();
        report.source = plan.source;
        if is_first {
            report.is_new = !there.has_repo();
            report.missing = plan.missing;
            report.extra = plan.extra;
            report.extra_keys = plan.extra_keys;
            report.is_newer = plan.is_older;
            report.foreign = there.foreign;
        }
    }

    /// Copies everything. Says no if objects vanished on the way and all has to be listed anew;
    /// if this `is_last`, they are taken for damaged instead.
    fn copy(
        &mut self,
        plan: &Plan,
        there: &Contents,
        repo_id: RepoId,
        is_last: bool,
    ) -> Result<bool> {
        self.all(&plan.keys, |lack| self.one(lack))?;
        self.all(&plan.packs, |lack| self.one(lack))?;
        let drop_lists = Mutex::new(Vec::new());
        self.all(&plan.index, |lack| {
            if self.index_object(lack)? {
                drop_lists.lock().push(lack.clone());
            }
            Ok(())
        })?;
        // Without them, what is listed may not be all that the records rely on.
        if !self.is_all_there(is_last) {
            return Ok(false);
        }
        match there.has_repo() {
            true => self.records_in_order(&plan.records)?,
            // Nobody opens it yet.
            false => self.all(&plan.records, |lack| self.one(lack))?,
        }
        let drop_lists = drop_lists.into_inner();
        if !drop_lists.is_empty() {
            self.check_not_newer(there)?;
        }
        self.all(&drop_lists, |lack| self.one(lack))?;
        if !self.is_all_there(is_last) {
            return Ok(false);
        }
        self.repo(there, repo_id)?;
        self.runtime.progress.expect_no_more();
        Ok(true)
    }

    fn all(&self, lacks: &[Lack], work: impl Fn(&Lack) -> Result<()> + Sync) -> Result<()> {
        for_each(lacks, self.threads, &self.runtime.cancel, work)
    }

    fn is_all_there(&mut self, is_last: bool) -> bool {
        let vanished = std::mem::take(self.vanished.get_mut());
        if is_last {
            let location = self.fetcher.source.location();
            let bad = vanished
                .iter()
                .map(|name| BadObject::new(name, location, "it is listed, and it is not there"));
            self.report.get_mut().bad.extend(bad);
            return true;
        }
        if !vanished.is_empty() {
            tracing::info!(objects = vanished.len(), "objects vanished, everything is listed anew");
        }
        vanished.is_empty()
    }

    /// Copies an object.
    fn one(&self, lack: &Lack) -> Result<()> {
        let name = lack.name();
        let found = self.fetcher.fetch(&name, lack.len)?;
        self.take(lack, &name, found, |_| true).map(|_| ())
    }

    /// Copies an object of the index, unless it is a drop list: then it says yes.
    fn index_object(&self, lack: &Lack) -> Result<bool> {
        let name = lack.name();
        let found = self.fetcher.fetch(&name, lack.len)?;
        let is_other = |bytes: &[u8]| type_of(bytes, &name) != Some(ObjectType::DropList);
        self.take(lack, &name, found, is_other).map(|is_taken| !is_taken)
    }

    /// Writes what was found, if it `is_wanted`. Says no if it is not.
    fn take(
        &self,
        lack: &Lack,
        name: &str,
        found: Found<'_>,
        is_wanted: impl Fn(&[u8]) -> bool,
    ) -> Result<bool> {
        let (bytes, _held, other) = match found {
            Found::Whole(bytes, held, other) => (bytes, held, other),
            Found::Vanished => {
                self.vanished.lock().push(name.to_owned());
                return Ok(true);
            }
            Found::Bad(bad) => {
                self.report.lock().bad.push(bad);
                self.runtime.progress.done(1, lack.len);
                return Ok(true);
            }
        };
        if !is_wanted(&bytes) {
            return Ok(false);
        }
        self.runtime.cancel.check()?;
        let mode = if lack.replaces { PutMode::Replace } else { PutMode::Content };
        self.target.put(name, &[&bytes], mode)?;
        let len = bytes.len() as u64;
        self.runtime.progress.transferred(len);
        self.runtime.progress.done(1, len);
        self.runtime.progress.detail("copied", name.as_bytes());
        let mut report = self.report.lock();
        report.copied.add(len);
        report.replaced += u64::from(lack.replaces);
        report.from_others += u64::from(other.is_some());
        Ok(true)
    }

    /// Copies records one after the other: none may be there before those that it names.
    fn records_in_order(&self, records: &[Lack]) -> Result<()> {
        let mut rest = records;
        while let (batch @ [_, ..], more) = rest.split_at(batch_len(rest)) {
            rest = more;
            let ahead: Vec<(&Lack, Mutex<Option<Found<'_>>>)> =
                batch.iter().map(|lack| (lack, Mutex::new(None))).collect();
            for_each(&ahead, self.threads, &self.runtime.cancel, |(lack, place)| {
                let found = self.fetcher.fetch(&lack.name(), lack.len)?;
                *place.lock() = Some(found.released());
                Ok(())
            })?;
            for (lack, found) in ahead {
                let Some(found) = found.into_inner() else { continue };
                self.take(lack, &lack.name(), found, |_| true)?;
            }
        }
        Ok(())
    }

    /// Puts `repo` where there is none, or a damaged one.
    fn repo(&self, there: &Contents, repo_id: RepoId) -> Result<()> {
        if there.has_repo() && repo_flaw(self.target, repo_id)?.is_none() {
            return Ok(());
        }
        let bytes = self.fetcher.repo()?;
        prove("repo", &bytes, repo_id).map_err(|flaw| Error::damaged("repo", flaw))?;
        self.target.put("repo", &[&bytes], PutMode::Replace)?;
        Ok(())
    }

    /// Lets go of what was deleted at the source, in the order of `names`; packs that follow each
    /// other go at once.
    fn delete(&self, names: &[String], there: &Contents) -> Result<()> {
        let is_pack = |name: &String| matches!(Kind::of(name), Kind::Pack(..));
        let names: Vec<&String> = names.iter().filter(|n| there.len_of(n).is_some()).collect();
        if !names.is_empty() {
            self.check_not_newer(there)?;
        }
        for alike in names.chunk_by(|a, b| is_pack(a) && is_pack(b)) {
            for_each(alike, self.threads, &self.runtime.cancel, |name| self.delete_one(name))?;
        }
        Ok(())
    }

    /// Refuses a target with records that the source knows nothing of: it was written to while
    /// the source was not, and would lose what only these need.
    fn check_not_newer(&self, there: &Contents) -> Result<()> {
        let source = self.fetcher.source;
        let listed = list_sorted(source, "snapshots/")?;
        if !there.is_newer_than(listed.iter().map(|meta| meta.name.as_str()), self.heads) {
            return Ok(());
        }
        let (to, from) = (self.target.location(), source.location());
        Err(Error::usage_hint(
            format!("`{to}` has newer snapshots than `{from}`"),
            format!(
                "nothing is deleted there; bring them here first: \
                 `larder mirror sync --from {to} --to {from}`"
            ),
        ))
    }

    fn delete_one(&self, name: &str) -> Result<()> {
        match self.fetcher.source.head(name) {
            // It came back.
            Ok(_) => return Ok(()),
            Err(error) if error.kind == StorageErrorKind::Missing => {}
            Err(error) => return Err(error.into()),
        }
        match self.target.delete(name) {
            Ok(()) => self.report.lock().deleted += 1,
            // It may never be allowed: what stays is no reason to fail each time.
            Err(error) if error.kind == StorageErrorKind::Denied => {
                self.report.lock().retained += 1;
                return Ok(());
            }
            Err(error) => return Err(error.into()),
        }
        self.runtime.progress.detail("deleted", name.as_bytes());
        Ok(())
    }
}

/// How many records are read ahead: not many, and few if they are large.
fn batch_len(records: &[Lack]) -> usize {
    let mut bytes = 0;
    let fits = |lack: &&Lack| {
        bytes += lack.len;
        bytes <= RECORDS_AHEAD_BYTES
    };
    records.iter().take(RECORDS_AHEAD).take_while(fits).count().max(1).min(records.len())
}
