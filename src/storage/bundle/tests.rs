use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;
use std::sync::Arc;

use parking_lot::Mutex;
use tempfile::TempDir;

use super::*;
use crate::format::bundle::{
    BundleFooter, BundleHeader, BundleId, DirectoryEntry, FOOTER_LEN, HEADER_LEN,
    OBJECT_HEADER_LEN, ObjectHeader,
};
use crate::runtime::{Random, Runtime};
use crate::storage::conformance::{Scale, conformance_at};
use crate::storage::{Location, MemoryStorage, SharedStorage, list_sorted};

fn runtime() -> Runtime {
    Runtime { random: Random::seeded(1), ..Runtime::default() }
}

fn hash(bytes: &[u8]) -> ObjectHash {
    ObjectHash(*blake3::hash(bytes).as_bytes())
}

/// Some objects as a repository has them: most are named by their hash.
fn objects() -> BTreeMap<String, Vec<u8>> {
    let mut objects = BTreeMap::new();
    objects.insert("repo".into(), b"what this is".to_vec());
    for (at, folder) in
        ["keys/", "data/ab/", "data/ab/", "index/", "snapshots/0011/7-"].iter().enumerate()
    {
        let bytes = vec![at as u8; 100 * at];
        objects.insert(format!("{folder}{}", hash(&bytes)), bytes);
    }
    // The hash of something else.
    objects.insert(format!("gc/mark-{}", hash(b"other")), b"mark".to_vec());
    objects
}

fn write(path: &Path, objects: &BTreeMap<String, Vec<u8>>) -> Vec<u8> {
    let writer = BundleWriter::create(path, &runtime()).unwrap();
    for (name, bytes) in objects {
        let (a, b) = bytes.split_at(bytes.len() / 3);
        writer.put(name, &[a, b], PutMode::Content).unwrap();
    }
    let len = writer.finish(Existing::Keep).unwrap();
    let bytes = fs::read(path).unwrap();
    assert_eq!(len, bytes.len() as u64);
    bytes
}

fn opened(path: &Path) -> BundleStorage {
    BundleStorage::open(path, path.display().to_string(), Trust::Looks)
        .unwrap()
        .expect("it looks like a bundle")
}

/// Everything that is served. All of it must be what was written.
fn served(bundle: &BundleStorage, written: &BTreeMap<String, Vec<u8>>) -> Vec<String> {
    let all = list_sorted(bundle, "").unwrap();
    let mut whole = Vec::new();
    for meta in all {
        match bundle.get(&meta.name, 1 << 20) {
            Ok(bytes) => {
                assert_eq!(written.get(&meta.name), Some(&bytes), "{}", meta.name);
                assert_eq!(meta.len, bytes.len() as u64);
                whole.push(meta.name);
            }
            Err(error) => assert_eq!(error.kind, StorageErrorKind::Permanent, "{error:?}"),
        }
    }
    whole
}

#[test]
fn what_was_written_comes_back_by_directory_and_by_headers() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.larder");
    let objects = objects();
    let bytes = write(&path, &objects);
    let names: Vec<String> = objects.keys().cloned().collect();

    let bundle = opened(&path);
    assert_eq!(bundle.warning(), None);
    assert_eq!(bundle.objects(), objects.len());
    assert_eq!(served(&bundle, &objects), names);
    assert_eq!(list_sorted(&bundle, "data/ab/").unwrap().len(), 2);
    assert_eq!(list_sorted(&bundle, "data/").unwrap().len(), 2);
    assert_eq!(list_sorted(&bundle, "dat/").unwrap().len(), 0);

    fs::write(&path, &bytes[..bytes.len() - 1]).unwrap();
    let bundle = opened(&path);
    assert!(bundle.warning().unwrap().contains("7 objects"), "{:?}", bundle.warning());
    assert_eq!(served(&bundle, &objects), names);
}

/// Whatever single byte is changed: no panic, and no object is served with other bytes.
#[test]
fn a_flipped_byte_gives_no_wrong_bytes() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.larder");
    let objects = objects();
    let bytes = write(&path, &objects);
    for at in 0..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[at] ^= 1 << (at % 8);
        fs::write(&path, &damaged).unwrap();
        let bundle = opened(&path);
        let whole = served(&bundle, &objects);
        // One byte costs no more than one object.
        assert!(whole.len() + 1 >= objects.len(), "byte {at}: {whole:?}");
    }
}

