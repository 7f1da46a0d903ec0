//! `larder drill`: a restore test now.

use std::sync::Arc;

use clap::Args;

use super::shared::size;
use crate::cli::Finish;
use crate::cli::context::Context;
use crate::error::Result;
use crate::manager::board::{Board, EventBus, JobQuery};
use crate::manager::fleet::OpenSite;
use crate::manager::history::Database;
use crate::manager::jobs::{JobRequest, Jobs};
use crate::model::{Job, RestoreTestJob};
use crate::storage::throttle::{Limits, ThrottleHandle};

const EXAMPLES: &str = "\
Examples:
  larder drill                        256 MiB of files at most, of the newest snapshots
  larder drill --budget 2G --files 1000
  larder schedule add proof --job restore_test --when @weekly      the same each week

Files that are drawn by chance are restored into an empty folder, compared byte for byte with what
the snapshot says and, where it has not changed since, with the source, and removed. Ends with 1 if
one of them is not as it should be.";

/// Prove with a sample that files can be brought back
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct DrillArgs {
    /// Bytes of the sample at most
    #[arg(long, value_name = "SIZE", value_parser = size)]
    budget: Option<u64>,

    /// Files in the sample at most
    #[arg(long, value_name = "N")]
    files: Option<u32>,
}

pub(super) fn run(args: &DrillArgs, context: &Context) -> Result<Finish> {
    let manager = context.manager(context.open_indexed()?)?;
    let runtime = context.quiet_runtime();
    let database = Database::new(context.open_options().state_dir, Arc::clone(&runtime.clock));
    let bus = EventBus::new(Arc::clone(&runtime.clock));
    let board = Board::new(Arc::new(database), bus, runtime);
    let open = Arc::new(OpenSite {
        manager: manager.clone(),
        throttle: ThrottleHandle::new(Limits::default()),
        requests: Arc::clone(&context.out.requests),
    });
    let usual = RestoreTestJob::default();
    let job = Job::RestoreTest(RestoreTestJob {
        budget_bytes: args.budget.unwrap_or(usual.budget_bytes),
        files: args.files.unwrap_or(usual.files),
    });
    let name = manager.repository().location().to_owned();
    let jobs = Jobs::new(&name, open, board.clone());
    let done = jobs.run(&JobRequest::new(job, "a person"), &context.cancel);
    context.warn_of_history(&manager);
    // Figures are there if it failed, too.
    let newest = board.list(&JobQuery { limit: 1, ..JobQuery::default() })?.jobs;
    if let Some(job) = newest.first() {
        if context.out.json {
            context.out.message("drill", &job.result)?;
        } else if let Some(figures) = job.result.as_object() {
            for (what, figure) in figures {
                context.out.line(format!("{:<24}{figure}", what.replace('_', " ")))?;
            }
        }
        for line in board.log(&job.job_id)? {
            context.out.note(line.message)?;
        }
    }
    done.map(|_| Finish::Done)
}
