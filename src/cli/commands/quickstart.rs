//! `larder quickstart`: the first backup in one command.

use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;
use zeroize::Zeroizing;

use super::{check, snapshot};
use crate::archive::BackupOptions;
use crate::cli::Finish;
use crate::cli::context::{Context, key_file_of, peek};
use crate::cli::output::local_ms;
use crate::cli::secrets::{create_key_file, create_private};
use crate::crypto::RecoveryCode;
use crate::error::{Error, Result};
use crate::repository::{InitOptions, LAYOUT, Repository, Unlock};
use crate::source::SourcePath;
use crate::storage::{self, Location};
use crate::verify::{CheckOptions, ReadData};

const EXAMPLES: &str = "\
Examples:
  larder quickstart ~/Documents
  larder quickstart /home /etc --kit /mnt/usb/larder-recovery-kit.txt
  larder -r /mnt/disk/backup quickstart ~

It makes a repository (in your data folder, or where `-r` says), a key file in your configuration
folder and a recovery kit to print, backs up, verifies the backup and says what to do next. Run
again, it backs up again, and verifies what is new.";

/// Make the first backup: repository, keys, recovery kit, snapshot, verification
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct QuickstartArgs {
    /// Files and folders to back up
    #[arg(value_name = "PATH", required = true)]
    paths: Vec<PathBuf>,

    /// File to write the recovery kit to; without it, `larder-recovery-kit.txt` in your home folder
    #[arg(long, value_name = "FILE")]
    kit: Option<PathBuf>,
}

/// Name of the recovery kit in the home folder.
const KIT_NAME: &str = "larder-recovery-kit.txt";

pub(super) fn run(args: &QuickstartArgs, context: &Context) -> Result<Finish> {
    let out = &context.out;
    let sources: Vec<SourcePath> =
        args.paths.iter().map(|path| SourcePath::new(path)).collect::<Result<_>>()?;
    if let Some(missing) = args.paths.iter().find(|path| path.symlink_metadata().is_err()) {
        // A first backup of less than was asked for would only look like one.
        return Err(Error::SourcesMissing { paths: vec![missing.clone()] });
    }
    let location = context.location()?;
    let made = if exists(&location)? { None } else { Some(make(args, &location, context)?) };
    let repository = context.open()?;
    if made.is_none() {
        out.note(format!("repository {} in `{location}`", repository.id().short()))?;
    }
    let mut options = BackupOptions { sources, ..BackupOptions::default() };
    options.walk.exclude_ids = snapshot::own_cache(&repository, context);
    let report = snapshot::backup_shown(&repository, &options, context)?;
    snapshot::tell(&report, false, context)?;

    let ids = report.snapshot.as_ref().map(|snapshot| vec![snapshot.id]);
    let options =
        CheckOptions { read_data: ReadData::All, snapshots: ids, ..CheckOptions::default() };
    let checked = check::check_shown(&repository, &options, context)?;
    check::tell(&checked, context)?;
    if !checked.is_clean() {
        return Ok(Finish::Damaged);
    }
    say_what_is_next(&location, args, made.as_ref(), context)?;
    Ok(Finish::with_failed(report.stats.errors))
}

