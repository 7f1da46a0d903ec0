//! Archives into the repository: each becomes a snapshot of its own.
//!
//! Nothing is unpacked on the way: members are cut and stored as they are read, their entries are
//! sorted, and a manifest is made of them. An archive is a stranger: what its names, links, lengths
//! and sums could do is refused, counted and told, and how much it may unpack to is limited.
//!
//! An import is a full snapshot in a series of its own (its source is `import:NAME`), unless it is
//! put below a path, which is its source then. Files keep their times; change times and inode
//! numbers, which no archive has, are zero.

mod content;
mod detect;
mod intake;
mod limits;
mod links;
mod member;
mod name;
mod read;
mod sorter;
mod tar;
mod tree;
mod zip;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::BackupManager;
use super::bundle::{BundleOptions, import_bundle};
use crate::archive::StdinSource;
use crate::codec::Compression;
use crate::commit::commit;
use crate::error::{Error, Result};
use crate::format::log::{LogKind, SnapshotBody, series, strategy_number};
use crate::format::record::Bin;
use crate::fsmeta::{host_name, user_name};
use crate::model::{BackupId, BackupStrategy, escape_bytes};
use crate::repository::{
    Added, Author, NewSnapshot, PackWriter, Repository, Session, Snapshot, SnapshotList,
    WriterOptions,
};
use crate::runtime::{Phase, Runtime};
use crate::tree::{ARCHIVE_ROOT, ManifestWriter, Sink};
use intake::{Intake, Tally};
use limits::Budget;
use member::Stop;
use read::Opened;
use tree::Built;

pub use detect::ImportFormat;
pub use limits::ImportLimits;

/// The tag of snapshots that were imported.
pub const IMPORTED_TAG: &str = "imported";

/// What to import, and how.
#[derive(Clone)]
pub struct ImportRequest {
    /// The archive.
    pub path: PathBuf,
    /// The archive as a stream, in place of the file. `path` is its name then.
    pub stream: Option<Arc<StdinSource>>,
    /// The host of the snapshot; `None` is this one.
    pub host: Option<String>,
    /// Its tags, beside [`IMPORTED_TAG`].
    pub tags: Vec<String>,
    /// A text about it; `None` names the archive.
    pub description: Option<String>,
    /// When the snapshot was made, milliseconds since 1970; `None` is now.
    pub time_ms: Option<i64>,
    /// The path that members are put below, as manifests have it; empty for none.
    pub root: Vec<u8>,
    /// Whether what can be read of a damaged archive is taken.
    pub keep_going: bool,
    /// What the archive may cost.
    pub limits: ImportLimits,
    /// How hard to compress what is stored.
    pub compression: Compression,
    /// Whether a bundle is imported although records of the repository are hidden or unreadable: one
    /// of them may say that a snapshot of it was forgotten.
    pub accept_history: bool,
    /// Clock, cancel token and progress.
    pub runtime: Runtime,
}

impl ImportRequest {
    /// A request for all of an archive.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            stream: None,
            host: None,
            tags: Vec::new(),
            description: None,
            time_ms: None,
            root: Vec::new(),
            keep_going: false,
            limits: ImportLimits::default(),
            compression: Compression::default(),
            accept_history: false,
            runtime: Runtime::default(),
        }
    }
}

/// What became of an import.
#[derive(Debug)]
pub struct ImportReport {
    /// The snapshot, or the newest of them.
    pub backup_id: BackupId,
    /// Its record.
    pub snapshot: Snapshot,
    /// What kind of archive it was.
    pub format: ImportFormat,
    /// Folders that had to be made up.
    pub made_up: u64,
    /// Members that are not in the snapshot; each was told to the progress.
    pub failed: u64,
    /// Things that are not quite as they were; each was told to the progress.
    pub warnings: u64,
    /// What is wrong with the archive, if it was imported all the same.
    pub damage: Option<String>,
    /// An older snapshot that holds exactly the same, if there is one.
    pub same_as: Option<BackupId>,
    /// What was stored.
    pub added: Added,
}

impl ImportReport {
    /// Whether all of the archive is in the snapshot.
    pub fn is_complete(&self) -> bool {
        self.failed == 0 && self.damage.is_none()
    }
}

impl BackupManager {
    /// Imports an archive, whatever kind it is, and returns the id of its snapshot; of a bundle, that
    /// of the newest.
    ///
    /// # Errors
    /// [`Error::Damaged`] if some of its members could not be taken (the snapshot with the rest is
    /// there, and names them), and those of [`BackupManager::import_backup_with`].
    pub fn import_backup(&self, path: impl AsRef<Path>) -> Result<BackupId> {
        let runtime = self.options().runtime.clone();
        let request = ImportRequest { runtime, ..ImportRequest::new(path.as_ref()) };
        let report = self.import_backup_with(&request)?;
        if !report.is_complete() {
            let what = format!(
                "{} of its members are not in snapshot {}",
                report.failed,
                report.backup_id.short()
            );
            return Err(Error::damaged(path.as_ref().display(), what));
        }
        Ok(report.backup_id)
    }

