//! Log records: snapshots, and what is said about them later (SPEC.md, section 12).

use super::record::{Bin, decode, encode, record};
use crate::error::{Error, Result};
use crate::model::{BackupId, BackupStrategy, ClientId, ObjectHash, PageId, SessionId};

/// What a log record says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
#[allow(missing_docs)]
pub enum LogKind {
    Snapshot = 1,
    Forget = 2,
    Undelete = 3,
    Pin = 4,
    Unpin = 5,
    Clear = 6,
    Quarantine = 7,
    Checkpoint = 8,
    Note = 9,
}

impl LogKind {
    /// The kind with this number; `None` if a newer version wrote it.
    pub fn from_number(number: u8) -> Option<Self> {
        Some(match number {
            1 => Self::Snapshot,
            2 => Self::Forget,
            3 => Self::Undelete,
            4 => Self::Pin,
            5 => Self::Unpin,
            6 => Self::Clear,
            7 => Self::Quarantine,
            8 => Self::Checkpoint,
            9 => Self::Note,
            _ => return None,
        })
    }
}

record! {
    /// The latest known record of another client.
    Head {
        /// The client.
        client_id: ClientId,
        /// Its record's number.
        seq: u64,
        /// Its record's object hash.
        record: ObjectHash,
    }
}

record! {
    /// The outer part of every log record.
    LogRecord, schema 1 {
        /// Number of the kind; unknown ones are kept in the chain and otherwise ignored.
        kind: u8,
        /// The record's id; a snapshot's id.
        record_id: BackupId,
        /// The session that wrote it.
        session_id: SessionId,
        /// Who wrote it.
        client_id: ClientId,
        /// 1, 2, 3, ... per client.
        client_seq: u64,
        /// Object hash of the client's record before; zero for the first.
        prev: ObjectHash,
        /// Latest known records of others.
        heads: Vec<Head>,
        /// When, milliseconds since 1970.
        time_ms: i64,
        /// On which host.
        host: String,
        /// By which user.
        user: String,
        /// With which program.
        tool: String,
        /// What it says, by kind.
        body: Bin,
    }
}

record! {
    /// What a parent was.
    ParentRecord {
        /// The parent's id.
        id: BackupId,
        /// The root page of its manifest.
        root: PageId,
    }
}

record! {
    /// One file that could not be read.
    SourceError {
        /// Its path, raw bytes.
        path: Bin,
        /// The reason.
        message: String,
    }
}

record! {
    /// Seconds and nanoseconds.
    Moment {
        /// Seconds since 1970.
        secs: i64,
        /// Nanoseconds after that.
        nanos: u32,
    }
}

record! {
    /// A snapshot.
    SnapshotBody, schema 1 {
        /// 1 full, 2 incremental, 3 differential.
        strategy: u8,
        /// The sources, absolute paths, sorted.
        roots: Vec<Bin>,
        /// Which series it belongs to.
        series: ObjectHash,
        /// Labels given by the user.
        tags: Vec<String>,
        /// A text given by the user.
        description: String,
        /// When the run started, milliseconds since 1970.
        start_ms: i64,
        /// When it ended.
        end_ms: i64,
        /// What changed at this moment or later may have changed after it was read.
        racy_since: Moment,
        /// The root page of the manifest.
        root: PageId,
        /// The level of the root page.
        depth: u8,
        /// Entries in the manifest.
        entries: u64,
        /// Regular files among them.
        files: u64,
        /// Folders among them.
        folders: u64,
        /// Bytes of the files.
        bytes: u64,
        /// Bytes of new chunks and pages before compression.
        added_bytes: u64,
        /// Bytes of the packs that this run added.
        added_stored: u64,
        /// Chunks and pages that this run added.
        added_chunks: u64,
        /// What it was compared with.
        parent: Option<ParentRecord>,
        /// The full snapshot below a differential one.
        base_full: Option<BackupId>,
        /// The patterns that left things out.
        excludes: Vec<String>,
        /// The first files that could not be read.
        errors: Vec<SourceError>,
        /// How many could not be read in all.
        error_count: u64,
        /// Whether something that was asked for is missing.
        partial: bool,
        /// The snapshot that it was made from: by rewrite, repair or copy.
        original: Option<BackupId>,
    }
}

/// Most source errors that a snapshot record keeps.
pub const ERRORS_KEPT: usize = 1000;

impl SnapshotBody {
    /// A full snapshot of nothing, whose run took no time.
    pub fn new(start_ms: i64) -> Self {
        Self {
            strategy: 1,
            roots: Vec::new(),
            series: ObjectHash([0; 32]),
            tags: Vec::new(),
            description: String::new(),
            start_ms,
            end_ms: start_ms,
            racy_since: Moment { secs: 0, nanos: 0 },
            root: PageId([0; 32]),
            depth: 0,
            entries: 0,
            files: 0,
            folders: 0,
            bytes: 0,
            added_bytes: 0,
            added_stored: 0,
            added_chunks: 0,
            parent: None,
            base_full: None,
            excludes: Vec::new(),
            errors: Vec::new(),
            error_count: 0,
            partial: false,
            original: None,
        }
    }

    /// Reads it.
    ///
    /// # Errors
    /// [`Error::Damaged`], naming the object.
    pub fn decode(bytes: &[u8], name: &str) -> Result<Self> {
        let body: Self = decode(bytes, name)?;
        if strategy_from_number(body.strategy).is_none() {
            return Err(Error::damaged(name, "its strategy is unknown"));
        }
        Ok(body)
    }
}

record! {
    /// Body of forget, undelete, pin, unpin, clear and quarantine.
    AboutBody, schema 1 {
        /// The snapshots it is about.
        snapshots: Vec<BackupId>,
        /// Why.
        reason: String,
        /// Object hashes of their records, in the same order, 32 bytes each: so that a record
        /// that was pruned is known to have gone with reason.
        records: Bin,
    }
}

record! {
    /// When storage first showed a record.
    FirstSeen {
        /// The record's object hash.
        record: ObjectHash,
        /// Storage's time, milliseconds since 1970.
        storage_ms: i64,
        /// Which of the covered clients wrote it: a place in `covers`.
        client: u64,
        /// Its number in the client's chain.
        seq: u64,
    }
}

record! {
    /// Body of a checkpoint.
    CheckpointBody, schema 1 {
        /// First sights.
        first_seen: Vec<FirstSeen>,
        /// Up to where each client's chain is covered.
        covers: Vec<Head>,
    }
}

record! {
    /// Body of a note.
    NoteBody, schema 1 {
        /// The text.
        text: String,
    }
}

/// The number of a strategy in a snapshot record.
pub fn strategy_number(strategy: BackupStrategy) -> u8 {
    match strategy {
        BackupStrategy::Full => 1,
        BackupStrategy::Incremental => 2,
        BackupStrategy::Differential => 3,
    }
}

/// The strategy with this number.
pub fn strategy_from_number(number: u8) -> Option<BackupStrategy> {
    match number {
        1 => Some(BackupStrategy::Full),
        2 => Some(BackupStrategy::Incremental),
        3 => Some(BackupStrategy::Differential),
        _ => None,
    }
}

/// Names the series of a host and its sources: hash of `[host, roots sorted]`.
pub fn series(host: &str, roots: &[Bin]) -> ObjectHash {
    let mut sorted: Vec<&Bin> = roots.iter().collect();
    sorted.sort();
    ObjectHash(*blake3::hash(&encode(&(host, sorted))).as_bytes())
}
