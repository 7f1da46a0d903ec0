//! What rules would keep, before anybody lets them forget.

use std::collections::HashSet;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

use super::BackupManager;
use crate::error::Result;
use crate::manager::guard;
use crate::model::{BackupId, RetentionPolicy};
use crate::retention::{Candidate, GroupBy, GroupPlan, MIN_AGE, Setting, plan};
use crate::tree::shown_root;

/// What rules would keep of all backups, as they are now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "serve", derive(utoipa::ToSchema))]
pub struct RetentionPreview {
    /// By series: host and sources.
    pub groups: Vec<RetentionGroup>,
    /// Backups that would stay.
    pub keep_count: u64,
    /// Backups that would be forgotten.
    pub remove_count: u64,
}

/// What rules would keep of one series.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "serve", derive(utoipa::ToSchema))]
pub struct RetentionGroup {
    /// Its host.
    pub host: String,
    /// Its sources.
    pub roots: Vec<String>,
    /// An alert has to be cleared before anything of it is forgotten by rules.
    pub is_paused: bool,
    /// Nothing good would be left of it: such rules are refused.
    pub is_emptied: bool,
    /// Its backups, newest first.
    pub backups: Vec<RetentionChoice>,
}

/// What rules would do with one backup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "serve", derive(utoipa::ToSchema))]
pub struct RetentionChoice {
    /// Which.
    pub backup_id: BackupId,
    /// When it was begun.
    pub timestamp: Timestamp,
    /// Whether it would stay.
    pub keep: bool,
    /// Why it would stay; none if it would be forgotten.
    pub reasons: Vec<String>,
}

impl BackupManager {
    /// What these rules would keep and forget, and why. Changes nothing.
    ///
    /// # Errors
    /// [`Error::Usage`](crate::error::Error::Usage) for rules that make no sense, and the
    /// storage's.
    pub fn preview_retention(&self, keep: &RetentionPolicy) -> Result<RetentionPreview> {
        let (list, runtime) = (self.snapshot_list()?, &self.options().runtime);
        let setting = Setting {
            now_ms: runtime.clock.now_ms(),
            time_zone: TimeZone::system(),
            min_age: MIN_AGE,
            group_by: GroupBy::default(),
            allow_empty: true,
        };
        let candidates = Candidate::all_of(&list);
        let plan = plan(&candidates, keep, &setting)?;
        let paused = self.paused_series()?;
        let mut preview = RetentionPreview { groups: Vec::new(), keep_count: 0, remove_count: 0 };
        for group in &plan.groups {
            let is_paused = group.decisions.first().is_some_and(|one| {
                paused.contains(&list.snapshots[one.at].body.series.to_string())
            });
            let group = shown(group, &candidates, is_paused);
            let kept = group.backups.iter().filter(|backup| backup.keep).count() as u64;
            preview.keep_count += kept;
            preview.remove_count += group.backups.len() as u64 - kept;
            preview.groups.push(group);
        }
        Ok(preview)
    }

    /// Series, in hex, that an open alert keeps rules away from.
    fn paused_series(&self) -> Result<HashSet<String>> {
        let id = self.repository().id();
        guard::open_alerts(self.database(), id, &self.options().runtime)
            .map(|alerts| alerts.into_iter().map(|alert| alert.subject).collect())
    }
}

fn shown(group: &GroupPlan, candidates: &[Candidate], is_paused: bool) -> RetentionGroup {
    let choice = |decision: &crate::retention::Decision| {
        let mut reasons: Vec<String> = decision.reasons.iter().map(ToString::to_string).collect();
        if is_paused && reasons.is_empty() {
            reasons.push("an alert about its series is open".into());
        }
        let start_ms = candidates[decision.at].start_ms;
        RetentionChoice {
            backup_id: decision.id,
            timestamp: Timestamp::from_millisecond(start_ms).unwrap_or_default(),
            keep: !reasons.is_empty(),
            reasons,
        }
    };
    RetentionGroup {
        host: group.name.host.clone().unwrap_or_default(),
        roots: group.name.roots.iter().flatten().map(|root| shown_root(root)).collect(),
        is_paused,
        is_emptied: group.is_emptied,
        backups: group.decisions.iter().rev().map(choice).collect(),
    }
}
