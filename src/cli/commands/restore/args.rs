//! What `larder restore` takes.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use clap::{Args, ValueEnum};

use crate::cli::commands::shared::FilterArgs;
use crate::cli::commands::warm_up::HowArgs;
use crate::error::Result;
use crate::restore::{Asker, Overwrite, OwnerPolicy, RestoreOptions, SparsePolicy, VerifyBefore};
use crate::tree::parse_path;

const EXAMPLES: &str = "\
Examples:
  larder restore latest --target /tmp/back              everything, with full paths below it
  larder restore latest:home/ann/work --target ~/work   the contents of one folder
  larder restore 4f1c --target . --include '*.txt'
  larder restore --at 2026-11-01 --host web --target /tmp/back
  larder restore latest --only /etc/fstab --only /home/ann --target /tmp/back --verify-first
  larder restore latest:etc --target /etc --overwrite if-changed --dry-run -v
  larder restore latest:srv --target /srv --delete --verify
  larder restore latest:etc/nginx --in-place            wholly, or everything stays as it was
  larder restore latest --in-place --delete --dry-run -v

With `SNAPSHOT:PATH` the contents of PATH are put straight into the target; without `:PATH` the
full source paths are made again below it. Files that cannot be restored are named, all others
are restored, and the exit code is 3.

With `--in-place` everything goes to where it came from, all or nothing: what is new is written
beside the tree first and checked, then exchanged in one go. After an error, Ctrl-C, a crash or
a full disk the tree is exactly as it was before: at once, or after `larder rollback`.";

/// Bring files back from a snapshot
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct RestoreArgs {
    /// Snapshot: an id or its first digits, `latest`, `latest~2`, `ID:path/in/it`
    #[arg(value_name = "SNAPSHOT[:PATH]", required_unless_present = "at")]
    pub(super) snapshot: Option<OsString>,

    /// Folder to restore into; made if it is not there
    #[arg(short, long, value_name = "DIR", required_unless_present = "in_place")]
    pub(super) target: Option<PathBuf>,

    /// Restore to where it came from, wholly or not at all
    #[arg(long, conflicts_with = "target")]
    pub(super) in_place: bool,

    /// Restore only what fits the pattern (may be repeated)
    #[arg(short, long, value_name = "PATTERN")]
    pub(super) include: Vec<String>,

    /// The same, upper and lower case being equal
    #[arg(long, value_name = "PATTERN")]
    pub(super) iinclude: Vec<String>,

    /// Leave out what fits the pattern (may be repeated)
    #[arg(short, long, value_name = "PATTERN")]
    pub(super) exclude: Vec<String>,

    /// The same, upper and lower case being equal
    #[arg(long, value_name = "PATTERN")]
    pub(super) iexclude: Vec<String>,

    /// Restore only this file or folder, as `larder ls` shows it (may be repeated)
    #[arg(long, value_name = "PATH")]
    pub(super) only: Vec<OsString>,

    /// What to do with files that are there already
    #[arg(long, value_name = "WHEN", default_value = "always")]
    pub(super) overwrite: OverwriteArg,

    /// Delete what is in the target's restored folders but not in the snapshot
    #[arg(long)]
    pub(super) delete: bool,

    /// Say what would be done, but change nothing
    #[arg(short = 'n', long)]
    pub(super) dry_run: bool,

    /// Find out first whether all that is asked for can be restored, and else restore nothing:
    /// `structure` looks whether everything is there, `data` reads it all
    #[arg(
        long,
        value_name = "HOW",
        value_enum,
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "data"
    )]
    pub(super) verify_first: Option<VerifyFirstArg>,

    /// Start even if the target seems to have too little room
    #[arg(long)]
    pub(super) no_room_check: bool,

    /// Read the restored files again and compare them with the snapshot
    #[arg(long)]
    pub(super) verify: bool,

    /// Whose the restored files are
    #[arg(long, value_name = "WHOSE", default_value = "by-name")]
    pub(super) owner: OwnerArg,

    /// What becomes of long runs of zeros
    #[arg(long, value_name = "HOW", default_value = "as-recorded")]
    pub(super) sparse: SparseArg,

    /// Ask for what is in cold storage first, and wait until it is there
    #[arg(long, conflicts_with = "dry_run")]
    pub(super) warm_up: bool,

    #[command(flatten)]
    pub(super) how: HowArgs,

    #[command(flatten)]
    pub(super) filter: FilterArgs,
}

