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
use super::options::Steps;
use crate::fsmeta;
use crate::model::{BackupId, RepoId};

/// Version of the journal. Others are left alone.
pub(super) const VERSION: u32 = 1;
/// The name of the journal in the first staging folder.
pub(super) const NAME: &[u8] = b"journal";
/// No record is longer: attributes are 64 KiB each at most, but there may be several.
const RECORD_BYTES_MAX: u32 = 64 << 20;
const HEAD: u64 = 12;

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

    /// Adds a record. It is nowhere before [`Journal::sync`].
    ///
    /// # Errors
    /// `InvalidData` for a record that cannot be kept.
    pub(super) fn append(&mut self, record: &Record) -> io::Result<()> {
        let body = rmp_serde::to_vec(record).map_err(invalid)?;
        let len = u32::try_from(body.len()).ok().filter(|len| *len <= RECORD_BYTES_MAX);
        let len = len.ok_or_else(|| invalid("a record of a journal is too long"))?;
        self.buffer.extend_from_slice(&len.to_le_bytes());
        self.buffer.extend_from_slice(&check(&body));
        self.buffer.extend_from_slice(&body);
        Ok(())
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

/// A journal that is read.
pub(super) struct Records {
    file: File,
    /// Where each record's body begins, and its length.
    bodies: Vec<(u64, u32)>,
    pub(super) header: Header,
    pub(super) has_begun: bool,
    pub(super) is_committed: bool,
}

impl Records {
    /// Reads a journal up to its end, or to where it is torn. `None` if not even the header is
    /// whole: then nothing was done.
    ///
    /// # Errors
    /// What the system says; `Unsupported` for a journal of another version.
    pub(super) fn read(file: File) -> io::Result<Option<Self>> {
        let len = file.metadata()?.len();
        let mut bodies = Vec::new();
        let mut header = None;
        let (mut has_begun, mut is_committed) = (false, false);
        let mut at = 0;
        while let Some((record, body)) = read_record(&file, at, len)? {
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
            at = body.0 + u64::from(body.1);
            bodies.push(body);
        }
        Ok(header.map(|header| Self { file, bodies, header, has_begun, is_committed }))
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
        rmp_serde::from_slice(&body).map_err(invalid)
    }
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
mod tests {
    use super::*;

    fn header() -> Header {
        Header {
            version: VERSION,
            id: "00".into(),
            repository: RepoId([1; 32]),
            snapshot: BackupId([2; 16]),
            target: ByteBuf::from(*b"/"),
            folders: Vec::new(),
        }
    }

    fn some_records() -> Vec<Record> {
        let path = ByteBuf::from(*b"a/\xff");
        let (identity, folder) = ((1, 2), 0);
        vec![
            Record::Begin,
            Record::Aside { path: path.clone(), identity, folder, number: 7 },
            Record::Put { path, identity, folder, from: None },
            Record::Committed,
        ]
    }

    fn written(records: &[Record]) -> (tempfile::TempDir, std::path::PathBuf) {
        let folder = tempfile::tempdir().expect("a folder");
        let dir = File::open(folder.path()).expect("opens");
        let mut journal = Journal::create(&dir, &header(), 1 << 16).expect("makes");
        records.iter().for_each(|record| journal.append(record).expect("appends"));
        journal.sync(&Steps::default()).expect("writes");
        let path = folder.path().join("journal");
        assert!(path.metadata().expect("is there").len() >= 1 << 16, "space is set aside");
        (folder, path)
    }

    fn read(path: &std::path::Path) -> Option<Records> {
        Records::read(File::open(path).expect("opens")).expect("reads")
    }

    #[test]
    fn what_was_written_comes_back() {
        let (_folder, path) = written(&some_records());
        let records = read(&path).expect("a journal");
        assert_eq!(records.header, header());
        assert!(records.has_begun && records.is_committed);
        let all: Vec<Record> =
            (0..records.len()).map(|at| records.get(at).expect("reads")).collect();
        assert_eq!(all[1..], some_records());
    }

    /// Cut off, zeroed or spoiled at every byte: what is before that is read, nothing else, and
    /// never a commit that was not written wholly.
    #[test]
    fn torn_tails_end_a_journal() {
        let (folder, path) = written(&some_records());
        let whole = std::fs::read(&path).expect("reads");
        let records = read(&path).expect("a journal");
        let ends: Vec<u64> = records.bodies.iter().map(|(at, len)| at + u64::from(*len)).collect();
        let last = *ends.last().expect("records");
        let torn = folder.path().join("torn");
        for at in 0..last as usize {
            let before = ends.iter().filter(|end| **end <= at as u64).count();
            let mut zeroed = whole.clone();
            zeroed[at..].fill(0);
            let mut spoiled = whole.clone();
            spoiled[at] ^= 0x5a;
            for bytes in [&whole[..at], &zeroed[..], &spoiled[..]] {
                std::fs::write(&torn, bytes).expect("writes");
                let found = read(&torn);
                assert_eq!(found.as_ref().map_or(0, Records::len), before, "torn at {at}");
                assert!(found.is_none_or(|found| !found.is_committed), "torn at {at}");
            }
        }
    }

    #[test]
    fn other_versions_are_left_alone() {
        let folder = tempfile::tempdir().expect("a folder");
        let dir = File::open(folder.path()).expect("opens");
        let other = Header { version: VERSION + 1, ..header() };
        drop(Journal::create(&dir, &other, 10).expect("makes"));
        let file = File::open(folder.path().join("journal")).expect("opens");
        assert_eq!(Records::read(file).err().map(|e| e.kind()), Some(io::ErrorKind::Unsupported));
    }
}
