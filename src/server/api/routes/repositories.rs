//! The repositories of the daemon.

use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use crate::manager::fleet::Site;
use crate::model::{BackupStats, Encryption};
use crate::server::api::extract::{Json, Path};
use crate::server::api::problem::Problem;
use crate::server::api::state::ApiState;
use crate::storage::RequestCounter;

/// A repository.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct RepositoryView {
    /// Its name, as routes and events have it.
    name: String,
    /// Where it is, without secrets.
    location: String,
    /// Whether it is open.
    is_open: bool,
    /// Why it could not be opened when that was tried last.
    error: Option<String>,
    /// Its id; known once it is open.
    repository_id: Option<String>,
    /// How it seals what it stores; known once it is open.
    encryption: Option<Encryption>,
    /// What is asked of storage by this process so far.
    requests: Option<Requests>,
}

/// Requests to storage.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Requests {
    /// All requests.
    total: u64,
    /// Those that failed.
    errors: u64,
    /// Those that were made again.
    retries: u64,
    /// Bytes that went to storage.
    uploaded_bytes: u64,
    /// Bytes that came from it.
    downloaded_bytes: u64,
}

fn requests(counter: &RequestCounter) -> Requests {
    let used = counter.used();
    Requests {
        total: used.requests(),
        errors: used.errors,
        retries: used.retries,
        uploaded_bytes: used.uploaded_bytes,
        downloaded_bytes: used.downloaded_bytes,
    }
}

fn view(site: &Site) -> RepositoryView {
    let open = site.opened();
    let manager = open.as_ref().map(|open| &open.manager);
    RepositoryView {
        name: site.name().to_owned(),
        location: site.location().to_owned(),
        is_open: open.is_some(),
        error: site.why_not(),
        repository_id: manager.map(|manager| manager.repository().id().to_string()),
        encryption: manager.map(crate::manager::BackupManager::encryption),
        requests: open.as_ref().map(|open| requests(&open.requests)),
    }
}

/// Repositories
#[utoipa::path(get, path = "/api/v1/repositories", tag = "repositories",
    responses((status = 200, body = Vec<RepositoryView>)))]
pub(super) async fn list(
    State(state): State<ApiState>,
) -> Result<Json<Vec<RepositoryView>>, Problem> {
    let list = |state: &ApiState| Ok(state.fleet().sites().iter().map(|site| view(site)).collect());
    state.ask(list).await.map(Json)
}

/// One repository
#[utoipa::path(get, path = "/api/v1/repositories/{repository}", tag = "repositories",
    params(("repository" = String, Path, description = "Its name")),
    responses((status = 200, body = RepositoryView)))]
pub(super) async fn get(
    State(state): State<ApiState>,
    Path(name): Path<String>,
) -> Result<Json<RepositoryView>, Problem> {
    state.ask(move |state| Ok(view(state.fleet().site(&name)?))).await.map(Json)
}

/// Figures over all backups
#[utoipa::path(get, path = "/api/v1/repositories/{repository}/stats", tag = "repositories",
    params(("repository" = String, Path, description = "Its name")),
    responses((status = 200, body = BackupStats)))]
pub(super) async fn stats(
    State(state): State<ApiState>,
    Path(name): Path<String>,
) -> Result<Json<BackupStats>, Problem> {
    let stats = state.ask_site(name, |shelf| Ok(shelf.manager().get_backup_stats()?)).await?;
    Ok(Json(stats))
}
