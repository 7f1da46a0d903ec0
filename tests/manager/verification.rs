//! Backups verified: what is whole is called so, and damage is named to the file.

use std::path::{Path, PathBuf};

use larder::manager::BackupManager;
use larder::model::{BackupId, BackupStatus, BackupStrategy};

use super::shop::{Shop, noise};
use super::support::TreeCopy;

const FULL: BackupStrategy = BackupStrategy::Full;
const INCREMENTAL: BackupStrategy = BackupStrategy::Incremental;

/// Changes one byte in the middle of a file.
fn flip(path: &Path) {
    let mut bytes = std::fs::read(path).expect("reads");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(path, bytes).expect("writes");
}

/// The stored objects of a folder that were not there before.
fn new_objects(shop: &Shop, before: &[PathBuf], folder: &str) -> Vec<PathBuf> {
    let stored = shop.stored().into_keys();
    stored.filter(|name| name.starts_with(folder) && !before.contains(name)).collect()
}

fn names(shop: &Shop) -> Vec<PathBuf> {
    shop.stored().into_keys().collect()
}

#[track_caller]
fn assert_valid(manager: &BackupManager, id: BackupId) {
    let (is_valid, details) = manager.verify_backup_integrity(id).expect("looks");
    assert!(is_valid, "{details:?}");
    assert_eq!((&details.reason, &details.lost), (&None, &None));
    assert_eq!(details.checksum, details.expected_checksum);
}

/// A sound backup is found sound, and every byte of it was read for that.
#[test]
fn backup_verification() {
    let (shop, clock) = Shop::with_clock();
    let manager = shop.manager();
    let first = manager.create_backup(FULL).expect("backs up");
    let (is_valid, details) = manager.verify_backup_integrity(first).expect("looks");
    assert!(is_valid && details.findings.is_empty(), "{details:?}");
    assert_eq!(details.backup_id, Some(first));
    assert!(details.checked.plain_bytes >= 340_000, "{:?}", details.checked);
    assert_eq!(details.checked.snapshots, 1);

    // Another backup's data is not read, and its damage does not count.
    clock.advance_ms(60_000);
    let before = names(&shop);
    shop.write("later.bin", noise(9, 200_000));
    let second = manager.create_backup(INCREMENTAL).expect("backs up");
    for pack in new_objects(&shop, &before, "data") {
        flip(&shop.repository_folder().join(pack));
    }
    assert_valid(&manager, first);
    let (is_valid, details) = manager.verify_backup_integrity(second).expect("looks");
    assert!(!is_valid);
    let lost = details.lost.expect("says what is lost");
    let later = shop.source().join("later.bin").to_str().expect("text").to_owned();
    assert_eq!(lost.files.iter().map(|file| &file.path).collect::<Vec<_>>(), [&later]);
    assert!(details.reason.is_some_and(|reason| reason.contains(&later)));

    let unknown = manager.verify_backup_integrity(BackupId([9; 16])).expect_err("unknown");
    assert!(unknown.to_string().contains("snapshot"), "{unknown}");
    // A verification does not keep the same manager from restoring.
    manager.restore_backup(first, &shop.path("restored")).expect("restores");
}

/// The checksum of a backup is the BLAKE3 hash of one stored file, and every manager computes the
/// same; when that file is changed, the backup is not valid.
#[test]
fn checksum_validation() {
    let (shop, clock) = Shop::with_clock();
    let manager = shop.manager();
    let first = manager.create_backup(FULL).expect("backs up");
    clock.advance_ms(60_000);
    let second = manager.create_backup(INCREMENTAL).expect("backs up");
    for id in [first, second] {
        let backup = shop.manager().backup(id).expect("is there");
        let object = backup.object_name.expect("completed ones have one");
        let bytes = std::fs::read(shop.repository_folder().join(object)).expect("a stored file");
        let by_hand = blake3::hash(&bytes).to_hex().to_string();
        assert_eq!(backup.checksum.map(|sum| sum.to_string()), Some(by_hand));
    }
    let sums: Vec<_> =
        manager.list_backups(None).expect("lists").iter().map(|backup| backup.checksum).collect();
    assert!(sums[0].is_some() && sums[0] != sums[1]);

    let object = manager.backup(second).expect("is there").object_name.expect("has one");
    flip(&shop.repository_folder().join(&object));
    let manager = shop.manager();
    let (is_valid, details) = manager.verify_backup_integrity(second).expect("looks");
    assert!(!is_valid);
    assert!(details.reason.as_ref().is_some_and(|why| why.contains(&object)), "{details:?}");
    let hash = details.expected_checksum.expect("is in the name").to_string();
    assert!(object.ends_with(&hash));
    // It is not a backup any more, and the list says why.
    let listed = manager.backup(second).expect("is listed");
    assert_eq!(listed.status, BackupStatus::Failed);
    assert!(listed.error.is_some_and(|error| error.contains(&object)));
    assert_valid(&manager, first);
}

