//! Bringing files back: what would happen, and doing it.

use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path as FilePath, PathBuf};
use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::starts::{Started, StartedAnswer, start};
use crate::error::{Error, Result as EngineResult};
use crate::manager::board::{JobHandle, JobKind, JobOutcome, LogLevel};
use crate::manager::{Point, RecoveryManager, RecoveryPlan, RecoveryRequest};
use crate::model::{BackupId, escape_bytes, unescape};
use crate::restore::{Overwrite, RestoreOptions, VerifyBefore};
use crate::server::api::extract::{Json, Path};
use crate::server::api::limits::Limits;
use crate::server::api::page::backup_id;
use crate::server::api::problem::Problem;
use crate::server::api::state::{ApiState, Shelf};
use crate::server::auth::Operator;
use crate::tree::{parse_path, roots};

/// Failures that a plan names.
const NAMED_MAX: usize = 100;

/// What is to be brought back, where to, and how.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Restore {
    /// Only these files and folders, by their paths in the backup; empty: everything.
    #[schema(max_items = 10000)]
    paths: Vec<String>,
    /// The folder to restore into, in the restore roots; bytes that are no text as `%XX`.
    target: Option<String>,
    /// Restore everything to where it came from, wholly or not at all. Those places have to be in
    /// the restore roots.
    in_place: bool,
    /// The content of this folder of the backup goes straight into the target.
    subtree: Option<String>,
    /// What happens to what is there already.
    #[schema(value_type = ConflictMode)]
    overwrite: Overwrite,
    /// Remove what is in restored folders and not in the backup.
    delete: bool,
    /// Read everything again afterwards and compare.
    verify: bool,
    /// What is found out before anything is touched.
    #[schema(value_type = CheckFirst)]
    verify_before: VerifyBefore,
}

/// What happens to what is there already.
#[derive(ToSchema)]
#[schema(rename_all = "kebab-case")]
#[expect(dead_code, reason = "describes a type of the engine")]
enum ConflictMode {
    /// It becomes what the backup says.
    Always,
    /// The same; files of the same size and time are taken for equal.
    IfChanged,
    /// Only what is older becomes it.
    IfNewer,
    /// It stays.
    Never,
    /// It stays, and what is restored goes beside it.
    KeepBoth,
}

/// What is found out before a restore.
#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
#[expect(dead_code, reason = "describes a type of the engine")]
enum CheckFirst {
    /// Nothing.
    None,
    /// Whether all that is needed is there.
    Structure,
    /// Whether every byte is right.
    Data,
}

/// What a restore would do.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct RestorePlan {
    /// Into a folder.
    into_folder: Option<RecoveryPlan>,
    /// In place: what would be exchanged.
    #[schema(value_type = Option<Object>)]
    in_place: Option<serde_json::Value>,
    /// Whether the target has room for it.
    has_room: bool,
    /// What cannot be restored, and why; the first hundred.
    problems: Vec<String>,
}

/// A restore whose places are allowed.
struct Allowed {
    request: RecoveryRequest,
    in_place: bool,
    title: String,
}

fn allow(
    shelf: &Shelf,
    limits: &Limits,
    id: BackupId,
    wanted: &Restore,
) -> Result<Allowed, Problem> {
    let snapshot = shelf.manager().snapshot(id)?;
    let path = |text: &String| parse_path(text.as_bytes());
    let paths = wanted.paths.iter().map(path).collect::<EngineResult<Vec<_>>>()?;
    if paths.len() > 10_000 {
        return Err(Problem::bad("body", "paths: there are too many"));
    }
    if wanted.overwrite == Overwrite::Ask {
        return Err(Problem::bad("body", "overwrite: nobody can be asked"));
    }
    let target = match (&wanted.target, wanted.in_place) {
        (Some(target), false) => {
            let target = PathBuf::from(std::ffi::OsString::from_vec(unescape(target)));
            limits.restore_target(&target)?
        }
        (None, true) => {
            let places = if paths.is_empty() { roots(&snapshot) } else { paths.clone() };
            for place in &places {
                let place = [b"/", &place[..]].concat();
                let place = FilePath::new(std::ffi::OsStr::from_bytes(&place)).to_owned();
                limits.restore_target(&place)?;
            }
            PathBuf::new()
        }
        _ => return Err(Problem::bad("body", "give `target`, or `in_place`: one of them")),
    };
    let title = match wanted.in_place {
        true => format!("restore of {} in place", id.short()),
        false => {
            format!("restore of {} to {}", id.short(), escape_bytes(target.as_os_str().as_bytes()))
        }
    };
    let options = RestoreOptions {
        target,
        subtree: wanted.subtree.as_ref().map(path).transpose()?,
        paths,
        overwrite: wanted.overwrite,
        delete: wanted.delete,
        verify: wanted.verify,
        ..RestoreOptions::default()
    };
    let mut request = RecoveryRequest::new(Point::Snapshot(Box::new(snapshot)), options);
    request.verify_before = wanted.verify_before;
    Ok(Allowed { request, in_place: wanted.in_place, title })
}

