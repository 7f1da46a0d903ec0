//! The file and its chain of hashes.

use std::collections::VecDeque;
use std::fs::{self, File, TryLockError};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Arc;

use jiff::Timestamp;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::runtime::Clock;

/// The name of the file in the state folder.
const NAME: &str = "audit.jsonl";
/// The daemon holds a lock on this file there: there is one daemon for each state folder.
const LOCK_NAME: &str = "daemon.lock";
/// No line is longer, bytes.
const LINE_LEN_MAX: usize = 16 << 10;
/// The longest text of a field, bytes.
const TEXT_LEN_MAX: usize = 2 << 10;
/// What the first line has as the hash of the one before.
const BEGIN: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// Something that was asked of the daemon.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditEntry {
    /// 1 for the first.
    pub number: u64,
    /// When.
    pub time: Timestamp,
    /// The user or token; none if nobody was let in.
    pub who: Option<String>,
    /// The address that it came from.
    pub from: String,
    /// What: `POST /api/v1/schedules`, `daemon started`.
    pub what: String,
    /// The status of the answer; 0 for what was no request.
    pub status: u16,
    /// More about it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub detail: String,
    /// The hash of the line before.
    pub before: String,
}

/// The end of the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AuditHead {
    /// The number of the newest entry; 0 if there is none.
    pub number: u64,
    /// The hash of its line.
    pub hash: String,
}

/// What [`verify`] found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AuditReport {
    /// The end of what could be verified.
    pub head: AuditHead,
    /// What is wrong with the first line that is, and its number in the file.
    pub wrong: Option<(u64, String)>,
}

/// The log of a daemon, and of commands that change who may use it. Clones share the file; other
/// processes may write to it at the same time.
#[derive(Clone)]
pub struct Audit(Arc<Shared>);

struct Shared {
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
}

struct State {
    file: Option<File>,
    head: AuditHead,
    /// The length of the file with that end: if it has another one, somebody else wrote to it.
    len: u64,
    /// Held as long as the daemon runs.
    _daemon: Option<File>,
}

impl Audit {
    /// Goes on with the log in `folder`, for the one daemon of it; without one, nothing is written
    /// down. A last line that was not written wholly, because the power failed, is left and the
    /// next one says so.
    ///
    /// # Errors
    /// [`Error::Busy`] if there is another daemon; [`Error::Local`] if the file cannot be opened.
    pub fn open(folder: Option<&Path>, clock: Arc<dyn Clock>) -> Result<Self> {
        let Some(folder) = folder else {
            let head = AuditHead { number: 0, hash: BEGIN.into() };
            let state = State { file: None, head, len: 0, _daemon: None };
            return Ok(Self(Arc::new(Shared { clock, state: Mutex::new(state) })));
        };
        let daemon = opened(folder, LOCK_NAME)?;
        match daemon.try_lock() {
            Ok(()) => Self::with(folder, clock, Some(daemon)),
            Err(TryLockError::WouldBlock) => {
                let path = folder.join(LOCK_NAME);
                let what =
                    format!("another daemon of this user runs already (`{}`)", path.display());
                Err(Error::Busy { what })
            }
            Err(TryLockError::Error(error)) => {
                Err(Error::local("lock", folder.join(LOCK_NAME), error))
            }
        }
    }

    /// Goes on with the log in `folder`, whether or not there is a daemon: for commands.
    ///
    /// # Errors
    /// [`Error::Local`] if the file cannot be opened.
    pub fn beside(folder: &Path, clock: Arc<dyn Clock>) -> Result<Self> {
        Self::with(folder, clock, None)
    }

    fn with(folder: &Path, clock: Arc<dyn Clock>, daemon: Option<File>) -> Result<Self> {
        let failed = |error| Error::local("open", folder.join(NAME), error);
        let file = opened(folder, NAME)?;
        let head = AuditHead { number: 0, hash: BEGIN.into() };
        let mut state = State { file: Some(file), head, len: 0, _daemon: daemon };
        state.locked(State::catch_up).map_err(failed)?;
        Ok(Self(Arc::new(Shared { clock, state: Mutex::new(state) })))
    }

    /// Writes something down. What cannot be written is in the daemon's log only.
    pub fn record(&self, who: Option<&str>, from: &str, what: &str, status: u16, detail: &str) {
        let mut state = self.0.state.lock();
        let written = state.locked(|state| {
            state.catch_up()?;
            self.add(state, (who, from), what, status, detail)
        });
        if let Err(error) = written {
            tracing::error!(?who, from, what, status, detail, "not in the audit log: {error}");
        }
    }

    fn add(
        &self,
        state: &mut State,
        (who, from): (Option<&str>, &str),
        what: &str,
        status: u16,
        detail: &str,
    ) -> io::Result<()> {
        let time = Timestamp::from_millisecond(self.0.clock.now_ms()).unwrap_or(Timestamp::MAX);
        let entry = AuditEntry {
            number: state.head.number + 1,
            time,
            who: who.map(shortened),
            from: shortened(from),
            what: shortened(what),
            status,
            detail: shortened(detail),
            before: state.head.hash.clone(),
        };
        let mut line = serde_json::to_vec(&entry).expect("plain data");
        let hash = hash_of(&line);
        line.push(b'\n');
        if let Some(file) = &mut state.file {
            file.write_all(&line)?;
        }
        state.head = AuditHead { number: entry.number, hash };
        state.len += line.len() as u64;
        Ok(())
    }

    /// The end of the log.
    pub fn head(&self) -> AuditHead {
        self.0.state.lock().head.clone()
    }
}

