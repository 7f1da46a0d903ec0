//! From the list of snapshots to a plan.

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::{ORDER_TAG, PlanOptions, RecoverPlan, RecoverStep, VERSION, shown};
use crate::error::{Error, Result};
use crate::model::entry::is_within;
use crate::model::{RepoId, escape_bytes};
use crate::repository::{Snapshot, SnapshotList};
use crate::tree::clean_path;

/// Paths that hold configuration, as manifests have them.
const CONFIGURATION: [&[u8]; 3] = [b"etc", b"usr/local/etc", b"opt/etc"];

impl RecoverPlan {
    /// Plans the way back.
    ///
    /// # Errors
    /// [`Error::NotFound`] if there is no good snapshot; [`Error::Usage`] if there are several
    /// hosts and none was chosen, and for a path that no snapshot has.
    pub fn new(list: &SnapshotList, repository: RepoId, options: &PlanOptions) -> Result<Self> {
        let mut notes = Vec::new();
        let picked = pick(list, options, &mut notes)?;
        let hosts: BTreeSet<&str> = picked.iter().map(|pick| &pick.snapshot.host[..]).collect();
        if hosts.len() > 1 && options.hosts.is_empty() {
            let names: Vec<String> = hosts.iter().map(|host| format!("`{host}`")).collect();
            return Err(Error::usage_hint(
                format!("the repository has backups of {}", names.join(", ")),
                "choose one with `--host`; several are restored into a folder each",
            ));
        }
        let mut pieces = pieces(&picked, options)?;
        put_first(&mut pieces, &options.order)?;
        leave_out_covered(&mut pieces, &mut notes);
        let several = hosts.len() > 1;
        let steps = steps(in_order(pieces), several);
        Ok(Self { version: VERSION, repository, notes, steps })
    }
}

/// The newest good snapshot of a series, and the number that the series was given.
struct Pick<'l> {
    snapshot: &'l Snapshot,
    number: Option<u32>,
}

fn pick<'l>(
    list: &'l SnapshotList,
    options: &PlanOptions,
    notes: &mut Vec<String>,
) -> Result<Vec<Pick<'l>>> {
    let is_meant = |snapshot: &&Snapshot| {
        (options.hosts.is_empty() || options.hosts.contains(&snapshot.host))
            && options.until_ms.is_none_or(|until| snapshot.time_ms() <= until)
    };
    let mut picked: Vec<Pick<'_>> = Vec::new();
    let mut passed: Vec<&Snapshot> = Vec::new();
    for snapshot in list.snapshots.iter().rev().filter(is_meant) {
        let known = picked.iter_mut().find(|p| p.snapshot.body.series == snapshot.body.series);
        match known {
            Some(pick) => pick.number = pick.number.or(number_of(snapshot)),
            None if snapshot.quarantine.is_some() || snapshot.suspect => passed.push(snapshot),
            None => picked.push(Pick { snapshot, number: number_of(snapshot) }),
        }
    }
    for snapshot in passed {
        let id = snapshot.id.short();
        let why = if snapshot.suspect { "suspect" } else { "in quarantine" };
        let series = &snapshot.body.series;
        let instead = picked.iter().find(|pick| pick.snapshot.body.series == *series);
        notes.push(match instead {
            Some(pick) => {
                format!("snapshot {id} is {why}: the older {} is taken", pick.snapshot.id.short())
            }
            None => format!(
                "snapshot {id} of `{}` is {why}, and there is no good one of this series: \
                 `larder restore {id}` restores it nevertheless",
                shown_roots(snapshot)
            ),
        });
    }
    if picked.is_empty() && list.snapshots.is_empty() {
        return Err(Error::usage_hint(
            "the repository has no snapshot at all",
            "were they forgotten? `larder undelete` may bring them back; or use another copy of \
             the repository",
        ));
    }
    if picked.is_empty() {
        let name =
            if options.hosts.is_empty() { "latest".into() } else { options.hosts.join(", ") };
        return Err(Error::NotFound { what: "snapshot", name });
    }
    for pick in &picked {
        let snapshot = pick.snapshot;
        let is_repaired = snapshot.body.original.is_some() && snapshot.body.partial;
        if is_repaired || snapshot.body.error_count > 0 {
            let what = if is_repaired { "what was left after damage" } else { "not all files" };
            notes.push(format!(
                "snapshot {} of `{}` holds {what}",
                snapshot.id.short(),
                shown_roots(snapshot)
            ));
        }
    }
    Ok(picked)
}

