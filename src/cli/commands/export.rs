//! `larder export`: a snapshot, or a part of it, as one file that other programs read.

use std::ffi::OsString;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use serde::Serialize;

use super::bundle::{self, ExportBundle, ToSecretArgs};
use super::dump::Warnings;
use super::shared::{FilterArgs, resolve, words};
use crate::cli::Finish;
use crate::cli::context::Context;
use crate::cli::output::plural;
use crate::cli::output::progress::{Display, Job};
use crate::cli::select::warn_of_bad;
use crate::error::{Error, Result};
use crate::manager::{ExportFormat, ExportReport, ExportRequest, export, export_name, export_to};
use crate::model::{escape_bytes, format_bytes};
use crate::runtime::Runtime;

const EXAMPLES: &str = "\
Examples:
  larder export latest                             HOST-TIME-ID.tar.zst in this folder
  larder export latest -o friday.zip               the name says which kind
  larder export 4f1c:home/ann/photos -o photos.zip
  larder export --at '3 days ago' --host web --format tar.zst
  larder export latest:srv/www --format tar.zst -o - | ssh web 'tar --zstd -xf - -C /srv/www'
  larder export 4f1c 9b20 -o carry.larder --to-password-file its-password
  larder export --all --host web -o carry.larder

A zip archive opens on every system, but has no place for hard links (they become copies), extended
attributes, ACLs and devices. A tar.zst has all but sockets; what restores all of it, as root, is
`tar --zstd --acls --xattrs --xattrs-include='*' -xpf FILE` (or `bsdtar -xpf FILE`). Without
`--acls`, owner, group and others may do with a file what they could before, and what its ACL said
of anybody by name is lost.

Neither is encrypted: what was backed up lies in the file in the open, so only you may read it (mode
0600). Keep it where you would keep the files themselves.

A bundle (.larder) holds whole snapshots as they are stored: encrypted, each piece once, with a
password or key file of its own. It opens as a repository that is only read (`larder -r carry.larder
restore latest --target here`), and `larder import` brings its snapshots into another one.

What cannot be read is named, the rest is exported, and the exit code is 3.";

/// Write snapshots as one file: a zip or tar.zst archive, or a bundle
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ExportArgs {
    /// Snapshot: an id or its first digits, `latest`, `latest~2`, `ID:path/in/it`
    ///
    /// Several go into bundles only, and bundles take no paths.
    #[arg(value_name = "SNAPSHOT[:PATH]", required_unless_present_any = ["at", "all"])]
    snapshots: Vec<OsString>,

    /// All snapshots that fit the filters, into a bundle
    #[arg(long, conflicts_with_all = ["snapshots", "at"])]
    all: bool,

    /// Kind of archive; without it, what the name of the file says, else tar.zst
    #[arg(long, value_name = "KIND", value_parser = words::<ExportFormat>(&["zip", "tar.zst", "larder"]))]
    format: Option<ExportFormat>,

    /// File to write, or `-` for standard output; without it, HOST-TIME-ID.KIND in this folder
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,

    /// Replace the file if it is there already
    #[arg(long)]
    force: bool,

    /// How hard to compress: 0 to 9 for zip, 1 to 22 for tar.zst and bundles
    #[arg(long, value_name = "LEVEL")]
    level: Option<u32>,

    #[command(flatten)]
    filter: FilterArgs,

    #[command(flatten)]
    secret: ToSecretArgs,
}

