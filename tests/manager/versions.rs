//! All versions of a path.

use std::fs;

use larder::crypto::Suite;
use larder::model::BackupId;
use larder::runtime::CancelToken;
use larder::storage::record::Operation;
use larder::tree::{FindQuery, Finder, Manifest, PathHistory, VersionChange, history};

use crate::support::{Lab, LabOptions, set_times};

const SNAPSHOTS: usize = 50;
const FOLDERS: usize = 40;
const FILES: usize = 50;

fn plain() -> LabOptions {
    LabOptions { suite: Suite::None, samples: false, entries: 0, ..LabOptions::default() }
}

fn path_in(lab: &Lab, name: &str) -> Vec<u8> {
    lab.source().join(name).to_str().expect("a plain path").trim_start_matches('/').into()
}

fn versions_of(lab: &Lab, name: &str) -> PathHistory {
    let repository = lab.open();
    let list = repository.snapshots().expect("lists");
    lab.record.clear();
    history(&repository, &list.snapshots, &path_in(lab, name), &CancelToken::default())
        .expect("has a history")
}

/// Fifty snapshots of a tree of two thousand files, a few of which change each time. Its
/// versions are found with a handful of small reads, none of them of file content.
#[test]
fn only_pages_on_the_path_are_read() {
    let lab = Lab::with(1300, plain());
    let name = |number: usize| format!("folder{:02}/file{number:04}", number % FOLDERS);
    let write = |number: usize, round: usize| {
        let path = lab.tree().path(name(number));
        fs::create_dir_all(path.parent().expect("in a folder")).expect("makes a folder");
        fs::write(&path, format!("round {round} of {number}\n")).expect("writes");
        set_times(&path, 1_700_000_000 + round as i64, 0);
    };
    (0..FOLDERS * FILES).for_each(|number| write(number, 0));
    let watched = 1234;
    let mut ids: Vec<BackupId> = Vec::new();
    for round in 0..SNAPSHOTS {
        if round > 0 {
            (1..6).for_each(|step| write((round * 577 + step * 311) % (FOLDERS * FILES), round));
            if round % 10 == 0 {
                write(watched, round);
            }
        }
        ids.push(lab.backup().snapshot.expect("commits").id);
    }
    let found = versions_of(&lab, &name(watched));
    let series = &found.series[0];
    let firsts: Vec<BackupId> = series.versions.iter().map(|version| version.first.id).collect();
    let rounds: Vec<usize> =
        firsts.iter().map(|id| ids.iter().position(|i| i == id).expect("one of them")).collect();
    assert!([0, 10, 20, 30, 40].iter().all(|round| rounds.contains(round)), "{rounds:?}");
    assert_eq!(series.versions.iter().map(|v| v.snapshots).sum::<u64>(), SNAPSHOTS as u64);
    assert_eq!(found.snapshots, SNAPSHOTS as u64);

    let reads = |prefix| {
        let count = |operation| lab.record.count(operation, prefix);
        count(Operation::GetRange) + count(Operation::Get)
    };
    assert_eq!(reads("data/"), 0, "no content is read");
    let calls = reads("meta/");
    assert!(calls <= SNAPSHOTS, "{calls} reads for {SNAPSHOTS} snapshots");
    let depth = Manifest::of(&lab.open().snapshots().expect("lists").snapshots[0]).depth();
    let pages_max = SNAPSHOTS as u64 * (u64::from(depth) + 1);
    assert!(found.pages_read <= pages_max, "{} pages", found.pages_read);

    // To look at every page once, for comparison.
    let repository = lab.open();
    let mut finder = Finder::new(&repository, FindQuery::default()).expect("finds everything");
    for snapshot in &repository.snapshots().expect("lists").snapshots {
        finder.search(&Manifest::of(snapshot), &mut |entry| entry.map(|_| ())).expect("reads");
    }
    let all_pages = finder.pages_read();
    assert!(found.pages_read * 2 < all_pages, "{} of {all_pages} pages", found.pages_read);
}

/// A file of which no snapshot is different costs a single read, whatever else changed beside it.
#[test]
fn unchanged_snapshots_cost_nothing() {
    let lab = Lab::with(1301, plain());
    fs::write(lab.tree().path("letter"), "Dear Ann,\n").expect("writes");
    for _ in 0..12 {
        lab.backup();
    }
    let found = versions_of(&lab, "letter");
    assert_eq!((found.series[0].versions.len(), found.snapshots), (1, 12));
    assert_eq!(lab.record.count(Operation::GetRange, "meta/"), 1);
}

/// A file that comes, changes, loses rights, goes and comes back; a folder that tells of it all.
#[test]
fn files_and_folders_have_versions() {
    let lab = Lab::with(1302, plain());
    let file = lab.tree().path("d/letter");
    fs::create_dir_all(file.parent().expect("in a folder")).expect("makes a folder");
    let mut steps: Vec<Box<dyn Fn()>> = Vec::new();
    let path = || file.clone();
    steps.push(Box::new(|| ()));
    for text in ["one", "two and more"] {
        let file = path();
        steps.push(Box::new(move || fs::write(&file, text).expect("writes")));
    }
    let file = path();
    steps.push(Box::new(move || {
        use std::os::unix::fs::PermissionsExt;
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).expect("sets a mode");
    }));
    let file = path();
    steps.push(Box::new(move || fs::remove_file(&file).expect("removes")));
    let file = path();
    steps.push(Box::new(move || fs::write(&file, "again").expect("writes")));
    for step in steps {
        step();
        lab.backup();
        lab.backup();
    }
    let changes = |name: &str| -> Vec<(&str, u64)> {
        let found = versions_of(&lab, name);
        let versions = found.series[0].versions.iter();
        let word = |change: VersionChange| match change {
            VersionChange::First => "first",
            VersionChange::Appeared => "appeared",
            VersionChange::Content(_) => "content",
            VersionChange::Metadata(_) => "metadata",
            VersionChange::Kind => "kind",
            VersionChange::Removed => "removed",
        };
        versions.map(|version| (word(version.change), version.snapshots)).collect()
    };
    let file_changes =
        [("appeared", 2), ("content", 2), ("metadata", 2), ("removed", 2), ("appeared", 2)];
    assert_eq!(changes("d/letter"), file_changes);
    let folder_changes = [
        ("first", 2),
        ("content", 2),
        ("content", 2),
        ("metadata", 2),
        ("content", 2),
        ("content", 2),
    ];
    assert_eq!(changes("d"), folder_changes);
}
