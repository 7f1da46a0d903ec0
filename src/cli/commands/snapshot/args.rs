//! What `larder snapshot` takes, from its options and from the profile.

use std::fs;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use parking_lot::Mutex;

use super::super::shared::{size, strategy};
use crate::archive::{BackupOptions, StdinSource};
use crate::cli::profile::BackupFields;
use crate::codec::Compression;
use crate::error::{Error, Result};
use crate::model::BackupStrategy;
use crate::model::entry::is_valid_path;
use crate::source::{SourceListKind, SourcePath, WalkOptions, read_source_list};
use crate::tree::clean_path;

const EXAMPLES: &str = "\
Examples:
  larder snapshot /home /etc
  larder snapshot ~/work --exclude '*.o' --exclude target/ --tag work
  larder snapshot / --one-file-system --exclude-caches
  larder snapshot /home --strategy full --description 'before the move'
  larder snapshot /home --dry-run -v              what would be stored
  find . -newer list -print0 | larder snapshot --files-from-raw -
  pg_dump db | larder snapshot --stdin db.sql

A pattern without `/` fits a name in any folder, one that begins with `/` a whole path, any other
the last parts of a path. `*` and `?` stay within a name, `**` crosses folders; `/` at the end
means folders only, `!` in front takes back what an earlier pattern left out.

Files that cannot be read are named and counted; the snapshot is made without them, and the exit
code is 3. A run that was interrupted keeps what it stored, and the next one goes on from there.";

/// Back up files and folders
#[derive(Args, Debug, Default)]
#[command(after_help = EXAMPLES)]
pub(crate) struct SnapshotArgs {
    /// Files and folders (default: those of the profile); a symbolic link is stored as a link unless
    /// it ends in `/`
    #[arg(value_name = "PATH")]
    paths: Vec<PathBuf>,

    /// Which earlier snapshot tells what need not be read again: `full` reads everything,
    /// `incremental` (the default) compares with the newest one, `differential` with the newest
    /// full one. Each makes a complete snapshot
    #[arg(long, value_name = "STRATEGY", value_parser = strategy())]
    strategy: Option<BackupStrategy>,

    /// Tag of the snapshot (may be repeated)
    #[arg(long, value_name = "TAG", value_delimiter = ',')]
    tag: Vec<String>,

    /// Host name of the snapshot, instead of this machine's
    #[arg(long, value_name = "NAME")]
    host: Option<String>,

    /// A line of text about the snapshot
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,

    /// Read everything and say what would be stored, but store nothing
    #[arg(short = 'n', long)]
    pub(super) dry_run: bool,

    /// Leave mirrors that are not written with the snapshot (policy `async`, or far behind) as they
    /// are
    #[arg(long)]
    pub(super) no_mirror_sync: bool,

    /// How hard to compress: fast, default, max, none or a zstd level from 1 to 22
    #[arg(long, value_name = "HOW")]
    compression: Option<Compression>,

    #[command(flatten)]
    select: SelectArgs,

    #[command(flatten)]
    read: ReadArgs,
}

/// What is taken and what is left out.
#[derive(Args, Debug, Default)]
#[command(next_help_heading = "What to back up")]
struct SelectArgs {
    /// Leave out what fits the pattern (may be repeated)
    #[arg(short, long, value_name = "PATTERN")]
    exclude: Vec<String>,

    /// The same, upper and lower case being equal
    #[arg(long, value_name = "PATTERN")]
    iexclude: Vec<String>,

    /// Leave out what fits a pattern in the file, one a line
    #[arg(long, value_name = "FILE")]
    exclude_file: Vec<PathBuf>,

    /// The same, upper and lower case being equal
    #[arg(long, value_name = "FILE")]
    iexclude_file: Vec<PathBuf>,

    /// Leave out what is in folders marked by a CACHEDIR.TAG
    #[arg(long)]
    exclude_caches: bool,

    /// Leave out what is in folders that hold this file; with `:HEADER`, if it begins so
    #[arg(long, value_name = "NAME[:HEADER]")]
    exclude_if_present: Vec<String>,

    /// Leave out files larger than this, such as `500M`
    #[arg(long, value_name = "SIZE", value_parser = size)]
    exclude_larger_than: Option<u64>,

    /// Leave out files and folders with the nodump flag
    #[arg(long)]
    exclude_nodump: bool,

    /// Leave out what `.gitignore` files say
    #[arg(long)]
    git_ignore: bool,

    /// Stay in the file systems of the given paths
    #[arg(short = 'x', long)]
    one_file_system: bool,

    /// Take the paths that fit the patterns in the file, one a line; `-` is standard input
    #[arg(long, value_name = "FILE")]
    files_from: Vec<PathBuf>,

    /// Take the paths in the file, one a line, as they are; `-` is standard input
    #[arg(long, value_name = "FILE")]
    files_from_verbatim: Vec<PathBuf>,

    /// Take the paths in the file, each with a NUL after it; `-` is standard input
    #[arg(long, value_name = "FILE")]
    files_from_raw: Vec<PathBuf>,

    /// Back up standard input as a file of this name
    #[arg(long, value_name = "NAME",
          conflicts_with_all = ["paths", "files_from", "files_from_verbatim", "files_from_raw"])]
    stdin: Option<PathBuf>,
}

/// How files are looked at.
#[derive(Args, Debug, Default)]
#[command(next_help_heading = "How to read")]
struct ReadArgs {
    /// Keep the times of last access
    #[arg(long)]
    with_atime: bool,

    /// Do not read a file again only because its ctime changed
    #[arg(long)]
    ignore_ctime: bool,

