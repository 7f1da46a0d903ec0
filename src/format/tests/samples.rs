//! One value of every record, the same as in `fixtures/vectors/format.py`.

use std::fmt::Debug;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::crypto::Secret;
use crate::error::Result;
use crate::format::config::{self, ChunkerRecord, ClassRecord, Config};
use crate::format::debt::DebtRecord;
use crate::format::gc::{DamageList, Fence, Lease, Mark};
use crate::format::index::{
    Delta, DeltaPack, DropList, PackTable, RunBlock, RunDirectory, RunPack, RunSegment,
};
use crate::format::key_slot::{KdfRecord, KeySlot, Rewrap, SlotKind};
use crate::format::keyring::{EpochRecord, Keyring, SecretBytes};
use crate::format::log::{
    AboutBody, CheckpointBody, FirstSeen, Head, LogKind, LogRecord, Moment, NoteBody, ParentRecord,
    SnapshotBody, SourceError,
};
use crate::format::pack::{self, Directory};
use crate::format::record::{Bin, decode, encode};
use crate::format::repo::RepoRecord;
use crate::format::session::{Session, SessionEnd};
use crate::model::{BackupId, ClientId, EpochId, ObjectHash, PageId, RepoId, SessionId, SlotId};

/// Decodes bytes, and encodes what came out.
pub(super) type Again = Box<dyn Fn(&[u8]) -> Result<Vec<u8>>>;

/// A value as bytes, and how its bytes are read.
pub(super) struct Sample {
    /// `file::Name` of the record, and a word if there are several of it.
    pub(super) name: String,
    pub(super) encoded: Vec<u8>,
    pub(super) again: Again,
}

const NOW: i64 = 1_790_000_000_000;

pub(super) fn sample<T>(name: &str, value: T) -> Sample
where
    T: Serialize + DeserializeOwned + PartialEq + Debug + 'static,
{
    checked(name, value, decode::<T>)
}

/// For records whose decoder checks more than their shape.
fn checked<T>(name: &str, value: T, decode: fn(&[u8], &str) -> Result<T>) -> Sample
where
    T: Serialize + PartialEq + Debug + 'static,
{
    let encoded = encode(&value);
    assert_eq!(decode(&encoded, name).expect("decodes"), value, "{name}");
    let again = move |bytes: &[u8]| decode(bytes, "sample").map(|value| encode(&value));
    Sample { name: name.into(), encoded, again: Box::new(again) }
}

pub(super) fn other(
    name: &str,
    encoded: Vec<u8>,
    again: impl Fn(&[u8]) -> Result<Vec<u8>> + 'static,
) -> Sample {
    Sample { name: name.into(), encoded, again: Box::new(again) }
}

pub(super) fn counting(len: u8) -> Bin {
    Bin((0..len).collect())
}

fn hash(byte: u8) -> ObjectHash {
    ObjectHash([byte; 32])
}

fn hashes(bytes: &[u8]) -> Bin {
    Bin(bytes.iter().flat_map(|byte| [*byte; 32]).collect())
}

pub(super) fn bin(bytes: &[u8]) -> Bin {
    Bin(bytes.to_vec())
}

/// Every sample.
pub(super) fn samples() -> Vec<Sample> {
    let mut all = keys();
    all.extend(configuration());
    all.extend(packs_and_index());
    all.extend(super::pages::pages());
    all.extend(log());
    all.extend(control());
    all
}

