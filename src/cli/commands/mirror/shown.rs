//! What is printed about mirrors.

use serde::Serialize;
use serde_json::json;

use crate::cli::context::Context;
use crate::cli::mirrors::bring_back;
use crate::cli::output::{Align, Style, Table, local_ms, plural};
use crate::error::Result;
use crate::manager::{AddedMirror, SeenMirror, SyncedMirror};
use crate::mirror::{BadObject, Count, ScrubReport, SyncReport};
use crate::model::{MirrorPolicy, format_bytes};
use crate::storage::probe::Verdict;

/// Bad objects that are named to people; JSON has all.
const LISTED: usize = 50;

pub(super) fn tell_added(added: &AddedMirror, no_sync: bool, context: &Context) -> Result<()> {
    let out = &context.out;
    if out.json {
        return out.message("summary", added);
    }
    for finding in added.probe.findings.iter().filter(|one| one.verdict >= Verdict::Warning) {
        out.warn(&format!("{}: {}", finding.check, finding.text));
    }
    if no_sync {
        let missing = counted(added.sync.missing);
        out.note(format!("`{}` at {} is a mirror now", added.name, added.location))?;
        return out.note(format!("it lacks {missing}: `larder mirror sync {}`", added.name));
    }
    tell_sync(&added.sync, context)?;
    out.note(format!("`{}` at {} is a mirror now", added.name, added.location))
}

/// A mirror as `mirror list --json` prints it.
#[derive(Serialize)]
struct Listed<'a> {
    state: &'static str,
    #[serde(flatten)]
    mirror: &'a SeenMirror,
}

pub(super) fn tell_list(
    mirrors: &[SeenMirror],
    policy: MirrorPolicy,
    context: &Context,
) -> Result<()> {
    let out = &context.out;
    if out.json {
        for mirror in mirrors {
            out.message("mirror", &Listed { state: state_word(mirror), mirror })?;
        }
        return out.message("summary", &json!({ "mirrors": mirrors.len(), "policy": policy }));
    }
    if mirrors.is_empty() {
        return out.note("no mirrors: `larder mirror add NAME LOCATION`");
    }
    let mut table = Table::new(&[
        ("Name", Align::Left),
        ("State", Align::Left),
        ("Holds", Align::Right),
        ("Last write", Align::Left),
        ("Location", Align::Left),
    ]);
    for mirror in mirrors {
        let holds = mirror.standing.map(|standing| format_bytes(standing.there.bytes));
        let last = mirror.standing.and_then(|standing| standing.last_write_ms).map(local_ms);
        table.row(vec![
            mirror.name.clone(),
            state(mirror),
            holds.unwrap_or_else(|| "-".into()),
            last.unwrap_or_else(|| "-".into()),
            mirror.location.clone(),
        ]);
    }
    table.print(out)?;
    out.note(format!("policy: {policy}"))?;
    for mirror in mirrors {
        if let Some(error) = &mirror.error {
            out.warn(&format!("{}: {error}", mirror.name));
        }
        if mirror.standing.is_some_and(|standing| standing.is_newer) {
            warn_of_newer(&mirror.name, &mirror.location, context);
            continue;
        }
        let extra = mirror.standing.map_or(Count::default(), |standing| standing.extra);
        if extra.objects > 0 {
            out.note(format!(
                "{}: {} that the repository does not have",
                mirror.name,
                counted(extra)
            ))?;
        }
    }
    Ok(())
}

/// A mirror was written to while the repository was not.
fn warn_of_newer(name: &str, location: &str, context: &Context) {
    let here = context.location().map(|location| location.to_string()).unwrap_or_default();
    let cure = bring_back(location, &here);
    context.out.warn(&format!("{name}: it has newer snapshots than the repository; {cure}"));
}

/// How a mirror stands, in one word.
fn state_word(mirror: &SeenMirror) -> &'static str {
    match mirror.standing {
        None => "unreachable",
        Some(standing) if standing.is_complete() => "complete",
        Some(_) => "incomplete",
    }
}

fn state(mirror: &SeenMirror) -> String {
    let Some(standing) = &mirror.standing else { return "unreachable".into() };
    if standing.is_newer {
        return "newer snapshots".into();
    }
    if standing.is_complete() {
        return match mirror.deletes {
            0 => "complete".into(),
            deletes => format!("complete, {} to delete", plural(deletes, "object")),
        };
    }
    format!("lacks {}", counted(standing.missing))
}

