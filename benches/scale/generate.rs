//! Makes a repository whose index and manifest describe any number of chunks and files, without
//! their data: data packs are sparse files of the right length.
//!
//! Everything is written in order, so memory does not grow with the numbers.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use larder::error::{Error, Result};
use larder::format::header::ObjectType;
use larder::format::index::{DeltaPack, IndexRecord, RunPack, RunSegment};
use larder::format::log::{Moment, SnapshotBody, series};
use larder::format::pack::{Directory, SegmentRecord};
use larder::format::record::Bin;
use larder::model::{
    BackupId, ChunkId, Content, Entry, EpochId, FileKind, ObjectHash, Owner, Piece, Time,
};
use larder::repository::{NewSnapshot, Repository, WriterOptions};
use larder::runtime::Runtime;
use larder::tree::ManifestWriter;

use super::numbers::{self, Numbers, PACK_CHUNKS, PACK_SEGMENTS, SEGMENT_CHUNKS};

/// What to make.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    /// Chunks in the index.
    pub(crate) chunks: u64,
    /// Files in the manifest, which name each chunk once.
    pub(crate) files: u64,
    /// Runs that the index consists of.
    pub(crate) runs: u64,
    /// Data packs that are named by deltas instead, 64 in each.
    pub(crate) delta_packs: u64,
}

/// Packs named by one delta.
const DELTA_PACKS: usize = 64;
/// Files in one folder.
const FOLDER_FILES: u64 = 100;
/// Folders in the folder of one user.
const USER_FOLDERS: u64 = 1000;
const CODEC_ZSTD: u8 = 1;

/// Fills an empty repository. `folder` is where its objects are; without it there are no data
/// packs.
pub(crate) fn generate(
    repository: &Repository,
    folder: Option<&Path>,
    shape: Shape,
    runtime: &Runtime,
) -> Result<Numbers> {
    let numbers = Numbers::new(shape.chunks);
    let (session, _) = repository.begin_session("generate", "scale", runtime)?;
    if let Some(folder) = folder {
        (0..numbers.packs()).try_for_each(|pack| make_sparse(folder, &numbers, pack))?;
    }
    let in_runs = numbers.packs().saturating_sub(shape.delta_packs);
    let epoch = repository.data_epoch();
    for run in 0..shape.runs {
        let first = in_runs * run / shape.runs;
        let end = in_runs * (run + 1) / shape.runs;
        write_run(repository, &numbers, first..end, epoch)?;
    }
    let rest: Vec<u64> = (in_runs..numbers.packs()).collect();
    for packs in rest.chunks(DELTA_PACKS) {
        let packs = packs.iter().map(|pack| delta_pack(&numbers, *pack, epoch));
        repository.name_packs(packs.collect())?;
    }
    let writer = repository.pack_writer(&WriterOptions::default(), runtime);
    let mut manifest = ManifestWriter::new(repository, &writer);
    each_entry(&numbers, shape.files, &mut |entry| manifest.push(entry))?;
    let root = manifest.finish()?;
    let added = writer.finish()?;
    let roots = vec![Bin(b"/home".to_vec())];
    let now_ms = runtime.clock.now_ms();
    let body = SnapshotBody {
        series: series("scale", &roots),
        roots,
        description: "generated".into(),
        racy_since: Moment { secs: now_ms.div_euclid(1000), nanos: 0 },
        root: root.root,
        depth: root.depth,
        entries: root.entries,
        files: root.files,
        folders: root.folders,
        bytes: root.bytes,
        added_bytes: added.plain_bytes,
        added_stored: added.stored_bytes,
        added_chunks: added.chunks,
        ..SnapshotBody::new(now_ms)
    };
    let id = BackupId(runtime.random.bytes());
    let new = NewSnapshot { id, host: "scale".into(), user: "scale".into(), body };
    let list = repository.snapshots()?;
    repository.commit_snapshot(new, &session, &list, runtime)?;
    session.end()?;
    Ok(numbers)
}

fn pack_hash(pack: u64) -> ObjectHash {
    ObjectHash(numbers::mixed(pack, 4))
}

fn make_sparse(folder: &Path, numbers: &Numbers, pack: u64) -> Result<()> {
    let hash = pack_hash(pack);
    let folder = folder.join("data").join(format!("{:02x}", hash.0[0]));
    let path = folder.join(hash.to_string());
    std::fs::create_dir_all(&folder)
        .and_then(|()| File::create_new(&path))
        .and_then(|file| file.set_len(numbers.pack_len(pack)))
        .map_err(|error| Error::local("create", path, error))
}

