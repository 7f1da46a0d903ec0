//! Listing backups: filters and pages.

use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::BackupManager;
use super::record::{of_run, of_snapshot};
use crate::error::{Error, Result};
use crate::model::{Backup, BackupId, BackupStatus, BackupStrategy};
use crate::repository::SnapshotList;

/// Backups in a list if nothing else is said.
pub const LIST_DEFAULT: usize = 50;

/// Which backups are meant. `Default` is the newest [`LIST_DEFAULT`], whatever became of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BackupQuery {
    /// So many at most; `None` is [`LIST_DEFAULT`].
    pub limit: Option<usize>,
    /// Goes on where an earlier page ended ([`BackupPage::next_page`]), with the same filters.
    pub page_token: Option<String>,
    /// Any of these; empty: all.
    pub status: Vec<BackupStatus>,
    /// Any of these; empty: all.
    pub backup_type: Vec<BackupStrategy>,
    /// Any of these hosts; empty: all.
    pub hosts: Vec<String>,
    /// All tags of any of these groups; empty: all.
    pub tags: Vec<Vec<String>>,
    /// All of these sources, written as [`Backup::sources`] are.
    pub paths: Vec<String>,
    /// Started then or later.
    pub from: Option<Timestamp>,
    /// Started then or before.
    pub until: Option<Timestamp>,
}

/// A part of a list, newest first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "serve", derive(utoipa::ToSchema))]
pub struct BackupPage {
    /// The backups.
    pub backups: Vec<Backup>,
    /// What gets the next part; `None` at the end. Backups made meanwhile do not move it.
    pub next_page: Option<String>,
    /// How many backups fit the filters in all.
    pub total: usize,
}

impl BackupManager {
    /// The newest backups, newest first: completed, running and failed ones. `None` is
    /// [`LIST_DEFAULT`].
    ///
    /// # Errors
    /// The storage's.
    pub fn list_backups(&self, limit: Option<usize>) -> Result<Vec<Backup>> {
        let query = BackupQuery { limit, ..BackupQuery::default() };
        Ok(self.list_backups_with(&query)?.backups)
    }

    /// The backups that are meant, newest first.
    ///
    /// # Errors
    /// [`Error::Usage`] for a page token that no page gave; the storage's.
    pub fn list_backups_with(&self, query: &BackupQuery) -> Result<BackupPage> {
        Ok(self.list_with_log(query)?.0)
    }

    /// As [`BackupManager::list_backups_with`], with the log that the list was made from: it tells
    /// what may be missing.
    ///
    /// # Errors
    /// As [`BackupManager::list_backups_with`].
    pub fn list_with_log(&self, query: &BackupQuery) -> Result<(BackupPage, Arc<SnapshotList>)> {
        let after = query.page_token.as_deref().map(Place::parse).transpose()?;
        let known = self.known()?;
        let encryption = self.encryption();
        let completed = known.list.snapshots.iter().map(|one| of_snapshot(one, encryption));
        let others = known.runs.into_iter().map(|run| of_run(run, encryption));
        let mut fitting: Vec<Backup> =
            completed.chain(others).filter(|backup| query.fits(backup)).collect();
        fitting.sort_by_cached_key(|backup| std::cmp::Reverse(Place::of(backup)));
        let total = fitting.len();
        if let Some(after) = after {
            fitting.retain(|backup| Place::of(backup) < after);
        }
        let limit = query.limit.unwrap_or(LIST_DEFAULT);
        let is_more = fitting.len() > limit;
        fitting.truncate(limit);
        let next_page = fitting.last().filter(|_| is_more).map(|last| Place::of(last).to_text());
        Ok((BackupPage { backups: fitting, next_page, total }, known.list))
    }
}

impl BackupQuery {
    /// Whether a backup is meant.
    pub fn fits(&self, backup: &Backup) -> bool {
        let has_all = |group: &Vec<String>| group.iter().all(|tag| backup.tags.contains(tag));
        let has = |path: &String| backup.sources.contains(path);
        (self.status.is_empty() || self.status.contains(&backup.status))
            && (self.backup_type.is_empty() || self.backup_type.contains(&backup.backup_type))
            && (self.hosts.is_empty() || self.hosts.contains(&backup.host))
            && (self.tags.is_empty() || self.tags.iter().any(has_all))
            && self.paths.iter().all(has)
            && self.from.is_none_or(|from| from <= backup.timestamp)
            && self.until.is_none_or(|until| backup.timestamp <= until)
    }
}

/// Where a backup stands in the list: no two are at the same place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    start_ms: i64,
    id: BackupId,
}

impl Place {
    fn of(backup: &Backup) -> Self {
        Self { start_ms: backup.timestamp.as_millisecond(), id: backup.backup_id }
    }

    fn to_text(self) -> String {
        format!("{}.{}", self.start_ms, self.id)
    }

    fn parse(text: &str) -> Result<Self> {
        let place = text.split_once('.').and_then(|(start_ms, id)| {
            Some(Self { start_ms: start_ms.parse().ok()?, id: BackupId::from_hex(id)? })
        });
        place.ok_or_else(|| {
            Error::usage_hint(
                format!("`{text}` is no place in a list of backups"),
                "give `next_page` of an earlier page as it is",
            )
        })
    }
}