#[test]
fn a_cut_file_serves_what_is_before_the_cut() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.larder");
    let objects = objects();
    let bytes = write(&path, &objects);
    let mut last = 0;
    for len in 0..bytes.len() {
        fs::write(&path, &bytes[..len]).unwrap();
        let found = BundleStorage::open(&path, "x".into(), Trust::Looks).unwrap();
        assert_eq!(found.is_some(), len >= 16, "{len} bytes");
        let Some(bundle) = found else { continue };
        assert!(bundle.warning().is_some(), "{len} bytes");
        let whole = served(&bundle, &objects).len();
        assert!(whole >= last, "{len} bytes");
        last = whole;
    }
    assert_eq!(last, objects.len());
}

#[test]
fn a_bundle_that_lost_both_ends_is_read_when_told() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.larder");
    let objects = objects();
    let mut bytes = write(&path, &objects);
    bytes[..16].fill(0);
    bytes.truncate(bytes.len() - FOOTER_LEN);
    fs::write(&path, &bytes).unwrap();
    assert!(BundleStorage::open(&path, "x".into(), Trust::Looks).unwrap().is_none());
    let bundle = BundleStorage::open(&path, "x".into(), Trust::Told).unwrap().unwrap();
    assert_eq!(served(&bundle, &objects).len(), objects.len());

    fs::write(&path, b"no bundle at all").unwrap();
    assert!(BundleStorage::open(&path, "x".into(), Trust::Told).unwrap().is_none());
    fs::write(&path, b"").unwrap();
    assert!(BundleStorage::open(&path, "x".into(), Trust::Told).unwrap().is_none());
}

/// A file with one object `a` and the directory that `change` makes of the right one.
fn with_directory(change: impl Fn(&mut Vec<DirectoryEntry>, &mut BundleFooter)) -> Vec<u8> {
    let id = BundleId([7; 16]);
    let mut bytes = BundleHeader { id, created_ms: 0 }.encode().to_vec();
    let mut entries = Vec::new();
    for name in ["a", "b"] {
        let entry = DirectoryEntry {
            stem: name.into(),
            is_hash_named: false,
            offset: bytes.len() as u64,
            len: 5,
            modified_ms: 9,
            hash: hash(b"bytes"),
        };
        bytes.extend(ObjectHeader::encode(id, name, 5, 9, entry.hash));
        bytes.extend(b"bytes");
        entries.push(entry);
    }
    let mut footer = BundleFooter {
        id,
        directory_offset: bytes.len() as u64,
        directory_len: 0,
        objects: 2,
        directory_hash: hash(b""),
    };
    change(&mut entries, &mut footer);
    let mut directory = Vec::new();
    entries.iter().for_each(|entry| entry.encode(&mut directory));
    // What `change` set is kept.
    if footer.directory_len == 0 {
        footer.directory_len = directory.len() as u64;
    }
    footer.directory_hash = hash(&directory);
    bytes.extend(directory);
    bytes.extend(footer.encode());
    bytes
}

#[test]
fn directories_that_lie_are_not_used() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.larder");
    let both: BTreeMap<String, Vec<u8>> =
        [("a".into(), b"bytes".to_vec()), ("b".into(), b"bytes".to_vec())].into();
    let try_with = |what: &str, change: &dyn Fn(&mut Vec<DirectoryEntry>, &mut BundleFooter)| {
        fs::write(&path, with_directory(change)).unwrap();
        let bundle = opened(&path);
        assert_eq!(served(&bundle, &both), ["a", "b"], "{what}");
        bundle.warning().map(str::to_owned)
    };
    assert_eq!(try_with("as it is", &|_, _| {}), None);
    type Change = Box<dyn Fn(&mut Vec<DirectoryEntry>, &mut BundleFooter)>;
    let lies: Vec<(&str, Change)> = vec![
        ("a huge length", Box::new(|entries, _| entries[0].len = u64::MAX)),
        ("one byte too long", Box::new(|entries, _| entries[1].len += 1)),
        ("a huge offset", Box::new(|entries, _| entries[0].offset = u64::MAX - 2)),
        ("in the header", Box::new(|entries, _| entries[0].offset = 63)),
        ("into the next", Box::new(|entries, _| entries[0].len += 1)),
        ("one place for two", Box::new(|entries, _| entries[1].offset = entries[0].offset)),
        ("the same name twice", Box::new(|entries, _| entries[1].stem = "a".into())),
        ("out of order", Box::new(|entries, _| entries.swap(0, 1))),
        ("a way out", Box::new(|entries, _| entries[0].stem = "../a".into())),
        ("an empty name", Box::new(|entries, _| entries[0].stem.clear())),
        ("a long name", Box::new(|entries, _| entries[0].stem = "a".repeat(201))),
        ("not all", Box::new(|entries, _| drop(entries.pop()))),
        ("of another bundle", Box::new(|_, footer| footer.id = BundleId([8; 16]))),
        ("too few objects", Box::new(|_, footer| footer.objects = 1)),
        ("endless objects", Box::new(|_, footer| footer.objects = u64::MAX)),
        ("an endless directory", Box::new(|_, footer| footer.directory_len = u64::MAX)),
        ("a short directory", Box::new(|_, footer| footer.directory_len = 1)),
        ("no directory", Box::new(|entries, _| entries.clear())),
        ("a directory at the end of all", Box::new(|_, footer| footer.directory_offset = u64::MAX)),
    ];
    for (what, change) in lies {
        assert!(try_with(what, &change).is_some(), "{what} is noticed");
    }
}

