//! Files by name, over all backups.

use std::collections::HashMap;

use axum::extract::State;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::tree::{EntryKind, timestamp};
use crate::error::Error;
use crate::model::{BackupId, Entry, FileKind, escape_bytes};
use crate::repository::{Snapshot, SnapshotList};
use crate::server::api::extract::{Json, Path, Query};
use crate::server::api::page::{limit, numbered_page};
use crate::server::api::problem::Problem;
use crate::server::api::state::{ApiState, Shelf};
use crate::tree::{FindQuery, Finder, Manifest, SnapshotFilter};

/// Pages of manifests that one request reads at most, about: then it says how to go on.
const PAGES_MAX: u64 = 4_000;
/// Backups named with a match at most.
const NAMED_MAX: usize = 20;
/// Characters of a pattern at most.
const QUERY_MAX: usize = 500;

/// What was found.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Found {
    /// In the order in which they were found: of the newest backups first.
    matches: Vec<Match>,
    /// Whether all that there is was found.
    complete: bool,
    /// To be given as `page` to search older backups; a path may come again there.
    next_page: Option<String>,
    /// Parts of backups that are damaged, and could not be searched.
    unreadable_parts: u64,
}

/// A path that fits.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Match {
    /// Its path from `/` on, in the form that requests take.
    path: String,
    /// What it is, in the newest backup that has it.
    kind: EntryKind,
    /// Bytes of a file there.
    size_bytes: Option<u64>,
    /// Last change of its content, there.
    modified: Option<Timestamp>,
    /// Backups that have it, newest first, the newest 20 of those that were searched.
    backups: Vec<InBackup>,
    /// How many of those that were searched have it.
    backup_count: u64,
}

/// A backup that has it.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct InBackup {
    /// Its id.
    backup_id: BackupId,
    /// Its time.
    timestamp: Option<Timestamp>,
}

/// Which backups are searched.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Among {
    /// The newest of each host and set of sources.
    #[default]
    Latest,
    /// All.
    All,
}

/// What is looked for.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Wanted {
    /// A part of a name, or a pattern with `*`, `?` or `[`: one without `/` fits names, one that
    /// begins with `/` whole paths, any other the last parts of paths. Upper and lower case are
    /// equal.
    #[param(min_length = 1, max_length = 500)]
    query: String,
    /// Which backups are searched.
    #[param(inline)]
    backups: Option<Among>,
    /// Only backups of this host.
    host: Option<String>,
    /// Only backups with this tag.
    tag: Option<String>,
    /// So many paths at most.
    #[param(minimum = 1, maximum = 1000, default = 50)]
    limit: Option<u32>,
    /// `next_page` of the answer before.
    page: Option<String>,
}

/// Look for files by name
#[utoipa::path(get, path = "/api/v1/repositories/{repository}/search", tag = "files",
    params(("repository" = String, Path, description = "Its name"), Wanted),
    responses((status = 200, body = Found)))]
pub(super) async fn search(
    State(state): State<ApiState>,
    Path(name): Path<String>,
    Query(wanted): Query<Wanted>,
) -> Result<Json<Found>, Problem> {
    let query = FindQuery {
        patterns: vec![pattern(&wanted.query)?],
        ignore_case: true,
        ..FindQuery::default()
    };
    let filter = SnapshotFilter {
        hosts: wanted.host.into_iter().collect(),
        tags: wanted.tag.map(|tag| vec![tag]).into_iter().collect(),
        ..SnapshotFilter::default()
    };
    let limit = limit(wanted.limit)?;
    let from = numbered_page(wanted.page.as_deref())?.unwrap_or_default();
    let among = wanted.backups.unwrap_or_default();
    let found = state.ask_site(name, move |shelf| {
        let manager = shelf.manager();
        manager.load_index()?;
        let list = manager.snapshot_list()?;
        let chosen = choose(&list, &filter, among);
        let from = usize::try_from(from).unwrap_or(usize::MAX);
        look(shelf, query, chosen.get(from..).unwrap_or_default(), from, limit)
    });
    found.await.map(Json)
}

/// As globs have it.
fn pattern(query: &str) -> Result<String, Problem> {
    let query = query.trim();
    if query.is_empty() || query.chars().count() > QUERY_MAX {
        return Err(Problem::bad("parameter", format!("query: give 1 to {QUERY_MAX} characters")));
    }
    match query.contains(['*', '?', '[']) {
        true => Ok(query.to_owned()),
        false => Ok(format!("*{}*", globset::escape(query))),
    }
}

/// The newest first.
fn choose<'l>(list: &'l SnapshotList, filter: &SnapshotFilter, among: Among) -> Vec<&'l Snapshot> {
    let mut series = std::collections::HashSet::new();
    let is_wanted = |snapshot: &&Snapshot| match among {
        Among::All => true,
        Among::Latest => series.insert(snapshot.body.series),
    };
    filter.fitting(list).rev().filter(is_wanted).collect()
}

/// Searches backups until there are enough paths, or enough was read.
fn look(
    shelf: &Shelf,
    query: FindQuery,
    snapshots: &[&Snapshot],
    from: usize,
    limit: usize,
) -> Result<Found, Problem> {
    let mut finder = Finder::new(shelf.open().manager.repository(), query)?;
    let mut found =
        Found { matches: Vec::new(), complete: true, next_page: None, unreadable_parts: 0 };
    let mut places: HashMap<Vec<u8>, usize> = HashMap::new();
    for (number, snapshot) in snapshots.iter().enumerate() {
        if number > 0 && (finder.pages_read() > PAGES_MAX || found.matches.len() >= limit) {
            found.complete = false;
            found.next_page = Some((from + number).to_string());
            break;
        }
        let here = InBackup {
            backup_id: snapshot.id,
            timestamp: Timestamp::from_millisecond(snapshot.time_ms()).ok(),
        };
        let mut is_full = false;
        let searched = finder.search(&Manifest::of(snapshot), &mut |entry| {
            let entry = match entry {
                Ok(entry) => entry,
                Err(error) if error.is_damage() => {
                    found.unreadable_parts += 1;
                    return Ok(());
                }
                Err(error) => return Err(error),
            };
            if let Some(place) = places.get(&entry.path) {
                found.matches[*place].add(&here);
            } else if found.matches.len() < limit {
                places.insert(entry.path.clone(), found.matches.len());
                found.matches.push(Match::new(entry, &here));
            } else {
                is_full = true;
                // One backup alone has more: nobody reads on for what is not shown.
                return if number == 0 { Err(Error::Cancelled { signal: None }) } else { Ok(()) };
            }
            Ok(())
        });
        match searched {
            Ok(()) | Err(Error::Cancelled { .. }) => found.complete &= !is_full,
            Err(error) => return Err(error.into()),
        }
    }
    found.complete &= found.unreadable_parts == 0;
    Ok(found)
}

impl Match {
    fn new(entry: &Entry, here: &InBackup) -> Self {
        let mut new = Self {
            path: format!("/{}", escape_bytes(&entry.path)),
            kind: entry.kind.into(),
            size_bytes: (entry.kind == FileKind::File).then_some(entry.size),
            modified: timestamp(entry.mtime),
            backups: Vec::new(),
            backup_count: 0,
        };
        new.add(here);
        new
    }

    fn add(&mut self, here: &InBackup) {
        self.backup_count += 1;
        if self.backups.len() < NAMED_MAX {
            let InBackup { backup_id, timestamp } = *here;
            self.backups.push(InBackup { backup_id, timestamp });
        }
    }
}
