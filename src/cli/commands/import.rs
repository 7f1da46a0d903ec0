//! `larder import`: an archive becomes a snapshot; those of a bundle are brought in.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use parking_lot::Mutex;
use serde::Serialize;

use super::bundle::{self, FromArgs};
use super::shared::size;
use crate::archive::StdinSource;
use crate::cli::Finish;
use crate::cli::context::Context;
use crate::cli::output::progress::{Display, Job};
use crate::cli::output::{count, plural};
use crate::cli::time::parse_start;
use crate::codec::Compression;
use crate::error::{Error, Result};
use crate::manager::{ImportFormat, ImportLimits, ImportReport, ImportRequest, import};
use crate::model::format_bytes;
use crate::repository::HeadCode;
use crate::tree::parse_path;

const EXAMPLES: &str = "\
Examples:
  larder import old-laptop.zip
  larder import home-2019.tar.gz --host laptop --time 2019-06-30 --tag old
  larder import www.tar.zst --root /srv/www        as if /srv/www had been backed up
  xz -dc dump.tar.xz | larder import - --name dump.tar
  larder import torn.tar --keep-going              what can be read of a damaged archive
  larder import carry.larder --from-password-file its-password
  larder import carry.larder --snapshot latest --dry-run

Zip and tar archives (as they are, .gz or .zst) are known by their content. Nothing is unpacked to
disk; what is in the repository already is not stored again. The snapshot has the tag `imported` and
stands in a series of its own, unless `--root` puts it into that of a path.

Names with `..`, names below a file or a link, and links to nowhere are left out and named; a leading
`/` is dropped. The exit code is 3 then. A damaged tar archive is not imported without
`--keep-going`. Of a zip archive, members with damaged content are left out and named (exit code 3);
one that lost its end, where its list of files stands, cannot be read (`zip -FF` may help).

Snapshots of a bundle (.larder) keep their times, tags and hosts, and get new ids. What is there
already is not imported again, by whatever way it came: from another bundle, as a copy, or because
the bundle was made here. Snapshots that were forgotten here stay forgotten (`larder undelete`).
A damaged bundle gives what is whole: damaged snapshots are named, the others imported, and the exit
code is 3.";

/// Make a snapshot of a zip or tar archive, or bring in those of a bundle
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ImportArgs {
    /// Archive or bundle, or `-` for a tar archive on standard input
    #[arg(value_name = "FILE")]
    file: PathBuf,

    #[command(flatten)]
    archive: ArchiveArgs,

    #[command(flatten)]
    limits: LimitArgs,

    /// Only say what would be imported
    #[arg(short = 'n', long, help_heading = "Bundles")]
    dry_run: bool,

    #[command(flatten)]
    from: FromArgs,
}

/// What the snapshot of an archive shall be.
#[derive(Args, Debug)]
#[command(next_help_heading = "Archives")]
struct ArchiveArgs {
    /// Name of the archive on standard input [default: stdin.tar]
    #[arg(long, value_name = "NAME")]
    name: Option<PathBuf>,

    /// Host name of the snapshot, instead of this machine's
    #[arg(long, value_name = "NAME")]
    host: Option<String>,

    /// Tag of the snapshot, beside `imported` (may be repeated)
    #[arg(long, value_name = "TAG", value_delimiter = ',')]
    tag: Vec<String>,

    /// A line of text about the snapshot
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,

    /// When the snapshot was made, instead of now: `2019-06-30`, `3 days ago`
    #[arg(long, value_name = "TIME", value_parser = parse_start, allow_hyphen_values = true)]
    time: Option<i64>,

    /// Put everything below this path
    #[arg(long, value_name = "PATH")]
    root: Option<PathBuf>,

    /// Import what can be read of a damaged archive
    #[arg(long)]
    keep_going: bool,

    /// How hard to compress: fast, default, max, none or a zstd level from 1 to 22
    #[arg(long, value_name = "HOW", default_value_t)]
    compression: Compression,
}

impl ArchiveArgs {
    /// Whether something was asked for that bundles have of their own.
    fn is_given(&self) -> bool {
        // Bundles are compressed too when they come in.
        let Self { name, host, tag, description, time, root, keep_going, compression: _ } = self;
        let is_named = name.is_some() || host.is_some() || description.is_some();
        is_named || root.is_some() || !tag.is_empty() || time.is_some() || *keep_going
    }
}

/// What an archive may cost.
#[derive(Args, Debug)]
#[command(next_help_heading = "Against archives that unpack to endless ones")]
struct LimitArgs {
    /// Most bytes that it unpacks to [default: 16 TiB]
    #[arg(long, value_name = "SIZE", value_parser = size)]
    max_size: Option<u64>,

    /// Most entries that it has [default: 100,000,000]
    #[arg(long, value_name = "NUMBER")]
    max_entries: Option<u64>,

    /// How many times as long as the archive that may be, after 16 GiB [default: 10,000]
    #[arg(long, value_name = "NUMBER")]
    max_ratio: Option<u64>,
}

impl LimitArgs {
    fn is_given(&self) -> bool {
        self.max_size.is_some() || self.max_entries.is_some() || self.max_ratio.is_some()
    }

    fn limits(&self) -> ImportLimits {
        let default = ImportLimits::default();
        ImportLimits {
            max_bytes: self.max_size.unwrap_or(default.max_bytes),
            max_entries: self.max_entries.unwrap_or(default.max_entries),
            max_ratio: self.max_ratio.unwrap_or(default.max_ratio),
        }
    }
}

