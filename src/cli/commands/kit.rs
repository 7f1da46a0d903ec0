//! `larder kit`: the page that opens the backups when everything else is lost.

use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;

use crate::cli::Finish;
use crate::cli::context::Context;
use crate::error::{Error, Result};
use crate::manager::disaster::{Kit, KitCode, KitFiles, KitOptions, make_kit};
use crate::repository::Repository;

const EXAMPLES: &str = "\
Examples:
  larder kit                               a page to print and a text file, in your home folder
  larder kit --output /mnt/usb/kit.html    only the page
  larder kit --stdout | lp                 nothing stays on this computer
  larder kit --also-at sftp://ann@host/backup
  larder kit --keep-code                   the code that you have stays good; write it in by hand

The kit has a recovery code that was made for it and is shown nowhere else. Codes of earlier kits are
withdrawn, but only when the new kit is safely written. It never holds the password. Files are never
written over. `larder recover --kit FILE` uses the text, the page or the text of the QR code.";

/// Make a recovery kit: one page to print, with a new recovery code
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct KitArgs {
    /// File to write: `.html` is the page to print, `.txt` the same as text; both without an ending
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,

    /// Print the text instead, with the QR code
    #[arg(long, conflicts_with = "output")]
    stdout: bool,

    /// Make no new code: the page has a line to write yours on
    #[arg(long)]
    keep_code: bool,

    /// Another place with a copy of this repository, to be named on the page beside its mirrors (may
    /// be repeated)
    #[arg(long, value_name = "LOCATION")]
    also_at: Vec<String>,
}

pub(super) fn run(args: &KitArgs, context: &Context) -> Result<Finish> {
    let files = match (&args.output, args.stdout) {
        (_, true) => None,
        (Some(output), _) => Some(KitFiles::named(output)?),
        (None, _) => Some(files_at_home("--output")?),
    };
    if let Some(files) = &files {
        files.check_free()?;
    }
    let options = KitOptions {
        also_at: args.also_at.clone(),
        keep_code: args.keep_code,
        ..KitOptions::default()
    };
    let repository = context.open()?;
    let kit = match &files {
        Some(files) => make(&repository, &options, files, context)?,
        None => make_kit(&repository, &options, &context.quiet_runtime(), &mut |kit| {
            print(kit, context)
        })?,
    };
    let Some(files) = files else { return Ok(Finish::Done) };
    tell(&kit, &files, context)?;
    Ok(Finish::Done)
}

/// Makes a kit and writes it to `files`.
pub(super) fn make(
    repository: &Repository,
    options: &KitOptions,
    files: &KitFiles,
    context: &Context,
) -> Result<Kit> {
    make_kit(repository, options, &context.quiet_runtime(), &mut |kit| files.save(kit))
}

/// The files of a kit in the home folder.
///
/// # Errors
/// [`Error::Usage`] that names `option` if the user has none.
pub(super) fn files_at_home(option: &str) -> Result<KitFiles> {
    let home = std::env::home_dir().ok_or_else(|| {
        Error::usage_hint("this user has no home folder", format!("say where with `{option} FILE`"))
    })?;
    Ok(KitFiles::free_in(&home))
}

#[derive(Serialize)]
struct Made<'a> {
    repository: String,
    locations: &'a [String],
    html: Option<String>,
    text: Option<String>,
    new_code: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    recovery_code: Option<&'a str>,
    head_code: Option<String>,
}

impl<'a> Made<'a> {
    fn new(kit: &'a Kit, files: Option<&KitFiles>) -> Self {
        let shown = |path: &Option<PathBuf>| path.as_deref().map(shown);
        Self {
            repository: kit.repository.to_string(),
            locations: &kit.locations,
            html: files.and_then(|files| shown(&files.html)),
            text: files.and_then(|files| shown(&files.text)),
            new_code: matches!(kit.code, KitCode::New(_)),
            recovery_code: None,
            head_code: kit.head.map(|head| head.to_string()),
        }
    }
}

/// Prints the kit itself: it is stored when everything is handed to the system.
fn print(kit: &Kit, context: &Context) -> Result<()> {
    let out = &context.out;
    if out.json {
        let code = match &kit.code {
            KitCode::New(code) => Some(code.as_str()),
            _ => None,
        };
        out.message("kit", &Made { recovery_code: code, ..Made::new(kit, None) })?;
    } else {
        out.bytes(kit.text().as_bytes())?;
        if let Some(qr) = kit.text_qr() {
            out.bytes(qr.as_bytes())?;
        }
    }
    out.flush()
}

/// Says where the kit is, and what to do with it.
pub(super) fn tell(kit: &Kit, files: &KitFiles, context: &Context) -> Result<()> {
    let out = &context.out;
    if out.json {
        return out.message("kit", &Made::new(kit, Some(files)));
    }
    for (what, path) in [("page to print", &files.html), ("text", &files.text)] {
        if let Some(path) = path {
            out.note(format!("recovery kit, {what:<15}{}", shown(path)))?;
        }
    }
    match &kit.code {
        KitCode::New(_) => {
            out.note("It has a new recovery code; codes of earlier kits are void.")?;
            out.note("Print it, keep it away from this computer, and delete the files:")?;
            out.note("whoever has it, as page, text or QR code, and the storage can read all.")
        }
        KitCode::Blank => out.note("Print it, and write the recovery code that you have into it."),
        KitCode::NotNeeded => out.note("Print it. The backups are not encrypted."),
    }
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}
