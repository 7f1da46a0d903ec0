//! Bundles: repositories in one file.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use larder::archive::backup;
use larder::crypto::Suite;
use larder::error::{Error, Result};
use larder::format::log::LogKind;
use larder::manager::{
    BundleOptions, BundleReport, CopyOptions, CopyOutcome, ExportFormat, ExportRequest,
    ImportedBundle, OpenBundle, copy, export_bundle, import_bundle,
};
use larder::model::{BackupId, Encryption};
use larder::repository::{
    Author, InitOptions, KdfCost, OpenOptions, Password, Repository, Snapshot, Unlock,
};
use larder::retention::{Candidate, TimeStanding};
use larder::runtime::{CancelToken, Runtime};
use larder::storage::{LocalStorage, Location, SharedStorage};
use larder::verify::{CheckOptions, ReadData, check};
use tempfile::TempDir;

use crate::shop::{Shop, ShopOptions};
use crate::support::{Lab, LabOptions, TreeCopy};

/// What opens the bundles here.
const WORD: &str = "the word for the bundle";

fn unlocks() -> [Unlock; 1] {
    [Unlock::Password(Password::new(WORD))]
}

fn options() -> BundleOptions {
    BundleOptions {
        kdf: KdfCost::CheapForTests,
        author: Author { host: "lab".into(), user: "tester".into() },
        ..BundleOptions::default()
    }
}

fn small(suite: Suite) -> LabOptions {
    LabOptions { suite, samples: false, entries: 12, ..LabOptions::default() }
}

fn export(lab: &Lab, ids: &[BackupId], path: &Path) -> Result<BundleReport> {
    let from = lab.open();
    let list = from.snapshots().expect("lists");
    let chosen: Vec<&Snapshot> =
        list.snapshots.iter().filter(|snapshot| ids.contains(&snapshot.id)).collect();
    assert_eq!(chosen.len(), ids.len());
    let none = from.suite() == Suite::None;
    let unlocks = unlocks();
    let unlocks = if none { &[] } else { &unlocks[..] };
    export_bundle(&from, &chosen, path, unlocks, &options(), &lab.runtime())
}

fn import(lab: &Lab, into: &Repository, path: &Path) -> Result<ImportedBundle> {
    import_bundle(into, path, &unlocks(), None, &options(), &lab.runtime())
}

/// A new repository in a folder of this machine.
fn on_disk(path: &Path, lab: &Lab) -> Repository {
    fs::create_dir_all(path).expect("makes a folder");
    let storage: SharedStorage =
        Arc::new(LocalStorage::open(path, path.display().to_string()).expect("opens"));
    let init = InitOptions { kdf: KdfCost::CheapForTests, ..InitOptions::default() };
    let password = [Unlock::Password(Password::new("of the other"))];
    let repository =
        Repository::init(storage, &password, &init, &OpenOptions::default(), &lab.runtime());
    let repository = repository.expect("inits");
    repository.load_index().expect("loads");
    repository
}

/// The bundle as any command opens it.
fn opened(path: &Path, lab: &Lab) -> Result<Repository> {
    let location = Location::from_path(path)?;
    let storage = larder::storage::open(&location)?;
    let [unlock] = unlocks();
    let state = OpenOptions {
        cache_dir: None,
        state_dir: Some(lab.scratch("bundle-state")),
        ..OpenOptions::default()
    };
    let repository = Repository::open(storage, &unlock, &state, &lab.runtime())?;
    repository.load_index()?;
    Ok(repository)
}

fn assert_clean(repository: &Repository) {
    let all = CheckOptions { read_data: ReadData::All, ..CheckOptions::default() };
    let report = check(repository, &all, &Runtime::default()).expect("checks");
    assert!(report.is_clean(), "{report:?}");
}

