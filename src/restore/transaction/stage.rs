//! Writes everything that is new into the staging folders, with the engine of every restore.

use std::path::Path;
use std::sync::Arc;

use super::draft::InPlacePlan;
use super::options::{InPlaceOptions, Steps};
use super::staging::Stagings;
use crate::error::{Error, Result};
use crate::model::escape_bytes;
use crate::repository::{Repository, Snapshot};
use crate::restore::arbiter::Arbiter;
use crate::restore::context::Context;
use crate::restore::options::RestoreOptions;
use crate::restore::report::{RestoreReport, UnappliedSummary};
use crate::restore::restore_to;
use crate::restore::selection::Selection;
use crate::restore::target::Target;
use crate::runtime::{Issue, Phase, Progress, Runtime};

/// Damaged files that an error names.
const NAMED: usize = 3;

/// What was staged.
#[derive(Debug, Default)]
pub(super) struct Staged {
    pub(super) bytes_written: u64,
    pub(super) verified: u64,
    pub(super) unapplied: Vec<UnappliedSummary>,
}

/// Stages everything that a plan needs, and makes it durable.
///
/// # Errors
/// [`Error::Untouched`] if something is not wholly in the repository; what ends every restore.
pub(super) fn stage(
    tree: &Target,
    plan: &mut InPlacePlan,
    stagings: &Stagings,
    (repository, snapshot): (&Repository, &Snapshot),
    (options, runtime, steps): (&InPlaceOptions, &Runtime, &Steps),
) -> Result<Staged> {
    let mut staged = Staged::default();
    let runtime =
        Runtime { progress: Arc::new(Quiet(runtime.progress.clone())), ..runtime.clone() };
    let step = |step| steps.at(step).map_err(|e| Error::local("stage", tree.join(b""), e));
    for (place, number) in
        (0..plan.places.len()).map(|place| (place, stagings.number(place as u32)))
    {
        let only = std::mem::take(&mut plan.places[place].only);
        let Some(number) = number else { continue };
        if only.is_empty() {
            continue;
        }
        step("stage")?;
        let target = stagings.list[number].target(tree)?;
        let options = RestoreOptions {
            exclude: options.exclude.clone(),
            iexclude: options.iexclude.clone(),
            verify: options.verify,
            sparse: options.sparse,
            owner: options.owner,
            threads: options.threads,
            ..RestoreOptions::default()
        };
        let selection = Selection::new(&options)?.only(only);
        let arbiter = Arbiter::new(repository, snapshot, &options, &runtime.cancel)?;
        let given = (repository, snapshot, &options, &runtime);
        let ctx = Context::new(given, selection, target, arbiter);
        let report = restore_to(ctx, snapshot, b"")?;
        check(&report)?;
        staged.bytes_written += report.bytes_written;
        staged.verified += report.verified;
        staged.unapplied.extend(report.unapplied);
        step("staged")?;
    }
    for staging in &stagings.list {
        staging.sync(tree)?;
    }
    step("staged all")?;
    Ok(staged)
}

fn check(report: &RestoreReport) -> Result<()> {
    if report.is_complete() {
        return Ok(());
    }
    let named = report.failures.iter().take(NAMED);
    let mut what: Vec<String> = named
        .map(|failure| format!("`{}`: {}", escape_bytes(&failure.path), failure.message))
        .collect();
    let more = report.failed.saturating_sub(what.len() as u64);
    if more > 0 {
        what.push(format!("and {more} more"));
    }
    Err(Error::Untouched {
        what: format!("not everything can be restored wholly: {}", what.join("; ")),
        hint: "leave those out with `--exclude`, or bring back what is left with `--target`".into(),
    })
}

/// Tells of everything but of single entries: in a staging folder all are new.
struct Quiet(Arc<dyn Progress>);

impl Progress for Quiet {
    fn phase(&self, phase: Phase) {
        self.0.phase(phase);
    }
    fn expect(&self, entries: u64, bytes: u64) {
        self.0.expect(entries, bytes);
    }
    fn estimate(&self, entries: u64, bytes: u64) {
        self.0.estimate(entries, bytes);
    }
    fn wants_estimate(&self) -> bool {
        self.0.wants_estimate()
    }
    fn expect_no_more(&self) {
        self.0.expect_no_more();
    }
    fn done(&self, entries: u64, bytes: u64) {
        self.0.done(entries, bytes);
    }
    fn current(&self, path: &Path) {
        self.0.current(path);
    }
    fn transferred(&self, bytes: u64) {
        self.0.transferred(bytes);
    }
    fn issue(&self, issue: &Issue) {
        self.0.issue(issue);
    }
}
