//! The HTTP API of a daemon: `/api/v1`, described by the OpenAPI document at
//! `/api/v1/openapi.json`.
//!
//! | Module | Subject |
//! |---|---|
//! | `state` | open repositories, threads, limits: what all answers are made from |
//! | `openapi` | the document, and who may call what |
//! | `problem`, `extract`, `page` | errors, what requests bring, lists in parts |
//! | `limits` | which folders of this machine may be named |
//! | `events` | what happens, as a stream |
//! | `figures` | `/metrics`, for Prometheus |
//! | `routes` | one file for each subject |
//!
//! Handlers are async and short: what waits for storage or the database runs on threads
//! ([`ApiState`] has them). Who may call a route is said once, where it is put into the router, and
//! stands in the document as well.

mod events;
mod extract;
mod figures;
mod limits;
mod openapi;
mod page;
mod problem;
mod routes;
mod state;

pub use limits::Limits;
pub use openapi::ROLE_EXTENSION;
pub use problem::Problem;
pub use state::{About, ApiOptions, ApiState};

use axum::Router;
use axum::extract::{DefaultBodyLimit, FromRef, Request, State};
use axum::http::{Method, StatusCode, Uri};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use utoipa::openapi::OpenApi;
use utoipa_axum::router::OpenApiRouter;

use super::auth::{self, Admin, Auth, Operator, Viewer};
use openapi::{Needs, describe};

/// Bytes of a body at most.
const BODY_MAX: usize = 1 << 20;
/// Bytes of a path with its parameters at most: a path in a snapshot may be long.
const URI_MAX: usize = 32 << 10;

/// The name of the session's cookie in the document.
const COOKIE_NAME: &str = "larder-session";

impl FromRef<ApiState> for Auth {
    fn from_ref(state: &ApiState) -> Self {
        state.auth().clone()
    }
}

/// All routes, with what answers where there is none.
pub fn router(state: ApiState) -> Router {
    let (router, document) = described(&state).split_for_parts();
    let document = std::sync::Arc::new(document);
    let shown = axum::routing::get(move || async move { axum::Json(&*document).into_response() });
    router
        .route("/api/v1/openapi.json", shown)
        .route("/metrics", axum::routing::get(figures::show))
        .fallback(not_there)
        .method_not_allowed_fallback(other_method)
        .layer(middleware::from_fn_with_state(state.clone(), check_request))
        .layer(DefaultBodyLimit::max(BODY_MAX))
        .with_state(state)
}

/// The OpenAPI document.
pub fn document(state: &ApiState) -> OpenApi {
    described(state).into_openapi()
}

fn described(state: &ApiState) -> OpenApiRouter<ApiState> {
    let viewer = middleware::from_extractor_with_state::<Viewer, _>(state.clone());
    let operator = middleware::from_extractor_with_state::<Operator, _>(state.clone());
    let admin = middleware::from_extractor_with_state::<Admin, _>(state.clone());
    let mut access = auth::router(state.auth().clone()).with_state(());
    describe(&mut access, Needs::Nobody);
    let access = access.with_state::<ApiState>(());
    OpenApiRouter::with_openapi(openapi::document())
        .merge(guarded(routes::for_viewers(), Needs::Viewer).route_layer(viewer))
        .merge(guarded(routes::for_operators(), Needs::Operator).route_layer(operator))
        .merge(guarded(routes::for_admins(), Needs::Admin).route_layer(admin))
        .merge(access)
}

fn guarded(mut routes: OpenApiRouter<ApiState>, needs: Needs) -> OpenApiRouter<ApiState> {
    describe(&mut routes, needs);
    routes
}

/// Refuses what is larger than anything that makes sense, and waits for nobody once it stops.
async fn check_request(State(state): State<ApiState>, request: Request, next: Next) -> Response {
    let len = request.uri().path_and_query().map_or(0, |text| text.as_str().len());
    if len > URI_MAX {
        return Problem::new(StatusCode::URI_TOO_LONG, "too_long", "the path is too long")
            .into_response();
    }
    if *state.stopping().borrow() {
        return Problem::busy("the server is about to end").into_response();
    }
    next.run(request).await
}

async fn not_there(uri: Uri) -> Problem {
    let path: String = uri.path().chars().take(200).collect();
    Problem::new(StatusCode::NOT_FOUND, "no_route", format!("there is nothing at `{path}`"))
        .hint("`GET /api/v1/openapi.json` lists all routes")
}

async fn other_method(method: Method, uri: Uri) -> Problem {
    let path: String = uri.path().chars().take(200).collect();
    let what = format!("`{path}` does not take {method}");
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method", what)
}