pub(super) fn run(args: ImportArgs, context: &Context) -> Result<Finish> {
    let is_stream = args.file == Path::new("-");
    if is_stream && std::io::stdin().is_terminal() {
        return Err(Error::usage_hint(
            "standard input is a terminal",
            "give a file, or a pipe: `xz -dc FILE | larder import -`",
        ));
    }
    if !is_stream && is_bundle(&args)? {
        if args.archive.is_given() || args.limits.is_given() {
            return Err(Error::usage_hint(
                format!("`{}` is a bundle, whose snapshots come as they are", args.file.display()),
                "leave out the options for archives; `larder rewrite` gives snapshots another host, \
                 time or tag",
            ));
        }
        let compression = args.archive.compression;
        return bundle::import(&args.file, &args.from, compression, args.dry_run, context);
    }
    if args.dry_run || args.from.is_given() {
        return Err(Error::usage_hint(
            format!("`{}` is no bundle", args.file.display()),
            "`--dry-run`, `--snapshot` and `--from-...` are for bundles",
        ));
    }
    let limits = args.limits.limits();
    let (file, args) = (args.file, args.archive);
    let name = args.name.unwrap_or_else(|| "stdin.tar".into());
    let root = args.root.as_deref().map(root_path).transpose()?.unwrap_or_default();
    let repository = context.open()?;
    let display = Display::start(&context.out, Job::Backup);
    let request = ImportRequest {
        stream: is_stream.then(|| Arc::new(stdin())),
        host: args.host,
        tags: args.tag,
        description: args.description,
        time_ms: args.time,
        root,
        keep_going: args.keep_going,
        limits,
        compression: args.compression,
        runtime: context.runtime(&display),
        ..ImportRequest::new(if is_stream { name } else { file })
    };
    let report = import(&repository, &request);
    display.finish();
    let report = report?;
    tell(&report, context)?;
    Ok(Finish::with_failed(report.failed + u64::from(report.damage.is_some())))
}

/// Whether the file is a bundle: by its bytes or name, or if nobody knows it and keys are given.
fn is_bundle(args: &ImportArgs) -> Result<bool> {
    match ImportFormat::of_file(&args.file) {
        Ok(format) => Ok(format == ImportFormat::Larder),
        Err(Error::Usage { .. }) if args.from.is_given() => Ok(true),
        Err(error) => Err(error),
    }
}

fn stdin() -> StdinSource {
    StdinSource { name: Vec::new(), reader: Mutex::new(Box::new(std::io::stdin())) }
}

/// The path that members are put below, as manifests have it.
fn root_path(path: &Path) -> Result<Vec<u8>> {
    parse_path(std::os::unix::ffi::OsStrExt::as_bytes(path.as_os_str()))
}

fn tell(report: &ImportReport, context: &Context) -> Result<()> {
    let (out, body) = (&context.out, &report.snapshot.body);
    if out.json {
        return out.message("summary", &Summary::new(report));
    }
    out.note(format!(
        "snapshot {} imported from {} archive ({})",
        report.backup_id.short(),
        if report.format.as_str() == "zip" { "a zip" } else { "a tar" },
        report.format.as_str()
    ))?;
    out.note(format!("  files    {}", count(body.files)))?;
    let made_up = match report.made_up {
        0 => String::new(),
        number => format!(", {} of them made up: the archive has none", count(number)),
    };
    out.note(format!("  folders  {}{made_up}", count(body.folders)))?;
    out.note(format!("  content  {}", format_bytes(body.bytes)))?;
    let added = &report.added;
    out.note(format!(
        "  added    {}, stored as {}",
        format_bytes(added.plain_bytes),
        format_bytes(added.stored_bytes)
    ))?;
    out.note(format!("  head     {}", HeadCode::of(report.snapshot.record)))?;
    if let Some(other) = report.same_as {
        out.note(format!("  the same is in snapshot {} already", other.short()))?;
    }
    if let Some(damage) = &report.damage {
        out.warn(&format!("the archive is damaged: {damage}"));
    }
    if report.failed > 0 {
        out.warn(&format!("{} could not be imported, see above", plural(report.failed, "entry")));
    }
    Ok(())
}

/// The `summary` of an import in JSON.
#[derive(Serialize)]
struct Summary<'a> {
    snapshot_id: String,
    head_code: HeadCode,
    format: &'static str,
    entries: u64,
    files: u64,
    folders: u64,
    bytes: u64,
    folders_made_up: u64,
    failed: u64,
    warnings: u64,
    damage: Option<&'a str>,
    same_as: Option<String>,
    added_bytes: u64,
    added_stored_bytes: u64,
}

impl<'a> Summary<'a> {
    fn new(report: &'a ImportReport) -> Self {
        let body = &report.snapshot.body;
        Self {
            snapshot_id: report.backup_id.to_string(),
            head_code: HeadCode::of(report.snapshot.record),
            format: report.format.as_str(),
            entries: body.entries,
            files: body.files,
            folders: body.folders,
            bytes: body.bytes,
            folders_made_up: report.made_up,
            failed: report.failed,
            warnings: report.warnings,
            damage: report.damage.as_deref(),
            same_as: report.same_as.map(|id| id.to_string()),
            added_bytes: report.added.plain_bytes,
            added_stored_bytes: report.added.stored_bytes,
        }
    }
}
