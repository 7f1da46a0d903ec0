//! Browsers that are logged in.
//!
//! They are in memory, so that no request waits for the database, and in the database, so that a
//! restart logs nobody out.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use rusqlite::params;
use zeroize::Zeroizing;

use super::access::Known;
use crate::error::Result;
use crate::manager::history::Database;
use crate::runtime::Random;

/// A session that nobody used for so long has ended, milliseconds.
const IDLE_MAX_MS: i64 = 12 * 3_600_000;
/// The longest session, milliseconds.
pub(super) const AGE_MAX_MS: i64 = 7 * 24 * 3_600_000;
/// It is written down that a session is in use when that was so long ago, milliseconds.
const SEEN_EVERY_MS: i64 = 600_000;
/// Sessions of one user; the one not used for longest goes.
const PER_USER: usize = 50;

type Hash = [u8; 32];

#[derive(Clone, Debug, PartialEq, Eq)]
struct Session {
    user: String,
    /// When the password was set that it began with.
    password_ms: i64,
    made_ms: i64,
    seen_ms: i64,
    /// As the database has it.
    written_ms: i64,
}

impl Session {
    /// Clocks that are set back end no session, and make none longer.
    fn is_over(&self, now_ms: i64) -> bool {
        now_ms.saturating_sub(self.made_ms) > AGE_MAX_MS
            || now_ms.saturating_sub(self.seen_ms) > IDLE_MAX_MS
    }
}

/// All sessions.
pub(super) struct Sessions {
    database: Arc<Database>,
    live: Mutex<HashMap<Hash, Session>>,
}

/// A session that was asked for.
pub(super) struct Found {
    /// Whose it is.
    pub(super) user: String,
    /// Whether the database is to hear of it ([`Sessions::write_seen`]).
    pub(super) is_news: bool,
}

impl Sessions {
    /// Those of before. Without a database that can be read there are none.
    pub(super) fn load(database: Arc<Database>, now_ms: i64) -> Self {
        let rows = database.with(|connection| {
            let sql = "SELECT hash, user, password_ms, made_ms, seen_ms FROM sessions";
            let mut statement = connection.prepare(sql)?;
            let rows = statement.query_map([], |row| {
                let (hash, seen_ms): (String, i64) = (row.get(0)?, row.get(4)?);
                let session = Session {
                    user: row.get(1)?,
                    password_ms: row.get(2)?,
                    made_ms: row.get(3)?,
                    seen_ms,
                    written_ms: seen_ms,
                };
                Ok((hash, session))
            })?;
            rows.collect::<rusqlite::Result<Vec<_>>>()
        });
        let rows = rows.unwrap_or_else(|error| {
            tracing::warn!("everybody has to log in again: {}", error.in_full());
            Vec::new()
        });
        let live = rows
            .into_iter()
            .filter(|(_, session)| !session.is_over(now_ms))
            .filter_map(|(hash, session)| {
                Some((*blake3::Hash::from_hex(hash).ok()?.as_bytes(), session))
            })
            .collect();
        let sessions = Self { database, live: Mutex::new(live) };
        sessions.warn_if(sessions.clean(now_ms));
        sessions
    }

    /// Begins one, and returns what the cookie holds. Waits for the database.
    pub(super) fn begin(
        &self,
        user: &str,
        password_ms: i64,
        random: &Random,
        now_ms: i64,
    ) -> Zeroizing<String> {
        let secret = Zeroizing::new(blake3::Hash::from_bytes(random.bytes()).to_hex().to_string());
        let user = user.to_owned();
        let session =
            Session { user, password_ms, made_ms: now_ms, seen_ms: now_ms, written_ms: now_ms };
        let hash = hash_of(&secret);
        self.warn_if(self.write(&hash, &session));
        let mut gone = self.make_room(&session.user, now_ms);
        self.live.lock().insert(hash, session);
        gone.retain(|other| *other != hash);
        self.warn_if(self.forget(&gone));
        secret
    }

    /// Takes out of memory what is over, and what is too much for one more of this user.
    fn make_room(&self, user: &str, now_ms: i64) -> Vec<Hash> {
        let mut live = self.live.lock();
        let is_over = |(hash, other): (&Hash, &Session)| other.is_over(now_ms).then_some(*hash);
        let mut gone: Vec<Hash> = live.iter().filter_map(is_over).collect();
        let is_own = |(hash, other): (&Hash, &Session)| {
            (other.user == user && !other.is_over(now_ms)).then_some((other.seen_ms, *hash))
        };
        let mut own: Vec<(i64, Hash)> = live.iter().filter_map(is_own).collect();
        own.sort_unstable();
        let too_many = (own.len() + 1).saturating_sub(PER_USER);
        gone.extend(own.into_iter().take(too_many).map(|(_, hash)| hash));
        gone.iter().for_each(|hash| _ = live.remove(hash));
        gone
    }

