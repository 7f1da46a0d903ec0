//! The bundles of `larder export` and `larder import`.

use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;

use super::copy::{CopiedJson, is_left, tell_outcome};
use super::shared::resolve;
use crate::cli::Finish;
use crate::cli::args::SecretArgs;
use crate::cli::author::author;
use crate::cli::context::{Context, peek};
use crate::cli::output::plural;
use crate::cli::output::progress::{Display, Job};
use crate::cli::secrets::SecretSource;
use crate::cli::select::warn_of_bad;
use crate::codec::Compression;
use crate::crypto::Suite;
use crate::error::{Error, Result};
use crate::manager::{
    BundleOptions, BundleReport, CopyOutcome, OpenBundle, check_history, export_bundle,
};
use crate::model::{Encryption, escape_bytes, format_bytes};
use crate::repository::{Repository, Snapshot, Unlock};
use crate::storage::bundle::{BundleStorage, Trust};
use crate::tree::SnapshotFilter;

/// What shall open a new bundle.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Bundles")]
pub(super) struct ToSecretArgs {
    /// File whose first line is the bundle's password [env: LARDER_TO_PASSWORD_FILE, or
    /// LARDER_TO_PASSWORD]
    #[arg(long, value_name = "FILE")]
    to_password_file: Option<PathBuf>,

    /// Shell command that prints the bundle's password [env: LARDER_TO_PASSWORD_COMMAND]
    #[arg(long, value_name = "COMMAND", conflicts_with = "to_password_file")]
    to_password_command: Option<String>,

    /// Key file that shall open the bundle [env: LARDER_TO_KEY_FILE]
    #[arg(long, value_name = "FILE",
          conflicts_with_all = ["to_password_file", "to_password_command"])]
    to_key_file: Option<PathBuf>,
}

impl ToSecretArgs {
    fn source(&self) -> SecretSource {
        let secret = SecretArgs {
            password_file: self.to_password_file.clone(),
            password_command: self.to_password_command.clone(),
            key_file: self.to_key_file.clone(),
        };
        SecretSource::choose_for(&secret, "LARDER_TO_")
    }

    /// Whether any option of these was given: they make no sense for archives.
    pub(super) fn is_given(&self) -> bool {
        self.to_password_file.is_some()
            || self.to_password_command.is_some()
            || self.to_key_file.is_some()
    }

    /// Nothing for a repository that is not encrypted, unless something was given.
    fn unlocks(&self, from: &Repository, path: &str, context: &Context) -> Result<Vec<Unlock>> {
        let source = self.source();
        if source != SecretSource::Prompt {
            return Ok(vec![source.unlock(path, &context.out)?]);
        }
        if from.suite() == Suite::None {
            return Ok(Vec::new());
        }
        match source.new_password(path, &context.out) {
            Err(Error::KeyNeeded { .. }) => Err(Error::usage_hint(
                "nothing says what shall open the bundle",
                "give `--to-password-file`, `--to-password-command` or `--to-key-file`",
            )),
            password => Ok(vec![Unlock::Password(password?)]),
        }
    }
}

/// What of a new bundle the arguments of `larder export` say.
pub(super) struct ExportBundle<'a> {
    pub(super) path: &'a Path,
    pub(super) secret: &'a ToSecretArgs,
    pub(super) level: Option<u32>,
    pub(super) replace: bool,
}

/// Makes a bundle.
pub(super) fn export(
    args: &ExportBundle<'_>,
    from: &Repository,
    snapshots: &[&Snapshot],
    context: &Context,
) -> Result<Finish> {
    let compression = match args.level {
        None => Compression::default(),
        // No level: checked here, as the text of `--compression` is elsewhere.
        Some(level) => level.to_string().parse().map_err(Error::usage)?,
    };
    let options = BundleOptions {
        compression,
        replace: args.replace,
        author: author(),
        ..BundleOptions::default()
    };
    let shown = args.path.display().to_string();
    let unlocks = args.secret.unlocks(from, &shown, context)?;
    let display = Display::start(&context.out, Job::Backup);
    let runtime = context.runtime(&display);
    let report = export_bundle(from, snapshots, args.path, &unlocks, &options, &runtime);
    display.finish();
    let report = report?;
    tell_export(&report, context)?;
    Ok(Finish::with_failed(report.failed()))
}

#[derive(Serialize)]
struct Exported {
    path: String,
    format: &'static str,
    encryption: Encryption,
    snapshots: u64,
    failed: u64,
    archive_bytes: u64,
}

fn tell_export(report: &BundleReport, context: &Context) -> Result<()> {
    let out = &context.out;
    let path = std::os::unix::ffi::OsStrExt::as_bytes(report.path.as_os_str());
    if out.json {
        for one in &report.snapshots {
            out.message("exported", &CopiedJson::new(one))?;
        }
        let exported = Exported {
            path: escape_bytes(path).into_owned(),
            format: "larder",
            encryption: report.encryption,
            snapshots: report.copied(),
            failed: report.failed(),
            archive_bytes: report.len,
        };
        return out.message("summary", &exported);
    }
    for one in &report.snapshots {
        if !matches!(one.outcome, CopyOutcome::Copied(_)) {
            tell_outcome(one, out)?;
        }
    }
    let path = report.path.display();
    let count = plural(report.copied(), "snapshot");
    out.note(format!("exported {count} to `{path}`, {}", format_bytes(report.len)))?;
    if report.encryption == Encryption::None {
        out.note("  it is not encrypted: only you can read it, keep it so")?;
    }
    out.note(format!("  `larder -r {path} snapshots` shows what is in it"))
}