    /// Imports an archive or bundle. What of its members cannot be taken is told and counted. Of a
    /// bundle, the snapshots come as they are, and only compression, `accept_history` and runtime of
    /// the request count.
    ///
    /// # Errors
    /// [`Error::Usage`] for what is no archive, or one that is beyond its limits or in the
    /// repository itself; [`Error::History`] for a bundle, if records of the repository are hidden
    /// or unreadable; [`Error::Local`] if it cannot be read or is damaged;
    /// [`Error::Cancelled`], and the storage's. There is no snapshot then.
    pub fn import_backup_with(&self, request: &ImportRequest) -> Result<ImportReport> {
        let is_file = request.stream.is_none() && request.path.is_file();
        if is_file && ImportFormat::of_file(&request.path)? == ImportFormat::Larder {
            return self.import_from_bundle(request);
        }
        import(self.repository(), request)
    }

    /// All snapshots of a bundle, which
    /// [`ManagerOptions::bundle_unlocks`](super::ManagerOptions::bundle_unlocks) opens.
    fn import_from_bundle(&self, request: &ImportRequest) -> Result<ImportReport> {
        let (repository, unlocks) = (self.repository(), &self.options().bundle_unlocks);
        let options = BundleOptions {
            compression: request.compression,
            accept_history: request.accept_history,
            ..Default::default()
        };
        repository.load_index()?;
        let path = &request.path;
        let done = import_bundle(repository, path, unlocks, None, &options, &request.runtime)?;
        let newest = done.ids().last().ok_or_else(|| {
            Error::usage_hint(
                format!("no snapshot of `{}` could be imported", path.display()),
                "`larder import` says of each why",
            )
        })?;
        let list = repository.snapshots()?;
        let snapshot = list.snapshots.into_iter().find(|snapshot| snapshot.id == newest);
        let snapshot = snapshot
            .ok_or_else(|| Error::NotFound { what: "snapshot", name: newest.to_string() })?;
        Ok(ImportReport {
            backup_id: newest,
            snapshot,
            format: ImportFormat::Larder,
            made_up: 0,
            failed: done.failed(),
            warnings: 0,
            damage: done.damage.first().cloned(),
            same_as: None,
            added: Added { stored_bytes: done.stored_bytes, ..Added::default() },
        })
    }
}

/// Imports an archive into `repository`.
///
/// # Errors
/// As [`BackupManager::import_backup_with`].
pub fn import(repository: &Repository, request: &ImportRequest) -> Result<ImportReport> {
    let runtime = &request.runtime;
    let mut guard;
    let opened = match &request.stream {
        Some(stream) => {
            guard = stream.reader.lock();
            Opened::stream(Box::new(&mut *guard), request.path.display().to_string())?
        }
        None => {
            if repository.contains_path(&request.path) {
                return Err(Error::usage_hint(
                    format!("`{}` is a part of the repository itself", request.path.display()),
                    "import archives from elsewhere",
                ));
            }
            Opened::file(&request.path)?
        }
    };
    let format = opened.format;
    if format == ImportFormat::Larder {
        return Err(Error::usage_hint(
            format!("`{}` is a bundle", request.path.display()),
            "it is imported by `import_bundle` or `BackupManager::import_backup`",
        ));
    }
    runtime.progress.phase(Phase::Opening);
    let host = request.host.clone().unwrap_or_else(host_name);
    let (session, _) = repository.begin_session("import", &host, runtime)?;
    let imported = in_session(repository, request, opened, &host, &session);
    if let Err(error) = session.end() {
        // The snapshot is valid without this.
        tracing::warn!("the session could not be closed: {error}");
    }
    if imported.is_ok()
        && let Err(error) = repository.compact_index(runtime)
    {
        // The next run tries again.
        tracing::warn!("the index could not be merged: {error}");
    }
    imported
}

