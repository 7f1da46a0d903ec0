//! `larder dump`: the content of a file, or a folder as an archive, without restoring it.

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, IsTerminal, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::{Args, ValueEnum};

use super::shared::FilterArgs;
use super::warm_up::packs_of;
use crate::cli::Finish;
use crate::cli::context::Context;
use crate::cli::output::Output;
use crate::cli::select::{find_entry, shown_path};
use crate::error::{Error, Result};
use crate::manager::refuse_cold;
use crate::model::{Entry, FileKind};
use crate::repository::Repository;
use crate::runtime::{Issue, Progress, Runtime};
use crate::tree::{FileReader, Manifest, Part, write_tar};

const EXAMPLES: &str = "\
Examples:
  larder dump latest:etc/fstab
  larder dump latest:db.sql | psql
  larder dump latest:home/ann -o ann.tar     a folder becomes a tar archive
  larder dump 4f1c:disk.img --output disk.img";

/// Print a file, or a folder as a tar archive
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct DumpArgs {
    /// What to print: `ID:path/in/it`; without a path, the whole snapshot
    #[arg(value_name = "SNAPSHOT[:PATH]")]
    file: OsString,

    /// Kind of archive for a folder
    #[arg(long, value_name = "KIND", default_value = "tar")]
    archive: ArchiveArg,

    /// File to write to, instead of standard output; it must not exist
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,

    #[command(flatten)]
    filter: FilterArgs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum ArchiveArg {
    /// POSIX tar with extended attributes
    Tar,
}

pub(super) fn run(args: &DumpArgs, context: &Context) -> Result<Finish> {
    let repository = context.open_indexed()?;
    let chosen = args.filter.choose(Some(&args.file), &repository, &context.out)?;
    let manifest = Manifest::of(&chosen.snapshot);
    let path = chosen.path.unwrap_or_default();
    let entry = find_entry(&repository, &chosen.snapshot, &path)?;
    let packs = || packs_of(&repository, &chosen.snapshot, path.clone(), context);
    refuse_cold(&repository, packs, "`larder warm-up --wait`", &context.quiet_runtime())?;
    let dump = Dump { repository: &repository, manifest, entry, context };
    match &args.output {
        None => dump.to_stdout(),
        Some(file) => {
            let failed = |error| Error::local("create", file, error);
            let made =
                OpenOptions::new().write(true).create_new(true).open(file).map_err(failed)?;
            // A part of a file must not be taken for the file.
            dump.to_file(made, file).inspect_err(|_| _ = std::fs::remove_file(file))
        }
    }
}

struct Dump<'r> {
    repository: &'r Repository,
    manifest: Manifest,
    entry: Entry,
    context: &'r Context,
}

impl Dump<'_> {
    fn to_stdout(&self) -> Result<Finish> {
        if self.entry.kind == FileKind::Dir {
            if std::io::stdout().is_terminal() {
                return Err(Error::usage_hint(
                    "a tar archive is nothing for a terminal",
                    "write it to a file with `--output FILE`, or into a pipe",
                ));
            }
            return self.archive(&mut *self.context.out.writer());
        }
        let mut writer = self.context.out.writer();
        self.open()?.read_parts(&mut |part| {
            self.context.cancel.check()?;
            let written = match part {
                Part::Bytes(bytes) => writer.write_all(bytes),
                Part::Hole(len) => write_zeros(&mut *writer, len),
                Part::Gap(gap) => return Err(gap.error),
            };
            written.map_err(|error| Error::local("write", "standard output", error))
        })?;
        Ok(Finish::Done)
    }

    fn to_file(&self, mut file: File, path: &Path) -> Result<Finish> {
        if self.entry.kind == FileKind::Dir {
            return self.archive(&mut BufWriter::with_capacity(1 << 20, file));
        }
        let failed = |error| Error::local("write", path, error);
        let mut content = self.open()?;
        file.set_len(content.size()).map_err(failed)?;
        content.read_parts(&mut |part| {
            self.context.cancel.check()?;
            match part {
                Part::Bytes(bytes) => file.write_all(bytes).map_err(failed),
                Part::Hole(len) => skip(&mut file, len).map_err(failed),
                Part::Gap(gap) => Err(gap.error),
            }
        })?;
        Ok(Finish::Done)
    }

    fn open(&self) -> Result<FileReader<'_>> {
        FileReader::open(self.repository, &self.manifest, &self.entry)
    }

    fn archive(&self, output: &mut dyn Write) -> Result<Finish> {
        // A bar would only disturb what reads the archive; what is missing in it must be said.
        let warnings = Arc::new(Warnings(Arc::clone(&self.context.out)));
        let runtime = Runtime { progress: warnings, ..self.context.quiet_runtime() };
        let folder = &self.entry.path;
        let stats = write_tar(self.repository, &self.manifest, folder, output, &runtime)?;
        Ok(Finish::with_failed(stats.failed))
    }
}

/// Prints what could not be read, and nothing else.
pub(super) struct Warnings(pub(super) Arc<Output>);

impl Progress for Warnings {
    fn issue(&self, issue: &Issue) {
        self.0.warn(&format!("`{}`: {}", shown_path(&issue.path), issue.message));
    }
}

fn write_zeros(output: &mut dyn Write, len: u64) -> io::Result<()> {
    io::copy(&mut io::repeat(0).take(len), output).map(|_| ())
}

/// Leaves a hole; the file has its full length already.
fn skip(file: &mut File, len: u64) -> std::io::Result<()> {
    let len = i64::try_from(len).map_err(std::io::Error::other)?;
    file.seek(SeekFrom::Current(len)).map(|_| ())
}
