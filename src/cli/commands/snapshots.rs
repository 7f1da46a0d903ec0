//! `larder snapshots`: lists them.

use std::collections::{HashMap, HashSet};
use std::ffi::OsString;

use clap::{Args, ValueEnum};
use serde::Serialize;

use super::shared::{FilterArgs, snapshot_name};
use crate::cli::Finish;
use crate::cli::context::Context;
use crate::cli::mirrors::warn_of_debts;
use crate::cli::output::{Align, Table, count, iso_ms, local_ms};
use crate::cli::select::{shown_path, shown_roots, warn_of_bad};
use crate::error::Result;
use crate::model::{BackupStrategy, ObjectHash, escape_bytes, format_bytes};
use crate::repository::{Forgotten, Snapshot, SnapshotList};
use crate::retention::Candidate;
use crate::tree::{SnapshotFilter, SnapshotName};

const EXAMPLES: &str = "\
Examples:
  larder snapshots
  larder snapshots --host web --latest 3
  larder snapshots --path /home --tag weekly
  larder snapshots --group-by host --json
  larder snapshots --forgotten                what `larder undelete` can bring back

State says what is special: pinned; quarantined; suspect (a prune took its run for dead: check it);
out of time (storage saw it at another time than it claims, see `larder help forget`).";

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

    /// List the forgotten ones, whose data is still there
    #[arg(long, conflicts_with_all = ["latest", "group_by"])]
    forgotten: bool,

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
    let repository = context.open()?;
    let list = repository.snapshots()?;
    warn_of_bad(&list, out);
    warn_of_debts(&repository, out)?;
    if args.forgotten {
        let known: Vec<&Snapshot> = list.undeletable().iter().map(|gone| &gone.snapshot).collect();
        let chosen = choose(&names, &known, &filter)?;
        show_forgotten(&list, &chosen, context)?;
        return Ok(finish(&list));
    }
    let known: Vec<&Snapshot> = list.snapshots.iter().collect();
    let mut chosen = choose(&names, &known, &filter)?;
    if let Some(latest) = args.latest {
        keep_latest(&mut chosen, latest);
    }
    let states = States::of(&list);
    if out.json {
        let json =
            |snapshot: &&Snapshot| SnapshotJson::new(snapshot, states.is_out_of_time(snapshot));
        chosen.iter().try_for_each(|snapshot| out.object(&json(snapshot)))?;
    } else {
        match args.group_by {
            None => print(&chosen, &states, context)?,
            Some(by) => print_groups(&chosen, by, &states, context)?,
        }
    }
    Ok(finish(&list))
}

fn finish(list: &SnapshotList) -> Finish {
    if list.bad.is_empty() { Finish::Done } else { Finish::Incomplete }
}

/// Those of `known` that are named or, without names, fit the filter.
fn choose<'l>(
    names: &[SnapshotName],
    known: &[&'l Snapshot],
    filter: &SnapshotFilter,
) -> Result<Vec<&'l Snapshot>> {
    if names.is_empty() {
        return Ok(known.iter().copied().filter(|snapshot| filter.fits(snapshot)).collect());
    }
    names.iter().map(|name| name.find_among(known.iter().copied(), filter)).collect()
}

/// What is special about snapshots.
struct States(HashSet<ObjectHash>);

impl States {
    fn of(list: &SnapshotList) -> Self {
        let candidates = Candidate::all_of(list);
        let all = list.snapshots.iter().zip(&candidates);
        let out_of_time = all.filter(|(_, candidate)| candidate.retention_ms().is_none());
        Self(out_of_time.map(|(snapshot, _)| snapshot.record).collect())
    }

    fn is_out_of_time(&self, snapshot: &Snapshot) -> bool {
        self.0.contains(&snapshot.record)
    }

    /// In words, as tables show it.
    fn text(&self, snapshot: &Snapshot) -> String {
        let words = [
            (snapshot.pinned, "pinned"),
            (snapshot.quarantine.is_some(), "quarantined"),
            (snapshot.suspect, "suspect"),
            (self.is_out_of_time(snapshot), "out of time"),
        ];
        let words: Vec<_> = words.iter().filter(|(is, _)| *is).map(|(_, word)| *word).collect();
        words.join(", ")
    }
}

