//! Backups as files that other programs read: zip, tar.zst, and bundles.
//!
//! An export holds what a backup protects in the open (but a bundle, which is encrypted): its file
//! can be read by its owner only. It is written under another name and gets its own at the end, so
//! that a part of an archive is never taken for the whole.

mod file;
mod format;
mod frames;

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::BackupManager;
use super::{BundleOptions, export_bundle};
use crate::error::{Error, Result};
use crate::model::BackupId;
use crate::repository::{Repository, Snapshot};
use crate::runtime::{Phase, Runtime};
use crate::tree::{Manifest, ZipOptions, write_tar, write_zip};
use file::{Existing, NewFile, folder_of};
use frames::FrameWriter;

pub use format::ExportFormat;

/// How hard zstd compresses an archive if nothing else is said.
const TAR_LEVEL: u32 = 3;
/// The same for zip.
const ZIP_LEVEL: u32 = 6;

/// What to export, and how.
#[derive(Clone)]
pub struct ExportRequest {
    /// Which backup.
    pub id: BackupId,
    /// The folder or file in it, as manifests have paths; empty for all of it.
    pub subtree: Vec<u8>,
    /// Which kind of archive.
    pub format: ExportFormat,
    /// The file to write; `None` makes one in the export folder.
    pub path: Option<PathBuf>,
    /// Whether a file that is there may be replaced.
    pub replace: bool,
    /// How hard to compress: 0 to 9 for zip, 1 to 22 for tar.zst and bundles; `None` picks.
    pub level: Option<u32>,
    /// Clock, cancel token and progress.
    pub runtime: Runtime,
}

impl ExportRequest {
    /// A request for all of a backup, into the export folder.
    pub fn new(id: BackupId, format: ExportFormat) -> Self {
        let runtime = Runtime::default();
        Self { id, subtree: Vec::new(), format, path: None, replace: false, level: None, runtime }
    }
}

/// What became of an export.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExportReport {
    /// The file; `None` if it went into a stream.
    pub path: Option<PathBuf>,
    /// Which kind of archive.
    pub format: ExportFormat,
    /// Entries in it.
    pub entries: u64,
    /// Bytes of files in it.
    pub bytes: u64,
    /// Length of the archive in bytes.
    pub archive_bytes: u64,
    /// Files and parts of the backup that could not be read: each was told to the progress, and
    /// parts of files are zeros.
    pub failed: u64,
    /// Entries that the format has no place for (devices in a zip archive), each told too.
    pub left_out: u64,
}

impl BackupManager {
    /// Exports a backup into the export folder, as `HOST-TIME-ID.EXTENSION`, and returns the path.
    ///
    /// # Errors
    /// [`Error::Damaged`] if something of it could not be read (the archive is there all the same,
    /// with the rest), and those of [`BackupManager::export_backup_with`].
    pub fn export_backup(&self, id: BackupId, format: ExportFormat) -> Result<PathBuf> {
        let runtime = self.options().runtime.clone();
        let request = ExportRequest { runtime, ..ExportRequest::new(id, format) };
        let report = self.export_backup_with(&request)?;
        let path = report.path.unwrap_or_default();
        if report.failed > 0 {
            let what = format!("{} of its files are not whole in the export", report.failed);
            return Err(Error::damaged(path.display(), what));
        }
        Ok(path)
    }

    /// Exports a backup, or a part of it.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Usage`] (a file that is there, no export folder, a place in
    /// the repository), [`Error::Local`] and [`Error::Cancelled`]: there is no file then.
    pub fn export_backup_with(&self, request: &ExportRequest) -> Result<ExportReport> {
        let repository = self.repository();
        let list = repository.snapshots()?;
        let found = list.snapshots.iter().find(|snapshot| snapshot.id == request.id);
        let snapshot = found
            .ok_or_else(|| Error::NotFound { what: "snapshot", name: request.id.to_string() })?;
        repository.load_index()?;
        let path = match &request.path {
            Some(path) => path.clone(),
            None => {
                let folder = self.options().export_folder.as_ref().ok_or_else(|| {
                    Error::usage_hint(
                        "the manager was opened without a folder for exports",
                        "give `ManagerOptions::export_folder`, or a path in the request",
                    )
                })?;
                folder.join(export_name(snapshot, request.format))
            }
        };
        if request.format == ExportFormat::Larder {
            return self.export_as_bundle(snapshot, path, request);
        }
        export(repository, snapshot, &ExportRequest { path: Some(path), ..request.clone() })
    }

    /// Sealed with [`ManagerOptions::bundle_unlocks`](super::ManagerOptions::bundle_unlocks).
    fn export_as_bundle(
        &self,
        snapshot: &Snapshot,
        path: PathBuf,
        request: &ExportRequest,
    ) -> Result<ExportReport> {
        if !request.subtree.is_empty() {
            return Err(Error::usage_hint(
                "a bundle holds whole snapshots",
                "export all of it, or a part as zip or tar.zst",
            ));
        }
        let mut options = BundleOptions { replace: request.replace, ..BundleOptions::default() };
        if let Some(level) = request.level {
            options.compression = level.to_string().parse().map_err(Error::usage)?;
        }
        let unlocks = &self.options().bundle_unlocks;
        let report = export_bundle(
            self.repository(),
            &[snapshot],
            &path,
            unlocks,
            &options,
            &request.runtime,
        )?;
        Ok(ExportReport {
            path: Some(path),
            format: request.format,
            entries: snapshot.body.entries,
            bytes: snapshot.body.bytes,
            archive_bytes: report.len,
            failed: 0,
            left_out: 0,
        })
    }
}

