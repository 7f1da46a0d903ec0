//! Does what a plan says, step by step, and remembers which are done.

use std::path::{Path, PathBuf};

use super::damage::{DamageReport, LostIn, explain};
use super::plan::{RecoverPlan, RecoverStep, shown};
use super::report::{RecoverReport, StepReport};
use super::state::RecoverState;
use crate::error::{Error, Result};
use crate::repository::{Repository, Snapshot, SnapshotList};
use crate::restore::transaction::{InPlaceOptions, InPlaceReport, restore_in_place};
use crate::restore::{OwnerPolicy, RestoreOptions, RestoreReport, restore};
use crate::runtime::Runtime;
use crate::tree::{Manifest, SnapshotFilter, SnapshotName};

/// How a recovery goes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RecoverOptions {
    /// The folder below which the full paths are made again; in place, what stands for the root
    /// of all paths: `/`, or where the system's root is mounted.
    pub target: PathBuf,
    /// Restores each step to where its files were, wholly or not at all.
    pub in_place: bool,
    /// Where it is kept how far the recovery is; `None` is the target.
    pub record: Option<PathBuf>,
    /// The folder of what this machine remembers, for restores in place.
    pub state_dir: Option<PathBuf>,
    /// Reads everything that was restored again and compares it with the snapshot.
    pub verify: bool,
    /// Whose the restored files are.
    pub owner: OwnerPolicy,
}

impl RecoverOptions {
    /// The folder of state and report.
    pub fn record(&self) -> &Path {
        self.record.as_deref().unwrap_or(&self.target)
    }
}

/// What is told while a recovery goes on.
#[derive(Debug)]
pub enum RecoverEvent<'a> {
    /// A step begins: its number from 1, of how many.
    Begins(usize, usize, &'a RecoverStep),
    /// It ended, now or in an earlier run.
    Ended(&'a StepReport),
    /// Something is lost, and it is looked for what damaged packs held.
    LooksForDamage,
}

/// Restores what `state` says is not done yet, and saves it in the target after each step. With
/// `verify` steps that an earlier run did without are done again.
///
/// Damage stops nothing: what is lost is in the report, with the packs that held it. Steps that
/// lack something are tried again by the next run.
///
/// # Errors
/// [`Error::Usage`] for a plan of another repository, [`Error::NotFound`] for a snapshot or path
/// of the plan that is not there (before anything is written), and those of
/// [`restore`](crate::restore::restore()): then the next run goes on.
pub fn recover(
    repository: &Repository,
    list: &SnapshotList,
    state: &mut RecoverState,
    options: &RecoverOptions,
    runtime: &Runtime,
    tell: &mut dyn FnMut(&RecoverEvent<'_>),
) -> Result<RecoverReport> {
    let jobs = jobs(repository, list, &state.plan, options)?;
    let target = &options.target;
    let record = options.record();
    std::fs::create_dir_all(record).map_err(|error| Error::local("create", record, error))?;
    if options.verify {
        state.forget_unverified();
    }
    state.save(record)?;
    let mut report = RecoverReport {
        repository: repository.id().to_string(),
        location: repository.location().to_owned(),
        target: target.clone(),
        begun_ms: state.begun_ms,
        ended_ms: 0,
        resumed: !state.done.is_empty(),
        verified: options.verify,
        head: None,
        notes: state.plan.notes.clone(),
        steps: Vec::new(),
        damage: None,
    };
    let steps = state.plan.steps.clone();
    for (number, (step, job)) in steps.iter().zip(&jobs).enumerate() {
        let done = match state.done(number) {
            Some(done) => StepReport::of_earlier(number, step, job.target.clone(), done),
            None => {
                tell(&RecoverEvent::Begins(number + 1, steps.len(), step));
                let done = job.run(repository, options, runtime)?;
                let now_ms = runtime.clock.now_ms();
                let report = StepReport::of_now(number, step, job.target.clone(), done, now_ms);
                if report.failed == 0 {
                    state.done.push(report.done());
                    state.save(record)?;
                }
                report
            }
        };
        tell(&RecoverEvent::Ended(&done));
        report.steps.push(done);
    }
    if report.failed() > 0 {
        tell(&RecoverEvent::LooksForDamage);
        match damage(repository, list, &jobs, &report, runtime) {
            Ok(found) => report.damage = Some(found),
            Err(error @ Error::Cancelled { .. }) => return Err(error),
            // What was restored, and what was not, is known without it.
            Err(error) => {
                report.notes.push(format!("which packs are damaged is not known: {error}"))
            }
        }
    }
    report.ended_ms = runtime.clock.now_ms();
    Ok(report)
}

/// A step, made out.
struct Job<'l> {
    snapshot: &'l Snapshot,
    target: PathBuf,
    options: RestoreOptions,
}

/// What came of a step.
pub(super) enum Done {
    Restored(RestoreReport),
    InPlace(InPlaceReport),
    /// In place nothing was changed, or all was changed back.
    Untouched(String),
}

impl Job<'_> {
    fn run(
        &self,
        repository: &Repository,
        options: &RecoverOptions,
        runtime: &Runtime,
    ) -> Result<Done> {
        if !options.in_place {
            return restore(repository, self.snapshot, &self.options, runtime).map(Done::Restored);
        }
        let plain = &self.options;
        let in_place = InPlaceOptions {
            target: plain.target.clone(),
            paths: plain.paths.clone(),
            exclude: plain.exclude.clone(),
            verify: plain.verify,
            owner: plain.owner,
            state_dir: options.state_dir.clone(),
            ..InPlaceOptions::default()
        };
        match restore_in_place(repository, self.snapshot, &in_place, runtime) {
            Ok(report) => Ok(Done::InPlace(report)),
            // One damaged file stops its step, and no other.
            Err(error @ (Error::Untouched { .. } | Error::RolledBack { .. }))
                if !runtime.cancel.is_cancelled() =>
            {
                Ok(Done::Untouched(error.in_full()))
            }
            Err(error) => Err(error),
        }
    }
}

