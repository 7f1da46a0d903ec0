//! What is in the target and not in the snapshot.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use larder::restore::RestoreOptions;
use larder::source::WalkOptions;

use crate::support::Lab;

fn delete(lab: &Lab) -> RestoreOptions {
    RestoreOptions { delete: true, ..lab.options() }
}

fn put(lab: &Lab, path: &str) {
    let path = lab.out(path);
    fs::create_dir_all(path.parent().expect("a folder")).expect("makes folders");
    fs::write(path, b"extra").expect("writes");
}

#[test]
fn what_the_snapshot_lacks_is_removed_only_if_asked() {
    let lab = Lab::new();
    lab.write("a/b/c", b"1");
    lab.write("a-b", b"2");
    let snapshot = lab.backup();
    lab.restore_well(&snapshot, &lab.options());
    for path in ["extra", "a/extra/deep/er", "a/b/c2", "a.b"] {
        put(&lab, path);
    }
    let elsewhere = tempfile::tempdir().expect("a folder");
    fs::write(elsewhere.path().join("file"), b"precious").expect("writes");
    symlink(elsewhere.path(), lab.out("a/link")).expect("links");
    let report = lab.restore_well(&snapshot, &lab.options());
    assert_eq!(report.deleted, 0);
    let report = lab.restore_well(&snapshot, &delete(&lab));
    assert_eq!(report.deleted, 7, "{report:?}");
    lab.assert_identical();
    assert!(elsewhere.path().join("file").exists());
}

#[test]
fn what_is_left_out_stays() {
    let lab = Lab::new();
    lab.write("a/file", b"1");
    let snapshot = lab.backup();
    for path in ["a/x.keep", "a/gone/y.keep", "a/gone/z", "b", "keep/inside"] {
        put(&lab, path);
    }
    let exclude = vec!["*.keep".into(), "keep".into()];
    let report = lab.restore_well(&snapshot, &RestoreOptions { exclude, ..delete(&lab) });
    assert_eq!(report.deleted, 2, "{report:?}");
    for path in ["a/x.keep", "a/gone/y.keep", "keep/inside", "a/file"] {
        assert!(lab.out(path).exists(), "{path}");
    }
    let include = vec!["a".into()];
    put(&lab, "b");
    let report = lab.restore_well(&snapshot, &RestoreOptions { include, ..delete(&lab) });
    assert_eq!(report.deleted, 3, "{report:?}");
    assert!(lab.out("b").exists() && !lab.out("a/gone").exists());
}

/// The snapshot knows of `/home` only that it leads to the source.
#[test]
fn folders_that_lead_to_a_source_keep_what_is_in_them() {
    let lab = Lab::new();
    lab.write("file", b"1");
    let snapshot = lab.backup();
    let whole = RestoreOptions { subtree: None, ..delete(&lab) };
    lab.restore_well(&snapshot, &whole);
    let inside = lab.out("").join(lab.src("").strip_prefix("/").expect("is absolute"));
    fs::write(inside.join("extra"), b"x").expect("writes");
    fs::write(inside.join("../beside"), b"x").expect("writes");
    fs::write(lab.out("beside"), b"x").expect("writes");
    let report = lab.restore_well(&snapshot, &whole);
    assert_eq!(report.deleted, 1);
    assert!(inside.join("../beside").exists() && lab.out("beside").exists());
}

/// Thousands of folders in each other cost neither stack nor open files.
#[test]
fn deep_trees_are_removed() {
    let lab = Lab::new();
    lab.write("file", b"1");
    let snapshot = lab.backup();
    lab.restore_well(&snapshot, &lab.options());
    let mut dir: std::os::fd::OwnedFd = fs::File::open(lab.out("")).expect("opens").into();
    for _ in 0..3_000 {
        larder::fsmeta::create_dir_at(&dir, b"deep").expect("makes");
        dir = larder::fsmeta::open_dir_at(&dir, b"deep", larder::fsmeta::OpenDir::Path)
            .expect("opens");
    }
    let report = lab.restore_well(&snapshot, &delete(&lab));
    assert_eq!(report.deleted, 3_000);
    lab.assert_identical();
}

