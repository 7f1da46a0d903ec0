//! Options that say what to keep, shared by whatever applies a policy.

use std::ffi::OsString;
use std::num::NonZeroU32;

use clap::Args;

use super::shared::resolve;
use crate::error::{Error, Result};
use crate::model::Age;
use crate::repository::SnapshotList;
use crate::retention::{Count, RetentionPolicy};
use crate::tree::SnapshotFilter;

/// What to keep. N is a number or `unlimited`; lengths of time are such as `24h`, `7d`, `2w`,
/// `1y6m`.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "What to keep (whatever any of these keeps is kept)")]
pub(crate) struct PolicyArgs {
    /// The newest N of each group; N may be `unlimited`, here and below
    #[arg(short = 'l', long, value_name = "N")]
    keep_last: Option<Count>,

    /// The newest of each of the N newest hours that have one
    #[arg(short = 'H', long, value_name = "N")]
    keep_hourly: Option<Count>,

    /// The newest of each of the N newest days that have one, by the local clock
    #[arg(short = 'd', long, value_name = "N")]
    keep_daily: Option<Count>,

    /// The same for weeks, which begin on Monday
    #[arg(short = 'w', long, value_name = "N")]
    keep_weekly: Option<Count>,

    /// The same for months
    #[arg(short = 'm', long, value_name = "N")]
    keep_monthly: Option<Count>,

    /// The same for years
    #[arg(short = 'y', long, value_name = "N")]
    keep_yearly: Option<Count>,

    /// All that are at most this much older than the newest of the group: `30d`, `1y6m`
    #[arg(long, value_name = "DURATION")]
    keep_within: Option<Age>,

    /// The newest of each hour within that time
    #[arg(long, value_name = "DURATION")]
    keep_within_hourly: Option<Age>,

    /// The newest of each day within that time
    #[arg(long, value_name = "DURATION")]
    keep_within_daily: Option<Age>,

    /// The newest of each week within that time
    #[arg(long, value_name = "DURATION")]
    keep_within_weekly: Option<Age>,

    /// The newest of each month within that time
    #[arg(long, value_name = "DURATION")]
    keep_within_monthly: Option<Age>,

    /// The newest of each year within that time
    #[arg(long, value_name = "DURATION")]
    keep_within_yearly: Option<Age>,

    /// All of the last N days, counted from now, and the newest of each series
    #[arg(long, value_name = "N")]
    retention_days: Option<NonZeroU32>,

    /// Those with this tag; `a,b` means both (may be repeated: any of them)
    #[arg(long, value_name = "TAG")]
    keep_tag: Vec<String>,

    /// This snapshot (may be repeated)
    #[arg(long, value_name = "SNAPSHOT")]
    keep_id: Vec<OsString>,
}

impl PolicyArgs {
    /// The same for the library.
    ///
    /// # Errors
    /// [`Error::NotFound`] and [`Error::Ambiguous`] for `--keep-id`, [`Error::Usage`] for what
    /// makes no sense.
    pub(crate) fn policy(
        &self,
        list: &SnapshotList,
        filter: &SnapshotFilter,
    ) -> Result<RetentionPolicy> {
        let ids = resolve(&self.keep_id, list.snapshots.iter(), filter)?;
        let tags = self.keep_tag.iter().map(|tags| tags.split(',').map(str::to_owned).collect());
        let policy = RetentionPolicy {
            keep_last: self.keep_last,
            keep_hourly: self.keep_hourly,
            keep_daily: self.keep_daily,
            keep_weekly: self.keep_weekly,
            keep_monthly: self.keep_monthly,
            keep_yearly: self.keep_yearly,
            keep_within: self.keep_within,
            keep_within_hourly: self.keep_within_hourly,
            keep_within_daily: self.keep_within_daily,
            keep_within_weekly: self.keep_within_weekly,
            keep_within_monthly: self.keep_within_monthly,
            keep_within_yearly: self.keep_within_yearly,
            keep_tags: tags.collect(),
            keep_ids: ids.into_iter().map(|snapshot| snapshot.id).collect(),
            retention_days: self.retention_days,
        };
        policy.check()?;
        Ok(policy)
    }

    /// Whether none of the options was given.
    pub(crate) fn is_empty(&self) -> bool {
        self.given().is_empty()
    }

    /// Refuses all of them beside `what`.
    ///
    /// # Errors
    /// [`Error::Usage`] that names the options.
    pub(crate) fn refuse_beside(&self, what: &str) -> Result<()> {
        if self.is_empty() {
            return Ok(());
        }
        Err(Error::usage_hint(
            format!("{} says nothing beside {what}", self.given().join(", ")),
            "either name snapshots or give rules",
        ))
    }

    fn given(&self) -> Vec<&'static str> {
        let all = [
            (self.keep_last.is_some(), "`--keep-last`"),
            (self.keep_hourly.is_some(), "`--keep-hourly`"),
            (self.keep_daily.is_some(), "`--keep-daily`"),
            (self.keep_weekly.is_some(), "`--keep-weekly`"),
            (self.keep_monthly.is_some(), "`--keep-monthly`"),
            (self.keep_yearly.is_some(), "`--keep-yearly`"),
            (self.keep_within.is_some(), "`--keep-within`"),
            (self.keep_within_hourly.is_some(), "`--keep-within-hourly`"),
            (self.keep_within_daily.is_some(), "`--keep-within-daily`"),
            (self.keep_within_weekly.is_some(), "`--keep-within-weekly`"),
            (self.keep_within_monthly.is_some(), "`--keep-within-monthly`"),
            (self.keep_within_yearly.is_some(), "`--keep-within-yearly`"),
            (self.retention_days.is_some(), "`--retention-days`"),
            (!self.keep_tag.is_empty(), "`--keep-tag`"),
            (!self.keep_id.is_empty(), "`--keep-id`"),
        ];
        all.iter().filter(|(is_given, _)| *is_given).map(|(_, name)| *name).collect()
    }
}
