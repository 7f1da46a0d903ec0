//! Looking after a repository: jobs that people start by hand, as schedules do, and what rules
//! would forget.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;

use super::starts::{self, Started, StartedAnswer};
use crate::fsmeta::host_name;
use crate::manager::RetentionPreview;
use crate::manager::board::{JobHandle, JobKind, JobOutcome};
use crate::manager::jobs::{JobRequest, Jobs};
use crate::model::{CheckJob, ForgetJob, Job, MirrorSyncJob, RestoreTestJob, RetentionPolicy};
use crate::prune::{self, PruneOptions, PrunePlan};
use crate::repository::Author;
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
pub(super) async fn start_prune(
    State(state): State<ApiState>,
    Admin(who): Admin,
    Path(name): Path<String>,
) -> StartedAnswer {
    start(&state, who, name, Job::Prune).await
}

/// What a prune would remove
///
/// Found out by a job, as it may have to read much: its result has the figures. Changes nothing.
#[utoipa::path(post, path = "/api/v1/repositories/{repository}/prune-plan", tag = "maintenance",
    params(("repository" = String, Path, description = "Its name")),
    responses((status = 202, body = Started)))]
pub(super) async fn plan_prune(
    State(state): State<ApiState>,
    Operator(who): Operator,
    Path(name): Path<String>,
) -> StartedAnswer {
    let own = state.clone();
    let started = state.ask_site(name, move |shelf| {
        let open = Arc::clone(shelf.open());
        let author = Author { host: host_name(), user: who.name.clone() };
        let work = move |handle: &JobHandle| {
            let options = PruneOptions { list_lost: false, ..PruneOptions::new(author) };
            let plan = prune::plan(open.manager.repository(), &options, handle.runtime())?;
            Ok(JobOutcome { backup_id: None, result: figures(&plan) })
        };
        let title = (JobKind::Prune, "plan of a prune".to_owned());
        starts::start(&own, shelf, title, who.name, work)
    });
    started.await.map(|started| (StatusCode::ACCEPTED, Json(started)))
}

/// What a person wants to know before a prune.
fn figures(plan: &PrunePlan) -> serde_json::Value {
    json!({
        "removable_bytes": plan.freed_bytes.max(0),
        "is_exact": plan.exact,
        "repack_bytes": plan.repack.bytes,
        "packs_removed": plan.delete.packs,
        "packs_repacked": plan.repack.packs,
        "packs_kept": plan.keep.packs,
        "unused_bytes": plan.unused_bytes,
        "young_bytes": plan.young.bytes,
        "condemned_bytes": plan.condemned.bytes,
        "snapshots_gone": plan.snapshots.len(),
        "warnings": plan.warnings,
    })
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
