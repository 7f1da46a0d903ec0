//! `larder backups`: lists runs, whatever became of them.

use std::time::Duration;

use clap::Args;
use jiff::Timestamp;

use super::shared::{FilterArgs, words};
use crate::cli::Finish;
use crate::cli::context::Context;
use crate::cli::mirrors::warn_of_debts;
use crate::cli::output::{Align, Table, count, local_ms};
use crate::cli::select::{shown_path, warn_of_bad};
use crate::error::Result;
use crate::manager::{BackupPage, BackupQuery, LIST_DEFAULT};
use crate::model::{Backup, BackupStatus, escape_bytes, format_bytes, format_duration};

const EXAMPLES: &str = "\
Examples:
  larder backups
  larder backups --status failed
  larder backups --host web --limit 10 --json

Completed backups are the snapshots of the repository, whoever made them. Which runs failed or were
interrupted, and which go on, only the machine knows on which they were started: it remembers that
in its state folder. `larder snapshots` lists the snapshots with all that is in them.

Checksum, in JSON, is the BLAKE3 hash of the stored record: `b3sum` of the file `object_name` in the
repository's folder prints the same.";

/// List the backups: completed, running and failed runs
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct BackupsArgs {
    /// Only these: `completed`, `failed`, `in_progress`, `pending` (may be repeated)
    #[arg(long, value_name = "STATUS", value_delimiter = ',',
          value_parser = words::<BackupStatus>(&["completed", "failed", "in_progress", "pending"]))]
    status: Vec<BackupStatus>,

    /// The newest N of them
    #[arg(long, value_name = "N", default_value_t = LIST_DEFAULT)]
    limit: usize,

    #[command(flatten)]
    filter: FilterArgs,
}

pub(super) fn run(args: &BackupsArgs, context: &Context) -> Result<Finish> {
    let out = &context.out;
    let filter = args.filter.filter()?;
    let query = BackupQuery {
        limit: Some(args.limit),
        status: args.status.clone(),
        hosts: filter.hosts,
        tags: filter.tags,
        paths: filter.paths.iter().map(|path| shown_path(path)).collect(),
        until: filter.until_ms.and_then(|ms| Timestamp::from_millisecond(ms).ok()),
        ..BackupQuery::default()
    };
    let manager = context.manager(context.open()?)?;
    let (page, list) = manager.list_with_log(&query)?;
    warn_of_bad(&list, out);
    warn_of_debts(manager.repository(), out)?;
    context.warn_of_history(&manager);
    if out.json {
        page.backups.iter().try_for_each(|backup| out.object(backup))?;
    } else {
        print(&page, context)?;
    }
    Ok(if list.bad.is_empty() { Finish::Done } else { Finish::Incomplete })
}

fn print(page: &BackupPage, context: &Context) -> Result<()> {
    // Nearly always nothing failed, and there is no column for it.
    let has_error = page.backups.iter().any(|backup| backup.error.is_some());
    let mut head = vec![
        ("Backup", Align::Left),
        ("Time", Align::Left),
        ("Kind", Align::Left),
        ("Status", Align::Left),
        ("Took", Align::Right),
        ("Host", Align::Left),
        ("Files", Align::Right),
        ("Size", Align::Right),
        ("Added", Align::Right),
        ("Sources", Align::Left),
    ];
    if has_error {
        head.push(("Why it failed", Align::Left));
    }
    let mut table = Table::new(&head);
    for backup in &page.backups {
        let text = |text: &str| escape_bytes(text.as_bytes()).into_owned();
        let is_there = backup.status == BackupStatus::Completed;
        let known = |shown: String| if is_there { shown } else { "-".into() };
        let mut row = vec![
            backup.backup_id.short(),
            local_ms(backup.timestamp.as_millisecond()),
            backup.backup_type.to_string(),
            backup.status.to_string().replace('_', " "),
            took(backup),
            text(&backup.host),
            known(count(backup.template_count)),
            known(format_bytes(backup.total_size)),
            known(format_bytes(backup.compressed_size)),
            backup.sources.join(", "),
        ];
        if has_error {
            row.push(backup.error.as_deref().map(text).unwrap_or_default());
        }
        table.row(row);
    }
    table.print(&context.out)?;
    let more = page.total - page.backups.len();
    if more > 0 {
        context.out.note(format!("{more} older: `--limit` lists more"))?;
    }
    Ok(())
}

fn took(backup: &Backup) -> String {
    let ms = backup.finished.map(|end| end.as_millisecond() - backup.timestamp.as_millisecond());
    match ms.map(u64::try_from) {
        Some(Ok(ms)) => format_duration(Duration::from_millis(ms)),
        _ => "-".into(),
    }
}
