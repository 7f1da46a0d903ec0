//! What is different: the versions of a path, two backups side by side, and two versions of a text.

use axum::extract::State;
use axum::http::StatusCode;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::tree::{EntryKind, timestamp};
use crate::error::Error;
use crate::model::{BackupId, Entry, FileKind, escape_bytes};
use crate::repository::Snapshot;
use crate::runtime::CancelToken;
use crate::server::api::extract::{Json, Path, Query};
use crate::server::api::page::{backup_id, limit, numbered_page};
use crate::server::api::problem::Problem;
use crate::server::api::state::{ApiState, Shelf};
use crate::tree::{
    ContentDiff, DiffSide, DiffSummary, Difference, DifferenceKind, Hunk, LineChange, Manifest,
    SeenIn, SeriesHistory, Version, VersionChange, content_diff, diff, history, parse_path,
    path_missing,
};

/// The newest so many backups are looked at for versions.
const VERSIONS_OF: usize = 2_000;
/// Bytes of a text that are compared at most.
const TEXT_MAX: u64 = 1 << 20;
/// Lines of a comparison at most.
const LINES_MAX: usize = 10_000;

/// The versions of a path.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Versions {
    /// The newest first.
    versions: Vec<PathVersion>,
    /// Whether all backups that may have it were looked at, and could be read.
    is_complete: bool,
}

/// Backups that follow each other and have the same at a path.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct PathVersion {
    /// Whose backups.
    host: String,
    /// The first of them.
    backup_id: BackupId,
    /// Its time.
    timestamp: Option<Timestamp>,
    /// The last of them.
    last_backup_id: BackupId,
    /// Its time.
    last_timestamp: Option<Timestamp>,
    /// How many there are.
    backup_count: u64,
    /// What is different from the version before.
    change: Change,
    /// What it is; nothing if it is not there.
    kind: Option<EntryKind>,
    /// Bytes of a file.
    size_bytes: Option<u64>,
    /// Last change of its content.
    modified: Option<Timestamp>,
}

/// What happened to something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Change {
    /// It was not there before, as far as is known.
    Added,
    /// It has another content; its metadata may be another, too.
    Changed,
    /// Only its metadata is another.
    Metadata,
    /// It is of another kind.
    Kind,
    /// It is not there any more.
    Removed,
}

/// Which path.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Which {
    /// The path, from `/` on; bytes that are no text as `%XX`.
    path: String,
}

/// All versions of a file or folder, newest first
///
/// Of the newest 2,000 backups.
#[utoipa::path(get, path = "/api/v1/repositories/{repository}/versions", tag = "files",
    params(("repository" = String, Path, description = "Its name"), Which),
    responses((status = 200, body = Versions)))]
pub(super) async fn versions(
    State(state): State<ApiState>,
    Path(name): Path<String>,
    Query(which): Query<Which>,
) -> Result<Json<Versions>, Problem> {
    let path = parse_path(which.path.as_bytes())?;
    let versions = state.ask_site(name, move |shelf| {
        let manager = shelf.manager();
        manager.load_index()?;
        let list = manager.snapshot_list()?;
        let skipped = list.snapshots.len().saturating_sub(VERSIONS_OF);
        let chosen = list.snapshots.iter().skip(skipped);
        let found = history(manager.repository(), chosen, &path, &CancelToken::default())?;
        let has_damage = found.series.iter().any(SeriesHistory::has_damage);
        let of_series = |series: SeriesHistory| {
            let host = escape_bytes(series.host.as_bytes()).into_owned();
            series.versions.into_iter().map(move |version| shown(&host, &version))
        };
        let mut versions: Vec<PathVersion> = found.series.into_iter().flat_map(of_series).collect();
        versions.sort_by_key(|version| std::cmp::Reverse(version.timestamp));
        Ok(Versions { versions, is_complete: skipped == 0 && !has_damage })
    });
    versions.await.map(Json)
}

fn shown(host: &str, version: &Version) -> PathVersion {
    let entry = version.entry.as_deref();
    let time = |seen: SeenIn| Timestamp::from_millisecond(seen.time_ms).ok();
    PathVersion {
        host: host.to_owned(),
        backup_id: version.first.id,
        timestamp: time(version.first),
        last_backup_id: version.last.id,
        last_timestamp: time(version.last),
        backup_count: version.snapshots,
        change: match version.change {
            VersionChange::First | VersionChange::Appeared => Change::Added,
            VersionChange::Content(_) => Change::Changed,
            VersionChange::Metadata(_) => Change::Metadata,
            VersionChange::Kind => Change::Kind,
            VersionChange::Removed => Change::Removed,
        },
        kind: entry.map(|entry| entry.kind.into()),
        size_bytes: entry.and_then(size),
        modified: entry.and_then(|entry| timestamp(entry.mtime)),
    }
}