fn number_of(snapshot: &Snapshot) -> Option<u32> {
    snapshot.body.tags.iter().find_map(|tag| tag.strip_prefix(ORDER_TAG)?.trim().parse().ok())
}

/// The sources of a snapshot as manifests have them.
fn roots(snapshot: &Snapshot) -> impl Iterator<Item = Vec<u8>> {
    let of_stream = |root: &[u8]| clean_path(root.strip_prefix(b"stdin:").unwrap_or(root));
    snapshot.body.roots.iter().map(move |root| of_stream(&root.0))
}

fn shown_roots(snapshot: &Snapshot) -> String {
    roots(snapshot).map(|root| shown(&root)).collect::<Vec<_>>().join(" ")
}

/// One path of one snapshot.
#[derive(Clone)]
struct Piece<'l> {
    snapshot: &'l Snapshot,
    path: Vec<u8>,
    exclude: Vec<Vec<u8>>,
    rank: Rank,
}

/// Where a piece comes: the least first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    Asked(usize),
    Declared(u32),
    Configuration,
    Data,
}

impl Rank {
    fn why(self) -> String {
        match self {
            Self::Asked(_) => "asked for".into(),
            Self::Declared(number) => format!("{ORDER_TAG}{number}"),
            Self::Configuration => "configuration".into(),
            Self::Data => "data".into(),
        }
    }
}

fn pieces<'l>(picked: &[Pick<'l>], options: &PlanOptions) -> Result<Vec<Piece<'l>>> {
    let mut pieces = Vec::new();
    let mut put = |pick: &Pick<'l>, path: Vec<u8>| {
        let rank = match pick.number {
            Some(number) => Rank::Declared(number),
            None if is_configuration(&path, options) => Rank::Configuration,
            None => Rank::Data,
        };
        pieces.push(Piece { snapshot: pick.snapshot, path, exclude: Vec::new(), rank });
    };
    let mut missing: Vec<&Vec<u8>> = options.paths.iter().collect();
    for pick in picked {
        for root in roots(pick.snapshot) {
            if options.paths.is_empty() {
                put(pick, root);
                continue;
            }
            for path in &options.paths {
                if is_within(&root, path) {
                    put(pick, root.clone());
                } else if is_within(path, &root) {
                    put(pick, path.clone());
                } else {
                    continue;
                }
                missing.retain(|other| *other != path);
            }
        }
    }
    match missing.first() {
        Some(path) => Err(Error::NotFound { what: "path", name: shown(path) }),
        None => Ok(pieces),
    }
}

fn is_configuration(path: &[u8], options: &PlanOptions) -> bool {
    let is_own = options.own_config.as_deref().is_some_and(|own| is_within(path, own));
    is_own
        || CONFIGURATION.iter().any(|folder| is_within(path, folder))
        || path.split(|byte| *byte == b'/').any(|part| part == b".config")
}

/// Gives the paths that were asked for their places, and takes them out of what comes later.
fn put_first(pieces: &mut Vec<Piece<'_>>, order: &[Vec<u8>]) -> Result<()> {
    for (place, path) in order.iter().enumerate() {
        let mut found = false;
        let mut taken = Vec::new();
        for piece in pieces.iter_mut() {
            if is_within(&piece.path, path) {
                found = true;
                piece.rank = piece.rank.min(Rank::Asked(place));
            } else if is_within(path, &piece.path) {
                found = true;
                taken.push(Piece {
                    snapshot: piece.snapshot,
                    path: path.clone(),
                    exclude: Vec::new(),
                    rank: Rank::Asked(place),
                });
                piece.exclude.push(path.clone());
            }
        }
        if !found {
            return Err(Error::NotFound { what: "path", name: shown(path) });
        }
        pieces.extend(taken);
    }
    Ok(())
}

