//! `larder find`: looks for names in all snapshots.

use std::ffi::OsString;

use clap::{Args, ValueEnum};
use serde::Serialize;

use super::shared::{FilterArgs, size, snapshot_name};
use crate::cli::Finish;
use crate::cli::context::Context;
use crate::cli::entry::{EntryJson, EntryStyle};
use crate::cli::output::{local_ms, plural};
use crate::cli::select::{shown_roots, warn_of_bad};
use crate::cli::time::{parse_at, parse_start};
use crate::error::Result;
use crate::model::{FileKind, Time, escape_bytes};
use crate::repository::Snapshot;
use crate::tree::{FindQuery, Finder, Manifest};

const EXAMPLES: &str = "\
Examples:
  larder find report.odt
  larder find '*.jpg' --host laptop
  larder find '/etc/ssh/*' --at 2026-11-01 -l
  larder find -i 'readme*' --snapshot latest
  larder find '*' --in /home/ann --kind file --larger-than 1G --newer '3 days ago'

A pattern without `/` fits a name in any folder, one that begins with `/` a whole path, any other
the last parts of a path.";

/// Find files by name in all snapshots
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct FindArgs {
    /// Patterns to look for
    #[arg(value_name = "PATTERN", required = true)]
    patterns: Vec<String>,

    /// Upper and lower case are equal
    #[arg(short, long)]
    ignore_case: bool,

    /// Print mode, owner, size and time too
    #[arg(short, long)]
    long: bool,

    /// Look only in this snapshot (may be repeated)
    #[arg(short, long, value_name = "SNAPSHOT")]
    snapshot: Vec<OsString>,

    /// Look only in this folder of the snapshots
    #[arg(long = "in", value_name = "PATH")]
    folder: Option<OsString>,

    /// Only entries of this kind (may be repeated)
    #[arg(long, value_name = "KIND")]
    kind: Vec<KindArg>,

    /// Only files of this size or larger
    #[arg(long, value_name = "SIZE", value_parser = size)]
    larger_than: Option<u64>,

    /// Only files of this size or smaller
    #[arg(long, value_name = "SIZE", value_parser = size)]
    smaller_than: Option<u64>,

    /// Only entries that changed at this time or later
    #[arg(long, value_name = "TIME", value_parser = parse_start)]
    newer: Option<i64>,

    /// Only entries that changed at this time or before
    #[arg(long, value_name = "TIME", value_parser = parse_at)]
    older: Option<i64>,

    #[command(flatten)]
    filter: FilterArgs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum KindArg {
    /// Regular files
    File,
    /// Folders
    Folder,
    /// Symbolic links
    Link,
    /// Pipes, sockets and devices
    Other,
}

impl KindArg {
    fn kinds(self) -> &'static [FileKind] {
        match self {
            Self::File => &[FileKind::File],
            Self::Folder => &[FileKind::Dir],
            Self::Link => &[FileKind::Symlink],
            Self::Other => {
                &[FileKind::Fifo, FileKind::Socket, FileKind::CharDevice, FileKind::BlockDevice]
            }
        }
    }
}

pub(super) fn run(args: FindArgs, context: &Context) -> Result<Finish> {
    let out = &context.out;
    let style = EntryStyle { long: args.long };
    let filter = args.filter.filter()?;
    let names = args.snapshot.iter().map(|name| snapshot_name(name)).collect::<Result<Vec<_>>>()?;
    let query = args.query()?;
    let repository = context.open_indexed()?;
    let mut finder = Finder::new(&repository, query)?;
    let list = repository.snapshots()?;
    warn_of_bad(&list, out);
    let chosen: Vec<&Snapshot> = if names.is_empty() {
        filter.fitting(&list).collect()
    } else {
        names.iter().map(|name| name.find(&list, &filter)).collect::<Result<_>>()?
    };
    let (mut found, mut unreadable) = (0, 0);
    for snapshot in chosen {
        let mut first = true;
        finder.search(&Manifest::of(snapshot), &mut |entry| {
            context.cancel.check()?;
            let entry = match entry {
                Ok(entry) => entry,
                Err(error) if error.is_damage() => {
                    unreadable += 1;
                    out.warn(&format!(
                        "a part of snapshot {} cannot be searched: {error}",
                        snapshot.id.short()
                    ));
                    return Ok(());
                }
                Err(error) => return Err(error),
            };
            found += 1;
            if out.json {
                let snapshot_id = snapshot.id.to_string();
                return out.object(&Found { snapshot_id, entry: EntryJson::new(entry) });
            }
            if std::mem::take(&mut first) {
                out.line(heading(snapshot))?;
            }
            out.line(format!("  {}", style.line(entry)))
        })?;
    }
    if found == 0 {
        out.note(format!("nothing found in {}", plural(list.snapshots.len() as u64, "snapshot")))?;
    }
    Ok(Finish::with_failed(unreadable + list.bad.len() as u64))
}

impl FindArgs {
    fn query(self) -> Result<FindQuery> {
        use std::os::unix::ffi::OsStrExt;
        let folder = self.folder.map(|folder| crate::tree::parse_path(folder.as_bytes()));
        Ok(FindQuery {
            patterns: self.patterns,
            ignore_case: self.ignore_case,
            folder: folder.transpose()?.unwrap_or_default(),
            kinds: self.kind.iter().flat_map(|kind| kind.kinds()).copied().collect(),
            mtime_min: self.newer.map(time),
            mtime_max: self.older.map(time),
            size_min: self.larger_than,
            size_max: self.smaller_than,
        })
    }
}

fn time(time_ms: i64) -> Time {
    let nanos = time_ms.rem_euclid(1000) as u32 * 1_000_000;
    Time { secs: time_ms.div_euclid(1000), nanos }
}

fn heading(snapshot: &Snapshot) -> String {
    format!(
        "snapshot {} of {}, host {}, {}",
        snapshot.id.short(),
        local_ms(snapshot.time_ms()),
        escape_bytes(snapshot.host.as_bytes()),
        shown_roots(snapshot).join(", "),
    )
}

/// An entry that was found, in JSON.
#[derive(Serialize)]
struct Found {
    snapshot_id: String,
    #[serde(flatten)]
    entry: EntryJson,
}
