//! Backups and verifications, which are jobs.

use std::path::PathBuf;

use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::error::{Error, Result as EngineResult};
use crate::manager::BackupRequest;
use crate::manager::board::{JobHandle, JobId, JobKind, JobOutcome, LogLevel, NewJob};
use crate::model::{BackupStrategy, unescape};
use crate::server::api::extract::{Json, Path};
use crate::server::api::page::backup_id;
use crate::server::api::problem::Problem;
use crate::server::api::state::{ApiState, Shelf};
use crate::server::auth::Operator;
use crate::source::SourcePath;
use crate::verify::ReadData;

/// A job that was started.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Started {
    /// Its id: `GET /api/v1/jobs/{job}` shows how it goes.
    pub(super) job_id: JobId,
}

/// The answer to a start.
pub(super) type StartedAnswer = Result<(StatusCode, Json<Started>), Problem>;

/// Starts a job that a person wants.
pub(super) fn start(
    state: &ApiState,
    shelf: &Shelf,
    (kind, title): (JobKind, String),
    wanted_by: String,
    work: impl FnOnce(&JobHandle) -> EngineResult<JobOutcome> + Send + 'static,
) -> Result<Started, Problem> {
    let new = NewJob {
        repository: shelf.name().to_owned(),
        repo_id: shelf.open().manager.repository().id(),
        kind,
        title,
        schedule_id: None,
        attempt: 1,
        wanted_by,
    };
    Ok(Started { job_id: state.fleet().board().start(new, work)? })
}

/// A backup that is wanted. What is not said is as the repository was opened with.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct NewBackup {
    /// Which kind.
    backup_type: BackupStrategy,
    /// Files and folders, absolute paths in the source roots; bytes that are no text as `%XX`.
    #[schema(max_items = 1000)]
    sources: Vec<String>,
    /// Labels, beside those of before.
    #[schema(max_items = 100)]
    tags: Vec<String>,
    /// A line of text.
    description: Option<String>,
}

/// Start a backup
#[utoipa::path(post, path = "/api/v1/repositories/{repository}/backups", tag = "backups",
    params(("repository" = String, Path, description = "Its name")), request_body = NewBackup,
    responses((status = 202, body = Started)))]
pub(super) async fn backup(
    State(state): State<ApiState>,
    Operator(who): Operator,
    Path(name): Path<String>,
    Json(new): Json<NewBackup>,
) -> StartedAnswer {
    let own = state.clone();
    let start = state.ask_site(name, move |shelf| {
        let manager = shelf.open().manager.clone();
        let mut request = manager.request(new.backup_type);
        if !new.sources.is_empty() {
            request.options.sources = sources(&own, &new.sources)?;
        }
        request.options.tags.extend(new.tags);
        if let Some(description) = new.description {
            request.options.description = description;
        }
        let title = match new.sources.is_empty() {
            true => "backup".to_owned(),
            false => format!("backup of {}", new.sources.join(", ")),
        };
        let work = move |handle: &JobHandle| {
            let request = BackupRequest { runtime: handle.runtime().clone(), ..request };
            let report = manager.create_backup_with(&request)?;
            let (stats, snapshot) = (&report.stats, report.snapshot.as_ref());
            let result = serde_json::json!({
                "files": snapshot.map(|snapshot| snapshot.body.files),
                "bytes": snapshot.map(|snapshot| snapshot.body.bytes),
                "bytes_read": stats.bytes_read,
                "bytes_stored": stats.bytes_stored,
                "files_new": stats.files_new,
                "errors": stats.errors,
            });
            Ok(JobOutcome { backup_id: snapshot.map(|snapshot| snapshot.id), result })
        };
        self::start(&own, shelf, (JobKind::Backup, title), who.name, work)
    });
    start.await.map(|started| (StatusCode::ACCEPTED, Json(started)))
}

fn sources(state: &ApiState, texts: &[String]) -> Result<Vec<SourcePath>, Problem> {
    use std::os::unix::ffi::OsStringExt;
    if texts.len() > 1_000 {
        return Err(Problem::bad("body", "sources: there are too many"));
    }
    let source = |text: &String| {
        let path = PathBuf::from(std::ffi::OsString::from_vec(unescape(text)));
        Ok(SourcePath::new(&state.limits().source(&path)?)?)
    };
    texts.iter().map(source).collect()
}

/// Verify a backup
///
/// All of its bytes are read and compared with their hashes. The job fails if something is wrong;
/// its result says `is_valid`, and in `problems` how much is.
#[utoipa::path(post, path = "/api/v1/repositories/{repository}/backups/{backup}/verify",
    tag = "backups",
    params(("repository" = String, Path, description = "Its name"),
        ("backup" = String, Path, description = "Its id")),
    responses((status = 202, body = Started)))]
pub(super) async fn verify(
    State(state): State<ApiState>,
    Operator(who): Operator,
    Path((name, backup)): Path<(String, String)>,
) -> StartedAnswer {
    let id = backup_id(&backup)?;
    let own = state.clone();
    let start = state.ask_site(name, move |shelf| {
        shelf.manager().backup(id)?;
        let manager = shelf.open().manager.clone();
        let work = move |handle: &JobHandle| {
            let (is_valid, details) =
                manager.verify_backup_with(id, ReadData::All, handle.runtime())?;
            if let Some(reason) = &details.reason {
                handle.log(LogLevel::Error, reason.as_str());
            }
            let problems = if is_valid { 0 } else { details.findings.len().max(1) };
            let result = serde_json::json!({
                "backup_id": id,
                "is_valid": is_valid,
                "problems": problems,
                "reason": details.reason,
                "details": serde_json::to_value(&details).unwrap_or_default(),
            });
            if is_valid {
                return Ok(JobOutcome { backup_id: Some(id), result });
            }
            // As with a check: damage makes a job fail, and the figures stay.
            handle.note_result(result);
            let what = details.reason.unwrap_or_else(|| format!("problems: {problems}"));
            Err(Error::damaged(format!("backup {}", id.short()), what))
        };
        let title = format!("verification of {}", id.short());
        self::start(&own, shelf, (JobKind::Verify, title), who.name, work)
    });
    start.await.map(|started| (StatusCode::ACCEPTED, Json(started)))
}
