//! The journal of an in-place restore: what was there before, written down before it changes.
//!
//! ```text
//! record  = len u32 LE | first 8 bytes of BLAKE3(body) | body: MessagePack of [`Record`]
//! journal = record...  then zeros up to the length that was set aside
//! ```
//! The first record is the header. An action is taken only once its record is durable; so a record
//! that is torn, and all behind it, belongs to actions that were never taken. The space of the
//! journal is set aside before the first action: to undo things needs no room.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;

use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use super::described::Described;
use super::named::below;
use super::options::Steps;
use crate::fsmeta;
use crate::model::{BackupId, RepoId};

/// Version of the journal. Others are left alone.
pub(super) const VERSION: u32 = 1;
/// The name of the journal in the first staging folder.
pub(super) const NAME: &[u8] = b"journal";
/// The name of the copy of its header in the others: it leads to the journal, wherever the tree is.
pub(super) const COPY: &[u8] = b"primary";
/// No record is longer: attributes are 64 KiB each at most, but there may be several.
const RECORD_BYTES_MAX: u32 = 64 << 20;
const HEAD: u64 = 12;
/// No more records are made durable at once: two for each action of a batch, and some.
const TOGETHER_MAX: usize = 3 * BATCH;
/// Actions whose records are made durable together.
pub(super) const BATCH: usize = 256;

/// What a journal holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Record {
    Header(Header),
    /// From here on entries are exchanged.
    Begin,
    /// What an entry was like. Paths are relative to the target.
    Was {
        path: ByteBuf,
        identity: (u64, u64),
        described: Box<Described>,
    },
    /// An entry is set aside, under a number in the staging folder's `old`.
    Aside {
        path: ByteBuf,
        identity: (u64, u64),
        folder: u32,
        number: u64,
    },
    /// A staged entry gets its path.
    Put {
        path: ByteBuf,
        identity: (u64, u64),
        folder: u32,
        from: Option<ByteBuf>,
    },
    /// All is as in the snapshot, and durable.
    Committed,
}

/// What a journal is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Header {
    pub(super) version: u32,
    pub(super) id: String,
    pub(super) repository: RepoId,
    pub(super) snapshot: BackupId,
    /// The absolute path of the target.
    pub(super) target: ByteBuf,
    pub(super) folders: Vec<Folder>,
}

/// A staging folder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Folder {
    /// The folder that it is in, relative to the target.
    pub(super) top: ByteBuf,
    pub(super) name: String,
    /// What the folder above was like before.
    pub(super) above: Described,
    /// Device and inode number of the folder above.
    pub(super) identity: (u64, u64),
}

/// A journal that is being written.
pub(super) struct Journal {
    file: File,
    at: u64,
    buffer: Vec<u8>,
}

impl Journal {
    /// Makes a journal in the open folder `dir`, locked, with room for `room` bytes of records,
    /// and makes the header durable.
    ///
    /// # Errors
    /// What the system says.
    pub(super) fn create(dir: impl AsFd, header: &Header, room: u64) -> io::Result<Self> {
        let file = fsmeta::create_file_at(dir, NAME)?;
        if !fsmeta::try_lock(&file, false)? {
            return Err(io::Error::other("somebody else holds the journal"));
        }
        let mut journal = Self { file, at: 0, buffer: Vec::new() };
        journal.append(&Record::Header(header.clone()))?;
        let room = room + journal.buffer.len() as u64;
        match fsmeta::allocate(&journal.file, 0, room) {
            Err(error) if error.kind() == io::ErrorKind::Unsupported => {
                write_zeros(&journal.file, room)?;
            }
            result => result?,
        }
        journal.file.sync_all()?;
        journal.flush()?;
        Ok(journal)
    }

    /// Writes a copy of the header into the open folder `dir`. It is durable once the file system
    /// is.
    ///
    /// # Errors
    /// What the system says.
    pub(super) fn write_copy(dir: impl AsFd, header: &Header) -> io::Result<()> {
        let mut bytes = Vec::new();
        encode(&Record::Header(header.clone()), &mut bytes)?;
        fsmeta::create_file_at(dir, COPY)?.write_all_at(&bytes, 0)
    }

