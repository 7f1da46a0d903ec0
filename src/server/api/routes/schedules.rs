//! Schedules: what is done when.

use axum::extract::State;
use axum::http::StatusCode;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::manager::board::Happening;
use crate::manager::schedule::{Calendar, ScheduleState};
use crate::manager::{BackupManager, NewSchedule};
use crate::model::{BackupSchedule, Job, ScheduleSpec};
use crate::server::api::extract::{Json, Path, Query};
use crate::server::api::problem::Problem;
use crate::server::api::state::{ApiState, Shelf};
use crate::server::auth::{Operator, Role, Who};

/// A schedule, and how far it is.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ScheduleView {
    /// The schedule.
    schedule: BackupSchedule,
    /// Whether a run of it goes on.
    is_running: bool,
    /// Attempts that failed of the run that is not done yet.
    failed_attempts: u32,
    /// When the next attempt of that run is made.
    retry_at: Option<Timestamp>,
    /// The next runs; none while it is paused.
    next_runs: Vec<Timestamp>,
}

/// The next runs of times that are not a schedule yet.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Preview {
    /// When they are.
    next_runs: Vec<Timestamp>,
}

/// Times, as schedules have them.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Times {
    /// When it runs: `6h`, `@daily`, `30 2 * * *`, `TZ=Europe/Berlin 0 22 * * 5`.
    #[param(max_length = 200)]
    when: String,
    /// So many runs.
    #[param(minimum = 1, maximum = 100, default = 5)]
    count: Option<u32>,
}

fn now(manager: &BackupManager) -> Timestamp {
    let now_ms = manager.options().runtime.clock.now_ms();
    Timestamp::from_millisecond(now_ms).unwrap_or(Timestamp::MAX)
}

fn timestamp(ms: i64) -> Option<Timestamp> {
    Timestamp::from_millisecond(ms).ok()
}

fn view(state: ScheduleState, now: Timestamp) -> ScheduleView {
    let settled = timestamp(state.settled_ms).unwrap_or(now);
    let next_runs = match Calendar::of(&state.schedule) {
        Ok(calendar) if state.schedule.enabled => {
            calendar.runs_after(now, settled).take(5).collect()
        }
        _ => Vec::new(),
    };
    ScheduleView {
        is_running: state.running.is_some_and(|running| running.is_alive),
        failed_attempts: state.failed_attempts,
        retry_at: state.retry_ms.and_then(timestamp),
        schedule: state.schedule,
        next_runs,
    }
}

/// The schedule of this id or name, as it is now.
fn find(manager: &BackupManager, id: &str) -> Result<ScheduleView, Problem> {
    let id = manager.schedule(id)?.schedule_id;
    let states = manager.schedule_states()?;
    let found = states.into_iter().find(|state| state.schedule.schedule_id == id);
    let missing = || crate::error::Error::NotFound { what: "schedule", name: id };
    Ok(view(found.ok_or_else(missing)?, now(manager)))
}

/// Tells everybody that a schedule is another one now.
fn changed(state: &ApiState, shelf: &Shelf, id: &str) {
    let happening = Happening::ScheduleChanged { schedule_id: id.to_owned() };
    state.fleet().board().bus().tell(Some(shelf.name()), happening);
}

/// Schedules, oldest first
#[utoipa::path(get, path = "/api/v1/repositories/{repository}/schedules", tag = "schedules",
    params(("repository" = String, Path, description = "Its name")),
    responses((status = 200, body = Vec<ScheduleView>)))]
pub(super) async fn list(
    State(state): State<ApiState>,
    Path(name): Path<String>,
) -> Result<Json<Vec<ScheduleView>>, Problem> {
    let list = state.ask_site(name, |shelf| {
        let manager = shelf.manager();
        let (states, now) = (manager.schedule_states()?, now(&manager));
        Ok(states.into_iter().map(|state| view(state, now)).collect())
    });
    list.await.map(Json)
}

/// One schedule
#[utoipa::path(get, path = "/api/v1/repositories/{repository}/schedules/{schedule}",
    tag = "schedules",
    params(("repository" = String, Path, description = "Its name"),
        ("schedule" = String, Path, description = "Its id or name")),
    responses((status = 200, body = ScheduleView)))]