/// One name as a whole and as stem and hash: equal names are one.
#[test]
fn names_are_compared_as_a_whole() {
    let mut catalog = Catalog::default();
    let place = Place { offset: 64, len: 1, modified_ms: 0 };
    let name = format!("data/{}", hash(b"x"));
    catalog.insert(&name, hash(b"x"), place);
    catalog.insert(&name, hash(b"y"), Place { len: 2, ..place });
    assert_eq!(catalog.len(), 1);
    assert_eq!(catalog.find(&name), Some((Place { len: 2, ..place }, hash(b"y"))));
    catalog.insert(&name, hash(b"x"), place);
    assert_eq!(catalog.find(&name), Some((place, hash(b"x"))));
    catalog.remove(&name);
    assert_eq!(catalog.len(), 0);
}

#[test]
fn objects_of_a_bundle_in_a_bundle_are_not_taken_for_its_own() {
    let dir = tempfile::tempdir().unwrap();
    let (inner, outer) = (dir.path().join("inner"), dir.path().join("outer"));
    let bytes = write(&inner, &objects());
    let mut objects: BTreeMap<String, Vec<u8>> = [("data/aa/x".into(), bytes)].into();
    objects.insert("repo".into(), b"mine".to_vec());
    let writer = BundleWriter::create(&outer, &Runtime::default()).unwrap();
    for (name, bytes) in &objects {
        writer.put(name, &[bytes], PutMode::Content).unwrap();
    }
    writer.finish(Existing::Keep).unwrap();
    let mut bytes = fs::read(&outer).unwrap();
    // Neither the directory nor the header of the object around the inner bundle is there.
    bytes.truncate(bytes.len() - 1);
    bytes[HEADER_LEN] = 0;
    fs::write(&outer, &bytes).unwrap();
    assert_eq!(served(&opened(&outer), &objects), ["repo"]);
}

#[test]
fn a_bundle_of_a_newer_program_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.larder");
    let mut bytes = write(&path, &objects());
    bytes[16] = 2;
    let check = *blake3::hash(&bytes[..56]).as_bytes();
    bytes[56..64].copy_from_slice(&check[..8]);
    fs::write(&path, bytes).unwrap();
    let Err(Error::UnsupportedFormat { location, .. }) =
        BundleStorage::open(&path, "here".into(), Trust::Looks)
    else {
        panic!("it is of another version")
    };
    assert_eq!(location, "here");
}

#[test]
fn nothing_is_left_of_a_bundle_that_was_not_finished() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.larder");
    let files = || fs::read_dir(dir.path()).unwrap().count();
    let writer = BundleWriter::create(&path, &Runtime::default()).unwrap();
    writer.put("repo", &[b"x"], PutMode::CreateOnce).unwrap();
    assert_eq!((files(), path.exists()), (1, false));
    drop(writer);
    assert_eq!(files(), 0);

    fs::write(&path, "precious").unwrap();
    let writer = BundleWriter::create(&path, &Runtime::default()).unwrap();
    let refused = writer.finish(Existing::Keep).unwrap_err();
    assert!(matches!(refused, Error::Local { .. }), "{refused:?}");
    assert!(writer.put("a", &[b"x"], PutMode::Content).is_err());
    drop(writer);
    assert_eq!((files(), fs::read(&path).unwrap()), (1, b"precious".to_vec()));

    let writer = BundleWriter::create(&path, &Runtime::default()).unwrap();
    writer.finish(Existing::Replace).unwrap();
    assert!(writer.put("a", &[b"x"], PutMode::Content).is_err(), "it is finished");
    drop(writer);
    assert_eq!((files(), opened(&path).objects()), (1, 0));
    assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    assert!(BundleWriter::create(Path::new("/"), &Runtime::default()).is_err());
}

