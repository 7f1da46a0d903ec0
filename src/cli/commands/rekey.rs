//! `larder repo rekey`: new keys, and old data sealed with them.

use clap::Args;
use serde::Serialize;

use super::key::show_code;
use crate::cli::Finish;
use crate::cli::author::author;
use crate::cli::context::Context;
use crate::cli::output::plural;
use crate::cli::output::progress::{Display, Job};
use crate::error::Result;
use crate::model::{escape_bytes, format_bytes, parse_bytes};
use crate::prune::{MaxUnused, PruneOptions};
use crate::repository::{EpochInfo, NewRecovery, RekeyOptions, RekeyPlan, Repository, SlotInfo};

const EXAMPLES: &str = "\
Examples:
  larder key list                                 shows who has a key
  larder repo rekey --remove 3f9c --dry-run       says who keeps access
  larder repo rekey --remove 3f9c                 new keys, and none for that one
  larder repo rekey --re-encrypt --max-repack 10G seals old data anew, a part in each run

Everybody who stays keeps the password or key file they have. Recovery codes are replaced: the new
one is printed once. What was stored before stays readable for whoever holds the old keys and gets at
the storage, until `--re-encrypt` has sealed it anew and `larder prune` has deleted the old packs.";

/// Change the keys of the repository: shut somebody out of what is backed up from now on
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(super) struct RekeyArgs {
    /// Leave out this key: its id or first digits, as `larder key list` shows it
    #[arg(long, value_name = "KEY")]
    remove: Vec<String>,

    /// Make a recovery code even if there was none
    #[arg(long, conflicts_with = "no_recovery")]
    new_recovery: bool,

    /// Make no recovery code; those of before stop working all the same
    #[arg(long)]
    no_recovery: bool,

    /// Make no new keys: seal what is sealed with older ones anew, by a prune (it also condemns what
    /// no snapshot needs, and deletes old packs whose time has come)
    #[arg(long, conflicts_with_all = ["remove", "new_recovery", "no_recovery", "dry_run"])]
    re_encrypt: bool,

    /// Seal at most so many bytes anew in this run, such as 10G; one pack at least
    #[arg(long, value_name = "BYTES", requires = "re_encrypt", value_parser = parse_bytes)]
    max_repack: Option<u64>,

    /// Only say who would keep access
    #[arg(short = 'n', long)]
    dry_run: bool,
}

pub(super) fn run(args: &RekeyArgs, context: &Context) -> Result<Finish> {
    if args.re_encrypt {
        return re_encrypt(args, context);
    }
    let recovery = match (args.new_recovery, args.no_recovery) {
        (true, _) => NewRecovery::Always,
        (_, true) => NewRecovery::Never,
        _ => NewRecovery::AsBefore,
    };
    let mut options = RekeyOptions { remove: args.remove.clone(), recovery, seen: None };
    let repository = context.open()?;
    let plan = repository.plan_rekey(&options)?;
    if args.dry_run {
        print_plan(&plan, true, context)?;
        return Ok(Finish::Done);
    }
    // Who is not on the screen by now gets nothing.
    options.seen = Some(plan.kept_ids());
    if !context.out.json {
        print_plan(&plan, false, context)?;
    }
    let mut show = |code: &crate::crypto::RecoveryCode| {
        if !context.out.json {
            context.out.note("")?;
        }
        show_code(code, context)
    };
    let report = repository.rekey(&options, &mut show, &context.quiet_runtime())?;
    if report.plan.new_recovery {
        context.out.note(
            "Write it down, and keep it away from this computer. Codes and kits printed before are void.",
        )?;
    }
    if context.out.json {
        print_plan(&report.plan, false, context)?;
    }
    if report.retained > 0 {
        context.out.warn(&format!(
            "storage refuses to delete {}: with those, an old key still opens what was stored until now",
            plural(report.retained, "old key object")
        ));
    }
    if context.out.json {
        return Ok(Finish::Done);
    }
    let (old, _) = old_bytes(&repository, context)?;
    let out = &context.out;
    out.note("")?;
    out.note("What is backed up from now on opens with the new keys only.")?;
    if old > 0 {
        out.note(format!(
            "{} stored before is still sealed with the old ones: whoever copied a key and gets at the",
            format_bytes(old)
        ))?;
        out.note("storage can read that. What next:")?;
        out.note("  larder repo rekey --re-encrypt   seals it anew, in several runs if you like")?;
        out.note(
            "  larder prune                     deletes the old packs when their time has come",
        )?;
    }
    out.note("Backups that run at this moment use the old keys to their end.")?;
    Ok(Finish::Done)
}

/// The object that `repo rekey` prints.
#[derive(Serialize)]
struct Shown {
    dry_run: bool,
    kept: Vec<Key>,
    removed: Vec<Key>,
    replaced: Vec<Key>,
    ignored: Vec<Key>,
    unreadable: Vec<String>,
    new_recovery_code: bool,
}

