//! What people say about a backup afterwards: tags, and whether rules may forget it.

use axum::extract::State;
use serde::Deserialize;
use utoipa::ToSchema;

use crate::error::{Error, Result as EngineResult};
use crate::format::log::LogKind;
use crate::fsmeta::host_name;
use crate::manager::{BackupManager, RewriteOptions, TagChange, rewrite};
use crate::model::{Backup, BackupId};
use crate::repository::{Author, Snapshot, SnapshotList};
use crate::runtime::Runtime;
use crate::server::api::extract::{Json, Path};
use crate::server::api::page::backup_id;
use crate::server::api::problem::Problem;
use crate::server::api::state::ApiState;
use crate::server::auth::Admin;
use crate::source::WalkOptions;

/// Why a record was written, for whoever reads the log.
const REASON: &str = "over HTTP";
/// Tags of one backup.
const TAGS_MAX: usize = 100;

/// What is different from now on. What is not said stays.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Change {
    /// These tags and no others.
    #[schema(max_items = 100)]
    tags: Option<Vec<String>>,
    /// Whether no rule forgets it.
    pinned: Option<bool>,
}

/// Change the tags of a backup, pin it, or let go of it
///
/// Tags are a part of what a backup is: with other ones it is another backup with the same files,
/// whose id is in the answer, and the old one is forgotten. A pinned one has to be let go of first.
#[utoipa::path(patch, path = "/api/v1/repositories/{repository}/backups/{backup}",
    tag = "backups",
    params(("repository" = String, Path, description = "Its name"),
        ("backup" = String, Path, description = "Its id")), request_body = Change,
    responses((status = 200, body = Backup)))]
pub(super) async fn change(
    State(state): State<ApiState>,
    Admin(who): Admin,
    Path((name, backup)): Path<(String, String)>,
    Json(change): Json<Change>,
) -> Result<Json<Backup>, Problem> {
    let id = backup_id(&backup)?;
    if change.tags.as_ref().is_some_and(|tags| tags.len() > TAGS_MAX) {
        return Err(Problem::bad("body", "tags: there are too many"));
    }
    let author = Author { host: host_name(), user: who.name };
    let changed = state.ask_site(name, move |shelf| {
        let manager = &shelf.open().manager;
        let mut now = id;
        if let Some(tags) = change.tags {
            now = tag(manager, id, tags, &author)?;
        }
        if let Some(pinned) = change.pinned {
            pin(manager, now, pinned, &author)?;
        }
        shelf.snapshots_changed();
        Ok(manager.backup(now)?)
    });
    changed.await.map(Json)
}

fn find(list: &SnapshotList, id: BackupId) -> EngineResult<&Snapshot> {
    let found = list.snapshots.iter().find(|snapshot| snapshot.id == id);
    found.ok_or_else(|| Error::NotFound { what: "snapshot", name: id.to_string() })
}

/// The id of the backup with these tags.
fn tag(
    manager: &BackupManager,
    id: BackupId,
    tags: Vec<String>,
    author: &Author,
) -> EngineResult<BackupId> {
    let repository = manager.repository();
    let list = repository.snapshots()?;
    let options = RewriteOptions {
        exclude: WalkOptions::default(),
        tags: TagChange { set: Some(tags), ..TagChange::default() },
        host: None,
        description: None,
        time_ms: None,
        forget: true,
        dry_run: false,
        author: author.clone(),
    };
    let runtime = Runtime::default();
    let done = rewrite(repository, &[find(&list, id)?], &list, &options, &runtime)?;
    let made = done.into_iter().next().and_then(|rewritten| rewritten.snapshot);
    Ok(made.map_or(id, |snapshot| snapshot.id))
}

fn pin(manager: &BackupManager, id: BackupId, pinned: bool, author: &Author) -> EngineResult<()> {
    let repository = manager.repository();
    let list = repository.snapshots()?;
    let snapshot = find(&list, id)?;
    if snapshot.pinned == pinned {
        return Ok(());
    }
    let kind = if pinned { LogKind::Pin } else { LogKind::Unpin };
    repository.append_about(kind, &[snapshot], REASON, author, &list, &Runtime::default())?;
    Ok(())
}
