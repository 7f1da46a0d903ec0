//! Jobs: those that go on, and those of before.

use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use utoipa::IntoParams;

use crate::manager::board::{JobId, JobKind, JobQuery, JobStatus, JobView, LogLine};
use crate::server::api::extract::{Json, Path, Query};
use crate::server::api::page::{Page, limit, numbered_page};
use crate::server::api::problem::Problem;
use crate::server::api::state::ApiState;

/// Which jobs are meant.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Filter {
    /// So many at most.
    #[param(minimum = 1, maximum = 1000, default = 50)]
    limit: Option<u32>,
    /// `next_page` of the part before.
    page: Option<String>,
    /// About this repository.
    repository: Option<String>,
    /// Of this kind.
    kind: Option<JobKind>,
    /// With this status.
    status: Option<JobStatus>,
    /// Of this schedule.
    schedule_id: Option<String>,
}

/// Jobs, newest first
#[utoipa::path(get, path = "/api/v1/jobs", tag = "jobs", params(Filter),
    responses((status = 200, body = Page<JobView>)))]
pub(super) async fn list(
    State(state): State<ApiState>,
    Query(filter): Query<Filter>,
) -> Result<Json<Page<JobView>>, Problem> {
    let query = JobQuery {
        repository: filter.repository,
        kind: filter.kind,
        status: filter.status,
        schedule_id: filter.schedule_id,
        before: numbered_page(filter.page.as_deref())?,
        limit: limit(filter.limit)?,
    };
    let list = state.ask(move |state| {
        let page = state.fleet().board().list(&query)?;
        Ok(Page { items: page.jobs, next_page: page.next.map(|next| next.to_string()) })
    });
    list.await.map(Json)
}

/// One job
#[utoipa::path(get, path = "/api/v1/jobs/{job}", tag = "jobs",
    params(("job" = String, Path, description = "Its id")),
    responses((status = 200, body = JobView)))]
pub(super) async fn get(
    State(state): State<ApiState>,
    Path(job): Path<String>,
) -> Result<Json<JobView>, Problem> {
    let id = JobId::parse(&job)?;
    state.ask(move |state| Ok(state.fleet().board().get(&id)?)).await.map(Json)
}

/// The log of a job
#[utoipa::path(get, path = "/api/v1/jobs/{job}/log", tag = "jobs",
    params(("job" = String, Path, description = "Its id")),
    responses((status = 200, body = Vec<LogLine>)))]
pub(super) async fn log(
    State(state): State<ApiState>,
    Path(job): Path<String>,
) -> Result<Json<Vec<LogLine>>, Problem> {
    let id = JobId::parse(&job)?;
    state.ask(move |state| Ok(state.fleet().board().log(&id)?)).await.map(Json)
}

/// Ask a job to end
///
/// It ends soon after, and what it did is undone or can be gone on with. One that has ended is left
/// as it is.
#[utoipa::path(post, path = "/api/v1/jobs/{job}/cancel", tag = "jobs",
    params(("job" = String, Path, description = "Its id")),
    responses((status = 202, body = JobView, description = "It was asked to end")))]
pub(super) async fn cancel(
    State(state): State<ApiState>,
    Path(job): Path<String>,
) -> Result<(StatusCode, Json<JobView>), Problem> {
    let id = JobId::parse(&job)?;
    let cancel = state.ask(move |state| {
        let board = state.fleet().board();
        let job = board.get(&id)?;
        if !board.cancel(&id) && job.status == JobStatus::Running {
            let what = "the job runs in another process";
            return Err(
                Problem::new(StatusCode::CONFLICT, "other_process", what).hint("end it there")
            );
        }
        Ok(job)
    });
    cancel.await.map(|job| (StatusCode::ACCEPTED, Json(job)))
}
