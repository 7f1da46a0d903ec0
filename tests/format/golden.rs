//! Stored repositories of every format must stay readable for ever.
//!
//! While format 1 is a draft, a change of it makes new ones:
//! `cargo test --test format -- --ignored make_golden` (as any user but with user attributes on the
//! temporary folder), and the folder of the draft before is removed.

use std::fs;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use larder::archive::{BackupOptions, BackupReport, backup};
use larder::crypto::{KeyFileSecret, RecoveryCode, Suite};
use larder::format::{DRAFT, FORMAT_VERSION};
use larder::manager::{BundleOptions, OpenBundle, export_bundle};
use larder::model::BackupStrategy;
use larder::repository::{
    Author, InitOptions, KdfCost, OpenOptions, Password, RekeyOptions, Repository, Snapshot, Unlock,
};
use larder::restore::{RestoreOptions, restore};
use larder::runtime::{Random, Runtime, TestClock};
use larder::source::SourcePath;
use larder::storage::{LocalStorage, ReadOnlyStorage, SharedStorage};
use larder::verify::{CheckOptions, ReadData, check};
use serde_json::{Value, json};

use crate::support::TreeCopy;

/// The same path on every machine: it stands in the snapshots.
const SOURCE: &str = "/tmp/larder-golden";
const PASSWORD: &str = "Schlüssel und Speisekammer";
const KEY_FILE: &str =
    "larder-key-1:00112233445566778899aabbccddeeff0123456789abcdef0123456789abcdef";
/// 2023-11-14 22:13:20 UTC.
const LONG_AGO: i64 = 1_700_000_000;
/// When the backups are said to have been made: after any change time of the tree.
const BACKUP_MS: i64 = 1_950_000_000_000;

/// The folder of the format that this program writes.
pub(crate) fn folder() -> PathBuf {
    let name = format!("fixtures/golden-v{FORMAT_VERSION}-draft{DRAFT}");
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

pub(crate) fn expected() -> Value {
    let path = folder().join("expected.json");
    let text = fs::read_to_string(&path).unwrap_or_else(|error| {
        panic!("no golden repository of this format, `{}`: {error}", path.display())
    });
    serde_json::from_str(&text).expect("JSON")
}

fn text(value: &Value) -> &str {
    value.as_str().expect("text")
}

/// Where the recovery code of a repository stands: a rekey replaces it.
pub(crate) fn code_of(name: &str) -> &'static str {
    if name == "rekeyed" { "new_recovery_code" } else { "recovery_code" }
}

/// What opens each of the repositories.
fn unlocks(name: &str, expected: &Value) -> Vec<Unlock> {
    if name == "none" {
        return vec![Unlock::Nothing];
    }
    let code = RecoveryCode::parse(text(&expected[code_of(name)])).expect("a code");
    vec![
        Unlock::Password(Password::new(text(&expected["password"]))),
        Unlock::KeyFile(KeyFileSecret::parse(text(&expected["key_file"])).expect("a key file")),
        Unlock::Recovery(code),
    ]
}

fn local(folder: &Path) -> SharedStorage {
    Arc::new(LocalStorage::open(folder, folder.display().to_string()).expect("opens"))
}

/// The repositories, which nothing can write to, opened with every secret.
fn opened(name: &str) -> Vec<Repository> {
    let storage = local(&folder().join(name));
    unlocks(name, &expected())
        .iter()
        .map(|unlock| {
            let storage = Arc::new(ReadOnlyStorage::new(Arc::clone(&storage)));
            let options = OpenOptions::default();
            let repository = Repository::open(storage, unlock, &options, &Runtime::default());
            let repository = repository.expect("opens");
            assert!(repository.load_index().expect("loads").is_empty());
            repository
        })
        .collect()
}

fn snapshots(repository: &Repository, name: &str) -> Vec<Snapshot> {
    let list = repository.snapshots().expect("lists");
    assert!(list.bad.is_empty(), "{:?}", list.bad);
    let ids: Vec<String> = list.snapshots.iter().map(|s| s.id.to_string()).collect();
    let expected = expected();
    let known = expected[name].as_array().expect("ids");
    assert_eq!(ids, known.iter().map(text).collect::<Vec<_>>());
    list.snapshots
}

#[test]
fn every_secret_opens_them_and_they_are_whole() {
    for name in ["encrypted", "rekeyed", "none"] {
        for repository in opened(name) {
            let options = CheckOptions { read_data: ReadData::All, ..CheckOptions::default() };
            let report = check(&repository, &options, &Runtime::default()).expect("checks");
            assert_eq!(report.findings, [], "{name}");
            assert!(report.checked.chunks_read > 10 && report.checked.pages > 6, "{report:?}");
        }
    }
}

