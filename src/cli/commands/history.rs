//! `larder history`: all versions of a path.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

use clap::Args;
use serde::Serialize;

use super::diff::{fields_differing, summary_line};
use super::shared::FilterArgs;
use crate::cli::Finish;
use crate::cli::context::Context;
use crate::cli::entry::EntryJson;
use crate::cli::output::{Align, Output, Table, iso_ms, local_ms, local_ns, plural};
use crate::cli::select::{shown_path, shown_root, source_path, warn_of_bad};
use crate::error::{Error, Result};
use crate::model::{FileKind, escape_bytes, format_bytes, unescape_bytes};
use crate::repository::{Repository, SnapshotList};
use crate::tree::{
    GapReason, HistoryGap, PathHistory, SeenIn, SeriesHistory, SnapshotFilter, Version,
    VersionChange, history, parse_path,
};

const EXAMPLES: &str = "\
Examples:
  larder history letter.txt
  larder history /etc/fstab --host web
  larder history /home/ann/photos --at '3 months ago' --json

Each line is a version: the first snapshot that has it, and how many have it. A file has another
version when its content or its metadata (mode, owner, time of change, attributes) is another; a
folder too when something in it came, went or changed. `larder diff --content` shows what changed
in a text, `larder dump SNAPSHOT:PATH` prints a version.";

/// List all versions of a file or folder
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct HistoryArgs {
    /// The file or folder, seen from the current folder, or as `larder ls` shows it
    #[arg(value_name = "PATH")]
    file: OsString,

    #[command(flatten)]
    filter: FilterArgs,
}

pub(super) fn run(args: &HistoryArgs, context: &Context) -> Result<Finish> {
    let out = &context.out;
    let paths = meant(&args.file)?;
    let filter = args.filter.filter()?;
    let repository = context.open_indexed()?;
    let list = repository.snapshots()?;
    warn_of_bad(&list, out);
    let (path, found) = find(&repository, &list, &filter, &paths, context)?;
    if out.json {
        print_json(&path, &found, out)?;
    } else {
        print(&path, &found, out)?;
    }
    let is_damaged = found.series.iter().any(SeriesHistory::has_damage) || !list.bad.is_empty();
    Ok(if is_damaged { Finish::Damaged } else { Finish::Done })
}

/// The paths that may be meant, as manifests have them, in the order in which they are looked for:
/// a file by its name from where one is, then what was shown by `ls`, where `%XX` stands for bytes.
fn meant(text: &OsStr) -> Result<Vec<Vec<u8>>> {
    let both = |bytes: &[u8]| -> Result<[Vec<u8>; 2]> {
        let from_here = source_path(OsStr::from_bytes(bytes).as_ref())?;
        // Checked, not unescaped once more: `%XX` in it is a part of the name.
        let check = |path: &[u8]| parse_path(escape_bytes(path).as_bytes());
        Ok([check(&from_here)?, check(bytes)?])
    };
    let raw = text.as_bytes();
    let mut paths = both(raw)?.to_vec();
    // What makes no path like that is a name that only looks so.
    paths.extend(both(&unescape_bytes(raw)).into_iter().flatten());
    let mut seen = Vec::new();
    for path in paths {
        if !seen.contains(&path) {
            seen.push(path);
        }
    }
    Ok(seen)
}

fn find(
    repository: &Repository,
    list: &SnapshotList,
    filter: &SnapshotFilter,
    paths: &[Vec<u8>],
    context: &Context,
) -> Result<(Vec<u8>, PathHistory)> {
    let mut missing = None;
    for path in paths {
        match history(repository, filter.fitting(list), path, &context.cancel) {
            Ok(found) => return Ok((path.clone(), found)),
            Err(error @ Error::NotFound { what: "path", .. }) => _ = missing.get_or_insert(error),
            Err(error) => return Err(error),
        }
    }
    Err(missing.unwrap_or_else(|| Error::usage("name a path")))
}

fn print(path: &[u8], found: &PathHistory, out: &Output) -> Result<()> {
    for (number, series) in found.series.iter().enumerate() {
        if found.series.len() > 1 {
            if number > 0 {
                out.line("")?;
            }
            let roots: Vec<String> = series.roots.iter().map(|root| shown_root(root)).collect();
            out.line(format!(
                "host {}: {}",
                escape_bytes(series.host.as_bytes()),
                roots.join(", ")
            ))?;
        }
        print_versions(&series.versions, out)?;
        for gap in &series.gaps {
            warn_of_gap(gap, out);
        }
    }
    let versions = found.series.iter().map(|series| series.versions.len() as u64).sum();
    out.note(format!(
        "{} of {} in {}",
        plural(versions, "version"),
        shown_path(path),
        plural(found.snapshots, "snapshot")
    ))
}

