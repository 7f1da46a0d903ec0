//! One backup run from start to commit.

use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use parking_lot::{Condvar, Mutex};

use super::collect::{Collected, collect};
use super::emit::Emitter;
use super::manifest::ManifestWriter;
use super::options::{BackupOptions, StdinSource};
use super::parent::{self, Parent, ParentEntries};
use super::report::BackupReport;
use super::sink::{Sink, WouldAdd};
use super::worker::{Job, Worker};
use crate::error::{Error, Result};
use crate::format::log::{Moment, ParentRecord, SnapshotBody, series, strategy_number};
use crate::format::record::Bin;
use crate::model::{BackupId, BackupStrategy, Content, Entry, FileKind, Owner, Time, XattrsRef};
use crate::repository::{
    Added, Findings, NewSnapshot, PackWriter, Repository, Session, SnapshotList, WriterOptions,
};
use crate::runtime::{Issue, IssueKind, Phase, Runtime};
use crate::source::{FileId, Item, Walk, WalkOptions};
use crate::storage::Location;

/// Jobs that may be under way between the emitter and the collector.
const WINDOW: u64 = 512;

/// Backs up sources into a repository and commits a snapshot.
///
/// Source files that cannot be read are reported to `runtime.progress`, counted and left out;
/// the snapshot is `partial` then. Packs stored before an error or a cancellation stay in the
/// index, and the next run goes on from them.
///
/// # Errors
/// [`Error::SourcesMissing`], [`Error::Usage`], [`Error::Cancelled`], and storage's: no snapshot
/// is committed then.
pub fn backup(
    repository: &Repository,
    options: &BackupOptions,
    runtime: &Runtime,
) -> Result<BackupReport> {
    let started = Instant::now();
    let start_ns = runtime.clock.now_ns();
    let racy_since = parent::racy_since(start_ns)?;
    let id = BackupId(runtime.random.bytes());
    let host = options.host.clone().unwrap_or_else(host_name);
    let roots = roots(options)?;
    runtime.progress.phase(Phase::Opening);

    // Nothing is announced before it is known that there is something to do.
    let walk = match &options.stdin {
        Some(_) => None,
        None => Some(Walk::start(&options.sources, &walk_options(repository, options), runtime)?),
    };
    let (session, findings) = if options.dry_run {
        (None, Findings { bad: repository.load_index()?, ..Findings::default() })
    } else {
        let (session, findings) = repository.begin_session("snapshot", &host, runtime)?;
        (Some(session), findings)
    };
    let ran = run_session(Run {
        repository,
        options,
        runtime,
        session: session.as_ref(),
        findings: &findings,
        id,
        host,
        roots,
        racy_since,
        start_ns,
        started,
        walk,
    });
    if let Some(session) = session
        && let Err(error) = session.end()
    {
        // The snapshot is valid without this.
        tracing::warn!("the session could not be closed: {error}");
    }
    ran
}

struct Run<'a> {
    repository: &'a Repository,
    options: &'a BackupOptions,
    runtime: &'a Runtime,
    session: Option<&'a Session>,
    findings: &'a Findings,
    id: BackupId,
    host: String,
    roots: Vec<Bin>,
    racy_since: Moment,
    start_ns: i128,
    started: Instant,
    walk: Option<Walk>,
}

fn run_session(mut run: Run<'_>) -> Result<BackupReport> {
    let (repository, options, runtime) = (run.repository, run.options, run.runtime);
    let mut warnings = 0;
    let mut warn = |message: String| {
        warnings += 1;
        runtime.progress.issue(&Issue { kind: IssueKind::Warning, path: Vec::new(), message });
    };
    for error in &run.findings.bad {
        warn(format!("left out of this run: {error}"));
    }
    let list = repository.snapshots()?;
    for error in &list.bad {
        warn(format!("a snapshot cannot be read: {error}"));
    }
    let series_id = series(&run.host, &run.roots);
    let (strategy, parent) =
        parent::choose(repository, &list, series_id, options.strategy, &mut warn)?;
    if let Some(parent) = &parent {
        let body = &parent.snapshot.body;
        runtime.progress.estimate(body.entries, body.bytes);
    }

    let writer_options =
        WriterOptions { compression: options.compression, pack_target: options.pack_target };
    let writer = run.session.map(|_| repository.pack_writer(&writer_options, runtime));
    runtime.progress.phase(Phase::BackingUp);
    let walk = run.walk.take();
    let would_add = WouldAdd::new();
    let collected = pipeline(&run, walk, parent.as_ref(), writer.as_ref(), &would_add);
    runtime.progress.phase(Phase::Committing);
    // Whatever happened: what was stored is uploaded and named, so it need not be stored again.
    let added = match writer.map(PackWriter::finish).transpose() {
        Ok(added) => added.unwrap_or_else(|| would_add.added()),
        // A failed upload is the reason why the pipeline stopped.
        Err(error) => return Err(error),
    };
    let mut collected = collected?;
    runtime.cancel.check()?;
    collected.stats.set_added(&added);
    collected.stats.warnings += warnings;
    let mut report = BackupReport {
        snapshot: None,
        strategy,
        parent: parent.as_ref().map(|p| p.snapshot.id),
        stats: collected.stats,
        duration: run.started.elapsed(),
        lost_packs: run.findings.lost_packs,
        adopted_packs: run.findings.adopted_packs,
    };
    if let Some(session) = run.session {
        let body = snapshot_body(&run, strategy, parent.as_ref(), collected, &added);
        report.snapshot = Some(commit(&run, body, session, &list)?);
        // The backup is done; a merge that fails is tried again by the next one.
        if let Err(error) = repository.compact_index(runtime) {
            tracing::warn!("the index could not be merged: {error}");
        }
    }
    report.duration = run.started.elapsed();
    Ok(report)
}