/// What opens a bundle, and what of it is wanted.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Bundles")]
pub(super) struct FromArgs {
    /// File whose first line is the bundle's password [env: LARDER_FROM_PASSWORD_FILE, or
    /// LARDER_FROM_PASSWORD]
    #[arg(long, value_name = "FILE")]
    from_password_file: Option<PathBuf>,

    /// Shell command that prints the bundle's password [env: LARDER_FROM_PASSWORD_COMMAND]
    #[arg(long, value_name = "COMMAND", conflicts_with = "from_password_file")]
    from_password_command: Option<String>,

    /// Key file that opens the bundle [env: LARDER_FROM_KEY_FILE]
    #[arg(long, value_name = "FILE",
          conflicts_with_all = ["from_password_file", "from_password_command"])]
    from_key_file: Option<PathBuf>,

    /// Only this snapshot of a bundle (repeat for more): an id, its first digits, or `latest`
    #[arg(long, value_name = "SNAPSHOT")]
    snapshot: Vec<std::ffi::OsString>,

    /// Go on although snapshots of the repository are hidden, lost or unreadable, after a look
    #[arg(long)]
    accept_history: bool,
}

impl FromArgs {
    /// Whether something was asked for that only bundles have.
    pub(super) fn is_given(&self) -> bool {
        self.from_password_file.is_some()
            || self.from_password_command.is_some()
            || self.from_key_file.is_some()
            || !self.snapshot.is_empty()
    }

    fn open(&self, path: &Path, context: &Context) -> Result<OpenBundle> {
        let shown = path.display().to_string();
        let secret = SecretArgs {
            password_file: self.from_password_file.clone(),
            password_command: self.from_password_command.clone(),
            key_file: self.from_key_file.clone(),
        };
        let source = SecretSource::choose_for(&secret, "LARDER_FROM_");
        let is_open = || -> Result<bool> {
            let storage = BundleStorage::open(path, shown.clone(), Trust::Told)?;
            // What is no bundle is told so by whoever opens it.
            Ok(storage.is_none_or(|storage| peek(&storage).is_ok_and(|repo| repo.suite == 0)))
        };
        let unlocks = match source {
            SecretSource::Prompt if is_open()? => Vec::new(),
            source => vec![source.unlock(&shown, &context.out).map_err(|error| match error {
                Error::KeyNeeded { .. } => Error::usage_hint(
                    format!("`{shown}` is encrypted, and nothing says what opens it"),
                    "give `--from-password-file`, `--from-password-command` or `--from-key-file`",
                ),
                error => error,
            })?],
        };
        OpenBundle::open(path, &unlocks, &context.quiet_runtime())
    }
}

/// Imports a bundle.
pub(super) fn import(
    path: &Path,
    args: &FromArgs,
    compression: Compression,
    dry_run: bool,
    context: &Context,
) -> Result<Finish> {
    let out = &context.out;
    let into = context.open_indexed()?;
    let there = into.snapshots()?;
    warn_of_bad(&there, out);
    // What is hidden or cannot be read may be one of these, or say that one was forgotten.
    check_history(&there, args.accept_history)?;
    let bundle = args.open(path, context)?;
    for damage in &bundle.damage {
        out.warn(damage);
    }
    let all = &bundle.list.snapshots;
    let chosen = if args.snapshot.is_empty() {
        all.iter().collect()
    } else {
        resolve(&args.snapshot, all.iter(), &SnapshotFilter::default())?
    };
    let options = BundleOptions {
        compression,
        dry_run,
        accept_history: args.accept_history,
        author: author(),
        ..BundleOptions::default()
    };
    let display = Display::start(out, Job::Backup);
    let report = bundle.import(&into, &chosen, &options, &context.runtime(&display));
    display.finish();
    let report = report?;
    let failed = report.failed();
    let copied = report
        .snapshots
        .iter()
        .filter(|one| matches!(one.outcome, CopyOutcome::Copied(_) | CopyOutcome::WouldCopy))
        .count() as u64;
    let skipped = report.snapshots.len() as u64
        - copied
        - report.snapshots.iter().filter(|one| is_left(one)).count() as u64;
    if out.json {
        for one in &report.snapshots {
            out.message("imported", &CopiedJson::new(one))?;
        }
        let stored = report.stored_bytes;
        let summary =
            Imported { dry_run, imported: copied, skipped, failed, added_stored_bytes: stored };
        out.message("summary", &summary)?;
        return Ok(Finish::with_failed(failed));
    }
    for one in &report.snapshots {
        match &one.outcome {
            CopyOutcome::AlreadyThere(id) => {
                let original = one.original.id.short();
                out.note(format!("snapshot {original} is there already, as {}", id.short()))?;
            }
            CopyOutcome::ForgottenThere(id) => {
                let id = id.short();
                out.note(format!(
                    "snapshot {} is forgotten there: `larder undelete {id}` brings it back",
                    one.original.id.short()
                ))?;
            }
            _ => tell_outcome(one, out)?,
        }
    }
    let count = plural(copied, "snapshot");
    let before = if skipped == 0 { String::new() } else { format!(", {skipped} there already") };
    if dry_run {
        out.note(format!("{count} would be imported{before}: this was a dry run"))?;
    } else {
        let stored = format_bytes(report.stored_bytes);
        let added = if copied == 0 { String::new() } else { format!(", {stored} added") };
        out.note(format!("{count} imported{before}{added}"))?;
    }
    Ok(Finish::with_failed(failed))
}

#[derive(Serialize)]
struct Imported {
    dry_run: bool,
    imported: u64,
    skipped: u64,
    failed: u64,
    added_stored_bytes: u64,
}
