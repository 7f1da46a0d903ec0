//! `larder recover`: everything back on an empty machine.

mod args;
mod ask;
mod open;
mod shown;

pub(crate) use args::RecoverArgs;

use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use etcetera::BaseStrategy;

use crate::cli::Finish;
use crate::cli::context::{Context, folders};
use crate::cli::output::progress::{Display, Job};
use crate::cli::select::{source_path, warn_of_bad};
use crate::cli::time::parse_at;
use crate::error::{Error, Result};
use crate::fsmeta::create_private;
use crate::manager::disaster::{
    KitPaper, PlanOptions, RecoverEvent, RecoverOptions, RecoverPlan, RecoverReport, RecoverState,
    recover,
};
use crate::repository::{HeadCode, Repository, SnapshotList};
use crate::tree::clean_path;

pub(super) fn run(args: &RecoverArgs, context: &Context) -> Result<Finish> {
    let out = &context.out;
    let mut kit = open::read_kit(args, context)?;
    let repository = open::open(args, &mut kit, context)?;
    for error in repository.load_index()? {
        out.warn(&format!("a part of the index cannot be used: {error}"));
    }
    let list = repository.snapshots()?;
    warn_of_bad(&list, out);
    let head = check_head(args, &kit, &list)?;
    let is_plan_printed = args.choice.write_plan.as_deref() == Some(Path::new("-"));
    if !is_plan_printed {
        shown::repository(&repository, head.as_ref(), context)?;
    }
    if let Some(file) = &args.choice.write_plan {
        let plan = make_plan(args, &repository, &list)?;
        write_plan(&plan, file, context)?;
        return Ok(Finish::Done);
    }
    if args.dry_run {
        let plan = make_plan(args, &repository, &list)?;
        shown::plan(&plan, None, context)?;
        return Ok(Finish::Done);
    }
    let options = options(args, &repository, context)?;
    let mut state = state(args, options.record(), &repository, &list)?;
    if args.verify {
        state.forget_unverified();
    }
    shown::plan(&state.plan, Some(&state), context)?;
    if !args.yes && ask::can_ask(out) {
        let where_to = if args.in_place { "in place, below" } else { "to" };
        ask::confirm(&format!("Restore this {where_to} `{}`?", options.target.display()), out)?;
    }
    let mut report = run_shown(&repository, &list, &mut state, &options, context)?;
    report.head = head.map(|head| format!("`{head}` is there, and all that is older"));
    let saved = report.save(options.record())?;
    shown::report(&report, &saved, context)?;
    if report.failed() > 0 {
        return Ok(Finish::Incomplete);
    }
    RecoverState::remove(options.record())?;
    Ok(Finish::Done)
}

/// The head code that was found, if there was one to look for.
///
/// # Errors
/// [`Error::History`] if it is not there, unless that is accepted.
fn check_head(args: &RecoverArgs, kit: &KitPaper, list: &SnapshotList) -> Result<Option<HeadCode>> {
    let Some(head) = args.head.or(kit.head).filter(|_| !args.accept_history) else {
        return Ok(None);
    };
    match list.check_head(&head) {
        Ok(()) => Ok(Some(head)),
        Err(what) => Err(Error::History { what, others: 0, mirror: None }),
    }
}

fn make_plan(
    args: &RecoverArgs,
    repository: &Repository,
    list: &SnapshotList,
) -> Result<RecoverPlan> {
    let choice = &args.choice;
    if let Some(path) = &choice.plan {
        let text =
            std::fs::read_to_string(path).map_err(|error| Error::local("read", path, error))?;
        return RecoverPlan::parse(&text);
    }
    let until_ms = choice.at.as_deref().map(parse_at).transpose().map_err(|what| {
        Error::usage_hint(what, "times are like `2026-11-01`, `2026-11-01T12:00` or `3 days ago`")
    })?;
    let paths = |paths: &[PathBuf]| -> Result<Vec<Vec<u8>>> {
        paths.iter().map(|path| source_path(path)).collect()
    };
    let own = folders().ok().map(|folders| folders.config_dir().join("larder"));
    let options = PlanOptions {
        until_ms,
        hosts: choice.host.clone(),
        paths: paths(&choice.path)?,
        order: paths(&choice.order)?,
        own_config: own.map(|path| clean_path(path.as_os_str().as_bytes())),
    };
    RecoverPlan::new(list, repository.id(), &options)
}

