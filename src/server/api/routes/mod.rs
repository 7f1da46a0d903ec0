//! The routes, one file for each subject.

mod archive;
mod backups;
mod download;
mod jobs;
mod points;
mod repositories;
mod tree;

use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::events;
use super::state::ApiState;

/// What whoever may look can ask for.
pub(super) fn for_viewers() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(repositories::list))
        .routes(routes!(repositories::get))
        .routes(routes!(repositories::stats))
        .routes(routes!(backups::list))
        .routes(routes!(backups::get))
        .routes(routes!(points::list))
        .routes(routes!(points::timeline))
        .routes(routes!(points::templates))
        .routes(routes!(tree::list))
        .routes(routes!(tree::entry))
        .routes(routes!(download::file))
        .routes(routes!(archive::archive))
        .routes(routes!(jobs::list))
        .routes(routes!(jobs::get))
        .routes(routes!(jobs::log))
        .routes(routes!(events::events))
}

/// What whoever may start and stop things can do.
pub(super) fn for_operators() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(jobs::cancel))
}

/// What whoever may change settings and remove things can do.
pub(super) fn for_admins() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(backups::delete)).routes(routes!(backups::undelete))
}