    /// The session of a cookie, if it goes on: the user is there and has the same password.
    pub(super) fn find(&self, cookie: &str, known: &Known, now_ms: i64) -> Option<Found> {
        let mut live = self.live.lock();
        let session = live.get_mut(&hash_of(cookie))?;
        let user = known.user(&session.user)?;
        let is_same = user.changed.as_millisecond() == session.password_ms;
        if !is_same || session.is_over(now_ms) {
            return None;
        }
        session.seen_ms = session.seen_ms.max(now_ms);
        let is_news = session.seen_ms.saturating_sub(session.written_ms) > SEEN_EVERY_MS;
        if is_news {
            session.written_ms = session.seen_ms;
        }
        Some(Found { user: session.user.clone(), is_news })
    }

    /// Writes down that a session is in use. Waits for the database.
    pub(super) fn write_seen(&self, cookie: &str) {
        let hash = hash_of(cookie);
        let session = self.live.lock().get(&hash).cloned();
        if let Some(session) = session {
            self.warn_if(self.write(&hash, &session));
        }
    }

    /// Ends the session of a cookie. Waits for the database.
    pub(super) fn end(&self, cookie: &str) {
        let hash = hash_of(cookie);
        self.live.lock().remove(&hash);
        self.warn_if(self.forget(&[hash]));
    }

    fn forget(&self, sessions: &[Hash]) -> Result<()> {
        if sessions.is_empty() {
            return Ok(());
        }
        self.database.transaction(|connection| {
            let mut statement = connection.prepare("DELETE FROM sessions WHERE hash = ?1")?;
            sessions.iter().try_for_each(|hash| statement.execute([text_of(hash)]).map(|_| ()))
        })
    }

    fn write(&self, hash: &Hash, session: &Session) -> Result<()> {
        let hash = text_of(hash);
        self.database.with(|connection| {
            connection
                .execute(
                    "INSERT OR REPLACE INTO sessions (hash, user, password_ms, made_ms, seen_ms) \
                     VALUES (?1, ?2, ?3, ?4, ?5)",
                    params![
                        hash,
                        session.user,
                        session.password_ms,
                        session.made_ms,
                        session.seen_ms
                    ],
                )
                .map(|_| ())
        })
    }

    fn clean(&self, now_ms: i64) -> Result<()> {
        self.database.with(|connection| {
            let oldest = [now_ms.saturating_sub(AGE_MAX_MS), now_ms.saturating_sub(IDLE_MAX_MS)];
            let sql = "DELETE FROM sessions WHERE made_ms < ?1 OR seen_ms < ?2";
            connection.execute(sql, oldest).map(|_| ())
        })
    }

    /// What cannot be written down holds as long as the process.
    fn warn_if(&self, written: Result<()>) {
        if let Err(error) = written {
            tracing::warn!("a login is not remembered: {}", error.in_full());
        }
    }
}

fn hash_of(cookie: &str) -> Hash {
    *blake3::hash(cookie.as_bytes()).as_bytes()
}

fn text_of(hash: &Hash) -> String {
    blake3::Hash::from_bytes(*hash).to_hex().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::SystemClock;

    /// What is taken out of memory is not there again after a restart.
    #[test]
    fn sessions_of_one_user_are_bounded_in_the_file_too() {
        let database = Arc::new(Database::new(None, Arc::new(SystemClock)));
        let sessions = Sessions::load(Arc::clone(&database), 0);
        let random = Random::os();
        for number in 0..i64::try_from(PER_USER).unwrap() + 9 {
            sessions.begin("ann", 1, &random, number);
        }
        sessions.begin("bob", 1, &random, 1_000);
        let again = Sessions::load(Arc::clone(&database), 1_000);
        for sessions in [&sessions, &again] {
            let live = sessions.live.lock();
            assert_eq!(live.len(), PER_USER + 1);
            assert!(live.values().all(|one| one.seen_ms >= 9), "the oldest went");
        }
        // Those that are over go as well.
        sessions.begin("bob", 1, &random, IDLE_MAX_MS + 500);
        let stored: i64 = database
            .with(|connection| {
                connection.query_row("SELECT COUNT(*) FROM sessions", [], |row| row.get(0))
            })
            .unwrap();
        assert_eq!(stored, 2);
    }
}
