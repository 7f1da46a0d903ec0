//! One backup run from start to commit.

use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::time::Instant;

use super::collect::Collected;
use super::options::BackupOptions;
use super::parent::{self, Parent};
use super::pipeline::pipeline;
use super::report::BackupReport;
use crate::error::{Error, Result};
use crate::format::log::{Moment, ParentRecord, SnapshotBody, series, strategy_number};
use crate::format::record::Bin;
use crate::fsmeta::{host_name, user_name};
use crate::model::{BackupId, BackupStrategy};
use crate::repository::{
    Added, Findings, NewSnapshot, PackWriter, Repository, Session, SnapshotList, WriterOptions,
};
use crate::runtime::{Issue, IssueKind, Phase, Runtime};
use crate::source::{Excludes, FileId, SourcePath, Walk, WalkOptions};
use crate::storage::MirrorReport;
use crate::tree::WouldAdd;

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
    match backup_once(repository, options, runtime) {
        // The source is still there, so what a prune took is read again.
        Err(Error::Overtaken { what }) if options.stdin.is_none() => {
            tracing::warn!("{what}; starting anew");
            backup_once(repository, options, runtime)
        }
        ran => ran,
    }
}

fn backup_once(
    repository: &Repository,
    options: &BackupOptions,
    runtime: &Runtime,
) -> Result<BackupReport> {
    let started = Instant::now();
    let start_ns = runtime.clock.now_ns();
    let racy_since = parent::racy_since(start_ns)?;
    let id = options.id.unwrap_or_else(|| BackupId(runtime.random.bytes()));
    let host = options.host.clone().unwrap_or_else(host_name);
    let roots = roots(options)?;
    runtime.progress.phase(Phase::Opening);
    check_sources(repository, options)?;

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
    let snapshot = ran.as_ref().ok().and_then(|report| Some(report.snapshot.as_ref()?.id));
    let mirrors = repository.settle_mirrors(snapshot, runtime.clock.now_ms());
    ran.map(|report| BackupReport { mirrors, ..report })
}

pub(super) struct Run<'a> {
    pub(super) repository: &'a Repository,
    pub(super) options: &'a BackupOptions,
    pub(super) runtime: &'a Runtime,
    pub(super) session: Option<&'a Session>,
    pub(super) findings: &'a Findings,
    pub(super) id: BackupId,
    pub(super) host: String,
    pub(super) roots: Vec<Bin>,
    pub(super) racy_since: Moment,
    pub(super) start_ns: i128,
    pub(super) started: Instant,
    pub(super) walk: Option<Walk>,
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
    if let Some(folder) = own_folder_in_sources(repository, options)? {
        warn(format!("`{}` is left out: it is the repository itself", folder.display()));
    }
    let list = repository.snapshots()?;
    for error in &list.bad {
        warn(format!("a snapshot cannot be read: {error}"));
    }
    list.rollback.iter().for_each(|breach| warn(breach.to_string()));
    list.notices.iter().for_each(|notice| warn(notice.clone()));
    let series_id = series(&run.host, &run.roots);
    let (strategy, parent) =
        parent::choose(repository, &list, series_id, options.strategy, &mut warn)?;
    if let Some(parent) = &parent {
        let body = &parent.snapshot.body;
        runtime.progress.estimate(body.entries, body.bytes);
    }

    let writer_options = WriterOptions {
        compression: options.compression,
        pack_target: options.pack_target,
        ..WriterOptions::default()
    };
    let writer = run.session.map(|_| repository.pack_writer(&writer_options, runtime));
    runtime.progress.phase(Phase::BackingUp);
    let walk = run.walk.take();
    let would_add = WouldAdd::default();
    let collected = pipeline(&run, walk, parent.as_ref(), writer.as_ref(), &would_add);
    runtime.progress.phase(Phase::Committing);
    // Whatever happened: what was stored is uploaded and named, so it need not be stored again.
    let added = match writer.map(PackWriter::finish).transpose() {
        Ok(added) => added.unwrap_or_else(|| would_add.added()),
        // A failed upload is the reason why the pipeline stopped, unless that is why it failed.
        Err(Error::Storage(error)) if error.is_temporary() && runtime.cancel.is_cancelled() => {
            tracing::debug!("cancelled: {error}");
            runtime.cancel.check()?;
            return Err(error.into());
        }
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
        mirrors: MirrorReport::default(),
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
    crate::commit::commit(run.repository, session, new, list, run.runtime)
}

