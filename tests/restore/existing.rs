//! What is in the target already.

use std::fs::{self, File};
use std::os::unix::fs::{FileExt, MetadataExt, symlink};
use std::time::{Duration, SystemTime};

use larder::restore::{Overwrite, RestoreOptions};

use crate::support::{Lab, noise};

fn mode(lab: &Lab, overwrite: Overwrite) -> RestoreOptions {
    RestoreOptions { overwrite, ..lab.options() }
}

fn set_time(path: &std::path::Path, seconds: u64) {
    let time = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
    File::options().write(true).open(path).expect("opens").set_modified(time).expect("sets");
}

#[test]
fn only_the_parts_that_differ_are_written() {
    let lab = Lab::new();
    lab.write("image", noise(24 << 20, 1));
    let snapshot = lab.backup();
    lab.restore_well(&snapshot, &lab.options());
    let inode = fs::metadata(lab.out("image")).expect("is there").ino();
    let out = File::options().write(true).open(lab.out("image")).expect("opens");
    out.write_all_at(b"x", 10 << 20).expect("writes");
    out.set_len(30 << 20).expect("grows");
    let report = lab.restore_well(&snapshot, &lab.options());
    assert_eq!((report.replaced, report.created), (1, 0));
    assert!(report.bytes_written < 8 << 20, "{}", report.bytes_written);
    lab.assert_identical();
    assert_eq!(fs::metadata(lab.out("image")).expect("is there").ino(), inode);
}

/// As an interrupted restore leaves them.
#[test]
fn files_that_are_half_there_are_finished() {
    let lab = Lab::new();
    for n in 0..20 {
        lab.write(&format!("d/{n}"), noise(n * 100_000, n as u64));
    }
    let snapshot = lab.backup();
    for overwrite in [Overwrite::Always, Overwrite::IfChanged] {
        lab.restore_well(&snapshot, &lab.options());
        for n in 5..15 {
            let file = File::options().write(true).open(lab.out(&format!("d/{n}"))).expect("opens");
            file.set_len(n * 50_000).expect("shrinks");
        }
        fs::remove_file(lab.out("d/17")).expect("removes");
        let report = lab.restore_well(&snapshot, &mode(&lab, overwrite));
        assert_eq!((report.created, report.replaced), (1, 10));
        lab.assert_identical();
    }
}

/// Bits that rot leave size and time as they were.
#[test]
fn always_trusts_no_times() {
    let lab = Lab::new();
    lab.write("file", noise(1 << 20, 1));
    let snapshot = lab.backup();
    lab.restore_well(&snapshot, &lab.options());
    let out = lab.out("file");
    let time = fs::metadata(&out).expect("is there").modified().expect("has one");
    let file = File::options().write(true).open(&out).expect("opens");
    file.write_all_at(b"rot", 5_000).expect("writes");
    file.set_modified(time).expect("sets");
    let report = lab.restore_well(&snapshot, &mode(&lab, Overwrite::IfChanged));
    assert_eq!((report.replaced, report.bytes_written), (0, 0));
    let report = lab.restore_well(&snapshot, &mode(&lab, Overwrite::Always));
    assert_eq!(report.replaced, 1);
    lab.assert_identical();
}

#[test]
fn newer_files_and_all_files_can_be_kept() {
    let lab = Lab::new();
    for name in ["older", "newer", "same"] {
        lab.write(name, name);
        set_time(&lab.src(name), 1_000_000);
    }
    symlink("there", lab.src("link")).expect("links");
    let snapshot = lab.backup();
    let disturb = || {
        fs::create_dir_all(lab.out("")).expect("makes");
        for (name, time) in [("older", 999_999), ("newer", 1_000_001), ("same", 1_000_000)] {
            fs::write(lab.out(name), "other").expect("writes");
            set_time(&lab.out(name), time);
        }
    };
    let read = |name: &str| fs::read_to_string(lab.out(name)).expect("reads");
    disturb();
    let report = lab.restore_well(&snapshot, &mode(&lab, Overwrite::Never));
    assert_eq!((report.created, report.replaced, report.skipped), (1, 0, 3));
    assert_eq!([read("older"), read("newer"), read("same")], ["other", "other", "other"]);
    let report = lab.restore_well(&snapshot, &mode(&lab, Overwrite::IfNewer));
    assert_eq!((report.replaced, report.skipped), (1, 3));
    assert_eq!([read("older"), read("newer"), read("same")], ["older", "other", "other"]);
    disturb();
    let verify = RestoreOptions { verify: true, ..mode(&lab, Overwrite::IfNewer) };
    lab.restore_well(&snapshot, &verify);
}

