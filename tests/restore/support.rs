//! A repository in memory, a folder to work in, and a way to compare trees to the last attribute.

use std::collections::BTreeMap;
use std::collections::HashMap;
use std::fs;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use larder::archive::{BackupOptions, backup};
use larder::fsmeta::{self, OpenDir};
use larder::model::FileKind;
use larder::repository::{
    InitOptions, KdfCost, OpenOptions, Password, Repository, Snapshot, Unlock,
};
use larder::restore::{RestoreOptions, RestoreReport, restore};
use larder::runtime::{Random, Runtime};
use larder::source::SourcePath;
use larder::storage::{MemoryStorage, SharedStorage};

pub(crate) struct Lab {
    #[allow(dead_code)]
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
        let source = SourcePath::new(&self.src("")).expect("a source");
        let options = BackupOptions { sources: vec![source], ..BackupOptions::default() };
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