/// What a snapshot says of what was left out: patterns, and a line with `#` in front for each
/// filter that is no pattern, so that nobody takes the snapshot for all there was.
pub(crate) fn recorded_excludes(walk: &WalkOptions) -> Vec<String> {
    let mut all = walk.exclude.clone();
    all.extend(walk.iexclude.iter().cloned());
    let files = walk.exclude_file.iter().chain(&walk.iexclude_file);
    all.extend(files.map(|file| format!("# patterns of the file {}", file.display())));
    all.extend(walk.exclude_if_present.iter().map(|name| format!("# folders with {name}")));
    if let Some(bytes) = walk.exclude_larger_than {
        all.push(format!("# files larger than {bytes} bytes"));
    }
    let switches = [
        (walk.exclude_caches, "# cache folders"),
        (walk.exclude_nodump, "# what is marked nodump"),
        (walk.git_ignore, "# what .gitignore files name"),
        (walk.one_file_system, "# other file systems"),
    ];
    all.extend(switches.iter().filter(|(on, _)| *on).map(|(_, text)| (*text).to_string()));
    all
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
    let excludes = recorded_excludes(&options.walk);
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
        original: None,
    }
}

/// The walk of a run leaves out the repository itself and its mirrors, which grow while they are
/// read, and its local cache, which can be made again.
pub(super) fn walk_options(repository: &Repository, options: &BackupOptions) -> WalkOptions {
    let mut walk = options.walk.clone();
    let own = repository.folders().into_iter().chain(repository.temporary_folder());
    for meta in own.filter_map(|path| std::fs::metadata(path).ok()) {
        walk.exclude_ids.push(FileId { dev: meta.dev(), inode: meta.ino() });
    }
    walk
}

/// Refuses sources in the repository itself: a backup of stored data would grow with each run.
///
/// # Errors
/// [`Error::Usage`], naming the first.
fn check_sources(repository: &Repository, options: &BackupOptions) -> Result<()> {
    let in_repository = |source: &&SourcePath| {
        let path = source.to_path();
        // A link that is not followed is where it is, and not where it leads.
        let is_link = !source.follows_link() && path.is_symlink();
        let place = if is_link { path.parent().unwrap_or(&path) } else { &path };
        repository.contains_path(place)
    };
    let Some(source) = options.sources.iter().find(in_repository) else { return Ok(()) };
    Err(Error::usage_hint(
        format!("`{}` is in the repository that it would go to", source.to_path().display()),
        "back up your own files; `larder copy` copies snapshots to another repository",
    ))
}

/// The folder of the repository, if the walk comes by and no pattern leaves it out anyway.
fn own_folder_in_sources(
    repository: &Repository,
    options: &BackupOptions,
) -> Result<Option<PathBuf>> {
    let is_above = |source: &SourcePath| repository.is_below(&source.to_path());
    if !options.sources.iter().any(is_above) {
        return Ok(None);
    }
    let Some(folder) = repository.folder() else { return Ok(None) };
    let excludes = Excludes::new(&options.walk)?;
    let is_left_out = folder.ancestors().any(|path| {
        let Some(name) = path.file_name() else { return false };
        let path = path.strip_prefix("/").unwrap_or(path).as_os_str();
        excludes.exclude(path.as_bytes(), name.as_bytes(), true)
    });
    Ok((!is_left_out).then_some(folder))
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
