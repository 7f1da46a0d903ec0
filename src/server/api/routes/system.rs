//! The daemon itself: whom it tells, what was asked of it, how it was started.

use std::os::unix::ffi::OsStrExt;
use std::path::{Path as FilePath, PathBuf};
use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::manager::fleet::Site;
use crate::manager::notify::ChannelView;
use crate::model::escape_bytes;
use crate::runtime::Runtime;
use crate::server::api::extract::{Json, Path, Query};
use crate::server::api::page::{limit, numbered_page};
use crate::server::api::problem::Problem;
use crate::server::api::state::ApiState;
use crate::server::audit::{self, AuditEntry};

/// Whom messages go to
///
/// Channels stand in the profile, below `[[notify]]`.
#[utoipa::path(get, path = "/api/v1/notifications", tag = "system",
    responses((status = 200, body = Vec<ChannelView>)))]
pub(super) async fn channels(
    State(state): State<ApiState>,
) -> Result<Json<Vec<ChannelView>>, Problem> {
    let channels = state.ask(|state| {
        let database = state.fleet().board().database();
        Ok(state.about().notify.views(database)?)
    });
    channels.await.map(Json)
}

/// Send a message to a channel now
///
/// The answer comes when it has arrived, or says why it did not.
#[utoipa::path(post, path = "/api/v1/notifications/{channel}/test", tag = "system",
    params(("channel" = String, Path, description = "Its name")),
    responses((status = 204, description = "It arrived")))]
pub(super) async fn test_channel(
    State(state): State<ApiState>,
    Path(channel): Path<String>,
) -> Result<StatusCode, Problem> {
    let sent = state
        .ask(move |state| Ok(state.about().notify.try_channel(&channel, &Runtime::default())?));
    sent.await.map(|()| StatusCode::NO_CONTENT)
}

/// Which part of the audit log is meant.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct AuditPart {
    /// So many at most.
    #[param(minimum = 1, maximum = 1000, default = 50)]
    limit: Option<u32>,
    /// `next_page` of the part before.
    page: Option<String>,
}

/// A line of the audit log.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct AuditRecord {
    /// 1 for the first.
    number: u64,
    /// When.
    time: Timestamp,
    /// The user or token; none if nobody was let in.
    who: Option<String>,
    /// The address that it came from.
    from: String,
    /// What: a method and a path, or what the daemon did.
    what: String,
    /// The status of the answer; 0 for what was no request.
    status: u16,
    /// More about it.
    detail: String,
}

/// A part of the audit log, newest first.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct AuditPage {
    /// The lines.
    records: Vec<AuditRecord>,
    /// Whether each line has the hash of the one before, and the last is the one that this daemon
    /// wrote last. Said in the first part only.
    chain_ok: Option<bool>,
    /// What is wrong with the first line that is.
    wrong: Option<String>,
    /// To be given as `page` for the next part; `null` at the end.
    next_page: Option<String>,
}

impl From<AuditEntry> for AuditRecord {
    fn from(entry: AuditEntry) -> Self {
        let AuditEntry { number, time, who, from, what, status, detail, before: _ } = entry;
        Self { number, time, who, from, what, status, detail }
    }
}

/// What was asked of the daemon, newest first
///
/// With the first part, the whole log is verified.
#[utoipa::path(get, path = "/api/v1/audit", tag = "system", params(AuditPart),
    responses((status = 200, body = AuditPage)))]
pub(super) async fn audit(
    State(state): State<ApiState>,
    Query(part): Query<AuditPart>,
) -> Result<Json<AuditPage>, Problem> {
    let (count, before) = (limit(part.limit)?, numbered_page(part.page.as_deref())?);
    state.ask(move |state| audit_page(state, count, before)).await.map(Json)
}

fn audit_page(state: &ApiState, count: usize, before: Option<u64>) -> Result<AuditPage, Problem> {
    let about = state.about();
    let (Some(folder), Some(log)) = (&about.state_dir, &about.audit) else {
        let what = "this daemon keeps no audit log";
        return Err(Problem::new(StatusCode::NOT_FOUND, "not_found", what)
            .hint("start it with a state folder"));
    };
    let report = match before {
        // A line that comes while it is read is no fault: the head was there before.
        None => Some(audit::verify(folder, Some(&log.head()))?),
        Some(_) => None,
    };
    let entries = audit::newest(folder, count, before)?;
    let is_full = entries.len() == count;
    let last = entries.last().map(|entry| entry.number).filter(|number| is_full && *number > 1);
    Ok(AuditPage {
        records: entries.into_iter().map(AuditRecord::from).collect(),
        chain_ok: report.as_ref().map(|report| report.wrong.is_none()),
        wrong: report
            .and_then(|report| report.wrong)
            .map(|(line, what)| format!("line {line}: {what}")),
        next_page: last.map(|number| number.to_string()),
    })
}

/// How the daemon was started.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct SettingsView {
    /// The version of the program.
    version: &'static str,
    /// Address and port that it listens on.
    listen: Option<String>,
    /// Whether connections are encrypted.
    is_encrypted: bool,
    /// Folders that may be backed up over HTTP; bytes that are no text as `%XX`.
    source_roots: Vec<String>,
    /// Folders that files may be restored into over HTTP.
    restore_roots: Vec<String>,
    /// The folder with its database and its audit log.
    state_dir: Option<String>,
    /// Jobs of schedules at the same time.
    max_parallel: usize,
    /// How long jobs may go on when it is asked to end, seconds.
    stop_grace_seconds: u64,
    /// The repositories that it looks after.
    repositories: Vec<SiteSettings>,
}

/// How a repository is worked with.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct SiteSettings {
    /// Its name.
    name: String,
    /// Where it is, without secrets.
    location: String,
    /// What may be sent in a second just now, bytes; none is without limit.
    upload_bytes_per_second: Option<u64>,
    /// What may be fetched in a second just now, bytes; none is without limit.
    download_bytes_per_second: Option<u64>,
}

fn escaped(path: &FilePath) -> String {
    escape_bytes(path.as_os_str().as_bytes()).into_owned()
}

/// How the daemon was started
///
/// It is set in the profile, below `[serve]`, and on the command line.
#[utoipa::path(get, path = "/api/v1/settings", tag = "system",
    responses((status = 200, body = SettingsView)))]
pub(super) async fn settings(State(state): State<ApiState>) -> Result<Json<SettingsView>, Problem> {
    let view = state.ask(|state| {
        let (about, limits) = (state.about(), state.limits());
        let shown = |paths: &[PathBuf]| paths.iter().map(|path| escaped(path)).collect();
        let site = |site: &Arc<Site>| {
            let limits = site.opened().map(|open| open.throttle.limits()).unwrap_or_default();
            SiteSettings {
                name: site.name().to_owned(),
                location: site.location().to_owned(),
                upload_bytes_per_second: limits.upload.map(u64::from),
                download_bytes_per_second: limits.download.map(u64::from),
            }
        };
        Ok(SettingsView {
            version: env!("CARGO_PKG_VERSION"),
            listen: about.listen.map(|address| address.to_string()),
            is_encrypted: about.is_encrypted,
            source_roots: shown(&limits.source_roots),
            restore_roots: shown(&limits.restore_roots),
            state_dir: about.state_dir.as_deref().map(escaped),
            max_parallel: about.max_parallel,
            stop_grace_seconds: about.grace.as_secs(),
            repositories: state.fleet().sites().iter().map(site).collect(),
        })
    });
    view.await.map(Json)
}