/// What a restore would do
///
/// Changes nothing.
#[utoipa::path(post, path = "/api/v1/repositories/{repository}/backups/{backup}/restore-plan",
    tag = "restores",
    params(("repository" = String, Path, description = "Its name"),
        ("backup" = String, Path, description = "Its id")), request_body = Restore,
    responses((status = 200, body = RestorePlan)))]
pub(super) async fn plan(
    State(state): State<ApiState>,
    Path((name, backup)): Path<(String, String)>,
    Json(wanted): Json<Restore>,
) -> Result<Json<RestorePlan>, Problem> {
    let id = backup_id(&backup)?;
    let own = state.clone();
    let plan = state.ask_site(name, move |shelf| {
        let Allowed { mut request, in_place, .. } = allow(shelf, own.limits(), id, &wanted)?;
        shelf.manager().load_index()?;
        let recovery = shelf.open().recovery();
        if in_place {
            request.restore.dry_run = true;
            let would = recovery.restore_in_place(&request)?;
            let would = serde_json::to_value(&would).unwrap_or_default();
            let (has_room, problems) = (true, Vec::new());
            return Ok(RestorePlan {
                into_folder: None,
                in_place: Some(would),
                has_room,
                problems,
            });
        }
        let plan = recovery.plan(&request)?;
        let failures = plan.report.failures.iter().take(NAMED_MAX);
        let problems = failures.map(|one| format!("/{}: {}", escape_bytes(&one.path), one.message));
        let (has_room, problems) = (plan.has_room(), problems.collect());
        Ok(RestorePlan { into_folder: Some(plan), in_place: None, has_room, problems })
    });
    plan.await.map(Json)
}

/// Start a restore
///
/// Only into the folders that the daemon's settings allow. It is gone on with by the same request
/// again; one in place is undone if it is cancelled or fails.
#[utoipa::path(post, path = "/api/v1/repositories/{repository}/backups/{backup}/restore",
    tag = "restores",
    params(("repository" = String, Path, description = "Its name"),
        ("backup" = String, Path, description = "Its id")), request_body = Restore,
    responses((status = 202, body = Started)))]
pub(super) async fn start_restore(
    State(state): State<ApiState>,
    Operator(who): Operator,
    Path((name, backup)): Path<(String, String)>,
    Json(wanted): Json<Restore>,
) -> StartedAnswer {
    let id = backup_id(&backup)?;
    let own = state.clone();
    let started = state.ask_site(name, move |shelf| {
        let Allowed { mut request, in_place, title } = allow(shelf, own.limits(), id, &wanted)?;
        let open = Arc::clone(shelf.open());
        let work = move |handle: &JobHandle| {
            request.runtime = Some(handle.runtime().clone());
            open.manager.load_index()?;
            restore(&open.recovery(), &request, in_place, handle)
        };
        start(&own, shelf, (JobKind::Restore, title), who.name, work)
    });
    started.await.map(|started: Started| (StatusCode::ACCEPTED, Json(started)))
}

fn restore(
    recovery: &RecoveryManager,
    request: &RecoveryRequest,
    in_place: bool,
    handle: &JobHandle,
) -> EngineResult<JobOutcome> {
    if in_place {
        let done = recovery.restore_in_place(request)?;
        let result = serde_json::to_value(&done).unwrap_or_default();
        return Ok(JobOutcome { backup_id: Some(done.backup_id), result });
    }
    let done = recovery.restore(request)?;
    let report = &done.restored;
    if report.failed > 0 {
        let (created, replaced, unchanged) = (report.created, report.replaced, report.unchanged);
        let line = format!("{created} made, {replaced} replaced, {unchanged} unchanged");
        handle.log(LogLevel::Info, line);
        let what = format!("{} of its entries could not be restored", report.failed);
        return Err(Error::damaged(format!("backup {}", done.backup_id.short()), what));
    }
    let result = serde_json::to_value(&done).unwrap_or_default();
    Ok(JobOutcome { backup_id: Some(done.backup_id), result })
}
