//! A repository in memory, with manifests and files made by hand.

use std::sync::Arc;

use super::Manifest;
use parking_lot::Mutex;
use proptest::prelude::*;

use crate::crypto::Suite;
use crate::format::list::{
    ListChild, encode_inner as encode_list_inner, encode_leaf as encode_list_leaf,
};
use crate::format::log::SnapshotBody;
use crate::format::page::{Child, encode_inner, encode_leaf};
use crate::model::entry::compare_paths;
use crate::model::{
    BackupId, ClientId, Content, Entry, FileKind, ObjectHash, Owner, PageId, Piece, SessionId, Time,
};
use crate::repository::{
    InitOptions, KdfCost, OpenOptions, Password, Repository, SegmentWriter, Snapshot, Unlock,
    WriterOptions,
};
use crate::repository::{PackWriter, SegmentUse};
use crate::runtime::{Issue, Progress, Random, Runtime};
use crate::storage::{MemoryStorage, SharedStorage};

/// Keeps all issues that it is told of.
#[derive(Default)]
pub(crate) struct Issues(Mutex<Vec<Issue>>);

impl Issues {
    pub(crate) fn all(&self) -> Vec<Issue> {
        self.0.lock().clone()
    }
}

impl Progress for Issues {
    fn issue(&self, issue: &Issue) {
        self.0.lock().push(issue.clone());
    }
}

pub(crate) struct Lab {
    pub(crate) repository: Arc<Repository>,
    runtime: Runtime,
}

impl Lab {
    pub(crate) fn new() -> Self {
        let unlock = Unlock::Password(Password::new("pw"));
        Self::made(Arc::new(MemoryStorage::new()), Suite::Aes256, unlock)
    }

    /// One that is not encrypted, for tests that move many megabytes, on `storage`.
    pub(crate) fn plain(storage: SharedStorage) -> Self {
        Self::made(storage, Suite::None, Unlock::Nothing)
    }

    fn made(storage: SharedStorage, suite: Suite, unlock: Unlock) -> Self {
        let runtime = Runtime { random: Random::seeded(1), ..Runtime::default() };
        let options = InitOptions { suite, kdf: KdfCost::CheapForTests, ..InitOptions::default() };
        let repository =
            Repository::init(storage, &[unlock], &options, &OpenOptions::default(), &runtime)
                .expect("inits");
        Self { repository: Arc::new(repository), runtime }
    }

    /// Stores what `fill` makes.
    pub(crate) fn store<T>(&self, fill: impl FnOnce(&mut Store<'_>) -> T) -> T {
        let writer = self.repository.pack_writer(&WriterOptions::default(), &self.runtime);
        let mut store = Store {
            repository: &self.repository,
            writer: &writer,
            data: writer.segment_writer(SegmentUse::Files),
            meta: writer.segment_writer(SegmentUse::Pages),
            page_len: 4,
            lost_leaf: None,
        };
        let made = fill(&mut store);
        store.data.flush().expect("flushes");
        store.meta.flush().expect("flushes");
        drop(store);
        writer.finish().expect("finishes");
        made
    }

    /// A snapshot with this manifest, which no log knows.
    pub(crate) fn snapshot(&self, number: u8, manifest: Manifest) -> Snapshot {
        let body = SnapshotBody {
            root: manifest.root(),
            depth: manifest.depth(),
            ..SnapshotBody::new(i64::from(number))
        };
        Snapshot {
            id: BackupId([number; 16]),
            record: ObjectHash([number; 32]),
            object_name: String::new(),
            session_id: SessionId([0; 16]),
            client_id: ClientId([0; 16]),
            client_seq: u64::from(number),
            host: "host".into(),
            user: "ann".into(),
            tool: String::new(),
            first_seen_ms: None,
            pinned: false,
            quarantine: None,
            suspect: false,
            cleared_here: false,
            body,
        }
    }

    /// Stores a manifest of these entries, which are sorted by path, in small pages.
    pub(crate) fn manifest(&self, entries: &[Entry]) -> Manifest {
        self.store(|store| store.manifest(entries))
    }
}

pub(crate) struct Store<'l> {
    repository: &'l Repository,
    writer: &'l PackWriter,
    data: SegmentWriter,
    meta: SegmentWriter,
    /// Elements of a page on average.
    pub(crate) page_len: u64,
    /// This leaf of a manifest is not stored.
    pub(crate) lost_leaf: Option<usize>,
}

