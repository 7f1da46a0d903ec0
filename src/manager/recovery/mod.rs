//! [`RecoveryManager`]: which states there are to go back to, and going back to one of them.
//!
//! A recovery point is a snapshot seen from recovery. Bringing files back takes up to three steps,
//! each of which can be had by itself: [`RecoveryManager::plan`] says what would happen and changes
//! nothing, [`RecoveryManager::verify`] finds out whether all that is asked for can be restored,
//! [`RecoveryManager::restore`] does it.

mod at;
mod in_place;
mod plan;
mod points;
mod request;
mod restore;
mod running;
mod templates;
mod timeline;

pub use at::FoundPoint;
pub use in_place::InPlaceRecovery;
pub use plan::RecoveryPlan;
pub use points::{PointPage, PointQuery};
pub use request::{Point, RecoveryReport, RecoveryRequest};
pub use running::RunningRecovery;
pub use templates::TemplatePage;
pub use timeline::Hour;

use super::BackupManager;

/// Lists recovery points and brings files back from them.
///
/// Clones are cheap and share everything; any number of threads may use them at once.
#[derive(Clone)]
pub struct RecoveryManager {
    manager: BackupManager,
}

impl RecoveryManager {
    /// For the repository of `manager`.
    pub fn new(manager: BackupManager) -> Self {
        Self { manager }
    }

    /// The manager that it was made with.
    pub fn manager(&self) -> &BackupManager {
        &self.manager
    }
}