    /// Adds a record. It is nowhere before [`Journal::sync`].
    ///
    /// # Errors
    /// `InvalidData` for a record that cannot be kept.
    pub(super) fn append(&mut self, record: &Record) -> io::Result<()> {
        encode(record, &mut self.buffer)
    }

    /// Makes all records durable.
    ///
    /// # Errors
    /// What the system says.
    pub(super) fn sync(&mut self, steps: &Steps) -> io::Result<()> {
        steps.at("journal")?;
        self.flush()?;
        steps.at("journal written")
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        self.file.write_all_at(&self.buffer, self.at)?;
        self.file.sync_data()?;
        self.at += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        fsmeta::unlock(&self.file);
    }
}

impl Drop for Records {
    fn drop(&mut self) {
        fsmeta::unlock(&self.file);
    }
}

fn encode(record: &Record, bytes: &mut Vec<u8>) -> io::Result<()> {
    let body = rmp_serde::to_vec(record).map_err(invalid)?;
    let len = u32::try_from(body.len()).ok().filter(|len| *len <= RECORD_BYTES_MAX);
    let len = len.ok_or_else(|| invalid("a record of a journal is too long"))?;
    bytes.extend_from_slice(&len.to_le_bytes());
    bytes.extend_from_slice(&check(&body));
    bytes.extend_from_slice(&body);
    Ok(())
}

/// A journal that is read.
pub(super) struct Records {
    file: File,
    /// What its paths have in front of those in the tree where that is now.
    base: Vec<u8>,
    /// Where each record's body begins, and its length.
    bodies: Vec<(u64, u32)>,
    pub(super) header: Header,
    pub(super) has_begun: bool,
    pub(super) is_committed: bool,
    /// Records of actions that were taken are lost.
    pub(super) is_damaged: bool,
}

impl Records {
    /// Reads a journal up to its end, or to where it is torn. What is damaged in the middle is
    /// passed over: whether an action was taken is decided by looking, so all that can be read
    /// helps. `None` if not even the header is
    /// whole: then nothing was done.
    ///
    /// # Errors
    /// What the system says; `Unsupported` for a journal of another version.
    pub(super) fn read(file: File) -> io::Result<Option<Self>> {
        let len = file.metadata()?.len();
        let mut bodies = Vec::new();
        let mut header = None;
        let (mut has_begun, mut is_committed) = (false, false);
        let (mut at, mut behind_damage) = (0, None);
        loop {
            let Some((record, body)) = read_record(&file, at, len)? else {
                // Torn, or damaged: then there is more behind.
                match next_whole(&file, at, len)? {
                    Some(next) if header.is_some() => at = next,
                    _ => break,
                }
                behind_damage.get_or_insert(0);
                continue;
            };
            match (&record, &header) {
                (Record::Header(found), None) if found.version != VERSION => {
                    let text = format!("its journal has version {}", found.version);
                    return Err(io::Error::new(io::ErrorKind::Unsupported, text));
                }
                (Record::Header(found), None) => header = Some(found.clone()),
                (_, None) => return Ok(None),
                (Record::Begin, _) => has_begun = true,
                (Record::Committed, _) => is_committed = true,
                _ => {}
            }
            behind_damage = behind_damage.map(|count: usize| count + 1);
            at = body.0 + u64::from(body.1);
            bodies.push(body);
        }
        // Of records that were written together, those behind may have reached the disk alone.
        let is_damaged = behind_damage.is_some_and(|count| count > TOGETHER_MAX);
        // Nothing but this is written before all else is.
        has_begun |= bodies.len() > 1;
        let base = Vec::new();
        Ok(header.map(|header| Self {
            file,
            base,
            bodies,
            header,
            has_begun,
            is_committed,
            is_damaged,
        }))
    }

    /// Makes all paths relative to the folder `base` of the target.
    ///
    /// # Errors
    /// `InvalidData` if a staging folder is not in there.
    pub(super) fn rebase(&mut self, base: &[u8]) -> io::Result<()> {
        for folder in &mut self.header.folders {
            folder.top = ByteBuf::from(inner(base, &folder.top)?);
        }
        self.base = base.to_vec();
        Ok(())
    }

