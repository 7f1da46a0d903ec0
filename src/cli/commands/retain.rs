//! `larder repo retain`: keeps what is needed from being deleted for longer.

use clap::{Args, ValueEnum};
use jiff::Zoned;
use serde::Serialize;

use crate::cli::Finish;
use crate::cli::author::author;
use crate::cli::context::Context;
use crate::cli::output::progress::{Display, Job};
use crate::cli::output::{iso_ms, local_ms, plural};
use crate::cli::time::parse_at;
use crate::error::{Error, Result};
use crate::model::{Age, format_bytes};
use crate::prune::{PruneOptions, RetainOptions, RetainReport, retain};
use crate::storage::LockMode;

const EXAMPLES: &str = "\
Examples:
  larder repo retain --for 30d                    once a week, with a bucket that retains 30 days
  larder repo retain --for 30d --enough 23d       every day: only what has less than 23 days left
  larder repo retain --until 2027-12-31 --dry-run
  larder repo retain --for 30d --mode compliance

Deduplication uses old objects for new snapshots, and object lock lets go of them by their age. This
gives everything that some snapshot needs more time, and nothing else: garbage expires. It needs a
key that may extend retentions, and never shortens one.";

/// Keep what is needed from being deleted for longer, in storage with object lock
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct RetainArgs {
    /// For how long from now
    #[arg(long = "for", value_name = "DURATION", required_unless_present = "until")]
    for_: Option<Age>,

    /// Until when; a date alone means its end
    #[arg(long, value_name = "TIME", value_parser = parse_at, conflicts_with = "for_")]
    until: Option<i64>,

    /// Leave alone what is kept for this long anyway [default: all of the time asked for]
    #[arg(long, value_name = "DURATION")]
    enough: Option<Age>,

    /// How strictly [default: as it is, or as the bucket says]
    #[arg(long, value_name = "MODE")]
    mode: Option<ModeArg>,

    /// Only say what would be extended
    #[arg(short = 'n', long)]
    dry_run: bool,

    /// Go on although records of the repository's history are missing
    #[arg(long)]
    accept_history: bool,
}

/// How strictly objects are kept.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum ModeArg {
    /// Who has a special right may lift it
    Governance,
    /// Nobody may lift it: what is kept is paid for until the end
    Compliance,
}

impl From<ModeArg> for LockMode {
    fn from(arg: ModeArg) -> Self {
        match arg {
            ModeArg::Governance => Self::Governance,
            ModeArg::Compliance => Self::Compliance,
        }
    }
}

impl RetainArgs {
    fn options(&self) -> Result<RetainOptions> {
        let now = Zoned::now();
        let now_ms = now.timestamp().as_millisecond();
        let from_now = |age: &Age| {
            let past_ms = age.before(&now).as_millisecond();
            now_ms.saturating_add(now_ms.saturating_sub(past_ms))
        };
        let until_ms = match (&self.for_, self.until) {
            (Some(age), _) => from_now(age),
            (None, Some(ms)) => ms,
            (None, None) => return Err(Error::usage("say for how long, with `--for`")),
        };
        if until_ms <= now_ms {
            return Err(Error::usage("that time is over: nothing can be kept until then"));
        }
        Ok(RetainOptions {
            until_ms,
            enough_ms: self.enough.as_ref().map_or(until_ms, from_now),
            mode: self.mode.map(LockMode::from),
            dry_run: self.dry_run,
        })
    }
}

/// The object that it prints.
#[derive(Serialize)]
struct Summary<'a> {
    dry_run: bool,
    until: Option<String>,
    #[serde(flatten)]
    report: &'a RetainReport,
}

pub(super) fn run(args: &RetainArgs, context: &Context) -> Result<Finish> {
    let how = args.options()?;
    let repository = context.open()?;
    let accept_history = args.accept_history;
    let options = PruneOptions { accept_history, ..PruneOptions::new(author()) };
    let display = Display::start(&context.out, Job::Check);
    let retained = retain(&repository, &how, &options, &context.runtime(&display));
    display.finish();
    tell(&retained?, &how, context)?;
    Ok(Finish::Done)
}

fn tell(report: &RetainReport, how: &RetainOptions, context: &Context) -> Result<()> {
    let out = &context.out;
    if out.json {
        let until = iso_ms(report.until_ms);
        return out.message("summary", &Summary { dry_run: how.dry_run, until, report });
    }
    let packs = report.extended_packs;
    out.line(format!(
        "{} {} with {} ({}) until {}",
        if how.dry_run { "would keep" } else { "kept" },
        plural(report.extended, "object"),
        plural(packs.packs, "pack"),
        format_bytes(packs.bytes),
        local_ms(report.until_ms)
    ))?;
    if report.enough > 0 {
        out.line(format!("{} kept long enough before", plural(report.enough, "object")))?;
    }
    if report.left.packs > 0 {
        let (packs, bytes) = (plural(report.left.packs, "pack"), format_bytes(report.left.bytes));
        out.line(format!("{packs} ({bytes}) that nothing needs left to expire"))?;
    }
    Ok(())
}
