//! `larder diff`: compares two snapshots.

mod content;

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;

use clap::Args;
use serde::Serialize;

use self::content::{Compared, ContentJson, Contents, one_path};
use super::shared::{size, snapshot_name};
use crate::cli::Finish;
use crate::cli::context::Context;
use crate::cli::entry::EntryJson;
use crate::cli::output::{Output, count};
use crate::cli::select::{shown_path, warn_of_bad};
use crate::error::Result;
use crate::model::{escape_bytes, format_bytes};
use crate::tree::{
    DiffSide, DiffSummary, Difference, DifferenceKind, Fields, Manifest, SnapshotFilter, Tally,
    diff, parse_path,
};

const EXAMPLES: &str = "\
Examples:
  larder diff latest~1 latest
  larder diff 4f1c:etc 9b20:etc
  larder diff latest~7 latest --metadata --json
  larder diff latest~1 latest --content /home/ann/letter.txt
  larder diff --content 4f1c:etc/fstab 9b20:etc/fstab.new

Each line begins with what happened: + added, - removed, M other content, T of another kind,
U only other metadata (which, is said behind). With --content, what changed in a text follows, as
`diff -u` prints it: `patch` takes it. On a terminal, control characters are shown as ^[ and <9B>.";

/// Compare two snapshots
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct DiffArgs {
    /// The older snapshot
    #[arg(value_name = "A[:PATH]")]
    old: OsString,

    /// The newer snapshot
    #[arg(value_name = "B[:PATH]")]
    new: OsString,

    /// Only this file or folder in both
    #[arg(value_name = "PATH")]
    path: Option<OsString>,

    /// List files too of which only owner, mode, times or attributes changed
    #[arg(long)]
    metadata: bool,

    /// Print what changed in texts and link targets, line by line
    #[arg(long)]
    content: bool,

    /// Largest file that --content compares; larger ones are only said to differ
    #[arg(long, value_name = "SIZE", value_parser = size, default_value = "8M", requires = "content")]
    content_max: u64,
}

pub(super) fn run(args: &DiffArgs, context: &Context) -> Result<Finish> {
    let out = &context.out;
    let (old, new) = (snapshot_name(&args.old)?, snapshot_name(&args.new)?);
    let repository = context.open_indexed()?;
    let list = repository.snapshots()?;
    warn_of_bad(&list, out);
    let all = SnapshotFilter::default();
    let manifests = (Manifest::of(old.find(&list, &all)?), Manifest::of(new.find(&list, &all)?));
    let path = args.path.as_ref().map(|path| parse_path(path.as_bytes())).transpose()?;
    let old_folder = one_path(old.path, path.as_ref())?;
    let new_folder = one_path(new.path, path.as_ref())?;
    let whole = old_folder == new_folder;
    let (old, new) = manifests;
    let contents = Contents { repository: &repository, old, new, max_len: args.content_max };
    let mut unreadable = 0;
    let summary = diff(
        &repository,
        DiffSide { manifest: old, folder: &old_folder },
        DiffSide { manifest: new, folder: &new_folder },
        &mut |difference| {
            context.cancel.check()?;
            if difference.kind == DifferenceKind::Metadata && !args.metadata {
                return Ok(());
            }
            // Different folders are compared by what is in them, so their own paths say nothing.
            let entry = difference.new.or(difference.old);
            let path = match entry.filter(|_| whole || difference.path.is_empty()) {
                Some(entry) => shown_path(&entry.path),
                None => escape_bytes(difference.path).into_owned(),
            };
            let compared = match args.content {
                true => contents.compare(difference)?,
                false => None,
            };
            unreadable += u64::from(matches!(compared, Some(Compared::Unreadable(_))));
            let json = compared.as_ref().map(|found| ContentJson::new(found, args.content_max));
            print(difference, path, json, out)?;
            match compared {
                Some(found) if !out.json => contents.print(difference, &found, out),
                _ => Ok(()),
            }
        },
    )?;
    if out.json {
        out.message("summary", &SummaryJson::new(&summary))?;
    } else {
        print_summary(&summary, out)?;
    }
    Ok(if unreadable == 0 { Finish::Done } else { Finish::Damaged })
}

fn print(
    difference: &Difference<'_>,
    path: String,
    content: Option<ContentJson<'_>>,
    out: &Output,
) -> Result<()> {
    let (letter, change) = match difference.kind {
        DifferenceKind::Added => ('+', "added"),
        DifferenceKind::Removed => ('-', "removed"),
        DifferenceKind::Modified => ('M', "modified"),
        DifferenceKind::TypeChanged => ('T', "type_changed"),
        DifferenceKind::Metadata => ('U', "metadata"),
    };
    let fields = fields_differing(difference.fields);
    if out.json {
        let old = difference.old.map(EntryJson::new);
        let new = difference.new.map(EntryJson::new);
        return out.message("change", &Change { change, path, fields, old, new, content });
    }
    if difference.kind == DifferenceKind::Metadata {
        return out.line(format!("{letter}  {path}  ({})", fields.join(", ")));
    }
    out.line(format!("{letter}  {path}"))
}

/// The names of the metadata that differs.
pub(super) fn fields_differing(fields: Fields) -> Vec<&'static str> {
    let all = [
        (fields.mode, "mode"),
        (fields.owner, "owner"),
        (fields.mtime, "mtime"),
        (fields.xattrs, "xattrs"),
        (fields.flags, "flags"),
        (fields.links, "links"),
    ];
    all.into_iter().filter(|(differs, _)| *differs).map(|(_, name)| name).collect()
}