#[test]
fn sessions_stay_out_of_a_finished_bundle() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.larder");
    let writer = BundleWriter::create(&path, &Runtime::default()).unwrap();
    writer.put("sessions/a-1", &[b"he", b"re"], PutMode::Content).unwrap();
    writer.put("repo", &[b"x"], PutMode::Content).unwrap();
    assert_eq!(writer.get("sessions/a-1", 9).unwrap(), b"here");
    assert_eq!(list_sorted(&writer, "").unwrap().len(), 2);
    writer.finish(Existing::Keep).unwrap();
    assert_eq!(list_sorted(&opened(&path), "").unwrap().len(), 1);
}

#[test]
fn locations_lead_to_bundles_and_writes_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.larder");
    write(&path, &objects());
    symlink(&path, dir.path().join("link")).unwrap();
    let told = format!("bundle:{}", path.display());
    for text in [path.to_str().unwrap(), dir.path().join("link").to_str().unwrap(), &told] {
        let location = Location::parse(text).unwrap();
        let storage = crate::storage::open(&location).unwrap();
        assert_eq!(storage.get("repo", 99).unwrap(), b"what this is");
        let refused = storage.put("a", &[], PutMode::Content).unwrap_err();
        assert_eq!(refused.kind, StorageErrorKind::Denied);
        assert!(Error::from(refused).hint().unwrap().contains("import"));
        assert_eq!(storage.delete("repo").unwrap_err().kind, StorageErrorKind::Denied);
        assert!(crate::storage::create(&location, &[]).is_err());
    }
    assert_eq!(Location::parse(&told).unwrap().to_string(), path.display().to_string());
    let missing = Location::parse("bundle:/nowhere/at/all").unwrap();
    assert!(matches!(crate::storage::open(&missing), Err(Error::RepositoryMissing { .. })));
}

/// Makes storages in folders that go when this does.
struct Folders(Mutex<Vec<TempDir>>);

impl Folders {
    fn path(&self) -> PathBuf {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.larder");
        self.0.lock().push(dir);
        path
    }
}

const SCALE: Scale = Scale { objects: 300, exclusive: true };

#[test]
fn the_writer_conforms() {
    let folders = Folders(Mutex::default());
    conformance_at(SCALE, || {
        Arc::new(BundleWriter::create(&folders.path(), &Runtime::default()).unwrap())
    });
}

/// What is written goes into memory; before it is read, a bundle is made of it.
struct Through {
    memory: MemoryStorage,
    path: PathBuf,
    bundle: Mutex<Option<Arc<BundleStorage>>>,
}

impl Through {
    fn bundle(&self) -> Arc<BundleStorage> {
        let mut bundle = self.bundle.lock();
        Arc::clone(bundle.get_or_insert_with(|| {
            let writer = BundleWriter::create(&self.path, &Runtime::default()).unwrap();
            for name in self.memory.names() {
                let bytes = self.memory.bytes(&name).unwrap();
                writer.put(&name, &[&bytes], PutMode::Content).unwrap();
            }
            writer.finish(Existing::Replace).unwrap();
            Arc::new(opened(&self.path))
        }))
    }

    fn changed<T>(&self, change: impl FnOnce() -> T) -> T {
        let mut bundle = self.bundle.lock();
        *bundle = None;
        change()
    }
}

impl Storage for Through {
    fn location(&self) -> &str {
        "through"
    }
    fn put(&self, name: &str, parts: &[&[u8]], mode: PutMode) -> Result<(), StorageError> {
        self.changed(|| self.memory.put(name, parts, mode))
    }
    fn get(&self, name: &str, len_max: u64) -> Result<Vec<u8>, StorageError> {
        self.bundle().get(name, len_max)
    }
    fn get_range(&self, name: &str, offset: u64, buf: &mut [u8]) -> Result<(), StorageError> {
        self.bundle().get_range(name, offset, buf)
    }
    fn head(&self, name: &str) -> Result<ObjectMeta, StorageError> {
        self.bundle().head(name)
    }
    fn list(&self, prefix: &str, found: &mut dyn FnMut(ObjectMeta)) -> Result<(), StorageError> {
        self.bundle().list(prefix, found)
    }
    fn delete(&self, name: &str) -> Result<(), StorageError> {
        self.changed(|| self.memory.delete(name))
    }
}

#[test]
fn what_is_read_from_a_bundle_conforms() {
    let folders = Folders(Mutex::default());
    conformance_at(SCALE, || -> SharedStorage {
        Arc::new(Through {
            memory: MemoryStorage::new(),
            path: folders.path(),
            bundle: Mutex::default(),
        })
    });
}

#[test]
fn headers_keep_their_lengths() {
    let id = BundleId([1; 16]);
    assert_eq!(ObjectHeader::encode(id, "ab", 1, 2, hash(b"")).len(), OBJECT_HEADER_LEN + 2);
}
