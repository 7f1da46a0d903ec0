//! The library's front door, and operations that combine others.
//!
//! [`BackupManager`] makes, lists, deletes and verifies backups of one repository;
//! [`RecoveryManager`] finds the state to go back to and brings it back. [`copy()`] and
//! [`rewrite()`] make snapshots out of snapshots, in another repository or in the same one;
//! [`export_bundle`] and [`import_bundle`] carry them there in one file.
//! [`history`] remembers the runs of this machine; [`progress`] tells programs how one goes;
//! [`schedule`] repeats backups. A program that runs for days has a [`fleet`] of repositories and
//! a [`board`] of
//! jobs and events; [`jobs`] does what schedules and people want done. The [guide] has an example for each method.

pub mod alerts;
mod backup;
pub mod board;
mod bundle;
mod copy;
pub mod disaster;
mod export;
pub mod fleet;
pub mod guard;
pub mod history;
mod import;
pub mod jobs;
#[cfg(feature = "serve")]
pub mod metrics;
mod mirrors;
#[cfg(feature = "serve")]
pub mod notify;
pub mod progress;
pub mod recovery;
mod rewrite;
pub mod schedule;
pub mod secret;
pub mod status;
mod warm_up;

pub use backup::{
    BackupManager, BackupPage, BackupQuery, BackupRequest, DeleteOptions, GrowthPoint,
    LIST_DEFAULT, ManagerOptions, NewSchedule, NextRun, RetentionChoice, RetentionGroup,
    RetentionPreview, RunningBackup, ScheduleChanges, VerificationDetails, check_deletable,
    check_history,
};
pub use bundle::{
    BundleOptions, BundleReport, ImportedBundle, OpenBundle, export_bundle, import_bundle,
};
pub use copy::{Copied, CopyOptions, CopyOutcome, CopyReport, copy};
pub use export::{ExportFormat, ExportReport, ExportRequest, export, export_name, export_to};
pub use import::{IMPORTED_TAG, ImportFormat, ImportLimits, ImportReport, ImportRequest, import};
pub use mirrors::{
    AddedMirror, Healing, HealingOptions, Mirrors, MovedData, NewMirror, SeenMirror, SyncedMirror,
};
pub use recovery::{
    FoundPoint, Hour, InPlaceRecovery, Point, PointPage, PointQuery, RecoveryManager, RecoveryPlan,
    RecoveryReport, RecoveryRequest, RunningRecovery, TemplatePage,
};
pub use rewrite::{RewriteOptions, Rewritten, TagChange, rewrite};
pub use warm_up::{
    ColdPacks, WarmUpBy, WarmUpCommand, WarmUpReport, WarmUpWait, look, refuse_cold, warm_up,
};

pub mod guide {
    #![doc = include_str!("guide.md")]
}

#[cfg(test)]
mod tests;
