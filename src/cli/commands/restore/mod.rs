//! `larder restore`: brings files back.

mod args;
mod ask;
mod in_place;
mod shown;

pub(crate) use args::{OwnerArg, RestoreArgs};

use std::time::Instant;

use crate::cli::Finish;
use crate::cli::context::Context;
use crate::cli::output::progress::{Display, Job};
use crate::cli::select::roots;
use crate::error::Result;
use crate::model::entry::is_within;
use crate::repository::Snapshot;
use crate::restore::{RestoreOptions, restore};

use shown::Summary;

pub(super) fn run(args: RestoreArgs, context: &Context) -> Result<Finish> {
    let out = &context.out;
    let asker = args.asks().then(|| ask::asker(context)).transpose()?;
    let repository = context.open()?;
    let chosen = args.filter.choose(args.snapshot.as_deref(), &repository, out)?;
    if args.in_place {
        return in_place::run(&args, chosen, asker, &repository, context);
    }
    let options = args.options(chosen.path, asker);
    let start = Instant::now();
    let display = Display::start(out, Job::Restore);
    if let Some((entries, bytes)) = expected(&chosen.snapshot, &options) {
        display.progress().estimate(entries, bytes);
    }
    let report = restore(&repository, &chosen.snapshot, &options, &context.runtime(&display));
    display.finish();
    let report = report?;
    let summary = Summary {
        snapshot_id: chosen.snapshot.id.to_string(),
        target: options.target.display().to_string(),
        dry_run: options.dry_run,
        seconds: start.elapsed().as_secs_f64(),
        report: &report,
    };
    if out.json {
        out.message("summary", &summary)?;
    } else {
        shown::print(&summary, args.verify, context)?;
    }
    Ok(Finish::with_failed(report.failed))
}

/// What a restore of all sources will take, where only the folders above them are left out.
fn expected(snapshot: &Snapshot, options: &RestoreOptions) -> Option<(u64, u64)> {
    let folder = options.subtree.as_deref()?;
    let patterns = [&options.include, &options.iinclude, &options.exclude, &options.iexclude];
    let is_all = patterns.iter().all(|patterns| patterns.is_empty())
        && roots(snapshot).iter().all(|root| is_within(root, folder));
    is_all.then_some((snapshot.body.entries, snapshot.body.bytes))
}
