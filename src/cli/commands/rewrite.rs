//! `larder rewrite`: new snapshots out of old ones.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::Args;
use serde::Serialize;

use super::shared::{FilterArgs, resolve};
use crate::cli::Finish;
use crate::cli::author::author;
use crate::cli::context::Context;
use crate::cli::output::plural;
use crate::cli::output::progress::{Display, Job};
use crate::cli::select::warn_of_bad;
use crate::cli::time::parse_start;
use crate::error::Result;
use crate::manager::{RewriteOptions, Rewritten, TagChange, check_history, rewrite};
use crate::model::format_bytes;
use crate::repository::Snapshot;
use crate::source::WalkOptions;

const EXAMPLES: &str = "\
Examples:
  larder rewrite latest --exclude /home/ann/secret --forget
  larder rewrite --all --host web --exclude '*.iso' --dry-run
  larder rewrite 4f1c --add-tag keep --remove-tag test
  larder rewrite --all --host oldname --set-host newname --forget

Nothing is changed: each snapshot that would be different is made anew, with a new id, out of the
same stored data. With `--forget` the old ones are forgotten afterwards; until then, and until a
prune has removed their data, what was left out can still be read. A run that was broken off is
just repeated. With `--all`, quarantined and suspect snapshots stay as they are (exit code 3).

Patterns are those of `larder snapshot`.";

/// Make snapshots anew without some paths, or with other tags, host, time or description
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct RewriteArgs {
    /// Snapshots: ids or their first digits, `latest`, `latest~2`
    #[arg(value_name = "SNAPSHOT", required_unless_present = "all")]
    snapshots: Vec<OsString>,

    /// All snapshots that fit the filters
    #[arg(long, conflicts_with = "snapshots")]
    all: bool,

    #[command(flatten)]
    filter: FilterArgs,

    #[command(flatten)]
    change: ChangeArgs,

    /// Forget the old snapshots when all new ones are there
    #[arg(long)]
    forget: bool,

    /// Only say what would be different
    #[arg(short = 'n', long)]
    dry_run: bool,
}

#[derive(Args, Debug)]
#[command(next_help_heading = "What to change")]
struct ChangeArgs {
    /// Leave out what fits the pattern (may be repeated)
    #[arg(short, long, value_name = "PATTERN")]
    exclude: Vec<String>,

    /// The same, upper and lower case being equal
    #[arg(long, value_name = "PATTERN")]
    iexclude: Vec<String>,

    /// Leave out what fits a pattern in the file, one a line
    #[arg(long, value_name = "FILE")]
    exclude_file: Vec<PathBuf>,

    /// The same, upper and lower case being equal
    #[arg(long, value_name = "FILE")]
    iexclude_file: Vec<PathBuf>,

    /// Add a tag (may be repeated)
    #[arg(long, value_name = "TAG", value_delimiter = ',')]
    add_tag: Vec<String>,

    /// Take a tag away (may be repeated)
    #[arg(long, value_name = "TAG", value_delimiter = ',')]
    remove_tag: Vec<String>,

    /// These tags and no others; empty for none
    #[arg(long, value_name = "TAGS", conflicts_with = "remove_tag")]
    set_tags: Option<String>,

    /// Another host name
    #[arg(long, value_name = "NAME")]
    set_host: Option<String>,

    /// Another description
    #[arg(long, value_name = "TEXT")]
    set_description: Option<String>,

    /// Another time at which its run started
    #[arg(long, value_name = "TIME", value_parser = parse_start, allow_hyphen_values = true)]
    set_time: Option<i64>,
}

