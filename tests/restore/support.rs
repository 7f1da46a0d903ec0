//! A repository in memory, a folder to work in, and a way to compare trees to the last attribute.

use std::collections::BTreeMap;
use std::collections::HashMap;
use std::fs;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use larder::archive::{BackupOptions, backup};
use larder::format::page::{Child, encode_inner, encode_leaf};
use larder::fsmeta::{self, OpenDir};
use larder::model::entry::compare_paths;
use larder::model::{ChunkId, Content, Entry, FileKind, PageId, Time};
use larder::repository::{
    InitOptions, KdfCost, LAYOUT, OpenOptions, Password, Repository, SegmentUse, Snapshot, Unlock,
    WriterOptions,
};
use larder::restore::{RestoreOptions, RestoreReport, restore};
use larder::runtime::{Random, Runtime};
use larder::source::{SourcePath, WalkOptions};
use larder::storage::{Location, MemoryStorage, SharedStorage, create};

pub(crate) struct Lab {
    pub(crate) storage: Arc<MemoryStorage>,
    pub(crate) repository: Repository,
    pub(crate) runtime: Runtime,
    folder: tempfile::TempDir,
}

impl Lab {
    pub(crate) fn new() -> Self {
        let storage = Arc::new(MemoryStorage::new());
        let shared: SharedStorage = Arc::clone(&storage) as SharedStorage;
        let runtime = Runtime { random: Random::seeded(1), ..Runtime::default() };
        let init = InitOptions { kdf: KdfCost::CheapForTests, ..InitOptions::default() };
        let unlock = [Unlock::Password(Password::new("pw"))];
        let repository =
            Repository::init(shared, &unlock, &init, &OpenOptions::default(), &runtime)
                .expect("inits");
        let folder = tempfile::tempdir().expect("a folder");
        fs::create_dir(folder.path().join("src")).expect("makes the source");
        Self { storage, repository, runtime, folder }
    }

    /// The repository opened anew: nothing of it is in memory.
    pub(crate) fn reopen(&mut self) {
        self.repository = self.open(Arc::clone(&self.storage) as SharedStorage);
        self.repository.load_index().expect("loads");
    }

    /// The repository in this storage.
    pub(crate) fn open(&self, storage: SharedStorage) -> Repository {
        let unlock = Unlock::Password(Password::new("pw"));
        Repository::open(storage, &unlock, &OpenOptions::default(), &self.runtime).expect("opens")
    }

    /// A new repository in a folder, in place of the one in memory.
    pub(crate) fn move_to(&mut self, folder: &Path) {
        let location = Location::from_path(folder).expect("a location");
        let storage = create(&location, LAYOUT).expect("makes the folder");
        let init = InitOptions { kdf: KdfCost::CheapForTests, ..InitOptions::default() };
        let unlock = [Unlock::Password(Password::new("pw"))];
        let open = OpenOptions::default();
        self.repository =
            Repository::init(storage, &unlock, &init, &open, &self.runtime).expect("inits");
    }

    /// A path in the source.
    pub(crate) fn src(&self, path: &str) -> PathBuf {
        self.folder.path().join("src").join(path)
    }

    /// A path in the target.
    pub(crate) fn out(&self, path: &str) -> PathBuf {
        self.folder.path().join("out").join(path)
    }

    pub(crate) fn write(&self, path: &str, bytes: impl AsRef<[u8]>) {
        let path = self.src(path);
        fs::create_dir_all(path.parent().expect("a folder")).expect("makes folders");
        fs::write(path, bytes).expect("writes");
    }

    /// Backs the source up.
    pub(crate) fn backup(&self) -> Snapshot {
        self.backup_with(WalkOptions::default())
    }

    /// Backs up what of the source is not left out.
    pub(crate) fn backup_with(&self, walk: WalkOptions) -> Snapshot {
        let source = SourcePath::new(&self.src("")).expect("a source");
        let options = BackupOptions { sources: vec![source], walk, ..BackupOptions::default() };
        let report = backup(&self.repository, &options, &self.runtime).expect("backs up");
        assert!(report.is_complete());
        report.snapshot.expect("a snapshot")
    }

