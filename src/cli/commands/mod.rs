//! The commands, one file each.

#[cfg(feature = "serve")]
mod access;
mod alert;
#[cfg(feature = "serve")]
mod audit;
mod backups;
mod bundle;
mod check;
mod completions;
mod config;
mod copy;
mod data_place;
mod diff;
mod drill;
mod dump;
mod export;
mod find;
mod forget;
mod forget_shown;
mod heal;
mod history;
mod import;
mod key;
mod kit;
mod ls;
mod man;
mod mirror;
#[cfg(all(feature = "mount", any(target_os = "linux", target_os = "freebsd")))]
mod mount;
#[cfg(feature = "serve")]
mod notify;
mod pin;
mod policy;
mod probe;
mod prune;
mod quickstart;
mod recover;
mod rekey;
mod repair;
mod repo;
mod repo_stats;
mod restore;
mod retain;
mod rewrite;
mod rollback;
mod runbook;
mod schedule;
#[cfg(feature = "serve")]
mod serve;
#[cfg(feature = "serve-files")]
mod serve_files;
mod shared;
#[cfg(any(feature = "mount", feature = "serve-files"))]
mod shown;
mod snapshot;
mod snapshots;
mod stats;
mod status;
mod timeline;
mod undelete;
mod warm_up;

pub(super) use shared::words;
#[cfg(feature = "serve")]
pub(super) use snapshot::options_of as backup_options;

use clap::Subcommand;

use super::Finish;
use super::context::Context;
use crate::error::Result;

/// All commands, in the order of the help.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Quickstart(quickstart::QuickstartArgs),
    Repo(repo::RepoArgs),
    Key(key::KeyArgs),
    Kit(kit::KitArgs),
    #[command(visible_alias = "backup")]
    Snapshot(Box<snapshot::SnapshotArgs>),
    Snapshots(snapshots::SnapshotsArgs),
    Backups(backups::BackupsArgs),
    Stats(stats::StatsArgs),
    Status(status::StatusArgs),
    Alert(alert::AlertArgs),
    #[cfg(feature = "serve")]
    Notify(notify::NotifyArgs),
    Ls(ls::LsArgs),
    Find(Box<find::FindArgs>),
    Diff(diff::DiffArgs),
    History(history::HistoryArgs),
    Timeline(timeline::TimelineArgs),
    Dump(dump::DumpArgs),
    Export(Box<export::ExportArgs>),
    Import(Box<import::ImportArgs>),
    #[cfg(all(feature = "mount", any(target_os = "linux", target_os = "freebsd")))]
    Mount(Box<mount::MountArgs>),
    #[cfg(feature = "serve-files")]
    ServeFiles(Box<serve_files::ServeFilesArgs>),
    #[cfg(feature = "serve")]
    Serve(Box<serve::ServeArgs>),
    #[cfg(feature = "serve")]
    User(access::UserArgs),
    #[cfg(feature = "serve")]
    Token(access::TokenArgs),
    #[cfg(feature = "serve")]
    Audit(audit::AuditArgs),
    Restore(Box<restore::RestoreArgs>),
    Recover(Box<recover::RecoverArgs>),
    Rollback(rollback::RollbackArgs),
    #[command(name = "warm-up")]
    WarmUp(Box<warm_up::WarmUpArgs>),
    Forget(Box<forget::ForgetArgs>),
    Prune(prune::PruneArgs),
    Undelete(undelete::UndeleteArgs),
    Pin(pin::PinArgs),
    Unpin(pin::UnpinArgs),
    Quarantine(pin::QuarantineArgs),
    Rewrite(Box<rewrite::RewriteArgs>),
    Copy(Box<copy::CopyArgs>),
    Check(check::CheckArgs),
    Repair(repair::RepairArgs),
    Mirror(mirror::MirrorArgs),
    Heal(heal::HealArgs),
    Drill(drill::DrillArgs),
    Schedule(schedule::ScheduleArgs),
    Config(config::ConfigArgs),
    Runbook(runbook::RunbookArgs),
    Completions(completions::CompletionsArgs),
    Man(man::ManArgs),
}