/// A forgotten snapshot in JSON.
#[derive(Serialize)]
struct ForgottenJson {
    #[serde(flatten)]
    snapshot: SnapshotJson,
    forgotten_time: Option<String>,
    forgotten_reason: String,
}

fn show_forgotten(list: &SnapshotList, chosen: &[&Snapshot], context: &Context) -> Result<()> {
    let is_chosen = |gone: &&Forgotten| chosen.iter().any(|one| one.record == gone.snapshot.record);
    let chosen = list.forgotten.iter().filter(is_chosen);
    let out = &context.out;
    if out.json {
        for gone in chosen {
            out.object(&ForgottenJson {
                snapshot: SnapshotJson::new(&gone.snapshot, false),
                forgotten_time: gone.forgotten_ms.and_then(iso_ms),
                forgotten_reason: gone.reason.clone(),
            })?;
        }
        return Ok(());
    }
    let mut table = Table::new(&[
        ("Snapshot", Align::Left),
        ("Time", Align::Left),
        ("Host", Align::Left),
        ("Forgotten", Align::Left),
        ("Why", Align::Left),
        ("Sources", Align::Left),
    ]);
    for gone in chosen {
        table.row(vec![
            gone.snapshot.id.short(),
            local_ms(gone.snapshot.time_ms()),
            escape_bytes(gone.snapshot.host.as_bytes()).into_owned(),
            gone.forgotten_ms.map_or_else(|| "-".into(), local_ms),
            escape_bytes(gone.reason.as_bytes()).into_owned(),
            shown_roots(&gone.snapshot).join(", "),
        ]);
    }
    table.print(out)
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

fn print_groups(
    chosen: &[&Snapshot],
    by: GroupBy,
    states: &States,
    context: &Context,
) -> Result<()> {
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
        print(group, states, context)?;
    }
    Ok(())
}

fn print(chosen: &[&Snapshot], states: &States, context: &Context) -> Result<()> {
    // Nearly always there is nothing special, and no column for it.
    let has_state = chosen.iter().any(|snapshot| !states.text(snapshot).is_empty());
    let mut head = vec![
        ("Snapshot", Align::Left),
        ("Time", Align::Left),
        ("Kind", Align::Left),
        ("Host", Align::Left),
        ("Files", Align::Right),
        ("Size", Align::Right),
        ("Added", Align::Right),
        ("Tags", Align::Left),
    ];
    if has_state {
        head.push(("State", Align::Left));
    }
    head.push(("Sources", Align::Left));
    let mut table = Table::new(&head);
    for snapshot in chosen {
        let body = &snapshot.body;
        let mut kind = snapshot.strategy().to_string();
        if body.error_count > 0 {
            kind.push('!');
        }
        let mut row = vec![
            snapshot.id.short(),
            local_ms(snapshot.time_ms()),
            kind,
            escape_bytes(snapshot.host.as_bytes()).into_owned(),
            count(body.files),
            format_bytes(body.bytes),
            format_bytes(body.added_stored),
            escape_bytes(body.tags.join(",").as_bytes()).into_owned(),
        ];
        if has_state {
            row.push(states.text(snapshot));
        }
        row.push(shown_roots(snapshot).join(", "));
        table.row(row);
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
    /// The snapshot that it was made from.
    original: Option<String>,
    /// When storage first showed it.
    first_seen: Option<String>,
    pinned: bool,
    /// Why it is in quarantine, if it is.
    quarantine: Option<String>,
    suspect: bool,
    /// Storage saw it at another time than it claims.
    out_of_time: bool,
}

#[derive(Serialize)]
struct ErrorJson {
    path: String,
    message: String,
}

impl SnapshotJson {
    pub(super) fn new(snapshot: &Snapshot, out_of_time: bool) -> Self {
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
            original: body.original.map(|original| original.to_string()),
            first_seen: snapshot.first_seen_ms.and_then(iso_ms),
            pinned: snapshot.pinned,
            quarantine: snapshot.quarantine.clone(),
            suspect: snapshot.suspect,
            out_of_time,
        }
    }
}
