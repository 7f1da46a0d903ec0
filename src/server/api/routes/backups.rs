//! Backups: completed, running and failed ones.

use axum::extract::State;
use axum::http::StatusCode;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::fsmeta::host_name;
use crate::manager::{BackupQuery, DeleteOptions};
use crate::model::{Backup, BackupStatus, BackupStrategy};
use crate::repository::Author;
use crate::server::api::extract::{Json, Path, Query};
use crate::server::api::page::{backup_id, limit};
use crate::server::api::problem::Problem;
use crate::server::api::state::ApiState;
use crate::server::auth::Admin;

/// Which backups are meant.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Filter {
    /// So many at most.
    #[param(minimum = 1, maximum = 1000, default = 50)]
    limit: Option<u32>,
    /// `next_page` of the part before.
    page: Option<String>,
    /// With this status.
    status: Option<BackupStatus>,
    /// Of this kind.
    backup_type: Option<BackupStrategy>,
    /// Of this host.
    host: Option<String>,
    /// With this tag.
    tag: Option<String>,
    /// With this source, as `sources` of backups have it.
    source: Option<String>,
    /// Started then or later.
    from: Option<Timestamp>,
    /// Started then or before.
    until: Option<Timestamp>,
}

/// A part of the list of backups, newest first.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Backups {
    /// The backups.
    items: Vec<Backup>,
    /// To be given as `page` for the next part; `null` at the end.
    next_page: Option<String>,
    /// How many fit in all.
    total: u64,
    /// What may be missing from the list, and why.
    warnings: Vec<String>,
}

/// Backups, newest first
#[utoipa::path(get, path = "/api/v1/repositories/{repository}/backups", tag = "backups",
    params(("repository" = String, Path, description = "Its name"), Filter),
    responses((status = 200, body = Backups)))]
pub(super) async fn list(
    State(state): State<ApiState>,
    Path(name): Path<String>,
    Query(filter): Query<Filter>,
) -> Result<Json<Backups>, Problem> {
    let query = BackupQuery {
        limit: Some(limit(filter.limit)?),
        page_token: filter.page,
        status: filter.status.into_iter().collect(),
        backup_type: filter.backup_type.into_iter().collect(),
        hosts: filter.host.into_iter().collect(),
        tags: filter.tag.map(|tag| vec![tag]).into_iter().collect(),
        paths: filter.source.into_iter().collect(),
        from: filter.from,
        until: filter.until,
    };
    let list = state.ask_site(name, move |shelf| {
        let (page, log) = shelf.manager().list_with_log(&query)?;
        let bad = log.bad.iter().map(|error| format!("a backup may be missing: {error}"));
        let breaches = log.rollback.iter().map(ToString::to_string);
        Ok(Backups {
            items: page.backups,
            next_page: page.next_page,
            total: page.total as u64,
            warnings: bad.chain(breaches).take(20).collect(),
        })
    });
    list.await.map(Json)
}

/// One backup
#[utoipa::path(get, path = "/api/v1/repositories/{repository}/backups/{backup}", tag = "backups",
    params(("repository" = String, Path, description = "Its name"),
        ("backup" = String, Path, description = "Its id")),
    responses((status = 200, body = Backup)))]
pub(super) async fn get(
    State(state): State<ApiState>,
    Path((name, backup)): Path<(String, String)>,
) -> Result<Json<Backup>, Problem> {
    let id = backup_id(&backup)?;
    state.ask_site(name, move |shelf| Ok(shelf.manager().backup(id)?)).await.map(Json)
}

/// How a backup is deleted.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Deletion {
    /// Delete it even if it is the last good one of its series.
    #[serde(default)]
    allow_last: bool,
    /// Why, for whoever reads the log.
    #[param(max_length = 1000)]
    reason: Option<String>,
}

/// Delete a backup
///
/// Its data stays until a prune removes it; until then the deletion can be taken back. A failed
/// run is forgotten.
#[utoipa::path(delete, path = "/api/v1/repositories/{repository}/backups/{backup}",
    tag = "backups",
    params(("repository" = String, Path, description = "Its name"),
        ("backup" = String, Path, description = "Its id"), Deletion),
    responses((status = 204, description = "It is deleted")))]
pub(super) async fn delete(
    State(state): State<ApiState>,
    Admin(who): Admin,
    Path((name, backup)): Path<(String, String)>,
    Query(deletion): Query<Deletion>,
) -> Result<StatusCode, Problem> {
    let id = backup_id(&backup)?;
    let reason = deletion.reason.unwrap_or_else(|| "by name".into());
    if reason.len() > 1_000 {
        return Err(Problem::bad("parameter", "reason: it is too long"));
    }
    let options = DeleteOptions {
        allow_empty: deletion.allow_last,
        reason,
        author: Some(Author { host: host_name(), user: who.name }),
        ..DeleteOptions::default()
    };
    let delete = state.ask_site(name, move |shelf| {
        shelf.open().manager.delete_backups(&[id], &options)?;
        shelf.snapshots_changed();
        Ok(StatusCode::NO_CONTENT)
    });
    delete.await
}

/// Take back that a backup was deleted
///
/// Works until a prune has removed its data.
#[utoipa::path(post, path = "/api/v1/repositories/{repository}/backups/{backup}/undelete",
    tag = "backups",
    params(("repository" = String, Path, description = "Its name"),
        ("backup" = String, Path, description = "Its id")),
    responses((status = 200, body = Backup)))]
pub(super) async fn undelete(
    State(state): State<ApiState>,
    Path((name, backup)): Path<(String, String)>,
) -> Result<Json<Backup>, Problem> {
    let id = backup_id(&backup)?;
    let undelete = state.ask_site(name, move |shelf| {
        let backup = shelf.open().manager.undelete_backup(id)?;
        shelf.snapshots_changed();
        Ok(backup)
    });
    undelete.await.map(Json)
}