fn write_plan(plan: &RecoverPlan, file: &Path, context: &Context) -> Result<()> {
    let text = plan.to_text()?;
    if file == Path::new("-") {
        return context.out.bytes(text.as_bytes());
    }
    create_private(file, text.as_bytes()).map_err(|error| Error::local("create", file, error))?;
    context.out.note(format!("wrote the plan to `{}`", file.display()))
}

fn options(
    args: &RecoverArgs,
    repository: &Repository,
    context: &Context,
) -> Result<RecoverOptions> {
    let state_dir = context.open_options().state_dir;
    let target = target(args, context)?;
    let mut record = None;
    if args.in_place {
        if !args.yes && !ask::can_ask(&context.out) {
            return Err(Error::usage_hint(
                "nobody can be asked whether files may be replaced in place",
                "say so with `--yes`",
            ));
        }
        // The living tree is no place for it. The target is in the name: each has its own.
        let place = state_dir.clone().ok_or_else(|| {
            Error::usage_hint("this user has no home folder", "recover into a folder: `--target`")
        })?;
        let name = blake3::hash(target.as_os_str().as_bytes()).to_hex();
        record = Some(place.join("recover").join(format!("{}-{}", repository.id(), &name[..16])));
    }
    Ok(RecoverOptions {
        target,
        in_place: args.in_place,
        record,
        state_dir,
        verify: args.verify,
        owner: args.owner.into(),
    })
}

fn target(args: &RecoverArgs, context: &Context) -> Result<PathBuf> {
    let asked = match &args.target {
        Some(target) => Some(target.clone()),
        None if args.in_place => Some(PathBuf::from("/")),
        None if ask::can_ask(&context.out) => {
            ask::line("Folder to restore into? ", &context.out)?.map(PathBuf::from)
        }
        None => None,
    };
    let hint = "give an empty folder with `--target`, on a disk with room for everything";
    let target =
        asked.ok_or_else(|| Error::usage_hint("nothing says where to restore to", hint))?;
    let target = std::path::absolute(&target)
        .map_err(|error| Error::local("find the place of", &target, error))?;
    if target.parent().is_none() && !args.in_place {
        let hint = format!("{hint}; or say `--in-place`");
        return Err(Error::usage_hint("`/` is the running system", hint));
    }
    Ok(target)
}

/// The recovery that was begun in the target, or a new one.
fn state(
    args: &RecoverArgs,
    record: &Path,
    repository: &Repository,
    list: &SnapshotList,
) -> Result<RecoverState> {
    let request = args.choice.request();
    let begun = if args.restart { None } else { RecoverState::load(record)? };
    let Some(begun) = begun else {
        let plan = make_plan(args, repository, list)?;
        let now_ms = crate::runtime::Runtime::default().clock.now_ms();
        return Ok(RecoverState::new(plan, request, now_ms));
    };
    let is_same = match &args.choice.plan {
        Some(_) => make_plan(args, repository, list)? == begun.plan,
        None => request.is_empty() || request == begun.request,
    };
    if !is_same {
        return Err(Error::usage_hint(
            format!("another recovery was begun there: see `{}`", record.display()),
            "run it again without other choices to go on with it, or begin anew with `--restart`",
        ));
    }
    Ok(begun)
}

/// Recovers with progress on the screen.
fn run_shown(
    repository: &Repository,
    list: &SnapshotList,
    state: &mut RecoverState,
    options: &RecoverOptions,
    context: &Context,
) -> Result<RecoverReport> {
    let mut told = Ok(());
    let display = Display::start(&context.out, Job::Restore);
    let mut tell = |event: &RecoverEvent<'_>| {
        let now = shown::event(event, context);
        told = std::mem::replace(&mut told, Ok(())).and(now);
    };
    let runtime = context.runtime(&display);
    let report = recover(repository, list, state, options, &runtime, &mut tell);
    display.finish();
    report
        .inspect_err(|error| {
            if !matches!(error, Error::Usage { .. } | Error::NotFound { .. }) {
                context
                    .out
                    .warn("not finished: run the same command again, and it goes on from here");
            }
        })
        .and_then(|report| told.map(|()| report))
}
