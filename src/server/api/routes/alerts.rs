//! How repositories stand, and what needs a person.

use axum::extract::State;
use serde::Deserialize;
use utoipa::IntoParams;

use crate::manager::alerts::{Alert, Alerts};
use crate::manager::board::Happening;
use crate::manager::status::{StatusReport, report};
use crate::runtime::Runtime;
use crate::server::api::extract::{Json, Path, Query};
use crate::server::api::page::limit;
use crate::server::api::problem::Problem;
use crate::server::api::state::ApiState;
use crate::server::auth::Admin;

/// How a repository stands
#[utoipa::path(get, path = "/api/v1/repositories/{repository}/status", tag = "status",
    params(("repository" = String, Path, description = "Its name")),
    responses((status = 200, body = StatusReport)))]
pub(super) async fn status(
    State(state): State<ApiState>,
    Path(name): Path<String>,
) -> Result<Json<StatusReport>, Problem> {
    let own = state.clone();
    let status = state.ask_site(name, move |shelf| {
        let location = own.fleet().site(shelf.name())?.location().to_owned();
        let manager = shelf.manager();
        let (list, options) = (manager.snapshot_list()?, manager.options());
        let (watch, runtime) = (&options.watch, &options.runtime);
        Ok(report(&manager, shelf.name(), &location, &list, watch, runtime)?)
    });
    status.await.map(Json)
}

/// Which alerts are meant.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Which {
    /// Also those that are over: the newest, so many at most.
    #[serde(default)]
    all: bool,
    /// So many at most.
    #[param(minimum = 1, maximum = 1000, default = 50)]
    limit: Option<u32>,
}

/// What needs a person, newest first
#[utoipa::path(get, path = "/api/v1/alerts", tag = "status", params(Which),
    responses((status = 200, body = Vec<Alert>)))]
pub(super) async fn list(
    State(state): State<ApiState>,
    Query(which): Query<Which>,
) -> Result<Json<Vec<Alert>>, Problem> {
    let limit = limit(which.limit)?;
    let list = state.ask(move |state| {
        let runtime = Runtime::default();
        let alerts = Alerts::new(state.fleet().board().database(), &runtime);
        let mut found = if which.all { alerts.newest(limit)? } else { alerts.open()? };
        found.truncate(limit);
        Ok(found)
    });
    list.await.map(Json)
}

/// Say that an alert was looked at
///
/// It is over then. Of an anomaly: old snapshots of that series are forgotten again.
#[utoipa::path(post, path = "/api/v1/alerts/{alert}/clear", tag = "status",
    params(("alert" = String, Path, description = "Its id")),
    responses((status = 200, body = Alert)))]
pub(super) async fn clear(
    State(state): State<ApiState>,
    Admin(who): Admin,
    Path(alert): Path<String>,
) -> Result<Json<Alert>, Problem> {
    let clear = state.ask(move |state| {
        let (board, runtime) = (state.fleet().board(), Runtime::default());
        let alert = Alerts::new(board.database(), &runtime).clear(&alert, &who.name)?;
        let happening = Happening::AlertCleared { alert_id: alert.alert_id.clone() };
        board.bus().tell(Some(&alert.repository), happening);
        Ok(alert)
    });
    clear.await.map(Json)
}