pub(super) async fn get(
    State(state): State<ApiState>,
    Path((name, schedule)): Path<(String, String)>,
) -> Result<Json<ScheduleView>, Problem> {
    state.ask_site(name, move |shelf| find(&shelf.manager(), &schedule)).await.map(Json)
}

/// When something would run
#[utoipa::path(get, path = "/api/v1/schedule-preview", tag = "schedules", params(Times),
    responses((status = 200, body = Preview)))]
pub(super) async fn preview(
    State(state): State<ApiState>,
    Query(times): Query<Times>,
) -> Result<Json<Preview>, Problem> {
    let count = times.count.unwrap_or(5);
    if !(1..=100).contains(&count) || times.when.len() > 200 {
        return Err(Problem::bad("parameter", "count: give 1 to 100; when: 200 bytes at most"));
    }
    let preview = state.ask(move |_| {
        let spec = ScheduleSpec { when: Some(times.when), ..ScheduleSpec::default() };
        let calendar = Calendar::new(&NewSchedule::from_spec(&spec)?.timing)?;
        let now = Timestamp::now();
        Ok(Preview { next_runs: calendar.runs_after(now, now).take(count as usize).collect() })
    });
    preview.await.map(Json)
}

/// What runs commands as the daemon, or reads files outside of the source roots, is for
/// administrators.
fn check_allowed(state: &ApiState, who: &Who, spec: &ScheduleSpec) -> Result<(), Problem> {
    if who.role >= Role::Admin {
        return Ok(());
    }
    let refused = |what: &str| {
        let text = format!("this needs the role `admin`: {what}");
        Problem::new(StatusCode::FORBIDDEN, "role_too_low", text).hint("ask an administrator")
    };
    if !spec.hooks.is_empty() {
        return Err(refused("hooks are commands that run as the daemon"));
    }
    if let Job::Backup(job) = &spec.job {
        if !job.exclude_files.is_empty() {
            return Err(refused("files of patterns are read as the daemon"));
        }
        for source in &job.sources {
            state.limits().source(std::path::Path::new(source))?;
        }
    }
    Ok(())
}

/// What an administrator made run as the daemon is neither changed nor removed by others.
fn check_hooks(who: &Who, schedule: &BackupSchedule, deed: &str) -> Result<(), Problem> {
    if who.role >= Role::Admin || schedule.hooks.is_empty() {
        return Ok(());
    }
    let text = format!("this schedule has hooks: {deed} it needs the role `admin`");
    let hint = "ask an administrator; an operator may pause, resume and run it";
    Err(Problem::new(StatusCode::FORBIDDEN, "role_too_low", text).hint(hint))
}

/// Make a schedule
///
/// Hooks, and sources outside of the source roots, need the role `admin`.
#[utoipa::path(post, path = "/api/v1/repositories/{repository}/schedules", tag = "schedules",
    params(("repository" = String, Path, description = "Its name")), request_body = ScheduleSpec,
    responses((status = 201, body = ScheduleView)))]
pub(super) async fn add(
    State(state): State<ApiState>,
    Operator(who): Operator,
    Path(name): Path<String>,
    Json(spec): Json<ScheduleSpec>,
) -> Result<(StatusCode, Json<ScheduleView>), Problem> {
    check_allowed(&state, &who, &spec)?;
    let own = state.clone();
    let add = state.ask_site(name, move |shelf| {
        let manager = &shelf.open().manager;
        let made = manager.schedule_spec(&spec)?;
        changed(&own, shelf, &made.schedule_id);
        find(manager, &made.schedule_id)
    });
    add.await.map(|made| (StatusCode::CREATED, Json(made)))
}

/// Change a schedule into what is given
///
/// A run that goes on is not touched. One with hooks needs the role `admin`.
#[utoipa::path(put, path = "/api/v1/repositories/{repository}/schedules/{schedule}",
    tag = "schedules",
    params(("repository" = String, Path, description = "Its name"),
        ("schedule" = String, Path, description = "Its id or name")),
    request_body = ScheduleSpec, responses((status = 200, body = ScheduleView)))]
