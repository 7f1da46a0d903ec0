//! Looking after a repository: jobs that people start by hand, as schedules do, and what rules
//! would forget.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::starts::{Started, StartedAnswer};
use crate::manager::RetentionPreview;
use crate::manager::jobs::{JobRequest, Jobs};
use crate::model::{CheckJob, ForgetJob, Job, MirrorSyncJob, RestoreTestJob, RetentionPolicy};
use crate::server::api::extract::{Json, Path};
use crate::server::api::problem::Problem;
use crate::server::api::state::ApiState;
use crate::server::auth::{Admin, Operator, Who};

/// Rules that are not used yet.
#[derive(Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Rules {
    /// What is kept, as schedules have it: `{"keep_daily": 7, "keep_within": "2d"}`.
    #[schema(value_type = Object)]
    keep: RetentionPolicy,
}

/// Starts a job as schedules do.
async fn start(state: &ApiState, who: Who, name: String, job: Job) -> StartedAnswer {
    let board = state.fleet().board().clone();
    let start = state.ask_site(name, move |shelf| {
        let jobs = Jobs::new(shelf.name(), Arc::clone(shelf.open()), board);
        Ok(Started { job_id: jobs.start(&JobRequest::new(job, who.name))? })
    });
    start.await.map(|started| (StatusCode::ACCEPTED, Json(started)))
}

/// Start a check
///
/// The structure is always looked at. `period_days` says how much of the stored bytes is read: 0
/// all of them, more a part, nothing none. A job that finds damage fails, with what it found in its
/// result and log.
#[utoipa::path(post, path = "/api/v1/repositories/{repository}/check", tag = "maintenance",
    params(("repository" = String, Path, description = "Its name")), request_body = CheckJob,
    responses((status = 202, body = Started)))]
pub(super) async fn check(
    State(state): State<ApiState>,
    Operator(who): Operator,
    Path(name): Path<String>,
    Json(job): Json<CheckJob>,
) -> StartedAnswer {
    start(&state, who, name, Job::Check(job)).await
}

/// Put damage right
///
/// From mirrors and from parity, as far as they have what is missing.
#[utoipa::path(post, path = "/api/v1/repositories/{repository}/heal", tag = "maintenance",
    params(("repository" = String, Path, description = "Its name")),
    responses((status = 202, body = Started)))]
pub(super) async fn heal(
    State(state): State<ApiState>,
    Operator(who): Operator,
    Path(name): Path<String>,
) -> StartedAnswer {
    start(&state, who, name, Job::Heal).await
}

/// Bring mirrors up to date
#[utoipa::path(post, path = "/api/v1/repositories/{repository}/mirrors/sync", tag = "maintenance",
    params(("repository" = String, Path, description = "Its name")), request_body = MirrorSyncJob,
    responses((status = 202, body = Started)))]
pub(super) async fn sync_mirrors(
    State(state): State<ApiState>,
    Operator(who): Operator,
    Path(name): Path<String>,
    Json(job): Json<MirrorSyncJob>,
) -> StartedAnswer {
    start(&state, who, name, Job::MirrorSync(job)).await
}

/// Test that files come back
///
/// A sample of the newest backup of each series is restored into an empty folder, compared byte for
/// byte, and removed.
#[utoipa::path(post, path = "/api/v1/repositories/{repository}/restore-test", tag = "maintenance",
    params(("repository" = String, Path, description = "Its name")), request_body = RestoreTestJob,
    responses((status = 202, body = Started)))]
pub(super) async fn test_restore(
    State(state): State<ApiState>,
    Operator(who): Operator,
    Path(name): Path<String>,
    Json(job): Json<RestoreTestJob>,
) -> StartedAnswer {
    start(&state, who, name, Job::RestoreTest(job)).await
}

/// Give space back
///
/// Of what no backup needs any more.
#[utoipa::path(post, path = "/api/v1/repositories/{repository}/prune", tag = "maintenance",
    params(("repository" = String, Path, description = "Its name")),
    responses((status = 202, body = Started)))]
pub(super) async fn prune(
    State(state): State<ApiState>,
    Admin(who): Admin,
    Path(name): Path<String>,
) -> StartedAnswer {
    start(&state, who, name, Job::Prune).await
}

/// Forget what rules do not keep
///
/// `retention-preview` shows what that would be.
#[utoipa::path(post, path = "/api/v1/repositories/{repository}/forget", tag = "maintenance",
    params(("repository" = String, Path, description = "Its name")), request_body = ForgetJob,
    responses((status = 202, body = Started)))]
pub(super) async fn forget(
    State(state): State<ApiState>,
    Admin(who): Admin,
    Path(name): Path<String>,
    Json(job): Json<ForgetJob>,
) -> StartedAnswer {
    start(&state, who, name, Job::Forget(job)).await
}

/// What rules would keep
///
/// And what they would forget, and why, of the backups that there are now. Changes nothing.
#[utoipa::path(post, path = "/api/v1/repositories/{repository}/retention-preview",
    tag = "maintenance",
    params(("repository" = String, Path, description = "Its name")), request_body = Rules,
    responses((status = 200, body = RetentionPreview)))]
pub(super) async fn preview_retention(
    State(state): State<ApiState>,
    Path(name): Path<String>,
    Json(rules): Json<Rules>,
) -> Result<Json<RetentionPreview>, Problem> {
    let preview =
        state.ask_site(name, move |shelf| Ok(shelf.manager().preview_retention(&rules.keep)?));
    preview.await.map(Json)
}