#[test]
fn snapshots_hold_what_was_there() {
    let expected = expected();
    for name in ["encrypted", "rekeyed", "none"] {
        let repository = opened(name).remove(0);
        let snapshots = snapshots(&repository, name);
        assert_eq!(snapshots[0].strategy(), BackupStrategy::Full);
        assert_eq!(snapshots[1].strategy(), BackupStrategy::Incremental);
        assert_eq!(snapshots[1].body.tags, ["golden"]);
        for (snapshot, tree) in snapshots.iter().zip(["first", "second"]) {
            assert_eq!(snapshot.host, "pantry");
            let copy = TreeCopy::of_snapshot(&repository, snapshot, Path::new(SOURCE));
            let copy = copy.expect("reads").to_json();
            assert_same(&copy, &expected[tree], &format!("{name}, {tree}"));
        }
    }
}

#[test]
fn they_are_restored() {
    let expected = expected();
    for name in ["encrypted", "rekeyed", "none"] {
        let repository = opened(name).remove(0);
        let snapshots = snapshots(&repository, name);
        let home = tempfile::tempdir().expect("a folder");
        let options = RestoreOptions {
            target: home.path().join("restored"),
            subtree: Some(SOURCE.as_bytes()[1..].to_vec()),
            ..RestoreOptions::default()
        };
        let report = restore(&repository, &snapshots[1], &options, &Runtime::default());
        assert!(report.expect("restores").is_complete());
        let copy = TreeCopy::of_folder(&options.target).to_json();
        assert_same(&copy, &expected["second"], name);
    }
}

/// The bundle of the encrypted repository.
fn bundle() -> PathBuf {
    folder().join("encrypted.larder")
}

#[test]
fn the_bundle_holds_what_was_there() {
    let expected = expected();
    for unlock in unlocks("encrypted", &expected) {
        let bundle = OpenBundle::open(&bundle(), &[unlock], &Runtime::default()).expect("opens");
        assert_eq!(bundle.damage, [""; 0]);
        let options = CheckOptions { read_data: ReadData::All, ..CheckOptions::default() };
        let report = check(&bundle.repository, &options, &Runtime::default()).expect("checks");
        assert_eq!(report.findings, []);
        let snapshots = snapshots(&bundle.repository, "encrypted");
        for (snapshot, tree) in snapshots.iter().zip(["first", "second"]) {
            let copy = TreeCopy::of_snapshot(&bundle.repository, snapshot, Path::new(SOURCE));
            assert_same(&copy.expect("reads").to_json(), &expected[tree], tree);
        }
    }
}

/// The cuts, ids and sizes of today are those of then: a backup of the same files into a copy of
/// the repository stores none of their content again.
#[test]
fn the_same_files_are_not_stored_again() {
    let home = tempfile::tempdir().expect("a folder");
    let source = home.path().join("tree");
    build(&source);
    change(&source);
    for name in ["encrypted", "rekeyed", "none"] {
        let copied = home.path().join(name);
        copy_folder(&folder().join(name), &copied);
        let unlock = unlocks(name, &expected()).pop().expect("one");
        let runtime = runtime(7, 1);
        let options = OpenOptions::default();
        let repository =
            Repository::open(local(&copied), &unlock, &options, &runtime).expect("opens");
        let packs = |repository: &Repository| repository.index().stats().data_packs;
        repository.load_index().expect("loads");
        let before = packs(&repository);
        let report = run(&repository, &source, BackupStrategy::Full, &runtime);
        assert!(report.stats.bytes_read > 0);
        assert_eq!(packs(&repository), before, "{name}: {:?}", report.stats);
    }
}

#[track_caller]
fn assert_same(found: &Value, expected: &Value, what: &str) {
    let (found, expected) =
        (found.as_object().expect("nodes"), expected.as_object().expect("nodes"));
    for (path, node) in expected {
        assert_eq!(found.get(path), Some(node), "{what}: `{path}`");
    }
    let more: Vec<_> = found.keys().filter(|path| !expected.contains_key(*path)).collect();
    assert!(more.is_empty(), "{what}: {more:?} should not be there");
}

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("makes a folder");
    for entry in fs::read_dir(from).expect("lists").flatten() {
        let target = to.join(entry.file_name());
        if entry.file_type().expect("a type").is_dir() {
            copy_folder(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).expect("copies");
        }
    }
}

fn runtime(seed: u64, day: i64) -> Runtime {
    let clock = Arc::new(TestClock::at_ms(BACKUP_MS + day * 86_400_000));
    Runtime { random: Random::seeded(seed), clock, ..Runtime::default() }
}