/// Each kind of damage to each kind of object that a backup needs is found, and a repaired byte
/// makes it valid again.
#[test]
fn corruption_detection() {
    let shop = Shop::new();
    let manager = shop.manager();
    let id = manager.create_backup(FULL).expect("backs up");
    let objects: Vec<PathBuf> = names(&shop)
        .into_iter()
        .filter(|name| name.starts_with("data") || name.starts_with("meta"))
        .collect();
    assert!(objects.len() >= 2, "{objects:?}");
    type Damage = fn(&Path);
    let kinds: [(&str, Damage); 4] = [
        ("a flipped bit", flip),
        ("a missing object", |path| std::fs::remove_file(path).expect("removes")),
        ("a truncated object", |path| {
            let bytes = std::fs::read(path).expect("reads");
            std::fs::write(path, &bytes[..40]).expect("writes");
        }),
        ("an object of zeros", |path| {
            let len = std::fs::read(path).expect("reads").len();
            std::fs::write(path, vec![0; len]).expect("writes");
        }),
    ];
    for object in &objects {
        let path = shop.repository_folder().join(object);
        let sound = std::fs::read(&path).expect("reads");
        for (what, damage) in &kinds {
            damage(&path);
            // A manager that has not seen it sound, and one that has.
            for manager in [&shop.manager(), &manager] {
                let (is_valid, details) = manager.verify_backup_integrity(id).expect("looks");
                let case = format!("{what}: {}", object.display());
                assert!(!is_valid, "{case}: {details:?}");
                assert!(details.reason.is_some() && !details.findings.is_empty(), "{case}");
                // One bit may be among those that nobody needs.
                let Some(lost) = details.lost else {
                    assert_eq!(*what, kinds[0].0, "{case}");
                    continue;
                };
                assert!(lost.file_count > 0 || !lost.ranges.is_empty(), "{case}: {lost:?}");
            }
            std::fs::write(&path, &sound).expect("writes");
        }
        assert_valid(&manager, id);
    }
}

/// The whole way, several times over: change, back up, verify, restore, compare; then delete, and
/// the others are still there.
#[test]
fn complete_backup_restore_cycle() {
    let (shop, clock) = Shop::with_clock();
    let manager = shop.manager();
    let mut made: Vec<(BackupId, TreeCopy)> = Vec::new();
    let strategies = [FULL, INCREMENTAL, BackupStrategy::Differential, INCREMENTAL];
    for (round, strategy) in (0..).zip(strategies) {
        shop.write(&format!("round-{round}/file.bin"), noise(round, 30_000));
        shop.write("letter.txt", format!("Dear reader, this is round {round}\n"));
        if round == 2 {
            shop.remove("photos/hill.jpg");
            std::fs::rename(shop.source().join("round-0"), shop.source().join("moved"))
                .expect("renames");
        }
        clock.advance_ms(3_600_000);
        let id = manager.create_backup(strategy).expect("backs up");
        made.push((id, shop.live_copy()));
    }
    let check = |made: &[(BackupId, TreeCopy)], manager: &BackupManager| {
        for (number, (id, live)) in made.iter().enumerate() {
            assert_valid(manager, *id);
            let target = shop.path(&format!("restored-{id}"));
            let report = manager.restore_backup(*id, &target).expect("restores");
            assert!(report.is_complete(), "{:?}", report.failures);
            let restored = TreeCopy::of_folder(&shop.source_below(&target));
            live.assert_same(&restored, format!("backup {number}"));
            std::fs::remove_dir_all(&target).expect("removes");
        }
    };
    check(&made, &manager);
    let (second, _) = made.remove(1);
    manager.delete_backup(second).expect("deletes");
    let manager = shop.manager();
    check(&made, &manager);
    let listed: Vec<BackupId> =
        manager.list_backups(None).expect("lists").iter().rev().map(|b| b.backup_id).collect();
    assert_eq!(listed, made.iter().map(|(id, _)| *id).collect::<Vec<_>>());
}