    /// How many records there are.
    pub(super) fn len(&self) -> usize {
        self.bodies.len()
    }

    /// A record by number.
    ///
    /// # Errors
    /// What the system says.
    pub(super) fn get(&self, number: usize) -> io::Result<Record> {
        let (at, len) = self.bodies[number];
        let mut body = vec![0; len as usize];
        self.file.read_exact_at(&mut body, at)?;
        let mut record = rmp_serde::from_slice(&body).map_err(invalid)?;
        if let Record::Put { path, from, .. } = &mut record {
            // Paths of what is staged are not changed by where the tree is.
            from.get_or_insert_with(|| path.clone());
        }
        match &mut record {
            Record::Was { path, .. } | Record::Aside { path, .. } | Record::Put { path, .. } => {
                *path = ByteBuf::from(inner(&self.base, path)?);
            }
            _ => {}
        }
        Ok(record)
    }
}

fn inner(base: &[u8], path: &[u8]) -> io::Result<Vec<u8>> {
    let inner = below(path, base).map(<[u8]>::to_vec);
    inner.ok_or_else(|| invalid("the journal tells of more than is here"))
}

/// The record at `at`, and where its body is; `None` at the end.
fn read_record(file: &File, at: u64, len: u64) -> io::Result<Option<(Record, (u64, u32))>> {
    let start = at.saturating_add(HEAD);
    if start > len {
        return Ok(None);
    }
    let mut head = [0; HEAD as usize];
    file.read_exact_at(&mut head, at)?;
    let (body_len, hash) = head.split_at(4);
    let body_len = body_len.try_into().map_or(0, u32::from_le_bytes);
    let is_whole = start.saturating_add(u64::from(body_len)) <= len;
    if body_len == 0 || body_len > RECORD_BYTES_MAX || !is_whole {
        return Ok(None);
    }
    let mut body = vec![0; body_len as usize];
    file.read_exact_at(&mut body, start)?;
    if check(&body) != *hash {
        return Ok(None);
    }
    Ok(rmp_serde::from_slice(&body).ok().map(|record| (record, (start, body_len))))
}

/// Where the next whole record behind `at` begins.
fn next_whole(file: &File, at: u64, len: u64) -> io::Result<Option<u64>> {
    /// How the bodies of records begin: whatever else is there need not be looked at.
    const STARTS: [&[u8]; 5] =
        [b"\x81\xa3Was", b"\x81\xa5Aside", b"\x81\xa3Put", b"\xa5Begin", b"\xa9Committed"];
    const WINDOW: usize = 1 << 20;
    const START_MAX: usize = 16;
    let mut window = vec![0; WINDOW + START_MAX];
    let mut from = at + 1 + HEAD;
    while from < len {
        let step = (len - from).min(window.len() as u64) as usize;
        file.read_exact_at(&mut window[..step], from)?;
        for start in 0..step.min(WINDOW) {
            if !matches!(window[start], 0x81 | 0xa5 | 0xa9) {
                continue;
            }
            if STARTS.iter().any(|known| window[start..step].starts_with(known)) {
                let at = from + start as u64 - HEAD;
                if read_record(file, at, len)?.is_some() {
                    return Ok(Some(at));
                }
            }
        }
        from += WINDOW as u64;
    }
    Ok(None)
}

fn check(body: &[u8]) -> [u8; 8] {
    let mut check = [0; 8];
    check.copy_from_slice(&blake3::hash(body).as_bytes()[..8]);
    check
}

fn write_zeros(file: &File, len: u64) -> io::Result<()> {
    let zeros = vec![0; 64 << 10];
    let mut at = 0;
    while at < len {
        let step = (len - at).min(zeros.len() as u64);
        file.write_all_at(&zeros[..step as usize], at)?;
        at += step;
    }
    Ok(())
}

fn invalid(what: impl ToString) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.to_string())
}

#[cfg(test)]
mod tests;