fn run(
    repository: &Repository,
    source: &Path,
    strategy: BackupStrategy,
    runtime: &Runtime,
) -> BackupReport {
    let options = BackupOptions {
        sources: vec![SourcePath::new(source).expect("a path")],
        host: Some("pantry".into()),
        user: Some("cook".into()),
        tags: vec!["golden".into()],
        description: "a small tree of everything".into(),
        strategy,
        ..BackupOptions::default()
    };
    backup(repository, &options, runtime).expect("backs up")
}

/// Text that shrinks well and repeats nowhere, so that it is cut into several chunks.
fn long_text(lines: u64) -> Vec<u8> {
    let line = |n: u64| format!("{n}: {:x}\n", n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40);
    (0..lines).map(line).collect::<String>().into_bytes()
}

/// A tree with everything that needs no root.
fn build(root: &Path) {
    let path = |name: &str| root.join(name);
    let write = |name: &str, bytes: &[u8]| fs::write(path(name), bytes).expect("writes");
    for folder in ["", "folder", "folder/empty", "many", "names"] {
        fs::create_dir(path(folder)).expect("makes a folder");
    }
    write("empty", b"");
    write("small", b"inline");
    write("folder/inline most", &[b'm'; 256]);
    write("folder/chunk least", &[b'c'; 257]);
    write("long", &long_text(60_000));
    write("folder/copy of long", &long_text(60_000));
    write("folder/program", b"#!/bin/sh\nexit 0\n");
    fs::hard_link(path("folder/program"), path("another name")).expect("links");
    symlink("folder/program", path("link")).expect("links");
    symlink("nowhere/at all", path("names/broken link")).expect("links");
    let odd: [&[u8]; 5] = [b"\xff\xfe", "größe".as_bytes(), b"new\nline", b"a-b", b"100%"];
    for (number, name) in odd.iter().enumerate() {
        use std::os::unix::ffi::OsStrExt;
        let name = root.join("names").join(std::ffi::OsStr::from_bytes(name));
        fs::write(name, format!("odd {number}")).expect("writes");
    }
    for number in 0..200 {
        write(
            &format!("many/{number:03}"),
            format!("file {number}\n").repeat(number % 30).as_bytes(),
        );
    }
    let sparse = fs::File::create(path("sparse")).expect("makes a file");
    sparse.set_len(10 << 20).expect("sets the length");
    sparse.write_all_at(b"in the middle", (5 << 20) + 17).expect("writes");
    // More pieces than an entry holds: a file with a list. One chunk, many holes.
    let pieces = fs::File::create(path("pieces")).expect("makes a file");
    for number in 0..300 {
        pieces.write_all_at(&[b'p'; 65_536], number * 131_072).expect("writes");
    }
    let mode = |bits| rustix::fs::Mode::from_raw_mode(bits);
    let node = |name: &str, kind| {
        rustix::fs::mknodat(rustix::fs::CWD, path(name), kind, mode(0o640), 0)
            .expect("makes a node");
    };
    node("fifo", rustix::fs::FileType::Fifo);
    node("socket", rustix::fs::FileType::Socket);
    let flags = rustix::fs::XattrFlags::empty();
    let set = |name: &str, key: &str, value: &[u8]| {
        // Not every temporary folder takes them; `make_golden` looks whether this one did.
        let _ = rustix::fs::setxattr(path(name), key, value, flags);
    };
    set("small", "user.mood", b"fine\0");
    set("folder", "user.empty", b"");
    set("long", "user.large", &[b'v'; 1000]);
    fs::set_permissions(path("folder/program"), fs::Permissions::from_mode(0o4755)).expect("sets");
    fs::set_permissions(path("folder/empty"), fs::Permissions::from_mode(0o1777)).expect("sets");
    fs::set_permissions(path("small"), fs::Permissions::from_mode(0o600)).expect("sets");
    set_times(root, 0);
}

/// What the second snapshot differs in.
fn change(root: &Path) {
    let path = |name: &str| root.join(name);
    fs::write(path("small"), b"still inline").expect("writes");
    fs::remove_file(path("empty")).expect("removes");
    fs::write(path("folder/new"), long_text(3000)).expect("writes");
    fs::rename(path("many/150"), path("many/renamed")).expect("renames");
    let mut text = long_text(60_000);
    text.splice(30_000..30_000, *b"one line more\n");
    fs::write(path("long"), text).expect("writes");
    set_times(root, 1000);
}

/// Sets the time of everything below `folder` and of itself, by its name.
fn set_times(folder: &Path, later: i64) {
    for entry in fs::read_dir(folder).expect("lists").flatten() {
        if entry.file_type().expect("a type").is_dir() {
            set_times(&entry.path(), later);
        } else {
            set_time(&entry.path(), later);
        }
    }
    set_time(folder, later);
}

