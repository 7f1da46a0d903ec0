//! A copy of the open anomalies beside the database: they keep good snapshots from being forgotten,
//! also when the database was lost.

use std::collections::HashSet;

use crate::error::Result;
use crate::manager::BackupManager;
use crate::manager::alerts::{Alert, Alerts, NewAlert, Place};
use crate::manager::history::Beside;
use crate::runtime::Runtime;

pub(super) struct Kept<'m> {
    manager: &'m BackupManager,
    runtime: &'m Runtime,
    copy: Beside,
}

impl<'m> Kept<'m> {
    pub(super) fn of(manager: &'m BackupManager, runtime: &'m Runtime) -> Self {
        let (database, repository) = (manager.database(), manager.repository().id());
        Self { manager, runtime, copy: Beside::new("anomalies", database.path(), repository) }
    }

    /// Raises again what the database does not know any more, neither as open nor as cleared.
    pub(super) fn bring_back(&self) -> Result<()> {
        let database = self.manager.database();
        let kept: Vec<Alert> = self.copy.load(|warning| database.warn(warning));
        if kept.is_empty() {
            return Ok(());
        }
        let alerts = Alerts::new(database, self.runtime);
        let known: HashSet<String> =
            alerts.newest(usize::MAX)?.into_iter().map(|alert| alert.alert_id).collect();
        for lost in kept.into_iter().filter(|alert| !known.contains(&alert.alert_id)) {
            let place = Place { repo_id: lost.repo_id, name: lost.repository };
            let Alert { kind, subject, message, advice, .. } = lost;
            alerts.raise(&place, &NewAlert { kind, subject, message, advice })?;
        }
        Ok(())
    }

    /// Keeps those that are open now.
    pub(super) fn save(&self) -> Result<()> {
        let (database, repository) = (self.manager.database(), self.manager.repository().id());
        if !database.is_lasting()? {
            return Ok(());
        }
        let open = super::open_alerts(database, repository, self.runtime)?;
        let kept: Vec<Alert> = self.copy.load(|_| {});
        match open.is_empty() {
            true if kept.is_empty() => Ok(()),
            true => self.copy.remove(),
            false if kept == open => Ok(()),
            false => self.copy.save(&open),
        }
    }
}