fn in_session(
    repository: &Repository,
    request: &ImportRequest,
    opened: Opened<'_>,
    host: &str,
    session: &Session,
) -> Result<ImportReport> {
    let runtime = &request.runtime;
    let start_ms = runtime.clock.now_ms();
    let known = repository.snapshots()?;
    let format = opened.format;
    let options = WriterOptions { compression: request.compression, ..WriterOptions::default() };
    let writer = repository.pack_writer(&options, runtime);
    runtime.progress.phase(Phase::BackingUp);
    let read = read_all(repository, request, opened, &writer);
    runtime.progress.phase(Phase::Committing);
    // Whatever happened: what was stored is named, so it need not be stored again.
    let added = writer.finish()?;
    let Read { built, tally, damage } = read.map_err(|stop| failure(stop, request))?;
    runtime.cancel.check()?;
    let same_as = same_as(&known, &built);
    let new = NewSnapshot {
        id: BackupId(runtime.random.bytes()),
        host: host.to_owned(),
        user: user_name(),
        body: SnapshotBody {
            end_ms: request.time_ms.unwrap_or_else(|| runtime.clock.now_ms()),
            ..body(request, host, start_ms, &built, &tally, damage.as_deref(), &added)
        },
    };
    let snapshot = commit(repository, session, new, &known, runtime)?;
    if request.time_ms.is_some() {
        // Storage sees it only now; whoever gave the time knows better.
        let author = Author { host: host_name(), user: user_name() };
        let kind = LogKind::Clear;
        repository.append_about(kind, &[&snapshot], "imported here", &author, &known, runtime)?;
    }
    Ok(ImportReport {
        backup_id: snapshot.id,
        snapshot,
        format,
        made_up: built.made_up,
        failed: tally.failed,
        warnings: tally.warnings,
        damage,
        same_as,
        added,
    })
}

/// What was read of an archive.
struct Read {
    built: Built,
    tally: Tally,
    damage: Option<String>,
}

fn read_all(
    repository: &Repository,
    request: &ImportRequest,
    opened: Opened<'_>,
    writer: &PackWriter,
) -> Result<Read, Stop> {
    let runtime = &request.runtime;
    let budget = Budget::new(request.limits, opened.count(), runtime.cancel.clone());
    let sink = Sink::storing(repository, writer);
    let mut intake = Intake::new(sink, &budget, request.root.clone(), runtime);
    let damage = opened.read(&mut intake, &budget, request.keep_going, runtime)?;
    runtime.progress.expect_no_more();
    let (mut store, sorter, links, mut tally) = intake.finish();
    store.sink.flush()?;
    let sorted = sorter.finish()?;
    let manifest = ManifestWriter::new(repository, writer);
    let built = tree::build(&sorted, &links, manifest, &budget, &mut |path, why| {
        tally.refuse(runtime, path, why);
    })?;
    if built.root.entries == 0 {
        return Err(Stop::Fatal(Error::usage_hint(
            format!("there is nothing in `{}` that can be imported", request.path.display()),
            "`larder snapshot` backs up a file as it is",
        )));
    }
    Ok(Read { built, tally, damage })
}

fn failure(stop: Stop, request: &ImportRequest) -> Error {
    let (what, hint) = match stop {
        Stop::Fatal(error) => return error,
        Stop::NoList(what) => (
            what,
            "nothing can be read without its list of files; `zip -FF FILE --out NEW.zip` may find \
             the files that are left",
        ),
        Stop::Damaged(what) if request.keep_going => (what, "nothing of it can be read"),
        Stop::Damaged(what) => {
            (what, "nothing was imported; `--keep-going` takes what can be read")
        }
    };
    let reason = format!("the archive is damaged: {what} ({hint})");
    let reason = std::io::Error::new(std::io::ErrorKind::InvalidData, reason);
    Error::local("import", &request.path, reason)
}

fn body(
    request: &ImportRequest,
    host: &str,
    start_ms: i64,
    built: &Built,
    tally: &Tally,
    damage: Option<&str>,
    added: &Added,
) -> SnapshotBody {
    use std::os::unix::ffi::OsStrExt;
    let name = request.path.file_name().unwrap_or(request.path.as_os_str()).as_bytes();
    let root = match request.root.is_empty() {
        true => [ARCHIVE_ROOT, name].concat(),
        false => [b"/", &request.root[..]].concat(),
    };
    let roots = vec![Bin(root)];
    let mut tags = request.tags.clone();
    if !tags.iter().any(|tag| tag == IMPORTED_TAG) {
        tags.push(IMPORTED_TAG.into());
    }
    let described = || format!("imported from {}", escape_bytes(name));
    SnapshotBody {
        strategy: strategy_number(BackupStrategy::Full),
        series: series(host, &roots),
        roots,
        tags,
        description: request.description.clone().unwrap_or_else(described),
        root: built.root.root,
        depth: built.root.depth,
        entries: built.root.entries,
        files: built.root.files,
        folders: built.root.folders,
        bytes: built.root.bytes,
        added_bytes: added.plain_bytes,
        added_stored: added.stored_bytes,
        added_chunks: added.chunks,
        errors: tally.errors.clone(),
        error_count: tally.failed + u64::from(damage.is_some() && tally.failed == 0),
        partial: tally.failed > 0 || damage.is_some(),
        ..SnapshotBody::new(request.time_ms.unwrap_or(start_ms))
    }
}

/// The newest snapshot that holds exactly the same entries.
fn same_as(known: &SnapshotList, built: &Built) -> Option<BackupId> {
    let is_same = |other: &&Snapshot| other.body.root == built.root.root;
    known.snapshots.iter().rev().find(is_same).map(|snapshot| snapshot.id)
}