fn size(entry: &Entry) -> Option<u64> {
    (entry.kind == FileKind::File).then_some(entry.size)
}

/// What is different between two backups.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Changes {
    /// In the order of paths.
    changes: Vec<PathChange>,
    /// Sums over all of it, once its end was reached.
    totals: Option<Totals>,
    /// To be given as `page` for the next part; `null` at the end.
    next_page: Option<String>,
}

/// Something that is different.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct PathChange {
    /// Its path from `/` on, in the form that requests take.
    path: String,
    /// What it is, or was.
    kind: EntryKind,
    /// What happened to it.
    change: Change,
    /// Bytes of a file before.
    size_bytes_before: Option<u64>,
    /// Bytes of a file now.
    size_bytes_after: Option<u64>,
}

/// How many entries are different. Files, folders and all else count.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Totals {
    /// Not there before.
    added: u64,
    /// Not there any more.
    removed: u64,
    /// With another content, or of another kind.
    changed: u64,
    /// With other metadata alone.
    metadata: u64,
    /// Bytes of files that came, and of new pieces in others.
    added_bytes: u64,
    /// Bytes of files that went, and of pieces that are no longer in others.
    removed_bytes: u64,
}

impl Totals {
    fn new(sums: &DiffSummary) -> Self {
        let [added, removed, modified, metadata, kind] =
            [&sums.added, &sums.removed, &sums.modified, &sums.metadata, &sums.type_changed]
                .map(|tally| tally.files + tally.dirs + tally.others);
        Self {
            added,
            removed,
            changed: modified + kind,
            metadata,
            added_bytes: sums.added_bytes,
            removed_bytes: sums.removed_bytes,
        }
    }
}

/// What is compared with what.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Sides {
    /// The id of the backup that counts as the older one.
    with: String,
    /// Only this folder or file; bytes that are no text as `%XX`.
    path: Option<String>,
    /// So many changes at most.
    #[param(minimum = 1, maximum = 1000, default = 50)]
    limit: Option<u32>,
    /// `next_page` of the part before.
    page: Option<String>,
}

/// What is different between two backups
#[utoipa::path(get, path = "/api/v1/repositories/{repository}/backups/{backup}/diff",
    tag = "files",
    params(("repository" = String, Path, description = "Its name"),
        ("backup" = String, Path, description = "The id of the newer one"), Sides),
    responses((status = 200, body = Changes)))]
pub(super) async fn compare(
    State(state): State<ApiState>,
    Path((name, backup)): Path<(String, String)>,
    Query(sides): Query<Sides>,
) -> Result<Json<Changes>, Problem> {
    let (new, old) = (backup_id(&backup)?, backup_id(&sides.with)?);
    let path = parse_path(sides.path.unwrap_or_default().as_bytes())?;
    let limit = limit(sides.limit)? as u64;
    let from = numbered_page(sides.page.as_deref())?.unwrap_or_default();
    let changes = state.ask_site(name, move |shelf| {
        let (old, new) = (manifest(shelf, old)?, manifest(shelf, new)?);
        let until = from.saturating_add(limit);
        let (mut number, mut changes) = (0, Vec::new());
        let compared = diff(
            shelf.open().manager.repository(),
            DiffSide { manifest: old, folder: &path },
            DiffSide { manifest: new, folder: &path },
            &mut |difference| {
                number += 1;
                if number > until {
                    return Err(Error::Cancelled { signal: None });
                }
                changes.extend((number > from).then(|| change(difference)).flatten());
                Ok(())
            },
        );
        match compared {
            Ok(sums) => Ok(Changes { changes, totals: Some(Totals::new(&sums)), next_page: None }),
            Err(Error::Cancelled { .. }) => {
                Ok(Changes { changes, totals: None, next_page: Some(until.to_string()) })
            }
            Err(error) => Err(error.into()),
        }
    });
    changes.await.map(Json)
}

fn manifest(shelf: &Shelf, id: BackupId) -> Result<Manifest, Problem> {
    Ok(Manifest::of(&snapshot(shelf, id)?))
}

fn snapshot(shelf: &Shelf, id: BackupId) -> Result<Snapshot, Problem> {
    let manager = shelf.manager();
    manager.load_index()?;
    Ok(manager.snapshot(id)?)
}