fn exists(location: &Location) -> Result<bool> {
    match storage::open(location).and_then(|storage| peek(&*storage)) {
        Ok(_) => Ok(true),
        Err(Error::RepositoryMissing { .. }) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Makes a repository, its key file and its recovery kit; returns where the kit is.
fn make(args: &QuickstartArgs, location: &Location, context: &Context) -> Result<PathBuf> {
    let out = &context.out;
    let runtime = context.quiet_runtime();
    let kit = match &args.kit {
        Some(path) => path.clone(),
        None => free_name(&home()?, KIT_NAME),
    };
    if kit.symlink_metadata().is_ok() {
        let exists = std::io::Error::from(std::io::ErrorKind::AlreadyExists);
        return Err(Error::local("create", kit, exists));
    }
    // The key is on disk before anything is sealed with it; its name needs the repository's id.
    let keys = key_folder()?;
    let draft = free_name(&keys, "new.key");
    let key = Unlock::KeyFile(create_key_file(&draft, &runtime.random)?);
    let code = RecoveryCode::generate(&runtime.random);
    let code_text = code.to_text();
    let unlocks = [key, Unlock::Recovery(code)];
    let storage = storage::create(location, LAYOUT);
    let options = context.open_options();
    let repository = storage
        .and_then(|storage| {
            Repository::init(storage, &unlocks, &InitOptions::default(), &options, &runtime)
        })
        .inspect_err(|_| _ = std::fs::remove_file(&draft))?;
    let key_file = key_file_of(repository.id())?;
    std::fs::rename(&draft, &key_file).map_err(|error| Error::local("rename", &draft, error))?;
    let text = kit_text(&repository, &code_text, runtime.clock.now_ms());
    create_private(&kit, text.as_bytes())?;
    if out.json {
        out.message(
            "repository",
            &json!({
                "id": repository.id(),
                "location": repository.location(),
                "key_file": key_file.display().to_string(),
                "recovery_kit": kit.display().to_string(),
            }),
        )?;
    } else {
        out.note(format!("made repository {} in `{location}`", repository.id().short()))?;
        out.note(format!("  key file      {}", key_file.display()))?;
        out.note(format!("  recovery kit  {}", kit.display()))?;
    }
    Ok(kit)
}

fn home() -> Result<PathBuf> {
    std::env::home_dir().ok_or_else(|| {
        Error::usage_hint("this user has no home folder", "say where with `--kit FILE`")
    })
}

/// The folder of key files, for the owner only.
fn key_folder() -> Result<PathBuf> {
    let any = key_file_of(crate::model::RepoId([0; 32]))?;
    let folder = any.parent().unwrap_or(Path::new(".")).to_path_buf();
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&folder)
        .map_err(|error| Error::local("create", &folder, error))?;
    Ok(folder)
}

/// `name` in `folder`, with a number if that is taken.
fn free_name(folder: &Path, name: &str) -> PathBuf {
    let (stem, ending) = name.rsplit_once('.').unwrap_or((name, ""));
    let numbered = (2..1000).map(|number| folder.join(format!("{stem}-{number}.{ending}")));
    std::iter::once(folder.join(name))
        .chain(numbered)
        .find(|path| path.symlink_metadata().is_err())
        .unwrap_or_else(|| folder.join(name))
}

/// The paper that opens the repository when everything else is lost.
fn kit_text(repository: &Repository, code: &str, now_ms: i64) -> Zeroizing<String> {
    Zeroizing::new(format!(
        "\
LARDER RECOVERY KIT

This paper opens your backups when the computer and its key file are lost.
Print it, keep it where you keep your passport, and delete the file.
Whoever has it can read the backups.

Repository     {location}
Repository id  {id}
Made           {made}

Recovery code

    {code}

How to get your files back on any computer

 1. Install larder, and bring the repository within reach: attach the disk, or
    copy the folder.
 2. List the backups. When a password is asked for, type the recovery code:

        larder -r LOCATION snapshots

 3. Restore the newest, with the code again:

        larder -r LOCATION restore latest --target FOLDER

 4. Make a new key, and a new code (it makes this paper void):

        larder -r LOCATION key add --new-key-file larder.key
        larder -r LOCATION key recovery

Has somebody hidden backups, or brought an old state back?

 Every backup ends with a head code of eight words. Write the newest one here
 now and then (`larder repo info` shows it). Any computer finds out with it:

        larder -r LOCATION check --expect-head \"WORDS\"

 Date        Head code

",
        location = repository.location(),
        id = repository.id(),
        made = local_ms(now_ms),
    ))
}

fn say_what_is_next(
    location: &Location,
    args: &QuickstartArgs,
    kit: Option<&PathBuf>,
    context: &Context,
) -> Result<()> {
    let out = &context.out;
    let with = if context.global.repository.given()?.is_some() {
        format!("larder -r {location}")
    } else {
        "larder".to_owned()
    };
    let paths: Vec<String> = args.paths.iter().map(|path| path.display().to_string()).collect();
    out.note("")?;
    out.note("What next")?;
    if let Some(kit) = kit {
        out.note(format!("  Print {}, then delete it:", kit.display()))?;
        out.note("  it opens the backups when this computer and its key file are lost.")?;
        if location.as_path().is_some() {
            out.note("  Keep the repository on another disk than your files: one can break.")?;
        }
    }
    out.note(format!("  back up again      {with} snapshot {}", paths.join(" ")))?;
    out.note(format!("  list the backups   {with} snapshots"))?;
    out.note(format!("  look inside        {with} ls latest"))?;
    out.note(format!("  get files back     {with} restore latest --target FOLDER"))
}
