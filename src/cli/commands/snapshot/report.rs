//! What `larder snapshot` says in the end.

use serde::Serialize;

use crate::archive::{BackupReport, BackupStats};
use crate::cli::context::Context;
use crate::cli::output::{count, plural};
use crate::error::Result;
use crate::model::{BackupStrategy, format_bytes, format_duration};
use crate::repository::HeadCode;
use crate::storage::MirrorState;

pub(super) fn print(report: &BackupReport, context: &Context) -> Result<()> {
    let out = &context.out;
    let stats = &report.stats;
    let kind = match report.parent {
        Some(parent) => format!("{}, compared with {}", report.strategy, parent.short()),
        None => report.strategy.to_string(),
    };
    let time = format_duration(report.duration);
    out.note(match &report.snapshot {
        Some(snapshot) => format!("snapshot {} saved in {time} ({kind})", snapshot.id.short()),
        None => format!("nothing was saved in {time}: this was a dry run ({kind})"),
    })?;
    let new_changed = |new, changed, unmodified| {
        format!("{} new, {} changed, {} unmodified", count(new), count(changed), count(unmodified))
    };
    let files = new_changed(stats.files_new, stats.files_changed, stats.files_unmodified);
    out.note(format!("  files    {files}"))?;
    let folders = new_changed(stats.folders_new, stats.folders_changed, stats.folders_unmodified);
    out.note(format!("  folders  {folders}"))?;
    let read = format_bytes(stats.bytes_read);
    out.note(format!("  source   {}, of which {read} was read", format_bytes(stats.bytes_total)))?;
    let added = format_bytes(stats.bytes_added);
    if report.snapshot.is_some() {
        out.note(format!("  added    {added}, stored as {}", format_bytes(stats.bytes_stored)))?;
    } else {
        out.note(format!("  new      {added} before compression"))?;
    }
    if let Some(snapshot) = &report.snapshot {
        out.note(format!("  head     {}", HeadCode::of(snapshot.record)))?;
    }
    if report.lost_packs > 0 {
        out.warn(&format!(
            "storage lost {}: what the sources still have of it was stored again; \
             `larder check` shows which snapshots are hit",
            plural(report.lost_packs, "pack"),
        ));
    }
    if stats.errors > 0 && !out.quiet {
        out.warn(&format!("{} could not be read, see above", plural(stats.errors, "entry")));
    }
    Ok(())
}

/// The `summary` of a run in JSON.
#[derive(Serialize)]
pub(super) struct Summary<'a> {
    snapshot_id: Option<String>,
    head_code: Option<HeadCode>,
    dry_run: bool,
    strategy: BackupStrategy,
    parent: Option<String>,
    #[serde(flatten)]
    stats: &'a BackupStats,
    seconds: f64,
    lost_packs: u64,
    adopted_packs: u64,
    /// Whether a mirror does not have the snapshot.
    degraded: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    mirrors: Vec<MirrorJson<'a>>,
    /// Objects that could only be read from a mirror.
    read_from_mirrors: u64,
}

/// What became of a mirror.
#[derive(Serialize)]
struct MirrorJson<'a> {
    name: &'a str,
    complete: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<&'a str>,
    caught_up: u64,
}

impl<'a> Summary<'a> {
    pub(super) fn new(report: &'a BackupReport, dry_run: bool) -> Self {
        Self {
            snapshot_id: report.snapshot.as_ref().map(|snapshot| snapshot.id.to_string()),
            head_code: report.snapshot.as_ref().map(|snapshot| HeadCode::of(snapshot.record)),
            dry_run,
            strategy: report.strategy,
            parent: report.parent.map(|parent| parent.to_string()),
            stats: &report.stats,
            seconds: report.duration.as_secs_f64(),
            lost_packs: report.lost_packs,
            adopted_packs: report.adopted_packs,
            degraded: report.is_degraded(),
            mirrors: report.mirrors.mirrors.iter().map(mirror_json).collect(),
            read_from_mirrors: report.mirrors.elsewhere_count,
        }
    }
}

fn mirror_json(mirror: &MirrorState) -> MirrorJson<'_> {
    MirrorJson {
        name: &mirror.name,
        complete: mirror.is_complete,
        why: mirror.left.as_deref(),
        caught_up: mirror.caught_up,
    }
}
