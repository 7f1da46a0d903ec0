//! The engine's parts and the whole: sealing, index look-ups, manifest pages, backup and restore.
//! Inputs come from a fixed seed: nothing to download, nothing but temporary folders is written.
//! Compare a change: run once with `-- --save-baseline before`, once with `-- --baseline before`.

use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use larder::archive::{BackupOptions, backup};
use larder::crypto::{Class, ClassKey, SealKind, Secret, Suite, Unit, open_in_place, seal};
use larder::format::page::{decode_leaf, encode_leaf};
use larder::model::{ChunkId, Content, Entry, EpochId, FileKind, Owner, Piece, RepoId, Time};
use larder::repository::{
    InitOptions, KdfCost, OpenOptions, Password, Repository, SegmentUse, Unlock, WriterOptions,
};
use larder::restore::{RestoreOptions, restore};
use larder::runtime::{Random, Runtime};
use larder::source::SourcePath;
use larder::storage::MemoryStorage;

fn runtime() -> Runtime {
    Runtime { random: Random::seeded(1), ..Runtime::default() }
}

fn repository() -> Repository {
    let options = InitOptions { kdf: KdfCost::CheapForTests, ..InitOptions::default() };
    let unlock = Unlock::Password(Password::new("bench"));
    let storage = Arc::new(MemoryStorage::new());
    Repository::init(storage, &[unlock], &options, &OpenOptions::default(), &runtime())
        .expect("a repository in memory")
}

/// Sealing and opening one segment, in bytes of plaintext per second.
fn sealing(c: &mut Criterion) {
    let mut group = c.benchmark_group("seal");
    let master = Secret::new([7; 32]);
    let random = Random::os();
    for suite in [Suite::Aes256, Suite::None] {
        let (repo, epoch) = (RepoId([1; 32]), EpochId([2; 8]));
        let key = ClassKey::derive(Class::Data, &master, repo, epoch, suite);
        let unit = Unit::movable(SealKind::Segment);
        let plain = vec![3; 1 << 20];
        group.throughput(Throughput::Bytes(plain.len() as u64));
        group.bench_function(format!("{suite:?}/seal 1 MiB"), |b| {
            b.iter(|| seal(&key, unit, &random, black_box(&plain)));
        });
        let sealed = seal(&key, unit, &random, &plain);
        group.bench_function(format!("{suite:?}/open 1 MiB"), |b| {
            b.iter_batched_ref(
                || sealed.clone(),
                |sealed| open_in_place(&key, unit, sealed).is_some(),
                BatchSize::LargeInput,
            );
        });
    }
    group.finish();
}

/// Look-ups in an index of 300,000 records, each call one look-up.
fn index(c: &mut Criterion) {
    let repository = repository();
    let writer = repository.pack_writer(&WriterOptions::default(), &runtime());
    let mut segments = writer.segment_writer(SegmentUse::Files);
    let ids: Vec<ChunkId> = (0..300_000_u32)
        .map(|number| {
            let chunk = number.to_le_bytes();
            let id = repository.constants().chunk_id(&chunk);
            segments.push(&id.0, &chunk).expect("stores");
            id
        })
        .collect();
    segments.flush().expect("stores");
    drop(segments);
    writer.finish().expect("stores");
    let absent: Vec<ChunkId> = (0..4096_u32)
        .map(|n| repository.constants().chunk_id(&[n.to_le_bytes(), [9; 4]].concat()))
        .collect();

    let mut group = c.benchmark_group("index");
    group.throughput(Throughput::Elements(4096));
    let step = ids.len() / 4096;
    group.bench_function("4,096 known", |b| {
        b.iter(|| {
            ids.iter().step_by(step).filter(|id| repository.index().find(&id.0).is_some()).count()
        });
    });
    group.bench_function("4,096 unknown", |b| {
        b.iter(|| absent.iter().filter(|id| repository.index().find(&id.0).is_some()).count());
    });
    group.finish();
}

fn entries(count: u32) -> Vec<Entry> {
    let owner = Arc::new(Owner { uid: 1000, gid: 1000, user: b"me".into(), group: b"me".into() });
    let time = |n: u32| Time { secs: 1_700_000_000 + i64::from(n), nanos: n * 1000 };
    (0..count)
        .map(|n| Entry {
            mode: 0o644,
            owner: Arc::clone(&owner),
            mtime: time(n),
            ctime: time(n + 1),
            inode: u64::from(n) * 3,
            size: 5000,
            content: Content::Pieces(vec![Piece::Chunk(ChunkId([n as u8; 32]), 5000)]),
            ..Entry::new(
                format!("home/me/project/source/file-{n:06}.rs").into_bytes(),
                FileKind::File,
            )
        })
        .collect()
}

/// Encoding and decoding one manifest page of 64 entries, in entries per second.
fn pages(c: &mut Criterion) {
    let mut group = c.benchmark_group("manifest page");
    let entries = entries(64);
    let bytes = encode_leaf(&entries);
    group.throughput(Throughput::Elements(64));
    group.bench_function("encode", |b| b.iter(|| encode_leaf(black_box(&entries))));
    group.bench_function("decode", |b| b.iter(|| decode_leaf(black_box(&bytes), "page")));
    group.finish();
}

/// Makes 2,000 files of 100 bytes to 60 KB that compress about 3:1.
fn corpus(folder: &Path) -> u64 {
    let random = Random::seeded(5);
    let mut total = 0;
    for number in 0..2000_u32 {
        let folder = folder.join(format!("{:02}", number % 40));
        std::fs::create_dir_all(&folder).expect("makes a folder");
        let len = 100 + (random.next_u64() % 60_000) as usize;
        let mut bytes = Vec::with_capacity(len + 16);
        while bytes.len() < len {
            let word = random.next_u64() % 4096;
            bytes.extend_from_slice(format!("word{word} ").as_bytes());
        }
        total += bytes.len() as u64;
        std::fs::write(folder.join(format!("file-{number}")), bytes).expect("writes a file");
    }
    total
}

/// A whole backup into memory, in bytes of source per second: first, and with nothing changed.
fn whole(c: &mut Criterion) {
    let source = tempfile::tempdir().expect("a folder");
    let bytes = corpus(source.path());
    let options = BackupOptions {
        sources: vec![SourcePath::new(source.path()).expect("a path")],
        ..BackupOptions::default()
    };
    let mut group = c.benchmark_group("backup");
    group.sample_size(10).throughput(Throughput::Bytes(bytes));
    group.bench_function("first", |b| {
        b.iter_batched_ref(
            repository,
            |repository| backup(repository, &options, &runtime()).expect("backs up"),
            BatchSize::PerIteration,
        );
    });
    let repository = repository();
    backup(&repository, &options, &runtime()).expect("backs up");
    group.bench_function("unchanged", |b| {
        b.iter(|| backup(&repository, &options, &runtime()).expect("backs up"));
    });
    let snapshot = repository.snapshots().expect("lists").snapshots.pop().expect("there is one");
    group.bench_function("restore", |b| {
        b.iter_batched(
            || tempfile::tempdir().expect("a folder"),
            |target| {
                let options =
                    RestoreOptions { target: target.path().into(), ..RestoreOptions::default() };
                restore(&repository, &snapshot, &options, &runtime()).expect("restores");
                target
            },
            BatchSize::PerIteration,
        );
    });
    group.finish();
}

criterion_group!(benches, sealing, index, pages, whole);
criterion_main!(benches);
