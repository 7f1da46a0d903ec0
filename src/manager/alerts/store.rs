//! Alerts in the database of what this machine remembers.

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::{Alert, AlertKind, NewAlert, Place};
use crate::error::Result;
use crate::manager::history::Database;

/// Cleared alerts that are remembered at most; the oldest go first.
const KEPT: i64 = 1_000;

const COLUMNS: &str = "alert_id, repository, repo_id, kind, subject, message, advice, raised_ms, \
                       cleared_ms, cleared_by";

pub(super) fn raise(
    database: &Database,
    place: &Place,
    new: &NewAlert,
    id: &str,
    now_ms: i64,
) -> Result<(Alert, bool)> {
    let kind = new.kind.as_str();
    let sql = format!(
        "SELECT {COLUMNS} FROM alerts WHERE repo_id = ?1 AND kind = ?2 AND subject = ?3 \
         AND cleared_ms IS NULL"
    );
    database.transaction(|connection| {
        let changed = connection.execute(
            "UPDATE alerts SET message = ?4, advice = ?5, \
             repository = CASE repository WHEN '' THEN ?6 ELSE repository END \
             WHERE repo_id = ?1 AND kind = ?2 AND subject = ?3 AND cleared_ms IS NULL",
            params![place.repo_id, kind, new.subject, new.message, new.advice, place.name],
        )?;
        if changed == 0 {
            connection.execute(
                "INSERT INTO alerts (alert_id, repository, repo_id, kind, subject, message, \
                 advice, raised_ms) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
                params![
                    id,
                    place.name,
                    place.repo_id,
                    kind,
                    new.subject,
                    new.message,
                    new.advice,
                    now_ms,
                ],
            )?;
            clean(connection)?;
        }
        let values = params![place.repo_id, kind, new.subject];
        let alert = connection.query_row(&sql, values, read)?;
        Ok((alert.ok_or(rusqlite::Error::QueryReturnedNoRows)?, changed == 0))
    })
}

pub(super) fn list(database: &Database, with_cleared: bool, limit: usize) -> Result<Vec<Alert>> {
    let sql = match with_cleared {
        true => format!("SELECT {COLUMNS} FROM alerts ORDER BY number DESC LIMIT ?1"),
        false => format!(
            "SELECT {COLUMNS} FROM alerts WHERE cleared_ms IS NULL ORDER BY number LIMIT ?1"
        ),
    };
    let limit = i64::try_from(limit).unwrap_or(-1);
    database.with(|connection| {
        let mut statement = connection.prepare(&sql)?;
        let alerts = statement.query_map([limit], read)?;
        // What a newer program wrote and this one cannot read is left to that one.
        alerts.filter_map(Result::transpose).collect()
    })
}

pub(super) fn last_about(
    database: &Database,
    repo_id: &str,
    kind: AlertKind,
    subject: &str,
) -> Result<Option<Alert>> {
    let sql = format!(
        "SELECT {COLUMNS} FROM alerts WHERE repo_id = ?1 AND kind = ?2 AND subject = ?3 \
         ORDER BY number DESC LIMIT 1"
    );
    let values = params![repo_id, kind.as_str(), subject];
    let row = database.with(|connection| connection.query_row(&sql, values, read).optional())?;
    Ok(row.flatten())
}

pub(super) fn clear(database: &Database, id: &str, by: &str, now_ms: i64) -> Result<()> {
    database.with(|connection| {
        connection
            .execute(
                "UPDATE alerts SET cleared_ms = ?2, cleared_by = ?3 WHERE alert_id = ?1 \
                 AND cleared_ms IS NULL",
                params![id, now_ms, by],
            )
            .map(|_| ())
    })
}

fn clean(connection: &Connection) -> rusqlite::Result<()> {
    connection
        .execute(
            "DELETE FROM alerts WHERE cleared_ms IS NOT NULL AND number <= (SELECT number \
             FROM alerts WHERE cleared_ms IS NOT NULL ORDER BY number DESC LIMIT 1 OFFSET ?1)",
            [KEPT],
        )
        .map(|_| ())
}

/// A row in the order of [`COLUMNS`]; `None` if it holds what no version wrote.
pub(in crate::manager) fn read(row: &Row<'_>) -> rusqlite::Result<Option<Alert>> {
    let kind: String = row.get(3)?;
    let (raised_ms, cleared_ms): (i64, Option<i64>) = (row.get(7)?, row.get(8)?);
    let Ok(kind) = kind.parse() else { return Ok(None) };
    let Ok(raised) = Timestamp::from_millisecond(raised_ms) else { return Ok(None) };
    Ok(Some(Alert {
        alert_id: row.get(0)?,
        repository: row.get(1)?,
        repo_id: row.get(2)?,
        kind,
        subject: row.get(4)?,
        message: row.get(5)?,
        advice: row.get(6)?,
        raised,
        cleared: cleared_ms.and_then(|ms| Timestamp::from_millisecond(ms).ok()),
        cleared_by: row.get(9)?,
    }))
}
