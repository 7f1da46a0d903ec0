//! `larder quickstart`: the first backup in one command.

use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;

use super::{check, kit, snapshot};
use crate::archive::BackupOptions;
use crate::cli::Finish;
use crate::cli::context::{Context, key_file_of, peek};
use crate::cli::secrets::{SecretSource, create_key_file};
use crate::error::{Error, Result};
use crate::format::key_slot::SlotKind;
use crate::manager::BackupRequest;
use crate::manager::disaster::{KitFiles, KitOptions};
use crate::model::quoted;
use crate::repository::{InitOptions, LAYOUT, Repository, Unlock};
use crate::source::SourcePath;
use crate::storage::Location;
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

    /// File to write the recovery kit to, `.html` or `.txt`, both without an ending; if not said,
    /// `larder-recovery-kit.html` and `.txt` in your home folder
    #[arg(long, value_name = "FILE")]
    kit: Option<PathBuf>,
}

pub(super) fn run(args: &QuickstartArgs, context: &Context) -> Result<Finish> {
    let out = &context.out;
    let sources: Vec<SourcePath> =
        args.paths.iter().map(|path| SourcePath::new(path)).collect::<Result<_>>()?;
    if let Some(missing) = args.paths.iter().find(|path| path.symlink_metadata().is_err()) {
        // A first backup of less than was asked for would only look like one.
        return Err(Error::SourcesMissing { paths: vec![missing.clone()] });
    }
    let location = context.location()?;
    let is_new = !exists(&location, context)?;
    let files = match &args.kit {
        Some(output) => KitFiles::named(output)?,
        None => kit::files_at_home("--kit")?,
    };
    let repository = if is_new {
        files.check_free()?;
        let key_file = make(&location, context)?;
        // Whatever password the environment has is that of something else.
        context.open_at(&location, &SecretSource::KeyFile(key_file))?
    } else {
        context.open()?
    };
    if !is_new {
        out.note(format!("repository {} in `{location}`", repository.id().short()))?;
    }
    let options = BackupOptions { sources, ..BackupOptions::default() };
    let request = BackupRequest { options, ..BackupRequest::default() };
    let manager = context.manager(repository)?;
    let repository = manager.repository();
    let report = snapshot::backup_shown(&manager, request, context)?;
    snapshot::tell(&report, false, context)?;
    let files = needs_kit(repository)?.then_some(files);
    if let Some(files) = &files {
        // After the backup, so that the kit has its head code and no backup has the kit.
        let made = kit::make(repository, &KitOptions::default(), files, context)?;
        if out.json {
            kit::tell(&made, files, context)?;
        }
    }

    let ids = report.snapshot.as_ref().map(|snapshot| vec![snapshot.id]);
    let options =
        CheckOptions { read_data: ReadData::All, snapshots: ids, ..CheckOptions::default() };
    let checked = check::check_shown(repository, &options, context)?;
    check::tell(&checked, context)?;
    if !checked.is_clean() {
        return Ok(Finish::Damaged);
    }
    say_what_is_next(&location, args, files.as_ref(), context)?;
    Ok(Finish::with_failed(report.stats.errors))
}

fn exists(location: &Location, context: &Context) -> Result<bool> {
    match context.wire.open(location).and_then(|storage| peek(&*storage)) {
        Ok(_) => Ok(true),
        Err(Error::RepositoryMissing { .. }) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Whether nothing opens the repository but what is on this machine: so it is after the first
/// backup, and after one that was broken off before it had a kit.
fn needs_kit(repository: &Repository) -> Result<bool> {
    if !key_file_of(repository.id()).is_ok_and(|path| path.is_file()) {
        return Ok(false);
    }
    Ok(!repository.slots()?.iter().any(|slot| slot.kind == SlotKind::Recovery))
}

/// Makes a repository and its key file, and returns where that is.
fn make(location: &Location, context: &Context) -> Result<PathBuf> {
    let out = &context.out;
    let runtime = context.quiet_runtime();
    // The key is on disk before anything is sealed with it; its name needs the repository's id.
    let keys = key_folder()?;
    let draft = free_name(&keys, "new.key");
    let key = Unlock::KeyFile(create_key_file(&draft, &runtime.random)?);
    let storage = context.wire.create(location, LAYOUT);
    let options = context.open_options();
    let repository = storage
        .and_then(|storage| {
            Repository::init(storage, &[key], &InitOptions::default(), &options, &runtime)
        })
        .inspect_err(|_| _ = std::fs::remove_file(&draft))?;
    let key_file = key_file_of(repository.id())?;
    std::fs::rename(&draft, &key_file).map_err(|error| Error::local("rename", &draft, error))?;
    if out.json {
        out.message(
            "repository",
            &json!({
                "id": repository.id(),
                "location": repository.location(),
                "key_file": key_file.display().to_string(),
            }),
        )?;
    } else {
        out.note(format!("made repository {} in `{location}`", repository.id().short()))?;
        out.note(format!("  key file  {}", key_file.display()))?;
    }
    Ok(key_file)
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

fn say_what_is_next(
    location: &Location,
    args: &QuickstartArgs,
    files: Option<&KitFiles>,
    context: &Context,
) -> Result<()> {
    let out = &context.out;
    let with = if context.global.repository.given()?.is_some() {
        format!("larder -r {}", quoted(&location.to_string()))
    } else {
        "larder".to_owned()
    };
    let paths: Vec<String> =
        args.paths.iter().map(|path| quoted(&path.display().to_string())).collect();
    out.note("")?;
    out.note("What next")?;
    if let Some(files) = files {
        for (number, path) in files.paths().enumerate() {
            let what = if number == 0 { "  Print the recovery kit" } else { "  as text" };
            out.note(format!("{what:<26}{}", path.display()))?;
        }
        out.note("  It opens the backups when this computer and its key file are lost: keep the")?;
        out.note("  paper away from the computer, and delete what you have printed.")?;
        if location.as_path().is_some() {
            out.note("  Keep the repository on another disk than your files: one can break.")?;
        }
    }
    out.note(format!("  back up again      {with} snapshot {}", paths.join(" ")))?;
    out.note(format!("  list the backups   {with} snapshots"))?;
    out.note(format!("  look inside        {with} ls latest"))?;
    out.note(format!("  get files back     {with} restore latest --target FOLDER"))
}