fn about(kind: LogKind, repository: &Repository, id: BackupId, runtime: &Runtime) {
    let list = repository.snapshots().expect("lists");
    let found: Vec<&Snapshot> = list.snapshots.iter().filter(|one| one.id == id).collect();
    assert_eq!(found.len(), 1);
    let author = options().author;
    repository.append_about(kind, &found, "", &author, &list, runtime).expect("says so");
}

fn files_in(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("lists").flatten();
    entries.map(|entry| entry.path()).collect()
}

/// What became of the only snapshot.
fn outcome(report: &ImportedBundle) -> &CopyOutcome {
    assert_eq!(report.snapshots.len(), 1, "{report:?}");
    &report.snapshots[0].outcome
}

/// A lab with three snapshots, and a folder for files.
fn lab_with_three() -> (Lab, TempDir) {
    let mut lab = Lab::seeded(41);
    for name in ["first", "second", "third"] {
        lab.tree().edit(8);
        lab.backup_named(name);
    }
    (lab, tempfile::tempdir().expect("a folder"))
}

#[test]
fn a_bundle_opens_as_a_repository_that_is_only_read() {
    let (lab, dir) = lab_with_three();
    let folder = dir.path().join("medium");
    fs::create_dir(&folder).expect("makes a folder");
    let path = folder.join("some.larder");
    let ids = [lab.id_of("first"), lab.id_of("third")];
    let report = export(&lab, &ids, &path).expect("exports");
    assert_eq!((report.copied(), report.failed()), (2, 0));
    assert_eq!(report.encryption, Encryption::Aes256);
    assert_eq!(report.len, path.metadata().expect("is there").len());
    assert_eq!(files_in(&folder), std::slice::from_ref(&path));
    fs::set_permissions(&path, fs::Permissions::from_mode(0o400)).expect("sets a mode");
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o500)).expect("sets a mode");

    let bundle = opened(&path, &lab).expect("opens");
    assert_eq!(bundle.storage().warning(), None);
    assert_clean(&bundle);
    let list = bundle.snapshots().expect("lists");
    assert!(list.bad.is_empty() && list.rollback.is_empty(), "{list:?}");
    let listed: Vec<BackupId> = list.snapshots.iter().map(|snapshot| snapshot.id).collect();
    assert_eq!(listed, ids, "snapshots keep their ids");
    let standings = Candidate::all_of(&list);
    assert!(standings.iter().all(|one| one.time_standing() == TimeStanding::InTime));
    for name in ["first", "third"] {
        let (snapshot, copy) = lab.remembered(&bundle, name);
        assert_eq!(lab.read(&bundle, &snapshot).expect("reads"), *copy);
        let original = lab.remembered(&lab.open(), name).0;
        assert_eq!(snapshot.body.root, original.body.root, "nothing was cut anew");
        assert_eq!(snapshot.body.original, original.body.original);
    }
    // No writer gets anywhere, and all are told what to do.
    let refused = backup(&bundle, &lab.backup_options(), &lab.runtime()).expect_err("refused");
    let text = format!("{refused}: {}", std::error::Error::source(&refused).expect("why"));
    assert!(text.contains("can only be read"), "{text}");
    assert!(refused.hint().expect("a hint").contains("larder import"));
    let author = options().author;
    let all: Vec<&Snapshot> = list.snapshots.iter().collect();
    let runtime = lab.runtime();
    bundle
        .append_about(LogKind::Forget, &all, "", &author, &list, &runtime)
        .expect_err("nothing is forgotten");
    assert_eq!(bundle.snapshots().expect("lists").snapshots.len(), 2);
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o700)).expect("sets a mode");
}

#[test]
fn snapshots_of_a_bundle_share_what_they_have_in_common() {
    let mut lab = Lab::seeded(42);
    let dir = tempfile::tempdir().expect("a folder");
    lab.backup_named("one");
    lab.tree().edit(1);
    lab.backup_named("two");
    let (one, both) = (dir.path().join("one.larder"), dir.path().join("both.larder"));
    let alone = export(&lab, &[lab.id_of("one")], &one).expect("exports").len;
    let shared = export(&lab, &[lab.id_of("one"), lab.id_of("two")], &both).expect("exports").len;
    assert!(shared < alone + alone / 4, "{alone} bytes, and {shared} with a second one");
    // With another password and random salts, no byte says that they are of one repository.
    assert_ne!(fs::read(&one).expect("reads")[..4096], fs::read(&both).expect("reads")[..4096]);
}