fn keys() -> Vec<Sample> {
    let repo = RepoRecord {
        magic: "larder repository".into(),
        format_version: 1,
        draft: 2,
        repo_id: RepoId([1; 32]),
        created_ms: NOW,
        reader_min: 1,
        suite: 1,
    };
    let kdf = KdfRecord { memory_kib: 65_536, passes: 3, lanes: 4, salt: hash(2) };
    let rewrap = Rewrap { ephemeral: hash(3), sealed: counting(104), vouch: hash(4) };
    let slot = KeySlot {
        repo_id: RepoId([1; 32]),
        slot_id: SlotId([5; 16]),
        kind: SlotKind::Password,
        created_ms: NOW,
        label: "Läptop".into(),
        kdf: Some(kdf.clone()),
        public_key: hash(6),
        secret: counting(136),
        rewraps: vec![rewrap.clone()],
        mac: hash(7),
    };
    let key_file = KeySlot {
        kind: SlotKind::KeyFile,
        label: String::new(),
        kdf: None,
        rewraps: Vec::new(),
        ..slot.clone()
    };
    let secret = |byte| SecretBytes(Secret::new([byte; 32]));
    let epochs = [
        EpochRecord { epoch: EpochId([8; 8]), master: secret(9), created_ms: -1 },
        EpochRecord { epoch: EpochId([10; 8]), master: secret(11), created_ms: NOW },
    ];
    let keyring = Keyring {
        repo_id: RepoId([1; 32]),
        suite: 1,
        generation: 3,
        constant: secret(12),
        epochs: epochs.to_vec(),
        current: EpochId([10; 8]),
        rekeying: false,
    };
    let unfinished =
        Keyring { generation: 4, current: EpochId([8; 8]), rekeying: true, ..keyring.clone() };
    let [epoch, _] = epochs;
    vec![
        checked("repo::RepoRecord", repo, RepoRecord::decode),
        sample("key_slot::KdfRecord", kdf),
        sample("key_slot::Rewrap", rewrap),
        checked("key_slot::KeySlot", slot, KeySlot::decode),
        checked("key_slot::KeySlot key file", key_file, KeySlot::decode),
        sample("keyring::EpochRecord", epoch),
        checked("keyring::Keyring", keyring, Keyring::decode),
        checked("keyring::Keyring unfinished", unfinished, Keyring::decode),
    ]
}

fn configuration() -> Vec<Sample> {
    let class = |below, (min, avg, max), (mask_s, mask_l)| ClassRecord {
        below,
        min,
        avg,
        max,
        mask_s,
        mask_l,
    };
    let classes = vec![
        class(1 << 20, (4096, 8192, 65_536), (0x7ff8 << 48, 0x7fe0 << 48)),
        class(u64::MAX, (524_288, 1_048_576, 4_194_304), (0x7fff << 48, 0x7ffe << 48)),
    ];
    let chunker = ChunkerRecord { chunker: 1, slice_len: 256 << 20, hole_align: 65_536, classes };
    let config = Config {
        repo_id: RepoId([1; 32]),
        generation: 2,
        created_ms: NOW,
        features_read: Vec::new(),
        features_write: vec!["parity".into()],
        features_info: vec!["note".into()],
        chunker: chunker.clone(),
        segments: config::SegmentRecord::standard(),
        pages: config::PageRecord::standard(),
        pack_target: 16 << 20,
        places: Vec::new(),
        mirror_policy: 0,
    };
    let place = |role, name: &str, location: &str| config::PlaceRecord {
        role,
        name: name.into(),
        location: location.into(),
    };
    let places = vec![place(1, "attic", "/mnt/größe"), place(2, "cold", "s3://bucket/data")];
    let with_places = Config { places: places.clone(), mirror_policy: 2, ..config.clone() };
    vec![
        sample("config::ClassRecord", chunker.classes[0].clone()),
        sample("config::ChunkerRecord", chunker),
        sample("config::SegmentRecord", config::SegmentRecord::standard()),
        sample("config::PageRecord", config::PageRecord::standard()),
        sample("config::PlaceRecord", places[0].clone()),
        checked("config::Config", config, Config::decode),
        checked("config::Config places", with_places, Config::decode),
    ]
}