fn write_run(
    repository: &Repository,
    numbers: &Numbers,
    packs: std::ops::Range<u64>,
    epoch: EpochId,
) -> Result<()> {
    let places = packs.start * PACK_CHUNKS..(packs.end * PACK_CHUNKS).min(numbers.chunks);
    let mut run = repository.run_writer(places.end.saturating_sub(places.start), &[]);
    for pack in packs.clone() {
        let mut offset = 64;
        let segments = (0..PACK_SEGMENTS)
            .filter(|segment| !numbers.places(pack, *segment).is_empty())
            .map(|segment| {
                let (plain_len, sealed_len) = numbers.segment_lens(pack, segment);
                let start = offset;
                offset += u64::from(sealed_len);
                let codec = CODEC_ZSTD;
                RunSegment { offset: start, sealed_len, plain_len, codec, epoch_no: 0 }
            })
            .collect();
        run.pack(RunPack {
            pack: pack_hash(pack),
            len: numbers.pack_len(pack),
            pack_type: ObjectType::DataPack as u8,
            epochs: vec![epoch],
            segments,
        })?;
    }
    for rank in 0..numbers.chunks {
        let place = numbers.place(rank);
        if places.contains(&place) {
            run.record(IndexRecord {
                id: numbers.id(rank),
                pack_no: (place / PACK_CHUNKS - packs.start) as u32,
                segment_no: (place % PACK_CHUNKS / SEGMENT_CHUNKS) as u32,
                offset: Numbers::offset(place),
                len: Numbers::len(place),
            })?;
        }
    }
    run.finish()
}

fn delta_pack(numbers: &Numbers, pack: u64, epoch: EpochId) -> DeltaPack {
    let mut directory = Directory {
        pack_type: ObjectType::DataPack as u8,
        epochs: vec![epoch],
        segments: Vec::new(),
        ids: Bin(Vec::new()),
        lengths: Vec::new(),
        pad_len: 0,
    };
    for segment in 0..PACK_SEGMENTS {
        let places = numbers.places(pack, segment);
        if places.is_empty() {
            break;
        }
        let (plain_len, sealed_len) = numbers.segment_lens(pack, segment);
        directory.segments.push(SegmentRecord {
            sealed_len,
            plain_len,
            codec: CODEC_ZSTD,
            epoch_no: 0,
            chunk_count: (places.end - places.start) as u32,
        });
        for place in places {
            directory.ids.0.extend_from_slice(&numbers.id(numbers.rank(place)));
            directory.lengths.push(Numbers::len(place));
        }
    }
    DeltaPack { pack: pack_hash(pack), len: numbers.pack_len(pack), directory }
}

/// Calls `push` with every entry in order: users, their folders, 100 files in each.
fn each_entry(
    numbers: &Numbers,
    files: u64,
    push: &mut dyn FnMut(Entry) -> Result<()>,
) -> Result<()> {
    let owner = Arc::new(Owner { uid: 1000, gid: 1000, user: b"me".into(), group: b"me".into() });
    let entry = |path: String, number: u64| Entry {
        mode: 0o755,
        owner: Arc::clone(&owner),
        mtime: time(number),
        ctime: time(number),
        inode: number,
        ..Entry::new(path.into_bytes(), FileKind::Dir)
    };
    push(entry("home".into(), 0))?;
    for file in 0..files {
        let (folder, number) = (file / FOLDER_FILES, file % FOLDER_FILES);
        let user = folder / USER_FOLDERS;
        if number == 0 {
            if folder % USER_FOLDERS == 0 {
                push(entry(format!("home/user{user:04}"), folder << 32))?;
            }
            push(entry(format!("home/user{user:04}/project{folder:07}"), folder << 32 | 1))?;
        }
        let first = u128::from(numbers.chunks) * u128::from(file) / u128::from(files);
        let end = u128::from(numbers.chunks) * u128::from(file + 1) / u128::from(files);
        let pieces: Vec<Piece> = (first as u64..end as u64)
            .map(|place| {
                Piece::Chunk(ChunkId(numbers.id(numbers.rank(place))), Numbers::len(place))
            })
            .collect();
        assert!(pieces.len() <= 256, "a file of so many chunks needs a list");
        let path = format!("home/user{user:04}/project{folder:07}/file{number:02}.data");
        push(Entry {
            kind: FileKind::File,
            mode: 0o644,
            size: pieces.iter().map(Piece::len).sum(),
            content: if pieces.is_empty() { Content::None } else { Content::Pieces(pieces) },
            ..entry(path, file << 8)
        })?;
    }
    Ok(())
}

fn time(number: u64) -> Time {
    let random = numbers::mix(number);
    Time { secs: 1_600_000_000 + (random % 100_000_000) as i64, nanos: (random >> 40) as u32 }
}
