//! [`BackupManager`]: one repository, its sources, and what is known of its runs.

mod create;
mod delete;
mod growth;
mod known;
mod list;
mod preview;
mod record;
mod restore;
mod running;
mod schedule_specs;
mod schedules;
mod showing;
mod stats;
mod verify;

pub use create::BackupRequest;
pub use delete::{DeleteOptions, check_deletable, check_history};
pub use growth::GrowthPoint;
pub use list::{BackupPage, BackupQuery, LIST_DEFAULT};
pub use preview::{RetentionChoice, RetentionGroup, RetentionPreview};
pub use running::RunningBackup;
pub use schedule_specs::ScheduleChanges;
pub use schedules::{NewSchedule, NextRun};
pub use verify::VerificationDetails;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::archive::BackupOptions;
use crate::crypto::Suite;
use crate::error::Result;
use crate::manager::history::{Database, RunHistory};
use crate::manager::status::WatchOptions;
use crate::model::Encryption;
use crate::repository::{Repository, Unlock};
use crate::runtime::Runtime;
use crate::storage::Connector;
use showing::Seen;

/// What a [`BackupManager`] is opened with beside its repository.
#[derive(Clone, Default)]
pub struct ManagerOptions {
    /// What a backup takes if nothing else is said: sources, excludes, tags, host. The strategy
    /// and the id in it do not matter.
    pub backup: BackupOptions,
    /// The folder that exports go to; made if it is missing. Without one, exports need a path.
    pub export_folder: Option<PathBuf>,
    /// What opens the bundles that are exported, and is tried on those that are imported. Without
    /// any, an encrypted repository exports no bundles; one that is not encrypted makes open ones.
    pub bundle_unlocks: Arc<[Unlock]>,
    /// The folder of what this machine remembers: history of runs, schedules. `None` keeps that in
    /// memory, as long as the manager lives.
    pub state_dir: Option<PathBuf>,
    /// How the further locations of the repository are reached: its mirrors.
    pub places: Connector,
    /// What people call the repository, in messages.
    pub name: String,
    /// What is looked for in it without anybody asking.
    pub watch: WatchOptions,
    /// Clock, randomness, and the default progress and cancel token of operations.
    pub runtime: Runtime,
}

/// Makes, lists, restores, deletes and verifies the backups of one repository.
///
/// Clones are cheap and share everything; any number of threads may use them at once.
#[derive(Clone)]
pub struct BackupManager {
    shared: Arc<Shared>,
    /// How old the list of snapshots may be; `None`: it is read whenever it is needed.
    max_age: Option<Duration>,
}

struct Shared {
    repository: Arc<Repository>,
    options: ManagerOptions,
    database: Database,
    seen: Seen,
}

impl BackupManager {
    /// A manager of `repository`.
    ///
    /// # Errors
    /// None at present. A state folder that cannot be used is done without, with a warning (see
    /// [`Database::take_warnings`]).
    pub fn open(repository: Repository, options: ManagerOptions) -> Result<Self> {
        let clock = Arc::clone(&options.runtime.clock);
        let database = Database::new(options.state_dir.clone(), clock);
        let (repository, seen) = (Arc::new(repository), Seen::default());
        let shared = Arc::new(Shared { repository, options, database, seen });
        Ok(Self { shared, max_age: None })
    }

    /// What this machine remembers: runs, schedules.
    pub fn database(&self) -> &Database {
        &self.shared.database
    }

    /// The runs of this repository that this machine remembers.
    pub fn run_history(&self) -> RunHistory<'_> {
        RunHistory::new(self.database(), self.repository().id())
    }

    /// The repository, for everything that is administration.
    pub fn repository(&self) -> &Repository {
        &self.shared.repository
    }

    /// The same repository, for what has to own a part of it.
    pub fn shared_repository(&self) -> Arc<Repository> {
        Arc::clone(&self.shared.repository)
    }

    /// What it was opened with.
    pub fn options(&self) -> &ManagerOptions {
        &self.shared.options
    }

    /// How the repository seals what it stores.
    pub fn encryption(&self) -> Encryption {
        match self.repository().suite() {
            Suite::None => Encryption::None,
            Suite::Aes256 => Encryption::Aes256,
        }
    }
}