#[derive(Serialize)]
struct Key {
    id: String,
    kind: &'static str,
    label: String,
}

impl Key {
    fn of(slots: &[SlotInfo]) -> Vec<Self> {
        let key = |slot: &SlotInfo| Self {
            id: slot.id.to_string(),
            kind: slot.kind.as_str(),
            label: slot.label.clone(),
        };
        slots.iter().map(key).collect()
    }
}

fn print_plan(plan: &RekeyPlan, dry_run: bool, context: &Context) -> Result<()> {
    let out = &context.out;
    for error in &plan.unreadable {
        out.warn(&format!(
            "a key object cannot be read, and whoever it is for gets no new keys: {error}"
        ));
    }
    if out.json {
        return out.object(&Shown {
            dry_run,
            kept: Key::of(&plan.kept),
            removed: Key::of(&plan.removed),
            replaced: Key::of(&plan.replaced),
            ignored: Key::of(&plan.ignored),
            unreadable: plan.unreadable.clone(),
            new_recovery_code: plan.new_recovery,
        });
    }
    if plan.joins {
        out.warn("the keys were changed twice at the same time: only who was kept by both stays");
    } else if plan.after_interrupted {
        out.note("An earlier change of the keys was interrupted; this one takes its place.")?;
    }
    for (what, slots) in [
        ("keeps access", &plan.kept),
        ("left out", &plan.removed),
        ("code void", &plan.replaced),
        ("no new keys", &plan.ignored),
    ] {
        for slot in slots {
            let label = escape_bytes(slot.label.as_bytes());
            out.line(
                format!("{what:<12}  {}  {:<13}  {label}", slot.id.short(), slot.kind.as_str())
                    .trim_end(),
            )?;
        }
    }
    if !plan.ignored.is_empty() {
        out.warn("nobody who holds the current keys made the keys that get no new ones");
    }
    if dry_run && plan.new_recovery {
        out.note("A new recovery code would be printed.")?;
    }
    Ok(())
}

/// The object that `repo rekey --re-encrypt` prints.
#[derive(Serialize)]
struct ReEncrypted {
    sealed_anew_bytes: u64,
    index_objects: usize,
    old_bytes: u64,
    waiting_bytes: u64,
}

fn re_encrypt(args: &RekeyArgs, context: &Context) -> Result<Finish> {
    let out = &context.out;
    let repository = context.open()?;
    let (before, _) = old_bytes(&repository, context)?;
    let mut options = PruneOptions::new(author());
    options.reseal_old_epochs = true;
    // Only what is sealed with old keys, and not because of unused space.
    options.max_unused = MaxUnused::Percent(100.0);
    options.max_repack = args.max_repack;
    options.list_lost = false;
    let display = Display::start(out, Job::Repair);
    let runtime = context.runtime(&display);
    let ran = if before == 0 {
        Ok((None, repository.reseal_index(&runtime)))
    } else {
        crate::prune::run(&repository, &options, &runtime)
            .map(|report| (Some(report), repository.reseal_index(&runtime)))
    };
    display.finish();
    let (report, index_objects) = ran?;
    let index_objects = index_objects?;
    let (old_bytes, _) = old_bytes(&repository, context)?;
    let report = report.unwrap_or_default();
    let condemned = repository.load_gc()?.condemned();
    let waiting_bytes = old_of(&repository.sealed_bytes_in(&|pack| condemned.contains(pack))).0;
    let sealed_anew_bytes = report.written.bytes;
    if out.json {
        let shown = ReEncrypted { sealed_anew_bytes, index_objects, old_bytes, waiting_bytes };
        out.object(&shown)?;
        return Ok(Finish::Done);
    }
    if old_bytes == 0 {
        out.note("No stored data is sealed with old keys.")?;
        out.note("Records of snapshots keep the seal of their time: see SPEC.md, section 16.")?;
        return Ok(Finish::Done);
    }
    out.note(format!("sealed anew  {}", format_bytes(sealed_anew_bytes)))?;
    let left = old_bytes.saturating_sub(waiting_bytes);
    if left > 0 {
        out.note(format!("left         {}: run it again", format_bytes(left)))?;
    }
    if waiting_bytes > 0 {
        out.note(format!(
            "waiting      {} in old packs, which `larder prune` deletes when their time has come",
            format_bytes(waiting_bytes)
        ))?;
    }
    Ok(Finish::Done)
}

/// Bytes of data sealed with keys that are not current, and the number of their epochs.
pub(super) fn old_bytes(repository: &Repository, context: &Context) -> Result<(u64, usize)> {
    for error in repository.load_index()? {
        context.out.warn(&format!("a part of the index cannot be used: {error}"));
    }
    Ok(old_of(&repository.sealed_bytes()))
}

fn old_of(sealed: &[(EpochInfo, u64)]) -> (u64, usize) {
    let old = sealed.iter().filter(|(epoch, bytes)| !epoch.is_current && *bytes > 0);
    (old.clone().map(|(_, bytes)| bytes).sum(), old.count())
}
