//! File systems: full ones, and several in one tree. Needs the right to mount.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use larder::archive::{BackupOptions, backup};
use larder::error::Error;
use larder::restore::transaction::{Hook, InPlaceOptions, restore_in_place};
use larder::runtime::Runtime;
use larder::source::SourcePath;

use super::exact::{Exact, assert_clean, failing};
use crate::support::{Dice, Lab, LabOptions, TreeCopy};

/// A small file system in memory; gone when this is dropped.
pub(super) struct Mount(PathBuf);

impl Mount {
    pub(super) fn new(path: &Path, kib: u64) -> Option<Self> {
        fs::create_dir_all(path).expect("makes a folder");
        let options = format!("size={kib}k,mode=755");
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &options, "larder-test"])
            .arg(path)
            .output();
        if mounted.is_ok_and(|output| output.status.success()) {
            return Some(Self(path.to_path_buf()));
        }
        report_skipped();
        None
    }
}

#[allow(clippy::print_stderr)]
fn report_skipped() {
    eprintln!("skipped: mounting is not permitted here");
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).output();
    }
}

fn lab() -> Lab {
    Lab::with(460, LabOptions { samples: false, entries: 0, ..LabOptions::default() })
}

fn back_up(lab: &Lab, source: &Path) -> larder::repository::Snapshot {
    let sources = vec![SourcePath::new(source).expect("a path")];
    let options = BackupOptions { sources, ..lab.backup_options() };
    let report = backup(&lab.open(), &options, &lab.runtime()).expect("backs up");
    report.snapshot.expect("a snapshot")
}

/// A disk without room for what is new: refused before anything is touched; and if the check is
/// overruled, the disk that is full in the middle leaves everything as it was.
#[test]
fn a_full_disk_leaves_the_tree_as_it_was() {
    let lab = lab();
    let root = lab.scratch("small");
    let Some(_mount) = Mount::new(&root, 6 << 10) else { return };
    let dice = Dice::seeded(460);
    for number in 0..4 {
        fs::write(root.join(format!("file{number}")), dice.noise(600 << 10)).expect("writes");
    }
    let snapshot = back_up(&lab, &root);
    for number in 0..4 {
        fs::write(root.join(format!("file{number}")), dice.noise(900 << 10)).expect("writes");
    }
    fs::write(root.join("ballast"), dice.noise(1 << 20)).expect("writes");
    let before = Exact::of(&root);
    let repository = lab.open();
    let options =
        InPlaceOptions { state_dir: Some(lab.scratch("state-here")), ..InPlaceOptions::default() };
    let restore = |options: &InPlaceOptions| {
        restore_in_place(&repository, &snapshot, options, &Runtime::default())
    };
    let error = restore(&options).expect_err("no room");
    assert!(is_full(&error), "{error:?}");
    before.assert_same(&root, "refused");
    let tried = InPlaceOptions { ignore_room: true, ..options.clone() };
    let error = restore(&tried).expect_err("no room");
    assert!(is_full(&error), "{error:?}");
    before.assert_same(&root, "full while staging");
    assert_clean(&root, options.state_dir.as_deref());

    // Room for all, but none is left while entries are exchanged: undoing it needs none.
    fs::remove_file(root.join("ballast")).expect("removes");
    fs::remove_file(root.join("file3")).expect("removes");
    let before = Exact::of(&root);
    let mut failed = 0;
    for step in (20..).step_by(2) {
        let fill = root.join("filled");
        let filling = fill.clone();
        let full = Hook::new(move |name, number| {
            if name == "was set aside" && !filling.exists() {
                // As much as there is, in a file that is gone at the end.
                let _ = fs::write(&filling, vec![1; 8 << 20]);
            }
            if number == step { Err(std::io::ErrorKind::StorageFull.into()) } else { Ok(()) }
        });
        let options = InPlaceOptions { hook: Some(full), ..options.clone() };
        let done = restore(&options);
        let _ = fs::remove_file(&fill);
        match done {
            Err(_) => {
                // The file that filled the disk has moved the time of the folder.
                let now = TreeCopy::of_folder(&root);
                for number in 0..3 {
                    let name = format!("file{number}");
                    let was = before.node(name.as_bytes());
                    assert_eq!(was, now.get(name.as_bytes()), "step {step}: {name}");
                }
                assert_clean(&root, options.state_dir.as_deref());
                failed += 1;
            }
            Ok(_) => break,
        }
    }
    assert!(failed > 3, "only {failed}");
}

fn is_full(error: &Error) -> bool {
    let source = match error {
        Error::RolledBack { source } => source,
        other => other,
    };
    matches!(source, Error::Local { source, .. } if source.kind() == std::io::ErrorKind::StorageFull)
}

/// Another file system in the tree: each has a staging folder of its own, and the folder that it
/// is mounted on stays.
#[test]
fn trees_of_several_file_systems_are_one() {
    let lab = lab();
    let root = lab.scratch("root");
    fs::create_dir_all(root.join("plain")).expect("makes");
    let Some(_mount) = Mount::new(&root.join("mounted"), 4 << 10) else { return };
    let write = |name: &str, text: &str| fs::write(root.join(name), text).expect("writes");
    write("plain/a", "a");
    write("mounted/b", "b");
    fs::create_dir(root.join("mounted/deep")).expect("makes");
    write("mounted/deep/c", "c");
    let snapshot = back_up(&lab, &root);
    let stored = TreeCopy::of_folder(&root);
    write("plain/a", "other");
    write("mounted/b", "other");
    fs::remove_dir_all(root.join("mounted/deep")).expect("removes");
    write("mounted/extra", "extra");
    write("plain/extra", "extra");
    let before = Exact::of(&root);
    let repository = lab.open();
    let state_dir = Some(lab.scratch("state-here"));
    let options =
        InPlaceOptions { delete: true, state_dir: state_dir.clone(), ..InPlaceOptions::default() };
    let mut failed = 0;
    for step in 0.. {
        let (hook, _) = failing(step);
        let options = InPlaceOptions { hook: Some(hook), ..options.clone() };
        match restore_in_place(&repository, &snapshot, &options, &Runtime::default()) {
            Err(error) => {
                before.assert_same(&root, format!("step {step}: {error:?}"));
                assert_clean(&root, state_dir.as_deref());
                failed += 1;
            }
            Ok(_) => break,
        }
    }
    assert!(failed > 30, "only {failed}");
    restore_in_place(&repository, &snapshot, &options, &Runtime::default()).expect("restores");
    stored.assert_same(&TreeCopy::of_folder(&root), "restored");
    assert_clean(&root, state_dir.as_deref());
}
