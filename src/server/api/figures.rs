//! `/metrics`: figures for Prometheus.

use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};

use super::problem::Problem;
use super::state::ApiState;
use crate::manager::metrics;
use crate::runtime::Runtime;
use crate::server::auth::ViewerOrMachine;

/// What `metrics::text` writes.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// All figures, for viewers and for programs of this machine.
pub(super) async fn show(
    State(state): State<ApiState>,
    ViewerOrMachine(_): ViewerOrMachine,
) -> Result<Response, Problem> {
    let text = state.ask(|state| Ok(metrics::text(state.fleet(), &Runtime::default())?)).await?;
    Ok(([(CONTENT_TYPE, OPEN_METRICS)], text).into_response())
}