#[test]
fn imports_bring_snapshots_once() {
    let (lab, dir) = lab_with_three();
    let path = dir.path().join("all.larder");
    let ids = ["first", "second", "third"].map(|name| lab.id_of(name));
    export(&lab, &ids, &path).expect("exports");
    let into = on_disk(&dir.path().join("other"), &lab);
    let trial = BundleOptions { dry_run: true, ..options() };
    let report = import_bundle(&into, &path, &unlocks(), None, &trial, &lab.runtime());
    let report = report.expect("looks");
    assert!(report.snapshots.iter().all(|one| matches!(one.outcome, CopyOutcome::WouldCopy)));

    let which = Some(&ids[1..2]);
    let report = import_bundle(&into, &path, &unlocks(), which, &options(), &lab.runtime());
    let only = report.expect("imports").ids().next().expect("one");
    let report = import(&lab, &into, &path).expect("imports");
    assert_eq!(report.failed(), 0);
    assert!(matches!(report.snapshots[1].outcome, CopyOutcome::AlreadyThere(id) if id == only));
    let imported: Vec<BackupId> = report.ids().collect();
    let list = into.snapshots().expect("lists");
    for (name, id) in ["first", "second", "third"].iter().zip(&imported) {
        let snapshot = list.snapshots.iter().find(|one| one.id == *id).expect("is there");
        assert_eq!(snapshot.body.original, Some(lab.id_of(name)));
        let copy = TreeCopy::of_snapshot(&into, snapshot, &lab.source()).expect("reads");
        assert_eq!(copy, *lab.remembered(&lab.open(), name).1);
    }
    let standings = Candidate::all_of(&list);
    assert!(standings.iter().all(|one| one.time_standing() == TimeStanding::InTime));
    assert_clean(&into);

    // Again, by another bundle of the same snapshots, and by a plain copy of the original.
    let second = dir.path().join("second.larder");
    export(&lab, &ids, &second).expect("exports");
    for file in [&path, &second] {
        let report = import(&lab, &into, file).expect("imports");
        assert_eq!(report.ids().collect::<Vec<_>>(), imported);
        assert_eq!(report.stored_bytes, 0);
    }
    let missing = import_bundle(
        &into,
        &path,
        &unlocks(),
        Some(&[BackupId([9; 16])]),
        &options(),
        &lab.runtime(),
    );
    assert!(matches!(missing, Err(Error::NotFound { what: "snapshot", .. })));
}