fn commit(
    run: &Run<'_>,
    body: SnapshotBody,
    session: &Session,
    list: &SnapshotList,
) -> Result<crate::repository::Snapshot> {
    let user = run.options.user.clone().unwrap_or_else(user_name);
    let new = NewSnapshot { id: run.id, host: run.host.clone(), user, body };
    run.repository.commit_snapshot(new, session, list, run.runtime)
}

fn snapshot_body(
    run: &Run<'_>,
    strategy: BackupStrategy,
    parent: Option<&Parent>,
    collected: Collected,
    added: &Added,
) -> SnapshotBody {
    let options = run.options;
    let Collected { root, stats, errors } = collected;
    let mut excludes = options.walk.exclude.clone();
    excludes.extend(options.walk.iexclude.iter().cloned());
    SnapshotBody {
        strategy: strategy_number(strategy),
        roots: run.roots.clone(),
        series: series(&run.host, &run.roots),
        tags: options.tags.clone(),
        description: options.description.clone(),
        start_ms: i64::try_from(run.start_ns.div_euclid(1_000_000)).unwrap_or(i64::MAX),
        end_ms: run.runtime.clock.now_ms(),
        racy_since: run.racy_since.clone(),
        root: root.root,
        depth: root.depth,
        entries: root.entries,
        files: root.files,
        folders: root.folders,
        bytes: root.bytes,
        added_bytes: added.plain_bytes,
        added_stored: added.stored_bytes,
        added_chunks: added.chunks,
        parent: parent.map(|p| ParentRecord { id: p.snapshot.id, root: p.snapshot.body.root }),
        base_full: parent.and_then(|p| p.base_full),
        excludes,
        errors,
        error_count: stats.errors,
        partial: stats.errors > 0,
    }
}

/// Runs emitter, workers and collector until all is collected or something stops them.
fn pipeline(
    run: &Run<'_>,
    walk: Option<Walk>,
    parent: Option<&Parent>,
    writer: Option<&PackWriter>,
    would_add: &WouldAdd,
) -> Result<Collected> {
    let (repository, options, runtime) = (run.repository, run.options, run.runtime);
    let cpus = || std::thread::available_parallelism().map_or(1, Into::into);
    let workers = options.readers.map_or_else(cpus, Into::into).min(64);
    let control = Control::default();
    let (job_sender, jobs) = crossbeam_channel::bounded(workers * 4);
    let (done_sender, done) = crossbeam_channel::unbounded();
    std::thread::scope(|scope| {
        let control = &control;
        if parent.is_none() && walk.is_some() && runtime.progress.wants_estimate() {
            scope.spawn(move || estimate(run, control));
        }
        for _ in 0..workers {
            let sink = Sink::new(repository, writer, would_add);
            let worker = Worker::new(repository, runtime, control, sink, done_sender.clone());
            let jobs = jobs.clone();
            scope.spawn(move || worker.run(&jobs));
        }
        // The queues end when their last sender is gone.
        drop(done_sender);
        drop(jobs);
        let manifest = ManifestWriter::with_sink(Sink::new(repository, writer, would_add));
        let progress = &*runtime.progress;
        let collector = scope.spawn(move || collect(&done, manifest, control, progress));
        let emitted = match (&options.stdin, walk) {
            (Some(source), _) => emit_stream(run, source, &job_sender),
            (None, Some(walk)) => {
                let entries = ParentEntries::new(repository, parent);
                Emitter::new(repository, options, runtime, control, job_sender.clone(), entries)
                    .run(walk)
                    .map(|_| ())
            }
            (None, None) => Ok(()),
        };
        drop(job_sender);
        if let Err(error) = emitted {
            control.stop(error);
        }
        let collected = collector
            .join()
            .map_err(|_| Error::Internal { what: "the collector panicked".into() })?;
        control.over.store(true, Ordering::Relaxed);
        // The collector was given the reason, if it noticed.
        collected
    })
}

