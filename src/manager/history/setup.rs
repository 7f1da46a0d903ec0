//! From a folder to an open connection with all tables.
//!
//! Nothing here opens and closes the database file but SQLite: its locks belong to the process,
//! and closing any other handle of the file would let go of them.

use std::fs::{self, File, TryLockError};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::migrations::STEPS;
use crate::error::{Error, Result};

/// The name of the file in the state folder.
const NAME: &str = "history.sqlite";

/// How long one waits for another process that writes.
const BUSY_WAIT: Duration = Duration::from_secs(5);

/// How often one looks whether the lock is free.
const LOCK_POLL: Duration = Duration::from_millis(10);

/// Pages in the write-ahead log after which they are moved into the file.
const CHECKPOINT_PAGES: u32 = 200;

/// Why a file cannot be used.
pub(super) enum Trouble {
    /// It is no database, or a damaged one: set aside, it can be made anew.
    Damaged(String),
    /// Anything else: it is done without.
    Unusable(String),
}

impl From<rusqlite::Error> for Trouble {
    fn from(error: rusqlite::Error) -> Self {
        let text = error.to_string();
        if is_damage(&error) { Self::Damaged(text) } else { Self::Unusable(text) }
    }
}

/// Whether an error says that the file is damaged.
pub(super) fn is_damage(error: &rusqlite::Error) -> bool {
    let code = error.sqlite_error_code();
    matches!(code, Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase))
}

/// Where the file is.
pub(super) fn path_in(folder: &Path) -> PathBuf {
    folder.join(NAME)
}

/// Opens the file of a folder, and makes what is missing.
pub(super) fn open(folder: &Path) -> Result<Connection, Trouble> {
    let unusable = |error: Error| Trouble::Unusable(error.in_full());
    make_folder(folder).map_err(unusable)?;
    let path = path_in(folder);
    make_file(&path).map_err(unusable)?;
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(&path, flags)?;
    connection.busy_timeout(BUSY_WAIT)?;
    // A run ends without waiting for the disk: the log stays, and is read when it is opened next.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    connection.pragma_update(None, "wal_autocheckpoint", CHECKPOINT_PAGES)?;
    if version(&connection)? != STEPS.len() {
        let _lock = lock(folder).map_err(unusable)?;
        let _mode: String =
            connection.pragma_update_and_check(None, "journal_mode", "wal", |row| row.get(0))?;
        migrate(&connection)?;
    }
    // After a power failure the last runs may be missing, never more.
    connection.pragma_update(None, "synchronous", "normal")?;
    if connection.is_readonly("main")? {
        return Err(Trouble::Unusable("it can only be read".into()));
    }
    Ok(connection)
}

/// A database in memory, with all tables.
pub(super) fn open_in_memory() -> Result<Connection> {
    let made = Connection::open_in_memory().and_then(|connection| {
        STEPS.iter().try_for_each(|step| connection.execute_batch(step))?;
        Ok(connection)
    });
    made.map_err(|error| Error::Internal { what: format!("no database in memory: {error}") })
}

/// Renames a damaged file, and what SQLite keeps beside it. Returns its new name, or `None` if
/// somebody else did that meanwhile.
pub(super) fn set_aside(folder: &Path, now_ms: i64) -> Result<Option<PathBuf>> {
    let _lock = lock(folder)?;
    let path = path_in(folder);
    if !path.exists() {
        return Ok(None);
    }
    match is_whole(folder) {
        Ok(true) => return Ok(None),
        Ok(false) => {}
        Err(error) if is_damage(&error) => {}
        // It may be whole, and in use.
        Err(error) => return Err(Error::local("check", path, std::io::Error::other(error))),
    }
    let seconds = now_ms.div_euclid(1000);
    let aside = (0..)
        .map(|number| match number {
            0 => folder.join(format!("{NAME}.damaged-{seconds}")),
            _ => folder.join(format!("{NAME}.damaged-{seconds}-{number}")),
        })
        .find(|aside| !aside.exists())
        .expect("some number is free");
    fs::rename(&path, &aside).map_err(|e| Error::local("rename", &path, e))?;
    for suffix in ["-wal", "-shm"] {
        let beside = PathBuf::from(format!("{}{suffix}", path.display()));
        // Left behind, the log would be taken for that of the new file.
        let moved = fs::rename(&beside, format!("{}{suffix}", aside.display()));
        match moved {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                return Err(Error::local("rename", beside, e));
            }
            _ => {}
        }
    }
    Ok(Some(aside))
}

/// Opens the file without making anything, and reads all of it: for whoever holds the lock.
fn is_whole(folder: &Path) -> rusqlite::Result<bool> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path_in(folder), flags)?;
    connection.busy_timeout(BUSY_WAIT)?;
    let says: String = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
    Ok(says == "ok")
}

fn version(connection: &Connection) -> rusqlite::Result<usize> {
    let version: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    Ok(usize::try_from(version).unwrap_or(usize::MAX))
}

fn migrate(connection: &Connection) -> Result<(), Trouble> {
    connection.execute_batch("BEGIN IMMEDIATE")?;
    let migrated = migrate_in_transaction(connection);
    connection.execute_batch(if migrated.is_ok() { "COMMIT" } else { "ROLLBACK" })?;
    migrated
}

fn migrate_in_transaction(connection: &Connection) -> Result<(), Trouble> {
    // Somebody else may have been faster.
    let Some(steps) = STEPS.get(version(connection)?..) else {
        return Err(Trouble::Unusable("it was made by a newer version of larder".into()));
    };
    for step in steps {
        connection.execute_batch(step)?;
    }
    connection.pragma_update(None, "user_version", STEPS.len() as i64)?;
    Ok(())
}

fn make_folder(folder: &Path) -> Result<()> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .map_err(|e| Error::local("create", folder, e))
}

/// Makes an empty file that only its owner can read; SQLite gives its own the same mode.
fn make_file(path: &Path) -> Result<()> {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    if path.exists() {
        return Ok(());
    }
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let new = path.with_extension(format!("{}-{number}.new", std::process::id()));
    let failed = |e| Error::local("create", path, e);
    File::options().write(true).create_new(true).mode(0o600).open(&new).map_err(failed)?;
    let linked = fs::hard_link(&new, path);
    fs::remove_file(&new).map_err(failed)?;
    match linked {
        Err(e) if e.kind() != std::io::ErrorKind::AlreadyExists => Err(failed(e)),
        _ => Ok(()),
    }
}

/// Held while the file is made, changed in its tables, or set aside.
fn lock(folder: &Path) -> Result<File> {
    let path = folder.join("history.lock");
    let open = File::options().create(true).truncate(false).write(true).mode(0o600).open(&path);
    let file = open.map_err(|e| Error::local("create", &path, e))?;
    let until = Instant::now() + BUSY_WAIT;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            // Whoever holds it may have been stopped, and is not waited for for ever.
            Err(TryLockError::WouldBlock) if Instant::now() < until => {
                std::thread::sleep(LOCK_POLL);
            }
            Err(error) => return Err(Error::local("lock", &path, error)),
        }
    }
}