#[test]
fn symbolic_links_in_the_way_are_replaced_and_never_followed() {
    let lab = Lab::new();
    lab.write("folder/file", b"content");
    lab.write("file", b"content");
    let snapshot = lab.backup();
    let elsewhere = tempfile::tempdir().expect("a folder");
    fs::write(elsewhere.path().join("file"), b"precious").expect("writes");
    let disturb = || {
        let _ = fs::remove_dir_all(lab.out(""));
        fs::create_dir_all(lab.out("")).expect("makes");
        symlink(elsewhere.path(), lab.out("folder")).expect("links");
        symlink(elsewhere.path().join("file"), lab.out("file")).expect("links");
    };
    disturb();
    let report = lab.restore_well(&snapshot, &mode(&lab, Overwrite::Never));
    assert_eq!(report.skipped, 2);
    assert!(lab.out("folder").is_symlink());
    for overwrite in [Overwrite::Always, Overwrite::IfChanged] {
        disturb();
        let options = RestoreOptions { delete: true, ..mode(&lab, overwrite) };
        lab.restore_well(&snapshot, &options);
        assert!(!lab.out("folder").is_symlink() && !lab.out("file").is_symlink());
        assert_eq!(fs::read(lab.out("folder/file")).expect("reads"), b"content");
    }
    assert_eq!(fs::read(elsewhere.path().join("file")).expect("reads"), b"precious");
    assert_eq!(fs::read_dir(elsewhere.path()).expect("lists").count(), 1);
}

#[test]
fn folders_with_content_give_way_only_to_deletion() {
    let lab = Lab::new();
    lab.write("a", b"file");
    lab.write("b", b"file");
    lab.write("c/inside", b"file");
    let snapshot = lab.backup();
    fs::create_dir_all(lab.out("a")).expect("makes");
    fs::create_dir_all(lab.out("b/full")).expect("makes");
    fs::write(lab.out("c"), b"no folder").expect("writes");
    let report = lab.restore(&snapshot, &lab.options());
    assert_eq!((report.failed, report.replaced), (1, 2), "{report:?}");
    assert!(report.failures[0].path.ends_with(b"/b"));
    assert!(report.failures[0].message.contains("--delete"), "{:?}", report.failures);
    assert!(lab.out("b/full").is_dir() && lab.out("a").is_file());
    let report = lab.restore_well(&snapshot, &RestoreOptions { delete: true, ..lab.options() });
    assert_eq!((report.deleted, report.replaced), (2, 1));
    lab.assert_same_names();
}

/// A file in the target that shares its bytes with another name must not be written into.
#[test]
fn what_other_names_see_is_not_changed() {
    let lab = Lab::new();
    lab.write("file", b"new content");
    let snapshot = lab.backup();
    fs::create_dir_all(lab.out("")).expect("makes");
    let outside = lab.src("../outside");
    fs::write(&outside, b"old content").expect("writes");
    fs::hard_link(&outside, lab.out("file")).expect("links");
    let report = lab.restore_well(&snapshot, &lab.options());
    assert_eq!(report.replaced, 1);
    assert_eq!(fs::read(&outside).expect("reads"), b"old content");
    assert_eq!(fs::read(lab.out("file")).expect("reads"), b"new content");
}

#[test]
fn hard_links_are_made_again_where_they_were_broken() {
    let lab = Lab::new();
    lab.write("a", noise(10_000, 1));
    for name in ["b", "c", "d"] {
        fs::hard_link(lab.src("a"), lab.src(name)).expect("links");
    }
    let snapshot = lab.backup();
    lab.restore_well(&snapshot, &lab.options());
    fs::remove_file(lab.out("b")).expect("removes");
    fs::copy(lab.out("a"), lab.out("b")).expect("copies");
    fs::remove_file(lab.out("d")).expect("removes");
    let report = lab.restore_well(&snapshot, &lab.options());
    assert_eq!((report.unchanged, report.replaced, report.created), (2, 1, 1));
    lab.assert_identical();
}

#[test]
fn a_dry_run_tells_and_changes_nothing() {
    let lab = Lab::new();
    lab.write("new", noise(100_000, 1));
    lab.write("same", noise(100_000, 2));
    lab.write("changed", noise(100_000, 3));
    lab.write("folder/inside", b"x");
    fs::hard_link(lab.src("new"), lab.src("new-link")).expect("links");
    symlink("x", lab.src("link")).expect("links");
    let snapshot = lab.backup();
    let dry = RestoreOptions { dry_run: true, delete: true, verify: true, ..lab.options() };
    let report = lab.restore_well(&snapshot, &dry);
    assert_eq!((report.created, report.bytes), (7, snapshot.body.bytes));
    assert!(!lab.out("").exists());
    lab.restore_well(&snapshot, &lab.options());
    fs::remove_file(lab.out("new")).expect("removes");
    fs::remove_file(lab.out("new-link")).expect("removes");
    fs::write(lab.out("changed"), b"else").expect("writes");
    fs::create_dir(lab.out("extra")).expect("makes");
    fs::write(lab.out("extra/file"), b"else").expect("writes");
    let before = crate::support::describe(&lab.out(""));
    let report = lab.restore_well(&snapshot, &dry);
    assert_eq!(
        (report.created, report.replaced, report.unchanged, report.deleted),
        (2, 1, 4, 2),
        "{report:?}"
    );
    assert_eq!(report.bytes_written, 200_000, "what would be written");
    assert_eq!(crate::support::describe(&lab.out("")), before);
}
