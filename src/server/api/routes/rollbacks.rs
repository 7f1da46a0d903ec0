//! In-place restores that did not come to their end.

use std::path::PathBuf;

use axum::extract::State;
use axum::http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use super::starts::{StartedAnswer, start};
use crate::error::{Error, Result as EngineResult};
use crate::manager::board::{JobHandle, JobKind, JobOutcome, LogLevel};
use crate::model::escape_bytes;
use crate::restore::transaction::{
    InPlaceState, RollbackOptions, RollbackReport, Unfinished, rollback, unfinished,
};
use crate::server::api::extract::{Json, Path};
use crate::server::api::problem::Problem;
use crate::server::api::state::{ApiState, Shelf};
use crate::server::auth::Admin;

/// An in-place restore that did not come to its end.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct UnfinishedRestore {
    /// Its number.
    id: String,
    /// The folder that stands for the root of its paths, escaped where it is no text.
    target: String,
    /// How far it came.
    state: Progress,
    /// Whether it is at work: then nothing is to be done about it.
    is_running: bool,
}

/// How far an in-place restore came.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Progress {
    /// It has changed nothing yet.
    Staging,
    /// It was exchanging entries: a rollback changes them back.
    Switching,
    /// Everything is as in the backup: a rollback only cleans up.
    Committed,
}

impl From<Unfinished> for UnfinishedRestore {
    fn from(one: Unfinished) -> Self {
        use std::os::unix::ffi::OsStrExt;
        Self {
            id: one.id,
            target: escape_bytes(one.target.as_os_str().as_bytes()).into_owned(),
            state: match one.state {
                InPlaceState::Staging => Progress::Staging,
                InPlaceState::Switching => Progress::Switching,
                InPlaceState::Committed => Progress::Committed,
            },
            is_running: one.is_running,
        }
    }
}

fn all(shelf: &Shelf) -> Result<Vec<Unfinished>, Problem> {
    let state_dir = shelf.open().manager.options().state_dir.as_deref();
    Ok(unfinished(None, state_dir)?)
}

/// In-place restores that did not come to their end
///
/// On this machine, whichever repository they are from: they were killed, or are at work.
#[utoipa::path(get, path = "/api/v1/repositories/{repository}/restores", tag = "restores",
    params(("repository" = String, Path, description = "Its name")),
    responses((status = 200, body = Vec<UnfinishedRestore>)))]
pub(super) async fn list(
    State(state): State<ApiState>,
    Path(name): Path<String>,
) -> Result<Json<Vec<UnfinishedRestore>>, Problem> {
    let list = |shelf: &std::sync::Arc<Shelf>| {
        Ok(all(shelf)?.into_iter().map(UnfinishedRestore::from).collect())
    };
    state.ask_site(name, list).await.map(Json)
}

/// Undo an in-place restore that was killed
///
/// Everything becomes as it was before it; one that had exchanged all is cleaned up after.
#[utoipa::path(post, path = "/api/v1/repositories/{repository}/restores/{restore}/rollback",
    tag = "restores",
    params(("repository" = String, Path, description = "Its name"),
        ("restore" = String, Path, description = "Its number")),
    responses((status = 202, body = super::starts::Started)))]
pub(super) async fn undo(
    State(state): State<ApiState>,
    Admin(who): Admin,
    Path((name, id)): Path<(String, String)>,
) -> StartedAnswer {
    let own = state.clone();
    let started = state.ask_site(name, move |shelf| {
        let shown: String = id.chars().take(80).collect();
        let missing = || Error::NotFound { what: "restore", name: shown };
        let one = all(shelf)?.into_iter().find(|one| one.id == id).ok_or_else(missing)?;
        if one.is_running {
            let what = format!("the in-place restore {id} is at work");
            return Err(Error::Busy { what }.into());
        }
        let folder = one.folders.first().and_then(|folder| folder.parent()).map(Into::into);
        let folder: PathBuf = folder.unwrap_or(one.target);
        let state_dir = shelf.open().manager.options().state_dir.clone();
        let work = move |handle: &JobHandle| {
            let options = RollbackOptions { state_dir, ..RollbackOptions::default() };
            ended(rollback(Some(&folder), &options)?, folder, handle)
        };
        start(&own, shelf, (JobKind::Restore, format!("rollback of {id}")), who.name, work)
    });
    started.await.map(|started| (StatusCode::ACCEPTED, Json(started)))
}

/// What could not be brought back makes the job fail: somebody has to look at it.
fn ended(report: RollbackReport, folder: PathBuf, handle: &JobHandle) -> EngineResult<JobOutcome> {
    for conflict in &report.conflicts {
        let path = conflict.path.display();
        let line = format!("something else took the place of `{path}` meanwhile: it is left");
        handle.log(LogLevel::Error, line);
    }
    let result = serde_json::json!({
        "undone": report.undone,
        "conflicts": report.conflicts.len(),
    });
    if let Some(first) = report.undecided.into_iter().next() {
        return Err(first.into());
    }
    if !report.conflicts.is_empty() {
        let what = format!("{} entries could not be brought back", report.conflicts.len());
        return Err(Error::RollbackFailed { what, folder, source: None });
    }
    Ok(JobOutcome { backup_id: None, result })
}
