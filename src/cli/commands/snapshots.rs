//! `larder snapshots`: lists them.

use std::collections::HashMap;
use std::ffi::OsString;

use clap::{Args, ValueEnum};
use serde::Serialize;

use super::shared::{FilterArgs, snapshot_name};
use crate::cli::Finish;
use crate::cli::context::Context;
use crate::cli::output::{Align, Table, count, iso_ms, local_ms};
use crate::cli::select::{shown_path, shown_roots, warn_of_bad};
use crate::error::Result;
use crate::model::{BackupStrategy, escape_bytes, format_bytes};
use crate::repository::Snapshot;
use crate::tree::SnapshotName;

const EXAMPLES: &str = "\
Examples:
  larder snapshots
  larder snapshots --host web --latest 3
  larder snapshots --path /home --tag weekly
  larder snapshots --group-by host --json";

/// List the snapshots
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct SnapshotsArgs {
    /// Snapshots to list: ids or their first digits, `latest`, `latest~2`
    #[arg(value_name = "SNAPSHOT")]
    snapshots: Vec<OsString>,

    /// Only the newest N of each host and set of sources
    #[arg(long, value_name = "N")]
    latest: Option<usize>,

    /// Print a table for each
    #[arg(short, long, value_name = "WHAT")]
    group_by: Option<GroupBy>,

    #[command(flatten)]
    filter: FilterArgs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum GroupBy {
    /// Host
    Host,
    /// Set of sources
    Paths,
    /// Host and set of sources
    Series,
}

pub(super) fn run(args: &SnapshotsArgs, context: &Context) -> Result<Finish> {
    let out = &context.out;
    let filter = args.filter.filter()?;
    let names: Vec<SnapshotName> =
        args.snapshots.iter().map(|name| snapshot_name(name)).collect::<Result<_>>()?;
    let list = context.open()?.snapshots()?;
    warn_of_bad(&list, out);
    let mut chosen: Vec<&Snapshot> = if names.is_empty() {
        filter.fitting(&list).collect()
    } else {
        names.iter().map(|name| name.find(&list, &filter)).collect::<Result<_>>()?
    };
    if let Some(latest) = args.latest {
        keep_latest(&mut chosen, latest);
    }
    if out.json {
        chosen.iter().try_for_each(|snapshot| out.object(&SnapshotJson::new(snapshot)))?;
    } else {
        match args.group_by {
            None => print(&chosen, context)?,
            Some(by) => print_groups(&chosen, by, context)?,
        }
    }
    Ok(if list.bad.is_empty() { Finish::Done } else { Finish::Incomplete })
}

/// Keeps the newest `latest` of each series; `chosen` is sorted by time.
fn keep_latest(chosen: &mut Vec<&Snapshot>, latest: usize) {
    let mut left: HashMap<_, usize> = HashMap::new();
    for snapshot in chosen.iter() {
        *left.entry(snapshot.body.series).or_default() += 1;
    }
    chosen.retain(|snapshot| {
        let newer = left.get_mut(&snapshot.body.series).expect("counted above");
        *newer -= 1;
        *newer < latest
    });
}

fn print_groups(chosen: &[&Snapshot], by: GroupBy, context: &Context) -> Result<()> {
    let mut groups: Vec<(String, Vec<&Snapshot>)> = Vec::new();
    for snapshot in chosen {
        let host = || format!("host {}", escape_bytes(snapshot.host.as_bytes()));
        let name = match by {
            GroupBy::Host => host(),
            GroupBy::Paths => shown_roots(snapshot).join(", "),
            GroupBy::Series => format!("{}: {}", host(), shown_roots(snapshot).join(", ")),
        };
        match groups.iter_mut().find(|(other, _)| *other == name) {
            Some((_, group)) => group.push(snapshot),
            None => groups.push((name, vec![snapshot])),
        }
    }
    for (number, (name, group)) in groups.iter().enumerate() {
        if number > 0 {
            context.out.line("")?;
        }
        context.out.line(name)?;
        print(group, context)?;
    }
    Ok(())
}

fn print(chosen: &[&Snapshot], context: &Context) -> Result<()> {
    let mut table = Table::new(&[
        ("Snapshot", Align::Left),
        ("Time", Align::Left),
        ("Kind", Align::Left),
        ("Host", Align::Left),
        ("Files", Align::Right),
        ("Size", Align::Right),
        ("Added", Align::Right),
        ("Tags", Align::Left),
        ("Sources", Align::Left),
    ]);
    for snapshot in chosen {
        let body = &snapshot.body;
        let mut kind = snapshot.strategy().to_string();
        if body.error_count > 0 {
            kind.push('!');
        }
        table.row(vec![
            snapshot.id.short(),
            local_ms(snapshot.time_ms()),
            kind,
            escape_bytes(snapshot.host.as_bytes()).into_owned(),
            count(body.files),
            format_bytes(body.bytes),
            format_bytes(body.added_stored),
            escape_bytes(body.tags.join(",").as_bytes()).into_owned(),
            shown_roots(snapshot).join(", "),
        ]);
    }
    table.print(&context.out)?;
    if chosen.iter().any(|snapshot| snapshot.body.error_count > 0) {
        context.out.note("! some files could not be read: `larder snapshots --json` names them")?;
    }
    Ok(())
}

/// A snapshot in JSON, here and wherever one is told of.
#[derive(Serialize)]
pub(super) struct SnapshotJson {
    id: String,
    short_id: String,
    time: Option<String>,
    end_time: Option<String>,
    strategy: BackupStrategy,
    parent: Option<String>,
    host: String,
    user: String,
    program: String,
    paths: Vec<String>,
    tags: Vec<String>,
    description: String,
    excludes: Vec<String>,
    entries: u64,
    files: u64,
    folders: u64,
    size_bytes: u64,
    added_bytes: u64,
    added_stored_bytes: u64,
    error_count: u64,
    errors: Vec<ErrorJson>,
    partial: bool,
    checksum: String,
}

#[derive(Serialize)]
struct ErrorJson {
    path: String,
    message: String,
}

impl SnapshotJson {
    pub(super) fn new(snapshot: &Snapshot) -> Self {
        let body = &snapshot.body;
        let errors = body.errors.iter().map(|error| ErrorJson {
            path: shown_path(&error.path.0),
            message: error.message.clone(),
        });
        Self {
            id: snapshot.id.to_string(),
            short_id: snapshot.id.short(),
            time: iso_ms(body.start_ms),
            end_time: iso_ms(body.end_ms),
            strategy: snapshot.strategy(),
            parent: body.parent.as_ref().map(|parent| parent.id.to_string()),
            host: snapshot.host.clone(),
            user: snapshot.user.clone(),
            program: snapshot.tool.clone(),
            paths: shown_roots(snapshot),
            tags: body.tags.clone(),
            description: body.description.clone(),
            excludes: body.excludes.clone(),
            entries: body.entries,
            files: body.files,
            folders: body.folders,
            size_bytes: body.bytes,
            added_bytes: body.added_bytes,
            added_stored_bytes: body.added_stored,
            error_count: body.error_count,
            errors: errors.collect(),
            partial: body.partial,
            checksum: snapshot.record.to_string(),
        }
    }
}