impl State {
    /// Does something while no other process writes.
    fn locked(&mut self, work: impl FnOnce(&mut Self) -> io::Result<()>) -> io::Result<()> {
        self.file.as_ref().map_or(Ok(()), File::lock)?;
        let done = work(self);
        self.file.as_ref().map_or(Ok(()), File::unlock)?;
        done
    }

    /// Goes on after what others wrote, and after half a line.
    fn catch_up(&mut self) -> io::Result<()> {
        let Some(file) = &mut self.file else { return Ok(()) };
        let len = file.metadata()?.len();
        if len == self.len {
            return Ok(());
        }
        let (head, is_cut) = last(file)?;
        if is_cut {
            file.write_all(b"\n")?;
        }
        (self.head, self.len) = (head, len + u64::from(is_cut));
        Ok(())
    }
}

/// A file of the state folder that only its owner reads; made if it is missing.
fn opened(folder: &Path, name: &str) -> Result<File> {
    let path = folder.join(name);
    let failed = |error| Error::local("open", &path, error);
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(failed)?;
    let mut options = File::options();
    options.read(true).append(true).create(true).mode(0o600).open(&path).map_err(failed)
}

/// The newest entries of the log in `folder`, newest first: `count` of those before the number
/// `before`.
///
/// # Errors
/// [`Error::Local`] if there is none, or if it cannot be read.
pub fn newest(folder: &Path, count: usize, before: Option<u64>) -> Result<Vec<AuditEntry>> {
    let path = folder.join(NAME);
    let failed = |error| Error::local("read", &path, error);
    let mut kept = VecDeque::new();
    for line in lines(File::open(&path).map_err(failed)?) {
        let Ok(entry) = serde_json::from_slice::<AuditEntry>(&line.map_err(failed)?) else {
            continue;
        };
        if before.is_some_and(|before| entry.number >= before) {
            break;
        }
        kept.push_back(entry);
        if kept.len() > count {
            kept.pop_front();
        }
    }
    Ok(kept.into_iter().rev().collect())
}

/// Reads the log in `folder` from its beginning and compares all hashes. `expected` is a head
/// that was seen before: it has to be in the log.
///
/// # Errors
/// [`Error::Local`] if there is none, or if it cannot be read.
pub fn verify(folder: &Path, expected: Option<&AuditHead>) -> Result<AuditReport> {
    let path = folder.join(NAME);
    let failed = |error| Error::local("read", &path, error);
    let mut head = AuditHead { number: 0, hash: BEGIN.into() };
    let mut is_met = expected.is_none_or(|expected| *expected == head);
    let mut number_in_file = 0;
    for line in lines(File::open(&path).map_err(failed)?) {
        let line = line.map_err(failed)?;
        number_in_file += 1;
        let wrong = |what: &str| Some((number_in_file, what.to_owned()));
        let entry = match serde_json::from_slice::<AuditEntry>(&line) {
            Ok(entry) => entry,
            // Half a line stays where the power failed; the one after it follows the one before.
            Err(error) if error.is_eof() && line.len() < LINE_LEN_MAX => continue,
            Err(_) => return Ok(AuditReport { head, wrong: wrong("it is no entry") }),
        };
        if entry.number != head.number + 1 {
            let what = format!("it has number {}, not {}", entry.number, head.number + 1);
            return Ok(AuditReport { head, wrong: wrong(&what) });
        }
        if entry.before != head.hash {
            let wrong = wrong("it does not follow from the line before, or that was changed");
            return Ok(AuditReport { head, wrong });
        }
        head = AuditHead { number: entry.number, hash: hash_of(&line) };
        is_met |= expected == Some(&head);
    }
    let missing =
        "the entry that was named is not there: the end was cut off, or all was rewritten";
    let wrong = (!is_met).then(|| (number_in_file, missing.to_owned()));
    Ok(AuditReport { head, wrong })
}

fn hash_of(line: &[u8]) -> String {
    let mut hasher = blake3::Hasher::new_derive_key("larder v1 audit line");
    hasher.update(line).finalize().to_hex().to_string()
}

fn shortened(text: &str) -> String {
    text[..text.floor_char_boundary(TEXT_LEN_MAX)].to_owned()
}

/// The end of the log, and whether its last line has no end.
fn last(file: &mut File) -> std::io::Result<(AuditHead, bool)> {
    let len = file.seek(SeekFrom::End(0))?;
    let from = len.saturating_sub(4 * LINE_LEN_MAX as u64);
    file.seek(SeekFrom::Start(from))?;
    let mut tail = Vec::new();
    Read::by_ref(file).take(len - from).read_to_end(&mut tail)?;
    let is_cut = !tail.is_empty() && tail.last() != Some(&b'\n');
    for line in tail.split(|byte| *byte == b'\n').rev() {
        if let Ok(entry) = serde_json::from_slice::<AuditEntry>(line) {
            return Ok((AuditHead { number: entry.number, hash: hash_of(line) }, is_cut));
        }
    }
    Ok((AuditHead { number: 0, hash: BEGIN.into() }, is_cut))
}

/// The lines of the file; one that is far too long comes in pieces, which are no entries.
fn lines(file: File) -> impl Iterator<Item = std::io::Result<Vec<u8>>> {
    let mut reader = BufReader::new(file);
    std::iter::from_fn(move || {
        let mut line = Vec::new();
        match reader.by_ref().take(LINE_LEN_MAX as u64).read_until(b'\n', &mut line) {
            Ok(0) => None,
            Ok(_) => {
                if line.last() == Some(&b'\n') {
                    line.pop();
                }
                Some(Ok(line))
            }
            Err(error) => Some(Err(error)),
        }
    })
}

#[cfg(test)]
mod tests;