pub(super) async fn replace(
    State(state): State<ApiState>,
    Operator(who): Operator,
    Path((name, schedule)): Path<(String, String)>,
    Json(spec): Json<ScheduleSpec>,
) -> Result<Json<ScheduleView>, Problem> {
    check_allowed(&state, &who, &spec)?;
    let own = state.clone();
    let replace = state.ask_site(name, move |shelf| {
        let manager = &shelf.open().manager;
        let old = manager.schedule(&schedule)?;
        check_hooks(&who, &old, "changing")?;
        let new = manager.schedule_from_spec(&old, &spec)?;
        manager.update_schedule(&new)?;
        changed(&own, shelf, &new.schedule_id);
        find(manager, &new.schedule_id)
    });
    replace.await.map(Json)
}

/// Remove a schedule
///
/// Its backups stay; a run that goes on is not touched. One with hooks needs the role `admin`.
#[utoipa::path(delete, path = "/api/v1/repositories/{repository}/schedules/{schedule}",
    tag = "schedules",
    params(("repository" = String, Path, description = "Its name"),
        ("schedule" = String, Path, description = "Its id or name")),
    responses((status = 204, description = "It is removed")))]
pub(super) async fn remove(
    State(state): State<ApiState>,
    Operator(who): Operator,
    Path((name, schedule)): Path<(String, String)>,
) -> Result<StatusCode, Problem> {
    let own = state.clone();
    let remove = state.ask_site(name, move |shelf| {
        let manager = &shelf.open().manager;
        let old = manager.schedule(&schedule)?;
        check_hooks(&who, &old, "removing")?;
        let id = old.schedule_id;
        manager.cancel_schedule(&id)?;
        changed(&own, shelf, &id);
        Ok(StatusCode::NO_CONTENT)
    });
    remove.await
}

/// What is done with a schedule.
type Deed = fn(&BackupManager, &str) -> crate::error::Result<()>;

async fn with_schedule(
    state: ApiState,
    (name, schedule): (String, String),
    deed: Deed,
) -> Result<Json<ScheduleView>, Problem> {
    let own = state.clone();
    let done = state.ask_site(name, move |shelf| {
        let manager = &shelf.open().manager;
        let id = manager.schedule(&schedule)?.schedule_id;
        deed(manager, &id)?;
        changed(&own, shelf, &id);
        find(manager, &id)
    });
    done.await.map(Json)
}

/// Pause a schedule
#[utoipa::path(post, path = "/api/v1/repositories/{repository}/schedules/{schedule}/pause",
    tag = "schedules",
    params(("repository" = String, Path, description = "Its name"),
        ("schedule" = String, Path, description = "Its id or name")),
    responses((status = 200, body = ScheduleView)))]
pub(super) async fn pause(
    State(state): State<ApiState>,
    Path(which): Path<(String, String)>,
) -> Result<Json<ScheduleView>, Problem> {
    with_schedule(state, which, BackupManager::pause_schedule).await
}

/// Resume a schedule
#[utoipa::path(post, path = "/api/v1/repositories/{repository}/schedules/{schedule}/resume",
    tag = "schedules",
    params(("repository" = String, Path, description = "Its name"),
        ("schedule" = String, Path, description = "Its id or name")),
    responses((status = 200, body = ScheduleView)))]
pub(super) async fn resume(
    State(state): State<ApiState>,
    Path(which): Path<(String, String)>,
) -> Result<Json<ScheduleView>, Problem> {
    with_schedule(state, which, BackupManager::resume_schedule).await
}

/// Run a schedule now
///
/// Beside its regular runs, as soon as the scheduler looks.
#[utoipa::path(post, path = "/api/v1/repositories/{repository}/schedules/{schedule}/run",
    tag = "schedules",
    params(("repository" = String, Path, description = "Its name"),
        ("schedule" = String, Path, description = "Its id or name")),
    responses((status = 200, body = ScheduleView)))]
pub(super) async fn run(
    State(state): State<ApiState>,
    Path(which): Path<(String, String)>,
) -> Result<Json<ScheduleView>, Problem> {
    with_schedule(state, which, BackupManager::run_schedule).await
}