/// Back where it comes from, straight, by way of a bundle of the bundle, and by another repository.
#[test]
fn a_bundle_that_comes_home_is_recognised() {
    let (lab, dir) = lab_with_three();
    let id = lab.id_of("second");
    let path = dir.path().join("a.larder");
    export(&lab, &[id], &path).expect("exports");
    let home = lab.open();
    let is_there = |path: &Path| {
        let report = import(&lab, &home, path).expect("imports");
        matches!(outcome(&report), CopyOutcome::AlreadyThere(there) if *there == id)
    };
    assert!(is_there(&path));

    let again = dir.path().join("again.larder");
    let bundle = OpenBundle::open(&path, &unlocks(), &lab.runtime()).expect("opens");
    let newest = bundle.newest().expect("one");
    export_bundle(&bundle.repository, &[newest], &again, &unlocks(), &options(), &lab.runtime())
        .expect("exports a bundle of a bundle");
    assert!(is_there(&again));

    let other = on_disk(&dir.path().join("other"), &lab);
    import(&lab, &other, &path).expect("imports");
    let list = other.snapshots().expect("lists");
    let round = dir.path().join("round.larder");
    let all: Vec<&Snapshot> = list.snapshots.iter().collect();
    export_bundle(&other, &all, &round, &unlocks(), &options(), &lab.runtime()).expect("exports");
    assert!(is_there(&round));
    assert_eq!(home.snapshots().expect("lists").snapshots.len(), 3);

    // The plain copy of a bundle sees it as well.
    let copying = CopyOptions {
        compression: larder::codec::Compression::default(),
        readers: None,
        dry_run: false,
        author: options().author,
    };
    let report = copy(&bundle.repository, &home, &[newest], &copying, &lab.runtime());
    let report = report.expect("copies");
    assert!(matches!(report.snapshots[0].outcome, CopyOutcome::AlreadyThere(there) if there == id));

    // What was forgotten at home is not brought back behind anybody's back.
    about(LogKind::Forget, &home, id, &lab.runtime());
    for path in [&path, &again, &round] {
        let report = import(&lab, &home, path).expect("imports");
        assert!(
            matches!(outcome(&report), CopyOutcome::ForgottenThere(there) if *there == id),
            "{report:?}"
        );
    }
}

/// A record that is hidden may say that one of them was forgotten.
#[test]
fn nothing_is_imported_while_records_are_hidden() {
    let (lab, dir) = lab_with_three();
    let path = dir.path().join("a.larder");
    export(&lab, &[lab.id_of("first")], &path).expect("exports");
    let home = lab.open();
    let hidden = &home.snapshots().expect("lists").snapshots[1].object_name;
    lab.memory.remove(hidden);
    let error = import(&lab, &home, &path).expect_err("refuses");
    assert!(matches!(error, Error::History { .. }), "{error}");
    let accepting = BundleOptions { accept_history: true, ..options() };
    let done = import_bundle(&home, &path, &unlocks(), None, &accepting, &lab.runtime());
    assert!(matches!(outcome(&done.expect("imports")), CopyOutcome::AlreadyThere(_)));
}

/// A bundle repairs what was damaged where it comes from.
#[test]
fn a_snapshot_in_quarantine_does_not_stand_for_the_one_in_a_bundle() {
    let (lab, dir) = lab_with_three();
    let id = lab.id_of("third");
    let path = dir.path().join("a.larder");
    export(&lab, &[id], &path).expect("exports");
    let home = lab.open();
    about(LogKind::Quarantine, &home, id, &lab.runtime());
    let report = import(&lab, &home, &path).expect("imports");
    let CopyOutcome::Copied(copy) = outcome(&report) else { panic!("{report:?}") };
    assert_eq!(copy.body.original, Some(id));
    assert_ne!(copy.id, id);
    let report = import(&lab, &home, &path).expect("imports");
    assert!(matches!(outcome(&report), CopyOutcome::AlreadyThere(_)), "{report:?}");
}