/// A file that could not be read was there: restoring must not remove it.
#[test]
fn what_could_not_be_read_for_the_snapshot_stays() {
    use larder::format::log::SourceError;
    use std::os::unix::ffi::OsStrExt;
    let lab = Lab::new();
    lab.write("a/file", b"1");
    let mut snapshot = lab.backup();
    let path = lab.src("a/unread").as_os_str().as_bytes().to_vec();
    let error = SourceError { path: path[..].into(), message: "denied".into() };
    snapshot.body.errors.push(error);
    snapshot.body.error_count = 1;
    for path in ["a/unread/inside", "a/extra"] {
        put(&lab, path);
    }
    assert_eq!(lab.restore_well(&snapshot, &delete(&lab)).deleted, 1);
    assert!(lab.out("a/unread/inside").exists());
    snapshot.body.error_count = 2;
    put(&lab, "a/extra");
    assert_eq!(lab.restore_well(&snapshot, &delete(&lab)).deleted, 0);
}

/// The folder above the file is not known: nothing in the target is extra.
#[test]
fn restoring_one_file_deletes_nothing() {
    let lab = Lab::new();
    for path in ["a/notes", "a/other", "top"] {
        lab.write(path, b"1");
    }
    let snapshot = lab.backup();
    for path in ["a/notes", "top"] {
        put(&lab, "extra");
        put(&lab, "folder/extra");
        let mut options = delete(&lab);
        let subtree = options.subtree.as_mut().expect("has one");
        subtree.extend_from_slice(format!("/{path}").as_bytes());
        let report = lab.restore_well(&snapshot, &options);
        assert_eq!((report.created, report.deleted), (1, 0), "{path} {report:?}");
        assert!(lab.out("extra").exists() && lab.out("folder/extra").exists());
    }
}

/// Backups leave the repository out, so it is in no snapshot.
#[test]
fn the_repository_is_never_deleted() {
    for (folder, deleted) in [("extra/deep/repository", 1), ("repository", 2), ("known", 2)] {
        let mut lab = Lab::new();
        lab.write("known/file", b"1");
        fs::create_dir_all(lab.out(folder).parent().expect("a folder")).expect("makes");
        lab.move_to(&lab.out(folder));
        let snapshot = lab.backup();
        put(&lab, "extra/beside");
        let before = list(&lab.out(folder));
        let report = lab.restore(&snapshot, &delete(&lab));
        // Nothing is restored into it either.
        assert_eq!(report.failed, if folder == "known" { 2 } else { 0 }, "{folder} {report:?}");
        // The folder that held the repository stays with it.
        assert_eq!(report.deleted, deleted, "{folder} {report:?}");
        assert!(!lab.out("extra/beside").exists());
        assert_eq!(before, list(&lab.out(folder)), "{folder}");
    }
}

fn list(folder: &Path) -> Vec<PathBuf> {
    let mut all = Vec::new();
    let mut todo = vec![folder.to_path_buf()];
    while let Some(folder) = todo.pop() {
        for entry in fs::read_dir(folder).expect("lists") {
            let path = entry.expect("lists").path();
            if path.is_dir() {
                todo.push(path.clone());
            }
            all.push(path);
        }
    }
    all.sort();
    all
}

/// The snapshot lacks it because the user did not want it in there, not because it was gone.
#[test]
fn what_the_backup_left_out_stays() {
    let lab = Lab::new();
    for path in ["a/file", "a/x.tmp", "a/X.LOG", "target/built", "b/target/built"] {
        lab.write(path, b"1");
    }
    let mut snapshot = lab.backup_with(WalkOptions {
        exclude: vec!["*.tmp".into(), "target/".into()],
        iexclude: vec!["*.log".into()],
        ..WalkOptions::default()
    });
    let kept = ["a/x.tmp", "a/X.LOG", "target/built", "b/target/built", "extra/y.tmp"];
    for path in kept.into_iter().chain(["extra/z", "a/target"]) {
        put(&lab, path);
    }
    let report = lab.restore_well(&snapshot, &delete(&lab));
    assert_eq!(report.deleted, 2, "{report:?}");
    for path in kept {
        assert!(lab.out(path).exists(), "{path}");
    }
    // Patterns that this version does not understand.
    snapshot.body.excludes.push("[".into());
    put(&lab, "extra/z");
    assert_eq!(lab.restore_well(&snapshot, &delete(&lab)).deleted, 0);
}

/// Filters that are no patterns leave a remark in the snapshot: then nothing is deleted at all.
#[test]
fn nothing_is_deleted_when_it_is_not_known_what_was_left_out() {
    let lab = Lab::new();
    fs::write(lab.src("kept"), b"kept").expect("writes");
    let mut snapshot = lab.backup();
    snapshot.body.excludes = vec!["# cache folders".into()];
    let options = RestoreOptions { delete: true, ..lab.options() };
    fs::create_dir_all(&options.target).expect("makes");
    let extra = options.target.join("extra");
    fs::write(&extra, b"extra").expect("writes");
    lab.restore(&snapshot, &options);
    assert!(extra.exists());
}
