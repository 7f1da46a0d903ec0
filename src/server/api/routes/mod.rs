//! The routes, one file for each subject.

mod alerts;
mod archive;
mod backups;
mod change;
mod compare;
mod download;
mod jobs;
mod look;
mod maintenance;
mod places;
mod points;
mod repositories;
mod restores;
mod rollbacks;
mod schedules;
mod search;
mod starts;
mod system;
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
        .routes(routes!(places::growth))
        .routes(routes!(places::keys))
        .routes(routes!(places::mirrors))
        .routes(routes!(alerts::status))
        .routes(routes!(alerts::list))
        .routes(routes!(backups::list))
        .routes(routes!(backups::get))
        .routes(routes!(points::list))
        .routes(routes!(points::timeline))
        .routes(routes!(points::templates))
        .routes(routes!(tree::list))
        .routes(routes!(tree::entry))
        .routes(routes!(compare::versions))
        .routes(routes!(compare::compare))
        .routes(routes!(compare::compare_text))
        .routes(routes!(search::search))
        .routes(routes!(download::file))
        .routes(routes!(look::preview))
        .routes(routes!(archive::archive))
        .routes(routes!(schedules::list))
        .routes(routes!(schedules::get))
        .routes(routes!(schedules::preview))
        .routes(routes!(maintenance::preview_retention))
        .routes(routes!(jobs::list))
        .routes(routes!(jobs::get))
        .routes(routes!(jobs::log))
        .routes(routes!(system::channels))
        .routes(routes!(events::events))
}

/// What whoever may start and stop things can do.
pub(super) fn for_operators() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(jobs::cancel))
        .routes(routes!(system::test_channel))
        .routes(routes!(starts::backup))
        .routes(routes!(starts::verify))
        .routes(routes!(maintenance::check))
        .routes(routes!(maintenance::heal))
        .routes(routes!(maintenance::sync_mirrors))
        .routes(routes!(maintenance::test_restore))
        .routes(routes!(maintenance::plan_prune))
        .routes(routes!(restores::plan))
        .routes(routes!(restores::start_restore))
        .routes(routes!(rollbacks::list))
        .routes(routes!(schedules::add))
        .routes(routes!(schedules::replace))
        .routes(routes!(schedules::remove))
        .routes(routes!(schedules::pause))
        .routes(routes!(schedules::resume))
        .routes(routes!(schedules::run))
}

/// What whoever may change settings and remove things can do.
pub(super) fn for_admins() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(backups::delete))
        .routes(routes!(backups::undelete))
        .routes(routes!(change::change))
        .routes(routes!(look::kit))
        .routes(routes!(maintenance::start_prune))
        .routes(routes!(rollbacks::undo))
        .routes(routes!(maintenance::forget))
        .routes(routes!(alerts::clear))
        .routes(routes!(system::audit))
        .routes(routes!(system::settings))
}
