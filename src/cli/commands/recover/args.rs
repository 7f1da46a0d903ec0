//! What `larder recover` takes.

use std::path::PathBuf;

use clap::Args;

use crate::cli::commands::restore::OwnerArg;
use crate::repository::HeadCode;

const EXAMPLES: &str = "\
Examples:
  larder recover --kit larder-recovery-kit.txt --target /mnt/new
  larder recover --kit - --target /mnt/new        the text of the kit's QR code is typed or piped in
  larder -r /mnt/disk/backup recover              asks for everything else
  larder -r /mnt/disk/backup recover --target /mnt/new --at 2026-11-01 --yes
  larder recover --kit kit.txt --write-plan plan.toml     to be edited, for:
  larder recover --kit kit.txt --plan plan.toml --target /mnt/new
  larder recover --kit kit.txt --in-place --target /mnt/root   on the new disk of a system

The newest good snapshot of each series comes back: first what was asked for with `--order`, then by
the tags `recover:10`, `recover:20`, ... that snapshots were given (`larder snapshot /etc --tag
recover:10`), then configuration (/etc, .config), then all else. Full paths are made again below the
target. It can be stopped or killed: run it again, and it goes on. What damage has cost is named, file
by file, with the packs that held it, and the exit code is 3. A report stays in the target.";

/// Bring everything back on an empty machine, from a kit and the repository alone
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct RecoverArgs {
    /// Recovery kit: its text, its page or the text of its QR code; `-` is standard input
    #[arg(long, value_name = "FILE")]
    pub(super) kit: Option<PathBuf>,

    /// File whose first line is the recovery code
    #[arg(long, value_name = "FILE")]
    pub(super) recovery_code_file: Option<PathBuf>,

    /// Head code from paper: is the snapshot there that printed it, and all before it?
    #[arg(long, value_name = "WORDS")]
    pub(super) head: Option<HeadCode>,

    /// Go on although snapshots are hidden, or the repository was rolled back
    #[arg(long)]
    pub(super) accept_history: bool,

    /// Folder to restore into; made if it is not there
    #[arg(short, long, value_name = "DIR")]
    pub(super) target: Option<PathBuf>,

    /// Restore to where the files were, each step wholly or not at all; the target is then `/`, or
    /// where another system's root is mounted
    #[arg(long)]
    pub(super) in_place: bool,

    /// Read the restored files again and compare them with the snapshots
    #[arg(long)]
    pub(super) verify: bool,

    /// Whose the restored files are
    #[arg(long, value_name = "WHOSE", default_value = "by-name")]
    pub(super) owner: OwnerArg,

    /// Ask nothing
    #[arg(short, long)]
    pub(super) yes: bool,

    /// Show the plan, and restore nothing
    #[arg(short = 'n', long)]
    pub(super) dry_run: bool,

    /// Begin anew what was begun in the target
    #[arg(long)]
    pub(super) restart: bool,

    #[command(flatten)]
    pub(super) choice: ChoiceArgs,
}

/// What comes back, and in which order.
#[derive(Args, Debug)]
#[command(next_help_heading = "What comes back")]
pub(super) struct ChoiceArgs {
    /// The state of this time: `2026-11-01`, `2026-11-01T12:00`, `3 days ago`
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    pub(super) at: Option<String>,

    /// Only this host (may be repeated: each gets a folder of its own)
    #[arg(long, value_name = "NAME")]
    pub(super) host: Vec<String>,

    /// Only this path (may be repeated)
    #[arg(long, value_name = "PATH")]
    pub(super) path: Vec<PathBuf>,

    /// Paths that come first, in this order: `/etc,/srv/db`
    #[arg(long, value_name = "PATHS", value_delimiter = ',')]
    pub(super) order: Vec<PathBuf>,

    /// Do what the plan in this file says
    #[arg(long, value_name = "FILE", conflicts_with_all = ["at", "host", "path", "order"])]
    pub(super) plan: Option<PathBuf>,

    /// Write the plan to a file to be edited, and restore nothing; `-` is standard output
    #[arg(long, value_name = "FILE", conflicts_with = "plan")]
    pub(super) write_plan: Option<PathBuf>,
}

impl ChoiceArgs {
    /// The same in words, to tell one recovery from another.
    pub(super) fn request(&self) -> Vec<String> {
        let shown = |path: &PathBuf| path.display().to_string();
        let at = self.at.iter().map(|at| format!("at {at}"));
        let host = self.host.iter().map(|host| format!("host {host}"));
        let path = self.path.iter().map(|path| format!("path {}", shown(path)));
        let order = self.order.iter().map(|path| format!("order {}", shown(path)));
        let plan = self.plan.iter().map(|path| format!("plan {}", shown(path)));
        at.chain(host).chain(path).chain(order).chain(plan).collect()
    }
}