fn print_versions(versions: &[Version], out: &Output) -> Result<()> {
    let mut table = Table::new(&[
        ("First in", Align::Left),
        ("Time", Align::Left),
        ("Snapshots", Align::Right),
        ("Size", Align::Right),
        ("Modified", Align::Left),
        ("Change", Align::Left),
    ]);
    for version in versions {
        let entry = version.entry.as_deref();
        let size = entry.filter(|entry| entry.kind == FileKind::File);
        table.row(vec![
            version.first.id.short(),
            local_ms(version.first.time_ms),
            version.snapshots.to_string(),
            size.map_or_else(|| "-".into(), |entry| format_bytes(entry.size)),
            entry.map_or_else(|| "-".into(), |entry| local_ns(entry.mtime.as_ns())),
            change_text(version),
        ]);
    }
    table.print(out)
}

/// What is different, in words.
fn change_text(version: &Version) -> String {
    let kind = || version.entry.as_ref().map_or("", |entry| entry.kind.as_str());
    let mut text = match version.change {
        VersionChange::First => "first".to_owned(),
        VersionChange::Appeared => "added".to_owned(),
        VersionChange::Removed => "removed".to_owned(),
        VersionChange::Kind => format!("a {} now", kind()),
        VersionChange::Content(_) => "content".to_owned(),
        VersionChange::Metadata(fields) => {
            let fields = fields_differing(fields);
            match fields.is_empty() {
                true => "metadata".to_owned(),
                false => format!("metadata: {}", fields.join(", ")),
            }
        }
    };
    if let Some(inside) = version.inside.as_ref().and_then(summary_line) {
        text.push_str(": ");
        text.push_str(&inside);
    }
    text
}

fn warn_of_gap(gap: &HistoryGap, out: &Output) {
    let (id, time) = (gap.snapshot.id.short(), local_ms(gap.snapshot.time_ms));
    let text = match &gap.reason {
        GapReason::Damaged(error) => format!("snapshot {id} of {time} cannot be read: {error}"),
        GapReason::NotBackedUp(message) => {
            let message = escape_bytes(message.as_bytes());
            format!("snapshot {id} of {time} lacks it: it could not be read ({message})")
        }
    };
    out.warn(&text);
}

/// A version in JSON.
#[derive(Serialize)]
struct VersionJson {
    path: String,
    host: String,
    sources: Vec<String>,
    first: SeenJson,
    last: SeenJson,
    snapshots: u64,
    /// `first`, `added`, `removed`, `kind`, `content` or `metadata`.
    change: &'static str,
    /// Which metadata differs.
    fields: Vec<&'static str>,
    /// What changed in a folder.
    #[serde(skip_serializing_if = "Option::is_none")]
    inside: Option<super::diff::SummaryJson>,
    /// Nothing where it is not there.
    entry: Option<EntryJson>,
}

#[derive(Serialize)]
struct SeenJson {
    snapshot_id: String,
    time: Option<String>,
}

impl SeenJson {
    fn new(seen: SeenIn) -> Self {
        Self { snapshot_id: seen.id.to_string(), time: iso_ms(seen.time_ms) }
    }
}

/// A snapshot that tells nothing, in JSON.
#[derive(Serialize)]
struct GapJson {
    snapshot: SeenJson,
    /// `damaged` or `not_backed_up`.
    reason: &'static str,
    message: String,
}

fn print_json(path: &[u8], found: &PathHistory, out: &Output) -> Result<()> {
    for series in &found.series {
        for version in &series.versions {
            let (change, fields) = match version.change {
                VersionChange::First => ("first", None),
                VersionChange::Appeared => ("added", None),
                VersionChange::Removed => ("removed", None),
                VersionChange::Kind => ("kind", None),
                VersionChange::Content(fields) => ("content", Some(fields)),
                VersionChange::Metadata(fields) => ("metadata", Some(fields)),
            };
            let json = VersionJson {
                path: shown_path(path),
                host: series.host.clone(),
                sources: series.roots.iter().map(|root| shown_root(root)).collect(),
                first: SeenJson::new(version.first),
                last: SeenJson::new(version.last),
                snapshots: version.snapshots,
                change,
                fields: fields.map(fields_differing).unwrap_or_default(),
                inside: version.inside.as_ref().map(super::diff::SummaryJson::new),
                entry: version.entry.as_deref().map(EntryJson::new),
            };
            out.message("version", &json)?;
        }
        for gap in &series.gaps {
            let (reason, message) = match &gap.reason {
                GapReason::Damaged(error) => ("damaged", error.to_string()),
                GapReason::NotBackedUp(message) => ("not_backed_up", message.clone()),
            };
            let snapshot = SeenJson::new(gap.snapshot);
            out.message("gap", &GapJson { snapshot, reason, message })?;
        }
    }
    Ok(())
}