/// Finds all that the plan names, so that a mistake in its last step shows before the first.
fn jobs<'l>(
    repository: &Repository,
    list: &'l SnapshotList,
    plan: &RecoverPlan,
    options: &RecoverOptions,
) -> Result<Vec<Job<'l>>> {
    if plan.repository != repository.id() {
        return Err(Error::usage_hint(
            format!("the plan is one of repository {}", plan.repository.short()),
            format!("this is {}: give its location with `-r`", repository.id().short()),
        ));
    }
    let jobs: Vec<Job<'_>> = plan
        .steps
        .iter()
        .map(|step| job(repository, list, step, options))
        .collect::<Result<_>>()?;
    let mut targets = jobs.iter().map(|job| &job.target).chain([&options.target]);
    if let Some(target) = targets.find(|target| repository.contains_path(target)) {
        return Err(Error::usage_hint(
            format!("the target `{}` lies in the repository itself", target.display()),
            "restore to another folder: files among the stored data would be in its way",
        ));
    }
    drop(targets);
    Ok(jobs)
}

fn job<'l>(
    repository: &Repository,
    list: &'l SnapshotList,
    step: &RecoverStep,
    options: &RecoverOptions,
) -> Result<Job<'l>> {
    let hosts = if step.host.is_empty() { Vec::new() } else { vec![step.host.clone()] };
    let filter = SnapshotFilter { hosts, ..SnapshotFilter::default() };
    let snapshot = SnapshotName::parse(step.snapshot.as_bytes())?.find(list, &filter)?;
    let target = match &step.target {
        Some(folder) => options.target.join(folder),
        None => options.target.clone(),
    };
    let paths = step.manifest_paths();
    for path in paths.iter().filter(|path| !path.is_empty()) {
        // Where the manifest itself is damaged, the restore says so.
        if let Ok(None) = Manifest::of(snapshot).find(repository, path) {
            return Err(Error::NotFound { what: "path", name: shown(path) });
        }
    }
    if options.in_place && step.target.as_ref().is_some_and(|target| !target.starts_with('/')) {
        return Err(Error::usage_hint(
            format!("`{}` has a folder of its own in the plan, which is not in place", step.host),
            "recover one host in place, or all into a folder with `--target`",
        ));
    }
    let exclude = step
        .exclude
        .iter()
        .filter_map(|path| pattern(&crate::tree::clean_path(&crate::model::unescape(path))));
    let options = RestoreOptions {
        target: target.clone(),
        // The root is everything.
        paths: if paths.iter().any(Vec::is_empty) { Vec::new() } else { paths },
        exclude: exclude.collect(),
        verify: options.verify,
        owner: options.owner,
        ..RestoreOptions::default()
    };
    Ok(Job { snapshot, target, options })
}

/// The pattern that fits this path and what is in it; `None` for the root, and for names that are
/// no text.
fn pattern(path: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(path).ok().filter(|text| !text.is_empty())?;
    let mut pattern = String::from("/");
    for c in text.chars() {
        if matches!(c, '*' | '?' | '[' | ']' | '{' | '}' | '\\' | '!') {
            pattern.push('\\');
        }
        pattern.push(c);
    }
    Some(pattern)
}

fn damage(
    repository: &Repository,
    list: &SnapshotList,
    jobs: &[Job<'_>],
    report: &RecoverReport,
    runtime: &Runtime,
) -> Result<DamageReport> {
    let lost: Vec<LostIn<'_>> = report
        .steps
        .iter()
        .filter(|step| step.failed > 0)
        .map(|step| LostIn { snapshot: jobs[step.number].snapshot, failures: &step.failures })
        .collect();
    explain(repository, list, &lost, runtime)
}