pub(super) fn tell_synced(synced: &[SyncedMirror], context: &Context) -> Result<()> {
    let out = &context.out;
    if synced.is_empty() && !out.json {
        return out.note("no mirrors: `larder mirror add NAME LOCATION`");
    }
    for one in synced {
        match (&one.outcome, out.json) {
            (Ok(report), true) => {
                out.message("synced", &json!({ "name": one.name, "report": report }))?;
            }
            (Err(error), true) => {
                out.message("synced", &json!({ "name": one.name, "error": error.in_full() }))?;
            }
            (Ok(report), false) => {
                tell_sync(report, context)?;
                if report.is_newer {
                    warn_of_newer(&one.name, &report.to, context);
                }
            }
            (Err(error), false) => out.warn(&format!("{}: {}", one.name, error.in_full())),
        }
    }
    if out.json {
        let failed = synced.iter().filter(|one| one.outcome.is_err()).count();
        return out.message("summary", &json!({ "mirrors": synced.len(), "failed": failed }));
    }
    Ok(())
}

/// Says what one synchronisation did.
pub(super) fn tell_sync(report: &SyncReport, context: &Context) -> Result<()> {
    let out = &context.out;
    let to = &report.to;
    tell_bad(&report.bad, context)?;
    if report.dry_run {
        out.line(format!("{} would be copied to {to}", counted(report.missing)))?;
    } else if report.copied.objects == 0 && report.bad.is_empty() {
        out.note(format!("{to}: nothing to copy, {}", counted(report.source)))?;
    } else {
        out.note(format!("{to}: {} copied", counted(report.copied)))?;
    }
    for (number, what) in [
        (report.replaced, "had another length and were replaced"),
        (report.from_others, "came from another copy, because they are damaged here"),
        (report.deleted, "were deleted, as they were in the repository"),
        (report.retained, "were deleted in the repository and stay: this place does not delete"),
    ] {
        if number > 0 {
            out.note(format!("  {} {what}", plural(number, "object")))?;
        }
    }
    if report.extra_keys > 0 {
        out.warn(&format!(
            "{} at {to} that the repository does not have any more: whoever holds one opens that \
             copy; it goes when a run that has the password deletes it, or delete it by hand",
            plural(report.extra_keys, "key")
        ));
    }
    if !report.bad.is_empty() {
        let bad = plural(report.bad.len() as u64, "damaged object");
        out.line(format!("{bad} not copied"))?;
        let hint = out.paint(Style::Hint, "hint:");
        out.line(format!("{hint} `larder heal` takes them from a mirror that has them whole"))?;
    }
    Ok(())
}

pub(super) fn tell_scrub(report: &ScrubReport, context: &Context) -> Result<()> {
    let out = &context.out;
    if out.json {
        return out.message("summary", report);
    }
    tell_bad(&report.bad, context)?;
    for name in report.missing.iter().take(LISTED) {
        out.line(format!("damage: {name}: it is missing"))?;
    }
    if let more @ 1.. = report.missing_count.saturating_sub(LISTED as u64) {
        out.line(format!("... and {} missing", plural(more, "more pack")))?;
    }
    if report.foreign.objects > 0 {
        let names = report.foreign_names.join("`, `");
        out.note(format!("{} that no repository has: `{names}`", counted(report.foreign)))?;
    }
    let read = format!("{} of {} read", counted(report.read), counted(report.there));
    if report.is_whole() {
        return out.note(format!("{}: no damage found: {read}", report.location));
    }
    let damaged = plural(report.bad.len() as u64 + report.missing_count, "object");
    out.line(format!("{}: {damaged} damaged or missing ({read})", report.location))?;
    let hint = out.paint(Style::Hint, "hint:");
    out.line(format!("{hint} `larder heal` takes them from a copy that has them whole"))
}

/// Names objects that are not what they should be.
pub(in crate::cli::commands) fn tell_bad(bad: &[BadObject], context: &Context) -> Result<()> {
    for one in bad.iter().take(LISTED) {
        context.out.line(format!("damage: {} at {}: {}", one.name, one.location, one.what))?;
    }
    match bad.len().saturating_sub(LISTED) as u64 {
        0 => Ok(()),
        more => context.out.line(format!("... and {more} more (all with --json)")),
    }
}

/// `12 objects (34.5 MiB)`
pub(in crate::cli::commands) fn counted(count: Count) -> String {
    format!("{} ({})", plural(count.objects, "object"), format_bytes(count.bytes))
}
