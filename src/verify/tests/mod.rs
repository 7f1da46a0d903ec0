//! Checks of hand-made repositories, whole and damaged.

mod manifests;
mod packs;
mod records;
mod subsets;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::*;
use crate::crypto::Suite;
use crate::error::StorageErrorKind;
use crate::format::list::{
    ListChild, encode_inner as encode_list_inner, encode_leaf as encode_list,
};
use crate::format::log::SnapshotBody;
use crate::format::page::{Child, encode_inner, encode_leaf, encode_xattrs};
use crate::format::record::Bin;
use crate::model::{
    BackupId, ChunkId, Content, Entry, FileKind, PageId, Piece, Time, Xattr, XattrsRef,
};
use crate::repository::{
    InitOptions, KdfCost, NewSnapshot, OpenOptions, PackWriter, Password, SegmentUse,
    SegmentWriter, Unlock, WriterOptions,
};
use crate::runtime::Random;
use crate::storage::fault::{Fault, On, Rule};
use crate::storage::{FaultStorage, MemoryStorage, SharedStorage, Storage};

/// A repository with hand-made snapshots, in memory.
struct Lab {
    storage: Arc<MemoryStorage>,
    suite: Suite,
    /// Without one, every run is a client of its own.
    state_dir: Option<PathBuf>,
    /// How often it was opened.
    opened: AtomicU64,
}

/// Stores chunks and pages of one snapshot.
struct Maker<'r> {
    repository: &'r Repository,
    writer: PackWriter,
    data: SegmentWriter,
    meta: SegmentWriter,
}

impl Maker<'_> {
    fn chunk(&mut self, bytes: &[u8]) -> Piece {
        let id = self.repository.constants().chunk_id(bytes);
        if self.writer.claims().claim(self.repository.index(), &id.0) {
            self.data.push(&id.0, bytes).unwrap();
        }
        Piece::Chunk(id, bytes.len() as u32)
    }

    fn page(&mut self, bytes: &[u8]) -> PageId {
        let id = self.repository.constants().page_id(bytes);
        if self.writer.claims().claim(self.repository.index(), &id.0) {
            self.meta.push(&id.0, bytes).unwrap();
        }
        id
    }

    /// Pages of three entries below one root.
    fn manifest(&mut self, entries: &[Entry]) -> (PageId, u8) {
        let children: Vec<Child> = entries.chunks(3).map(|part| self.leaf(part)).collect();
        (self.page(&encode_inner(1, &children)), 1)
    }

    fn leaf(&mut self, entries: &[Entry]) -> Child {
        let files = entries.iter().filter(|e| e.kind == FileKind::File && e.link_to.is_none());
        Child {
            last: Bin(entries.last().unwrap().path.clone()),
            page: self.page(&encode_leaf(entries)),
            entries: entries.len() as u64,
            files: files.clone().count() as u64,
            bytes: files.map(|e| e.size).sum(),
        }
    }
}

fn runtime(seed: u64) -> Runtime {
    Runtime { random: Random::seeded(seed), ..Runtime::default() }
}

fn entry(path: &str, kind: FileKind, content: Content) -> Entry {
    let size = match &content {
        Content::Pieces(pieces) => pieces.iter().map(Piece::len).sum(),
        Content::Inline(bytes) if kind == FileKind::File => bytes.len() as u64,
        _ => 0,
    };
    Entry {
        mode: 0o644,
        owner: Arc::default(),
        mtime: Time { secs: 1, nanos: 2 },
        ctime: Time { secs: 3, nanos: 4 },
        inode: 5,
        size,
        content,
        ..Entry::new(path, kind)
    }
}

fn folder(path: &str) -> Entry {
    entry(path, FileKind::Dir, Content::None)
}

fn file(path: &str, pieces: Vec<Piece>) -> Entry {
    entry(path, FileKind::File, Content::Pieces(pieces))
}

fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    Random::seeded(seed).fill(&mut bytes);
    bytes
}

impl Lab {
    fn new() -> Self {
        Self::with(Suite::Aes256)
    }

    fn with(suite: Suite) -> Self {
        let lab = Self {
            storage: Arc::new(MemoryStorage::new()),
            suite,
            state_dir: None,
            opened: AtomicU64::new(0),
        };
        let options = InitOptions { kdf: KdfCost::CheapForTests, suite, ..InitOptions::default() };
        Repository::init(
            lab.shared(),
            &[lab.unlock()],
            &options,
            &OpenOptions::default(),
            &runtime(1),
        )
        .unwrap();
        lab
    }

    /// With two snapshots of a small tree; the second shares most of the first.
    fn filled() -> Self {
        let lab = Self::new();
        lab.snapshot(1, tree(1));
        lab.snapshot(2, tree(2));
        lab
    }

    fn shared(&self) -> SharedStorage {
        Arc::clone(&self.storage) as SharedStorage
    }

    fn unlock(&self) -> Unlock {
        match self.suite {
            Suite::None => Unlock::Nothing,
            Suite::Aes256 => Unlock::Password(Password::new("pw")),
        }
    }

    fn open(&self) -> Repository {
        let options = OpenOptions {
            cache_dir: None,
            state_dir: self.state_dir.clone(),
            ..OpenOptions::default()
        };
        // Two clients never draw the same id.
        let seed = 1000 + self.opened.fetch_add(1, Ordering::Relaxed);
        Repository::open(self.shared(), &self.unlock(), &options, &runtime(seed)).unwrap()
    }