    /// Do not read a file again only because its inode number changed
    #[arg(long)]
    ignore_inode: bool,
}
/// What a profile says of backups.
///
/// # Errors
/// [`Error::Usage`] for a compression or size that is none, and if it names no sources.
pub(crate) fn options_of(profile: &BackupFields) -> Result<BackupOptions> {
    let mut args = SnapshotArgs::default();
    args.fill(profile)?;
    args.options()
}

impl SnapshotArgs {
    /// Takes from a profile what was not given.
    pub(super) fn fill(&mut self, profile: &BackupFields) -> Result<()> {
        fn list<T: Clone>(given: &mut Vec<T>, said: &[T]) {
            if given.is_empty() {
                given.extend_from_slice(said);
            }
        }
        let select = &mut self.select;
        if !select.names_sources() {
            list(&mut self.paths, &profile.sources);
        }
        self.strategy = self.strategy.or(profile.strategy);
        list(&mut self.tag, &profile.tags);
        self.host = self.host.take().or_else(|| profile.host.clone());
        self.description = self.description.take().or_else(|| profile.description.clone());
        if self.compression.is_none()
            && let Some(text) = &profile.compression
        {
            let wrong = |error| Error::usage(format!("profile, `compression`: {error}"));
            self.compression = Some(text.parse().map_err(wrong)?);
        }
        list(&mut select.exclude, &profile.exclude);
        list(&mut select.iexclude, &profile.iexclude);
        list(&mut select.exclude_file, &profile.exclude_file);
        list(&mut select.iexclude_file, &profile.iexclude_file);
        list(&mut select.exclude_if_present, &profile.exclude_if_present);
        if select.exclude_larger_than.is_none()
            && let Some(text) = &profile.exclude_larger_than
        {
            let wrong = |error| Error::usage(format!("profile, `exclude-larger-than`: {error}"));
            select.exclude_larger_than = Some(size(text).map_err(wrong)?);
        }
        select.exclude_caches |= profile.exclude_caches.unwrap_or_default();
        select.exclude_nodump |= profile.exclude_nodump.unwrap_or_default();
        select.git_ignore |= profile.git_ignore.unwrap_or_default();
        select.one_file_system |= profile.one_file_system.unwrap_or_default();
        Ok(())
    }

    pub(super) fn options(self) -> Result<BackupOptions> {
        Ok(BackupOptions {
            sources: self.select.sources(&self.paths)?,
            stdin: self.select.stdin.as_deref().map(stdin_source).transpose()?.map(Arc::new),
            walk: self.select.walk(),
            strategy: self.strategy.unwrap_or(BackupStrategy::Incremental),
            tags: self.tag,
            description: self.description.unwrap_or_default(),
            host: self.host,
            compression: self.compression.unwrap_or_default(),
            with_atime: self.read.with_atime,
            ignore_ctime: self.read.ignore_ctime,
            ignore_inode: self.read.ignore_inode,
            dry_run: self.dry_run,
            ..BackupOptions::default()
        })
    }
}

impl SelectArgs {
    /// Whether something else than paths says what is taken.
    fn names_sources(&self) -> bool {
        let lists = [&self.files_from, &self.files_from_verbatim, &self.files_from_raw];
        self.stdin.is_some() || lists.iter().any(|files| !files.is_empty())
    }

    fn sources(&self, paths: &[PathBuf]) -> Result<Vec<SourcePath>> {
        let mut sources: Vec<SourcePath> =
            paths.iter().map(|path| SourcePath::new(path)).collect::<Result<_>>()?;
        let lists = [
            (&self.files_from, SourceListKind::Patterns),
            (&self.files_from_verbatim, SourceListKind::Verbatim),
            (&self.files_from_raw, SourceListKind::Raw),
        ];
        for (files, kind) in lists {
            for file in files {
                let list = read_list(file)?;
                let base = std::env::current_dir()
                    .map_err(|error| Error::local("find", "the current folder", error))?;
                sources.extend(read_source_list(&list, kind, &base)?);
            }
        }
        if sources.is_empty() && !self.names_sources() {
            return Err(Error::usage_hint(
                "nothing is said of what to back up",
                "give paths, or `sources` below `[backup]` in a profile",
            ));
        }
        if sources.is_empty() && self.stdin.is_none() {
            return Err(Error::usage("the lists name nothing to back up"));
        }
        Ok(sources)
    }

    fn walk(self) -> WalkOptions {
        WalkOptions {
            exclude: self.exclude,
            iexclude: self.iexclude,
            exclude_file: self.exclude_file,
            iexclude_file: self.iexclude_file,
            exclude_caches: self.exclude_caches,
            exclude_if_present: self.exclude_if_present,
            exclude_larger_than: self.exclude_larger_than,
            exclude_nodump: self.exclude_nodump,
            git_ignore: self.git_ignore,
            one_file_system: self.one_file_system,
            ..WalkOptions::default()
        }
    }
}

fn read_list(file: &Path) -> Result<Vec<u8>> {
    if file.as_os_str() == "-" {
        let mut list = Vec::new();
        let read = std::io::stdin().lock().read_to_end(&mut list);
        return read.map(|_| list).map_err(|error| Error::local("read", "standard input", error));
    }
    fs::read(file).map_err(|error| Error::local("read", file, error))
}

fn stdin_source(name: &Path) -> Result<StdinSource> {
    let bytes = clean_path(name.as_os_str().as_bytes());
    if bytes.is_empty() || !is_valid_path(&bytes) {
        return Err(Error::usage_hint(
            format!("`{}` is no name for a file", name.display()),
            "give a name such as `db.sql`",
        ));
    }
    Ok(StdinSource { name: bytes, reader: Mutex::new(Box::new(std::io::stdin())) })
}