/// What is verified before a restore.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum VerifyFirstArg {
    /// All pages are read, and all chunks are in packs that are there
    Structure,
    /// Every byte is read and compared with its id
    Data,
}

impl From<VerifyFirstArg> for VerifyBefore {
    fn from(arg: VerifyFirstArg) -> Self {
        match arg {
            VerifyFirstArg::Structure => Self::Structure,
            VerifyFirstArg::Data => Self::Data,
        }
    }
}

/// When an existing file is written over.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum OverwriteArg {
    /// Make it as it is in the snapshot; content that is right already stays
    #[value(alias = "overwrite")]
    Always,
    /// The same, but take a file of the same size and time for right, unread
    IfChanged,
    /// Only if the snapshot's was modified later
    #[value(alias = "keep-newer")]
    IfNewer,
    /// Keep what is there
    #[value(alias = "skip")]
    Never,
    /// Keep what is there, and put what differs beside it: `a (restored from 2026-11-01 12.00.03).txt`
    KeepBoth,
    /// Ask about everything that is there and differs
    Ask,
}

impl From<OverwriteArg> for Overwrite {
    fn from(arg: OverwriteArg) -> Self {
        match arg {
            OverwriteArg::Always => Self::Always,
            OverwriteArg::IfChanged => Self::IfChanged,
            OverwriteArg::IfNewer => Self::IfNewer,
            OverwriteArg::Never => Self::Never,
            OverwriteArg::KeepBoth => Self::KeepBoth,
            OverwriteArg::Ask => Self::Ask,
        }
    }
}

/// Whose restored files are.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum OwnerArg {
    /// The user and group of the recorded names, or numbers where a name is unknown
    ByName,
    /// The recorded numbers
    Numeric,
    /// Yours
    Skip,
}

impl From<OwnerArg> for OwnerPolicy {
    fn from(arg: OwnerArg) -> Self {
        match arg {
            OwnerArg::ByName => Self::ByName,
            OwnerArg::Numeric => Self::Numeric,
            OwnerArg::Skip => Self::Skip,
        }
    }
}

/// What becomes of zeros.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum SparseArg {
    /// Holes where there were holes
    AsRecorded,
    /// Holes wherever there are zeros
    Always,
    /// No holes
    Never,
}

impl From<SparseArg> for SparsePolicy {
    fn from(arg: SparseArg) -> Self {
        match arg {
            SparseArg::AsRecorded => Self::AsRecorded,
            SparseArg::Always => Self::Always,
            SparseArg::Never => Self::Never,
        }
    }
}

impl RestoreArgs {
    /// Whether somebody has to be asked about conflicts.
    pub(super) fn asks(&self) -> bool {
        matches!(self.overwrite, OverwriteArg::Ask) && !self.dry_run
    }

    /// The same for the library; `subtree` was named with the snapshot.
    ///
    /// # Errors
    /// [`Error::Usage`](crate::error::Error::Usage) for what is no path in a snapshot.
    pub(super) fn options(
        &self,
        subtree: Option<Vec<u8>>,
        ask: Option<Asker>,
    ) -> Result<RestoreOptions> {
        let paths = self.only.iter().map(|path| parse_path(path.as_bytes()));
        let paths = paths.collect::<Result<_>>()?;
        Ok(RestoreOptions {
            target: self.target.clone().unwrap_or_default(),
            subtree,
            include: self.include.clone(),
            iinclude: self.iinclude.clone(),
            exclude: self.exclude.clone(),
            iexclude: self.iexclude.clone(),
            paths,
            overwrite: self.overwrite.into(),
            ignore_room: self.no_room_check,
            ask,
            delete: self.delete,
            dry_run: self.dry_run,
            verify: self.verify,
            sparse: self.sparse.into(),
            owner: self.owner.into(),
            threads: None,
        })
    }
}
