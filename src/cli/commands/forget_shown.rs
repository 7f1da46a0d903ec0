//! How decisions of a policy are shown: a table for each group, or an object for each.

use serde::Serialize;

use super::snapshots::SnapshotJson;
use crate::cli::output::{Align, Output, Table, local_ms};
use crate::cli::select::shown_roots;
use crate::error::Result;
use crate::model::escape_bytes;
use crate::repository::Snapshot;
use crate::retention::{Decision, GroupPlan, Reason, RetentionPlan};
use crate::tree::shown_root;

/// Said of a snapshot that goes.
const NO_RULE: &str = "no rule keeps it";

/// Shows a plan about `snapshots`, in the order of which it was made.
pub(super) fn show(plan: &RetentionPlan, snapshots: &[&Snapshot], out: &Output) -> Result<()> {
    for group in &plan.groups {
        if out.json {
            out.message("group", &GroupJson::new(group, snapshots))?;
        } else if !out.quiet {
            out.line(group.name.to_string())?;
            let mut table = Table::new(&[
                ("", Align::Left),
                ("Snapshot", Align::Left),
                ("Time", Align::Left),
                ("Tags", Align::Left),
                ("Why", Align::Left),
            ]);
            for decision in &group.decisions {
                let snapshot = snapshots[decision.at];
                table.row(vec![
                    action(decision).into(),
                    snapshot.id.short(),
                    local_ms(snapshot.time_ms()),
                    escape_bytes(snapshot.body.tags.join(",").as_bytes()).into_owned(),
                    escape_bytes(reasons(decision).join("; ").as_bytes()).into_owned(),
                ]);
            }
            table.print(out)?;
            out.line("")?;
        }
    }
    Ok(())
}

/// Shows snapshots that were named.
pub(super) fn show_named(snapshots: &[&Snapshot], out: &Output) -> Result<()> {
    if out.json || out.quiet {
        return Ok(());
    }
    let mut table = Table::new(&[
        ("", Align::Left),
        ("Snapshot", Align::Left),
        ("Time", Align::Left),
        ("Host", Align::Left),
        ("Sources", Align::Left),
    ]);
    for snapshot in snapshots {
        table.row(vec![
            "forget".into(),
            snapshot.id.short(),
            local_ms(snapshot.time_ms()),
            escape_bytes(snapshot.host.as_bytes()).into_owned(),
            shown_roots(snapshot).join(", "),
        ]);
    }
    table.print(out)
}

fn action(decision: &Decision) -> &'static str {
    if decision.is_kept() { "keep" } else { "forget" }
}

fn is_out_of_time(decision: &Decision) -> bool {
    decision.reasons.iter().any(|reason| matches!(reason, Reason::OutOfTime(_)))
}

fn reasons(decision: &Decision) -> Vec<String> {
    match &decision.reasons[..] {
        [] => vec![NO_RULE.into()],
        reasons => reasons.iter().map(ToString::to_string).collect(),
    }
}

#[derive(Serialize)]
struct GroupJson {
    /// What the snapshots have in common; null where it does not matter.
    host: Option<String>,
    paths: Option<Vec<String>>,
    tags: Option<Vec<String>>,
    decisions: Vec<DecisionJson>,
}

#[derive(Serialize)]
struct DecisionJson {
    /// `keep` or `forget`.
    action: &'static str,
    reasons: Vec<String>,
    snapshot: SnapshotJson,
}

impl GroupJson {
    fn new(group: &GroupPlan, snapshots: &[&Snapshot]) -> Self {
        let path = |root: &Vec<u8>| shown_root(root);
        let decision = |decision: &Decision| DecisionJson {
            action: action(decision),
            reasons: reasons(decision),
            snapshot: SnapshotJson::new(snapshots[decision.at], is_out_of_time(decision)),
        };
        Self {
            host: group.name.host.clone(),
            paths: group.name.roots.as_ref().map(|roots| roots.iter().map(path).collect()),
            tags: group.name.tags.clone(),
            decisions: group.decisions.iter().map(decision).collect(),
        }
    }
}