    /// Options that restore the source's content straight into the target.
    pub(crate) fn options(&self) -> RestoreOptions {
        use std::os::unix::ffi::OsStrExt;
        let source = self.folder.path().join("src");
        RestoreOptions {
            target: self.folder.path().join("out"),
            subtree: Some(source.as_os_str().as_bytes().to_vec()),
            ..RestoreOptions::default()
        }
    }

    pub(crate) fn restore(&self, snapshot: &Snapshot, options: &RestoreOptions) -> RestoreReport {
        restore(&self.repository, snapshot, options, &self.runtime).expect("restores")
    }

    /// Restores the source's content into the target and expects no failure.
    pub(crate) fn restore_well(
        &self,
        snapshot: &Snapshot,
        options: &RestoreOptions,
    ) -> RestoreReport {
        let report = self.restore(snapshot, options);
        assert!(report.is_complete(), "{:?}", report.failures);
        assert_eq!(report.unapplied, []);
        report
    }

    /// Restores on another thread that is the user `nobody`.
    pub(crate) fn restore_as_nobody(
        &self,
        snapshot: &Snapshot,
        options: &RestoreOptions,
    ) -> RestoreReport {
        use rustix::process::{Gid, Uid};
        use rustix::thread::{set_thread_groups, set_thread_res_gid, set_thread_res_uid};
        std::thread::scope(|scope| {
            let restored = scope.spawn(|| {
                let (uid, gid) = (Uid::from_raw(65_534), Gid::from_raw(65_534));
                set_thread_groups(&[]).expect("sets groups");
                set_thread_res_gid(gid, gid, gid).expect("sets the group");
                set_thread_res_uid(uid, uid, uid).expect("sets the user");
                restore(&self.repository, snapshot, options, &self.runtime)
            });
            restored.join().expect("does not panic").expect("restores")
        })
    }

    /// Stores a chunk in a pack of its own, even if it is stored already.
    pub(crate) fn put_chunk(&self, bytes: &[u8]) -> ChunkId {
        let id = self.repository.constants().chunk_id(bytes);
        self.put(SegmentUse::Files, &id.0, bytes);
        id
    }

    /// Stores a page in a pack of its own.
    pub(crate) fn put_page(&self, bytes: &[u8]) -> PageId {
        let id = self.repository.constants().page_id(bytes);
        self.put(SegmentUse::Pages, &id.0, bytes);
        id
    }

    fn put(&self, used_for: SegmentUse, id: &[u8; 32], bytes: &[u8]) {
        let writer = self.repository.pack_writer(&WriterOptions::default(), &self.runtime);
        let mut segments = writer.segment_writer(used_for);
        segments.push(id, bytes).expect("pushes");
        segments.flush().expect("flushes");
        drop(segments);
        writer.finish().expect("finishes");
    }

    /// A snapshot whose manifest has these leaves, be they valid or not.
    pub(crate) fn handmade(&self, leaves: &[Vec<Entry>]) -> Snapshot {
        let mut leaves = leaves.to_vec();
        leaves.iter_mut().for_each(|leaf| leaf.sort_by(|a, b| compare_paths(&a.path, &b.path)));
        leaves.sort_by(|a, b| compare_paths(&a[0].path, &b[0].path));
        let mut snapshot = self.backup();
        let children: Vec<Child> = leaves
            .iter()
            .map(|entries| Child {
                last: entries.last().expect("not empty").path[..].into(),
                page: self.put_page(&encode_leaf(entries)),
                entries: entries.len() as u64,
                files: 0,
                bytes: 0,
            })
            .collect();
        (snapshot.body.root, snapshot.body.depth) = match &children[..] {
            [only] => (only.page, 0),
            _ => (self.put_page(&encode_inner(1, &children)), 1),
        };
        snapshot
    }

    /// Options that restore a handmade snapshot.
    pub(crate) fn whole(&self) -> RestoreOptions {
        RestoreOptions { subtree: None, ..self.options() }
    }

    /// Only names and kinds are compared.
    pub(crate) fn assert_same_names(&self) {
        let names = |path| {
            let all = describe(path).into_iter();
            let kind = |text: String| text.split(' ').next().unwrap_or_default().to_string();
            all.map(|(path, text)| (path, kind(text))).collect::<Vec<_>>()
        };
        assert_eq!(names(&self.src("")), names(&self.out("")));
    }