#[test]
fn a_bundle_is_sealed_no_less_than_its_source() {
    let mut lab = Lab::with(43, small(Suite::Aes256));
    lab.backup_named("a");
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("a.larder");
    let from = lab.open();
    let list = from.snapshots().expect("lists");
    let all: Vec<&Snapshot> = list.snapshots.iter().collect();
    let make = |from: &Repository, all: &[&Snapshot], unlocks: &[Unlock]| {
        export_bundle(from, all, &path, unlocks, &options(), &lab.runtime())
    };
    let refused = make(&from, &all, &[]).expect_err("nothing would open it");
    assert_eq!(refused.exit_code(), 2);
    assert!(make(&from, &[], &unlocks()).is_err(), "there is nothing in it");
    assert_eq!(files_in(dir.path()).len(), 0);
    // In so many words.
    let report = make(&from, &all, &[Unlock::Nothing]).expect("exports");
    assert_eq!(report.encryption, Encryption::None);
    assert!(make(&from, &all, &unlocks()).is_err(), "there is a file already");
    let into = on_disk(&dir.path().join("other"), &lab);
    let wrong = import(&lab, &into, &path).expect_err("a secret for what has none");
    assert_eq!(wrong.exit_code(), 2);
    let report = import_bundle(&into, &path, &[], None, &options(), &lab.runtime());
    assert!(matches!(outcome(&report.expect("imports")), CopyOutcome::Copied(_)));

    let mut open = Lab::with(44, small(Suite::None));
    open.backup_named("b");
    fs::remove_file(&path).expect("removes");
    let report = export(&open, &[open.id_of("b")], &path).expect("exports");
    assert_eq!(report.encryption, Encryption::None);
    fs::remove_file(&path).expect("removes");
    let from = open.open();
    let list = from.snapshots().expect("lists");
    let all: Vec<&Snapshot> = list.snapshots.iter().collect();
    let report = make(&from, &all, &unlocks()).expect("exports");
    assert_eq!(report.encryption, Encryption::Aes256);
    // With ids of its own, and still known at home.
    let report = import(&open, &from, &path).expect("imports");
    assert!(matches!(outcome(&report), CopyOutcome::AlreadyThere(_)), "{report:?}");
    for wrong in [&[][..], &[Unlock::Password(Password::new("no"))][..]] {
        let report = import_bundle(&into, &path, wrong, None, &options(), &lab.runtime());
        assert_eq!(report.expect_err("it does not open").exit_code(), 12);
    }
    let [fits] = unlocks();
    let several = [Unlock::Password(Password::new("no")), fits];
    import_bundle(&into, &path, &several, None, &options(), &lab.runtime()).expect("one fits");
}

#[test]
fn a_broken_off_export_leaves_nothing() {
    let (lab, dir) = lab_with_three();
    let from = lab.open();
    let list = from.snapshots().expect("lists");
    let all: Vec<&Snapshot> = list.snapshots.iter().collect();
    let path = dir.path().join("a.larder");
    let cancel = CancelToken::default();
    cancel.cancel();
    let runtime = Runtime { cancel, ..lab.runtime() };
    let error = export_bundle(&from, &all, &path, &unlocks(), &options(), &runtime);
    assert!(matches!(error, Err(Error::Cancelled { .. })));
    assert_eq!(files_in(dir.path()).len(), 0);
}

#[test]
fn a_bundle_has_no_place_in_the_repository() {
    let mut lab = Lab::with(45, small(Suite::Aes256));
    lab.backup_named("a");
    let dir = tempfile::tempdir().expect("a folder");
    let home = dir.path().join("home");
    let into = on_disk(&home, &lab);
    let outside = dir.path().join("a.larder");
    export(&lab, &[lab.id_of("a")], &outside).expect("exports");
    import(&lab, &into, &outside).expect("imports");
    let inside = home.join("a.larder");
    let list = into.snapshots().expect("lists");
    let all: Vec<&Snapshot> = list.snapshots.iter().collect();
    let refused = export_bundle(&into, &all, &inside, &unlocks(), &options(), &lab.runtime());
    assert!(refused.expect_err("refused").to_string().contains("repository itself"));
    fs::rename(&outside, &inside).expect("moves");
    let refused = import(&lab, &into, &inside).expect_err("refused");
    assert!(refused.to_string().contains("repository itself"), "{refused}");
    let bundle = OpenBundle::open(&inside, &unlocks(), &lab.runtime()).expect("opens");
    let newest = bundle.newest().expect("one");
    assert!(bundle.import(&into, &[newest], &options(), &lab.runtime()).is_err());
}