impl Command {
    /// What is logged if nobody says anything: commands that run for days say there what they met.
    pub(super) fn default_log(&self) -> Option<&'static str> {
        match self {
            #[cfg(all(feature = "mount", any(target_os = "linux", target_os = "freebsd")))]
            Self::Mount(_) => Some("larder=warn"),
            #[cfg(feature = "serve-files")]
            Self::ServeFiles(_) => Some("larder=warn"),
            #[cfg(feature = "serve")]
            Self::Serve(_) => Some("larder=info"),
            _ => None,
        }
    }

    /// Whether it may need what opens storage.
    pub(super) fn uses_storage(&self) -> bool {
        !matches!(self, Self::Config(_) | Self::Runbook(_) | Self::Completions(_) | Self::Man(_))
    }

    /// Does what the command says.
    pub(crate) fn run(self, context: &Context) -> Result<Finish> {
        match self {
            Self::Quickstart(args) => quickstart::run(&args, context),
            Self::Repo(args) => repo::run(args, context),
            Self::Key(args) => key::run(args, context),
            Self::Kit(args) => kit::run(&args, context),
            Self::Snapshot(args) => snapshot::run(*args, context),
            Self::Snapshots(args) => snapshots::run(&args, context),
            Self::Backups(args) => backups::run(&args, context),
            Self::Stats(args) => stats::run(&args, context),
            Self::Status(args) => status::run(&args, context),
            Self::Alert(args) => alert::run(&args, context),
            #[cfg(feature = "serve")]
            Self::Notify(args) => notify::run(&args, context),
            Self::Ls(args) => ls::run(&args, context),
            Self::Find(args) => find::run(*args, context),
            Self::Diff(args) => diff::run(&args, context),
            Self::History(args) => history::run(&args, context),
            Self::Timeline(args) => timeline::run(&args, context),
            Self::Dump(args) => dump::run(&args, context),
            Self::Export(args) => export::run(*args, context),
            Self::Import(args) => import::run(*args, context),
            #[cfg(all(feature = "mount", any(target_os = "linux", target_os = "freebsd")))]
            Self::Mount(args) => mount::run(&args, context),
            #[cfg(feature = "serve-files")]
            Self::ServeFiles(args) => serve_files::run(&args, context),
            #[cfg(feature = "serve")]
            Self::Serve(args) => serve::run(&args, context),
            #[cfg(feature = "serve")]
            Self::User(args) => access::user(&args, context),
            #[cfg(feature = "serve")]
            Self::Token(args) => access::token(&args, context),
            #[cfg(feature = "serve")]
            Self::Audit(args) => audit::run(&args, context),
            Self::Restore(args) => restore::run(*args, context),
            Self::Recover(args) => recover::run(&args, context),
            Self::Rollback(args) => rollback::run(&args, context),
            Self::WarmUp(args) => warm_up::run(&args, context),
            Self::Forget(args) => forget::run(&args, context),
            Self::Prune(args) => prune::run(&args, context),
            Self::Undelete(args) => undelete::run(&args, context),
            Self::Pin(args) => pin::pin(&args, context),
            Self::Unpin(args) => pin::unpin(&args, context),
            Self::Quarantine(args) => pin::quarantine(&args, context),
            Self::Copy(args) => copy::run(&args, context),
            Self::Rewrite(args) => rewrite::run(&args, context),
            Self::Check(args) => check::run(&args, context),
            Self::Repair(args) => repair::run(args, context),
            Self::Mirror(args) => mirror::run(args, context),
            Self::Heal(args) => heal::run(&args, context),
            Self::Drill(args) => drill::run(&args, context),
            Self::Schedule(args) => schedule::run(args, context),
            Self::Config(args) => config::run(&args, context),
            Self::Runbook(args) => runbook::run(&args, context),
            Self::Completions(args) => completions::run(args, context),
            Self::Man(args) => man::run(&args, context),
        }
    }
}
