//! Messages that wait for their channel, in the database.

use rusqlite::{Connection, OptionalExtension, params};

use super::notice::{Notice, NoticeEvent};
use super::settings::ChannelSettings;
use crate::error::Result;
use crate::manager::history::Database;

/// A message that did not get through after so long is given up: somebody has seen it by then.
const GIVEN_UP_MS: i64 = 3 * 24 * HOUR_MS;
/// The same for a ping, whose time is what it says.
const PING_GIVEN_UP_MS: i64 = HOUR_MS;
const HOUR_MS: i64 = 3_600_000;
/// The wait after the first failure; it doubles up to the longest.
const FIRST_WAIT_MS: i64 = 15_000;
const LONGEST_WAIT_MS: i64 = HOUR_MS;
/// Messages that wait at most for one channel; the oldest go first.
const WAITING_MAX: i64 = 1_000;
/// Messages that were held back of which one message tells in full.
const DIGEST_MAX: usize = 50;

/// What waits for a channel.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Waiting {
    /// How many messages.
    pub count: u64,
    /// Why the last attempt failed.
    pub error: Option<String>,
}

/// A message whose turn it is.
#[derive(Clone, Debug)]
pub(super) struct Due {
    pub(super) number: i64,
    pub(super) channel: String,
    pub(super) notice: Notice,
    pub(super) created_ms: i64,
    pub(super) attempts: u32,
}

pub(super) struct Queue<'d> {
    database: &'d Database,
}

/// Adds a message for a channel, as a part of a transaction.
pub(super) fn add(
    connection: &Connection,
    channel: &str,
    notice: &Notice,
    now_ms: i64,
) -> rusqlite::Result<()> {
    let text = serde_json::to_string(notice).expect("plain data");
    connection.execute(
        "INSERT INTO notices (channel, event, notice, created_ms, due_ms) \
         VALUES (?1, ?2, ?3, ?4, ?4)",
        params![channel, notice.event.as_str(), text, now_ms],
    )?;
    connection
        .execute(
            "DELETE FROM notices WHERE channel = ?1 AND number <= (SELECT number FROM notices \
             WHERE channel = ?1 ORDER BY number DESC LIMIT 1 OFFSET ?2)",
            params![channel, WAITING_MAX],
        )
        .map(|_| ())
}

impl<'d> Queue<'d> {
    pub(super) fn new(database: &'d Database) -> Self {
        Self { database }
    }

    /// The next message whose turn it is, the oldest first.
    ///
    /// # Errors
    /// As [`Database::with`].
    pub(super) fn next(&self, now_ms: i64) -> Result<Option<Due>> {
        self.database.with(|connection| {
            let mut statement = connection.prepare(
                "SELECT number, channel, notice, created_ms, attempts FROM notices \
                 WHERE due_ms <= ?1 AND is_held = 0 ORDER BY number",
            )?;
            let mut rows = statement.query([now_ms])?;
            while let Some(row) = rows.next()? {
                let text: String = row.get(2)?;
                // What a newer program wrote is left to that one.
                let Ok(notice) = serde_json::from_str(&text) else { continue };
                return Ok(Some(Due {
                    number: row.get(0)?,
                    channel: row.get(1)?,
                    notice,
                    created_ms: row.get(3)?,
                    attempts: row.get(4)?,
                }));
            }
            Ok(None)
        })
    }

    /// When the next message is due that is not due yet.
    ///
    /// # Errors
    /// As [`Database::with`].
    pub(super) fn next_due_ms(&self, now_ms: i64) -> Result<Option<i64>> {
        self.database.with(|connection| {
            connection.query_row(
                "SELECT MIN(due_ms) FROM notices WHERE due_ms > ?1",
                [now_ms],
                |row| row.get(0),
            )
        })
    }

    /// Whether the channel may send one more message of this kind now; if not, all of its kind wait
    /// until then, to go as one.
    ///
    /// # Errors
    /// As [`Database::with`].
    pub(super) fn admit(&self, channel: &ChannelSettings, due: &Due, now_ms: i64) -> Result<bool> {
        let limit = i64::from(channel.at_most_per_hour);
        if limit == 0 || channel.is_ping() || due.notice.event == NoticeEvent::Test {
            return Ok(true);
        }
        let event = due.notice.event.as_str();
        self.database.transaction(|connection| {
            connection.execute("DELETE FROM sent WHERE sent_ms <= ?1", [now_ms - HOUR_MS])?;
            // The one that falls out of the hour next, if there are too many in it.
            let full_since: Option<i64> = connection
                .query_row(
                    "SELECT sent_ms FROM sent WHERE channel = ?1 AND event = ?2 \
                     ORDER BY sent_ms DESC LIMIT 1 OFFSET ?3",
                    params![due.channel, event, limit - 1],
                    |row| row.get(0),
                )
                .optional()?;
            let Some(full_since) = full_since else { return Ok(true) };
            connection.execute(
                "UPDATE notices SET is_held = 1, due_ms = ?3 WHERE channel = ?1 AND event = ?2",
                params![due.channel, event, full_since + HOUR_MS],
            )?;
            Ok(false)
        })
    }