/// Walks the sources ahead of the run, only to count: somebody is watching, and wants to know how
/// long it will take.
fn estimate(run: &Run<'_>, control: &Control) {
    let options = WalkOptions { threads: Some(0), ..walk_options(run.repository, run.options) };
    let Ok(walk) = Walk::start(&run.options.sources, &options, run.runtime) else { return };
    let (mut entries, mut bytes) = (0, 0);
    for item in walk {
        match item {
            Ok(Item::Entry(entry)) => {
                entries += 1;
                if entry.stat.kind == FileKind::File {
                    bytes += entry.stat.size;
                }
            }
            Ok(Item::Failed(_)) => {}
            Err(_) => return,
        }
        if control.is_stopped() || control.is_over() {
            return;
        }
    }
    run.runtime.progress.estimate(entries, bytes);
}

/// A stream is one file in the root of its snapshot.
fn emit_stream(
    run: &Run<'_>,
    source: &Arc<StdinSource>,
    jobs: &crossbeam_channel::Sender<Job>,
) -> Result<()> {
    let secs = i64::try_from(run.start_ns.div_euclid(1_000_000_000)).unwrap_or(0);
    let now = Time { secs, nanos: run.start_ns.rem_euclid(1_000_000_000) as u32 };
    let entry = Entry {
        path: source.name.clone(),
        kind: FileKind::File,
        mode: 0o600,
        owner: Arc::new(Owner {
            uid: rustix::process::getuid().as_raw(),
            gid: rustix::process::getgid().as_raw(),
            ..Owner::default()
        }),
        mtime: now,
        ctime: now,
        atime: None,
        inode: 0,
        nlink: 1,
        size: 0,
        content: Content::None,
        link_to: None,
        sparse: false,
        torn: false,
        inode_flags: 0,
        xattrs: XattrsRef::None,
        device: None,
    };
    run.runtime.progress.expect(1, 0);
    let _ = jobs.send(Job::Stream { seq: 0, entry: Box::new(entry), source: Arc::clone(source) });
    Ok(())
}

/// The walk of a run leaves out the repository itself: it grows while it is read.
fn walk_options(repository: &Repository, options: &BackupOptions) -> WalkOptions {
    let mut walk = options.walk.clone();
    let folder = Location::parse(repository.location()).ok();
    let folder = folder.as_ref().and_then(|location| location.as_path());
    if let Some(meta) = folder.and_then(|path| std::fs::metadata(path).ok()) {
        walk.exclude_ids.push(FileId { dev: meta.dev(), inode: meta.ino() });
    }
    walk
}

/// The roots of a snapshot: absolute paths, or the name of a stream.
fn roots(options: &BackupOptions) -> Result<Vec<Bin>> {
    if let Some(stdin) = &options.stdin {
        if stdin.name.is_empty() || !crate::model::entry::is_valid_path(&stdin.name) {
            return Err(Error::usage_hint(
                format!("`{}` is no file name", crate::model::escape_bytes(&stdin.name)),
                "give standard input a name like `dump.sql`",
            ));
        }
        return Ok(vec![Bin([b"stdin:", &stdin.name[..]].concat())]);
    }
    if options.sources.is_empty() {
        return Err(Error::usage_hint("there is nothing to back up", "name a file or folder"));
    }
    let mut roots: Vec<Bin> = options
        .sources
        .iter()
        .map(|source| Bin(source.to_path().as_os_str().as_bytes().to_vec()))
        .collect();
    roots.sort();
    roots.dedup();
    Ok(roots)
}

fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

fn user_name() -> String {
    let uid = rustix::process::getuid().as_raw();
    let names = crate::fsmeta::OwnerNames::load();
    names.user(uid).map_or_else(|| uid.to_string(), |name| name.to_string())
}

/// Stops all threads of a run, and keeps the emitter from running too far ahead of the collector.
#[derive(Default)]
pub(super) struct Control {
    stopped: AtomicBool,
    over: AtomicBool,
    failure: Mutex<Option<Error>>,
    collected: Mutex<u64>,
    moved: Condvar,
}

impl Control {
    /// Ends the run; the first reason counts.
    pub(super) fn stop(&self, error: Error) {
        self.failure.lock().get_or_insert(error);
        self.stopped.store(true, Ordering::SeqCst);
        // With the lock held once, nobody is between looking at the flag and waiting.
        drop(self.collected.lock());
        self.moved.notify_all();
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Relaxed)
    }

    /// Whether everything was collected.
    fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    /// Fails if the run was stopped, with the first reason. Asked once, by the collector.
    pub(super) fn check(&self) -> Result<()> {
        if !self.is_stopped() {
            return Ok(());
        }
        Err(self.failure.lock().take().unwrap_or(Error::Cancelled { signal: None }))
    }

    /// All jobs below `next` are in the manifest.
    pub(super) fn collected(&self, next: u64) {
        *self.collected.lock() = next;
        self.moved.notify_all();
    }

    /// Waits until job `seq` is not too far ahead.
    pub(super) fn wait_for_window(&self, seq: u64) {
        let mut collected = self.collected.lock();
        while seq >= *collected + WINDOW && !self.is_stopped() {
            self.moved.wait(&mut collected);
        }
    }
}