fn set_time(path: &Path, later: i64) {
    let name = path.file_name().expect("a name").len() as i64;
    // One before 1970, one with all nanoseconds.
    let (secs, nanos) = match path.file_name().and_then(|name| name.to_str()) {
        Some("inline most") => (-1_000_000, 1),
        Some("chunk least") => (LONG_AGO, 999_999_999),
        Some("small" | "long" | "renamed" | "new") => (LONG_AGO + later + 1, 5),
        _ => (LONG_AGO + name, 0),
    };
    let time = rustix::fs::Timespec { tv_sec: secs, tv_nsec: nanos };
    let times = rustix::fs::Timestamps { last_access: time, last_modification: time };
    let flags = rustix::fs::AtFlags::SYMLINK_NOFOLLOW;
    rustix::fs::utimensat(rustix::fs::CWD, path, &times, flags).expect("sets times");
}

/// Makes the golden repositories of this format anew.
#[test]
#[ignore = "writes into fixtures/"]
fn make_golden() {
    let source = Path::new(SOURCE);
    assert!(!source.exists(), "{SOURCE} is in the way");
    let target = folder();
    let _ = fs::remove_dir_all(&target);
    let state = tempfile::tempdir().expect("a folder");
    let code = RecoveryCode::generate(&Random::seeded(42));
    let mut expected = json!({
        "source": SOURCE,
        "password": PASSWORD,
        "key_file": KEY_FILE,
        "recovery_code": &*code.to_text(),
    });
    build(source);
    assert_eq!(fs::metadata(source.join("another name")).expect("is there").nlink(), 2);
    let mut value = [0_u8; 8];
    let attribute = rustix::fs::getxattr(source.join("small"), "user.mood", &mut value[..]);
    assert_eq!(attribute, Ok(5), "the folder of {SOURCE} takes no attributes");
    // The code of the rekeyed one before it was rekeyed.
    expected["new_recovery_code"] = json!(&*code.to_text());
    let mut repositories = Vec::new();
    let all =
        [("encrypted", Suite::Aes256, 1), ("none", Suite::None, 3), ("rekeyed", Suite::Aes256, 5)];
    for (name, suite, seed) in all {
        let folder = target.join(name);
        fs::create_dir_all(&folder).expect("makes a folder");
        let init = InitOptions { suite, kdf: KdfCost::Standard, ..InitOptions::default() };
        let options = OpenOptions {
            cache_dir: None,
            state_dir: Some(state.path().join(name)),
            ..OpenOptions::default()
        };
        let runtime = runtime(seed, 0);
        let unlocks = unlocks(name, &expected);
        let repository = Repository::init(local(&folder), &unlocks, &init, &options, &runtime);
        repositories.push((name, repository.expect("makes a repository"), seed));
    }
    for (day, tree) in ["first", "second"].into_iter().enumerate() {
        if day == 1 {
            change(source);
            // Between its two snapshots, so that it has data of two epochs.
            let (_, repository, _) = repositories.last().expect("the rekeyed one");
            let mut show = |code: &RecoveryCode| {
                expected["new_recovery_code"] = json!(&*code.to_text());
                Ok(())
            };
            let options = RekeyOptions::default();
            repository.rekey(&options, &mut show, &runtime(500, 0)).expect("rekeys");
        }
        expected[tree] = TreeCopy::of_folder(source).to_json();
        for (name, repository, seed) in &repositories {
            let runtime = runtime(10 * seed + day as u64, day as i64);
            let report = run(repository, source, BackupStrategy::Incremental, &runtime);
            let id = report.snapshot.expect("a snapshot").id.to_string();
            match expected[name].as_array_mut() {
                Some(ids) => ids.push(id.into()),
                None => expected[name] = json!([id]),
            }
        }
    }
    let text = serde_json::to_string_pretty(&expected).expect("JSON");
    fs::write(target.join("expected.json"), text + "\n").expect("writes");
    fs::remove_dir_all(source).expect("removes");
    make_golden_bundle();
}

/// Makes the golden bundle of the encrypted repository that is there.
#[test]
#[ignore = "writes into fixtures/"]
fn make_golden_bundle() {
    let from = opened("encrypted").remove(0);
    let snapshots = snapshots(&from, "encrypted");
    let all: Vec<&Snapshot> = snapshots.iter().collect();
    let options = BundleOptions {
        author: Author { host: "pantry".into(), user: "cook".into() },
        replace: true,
        ..BundleOptions::default()
    };
    let unlocks = unlocks("encrypted", &expected());
    export_bundle(&from, &all, &bundle(), &unlocks, &options, &runtime(77, 1)).expect("exports");
}
