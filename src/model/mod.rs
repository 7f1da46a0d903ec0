//! Plain data: ids, units, and what the library takes and returns.

mod acl;
mod age;
mod backup;
pub mod entry;
mod file;
pub mod id;
mod job;
mod moment;
mod name;
mod place;
mod recovery_point;
mod retention;
mod schedule;
mod schedule_spec;
mod shell;
mod strategy;
mod subset;
mod units;

pub use acl::{ACL_ACCESS, ACL_DEFAULT, Acl, AclText, AclWho};
pub use age::Age;
pub use backup::{Backup, BackupStats, BackupStatus, Encryption};
pub use entry::{Content, Entry, Owner, Piece, XattrsRef};
pub use file::{FileKind, Time, Xattr};
pub use id::{BackupId, ChunkId, ClientId, EpochId, ObjectHash, PageId, RepoId, SessionId, SlotId};
pub use job::{
    BackupJob, CheckJob, ForgetJob, Hook, HookCommand, Hooks, Job, MirrorSyncJob, RestoreTestJob,
};
pub use moment::{DayEdge, parse_time, rfc3339};
pub use name::{escape_bytes, unescape, unescape_bytes};
pub use place::{MirrorPolicy, Place, PlaceRole, Places, without_data_place};
pub use recovery_point::{RecoveryPoint, TEMPLATE_IDS_MAX};
pub use retention::{Count, RetentionPolicy};
pub use schedule::BackupSchedule;
pub use schedule_spec::{Preset, ScheduleSpec};
pub use shell::quoted;
pub use strategy::BackupStrategy;
pub use subset::Subset;
pub use units::{format_bytes, format_duration, parse_bytes};