/// Drops what a newer snapshot of the same host holds as well, if that left out no more.
fn leave_out_covered(pieces: &mut Vec<Piece<'_>>, notes: &mut Vec<String>) {
    let all = pieces.clone();
    pieces.retain_mut(|piece| {
        let newer =
            || all.iter().filter(|other| is_newer(other, piece) && is_at_least(other, piece));
        let covers = |newer: &&Piece<'_>| {
            is_within(&piece.path, &newer.path)
                && !newer.exclude.iter().any(|path| overlap(path, &piece.path))
        };
        if let Some(newer) = newer().find(covers) {
            notes.push(format!(
                "`{}` in snapshot {} is older than in {} of `{}`, and left out",
                shown(&piece.path),
                piece.snapshot.id.short(),
                newer.snapshot.id.short(),
                shown(&newer.path),
            ));
            return false;
        }
        // A part of it can be left out where a pattern can say so.
        let is_part = |newer: &&Piece<'_>| {
            is_within(&newer.path, &piece.path)
                && newer.exclude.is_empty()
                && std::str::from_utf8(&newer.path).is_ok()
        };
        let parts: Vec<Vec<u8>> = newer().filter(is_part).map(|newer| newer.path.clone()).collect();
        piece.exclude.extend(parts);
        piece.exclude.sort();
        piece.exclude.dedup();
        true
    });
}

/// Whether a snapshot left out no more than an older one did.
fn is_at_least(newer: &Piece<'_>, piece: &Piece<'_>) -> bool {
    let (newer, older) = (&newer.snapshot.body, &piece.snapshot.body);
    let is_whole = newer.error_count == 0 && !newer.partial;
    is_whole && newer.excludes.iter().all(|pattern| older.excludes.contains(pattern))
}

fn is_newer(one: &Piece<'_>, other: &Piece<'_>) -> bool {
    one.snapshot.host == other.snapshot.host
        && one.snapshot.id != other.snapshot.id
        && one.snapshot.time_ms() > other.snapshot.time_ms()
}

fn overlap(one: &[u8], other: &[u8]) -> bool {
    is_within(one, other) || is_within(other, one)
}

/// By rank; but where two overlap the older comes first, so that what is newer stays.
fn in_order(mut pieces: Vec<Piece<'_>>) -> Vec<Piece<'_>> {
    pieces.sort_by(|a, b| {
        let key = |piece: &Piece<'_>| (piece.rank, piece.snapshot.host.clone());
        // Of one snapshot all paths together.
        let tie =
            |piece: &Piece<'_>| (piece.snapshot.time_ms(), piece.snapshot.id, piece.path.clone());
        key(a).cmp(&key(b)).then_with(|| tie(a).cmp(&tie(b)))
    });
    let mut ordered: Vec<Piece<'_>> = Vec::with_capacity(pieces.len());
    while !pieces.is_empty() {
        let meets = |piece: &Piece<'_>, older: &Piece<'_>| {
            overlap(&piece.path, &older.path) && !older.exclude.contains(&piece.path)
        };
        let waits = |piece: &Piece<'_>| {
            pieces.iter().any(|other| is_newer(piece, other) && meets(piece, other))
        };
        // The oldest of those left waits for none.
        let next = pieces.iter().position(|piece| !waits(piece)).unwrap_or(0);
        ordered.push(pieces.remove(next));
    }
    ordered
}

/// Puts neighbours of one snapshot and rank into one step.
fn steps(pieces: Vec<Piece<'_>>, several_hosts: bool) -> Vec<RecoverStep> {
    let is_together =
        |a: &Piece<'_>, b: &Piece<'_>| a.snapshot.id == b.snapshot.id && a.rank == b.rank;
    let step = |group: &[Piece<'_>]| {
        let snapshot = group[0].snapshot;
        let paths: Vec<String> = group.iter().map(|piece| shown(&piece.path)).collect();
        let all: BTreeSet<String> = roots(snapshot).map(|root| shown(&root)).collect();
        let exclude: Vec<String> =
            group.iter().flat_map(|piece| &piece.exclude).map(|path| shown(path)).collect();
        let is_all = exclude.is_empty() && paths.iter().cloned().collect::<BTreeSet<_>>() == all;
        RecoverStep {
            snapshot: snapshot.id.to_string(),
            host: snapshot.host.clone(),
            time: Timestamp::from_millisecond(snapshot.time_ms()).ok(),
            order: group[0].rank.why(),
            paths,
            exclude,
            target: several_hosts.then(|| folder_of(&snapshot.host)),
            files: is_all.then_some(snapshot.body.files),
            bytes: is_all.then_some(snapshot.body.bytes),
        }
    };
    pieces.chunk_by(is_together).map(step).collect()
}

/// A host's name as that of a folder.
fn folder_of(host: &str) -> String {
    let name = escape_bytes(host.as_bytes()).replace('/', "%2F");
    if name.is_empty() || name == "." || name == ".." { format!("host {name}") } else { name }
}
