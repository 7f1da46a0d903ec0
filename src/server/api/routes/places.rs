//! What a repository rests on: its growth, what opens it, and its mirrors.

use axum::extract::State;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::manager::{GrowthPoint, SeenMirror};
use crate::repository::{SlotInfo, Standing};
use crate::runtime::Runtime;
use crate::server::api::extract::{Json, Path, Query};
use crate::server::api::problem::Problem;
use crate::server::api::state::ApiState;

/// How a repository grew.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Growth {
    /// The days that had backups, oldest first.
    points: Vec<GrowthPoint>,
    /// Bytes that storage holds now.
    bytes_stored: u64,
}

/// How far back.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Span {
    /// So many days.
    #[param(minimum = 1, maximum = 3660, default = 365)]
    days: Option<u32>,
}

/// How it grew, day by day
#[utoipa::path(get, path = "/api/v1/repositories/{repository}/stats/history",
    tag = "repositories", params(("repository" = String, Path, description = "Its name"), Span),
    responses((status = 200, body = Growth)))]
pub(super) async fn growth(
    State(state): State<ApiState>,
    Path(name): Path<String>,
    Query(span): Query<Span>,
) -> Result<Json<Growth>, Problem> {
    let days = span.days.unwrap_or(365);
    if !(1..=3660).contains(&days) {
        return Err(Problem::bad("parameter", "days: give 1 to 3660"));
    }
    let growth = state.ask_site(name, move |shelf| {
        let manager = shelf.manager();
        manager.load_index()?;
        let index = manager.repository().index().stats();
        let bytes_stored = index.data_bytes + index.meta_bytes;
        Ok(Growth { points: manager.growth(days)?, bytes_stored })
    });
    growth.await.map(Json)
}

/// Something that opens the repository.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct KeyView {
    /// Its id, in hex.
    key_id: String,
    /// What it is: `password`, `key-file`, `recovery-code`, or `plain` where nothing is encrypted.
    kind: String,
    /// A name that people gave it; anybody who reads the storage can see it.
    label: String,
    /// When it was made.
    created: Option<Timestamp>,
    /// Whether the daemon opened the repository with it.
    is_in_use: bool,
    /// Whether it opens everything. Otherwise it is from before a change of keys, or damaged.
    is_current: bool,
}

impl From<SlotInfo> for KeyView {
    fn from(slot: SlotInfo) -> Self {
        Self {
            key_id: slot.id.to_string(),
            kind: slot.kind.as_str().to_owned(),
            label: crate::model::escape_bytes(slot.label.as_bytes()).into_owned(),
            created: Timestamp::from_millisecond(slot.created_ms).ok(),
            is_in_use: slot.in_use,
            is_current: slot.standing == Standing::Current,
        }
    }
}

/// What opens the repository
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Keys {
    /// Oldest first.
    keys: Vec<KeyView>,
    /// Key objects that cannot be read.
    unreadable: u64,
}

/// Passwords, key files and codes
///
/// That there are, not what they are.
#[utoipa::path(get, path = "/api/v1/repositories/{repository}/keys", tag = "repositories",
    params(("repository" = String, Path, description = "Its name")),
    responses((status = 200, body = Keys)))]
pub(super) async fn keys(
    State(state): State<ApiState>,
    Path(name): Path<String>,
) -> Result<Json<Keys>, Problem> {
    let keys = state.ask_site(name, |shelf| {
        let (slots, bad) = shelf.manager().repository().slots_and_bad()?;
        let keys = slots.into_iter().map(KeyView::from).collect();
        Ok(Keys { keys, unreadable: bad.len() as u64 })
    });
    keys.await.map(Json)
}

/// A further copy of the repository at another place.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct MirrorView {
    /// What people call it.
    name: String,
    /// Where it is.
    location: String,
    /// Whether it has all that the repository has; `null` if it cannot be asked.
    is_complete: Option<bool>,
    /// Objects that it lacks.
    missing_objects: u64,
    /// Their bytes.
    missing_bytes: u64,
    /// Bytes that it holds.
    bytes_stored: u64,
    /// Whether it has snapshots that the repository knows nothing of.
    is_newer: bool,
    /// When it was last written to, by its own clock.
    last_write: Option<Timestamp>,
    /// Runs that it missed.
    missed_runs: u64,
    /// Why it cannot be asked.
    error: Option<String>,
}

impl From<SeenMirror> for MirrorView {
    fn from(seen: SeenMirror) -> Self {
        let standing = seen.standing.unwrap_or_default();
        Self {
            name: seen.name,
            location: seen.location,
            is_complete: seen.standing.map(|standing| standing.is_complete()),
            missing_objects: standing.missing.objects,
            missing_bytes: standing.missing.bytes,
            bytes_stored: standing.there.bytes,
            is_newer: standing.is_newer,
            last_write: standing.last_write_ms.and_then(|ms| Timestamp::from_millisecond(ms).ok()),
            missed_runs: seen.debts,
            error: seen.error,
        }
    }
}

/// Mirrors, and how they stand
///
/// Every mirror is listed and compared with the repository: for large ones this takes a while.
#[utoipa::path(get, path = "/api/v1/repositories/{repository}/mirrors", tag = "repositories",
    params(("repository" = String, Path, description = "Its name")),
    responses((status = 200, body = Vec<MirrorView>)))]
pub(super) async fn mirrors(
    State(state): State<ApiState>,
    Path(name): Path<String>,
) -> Result<Json<Vec<MirrorView>>, Problem> {
    let mirrors = state.ask_site(name, |shelf| {
        let seen = shelf.open().manager.mirrors().list(&Runtime::default())?;
        Ok(seen.into_iter().map(MirrorView::from).collect())
    });
    mirrors.await.map(Json)
}