impl Store<'_> {
    pub(crate) fn page(&mut self, bytes: &[u8]) -> PageId {
        let id = self.repository.constants().page_id(bytes);
        if self.writer.claims().claim(self.repository.index(), &id.0) {
            self.meta.push(&id.0, bytes).expect("pushes");
        }
        id
    }

    pub(crate) fn chunk(&mut self, bytes: &[u8]) -> Piece {
        let id = self.repository.constants().chunk_id(bytes);
        if self.writer.claims().claim(self.repository.index(), &id.0) {
            self.data.push(&id.0, bytes).expect("pushes");
        }
        Piece::Chunk(id, bytes.len() as u32)
    }

    /// A chunk in a segment of its own.
    pub(crate) fn lone_chunk(&mut self, bytes: &[u8]) -> Piece {
        let piece = self.chunk(bytes);
        self.data.flush().expect("flushes");
        piece
    }

    pub(crate) fn manifest(&mut self, entries: &[Entry]) -> Manifest {
        let cut = |store: &Self, level, path: &[u8]| {
            store.repository.constants().page_cut(level, path).is_multiple_of(store.page_len)
        };
        let mut children = Vec::new();
        let mut from = 0;
        for (at, entry) in entries.iter().enumerate() {
            if cut(self, 0, &entry.path) || at + 1 == entries.len() {
                let leaf = &entries[from..=at];
                let files =
                    || leaf.iter().filter(|e| e.kind == FileKind::File && e.link_to.is_none());
                children.push(Child {
                    last: entry.path.as_slice().into(),
                    page: if self.lost_leaf == Some(children.len()) {
                        PageId([1; 32])
                    } else {
                        self.page(&encode_leaf(leaf))
                    },
                    entries: leaf.len() as u64,
                    files: files().count() as u64,
                    bytes: files().map(|e| e.size).sum(),
                });
                from = at + 1;
            }
        }
        if entries.is_empty() {
            return Manifest::new(self.page(&encode_leaf(&[])), 0);
        }
        let mut level = 0;
        while children.len() > 1 {
            level += 1;
            let mut above = Vec::new();
            let mut from = 0;
            for (at, child) in children.iter().enumerate() {
                let is_cut = at > from && cut(self, level, &child.last.0);
                if is_cut || at + 1 == children.len() {
                    let below = &children[from..=at];
                    above.push(Child {
                        last: child.last.clone(),
                        page: self.page(&encode_inner(level, below)),
                        entries: below.iter().map(|c| c.entries).sum(),
                        files: below.iter().map(|c| c.files).sum(),
                        bytes: below.iter().map(|c| c.bytes).sum(),
                    });
                    from = at + 1;
                }
            }
            children = above;
        }
        Manifest::new(children[0].page, level)
    }

    /// A tree of list pages with `fan` elements each.
    pub(crate) fn list(&mut self, pieces: &[Piece], fan: usize) -> Content {
        let child = |store: &mut Self, bytes: Vec<u8>, len, pieces| ListChild {
            page: store.page(&bytes),
            bytes: len,
            pieces,
        };
        let mut level = 0;
        let mut children: Vec<ListChild> = pieces
            .chunks(fan)
            .map(|p| {
                let len = p.iter().map(Piece::len).sum();
                child(self, encode_list_leaf(p), len, p.len() as u64)
            })
            .collect();
        while children.len() > 1 {
            level += 1;
            children = children
                .chunks(fan)
                .map(|c| {
                    let len = c.iter().map(|c| c.bytes).sum();
                    let count = c.iter().map(|c| c.pieces).sum();
                    child(self, encode_list_inner(level, c), len, count)
                })
                .collect();
        }
        Content::List { root: children[0].page, depth: level, pieces: pieces.len() as u64 }
    }
}

/// An entry without content.
pub(crate) fn entry(path: &[u8], kind: FileKind) -> Entry {
    Entry {
        mode: 0o644,
        owner: Arc::new(Owner { uid: 7, gid: 8, user: b"ann".to_vec(), group: b"staff".to_vec() }),
        mtime: Time { secs: 1_000_000, nanos: 5 },
        ctime: Time { secs: 1_000_001, nanos: 6 },
        inode: 9,
        ..Entry::new(path.to_vec(), kind)
    }
}

/// A small file with its content inline.
pub(crate) fn inline(path: &[u8], bytes: &[u8]) -> Entry {
    Entry {
        size: bytes.len() as u64,
        content: Content::Inline(bytes.to_vec()),
        ..entry(path, FileKind::File)
    }
}

/// A folder.
pub(crate) fn dir(path: &[u8]) -> Entry {
    Entry { mode: 0o755, ..entry(path, FileKind::Dir) }
}

/// The folders that a path lies in, the topmost first.
pub(crate) fn ancestors(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    path.iter().enumerate().filter(|(_, b)| **b == b'/').map(|(at, _)| &path[..at])
}

/// Names of few, odd bytes, so that they meet often and stand next to the separator in the order.
fn name() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop::sample::select(&[1, b'-', b'.', b'0', b'a', 0xff][..]);
    prop::collection::vec(byte, 1..3)
        .prop_filter("a special name", |name| !matches!(&name[..], b"." | b".."))
}

/// A path of one to four such names.
pub(crate) fn path() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(name(), 1..5).prop_map(|names| names.join(&b'/'))
}

/// A sorted tree in which every entry lies in a folder.
pub(crate) fn tree() -> impl Strategy<Value = Vec<Entry>> {
    let leaf = (path(), 0..6_u8, 0..3_usize, any::<bool>());
    (prop::collection::vec(leaf, 0..60), any::<bool>()).prop_map(|(leaves, has_root)| {
        let mut paths: Vec<(Vec<u8>, Entry)> = Vec::new();
        for (path, kind, len, private) in leaves {
            let mut made = match kind {
                0 => dir(&path),
                1 => Entry {
                    content: Content::Inline(vec![b't'; len + 1]),
                    ..entry(&path, FileKind::Symlink)
                },
                2 => entry(&path, FileKind::Fifo),
                _ => inline(&path, &vec![b'x'; len]),
            };
            made.mode = if private { 0o600 } else { 0o644 };
            paths.push((path, made));
        }
        let folders: Vec<Vec<u8>> =
            paths.iter().flat_map(|(path, _)| ancestors(path)).map(<[u8]>::to_vec).collect();
        let mut all: Vec<Entry> = folders.iter().map(|path| dir(path)).collect();
        if has_root {
            all.push(dir(b""));
        }
        // A path that is a folder elsewhere stays one: the sort is stable.
        all.extend(paths.into_iter().map(|(_, entry)| entry));
        all.sort_by(|a, b| compare_paths(&a.path, &b.path));
        all.dedup_by(|b, a| a.path == b.path);
        all
    })
}
