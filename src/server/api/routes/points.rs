//! Recovery points: the states that there are to go back to.

use axum::extract::State;
use jiff::Timestamp;
use serde::Deserialize;
use utoipa::IntoParams;

use crate::manager::{Hour, PointQuery, TemplatePage};
use crate::model::RecoveryPoint;
use crate::server::api::extract::{Json, Path, Query};
use crate::server::api::page::{Page, backup_id, limit};
use crate::server::api::problem::Problem;
use crate::server::api::state::ApiState;
use crate::tree::{SnapshotFilter, parse_path};

/// Which recovery points are meant.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Which {
    /// So many at most.
    #[param(minimum = 1, maximum = 1000, default = 50)]
    limit: Option<u32>,
    /// `next_page` of the part before.
    page: Option<String>,
    /// Of this host.
    host: Option<String>,
    /// With this tag.
    tag: Option<String>,
    /// With this source.
    source: Option<String>,
    /// Of that time or later.
    from: Option<Timestamp>,
    /// Of that time or before.
    until: Option<Timestamp>,
    /// Only those that are known to be whole.
    #[serde(default)]
    only_available: bool,
}

/// Which series and times are meant.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Span {
    /// Of this host.
    host: Option<String>,
    /// With this tag.
    tag: Option<String>,
    /// With this source.
    source: Option<String>,
    /// Of that time or later.
    from: Option<Timestamp>,
    /// Of that time or before.
    until: Option<Timestamp>,
}

fn filter(
    host: Option<String>,
    tag: Option<String>,
    source: Option<String>,
    until: Option<Timestamp>,
) -> Result<SnapshotFilter, Problem> {
    Ok(SnapshotFilter {
        hosts: host.into_iter().collect(),
        tags: tag.map(|tag| vec![tag]).into_iter().collect(),
        paths: match source {
            Some(source) => vec![parse_path(source.as_bytes())?],
            None => Vec::new(),
        },
        until_ms: until.map(Timestamp::as_millisecond),
    })
}

/// Recovery points, newest first
///
/// `is_available` is what their records say; `template_ids` are not listed here.
#[utoipa::path(get, path = "/api/v1/repositories/{repository}/recovery-points",
    tag = "recovery points",
    params(("repository" = String, Path, description = "Its name"), Which),
    responses((status = 200, body = Page<RecoveryPoint>)))]
pub(super) async fn list(
    State(state): State<ApiState>,
    Path(name): Path<String>,
    Query(which): Query<Which>,
) -> Result<Json<Page<RecoveryPoint>>, Problem> {
    let query = PointQuery {
        filter: filter(which.host, which.tag, which.source, which.until)?,
        from: which.from,
        only_available: which.only_available,
        unread: true,
        with_templates: false,
        limit: Some(limit(which.limit)?),
        page_token: which.page,
    };
    let list = state.ask_site(name, move |shelf| {
        let page = shelf.recovery().recovery_points(&query)?;
        Ok(Page { items: page.points, next_page: page.next_page })
    });
    list.await.map(Json)
}

/// The hours that have recovery points, newest first
#[utoipa::path(get, path = "/api/v1/repositories/{repository}/timeline", tag = "recovery points",
    params(("repository" = String, Path, description = "Its name"), Span),
    responses((status = 200, body = Vec<Hour>)))]
pub(super) async fn timeline(
    State(state): State<ApiState>,
    Path(name): Path<String>,
    Query(span): Query<Span>,
) -> Result<Json<Vec<Hour>>, Problem> {
    let filter = filter(span.host, span.tag, span.source, span.until)?;
    let hours = state.ask_site(name, move |shelf| {
        Ok(shelf.recovery().timeline(span.from, span.until, &filter)?)
    });
    hours.await.map(Json)
}

/// Which templates are meant.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct After {
    /// So many at most.
    #[param(minimum = 1, maximum = 1000, default = 50)]
    limit: Option<u32>,
    /// `next` of the part before.
    after: Option<String>,
}

/// The templates (files) of a recovery point, in the order of the snapshot
#[utoipa::path(get, path = "/api/v1/repositories/{repository}/recovery-points/{backup}/templates",
    tag = "recovery points",
    params(("repository" = String, Path, description = "Its name"),
        ("backup" = String, Path, description = "The id of the backup"), After),
    responses((status = 200, body = TemplatePage)))]
pub(super) async fn templates(
    State(state): State<ApiState>,
    Path((name, backup)): Path<(String, String)>,
    Query(after): Query<After>,
) -> Result<Json<TemplatePage>, Problem> {
    let (id, limit) = (backup_id(&backup)?, limit(after.limit)?);
    let page = state.ask_site(name, move |shelf| {
        Ok(shelf.recovery().template_ids(id, after.after.as_deref(), limit)?)
    });
    page.await.map(Json)
}
