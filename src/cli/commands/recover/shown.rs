//! What `larder recover` says.

use std::path::Path;

use serde_json::json;

use crate::cli::context::Context;
use crate::cli::output::{Align, Table, local_ms, plural};
use crate::error::Result;
use crate::manager::disaster::{
    RecoverEvent, RecoverPlan, RecoverReport, RecoverState, RecoverStep, StepReport, quoted,
};
use crate::model::format_bytes;
use crate::repository::{HeadCode, Repository};

/// Says which repository it is, and whether it is all there.
pub(super) fn repository(
    repository: &Repository,
    head: Option<&HeadCode>,
    context: &Context,
) -> Result<()> {
    let out = &context.out;
    if out.json {
        return out.message(
            "repository",
            &json!({
                "id": repository.id(),
                "location": repository.location(),
                "head_code_found": head.is_some(),
            }),
        );
    }
    out.note(format!("repository {} in `{}`", repository.id().short(), repository.location()))?;
    match head {
        Some(_) => out.note("  head code  found: no snapshot up to it is hidden"),
        None => out.note("  head code  not given: whether snapshots are hidden is not known"),
    }
}

/// Shows what will be restored, in which order.
pub(super) fn plan(
    plan: &RecoverPlan,
    state: Option<&RecoverState>,
    context: &Context,
) -> Result<()> {
    let out = &context.out;
    let done = |number: usize| state.is_some_and(|state| state.done(number).is_some());
    if out.json {
        return out.message("plan", plan);
    }
    for note in &plan.notes {
        out.warn(note);
    }
    if let Some(state) = state.filter(|state| !state.done.is_empty()) {
        out.note(format!("going on with what was begun at {}", local_ms(state.begun_ms)))?;
    }
    let mut table = Table::new(&[
        ("Step", Align::Right),
        ("Snapshot", Align::Left),
        ("Time", Align::Left),
        ("Host", Align::Left),
        ("Files", Align::Right),
        ("Size", Align::Right),
        ("Order", Align::Left),
        ("Paths", Align::Left),
    ]);
    for (number, step) in plan.steps.iter().enumerate() {
        let order = if done(number) { "done".to_owned() } else { step.order.clone() };
        table.row(vec![
            (number + 1).to_string(),
            step.snapshot.get(..8).unwrap_or(&step.snapshot).to_owned(),
            step.time.map_or(String::new(), |time| local_ms(time.as_millisecond())),
            step.host.clone(),
            step.files.map_or(String::new(), crate::cli::output::count),
            step.bytes.map_or(String::new(), format_bytes),
            order,
            paths(step),
        ]);
    }
    if out.quiet { Ok(()) } else { table.print(out) }
}

fn paths(step: &RecoverStep) -> String {
    let mut text = step.paths.join(" ");
    if !step.exclude.is_empty() {
        text.push_str(&format!(" without {}", step.exclude.join(" ")));
    }
    if let Some(target) = &step.target {
        text.push_str(&format!(" into {target}"));
    }
    text
}

/// Says what goes on.
pub(super) fn event(event: &RecoverEvent<'_>, context: &Context) -> Result<()> {
    let out = &context.out;
    match event {
        RecoverEvent::Begins(..) => Ok(()),
        RecoverEvent::Ended(step) if out.json => out.message("step", step),
        RecoverEvent::Ended(step) => step_ended(step, context),
        RecoverEvent::LooksForDamage => {
            out.warn("looking for what damaged packs held");
            Ok(())
        }
    }
}

fn step_ended(step: &StepReport, context: &Context) -> Result<()> {
    let out = &context.out;
    if let Some(why) = &step.untouched {
        out.warn(&format!("step {}: nothing was changed: {why}", step.number + 1));
        return Ok(());
    }
    let files = format!("{} ({})", plural(step.files, "file"), format_bytes(step.bytes));
    let how = if step.earlier { "restored earlier" } else { "restored" };
    let lost = match step.failed {
        0 => String::new(),
        number => format!(", {} not wholly", plural(number, "entry")),
    };
    out.note(format!("step {}: {files} {how}{lost}", step.number + 1))?;
    for unapplied in &step.unapplied {
        out.warn(&format!(
            "the system did not take {} of {}: {}",
            unapplied.aspect,
            plural(unapplied.count, "entry"),
            unapplied.reason,
        ));
    }
    Ok(())
}

/// Says what came of it, and what to do next.
pub(super) fn report(report: &RecoverReport, saved: &Path, context: &Context) -> Result<()> {
    let out = &context.out;
    if out.json {
        let mut summary = serde_json::to_value(report).unwrap_or_default();
        summary["files"] = report.files().into();
        summary["bytes"] = report.bytes().into();
        summary["failed"] = report.failed().into();
        summary["report"] = saved.display().to_string().into();
        return out.message("summary", &summary);
    }
    let files = format!("{} ({})", plural(report.files(), "file"), format_bytes(report.bytes()));
    let target = report.target.display();
    match report.failed() {
        0 => out.note(format!("recovered {files} to `{target}`"))?,
        failed => {
            // The entries were named while they were restored; the report names them again.
            if let Some(damage) = &report.damage {
                out.note(damage.brief().trim_end())?;
            }
            out.line(format!(
                "recovered {files} to `{target}`, but {} not wholly",
                plural(failed, "entry")
            ))?;
        }
    }
    out.note(format!("  report  {}", saved.display()))?;
    let larder = format!("larder -r {}", quoted(&report.location));
    out.note("\nWhat next")?;
    if report.failed() > 0 {
        out.note(
            "  is there another copy of the repository? put the packs back, and run it again;",
        )?;
        out.note(
            "  what is lost for good is kept out of the way by `larder runbook damaged-repository`",
        )?;
    }
    out.note(format!("  make a new key       {larder} key add"))?;
    out.note(format!("  make a new kit       {larder} kit"))?;
    out.note(format!("  check all backups    {larder} check --read-data"))
}
