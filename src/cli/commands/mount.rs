//! `larder mount`: snapshots as a file system.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;

use super::shown::ShownArgs;
use crate::cli::Finish;
use crate::cli::background;
use crate::cli::context::Context;
use crate::cli::signals;
use crate::error::{Error, Result};
use crate::fsmeta::own_ids;
use crate::model::quoted;
use crate::mount::{Ending, MountOptions, Mounted, Unmounted, mount};
use crate::repository::Repository;
use crate::storage::Location;
use crate::view::ViewOptions;

const EXAMPLES: &str = "\
Examples:
  larder mount /mnt/backup                      all snapshots: by time, id, host and tag
  cp -a /mnt/backup/latest/home/ann/work ~/     in another terminal: bring a folder back
  larder mount latest:home/ann /mnt/backup      one folder of one snapshot
  larder mount --host web --tag nightly /mnt/backup
  sudo larder mount --allow-other /mnt/backup   for everybody, by the permissions of the files
  larder mount --owner me /mnt/backup           as if all files were yours

Ends with Ctrl-C, SIGTERM, or `umount` from elsewhere. Nothing can be changed in it. New snapshots
appear by themselves. Files that need damaged data give `Input/output error` and are named here.

Options for `-o`: allow_other, default_permissions, uid=N, gid=N, dev, suid, noexec; ro, nodev,
nosuid, exec are the default. Peers' other options are not needed.";

/// Show snapshots as a file system that can only be read
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES, allow_missing_positional = true)]
pub(crate) struct MountArgs {
    /// One snapshot, or a folder of it, instead of all of them: `latest`, `ID:path/in/it`
    #[arg(value_name = "SNAPSHOT[:PATH]")]
    snapshot: Option<OsString>,

    /// Empty folder to mount on
    #[arg(value_name = "DIR", required = true)]
    folder: PathBuf,

    /// Let other users look into it, as permissions and ACLs of the files allow
    #[arg(long)]
    allow_other: bool,

    /// Mount options as `mount` takes them, with commas between them (may be repeated)
    #[arg(short = 'o', long = "option", value_name = "OPTIONS", value_delimiter = ',')]
    options: Vec<String>,

    /// Stay in front until it is unmounted; always so without `--background`
    #[arg(long, conflicts_with = "background")]
    foreground: bool,

    /// Return as soon as it is mounted
    #[arg(long)]
    background: bool,

    /// File for messages in the background
    #[arg(long, value_name = "FILE", requires = "background")]
    log_file: Option<PathBuf>,

    #[command(flatten)]
    shown: ShownArgs,
}

/// What `--json` prints.
#[derive(Serialize)]
struct Told<'t> {
    folder: &'t Path,
}

/// What `-o` and the other options say together.
struct Wanted {
    mount: MountOptions,
    user: Option<u32>,
    group: Option<u32>,
}

impl Wanted {
    /// Who owns everything, if somebody is to; `chosen` by another option.
    fn owner(&self, chosen: Option<(u32, u32)>) -> Option<(u32, u32)> {
        if self.user.is_none() && self.group.is_none() {
            return chosen;
        }
        let (user, group) = chosen.unwrap_or_else(own_ids);
        Some((self.user.unwrap_or(user), self.group.unwrap_or(group)))
    }
}

pub(super) fn run(args: &MountArgs, context: &Context) -> Result<Finish> {
    let mut wanted = args.wanted()?;
    if args.background && !background::is_it() {
        return background::start();
    }
    signals::say_when_stopping("unmounting; once more stops at once");
    let repository = context.open_indexed()?;
    wanted.mount.source = repository.location().to_owned();
    wanted.mount.taken = folders_of(&repository, context);
    let own = |options: &mut ViewOptions| options.owner = wanted.owner(options.owner);
    let view = args.shown.view(args.snapshot.as_deref(), repository, context, own)?;
    let mounted = mount(view, &args.folder, &wanted.mount)?;
    say_mounted(&mounted, context)?;
    if args.background {
        background::ready(args.log_file.as_deref(), &context.out)?;
    }
    let folder = mounted.folder().to_path_buf();
    let ending = mounted.wait(&context.cancel)?;
    if ending == Ending::Asked(Unmounted::WhileInUse) {
        let shown = folder.display();
        context.out.warn(&format!(
            "`{shown}` was in use: it is unmounted, and what is still open in it fails from now on"
        ));
    }
    if context.out.json {
        context.out.message("unmounted", &Told { folder: &folder })?;
    } else {
        context.out.note("unmounted")?;
    }
    Ok(Finish::Done)
}

fn say_mounted(mounted: &Mounted, context: &Context) -> Result<()> {
    let folder = mounted.folder();
    if mounted.was_dead() {
        let shown = folder.display();
        context.out.warn(&format!(
            "a dead mount was on `{shown}`, left by a program that was killed: it is cleared away"
        ));
    }
    if context.out.json {
        context.out.message("mounted", &Told { folder })?;
    } else {
        let shown = folder.display();
        let quoted = quoted(&shown.to_string());
        context.out.note(format!("mounted on `{shown}`; ends with Ctrl-C or `umount {quoted}`"))?;
    }
    context.out.flush()
}

/// Folders of this machine that belong to the repository.
fn folders_of(repository: &Repository, context: &Context) -> Vec<PathBuf> {
    let mut folders: Vec<PathBuf> = Vec::new();
    let locations = repository.places().all.into_iter().map(|place| place.location);
    for location in locations.chain([repository.location().to_owned()]) {
        let location = Location::parse(&location).ok();
        folders.extend(location.as_ref().and_then(Location::as_path).map(Path::to_path_buf));
    }
    let options = context.open_options();
    folders.extend(options.cache_dir);
    folders.extend(options.state_dir);
    folders
}

impl MountArgs {
    fn wanted(&self) -> Result<Wanted> {
        let mut mount = MountOptions { allow_other: self.allow_other, ..MountOptions::default() };
        let (mut user, mut group) = (None, None);
        for option in self.options.iter().map(|option| option.trim()) {
            let (name, value) = option.split_once('=').unwrap_or((option, ""));
            match name {
                "allow_other" => mount.allow_other = true,
                "default_permissions" => mount.default_permissions = true,
                "dev" => mount.devices = true,
                "nodev" => mount.devices = false,
                "suid" => mount.set_ids = true,
                "nosuid" => mount.set_ids = false,
                "noexec" => mount.no_programs = true,
                "exec" => mount.no_programs = false,
                "uid" => user = Some(number(option, value)?),
                "gid" => group = Some(number(option, value)?),
                "" | "ro" | "noatime" | "async" | "defaults" | "auto" | "noauto" | "nofail"
                | "user" | "_netdev" => {}
                "rw" => {
                    return Err(Error::usage_hint(
                        "snapshots cannot be changed, so `-o rw` cannot be had",
                        "copy what is to be changed to another folder",
                    ));
                }
                _ => {
                    return Err(Error::usage_hint(
                        format!("`-o {option}` is unknown"),
                        "`larder mount --help` lists the options",
                    ));
                }
            }
        }
        Ok(Wanted { mount, user, group })
    }
}

fn number(option: &str, value: &str) -> Result<u32> {
    value.parse().map_err(|_| {
        Error::usage_hint(format!("`-o {option}` has no number"), "write `-o uid=1000,gid=1000`")
    })
}
