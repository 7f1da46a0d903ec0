//! Listing recovery points.

use jiff::Timestamp;

use super::RecoveryManager;
use crate::error::{Error, Result};
use crate::model::{BackupId, RecoveryPoint, TEMPLATE_IDS_MAX};
use crate::repository::Snapshot;
use crate::tree::{Manifest, SnapshotFilter, shown_roots};

/// Points in a page if nothing else is said.
const LIMIT_DEFAULT: usize = 50;

/// Which recovery points are meant. `Default` is the newest 50.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PointQuery {
    /// Of which hosts, tags and sources, and until when.
    pub filter: SnapshotFilter,
    /// Of this time or later.
    pub from: Option<Timestamp>,
    /// Without those that are known not to be whole.
    pub only_available: bool,
    /// Nothing is read for a point: whether it is available is what its record says.
    pub unread: bool,
    /// With [`RecoveryPoint::template_ids`]: they are read from the manifest of each point.
    pub with_templates: bool,
    /// So many at most; `None` is 50.
    pub limit: Option<usize>,
    /// Goes on where an earlier page ended ([`PointPage::next_page`]), with the same filters.
    pub page_token: Option<String>,
}

/// A part of a list of recovery points, newest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PointPage {
    /// The points.
    pub points: Vec<RecoveryPoint>,
    /// What gets the next part; `None` at the end. Backups made meanwhile do not move it.
    pub next_page: Option<String>,
}

impl RecoveryManager {
    /// The states that files can be brought back to, newest first.
    ///
    /// Whether one is available is found out with one small read for each that is returned.
    ///
    /// # Errors
    /// [`Error::Usage`] for a page token that no page gave; the storage's.
    pub fn recovery_points(&self, query: &PointQuery) -> Result<PointPage> {
        let after = query.page_token.as_deref().map(parse_token).transpose()?;
        let limit = query.limit.unwrap_or(LIMIT_DEFAULT);
        let from_ms = query.from.map_or(i64::MIN, Timestamp::as_millisecond);
        let mut snapshots = self.manager.snapshots(&query.filter)?;
        snapshots.retain(|snapshot| snapshot.time_ms() >= from_ms);
        snapshots.sort_by_key(place);
        if let Some(after) = after {
            snapshots.retain(|snapshot| place(snapshot) < after);
        }
        if !query.unread {
            self.manager.load_index()?;
        }
        let mut page = PointPage::default();
        let mut last = None;
        for snapshot in snapshots.iter().rev() {
            if page.points.len() == limit {
                page.next_page = last.map(token);
                break;
            }
            let mut point = match query.unread {
                true => describe(snapshot),
                false => self.point_of(snapshot),
            };
            last = Some(snapshot);
            if query.only_available && !point.is_available {
                continue;
            }
            if query.with_templates && point.is_available {
                // One whose manifest is damaged further down lists what can be read.
                let templates = self.template_ids_of(snapshot, b"", TEMPLATE_IDS_MAX);
                if let Ok(found) = templates {
                    point.truncated = found.next.is_some();
                    point.template_ids = found.template_ids;
                }
            }
            page.points.push(point);
        }
        Ok(page)
    }

    /// A snapshot as a recovery point, without its template ids. The index has to be loaded.
    pub(super) fn point_of(&self, snapshot: &Snapshot) -> RecoveryPoint {
        let is_open = Manifest::of(snapshot).counts(self.manager.repository()).is_ok();
        let mut point = describe(snapshot);
        point.is_available &= is_open;
        point
    }
}

/// What the record of a snapshot says of it as a recovery point.
pub(super) fn describe(snapshot: &Snapshot) -> RecoveryPoint {
    let body = &snapshot.body;
    let sources = shown_roots(snapshot);
    let description = match body.description.is_empty() {
        true => sources.join(", "),
        false => body.description.clone(),
    };
    RecoveryPoint {
        timestamp: time_of(snapshot),
        backup_id: snapshot.id,
        template_ids: Vec::new(),
        description,
        is_available: is_trusted(snapshot),
        truncated: body.files > 0,
        template_count: body.files,
        total_size: body.bytes,
        host: snapshot.host.clone(),
        sources,
        tags: body.tags.clone(),
    }
}

/// Whether nothing that was said about a snapshot speaks against it.
pub(super) fn is_trusted(snapshot: &Snapshot) -> bool {
    snapshot.quarantine.is_none() && !snapshot.suspect
}

/// When a snapshot's run started. A time that no calendar has becomes the nearest that one has.
pub(super) fn time_of(snapshot: &Snapshot) -> Timestamp {
    let ms = snapshot.time_ms();
    let edge = if ms < 0 { Timestamp::MIN } else { Timestamp::MAX };
    Timestamp::from_millisecond(ms).unwrap_or(edge)
}

/// Where a snapshot stands in the list: no two are at the same place.
fn place(snapshot: &Snapshot) -> (i64, BackupId) {
    (snapshot.time_ms(), snapshot.id)
}

fn token(snapshot: &Snapshot) -> String {
    format!("{}.{}", snapshot.time_ms(), snapshot.id)
}

fn parse_token(text: &str) -> Result<(i64, BackupId)> {
    let place = text
        .split_once('.')
        .and_then(|(time_ms, id)| Some((time_ms.parse().ok()?, BackupId::from_hex(id)?)));
    place.ok_or_else(|| {
        Error::usage_hint(
            format!("`{text}` is no place in a list of recovery points"),
            "give `next_page` of an earlier page as it is",
        )
    })
}