    pub(crate) fn assert_identical(&self) {
        let (src, out) = (describe(&self.src("")), describe(&self.out("")));
        for (path, text) in &src {
            assert_eq!(Some(text), out.get(path), "{}", path.escape_ascii());
        }
        for path in out.keys() {
            assert!(src.contains_key(path), "{} is too much", path.escape_ascii());
        }
    }
}

/// An entry of a handmade manifest.
pub(crate) fn entry(path: &str, kind: FileKind) -> Entry {
    Entry {
        mode: if kind == FileKind::Dir { 0o755 } else { 0o644 },
        mtime: Time { secs: 1_000_000, nanos: 7 },
        inode: 1,
        ..Entry::new(path, kind)
    }
}

/// A file of a handmade manifest with its bytes in the manifest.
pub(crate) fn inline(path: &str, bytes: &[u8]) -> Entry {
    let content = Content::Inline(bytes.to_vec());
    Entry { size: bytes.len() as u64, content, ..entry(path, FileKind::File) }
}

/// Bytes that do not compress.
pub(crate) fn noise(len: usize, seed: u64) -> Vec<u8> {
    let mut bytes = vec![0; len];
    Random::seeded(seed).fill(&mut bytes);
    bytes
}

/// Everything that is kept of every entry in a tree, as text, by path.
pub(crate) fn describe(folder: &Path) -> BTreeMap<Vec<u8>, String> {
    let mut all = BTreeMap::new();
    let mut links = HashMap::new();
    let dir: OwnedFd = fs::File::open(folder).expect("opens").into();
    let stat = fsmeta::stat_fd(&dir).expect("describes");
    all.insert(Vec::new(), text(&dir, b".", &stat, b"", &mut links));
    let mut todo = vec![(Vec::new(), dir)];
    while let Some((path, dir)) = todo.pop() {
        let mut names = Vec::new();
        fsmeta::read_dir_names(&dir, &mut Vec::new(), |name, _| names.push(name.to_vec()))
            .expect("lists");
        names.sort();
        for name in names {
            let stat = fsmeta::stat_at(&dir, &name).expect("describes");
            let mut path = path.clone();
            if !path.is_empty() {
                path.push(b'/');
            }
            path.extend_from_slice(&name);
            all.insert(path.clone(), text(&dir, &name, &stat, &path, &mut links));
            if stat.is_dir() {
                let inner = fsmeta::open_dir_at(&dir, &name, OpenDir::Read).expect("opens");
                todo.push((path, inner));
            }
        }
    }
    all
}

fn text(
    dir: impl AsFd,
    name: &[u8],
    stat: &fsmeta::Stat,
    path: &[u8],
    links: &mut HashMap<u64, Vec<u8>>,
) -> String {
    use std::io::Read;
    let mut text = format!(
        "{:?} {:o} {}:{} {:?} {}:{}",
        stat.kind, stat.mode, stat.uid, stat.gid, stat.mtime, stat.rdev_major, stat.rdev_minor
    );
    if stat.nlink > 1 && !stat.is_dir() {
        // Trees are walked in the same order, so the first name of a group is the same.
        let first = links.entry(stat.inode).or_insert_with(|| path.to_vec());
        text += &format!(" group {}", first.escape_ascii());
    }
    match stat.kind {
        FileKind::File => {
            let mut file = fsmeta::open_file_at(&dir, name).expect("opens");
            let mut bytes = Vec::new();
            // Long sparse files are compared by their begin and their holes.
            file.by_ref().take(64 << 20).read_to_end(&mut bytes).expect("reads");
            let flags = fsmeta::read_flags(&file).expect("flags");
            let hash = blake3::hash(&bytes);
            text += &format!(" {} {hash} flags {flags:x}", stat.size);
        }
        FileKind::Symlink => {
            let target = fsmeta::read_link_at(&dir, name).expect("reads");
            text += &format!(" -> {}", target.escape_ascii());
        }
        _ => {}
    }
    let xattrs = fsmeta::read_xattrs_at(&dir, name).expect("attributes");
    text + &format!(" {:?}", xattrs.list)
}
