//! Making backups.

use crate::archive::{self, BackupOptions, BackupReport};
use crate::error::{CannotChange, Error, Result};
use crate::fsmeta::host_name;
use crate::manager::history::{NewRun, RunEnd, RunStats};
use crate::mirror::SyncReport;
use crate::model::{BackupId, BackupStatus, BackupStrategy};
use crate::runtime::{CancelToken, Runtime};
use crate::storage::MirrorState;
use crate::tree::shown_root;

use super::BackupManager;

/// A backup that is wanted.
#[derive(Clone, Default)]
pub struct BackupRequest {
    /// What it takes.
    pub options: BackupOptions,
    /// Clock, randomness, who is told how it goes, and how it is stopped.
    pub runtime: Runtime,
    /// The schedule that wants it.
    pub schedule_id: Option<String>,
    /// How many tries that failed came before it.
    pub retries: u32,
    /// Leaves mirrors that were not written in the run as they are; else they are brought up to
    /// date after its commit.
    pub no_mirror_sync: bool,
}

impl BackupManager {
    /// A request for a backup of the manager's own sources, with a cancel token of its own.
    pub fn request(&self, strategy: BackupStrategy) -> BackupRequest {
        let options = self.options();
        BackupRequest {
            options: BackupOptions { strategy, id: None, ..options.backup.clone() },
            runtime: Runtime { cancel: CancelToken::default(), ..options.runtime.clone() },
            schedule_id: None,
            retries: 0,
            no_mirror_sync: false,
        }
    }

    /// Backs up the manager's own sources, and returns the id of the backup.
    ///
    /// Calls at the same time all run, and each makes a snapshot of its own. Files that cannot be
    /// read are left out and counted ([`Backup::errors`](crate::model::Backup::errors)).
    ///
    /// # Errors
    /// As [`archive::backup`]. The run is listed as failed then.
    pub fn create_backup(&self, strategy: BackupStrategy) -> Result<BackupId> {
        let cancel = self.options().runtime.cancel.clone();
        let request = self.request(strategy);
        let runtime = Runtime { cancel, ..request.runtime.clone() };
        let report = self.create_backup_with(&BackupRequest { runtime, ..request })?;
        let snapshot = report.snapshot.ok_or_else(|| {
            let hint = "ask for it with `create_backup_with`, which returns what it would store";
            Error::usage_hint("a dry run makes no backup", hint)
        })?;
        Ok(snapshot.id)
    }

    /// Backs up as `request` says.
    ///
    /// # Errors
    /// As [`archive::backup`]. The run is listed as failed then.
    pub fn create_backup_with(&self, request: &BackupRequest) -> Result<BackupReport> {
        self.run(request, BackupStatus::InProgress)
    }

    /// Lists a backup that was refused before it began as failed.
    pub(in crate::manager) fn list_refused(&self, request: &BackupRequest, error: &Error) {
        let id = BackupId(request.runtime.random.bytes());
        let mut run = self.remember(&new_run(id, request, BackupStatus::InProgress));
        run.finish(&RunEnd::Failed(error.in_full()));
    }

    /// Makes a backup; with `status` pending, one that is listed already and waits for its turn.
    pub(super) fn run(
        &self,
        request: &BackupRequest,
        status: BackupStatus,
    ) -> Result<BackupReport> {
        let mut options = request.options.clone();
        let runtime = &request.runtime;
        let id = *options.id.get_or_insert_with(|| BackupId(runtime.random.bytes()));
        if options.dry_run {
            return archive::backup(self.repository(), &options, runtime);
        }
        let remembered = match status {
            BackupStatus::Pending => self.remember_start(id, runtime),
            _ => self.remember(&new_run(id, request, status)),
        };
        let result = archive::backup(self.repository(), &options, runtime)
            .map(|report| self.write_mirrors_after(report, request));
        remembered.end(&result);
        result
    }