fn packs_and_index() -> Vec<Sample> {
    let segment = |sealed_len, plain_len, codec, epoch_no, chunk_count| pack::SegmentRecord {
        sealed_len,
        plain_len,
        codec,
        epoch_no,
        chunk_count,
    };
    let directory = Directory {
        pack_type: 3,
        epochs: vec![EpochId([8; 8]), EpochId([10; 8])],
        segments: vec![segment(1072, 3000, 1, 0, 2), segment(572, 500, 0, 1, 1)],
        ids: hashes(&[0x31, 0x32, 0x33]),
        lengths: vec![1000, 2000, 500],
        pad_len: 100,
    };
    let delta_pack = DeltaPack { pack: hash(0x34), len: 3000, directory: directory.clone() };
    let blocks = [
        RunBlock { first: hash(0x31), sealed_len: 48 * 1024 + 72, records: 1024 },
        RunBlock { first: hash(0x91), sealed_len: 120, records: 1 },
    ];
    let run_segment =
        RunSegment { offset: 64, sealed_len: 1072, plain_len: 3000, codec: 1, epoch_no: 0 };
    let run_pack = RunPack {
        pack: hash(0x34),
        len: 3000,
        pack_type: 3,
        epochs: vec![EpochId([8; 8])],
        segments: vec![run_segment.clone()],
    };
    let table =
        PackTable { run_id: BackupId([0x35; 16]), first: 4096, packs: vec![run_pack.clone()] };
    let run = RunDirectory {
        run_id: BackupId([0x35; 16]),
        shard: 1,
        shards: 2,
        supersedes: hashes(&[0x36, 0x37]),
        records: 1025,
        blocks: blocks.to_vec(),
        tables: hashes(&[0x38]),
    };
    let drops =
        DropList { gc_id: BackupId([0x39; 16]), time_ms: NOW, packs: hashes(&[0x34, 0x3a]) };
    vec![
        sample("pack::SegmentRecord", directory.segments[0].clone()),
        checked("pack::Directory", directory, Directory::decode),
        sample("index::DeltaPack", delta_pack.clone()),
        checked("index::Delta", Delta { packs: vec![delta_pack] }, Delta::decode),
        sample("index::RunBlock", blocks[0].clone()),
        sample("index::RunSegment", run_segment),
        sample("index::RunPack", run_pack),
        checked("index::PackTable", table, PackTable::decode),
        checked("index::RunDirectory", run, RunDirectory::decode),
        sample("index::DropList", drops),
    ]
}