pub(super) fn run(args: ExportArgs, context: &Context) -> Result<Finish> {
    let is_stream = args.output.as_deref() == Some(Path::new("-"));
    if is_stream && std::io::stdout().is_terminal() {
        return Err(Error::usage_hint(
            "an archive is nothing for a terminal",
            "write it to a file with `--output FILE`, or into a pipe",
        ));
    }
    let named = args.output.as_deref().and_then(ExportFormat::of_name);
    let format = match (args.format, named, &args.output) {
        (Some(format), ..) | (None, Some(format), _) => format,
        (None, None, Some(output)) if !is_stream => {
            return Err(Error::usage_hint(
                format!("the name `{}` does not say which kind of archive", output.display()),
                "end it with .zip, .tar.zst or .larder, or give `--format`",
            ));
        }
        _ => ExportFormat::TarZst,
    };
    if format == ExportFormat::Larder {
        return export_bundle(&args, is_stream, context);
    }
    check_archive(&args)?;
    let repository = context.open_indexed()?;
    let name = args.snapshots.first().map(OsString::as_os_str);
    let chosen = args.filter.choose(name, &repository, &context.out)?;
    let snapshot = &chosen.snapshot;
    let mut request = ExportRequest {
        subtree: chosen.path.unwrap_or_default(),
        replace: args.force,
        level: args.level,
        ..ExportRequest::new(snapshot.id, format)
    };
    if is_stream {
        // Standard output belongs to the archive: only what is missing in it is said.
        let progress = Arc::new(Warnings(Arc::clone(&context.out)));
        request.runtime = Runtime { progress, ..context.quiet_runtime() };
        let report = export_to(&repository, snapshot, &request, &mut *context.out.writer())?;
        return Ok(Finish::with_failed(report.failed));
    }
    let path = args.output.unwrap_or_else(|| PathBuf::from(export_name(snapshot, format)));
    request.path = Some(path);
    let display = Display::start(&context.out, Job::Restore);
    request.runtime = context.runtime(&display);
    let report = export(&repository, snapshot, &request);
    display.finish();
    let report = report?;
    tell(&snapshot.id.to_string(), &report, context)?;
    Ok(Finish::with_failed(report.failed))
}

/// Refuses what only bundles can do.
fn check_archive(args: &ExportArgs) -> Result<()> {
    if args.all || args.snapshots.len() > 1 {
        return Err(Error::usage_hint(
            "an archive holds one snapshot",
            "export them one by one, or all into a bundle: `--format larder`",
        ));
    }
    if args.secret.is_given() {
        return Err(Error::usage_hint(
            "archives are not encrypted, and take no password or key file",
            "only bundles are: `--format larder`",
        ));
    }
    Ok(())
}

fn export_bundle(args: &ExportArgs, is_stream: bool, context: &Context) -> Result<Finish> {
    if is_stream {
        return Err(Error::usage_hint(
            "a bundle is no stream",
            "write it to a file with `--output FILE`",
        ));
    }
    let repository = context.open_indexed()?;
    let list = repository.snapshots()?;
    warn_of_bad(&list, &context.out);
    let filter = args.filter.filter()?;
    let snapshots = if args.all {
        filter.fitting(&list).collect()
    } else if args.snapshots.is_empty() {
        vec![filter.newest(&list)?]
    } else {
        resolve(&args.snapshots, list.snapshots.iter(), &filter)?
    };
    let name = |snapshot: &&&_| export_name(snapshot, ExportFormat::Larder);
    let named = snapshots.last().as_ref().map(name).unwrap_or_default();
    let path = args.output.clone().unwrap_or_else(|| PathBuf::from(named));
    let bundle =
        ExportBundle { path: &path, secret: &args.secret, level: args.level, replace: args.force };
    bundle::export(&bundle, &repository, &snapshots, context)
}

fn tell(snapshot_id: &str, report: &ExportReport, context: &Context) -> Result<()> {
    let out = &context.out;
    let path = report.path.as_deref().unwrap_or(Path::new("-"));
    if out.json {
        let path = std::os::unix::ffi::OsStrExt::as_bytes(path.as_os_str());
        let summary = Summary {
            snapshot_id,
            path: escape_bytes(path).into_owned(),
            format: report.format,
            entries: report.entries,
            bytes: report.bytes,
            archive_bytes: report.archive_bytes,
            failed: report.failed,
            left_out: report.left_out,
        };
        return out.message("summary", &summary);
    }
    out.note(format!(
        "exported {} ({}) to `{}`, {}",
        plural(report.entries, "entry"),
        format_bytes(report.bytes),
        path.display(),
        format_bytes(report.archive_bytes),
    ))?;
    out.note("  it is not encrypted: only you can read it, keep it so")?;
    if report.left_out > 0 {
        out.warn(&format!("{} left out, see above", plural(report.left_out, "entry")));
    }
    if report.failed > 0 {
        out.warn(&format!("{} could not be read, see above", plural(report.failed, "file")));
    }
    Ok(())
}

/// The `summary` of an export in JSON.
#[derive(Serialize)]
struct Summary<'a> {
    snapshot_id: &'a str,
    path: String,
    format: ExportFormat,
    entries: u64,
    bytes: u64,
    archive_bytes: u64,
    failed: u64,
    left_out: u64,
}