fn change(difference: &Difference<'_>) -> Option<PathChange> {
    let entry = difference.new.or(difference.old)?;
    Some(PathChange {
        path: format!("/{}", escape_bytes(&entry.path)),
        kind: entry.kind.into(),
        change: match difference.kind {
            DifferenceKind::Added => Change::Added,
            DifferenceKind::Removed => Change::Removed,
            DifferenceKind::Modified => Change::Changed,
            DifferenceKind::Metadata => Change::Metadata,
            DifferenceKind::TypeChanged => Change::Kind,
        },
        size_bytes_before: difference.old.and_then(size),
        size_bytes_after: difference.new.and_then(size),
    })
}

/// What is different in a text.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct TextChanges {
    /// Places that are different, each with three lines around it; none if nothing is.
    hunks: Vec<TextHunk>,
    /// There are more lines than are shown.
    truncated: bool,
}

/// A place in a text.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct TextHunk {
    /// Number of its first line in the old text, from 1 on.
    old_start: usize,
    /// Number of its first line in the new text, from 1 on.
    new_start: usize,
    /// Its lines.
    lines: Vec<TextLine>,
}

/// A line.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct TextLine {
    /// Where it is.
    tag: LineTag,
    /// The line without its line feed; bytes that are no text as `%XX`.
    text: String,
}

/// Where a line is.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum LineTag {
    /// In both texts.
    Same,
    /// In the old one only.
    Old,
    /// In the new one only.
    New,
}

/// Two versions of a text.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct TextSides {
    /// The id of the backup that has the older version.
    with: String,
    /// The file; bytes that are no text as `%XX`.
    path: String,
}

/// What is different in a text
///
/// A file that is in one of the backups only counts as empty in the other. `not_text` and
/// `too_large` say why there is no comparison.
#[utoipa::path(get, path = "/api/v1/repositories/{repository}/backups/{backup}/text-diff",
    tag = "files",
    params(("repository" = String, Path, description = "Its name"),
        ("backup" = String, Path, description = "The id of the newer one"), TextSides),
    responses((status = 200, body = TextChanges)))]
pub(super) async fn compare_text(
    State(state): State<ApiState>,
    Path((name, backup)): Path<(String, String)>,
    Query(sides): Query<TextSides>,
) -> Result<Json<TextChanges>, Problem> {
    let (new, old) = (backup_id(&backup)?, backup_id(&sides.with)?);
    let path = parse_path(sides.path.as_bytes())?;
    let changes = state.ask_site(name, move |shelf| {
        let repository = shelf.open().manager.repository();
        let newer = snapshot(shelf, new)?;
        let (old, new) = (manifest(shelf, old)?, Manifest::of(&newer));
        let entry = |side: &Manifest| side.find(repository, &path);
        let (was, is) = (entry(&old)?, entry(&new)?);
        if was.is_none() && is.is_none() {
            return Err(path_missing(&newer, &path).into());
        }
        let was = was.as_ref().map(|entry| (&old, entry));
        let is = is.as_ref().map(|entry| (&new, entry));
        match content_diff(repository, was, is, TEXT_MAX)? {
            ContentDiff::Text(hunks) => Ok(text_changes(&hunks)),
            ContentDiff::TooLarge => Err(incomparable("too_large", "it has more than 1 MiB")),
            _ => Err(incomparable("not_text", "it is not a text in both backups")),
        }
    });
    changes.await.map(Json)
}

fn incomparable(code: &'static str, why: &str) -> Problem {
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, code, why)
        .hint("download both versions and compare them there")
}

fn text_changes(hunks: &[Hunk]) -> TextChanges {
    let (mut left, mut shown) = (LINES_MAX, Vec::new());
    for hunk in hunks {
        if left == 0 {
            break;
        }
        let lines = hunk.lines.iter().take(left).map(|line| TextLine {
            tag: match line.change {
                LineChange::Kept => LineTag::Same,
                LineChange::Removed => LineTag::Old,
                LineChange::Added => LineTag::New,
            },
            text: text_of(&line.bytes),
        });
        let lines: Vec<TextLine> = lines.collect();
        left -= lines.len();
        shown.push(TextHunk { old_start: hunk.old_start, new_start: hunk.new_start, lines });
    }
    let all: usize = hunks.iter().map(|hunk| hunk.lines.len()).sum();
    TextChanges { hunks: shown, truncated: all > LINES_MAX }
}

/// A line as it is if it is text.
fn text_of(line: &[u8]) -> String {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    match std::str::from_utf8(line) {
        Ok(text) => text.to_owned(),
        Err(_) => escape_bytes(line).into_owned(),
    }
}
