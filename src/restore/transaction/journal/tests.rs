//! Journals that are whole, torn and damaged.

use super::*;

fn header() -> Header {
    Header {
        version: VERSION,
        id: "00".into(),
        repository: RepoId([1; 32]),
        snapshot: BackupId([2; 16]),
        target: ByteBuf::from(*b"/"),
        folders: Vec::new(),
    }
}

fn some_records() -> Vec<Record> {
    let path = ByteBuf::from(*b"a/\xff");
    let (identity, folder) = ((1, 2), 0);
    vec![
        Record::Begin,
        Record::Aside { path: path.clone(), identity, folder, number: 7 },
        Record::Put { path, identity, folder, from: None },
        Record::Committed,
    ]
}

fn written(records: &[Record]) -> (tempfile::TempDir, std::path::PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    let dir = File::open(folder.path()).expect("opens");
    let mut journal = Journal::create(&dir, &header(), 1 << 16).expect("makes");
    records.iter().for_each(|record| journal.append(record).expect("appends"));
    journal.sync(&Steps::default()).expect("writes");
    let path = folder.path().join("journal");
    assert!(path.metadata().expect("is there").len() >= 1 << 16, "space is set aside");
    (folder, path)
}

fn read(path: &std::path::Path) -> Option<Records> {
    Records::read(File::open(path).expect("opens")).expect("reads")
}

#[test]
fn what_was_written_comes_back() {
    let (_folder, path) = written(&some_records());
    let records = read(&path).expect("a journal");
    assert_eq!(records.header, header());
    assert!(records.has_begun && records.is_committed);
    let all: Vec<Record> = (0..records.len()).map(|at| records.get(at).expect("reads")).collect();
    let mut expected = some_records();
    if let Record::Put { path, from, .. } = &mut expected[2] {
        *from = Some(path.clone());
    }
    assert_eq!(all[1..], expected);
}

/// A tree that lies elsewhere: paths lose what is in front of it, those of staged entries not.
#[test]
fn paths_are_relative_to_where_the_tree_is() {
    let (_folder, path) = written(&some_records());
    let mut records = read(&path).expect("a journal");
    records.rebase(b"a").expect("nothing is outside");
    let paths = |record| match record {
        Record::Aside { path, .. } => (path, None),
        Record::Put { path, from, .. } => (path, from),
        other => panic!("{other:?}"),
    };
    let short = ByteBuf::from(*b"\xff");
    assert_eq!(paths(records.get(2).expect("reads")), (short.clone(), None));
    let staged = Some(ByteBuf::from(*b"a/\xff"));
    assert_eq!(paths(records.get(3).expect("reads")), (short, staged));
    for other in [&b"b"[..], b"a/\xff/c", b"a/"] {
        let mut records = read(&path).expect("a journal");
        records.rebase(other).expect("no folders");
        records.get(2).expect_err("it is outside");
    }
}

/// Cut off, zeroed or spoiled at every byte: what is before that is read, and of what is behind
/// a damaged record all; never a commit that was not written wholly.
#[test]
fn torn_tails_end_a_journal() {
    let (folder, path) = written(&some_records());
    let whole = std::fs::read(&path).expect("reads");
    let records = read(&path).expect("a journal");
    let ends: Vec<u64> = records.bodies.iter().map(|(at, len)| at + u64::from(*len)).collect();
    let last = *ends.last().expect("records");
    let torn = folder.path().join("torn");
    for at in 0..last as usize {
        let before = ends.iter().filter(|end| **end <= at as u64).count();
        let mut zeroed = whole.clone();
        zeroed[at..].fill(0);
        let mut spoiled = whole.clone();
        spoiled[at] ^= 0x5a;
        for bytes in [&whole[..at], &zeroed[..]] {
            std::fs::write(&torn, bytes).expect("writes");
            let found = read(&torn);
            assert_eq!(found.as_ref().map_or(0, Records::len), before, "torn at {at}");
            assert!(found.is_none_or(|found| !found.is_committed), "torn at {at}");
        }
        std::fs::write(&torn, &spoiled).expect("writes");
        let found = read(&torn);
        let others = if before == 0 { 0 } else { ends.len() - 1 };
        assert_eq!(found.as_ref().map_or(0, Records::len), others, "spoiled at {at}");
        let keeps_commit = before > 0 && before + 1 < ends.len();
        assert_eq!(found.is_some_and(|found| found.is_committed), keeps_commit, "at {at}");
    }
}

#[test]
fn other_versions_are_left_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let dir = File::open(folder.path()).expect("opens");
    let other = Header { version: VERSION + 1, ..header() };
    drop(Journal::create(&dir, &other, 10).expect("makes"));
    let file = File::open(folder.path().join("journal")).expect("opens");
    assert_eq!(Records::read(file).err().map(|e| e.kind()), Some(io::ErrorKind::Unsupported));
}