    /// The snapshot is committed. Mirrors that were left for later get it now; whatever keeps them
    /// from it makes them mirrors that missed the run, and no failure of the backup.
    fn write_mirrors_after(
        &self,
        mut report: BackupReport,
        request: &BackupRequest,
    ) -> BackupReport {
        let behind = report.mirrors.mirrors.iter().filter(|mirror| mirror.is_behind);
        let behind: Vec<String> = behind.map(|mirror| mirror.name.clone()).collect();
        if behind.is_empty() || request.no_mirror_sync {
            return report;
        }
        let synced = self.mirrors().sync(&behind, false, &request.runtime);
        let synced = synced.unwrap_or_else(|error| {
            tracing::warn!("mirrors are not synchronised: {}", error.in_full());
            Vec::new()
        });
        for one in synced {
            let of_it = |mirror: &&mut MirrorState| mirror.name == one.name;
            let Some(mirror) = report.mirrors.mirrors.iter_mut().find(of_it) else { continue };
            note_synced(mirror, one.outcome);
            if let Some(mirrors) = self.repository().mirrors() {
                mirrors.synchronised(mirror);
            }
        }
        report
    }

    /// Remembers a run. One that cannot be remembered is made all the same.
    pub(super) fn remember(&self, run: &NewRun) -> Remembered<'_> {
        let remembered = Remembered { manager: self, id: run.backup_id, is_open: true };
        remembered.told(self.run_history().begin(run));
        remembered
    }

    fn remember_start(&self, id: BackupId, runtime: &Runtime) -> Remembered<'_> {
        let remembered = Remembered { manager: self, id, is_open: true };
        remembered.told(self.run_history().started(id, runtime.clock.now_ms()));
        remembered
    }
}

fn note_synced(mirror: &mut MirrorState, outcome: Result<SyncReport>) {
    mirror.left = match outcome {
        Ok(synced) => {
            mirror.caught_up += synced.copied.objects;
            mirror.is_complete = synced.is_complete();
            let damaged = "what it lacks is damaged in the repository";
            (!mirror.is_complete).then(|| damaged.to_owned())
        }
        Err(error) => Some(error.in_full()),
    };
}

/// What the history says of a run before it starts.
pub(super) fn new_run(id: BackupId, request: &BackupRequest, status: BackupStatus) -> NewRun {
    let options = &request.options;
    let sources = match &options.stdin {
        Some(stdin) => vec![shown_root(&[b"stdin:", &stdin.name[..]].concat())],
        None => options.sources.iter().map(|s| shown_root(s.manifest_path())).collect(),
    };
    NewRun {
        backup_id: id,
        schedule_id: request.schedule_id.clone(),
        attempt: request.retries.saturating_add(1),
        strategy: options.strategy,
        status,
        started_ms: request.runtime.clock.now_ms(),
        host: options.host.clone().unwrap_or_else(host_name),
        sources,
        tags: options.tags.clone(),
        description: options.description.clone(),
    }
}

/// A run that the history shows as going on, until it is told how it ended.
pub(super) struct Remembered<'m> {
    manager: &'m BackupManager,
    id: BackupId,
    is_open: bool,
}

impl Remembered<'_> {
    fn end(mut self, result: &Result<BackupReport>) {
        let end = match result {
            Ok(report) => RunEnd::Completed(stats(report)),
            // Nothing can ever be backed up there: that is no backup that failed.
            Err(Error::Storage(error)) if error.source.is::<CannotChange>() => {
                self.is_open = false;
                return self.told(self.manager.run_history().remove(self.id));
            }
            Err(error) => RunEnd::Failed(error.in_full()),
        };
        self.finish(&end);
    }

    pub(super) fn finish(&mut self, end: &RunEnd) {
        self.is_open = false;
        let now_ms = self.manager.options().runtime.clock.now_ms();
        self.told(self.manager.run_history().finish(self.id, now_ms, end));
    }

    fn told(&self, result: Result<()>) {
        if let Err(error) = result {
            tracing::warn!("the history does not show this run as it is: {}", error.in_full());
        }
    }
}

/// Whatever ends a run without a word, a panic above all: it does not go on.
impl Drop for Remembered<'_> {
    fn drop(&mut self) {
        if self.is_open {
            self.finish(&RunEnd::Failed("it was broken off by a mistake in the program".into()));
        }
    }
}

fn stats(report: &BackupReport) -> RunStats {
    let Some(snapshot) = &report.snapshot else { return RunStats::default() };
    RunStats {
        files: snapshot.body.files,
        bytes: snapshot.body.bytes,
        bytes_read: report.stats.bytes_read,
        bytes_stored: report.stats.bytes_stored,
        errors: report.stats.errors,
        object_name: Some(snapshot.object_name.clone()),
        mirrors_missed: report.mirrors.missed().map(|mirror| mirror.name.clone()).collect(),
    }
}