#[test]
fn damaged_snapshots_stay_out_of_a_bundle() {
    let mut lab = Lab::with(46, small(Suite::None));
    lab.backup_named("gone");
    let packs: Vec<String> =
        lab.memory.names().into_iter().filter(|name| name.starts_with("data/")).collect();
    packs.iter().for_each(|name| lab.memory.remove(name));
    lab.tree().edit(12);
    lab.backup_named("there");
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("a.larder");
    let error = export(&lab, &[lab.id_of("gone")], &path).expect_err("nothing is left");
    assert!(error.is_damage(), "{error:?}");
    assert_eq!(files_in(dir.path()).len(), 0);
    let both = [lab.id_of("gone"), lab.id_of("there")];
    let report = export(&lab, &both, &path).expect("exports");
    assert_eq!((report.copied(), report.failed()), (1, 1));
    assert!(matches!(report.snapshots[0].outcome, CopyOutcome::Damaged(_)), "{report:?}");
}

/// Damage in a bundle costs what it hits: the others are imported, and what is lost is named.
#[test]
fn damaged_bundles_give_what_is_whole() {
    let mut lab = Lab::with(47, small(Suite::Aes256));
    lab.backup_named("first");
    lab.tree().edit(30);
    lab.backup_named("second");
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("a.larder");
    export(&lab, &[lab.id_of("first"), lab.id_of("second")], &path).expect("exports");
    let bytes = fs::read(&path).expect("reads");
    let bundle = opened(&path, &lab).expect("opens");
    let packs = larder::storage::list_sorted(&**bundle.storage(), "data/").expect("lists");
    let place = |name: &str| {
        let pack = bundle.storage().get(name, 1 << 30).expect("reads");
        // What follows the header is random.
        let at = bytes.windows(64).position(|part| part == &pack[64..128]).expect("is there");
        at..at + pack.len() - 64
    };
    // The one that came last, for the second snapshot.
    let last = packs.iter().map(|meta| place(&meta.name)).max_by_key(|place| place.start);
    let mut bad = bytes.clone();
    bad[last.expect("a pack")].fill(0xee);
    fs::write(&path, &bad).expect("writes");
    let into = on_disk(&dir.path().join("other"), &lab);
    let report = import(&lab, &into, &path).expect("imports");
    assert!(matches!(report.snapshots[0].outcome, CopyOutcome::Copied(_)), "{report:?}");
    assert!(matches!(report.snapshots[1].outcome, CopyOutcome::Damaged(_)), "{report:?}");
    assert_eq!(report.failed(), 1);
    assert_clean(&into);

    // Without its end it is read object by object, and says so.
    fs::write(&path, &bytes[..bytes.len() - 200]).expect("writes");
    let into = on_disk(&dir.path().join("third"), &lab);
    let report = import(&lab, &into, &path).expect("imports");
    assert_eq!((report.ids().count(), report.damage.len()), (2, 1), "{report:?}");
    let cut = opened(&path, &lab).expect("opens");
    let checked = check(&cut, &CheckOptions::default(), &lab.runtime()).expect("checks");
    assert!(!checked.is_clean(), "a check tells of the damage too");
}

/// Flips and cuts at all places of a bundle (some of them, unless the long form is asked for):
/// whatever is read is right, or an error.
#[test]
fn damage_anywhere_in_a_bundle_never_gives_wrong_files() {
    let mut lab = Lab::with(
        48,
        LabOptions { samples: false, entries: 3, suite: Suite::Aes256, ..LabOptions::default() },
    );
    lab.backup_named("a");
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("a.larder");
    export(&lab, &[lab.id_of("a")], &path).expect("exports");
    let bytes = fs::read(&path).expect("reads");
    let wanted = lab.remembered(&lab.open(), "a").1;
    let (mut right, mut refused) = (0, 0);
    let mut try_bytes = |damaged: &[u8], what: &str| {
        fs::write(&path, damaged).expect("writes");
        let read = || -> Result<Option<TreeCopy>> {
            let bundle = OpenBundle::open(&path, &unlocks(), &lab.runtime())?;
            let Some(snapshot) = bundle.newest() else { return Ok(None) };
            TreeCopy::of_snapshot(&bundle.repository, snapshot, &lab.source()).map(Some)
        };
        match read() {
            Ok(Some(copy)) => {
                assert_eq!(copy, *wanted, "{what}");
                right += 1;
            }
            Ok(None) | Err(_) => refused += 1,
        }
    };
    let step = if std::env::var_os("LARDER_TEST_LONG").is_some() { 1 } else { 97 };
    for at in (0..bytes.len()).step_by(step) {
        let mut damaged = bytes.clone();
        damaged[at] ^= 1 << (at % 8);
        try_bytes(&damaged, &format!("byte {at} flipped"));
    }
    for len in (0..bytes.len()).step_by(step) {
        try_bytes(&bytes[..len], &format!("cut to {len} bytes"));
    }
    assert!(right > 0 && refused > 0, "{right} right, {refused} refused");
}

