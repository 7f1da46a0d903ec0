use std::path::PathBuf;
use std::sync::Arc;

use super::*;
use crate::crypto::Suite;
use crate::error::StorageErrorKind;
use crate::format::list::{
    ListChild, encode_inner as encode_list_inner, encode_leaf as encode_list,
};
use crate::format::log::{Moment, SnapshotBody};
use crate::format::page::{Child, encode_inner, encode_leaf, encode_xattrs};
use crate::format::record::Bin;
use crate::model::{
    BackupId, ChunkId, Content, Entry, FileKind, ObjectHash, PageId, Piece, Time, Xattr, XattrsRef,
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
        path: path.into(),
        kind,
        mode: 0o644,
        owner: Arc::default(),
        mtime: Time { secs: 1, nanos: 2 },
        ctime: Time { secs: 3, nanos: 4 },
        atime: None,
        inode: 5,
        nlink: 1,
        size,
        content,
        link_to: None,
        sparse: false,
        torn: false,
        inode_flags: 0,
        xattrs: XattrsRef::None,
        device: None,
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
        let lab = Self { storage: Arc::new(MemoryStorage::new()), suite, state_dir: None };
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
        let options = OpenOptions { cache_dir: None, state_dir: self.state_dir.clone() };
        Repository::open(self.shared(), &self.unlock(), &options, &runtime(2)).unwrap()
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
            strategy: 1,
            roots: vec![Bin(b"/src".to_vec())],
            series: ObjectHash([0; 32]),
            tags: Vec::new(),
            description: String::new(),
            start_ms: seed as i64,
            end_ms: seed as i64,
            racy_since: Moment { secs: 0, nanos: 0 },
            root,
            depth,
            entries: entries.len() as u64,
            files: files.clone().count() as u64,
            folders: entries.iter().filter(|e| e.kind == FileKind::Dir).count() as u64,
            bytes: files.map(|e| e.size).sum(),
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

#[test]
fn a_whole_repository_is_clean_and_everything_is_looked_at() {
    for suite in [Suite::Aes256, Suite::None] {
        let lab = Lab::with(suite);
        lab.snapshot(1, tree(1));
        lab.snapshot(2, tree(2));
        let report = lab.check_all();
        assert_eq!(report.findings, []);
        assert!(report.is_clean());
        let checked = report.checked;
        assert_eq!((checked.snapshots, checked.packs), (2, 4));
        // Root, four leaves, three list pages and one of attributes; then two changed ones.
        assert_eq!(checked.pages, 9 + 2, "{checked:?}");
        assert_eq!(checked.chunks_read, 8 + 11);
        let stored: u64 = lab
            .names("data/")
            .iter()
            .chain(&lab.names("meta/"))
            .map(|name| lab.storage.head(name).unwrap().len)
            .sum();
        assert_eq!((checked.packs_read, checked.bytes_read), (4, stored));
    }
}

#[test]
fn every_flipped_byte_of_every_object_is_found() {
    let lab = Lab::filled();
    for name in lab.storage.names() {
        let len = lab.storage.bytes(&name).unwrap().len();
        for at in [9, 100, len - 33, len - 1] {
            // Without these it is no repository or does not open, and check is not reached.
            if ["repo", "keys/", "keyring/", "config/"].iter().any(|f| name.starts_with(f)) {
                continue;
            }
            lab.storage.damage(&name, |bytes| bytes[at] ^= 0x10);
            let report = lab.check_all();
            assert!(!report.is_clean(), "{name} at {at}");
            lab.storage.damage(&name, |bytes| bytes[at] ^= 0x10);
        }
    }
    assert!(lab.check_all().is_clean());
}

#[test]
fn a_second_bad_key_or_configuration_is_found() {
    let lab = Lab::filled();
    for folder in ["keys/", "keyring/", "config/"] {
        let name = lab.names(folder).remove(0);
        let mut bytes = lab.storage.bytes(&name).unwrap().to_vec();
        bytes[70] ^= 1;
        let file = name.rsplit('/').next().unwrap();
        let prefix = file.split_once('-').map_or(String::new(), |(number, _)| format!("{number}-"));
        let hash = crate::crypto::object_hash(&[b"another"]);
        let planted = format!("{folder}{prefix}{hash}");
        lab.storage.replace(&planted, &bytes);
        let report = lab.check(&CheckOptions::default());
        assert_eq!(report.findings.len(), 1, "{:?}", report.findings);
        assert_eq!(report.findings[0].object, planted);
        lab.storage.remove(&planted);
    }
}

#[test]
fn a_lost_pack_names_the_files_of_every_snapshot() {
    let lab = Lab::filled();
    // The first snapshot's data: all but the second version of one file.
    let by_size = |name: &String| lab.storage.bytes(name).unwrap().len();
    let pack = lab.names("data/").into_iter().max_by_key(by_size).unwrap();
    lab.storage.remove(&pack);
    let report = lab.check(&CheckOptions::default());
    assert_eq!(report.damaged, 1, "one finding for all that was in it: {:?}", report.findings);
    assert_eq!((&*report.findings[0].object, &*report.findings[0].what), (&*pack, "it is missing"));
    let [second, first] = &report.hits.snapshots[..] else { panic!("{:?}", report.hits) };
    let common = ["/src/a/linked", "/src/a/shared", "/src/b/%25", "/src/listed", "/src/z/link"];
    assert_eq!(paths(second), common);
    let all: Vec<&str> = [&common[..3], &["/src/changed"], &common[3..]].concat();
    assert_eq!(paths(first), all);
    assert_eq!(first.lost_bytes, 11 + 1_200_000 * 2 + 5000 + 36_000);
    let few = lab.check(&CheckOptions { files_max: 2, ..CheckOptions::default() });
    assert_eq!(few.hits.left_out, 9);
    assert_eq!(few.hits.snapshots.iter().map(|s| s.files.len()).sum::<usize>(), 2);
}

#[test]
fn one_bad_segment_hits_only_what_is_in_it() {
    let lab = Lab::filled();
    let repository = lab.open();
    repository.load_index().unwrap();
    let id = repository.constants().chunk_id(&noise(10, 1_200_000));
    let place = repository.index().find(&id.0).unwrap();
    let pack = repository.index().pack(place.pack).object_name();
    let segment = repository.index().segment(place.pack, place.segment_no).unwrap();
    lab.storage.damage(&pack, |bytes| bytes[segment.offset as usize + 80] ^= 1);
    assert!(lab.check(&CheckOptions::default()).is_clean(), "structure alone does not see it");
    let report = lab.check_all();
    assert_eq!(report.damaged, 2, "the pack's hash and the segment: {:?}", report.findings);
    for hit in &report.hits.snapshots {
        assert_eq!(paths(hit), ["/src/a/shared", "/src/b/%25"]);
    }
    assert_eq!(report.hits.snapshots.len(), 2);
}

#[test]
fn a_chunk_with_a_good_copy_is_not_lost() {
    let lab = Lab::filled();
    let pack = lab.names("data/").remove(0);
    let others = lab.storage.fork();
    lab.storage.remove(&pack);
    // Backing up again stores what is lost anew; the bad copy comes back beside it.
    lab.snapshot(3, tree(1));
    lab.snapshot(4, tree(2));
    assert_eq!(lab.check_all().hits, Hits::default(), "the new copies stand in");
    let mut bytes = others.bytes(&pack).unwrap().to_vec();
    bytes[90] ^= 1;
    lab.storage.replace(&pack, &bytes);
    let report = lab.check_all();
    assert!(report.damaged > 0);
    assert_eq!(report.hits, Hits::default(), "{:?}", report.findings);
}

#[test]
fn a_truncated_pack_keeps_what_is_before_its_end() {
    let lab = Lab::new();
    lab.snapshot(1, |maker| {
        let files = (0..8).map(|n| file(&format!("{n}"), vec![maker.chunk(&noise(n, 1_100_000))]));
        files.collect()
    });
    let pack = lab.names("data/").remove(0);
    lab.storage.damage(&pack, |bytes| bytes.truncate(bytes.len() / 2));
    let structure = lab.check(&CheckOptions::default());
    let lost = structure.hits.snapshots[0].file_count;
    assert!((3..=5).contains(&lost), "{:?}", structure.hits);
    let all = lab.check_all();
    assert_eq!(all.hits, structure.hits);
    assert_eq!(all.damaged, 2, "its length, its bytes: {:?}", all.findings);
}

#[test]
fn unreadable_pages_name_what_is_known_of_them() {
    let lab = Lab::new();
    lab.snapshot(1, tree(1));
    let name = lab.names("meta/").remove(0);
    lab.storage.damage(&name, |bytes| bytes[64..].fill(0));
    let report = lab.check(&CheckOptions::default());
    assert!(!report.is_clean());
    assert_eq!(
        report.hits.snapshots[0].ranges,
        [HitRange { after: None, last: None, entries: None }]
    );
}

#[test]
fn a_missing_leaf_is_named_by_its_borders() {
    let lab = Lab::new();
    lab.raw_snapshot(1, |maker| {
        let entries: Vec<Entry> = ["a", "b", "c", "d"].map(folder).into();
        let mut children: Vec<Child> = entries.chunks(2).map(|part| maker.leaf(part)).collect();
        children[1].page = PageId([9; 32]);
        (maker.page(&encode_inner(1, &children)), 1, entries)
    });
    let report = lab.check(&CheckOptions::default());
    let object = format!("page {}", PageId([9; 32]));
    assert!(report.findings.iter().any(|f| f.object == object), "{:?}", report.findings);
    let range = HitRange { after: Some("/b".into()), last: Some("/d".into()), entries: Some(2) };
    assert_eq!(report.hits.snapshots[0].ranges, [range]);
}

#[test]
fn manifests_that_lie_are_found() {
    type Change = fn(&mut Maker<'_>, &mut Vec<Entry>) -> (PageId, u8);
    let lies: [(&str, Change); 8] = [
        ("a file in no folder", |maker, entries| {
            entries.retain(|e| e.path != b"src/b");
            maker.manifest(entries)
        }),
        ("a file in a file, in the next page", |maker, entries| {
            entries.iter_mut().filter(|e| e.path == b"src/b").for_each(|e| e.kind = FileKind::Fifo);
            maker.manifest(entries)
        }),
        ("pages in the wrong order", |maker, entries| {
            let mut children: Vec<Child> = entries.chunks(3).map(|p| maker.leaf(p)).collect();
            let (first, last) = (children[0].last.clone(), children[1].last.clone());
            children.swap(0, 1);
            (children[0].last, children[1].last) = (first, last);
            (maker.page(&encode_inner(1, &children)), 1)
        }),
        ("another count", |maker, entries| {
            let mut children: Vec<Child> = entries.chunks(3).map(|p| maker.leaf(p)).collect();
            children[1].files += 1;
            (maker.page(&encode_inner(1, &children)), 1)
        }),
        ("a depth that is not so", |maker, entries| (maker.manifest(entries).0, 2)),
        ("a chunk of another length", |maker, entries| {
            let Piece::Chunk(id, len) = maker.chunk(b"some") else { unreachable!() };
            entries.push(file("t", vec![Piece::Chunk(id, len + 1)]));
            maker.manifest(entries)
        }),
        ("a chunk that nobody stored", |maker, entries| {
            entries.push(file("t", vec![Piece::Chunk(ChunkId([1; 32]), 5)]));
            maker.manifest(entries)
        }),
        ("attributes that are a leaf", |maker, entries| {
            entries[0].xattrs = XattrsRef::Page(maker.page(&encode_leaf(&[])));
            maker.manifest(entries)
        }),
    ];
    for (what, lie) in lies {
        let lab = Lab::new();
        lab.raw_snapshot(1, |maker| {
            let mut entries = tree(1)(maker);
            let (root, depth) = lie(maker, &mut entries);
            (root, depth, entries)
        });
        let report = lab.check(&CheckOptions::default());
        assert!(!report.is_clean(), "{what}");
    }
}

/// A page that is good in one snapshot may stand in a place where it is wrong in another.
#[test]
fn shared_pages_are_judged_by_their_place() {
    let lab = Lab::new();
    let parts = |maker: &mut Maker<'_>, swap: bool| {
        let (a, b) = ([folder("a"), folder("b")], [folder("b/c"), folder("d")]);
        let fifo = entry("b", FileKind::Fifo, Content::None);
        let first = if swap { maker.leaf(&[a[0].clone(), fifo]) } else { maker.leaf(&a) };
        let children = [first, maker.leaf(&b)];
        let entries = a.iter().chain(&b).cloned().collect::<Vec<_>>();
        (maker.page(&encode_inner(1, &children)), 1, entries)
    };
    lab.raw_snapshot(1, |maker| parts(maker, false));
    assert!(lab.check(&CheckOptions::default()).is_clean());
    lab.raw_snapshot(2, |maker| parts(maker, true));
    let report = lab.check(&CheckOptions::default());
    assert!(report.findings.iter().any(|f| f.what.contains("no folder")), "{:?}", report.findings);
}

#[test]
fn packs_of_an_interrupted_run_are_no_damage() {
    let lab = Lab::new();
    let repository = lab.open();
    let writer = repository.pack_writer(&WriterOptions::default(), &runtime(5));
    let mut segments = writer.segment_writer(SegmentUse::Files);
    let bytes = noise(1, 4000);
    segments.push(&repository.constants().chunk_id(&bytes).0, &bytes).unwrap();
    segments.flush().unwrap();
    drop(segments);
    writer.finish().unwrap();
    lab.names("index/").iter().for_each(|name| lab.storage.remove(name));
    let report = lab.check_all();
    assert!(report.is_clean());
    assert_eq!(report.findings.len(), 1);
    assert_eq!(report.findings[0].severity, Severity::Note);
}

#[test]
fn a_record_taken_out_of_a_chain_is_noticed() {
    let mut lab = Lab::new();
    let folder = tempfile::tempdir().unwrap();
    lab.state_dir = Some(folder.path().into());
    (1..=3).for_each(|n| _ = lab.snapshot(n, tree(n)));
    assert_eq!(lab.check(&CheckOptions::default()).findings, []);
    let records = lab.names("snapshots/");
    lab.storage.remove(&records[1]);
    let report = lab.check(&CheckOptions::default());
    assert_eq!((report.damaged, report.findings[0].severity), (1, Severity::Damage));
    assert!(report.findings[0].what.contains("is missing"), "{}", report.findings[0]);
}

#[test]
fn parts_are_disjoint_and_together_everything() {
    let lab = Lab::filled();
    let read = |subset| {
        let options =
            CheckOptions { read_data: ReadData::Subset(subset), ..CheckOptions::default() };
        lab.check(&options).checked.packs_read
    };
    let parts: u64 = (1..=3).map(|number| read(Subset::Part { number, parts: 3 })).sum();
    assert_eq!(parts, 4);
    assert_eq!(read(Subset::Percent(0.1)), 1);
    assert_eq!(read(Subset::Percent(100.0)), 4);
    assert_eq!(read(Subset::Bytes(1)), 1);
    assert_eq!(read(Subset::Bytes(1 << 40)), 4);
}

#[test]
fn subsets_are_read_as_people_write_them() {
    assert_eq!("5%".parse(), Ok(Subset::Percent(5.0)));
    assert_eq!("2.5 %".parse(), Ok(Subset::Percent(2.5)));
    assert_eq!("1/7".parse(), Ok(Subset::Part { number: 1, parts: 7 }));
    assert_eq!("2G".parse(), Ok(Subset::Bytes(2 << 30)));
    for wrong in ["", "0%", "101%", "-1%", "nan%", "0/7", "8/7", "1/0", "a/b", "0", "x"] {
        assert!(wrong.parse::<Subset>().is_err(), "{wrong}");
    }
}

#[test]
fn only_the_chosen_snapshots_are_walked_and_only_their_packs_read() {
    let lab = Lab::new();
    let first = lab.snapshot(1, |maker| vec![file("a", vec![maker.chunk(&noise(1, 3000))])]);
    let second = lab.snapshot(2, |maker| vec![file("b", vec![maker.chunk(&noise(2, 3000))])]);
    let options = |id| CheckOptions {
        snapshots: Some(vec![id]),
        read_data: ReadData::All,
        ..CheckOptions::default()
    };
    let report = lab.check(&options(second));
    assert_eq!((report.checked.snapshots, report.checked.packs_read), (1, 2));
    let unknown = check(&lab.open(), &options(BackupId([9; 16])), &runtime(1));
    assert!(matches!(unknown, Err(Error::NotFound { what: "snapshot", .. })));
    assert_ne!(first, second);
}

impl Lab {
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
}

/// A bad sector below one object must not hide what is wrong with the others.
#[test]
fn unreadable_objects_are_damage_and_the_rest_is_checked() {
    let lab = Lab::filled();
    for folder in ["data/", "meta/", "index/", "snapshots/", "keys/", "config/"] {
        let name = lab.names(folder).remove(0);
        let report = lab.check_with_failing_reads(&name, StorageErrorKind::Permanent).unwrap();
        assert!(report.findings.iter().any(|f| f.object == name), "{:?}", report.findings);
        assert!(!report.is_clean());
    }
    let name = lab.names("data/").remove(0);
    let report = lab.check_with_failing_reads(&name, StorageErrorKind::Permanent).unwrap();
    assert_eq!(report.checked.packs_read, 3);
    assert!(!report.hits.snapshots.is_empty());
}

/// What could not be asked is not called damaged.
#[test]
fn storage_out_of_reach_ends_a_check() {
    let lab = Lab::filled();
    for folder in ["data/", "meta/", "index/", "snapshots/", "keys/"] {
        let result = lab.check_with_failing_reads(folder, StorageErrorKind::Temporary);
        assert!(matches!(result, Err(Error::Storage(_))), "{folder}");
    }
}

#[test]
fn a_cancelled_check_stops() {
    let lab = Lab::filled();
    let runtime = runtime(1);
    runtime.cancel.cancel();
    let result = check(&lab.open(), &CheckOptions::default(), &runtime);
    assert!(matches!(result, Err(Error::Cancelled { .. })));
}
