//! `larder restore`: brings files back.

mod args;
mod ask;
mod in_place;
mod shown;

pub(crate) use args::{OwnerArg, RestoreArgs};

use std::time::Instant;

use crate::cli::Finish;
use crate::cli::commands::shared::{Chosen, snapshot_name};
use crate::cli::commands::warm_up;
use crate::cli::context::Context;
use crate::cli::output::progress::{Display, Job};
use crate::cli::select::{roots, warn_of_bad};
use crate::error::{Error, Result};
use crate::manager::{Point, RecoveryManager, RecoveryRequest, refuse_cold};
use crate::model::entry::is_within;
use crate::repository::Snapshot;
use crate::restore::{RestoreOptions, VerifyBefore, needed_packs};

use shown::{Done, Room, Summary};

pub(super) fn run(args: RestoreArgs, context: &Context) -> Result<Finish> {
    let out = &context.out;
    let asker = args.asks().then(|| ask::asker(context)).transpose()?;
    let manager = RecoveryManager::new(context.manager(context.open()?)?);
    let chosen = choose(&args, &manager, context)?;
    let options = args.options(chosen.path, asker)?;
    reach_cold(&args, &manager, &chosen.snapshot, &options, context)?;
    let start = Instant::now();
    let display = Display::start(out, Job::Restore);
    if let Some((entries, bytes)) = expected(&chosen.snapshot, &options) {
        display.progress().estimate(entries, bytes);
    }
    let point = Point::Snapshot(Box::new(chosen.snapshot));
    let request = RecoveryRequest {
        verify_before: args.verify_first.map_or(VerifyBefore::None, VerifyBefore::from),
        runtime: Some(context.runtime(&display)),
        ..RecoveryRequest::new(point, options)
    };
    if args.in_place {
        return in_place::run(&manager, &request, display, context);
    }
    let done = recover(&manager, &request);
    display.finish();
    let done = done?;
    let summary = Summary {
        target: request.restore.target.display().to_string(),
        dry_run: request.restore.dry_run,
        seconds: start.elapsed().as_secs_f64(),
        done: &done,
    };
    if out.json {
        out.message("summary", &summary)?;
    } else {
        shown::print(&summary, &request, context)?;
    }
    Ok(Finish::with_failed(done.report.failed))
}

/// Asks for what cannot be read at once, or says that it has to be asked for.
fn reach_cold(
    args: &RestoreArgs,
    manager: &RecoveryManager,
    snapshot: &Snapshot,
    options: &RestoreOptions,
    context: &Context,
) -> Result<()> {
    let repository = manager.manager().repository();
    let runtime = context.quiet_runtime();
    let packs = || needed_packs(repository, snapshot, options, &runtime);
    if !args.warm_up {
        if args.dry_run {
            return Ok(());
        }
        return refuse_cold(repository, packs, "`larder restore --warm-up`", &runtime);
    }
    let (by, wait) = (args.how.by()?, args.how.wait(repository)?);
    let report = warm_up::ask(repository, &packs()?, &by, Some(wait), false, context)?;
    match report {
        Some(report) if report.missing.packs > 0 => Err(Error::Untouched {
            what: format!("{} packs are still not there", report.missing.packs),
            hint: "run this again: what was asked for is not asked for twice".into(),
        }),
        _ => Ok(()),
    }
}

fn recover(manager: &RecoveryManager, request: &RecoveryRequest) -> Result<Done> {
    if !request.restore.dry_run {
        let report = manager.restore(request)?;
        return Ok(Done {
            snapshot_id: report.backup_id.to_string(),
            verified_before: report.verified_before,
            room: None,
            report: report.restored,
        });
    }
    let verified = manager.verify(request)?;
    let plan = manager.plan(request)?;
    let mut report = plan.report;
    // What is lost is seen by both, where both look at it.
    report.failed = report.failed.max(verified.failed);
    Ok(Done {
        snapshot_id: plan.backup_id.to_string(),
        verified_before: verified.created,
        room: Some(Room { needed: plan.room_needed, available: plan.room_available }),
        report,
    })
}

/// The snapshot that is meant: by its name, or by a time alone.
fn choose(args: &RestoreArgs, manager: &RecoveryManager, context: &Context) -> Result<Chosen> {
    let filter = args.filter.filter()?;
    let name = args.snapshot.as_deref().map(snapshot_name).transpose()?;
    let list = manager.manager().repository().snapshots()?;
    warn_of_bad(&list, &context.out);
    let by_time = || manager.find_point(&Point::Newest { filter: filter.clone() });
    let Some(name) = name else {
        let found = by_time()?;
        if let Some(warning) = found.warning() {
            context.out.warn(&warning);
        }
        return Ok(Chosen { snapshot: found.snapshot, path: None });
    };
    match name.find(&list, &filter) {
        Ok(snapshot) => Ok(Chosen { snapshot: snapshot.clone(), path: name.path }),
        // Says since when there is something.
        Err(error @ Error::NotFound { .. }) if filter.until_ms.is_some() => {
            Err(by_time().err().unwrap_or(error))
        }
        Err(error) => Err(error),
    }
}

/// What a restore of all sources will take, where only the folders above them are left out.
fn expected(snapshot: &Snapshot, options: &RestoreOptions) -> Option<(u64, u64)> {
    let folder = options.subtree.as_deref()?;
    let patterns = [&options.include, &options.iinclude, &options.exclude, &options.iexclude];
    let is_all = patterns.iter().all(|patterns| patterns.is_empty())
        && options.paths.is_empty()
        && roots(snapshot).iter().all(|root| is_within(root, folder));
    is_all.then_some((snapshot.body.entries, snapshot.body.bytes))
}
