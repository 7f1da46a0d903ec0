//! `larder snapshot`: backs up.

mod args;
mod report;

pub(crate) use args::{SnapshotArgs, options_of};

use crate::archive::BackupReport;
use crate::cli::Finish;
use crate::cli::context::Context;
use crate::cli::output::progress::{Display, Job};
use crate::error::Result;
use crate::manager::{BackupManager, BackupRequest};

pub(in crate::cli::commands) fn run(mut args: SnapshotArgs, context: &Context) -> Result<Finish> {
    args.fill(context.profile.backup())?;
    let dry_run = args.dry_run;
    let no_mirror_sync = args.no_mirror_sync;
    let options = args.options()?;
    let repository = context.open()?;
    let manager = context.manager(repository)?;
    let request = BackupRequest { options, no_mirror_sync, ..BackupRequest::default() };
    let report = backup_shown(&manager, request, context)?;
    tell(&report, dry_run, context)?;
    if !dry_run {
        super::repo::nag(manager.repository(), context)?;
    }
    Ok(Finish::with_failed(report.stats.errors))
}

/// Says what a run did.
pub(in crate::cli::commands) fn tell(
    report: &BackupReport,
    dry_run: bool,
    context: &Context,
) -> Result<()> {
    if context.out.json {
        context.out.message("summary", &report::Summary::new(report, dry_run))
    } else {
        report::print(report, context)
    }
}

/// Backs up with progress on the screen. The history of this machine shows how it went.
pub(in crate::cli::commands) fn backup_shown(
    manager: &BackupManager,
    request: BackupRequest,
    context: &Context,
) -> Result<BackupReport> {
    let display = Display::start(&context.out, Job::Backup);
    let runtime = context.runtime(&display);
    let request = BackupRequest { runtime, ..request };
    let report = manager.create_backup_with(&request);
    display.finish();
    context.warn_of_history(manager);
    report
}
