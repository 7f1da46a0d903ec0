//! The connection, opened when it is first needed.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;
use rusqlite::Connection;

use super::setup::{self, Trouble};
use crate::error::{Error, Result};
use crate::runtime::Clock;

/// The database of what this machine remembers, one file for all repositories.
///
/// Nothing happens on disk before it is used. Any number of threads and processes may use it at
/// once; threads of one manager take turns.
pub struct Database {
    folder: Option<PathBuf>,
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    connection: Option<Connection>,
    /// Whether the connection is to the file, and not to memory.
    is_file: bool,
    warnings: Vec<String>,
}

impl Database {
    /// The database in `folder`; in memory without one. `clock` dates a file that is set aside.
    pub fn new(folder: Option<PathBuf>, clock: Arc<dyn Clock>) -> Self {
        Self { folder, clock, state: Mutex::default() }
    }

    /// Does something with the connection: queries, or one statement that writes. Several that
    /// belong together are for [`Database::transaction`].
    ///
    /// `work` is done again if the file turns out to be damaged and is made anew. It must not call
    /// the database itself.
    ///
    /// # Errors
    /// [`Error::Local`], naming the file, with what SQLite says.
    pub fn with<T>(&self, work: impl Fn(&Connection) -> rusqlite::Result<T>) -> Result<T> {
        let mut state = self.state.lock();
        let connection = self.opened(&mut state)?;
        let done = work(connection);
        let done = match done {
            Err(error) if setup::is_damage(&error) && state.is_file => {
                self.replace(&mut state, &error.to_string());
                work(self.opened(&mut state)?)
            }
            done => done,
        };
        done.map_err(|error| self.failed(error))
    }

    /// As [`Database::with`], in one transaction that holds the right to write from its start.
    ///
    /// # Errors
    /// As [`Database::with`]; nothing is changed then.
    pub fn transaction<T>(&self, work: impl Fn(&Connection) -> rusqlite::Result<T>) -> Result<T> {
        self.with(|connection| {
            connection.execute_batch("BEGIN IMMEDIATE")?;
            let done = work(connection).and_then(|value| {
                connection.execute_batch("COMMIT")?;
                Ok(value)
            });
            if done.is_err() && !connection.is_autocommit() {
                // What made it fail is what counts.
                let _ = connection.execute_batch("ROLLBACK");
            }
            done
        })
    }

    /// What did not go as it should since it was asked last: a file that was set aside, or that is
    /// done without. For people.
    pub fn take_warnings(&self) -> Vec<String> {
        std::mem::take(&mut self.state.lock().warnings)
    }

    /// Adds to what [`Database::take_warnings`] returns.
    pub(crate) fn warn(&self, warning: String) {
        self.state.lock().warn(warning);
    }

    /// Whether what is stored outlives this process.
    ///
    /// # Errors
    /// As [`Database::with`].
    pub fn is_lasting(&self) -> Result<bool> {
        let mut state = self.state.lock();
        self.opened(&mut state)?;
        Ok(state.is_file)
    }

    /// Where the file is; `None` if it was to be in memory.
    pub fn path(&self) -> Option<PathBuf> {
        self.folder.as_deref().map(setup::path_in)
    }

    fn opened<'s>(&self, state: &'s mut State) -> Result<&'s Connection> {
        if state.connection.is_none() {
            self.open(state)?;
        }
        Ok(state.connection.as_ref().expect("opened above"))
    }

    fn open(&self, state: &mut State) -> Result<()> {
        if let Some(folder) = &self.folder {
            match setup::open(folder) {
                Ok(connection) => {
                    (state.connection, state.is_file) = (Some(connection), true);
                    return Ok(());
                }
                Err(Trouble::Damaged(what)) => {
                    self.replace(state, &what);
                    if state.connection.is_some() {
                        return Ok(());
                    }
                }
                Err(Trouble::Unusable(what)) => state.done_without(folder, &what),
            }
        }
        (state.connection, state.is_file) = (Some(setup::open_in_memory()?), false);
        Ok(())
    }

    /// Sets a damaged file aside and opens a new one. Afterwards there is either a connection to
    /// it, or a warning and none.
    fn replace(&self, state: &mut State, what: &str) {
        (state.connection, state.is_file) = (None, false);
        let Some(folder) = &self.folder else { return };
        match setup::set_aside(folder, self.clock.now_ms()) {
            Ok(None) => {}
            Ok(Some(aside)) => state.warn(format!(
                "the history of runs was damaged ({what}) and starts anew; the old file is now \
                 `{}`. Backups are not affected",
                aside.display()
            )),
            Err(error) => return state.done_without(folder, &error.in_full()),
        }
        match setup::open(folder) {
            Ok(connection) => (state.connection, state.is_file) = (Some(connection), true),
            Err(Trouble::Damaged(what) | Trouble::Unusable(what)) => {
                state.done_without(folder, &what);
            }
        }
        if state.connection.is_none() {
            state.connection = setup::open_in_memory().ok();
        }
    }

    fn failed(&self, error: rusqlite::Error) -> Error {
        let path = self.path().unwrap_or_else(|| Path::new("history in memory").into());
        Error::local("use", path, std::io::Error::other(error))
    }
}

impl State {
    fn done_without(&mut self, folder: &Path, what: &str) {
        // Without the folder, a backup may end where it wants to remember something else.
        let backups = if folder.is_dir() { ". Backups are not affected" } else { "" };
        self.warn(format!(
            "`{}` cannot be used ({what}): failed runs are not remembered, and schedules cannot be \
             changed{backups}",
            setup::path_in(folder).display()
        ));
    }

    fn warn(&mut self, warning: String) {
        tracing::warn!("{warning}");
        // What nobody takes does not grow.
        if !self.warnings.contains(&warning) {
            self.warnings.push(warning);
        }
    }
}