/// A `change` in JSON.
#[derive(Serialize)]
struct Change<'c> {
    change: &'static str,
    path: String,
    fields: Vec<&'static str>,
    old: Option<EntryJson>,
    new: Option<EntryJson>,
    /// What changed in it, with `--content`.
    #[serde(skip_serializing_if = "Option::is_none")]
    content: Option<ContentJson<'c>>,
}

fn print_summary(summary: &DiffSummary, out: &Output) -> Result<()> {
    for (name, parts) in parts(summary) {
        if !parts.is_empty() {
            out.note(format!("{name:<8} {}", parts.join(", ")))?;
        }
    }
    let (added, removed) = (format_bytes(summary.added_bytes), format_bytes(summary.removed_bytes));
    out.note(format!("bytes    {added} added, {removed} removed"))
}

/// How many files, folders and others changed, in words.
fn parts(summary: &DiffSummary) -> [(&'static str, Vec<String>); 3] {
    let (added, removed) = (&summary.added, &summary.removed);
    let (modified, other) = (&summary.modified, &summary.type_changed);
    let metadata = &summary.metadata;
    let parts = |of: fn(&Tally) -> u64| {
        let what = ["added", "removed", "modified", "of another kind", "with other metadata"];
        let counts = [of(added), of(removed), of(modified), of(other), of(metadata)];
        let some = counts.into_iter().zip(what).filter(|(number, _)| *number > 0);
        some.map(|(number, what)| format!("{} {what}", count(number))).collect()
    };
    [
        ("files", parts(|tally| tally.files)),
        ("folders", parts(|tally| tally.dirs)),
        ("others", parts(|tally| tally.others)),
    ]
}

/// What changed, in a line: `files 1 added, 2 modified; folders 1 removed`; nothing if nothing did.
pub(super) fn summary_line(summary: &DiffSummary) -> Option<String> {
    let some = parts(summary).into_iter().filter(|(_, parts)| !parts.is_empty());
    let all: Vec<String> =
        some.map(|(name, parts)| format!("{name} {}", parts.join(", "))).collect();
    (!all.is_empty()).then(|| all.join("; "))
}

/// The `summary` in JSON.
#[derive(Serialize)]
pub(super) struct SummaryJson {
    added: TallyJson,
    removed: TallyJson,
    modified: TallyJson,
    metadata: TallyJson,
    type_changed: TallyJson,
    added_bytes: u64,
    removed_bytes: u64,
}

#[derive(Serialize)]
struct TallyJson {
    files: u64,
    folders: u64,
    others: u64,
}

impl SummaryJson {
    pub(super) fn new(summary: &DiffSummary) -> Self {
        let tally = |t: &Tally| TallyJson { files: t.files, folders: t.dirs, others: t.others };
        Self {
            added: tally(&summary.added),
            removed: tally(&summary.removed),
            modified: tally(&summary.modified),
            metadata: tally(&summary.metadata),
            type_changed: tally(&summary.type_changed),
            added_bytes: summary.added_bytes,
            removed_bytes: summary.removed_bytes,
        }
    }
}
