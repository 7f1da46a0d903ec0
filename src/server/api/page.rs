//! Lists that come in parts.

use axum::http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use super::problem::Problem;
use crate::model::BackupId;

/// Things in a part of a list if nothing else is said.
pub(super) const LIMIT_DEFAULT: usize = 50;
/// Things in a part of a list at most.
pub(super) const LIMIT_MAX: usize = 1_000;

/// A part of a list.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct Page<T> {
    /// The things in it.
    pub items: Vec<T>,
    /// To be given as `page` for the next part; `null` at the end.
    pub next_page: Option<String>,
}

/// How many things a part of a list has.
///
/// # Errors
/// A problem for none and for too many.
pub(super) fn limit(wanted: Option<u32>) -> Result<usize, Problem> {
    match wanted.map(|wanted| usize::try_from(wanted).unwrap_or(usize::MAX)) {
        None => Ok(LIMIT_DEFAULT),
        Some(count) if (1..=LIMIT_MAX).contains(&count) => Ok(count),
        Some(_) => Err(Problem::bad("parameter", format!("limit: give 1 to {LIMIT_MAX}"))),
    }
}

/// A number that the answer before gave as `next_page`.
///
/// # Errors
/// A problem for all else.
pub(super) fn numbered_page(page: Option<&str>) -> Result<Option<u64>, Problem> {
    let parse = |text: &str| {
        text.parse().map_err(|_| {
            Problem::bad("parameter", "page: this is no part of the list")
                .hint("give `next_page` of an earlier answer as it is")
        })
    };
    page.map(parse).transpose()
}

/// The id of a backup as it stands in a path.
///
/// # Errors
/// A problem with status 404 for what is none.
pub(super) fn backup_id(text: &str) -> Result<BackupId, Problem> {
    let shown: String = text.chars().take(80).collect();
    BackupId::from_hex(text).ok_or_else(|| {
        Problem::new(StatusCode::NOT_FOUND, "not_found", format!("there is no backup `{shown}`"))
            .hint("ids of backups are 32 hex digits; `GET .../backups` lists them")
    })
}