fn log() -> Vec<Sample> {
    let head = Head { client_id: ClientId([0x41; 16]), seq: 7, record: hash(0x42) };
    let parent = ParentRecord { id: BackupId([0x43; 16]), root: PageId([0x44; 32]) };
    let error = SourceError { path: bin(b"/home/\xff"), message: "could not read: Größe".into() };
    let moment = Moment { secs: 1_789_999_998, nanos: 250_000_000 };
    let body = SnapshotBody {
        strategy: 3,
        roots: vec![bin(b"/etc"), bin(b"/home/\xff")],
        series: hash(0x45),
        tags: vec!["daily".into(), "täglich".into()],
        description: "before the move".into(),
        start_ms: NOW,
        end_ms: NOW + 5000,
        racy_since: moment.clone(),
        root: PageId([0x46; 32]),
        depth: 2,
        entries: 300_000,
        files: 250_000,
        folders: 40_000,
        bytes: 1 << 40,
        added_bytes: 123_456_789,
        added_stored: 23_456_789,
        added_chunks: 4321,
        parent: Some(parent.clone()),
        base_full: Some(BackupId([0x43; 16])),
        excludes: vec!["*.tmp".into()],
        errors: vec![error.clone()],
        error_count: 1001,
        partial: true,
        original: Some(BackupId([0x4a; 16])),
    };
    let first = SnapshotBody {
        strategy: 1,
        parent: None,
        base_full: None,
        excludes: Vec::new(),
        errors: Vec::new(),
        error_count: 0,
        partial: false,
        original: None,
        ..body.clone()
    };
    let about = AboutBody {
        snapshots: vec![BackupId([0x47; 16]), BackupId([0x48; 16])],
        reason: "not needed".into(),
        records: hashes(&[0x4b, 0x4c]),
    };
    let first_seen = FirstSeen { record: hash(0x49), storage_ms: NOW - 1, client: 0, seq: 299 };
    let checkpoint =
        CheckpointBody { first_seen: vec![first_seen.clone()], covers: vec![head.clone()] };
    let note = NoteBody { text: "a note".into() };
    let record = |kind, name: &str, body: Vec<u8>| {
        let record = LogRecord {
            kind: kind as u8,
            record_id: BackupId([0x50; 16]),
            session_id: SessionId([0x51; 16]),
            client_id: ClientId([0x52; 16]),
            client_seq: 300,
            prev: hash(0x53),
            heads: vec![head.clone()],
            time_ms: NOW,
            host: "höst".into(),
            user: "user".into(),
            tool: "larder 0.1.0".into(),
            body: Bin(body),
        };
        sample(&format!("log::LogRecord {name}"), record)
    };
    vec![
        record(LogKind::Snapshot, "snapshot", encode(&body)),
        record(LogKind::Forget, "forget", encode(&about)),
        record(LogKind::Undelete, "undelete", encode(&about)),
        record(LogKind::Pin, "pin", encode(&about)),
        record(LogKind::Unpin, "unpin", encode(&about)),
        record(LogKind::Clear, "clear", encode(&about)),
        record(LogKind::Quarantine, "quarantine", encode(&about)),
        record(LogKind::Checkpoint, "checkpoint", encode(&checkpoint)),
        record(LogKind::Note, "note", encode(&note)),
        sample("log::Head", head.clone()),
        sample("log::ParentRecord", parent),
        sample("log::SourceError", error),
        sample("log::Moment", moment),
        checked("log::SnapshotBody", body, SnapshotBody::decode),
        checked("log::SnapshotBody first", first, SnapshotBody::decode),
        sample("log::AboutBody", about),
        sample("log::FirstSeen", first_seen),
        sample("log::CheckpointBody", checkpoint),
        sample("log::NoteBody", note),
    ]
}

fn control() -> Vec<Sample> {
    let session = Session {
        session_id: SessionId([0x51; 16]),
        client_id: ClientId([0x52; 16]),
        number: 2,
        host: "höst".into(),
        process_id: 4242,
        started_ms: NOW,
        now_ms: NOW + 1_200_000,
        purpose: "snapshot".into(),
    };
    let end = SessionEnd { session_id: SessionId([0x51; 16]), now_ms: NOW, outcome: 1 };
    let mark = Mark {
        gc_id: BackupId([0x39; 16]),
        time_ms: NOW,
        packs: hashes(&[0x34, 0x3a]),
        records: hashes(&[0x42]),
    };
    let fence =
        Fence { gc_id: BackupId([0x39; 16]), session_id: SessionId([0x51; 16]), time_ms: NOW };
    let lease = Lease {
        gc_id: BackupId([0x39; 16]),
        number: 3,
        host: "höst".into(),
        process_id: 4242,
        started_ms: NOW,
        now_ms: NOW + 600_000,
        purpose: "prune".into(),
    };
    vec![
        sample("gc::Lease", lease),
        checked(
            "debt::DebtRecord",
            DebtRecord {
                time_ms: NOW,
                mirror: "attic".into(),
                why: "it was away".into(),
                snapshot: Some(BackupId([0x43; 16])),
                deletes: vec![format!("data/3a/{}", ObjectHash([0x3a; 32]))],
            },
            DebtRecord::decode,
        ),
        sample("gc::DamageList", DamageList { time_ms: NOW, packs: hashes(&[0x3a, 0x3b]) }),
        sample("session::Session", session),
        sample("session::SessionEnd", end),
        sample("gc::Mark", mark),
        sample("gc::Fence", fence),
    ]
}