    /// Makes one message of those that were held back and may go now.
    ///
    /// # Errors
    /// As [`Database::with`].
    pub(super) fn release(&self, now_ms: i64) -> Result<()> {
        self.database.transaction(|connection| {
            let mut groups = connection.prepare(
                "SELECT DISTINCT channel, event FROM notices WHERE is_held = 1 AND due_ms <= ?1",
            )?;
            let groups: Vec<(String, String)> = groups
                .query_map([now_ms], |row| Ok((row.get(0)?, row.get(1)?)))?
                .collect::<rusqlite::Result<_>>()?;
            for (channel, event) in groups {
                join(connection, &channel, &event, now_ms)?;
            }
            Ok(())
        })
    }

    /// A message has arrived.
    ///
    /// # Errors
    /// As [`Database::with`].
    pub(super) fn arrived(&self, due: &Due, now_ms: i64) -> Result<()> {
        self.database.transaction(|connection| {
            connection.execute("DELETE FROM notices WHERE number = ?1", [due.number])?;
            connection
                .execute(
                    "INSERT INTO sent (channel, event, sent_ms) VALUES (?1, ?2, ?3)",
                    params![due.channel, due.notice.event.as_str(), now_ms],
                )
                .map(|_| ())
        })
    }

    /// A message did not arrive: it waits for its next attempt, or is given up. Whether it waits.
    ///
    /// # Errors
    /// As [`Database::with`].
    pub(super) fn failed(&self, due: &Due, why: &str, is_ping: bool, now_ms: i64) -> Result<bool> {
        let longest = if is_ping { PING_GIVEN_UP_MS } else { GIVEN_UP_MS };
        // What a start says is over soon.
        let is_over = now_ms.saturating_sub(due.created_ms) >= longest
            || due.notice.event == NoticeEvent::Start
            || due.notice.event == NoticeEvent::Test;
        if is_over {
            self.drop_one(due)?;
            return Ok(false);
        }
        let wait_ms = FIRST_WAIT_MS.saturating_mul(1 << due.attempts.min(20)).min(LONGEST_WAIT_MS);
        self.database.transaction(|connection| {
            connection.execute(
                "UPDATE notices SET attempts = attempts + 1, due_ms = ?2, error = ?3 \
                 WHERE number = ?1",
                params![due.number, now_ms + wait_ms, why],
            )?;
            // Those behind it would fail too, and keep those of other channels waiting.
            connection
                .execute(
                    "UPDATE notices SET due_ms = ?2 WHERE channel = ?1 AND is_held = 0 \
                     AND due_ms < ?2",
                    params![due.channel, now_ms + wait_ms],
                )
                .map(|_| true)
        })
    }

    /// A message is for a channel that is no more.
    ///
    /// # Errors
    /// As [`Database::with`].
    pub(super) fn drop_one(&self, due: &Due) -> Result<()> {
        self.database.with(|connection| {
            connection.execute("DELETE FROM notices WHERE number = ?1", [due.number]).map(|_| ())
        })
    }

    /// What waits for a channel.
    ///
    /// # Errors
    /// As [`Database::with`].
    pub(super) fn waiting(&self, channel: &str) -> Result<Waiting> {
        self.database.with(|connection| {
            let count: i64 = connection.query_row(
                "SELECT COUNT(*) FROM notices WHERE channel = ?1",
                [channel],
                |row| row.get(0),
            )?;
            let error = connection
                .query_row(
                    "SELECT error FROM notices WHERE channel = ?1 AND error IS NOT NULL \
                     ORDER BY number DESC LIMIT 1",
                    [channel],
                    |row| row.get(0),
                )
                .optional()?;
            Ok(Waiting { count: u64::try_from(count).unwrap_or_default(), error })
        })
    }
}

/// Replaces the messages of one kind that a channel held back by one that has them all.
fn join(connection: &Connection, channel: &str, event: &str, now_ms: i64) -> rusqlite::Result<()> {
    let mut statement = connection.prepare(
        "SELECT notice, number FROM notices WHERE channel = ?1 AND event = ?2 AND is_held = 1 \
         ORDER BY number",
    )?;
    let texts = statement.query_map([channel, event], |row| row.get::<_, String>(0))?;
    let texts: Vec<String> = texts.collect::<rusqlite::Result<_>>()?;
    let mut notices: Vec<Notice> =
        texts.iter().filter_map(|text| serde_json::from_str(text).ok()).collect();
    let count = notices.len();
    let Some(newest) = notices.last().cloned() else { return Ok(()) };
    connection.execute(
        "DELETE FROM notices WHERE channel = ?1 AND event = ?2 AND is_held = 1",
        [channel, event],
    )?;
    if count == 1 {
        return add(connection, channel, &newest, now_ms);
    }
    notices.drain(..count.saturating_sub(DIGEST_MAX));
    let places: std::collections::BTreeSet<&str> =
        notices.iter().map(|notice| notice.repository.as_str()).collect();
    let digest = Notice {
        repository: if places.len() == 1 { newest.repository.clone() } else { String::new() },
        title: format!("{count} messages of {}", newest.event.as_str().replace('_', " ")),
        message: format!(
            "There were so many messages that {count} were held back; the newest are below."
        ),
        advice: None,
        schedule_id: None,
        job_kind: None,
        alert_id: None,
        job: serde_json::Value::Null,
        held_back: notices.clone(),
        ..newest
    };
    add(connection, channel, &digest, now_ms)
}
