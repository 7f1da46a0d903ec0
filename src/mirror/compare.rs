//! How mirrors stand, by names and lengths alone.

use serde::Serialize;

use super::contents::{Contents, check_is_of, repository_at};
use super::report::Count;
use super::work::side_by_side;
use crate::error::Result;
use crate::model::rfc3339;
use crate::runtime::{Phase, Runtime};
use crate::storage::{SharedStorage, Storage};

/// How a mirror stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Standing {
    /// Whether it is a repository: one that was never complete is none yet.
    pub is_repository: bool,
    /// What it lacks, or has with another length.
    pub missing: Count,
    /// What it has and the repository does not.
    pub extra: Count,
    /// Whether there are snapshots among them that the repository knows nothing of.
    pub is_newer: bool,
    /// All that it holds.
    pub there: Count,
    /// Files that no repository has.
    pub foreign: Count,
    /// When keys, index or records were last written there, by its own clock, in milliseconds since
    /// 1970.
    #[serde(rename = "last_write", serialize_with = "rfc3339")]
    pub last_write_ms: Option<i64>,
}

impl Standing {
    /// Whether it has all that the repository has.
    pub fn is_complete(&self) -> bool {
        self.is_repository && self.missing.objects == 0
    }
}

/// Compares mirrors with the repository at `source`; each place is listed once, all mirrors at the
/// same time. A mirror that cannot be asked has its error in its place. `heads` are records that
/// those of the source know.
///
/// # Errors
/// Those of the source, and [`Error::Cancelled`](crate::error::Error::Cancelled).
pub fn compare(
    source: &dyn Storage,
    mirrors: Vec<Result<SharedStorage>>,
    heads: &[String],
    runtime: &Runtime,
) -> Result<Vec<Result<Standing>>> {
    runtime.progress.phase(Phase::Comparing);
    let repo_id = repository_at(source)?;
    let has = Contents::list(source)?;
    let ask = |mirror: SharedStorage| {
        let there = Contents::list(&*mirror)?;
        check_is_of(&*mirror, &there, repo_id, source)?;
        Ok(stand(&has, &there, heads))
    };
    runtime.cancel.check()?;
    let standings = side_by_side(mirrors, |mirror| mirror.and_then(ask));
    runtime.cancel.check()?;
    Ok(standings)
}

fn stand(has: &Contents, there: &Contents, heads: &[String]) -> Standing {
    let mut standing = Standing {
        is_newer: there.is_newer_than(has.others.keys().map(String::as_str), heads),
        is_repository: there.has_repo(),
        extra: there.sum,
        there: there.sum,
        foreign: there.foreign,
        last_write_ms: there.others.values().filter_map(|meta| meta.modified_ms).max(),
        ..Standing::default()
    };
    for (name, len) in has.names() {
        let len_there = there.len_of(&name);
        if len_there != Some(len) {
            standing.missing.add(len);
        }
        if let Some(len) = len_there {
            standing.extra.objects = standing.extra.objects.saturating_sub(1);
            standing.extra.bytes = standing.extra.bytes.saturating_sub(len);
        }
    }
    standing
}