/// A backup that runs meanwhile is not in the way, and does not show.
#[test]
fn exports_run_beside_backups() {
    let mut lab = Lab::seeded(49);
    lab.backup_named("before");
    let wanted = lab.live_copy();
    let dir = tempfile::tempdir().expect("a folder");
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            for _ in 0..3 {
                lab.backup_edited();
            }
        });
        for at in 0..3 {
            let path = dir.path().join(format!("{at}.larder"));
            let report = export(&lab, &[lab.id_of("before")], &path).expect("exports");
            assert_eq!(report.failed(), 0);
            let bundle = opened(&path, &lab).expect("opens");
            let list = bundle.snapshots().expect("lists");
            assert_eq!(lab.read(&bundle, &list.snapshots[0]).expect("reads"), wanted);
        }
        writer.join().expect("backs up");
    });
    assert_eq!(lab.open().snapshots().expect("lists").snapshots.len(), 4);
}

/// `export_backup` seals with what the manager was given, and never does without it by itself.
#[test]
fn managers_make_bundles_with_what_opens_them() {
    let shop = Shop::new();
    let report =
        larder::archive::backup(&shop.open(), &shop.manager_options().backup, &shop.runtime());
    let id = report.expect("backs up").snapshot.expect("a snapshot").id;
    let exports = shop.path("exports");
    let refused = shop.manager().export_backup(id, ExportFormat::Larder).expect_err("refused");
    assert_eq!(refused.exit_code(), 2);
    assert!(!exports.exists() || files_in(&exports).is_empty());

    let manager = shop.manager_with(|options| options.bundle_unlocks = Arc::new(unlocks()));
    let path = manager.export_backup(id, ExportFormat::Larder).expect("exports");
    assert_eq!(path.extension().expect("one"), "larder");
    assert_eq!(files_in(&exports), std::slice::from_ref(&path));
    let bundle = OpenBundle::open(&path, &unlocks(), &shop.runtime()).expect("opens");
    let newest = bundle.newest().expect("one");
    assert_eq!(newest.id, id);
    let copy = TreeCopy::of_snapshot(&bundle.repository, newest, &shop.source()).expect("reads");
    assert_eq!(copy, shop.live_copy());
    let again = manager.export_backup(id, ExportFormat::Larder).expect_err("it is there already");
    assert_eq!(again.exit_code(), 2);
    let subtree = ExportRequest {
        subtree: b"a".to_vec(),
        replace: true,
        ..ExportRequest::new(id, ExportFormat::Larder)
    };
    assert!(manager.export_backup_with(&subtree).is_err(), "bundles hold whole snapshots");

    let open = Shop::with(ShopOptions { suite: Suite::None, ..ShopOptions::default() });
    let report =
        larder::archive::backup(&open.open(), &open.manager_options().backup, &open.runtime());
    let id = report.expect("backs up").snapshot.expect("a snapshot").id;
    let path = open.manager().export_backup(id, ExportFormat::Larder).expect("exports");
    let bundle = OpenBundle::open(&path, &[], &open.runtime()).expect("opens with nothing");
    assert_eq!(bundle.newest().expect("one").id, id);
}