/// The name of a file for an export: `HOST-TIME-ID.EXTENSION`.
pub fn export_name(snapshot: &Snapshot, format: ExportFormat) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let plain = |c: char| if is_plain(c) { c } else { '_' };
    let host: String = snapshot.host.chars().take(64).map(plain).collect();
    let host = if host.is_empty() || host.starts_with('.') { format!("_{host}") } else { host };
    let time = jiff::Timestamp::from_millisecond(snapshot.body.start_ms).unwrap_or_default();
    let time = time.strftime("%Y%m%dT%H%M%SZ");
    format!("{host}-{time}-{}.{}", snapshot.id.short(), format.extension())
}

/// Exports `snapshot` into the file of the request, whose id does not matter. The index is loaded.
///
/// # Errors
/// As [`BackupManager::export_backup_with`].
pub fn export(
    repository: &Repository,
    snapshot: &Snapshot,
    request: &ExportRequest,
) -> Result<ExportReport> {
    let path = match &request.path {
        Some(path) => path.clone(),
        None => PathBuf::from(export_name(snapshot, request.format)),
    };
    if repository.contains_path(&path) {
        return Err(Error::usage_hint(
            format!("`{}` is in the repository itself", path.display()),
            "export to another folder",
        ));
    }
    check_level(request)?;
    let existing = if request.replace { Existing::Replace } else { Existing::Keep };
    let mut file = NewFile::create(&path, existing, &request.runtime)?;
    let mut report = write(repository, snapshot, request, &mut file, Some(folder_of(&path)))
        .map_err(|error| at_path(error, &path))?;
    request.runtime.cancel.check()?;
    request.runtime.progress.phase(Phase::Finishing);
    file.finish()?;
    report.path = Some(path);
    Ok(report)
}

/// Exports `snapshot` into a stream, without a look at the request's path and id. The index is
/// loaded.
///
/// # Errors
/// [`Error::NotFound`], [`Error::Local`] if `out` fails, [`Error::Cancelled`]; [`Error::Usage`] for
/// a bundle, which is no stream.
pub fn export_to(
    repository: &Repository,
    snapshot: &Snapshot,
    request: &ExportRequest,
    out: &mut dyn Write,
) -> Result<ExportReport> {
    check_level(request)?;
    write(repository, snapshot, request, out, None)
}

fn write(
    repository: &Repository,
    snapshot: &Snapshot,
    request: &ExportRequest,
    out: &mut dyn Write,
    spool_folder: Option<&Path>,
) -> Result<ExportReport> {
    let runtime = &request.runtime;
    let manifest = Manifest::of(snapshot);
    runtime.progress.phase(Phase::Restoring);
    if request.subtree.is_empty() {
        runtime.progress.expect(snapshot.body.entries, snapshot.body.bytes);
        runtime.progress.expect_no_more();
    }
    let mut report = ExportReport {
        path: None,
        format: request.format,
        entries: 0,
        bytes: 0,
        archive_bytes: 0,
        failed: 0,
        left_out: 0,
    };
    match request.format {
        ExportFormat::Zip => {
            let options = ZipOptions {
                level: request.level.unwrap_or(ZIP_LEVEL),
                spool_folder: spool_folder.map(Path::to_path_buf),
            };
            let folder = &request.subtree;
            let stats = write_zip(repository, &manifest, folder, out, &options, runtime)?;
            (report.entries, report.bytes) = (stats.entries, stats.bytes);
            (report.failed, report.left_out) = (stats.failed, stats.left_out);
            report.archive_bytes = stats.archive_bytes;
        }
        ExportFormat::TarZst => {
            let level = request.level.unwrap_or(TAR_LEVEL);
            let counted = Counted { out, written: 0 };
            let mut frames = FrameWriter::new(counted, i32::try_from(level).unwrap_or(i32::MAX));
            let folder = &request.subtree;
            let stats = write_tar(repository, &manifest, folder, &mut frames, runtime)?;
            let counted = frames.finish().map_err(|e| Error::local("write", "output", e))?;
            (report.entries, report.bytes) = (stats.entries, stats.bytes);
            report.failed = stats.failed;
            report.archive_bytes = counted.written;
        }
        ExportFormat::Larder => {
            return Err(Error::usage_hint(
                "a bundle is no archive: it has keys of its own",
                "make it with `export_bundle` or `BackupManager::export_backup`",
            ));
        }
    }
    Ok(report)
}

fn check_level(request: &ExportRequest) -> Result<()> {
    let range = match request.format {
        ExportFormat::Zip => 0..=9,
        ExportFormat::TarZst => 1..=22,
        ExportFormat::Larder => return Ok(()),
    };
    match request.level {
        Some(level) if !range.contains(&level) => Err(Error::usage_hint(
            format!("`{}` has no compression level {level}", request.format),
            format!("give one from {} to {}", range.start(), range.end()),
        )),
        _ => Ok(()),
    }
}

/// Names the file where the writer of an archive only knows of an output.
fn at_path(error: Error, path: &Path) -> Error {
    match error {
        Error::Local { action, path: at, source } if at == Path::new("output") => {
            Error::local(action, path, source)
        }
        error => error,
    }
}

/// Counts what is written.
struct Counted<'w> {
    out: &'w mut dyn Write,
    written: u64,
}

impl Write for Counted<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let len = self.out.write(bytes)?;
        self.written += len as u64;
        Ok(len)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}