impl RewriteArgs {
    fn options(&self) -> RewriteOptions {
        let change = &self.change;
        let words = |text: &String| {
            text.split(',').filter(|tag| !tag.is_empty()).map(str::to_owned).collect()
        };
        RewriteOptions {
            exclude: WalkOptions {
                exclude: change.exclude.clone(),
                iexclude: change.iexclude.clone(),
                exclude_file: change.exclude_file.clone(),
                iexclude_file: change.iexclude_file.clone(),
                ..WalkOptions::default()
            },
            tags: TagChange {
                set: change.set_tags.as_ref().map(words),
                add: change.add_tag.clone(),
                remove: change.remove_tag.clone(),
            },
            host: change.set_host.clone(),
            description: change.set_description.clone(),
            time_ms: change.set_time,
            forget: self.forget,
            dry_run: self.dry_run,
            author: author(),
        }
    }
}

#[derive(Serialize)]
struct RewrittenJson {
    original_id: String,
    /// Null if nothing is different, and in a dry run.
    snapshot_id: Option<String>,
    different: bool,
    entries_left_out: u64,
    bytes_left_out: u64,
}

#[derive(Serialize)]
struct Summary {
    dry_run: bool,
    rewritten: usize,
    unchanged: usize,
    originals_forgotten: bool,
}

pub(super) fn run(args: &RewriteArgs, context: &Context) -> Result<Finish> {
    let options = args.options();
    let filter = args.filter.filter()?;
    let repository = context.open_indexed()?;
    let list = repository.snapshots()?;
    warn_of_bad(&list, &context.out);
    if args.forget {
        check_history(&list, false)?;
    }
    let mut passed_over = 0;
    let chosen: Vec<&Snapshot> = if args.all {
        let in_doubt = |one: &&Snapshot| one.suspect || one.quarantine.is_some();
        let (doubtful, good): (Vec<&Snapshot>, _) = filter.fitting(&list).partition(in_doubt);
        for snapshot in &doubtful {
            let id = snapshot.id.short();
            context
                .out
                .warn(&format!("snapshot {id} is quarantined or suspect, and stays as it is"));
        }
        passed_over = doubtful.len() as u64;
        good
    } else {
        resolve(&args.snapshots, list.snapshots.iter(), &filter)?
    };
    let display = Display::start(&context.out, Job::Backup);
    let done = rewrite(&repository, &chosen, &list, &options, &context.runtime(&display));
    display.finish();
    tell(&done?, args, context)?;
    Ok(Finish::with_failed(passed_over))
}

fn tell(done: &[Rewritten], args: &RewriteArgs, context: &Context) -> Result<()> {
    let out = &context.out;
    let different = done.iter().filter(|one| one.is_different).count();
    let forgotten = args.forget && !args.dry_run && different > 0;
    if out.json {
        for one in done {
            let json = RewrittenJson {
                original_id: one.original.id.to_string(),
                snapshot_id: one.snapshot.as_ref().map(|snapshot| snapshot.id.to_string()),
                different: one.is_different,
                entries_left_out: one.entries_left_out,
                bytes_left_out: one.bytes_left_out,
            };
            out.message("rewritten", &json)?;
        }
        let summary = Summary {
            dry_run: args.dry_run,
            rewritten: different,
            unchanged: done.len() - different,
            originals_forgotten: forgotten,
        };
        return out.message("summary", &summary);
    }
    for one in done {
        let id = one.original.id.short();
        let left_out = match one.entries_left_out {
            0 => String::new(),
            entries => format!(
                ", {} ({}) left out",
                plural(entries, "entry"),
                format_bytes(one.bytes_left_out)
            ),
        };
        out.note(match &one.snapshot {
            Some(new) => format!("snapshot {id} rewritten as {}{left_out}", new.id.short()),
            None if one.is_different => format!("snapshot {id} would be rewritten{left_out}"),
            None => format!("snapshot {id} stays as it is"),
        })?;
    }
    if forgotten {
        out.note("the old snapshots are forgotten: `larder undelete ID` takes it back")?;
    } else if different > 0 && !args.dry_run {
        out.note("the old snapshots are still there: `larder forget ID` lets go of them")?;
    }
    Ok(())
}