    fn snapshot(&self, seed: u64, entries: impl FnOnce(&mut Maker<'_>) -> Vec<Entry>) -> BackupId {
        self.raw_snapshot(seed, |maker| {
            let entries = entries(maker);
            let (root, depth) = maker.manifest(&entries);
            (root, depth, entries)
        })
    }

    fn raw_snapshot(
        &self,
        seed: u64,
        make: impl FnOnce(&mut Maker<'_>) -> (PageId, u8, Vec<Entry>),
    ) -> BackupId {
        let repository = self.open();
        let runtime = runtime(100 + seed);
        let (session, _) = repository.begin_session("snapshot", "host", &runtime).unwrap();
        let writer = repository.pack_writer(&WriterOptions::default(), &runtime);
        let data = writer.segment_writer(SegmentUse::Files);
        let meta = writer.segment_writer(SegmentUse::Pages);
        let mut maker = Maker { repository: &repository, writer, data, meta };
        let (root, depth, entries) = make(&mut maker);
        maker.data.flush().unwrap();
        maker.meta.flush().unwrap();
        let Maker { writer, data, meta, .. } = maker;
        drop((data, meta));
        writer.finish().unwrap();
        let files = entries.iter().filter(|e| e.kind == FileKind::File && e.link_to.is_none());
        let id = BackupId([seed as u8; 16]);
        let body = SnapshotBody {
            roots: vec![Bin(b"/src".to_vec())],
            root,
            depth,
            entries: entries.len() as u64,
            files: files.clone().count() as u64,
            folders: entries.iter().filter(|e| e.kind == FileKind::Dir).count() as u64,
            bytes: files.map(|e| e.size).sum(),
            ..SnapshotBody::new(seed as i64)
        };
        let known = repository.snapshots().unwrap();
        let new = NewSnapshot { id, host: "host".into(), user: "me".into(), body };
        repository.commit_snapshot(new, &session, &known, &runtime).unwrap();
        session.end().unwrap();
        id
    }

    fn check(&self, options: &CheckOptions) -> CheckReport {
        check(&self.open(), options, &runtime(3)).unwrap()
    }

    fn check_all(&self) -> CheckReport {
        self.check(&CheckOptions { read_data: ReadData::All, ..CheckOptions::default() })
    }

    /// A check during which reads of objects below `prefix` fail.
    fn check_with_failing_reads(
        &self,
        prefix: &str,
        kind: StorageErrorKind,
    ) -> Result<CheckReport> {
        let storage = Arc::new(FaultStorage::new(self.shared()));
        let shared: SharedStorage = storage.clone();
        let repository =
            Repository::open(shared, &self.unlock(), &OpenOptions::default(), &runtime(2))?;
        storage.inject(Rule {
            on: On::Get,
            prefix: prefix.into(),
            nth: 1,
            times: u64::MAX,
            fault: Fault::Fail(kind),
        });
        let options = CheckOptions { read_data: ReadData::All, ..CheckOptions::default() };
        check(&repository, &options, &runtime(3))
    }

    fn names(&self, folder: &str) -> Vec<String> {
        self.storage.names().into_iter().filter(|name| name.starts_with(folder)).collect()
    }
}

/// A tree whose file `changed` differs by `version`.
fn tree(version: u64) -> impl FnOnce(&mut Maker<'_>) -> Vec<Entry> {
    move |maker| {
        let shared = maker.chunk(&noise(10, 1_200_000));
        let small = maker.chunk(b"a few bytes");
        let changed = maker.chunk(&noise(version, 5000));
        let list: Vec<Piece> = (20..24).map(|n| maker.chunk(&noise(n, 9000))).collect();
        let lists: Vec<ListChild> = list
            .chunks(2)
            .map(|pieces| ListChild {
                page: maker.page(&encode_list(pieces)),
                bytes: 18_000,
                pieces: 2,
            })
            .collect();
        let root = maker.page(&encode_list_inner(1, &lists));
        let xattrs = [Xattr { name: b"user.long".to_vec(), value: vec![7; 1000] }];
        let xattrs = maker.page(&encode_xattrs(&xattrs));
        let mut linked = file("src/a/linked", vec![small]);
        linked.nlink = 2;
        let mut link = entry("src/z/link", FileKind::File, Content::None);
        link.link_to = Some(linked.path.clone());
        link.size = linked.size;
        let mut listed =
            entry("src/listed", FileKind::File, Content::List { root, depth: 1, pieces: 4 });
        listed.size = 36_000;
        let mut attributed = entry("src/attr", FileKind::File, Content::Inline(b"x".to_vec()));
        attributed.xattrs = XattrsRef::Page(xattrs);
        vec![
            folder("src"),
            folder("src/a"),
            linked,
            file("src/a/shared", vec![shared, Piece::Hole(65_536)]),
            attributed,
            folder("src/b"),
            file("src/b/%", vec![shared]),
            file("src/changed", vec![changed]),
            listed,
            folder("src/z"),
            link,
        ]
    }
}

fn paths(hit: &HitSnapshot) -> Vec<&str> {
    hit.files.iter().map(|file| &*file.path).collect()
}
