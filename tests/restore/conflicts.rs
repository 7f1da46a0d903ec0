//! What is there and differs: kept, written over, asked about, or kept beside the snapshot's.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt, symlink};
use std::path::Path;
use std::sync::Arc;

use larder::error::Error;
use larder::restore::{Asker, Overwrite, Resolution, RestoreOptions, RestoreReport, restore};
use parking_lot::Mutex;

use crate::support::{Lab, noise};

fn mode(lab: &Lab, overwrite: Overwrite) -> RestoreOptions {
    RestoreOptions { overwrite, ..lab.options() }
}

/// Names in a folder, with what they are.
fn listing(folder: &Path) -> BTreeMap<String, String> {
    let describe = |path: &Path| {
        let kind = fs::symlink_metadata(path).expect("there").file_type();
        if kind.is_symlink() {
            format!("-> {}", fs::read_link(path).expect("a link").display())
        } else if kind.is_dir() {
            format!("{:?}", listing(path))
        } else if kind.is_fifo() {
            "fifo".into()
        } else {
            String::from_utf8_lossy(&fs::read(path).expect("a file")).into_owned()
        }
    };
    let entries = fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry"));
    entries
        .map(|entry| (entry.file_name().to_string_lossy().into_owned(), describe(&entry.path())))
        .collect()
}

/// Puts something of the kind at a path.
fn make(path: &Path, kind: &str, content: &str) {
    match kind {
        "file" => fs::write(path, content).expect("a file"),
        "link" => symlink(content, path).expect("a link"),
        "fifo" => {
            let mode = rustix::fs::Mode::from_raw_mode(0o600);
            let kind = rustix::fs::FileType::Fifo;
            rustix::fs::mknodat(rustix::fs::CWD, path, kind, mode, 0).expect("a fifo");
        }
        _ => {
            fs::create_dir(path).expect("a folder");
            fs::write(path.join("in"), content).expect("a file");
        }
    }
}

fn says(resolution: Resolution) -> Option<Asker> {
    Some(Asker::new(move |_| Ok(resolution)))
}

const KINDS: [&str; 4] = ["file", "link", "fifo", "folder"];

/// Every kind in the place of every other kind, in every mode: what is there stays as it was if
/// the mode says so, the snapshot's is there under its name or another, and doing it all again
/// changes nothing.
#[test]
fn every_kind_in_the_place_of_every_kind() {
    for stored in KINDS {
        for found in KINDS {
            // Folders are one, and so are fifos.
            if stored == found && matches!(stored, "folder" | "fifo") {
                continue;
            }
            for overwrite in [Overwrite::KeepBoth, Overwrite::Ask, Overwrite::Never] {
                for resolution in [Resolution::Overwrite, Resolution::Skip, Resolution::KeepBoth] {
                    if overwrite != Overwrite::Ask && resolution != Resolution::KeepBoth {
                        continue;
                    }
                    let case = format!("{stored} over {found}, {overwrite:?} {resolution:?}");
                    check_case(stored, found, overwrite, resolution, &case);
                }
            }
        }
    }
}

fn check_case(stored: &str, found: &str, mode: Overwrite, resolution: Resolution, case: &str) {
    let lab = Lab::new();
    fs::create_dir_all(lab.src("")).expect("a folder");
    make(&lab.src("thing.x"), stored, "new");
    make(&lab.src("zebra"), "file", "same");
    let snapshot = lab.backup();
    let wanted = listing(&lab.src(""))["thing.x"].clone();
    fs::create_dir_all(lab.out("")).expect("a folder");
    make(&lab.out("thing.x"), found, "old");
    make(&lab.out("zebra"), "file", "same");
    let before = listing(&lab.out(""))["thing.x"].clone();
    let options = RestoreOptions {
        overwrite: mode,
        ask: says(resolution),
        // A folder that is written over may have something in it.
        delete: resolution == Resolution::Overwrite,
        ..lab.options()
    };
    let dry = lab.restore_well(&snapshot, &RestoreOptions { dry_run: true, ..options.clone() });
    assert_eq!(listing(&lab.out(""))["thing.x"], before, "{case}: a dry run");
    let report = lab.restore_well(&snapshot, &options);
    let counts = |r: &RestoreReport| (r.kept_both, r.replaced, r.skipped);
    assert_eq!(counts(&dry), counts(&report), "{case}: a dry run tells");
    let after = listing(&lab.out(""));
    let kept_both = mode == Overwrite::KeepBoth
        || (mode == Overwrite::Ask && resolution == Resolution::KeepBoth);
    if kept_both {
        assert_eq!(report.kept_both, 1, "{case}");
        assert_eq!(after["thing.x"], before, "{case}");
        let (name, beside) = after
            .iter()
            .find(|(name, _)| name.contains("(restored from "))
            .unwrap_or_else(|| panic!("{case}: {after:?}"));
        assert_eq!(*beside, wanted, "{case}");
        assert_eq!(name.ends_with(".x"), stored != "folder", "{case}: {name}");
        assert_eq!(after.len(), 3, "{case}");
        let again = RestoreOptions { verify: true, ..options };
        let report = lab.restore_well(&snapshot, &again);
        assert_eq!((report.kept_both, report.created), (0, 0), "{case}: again");
        assert_eq!(listing(&lab.out("")), after, "{case}: again");
    } else if mode == Overwrite::Ask && resolution == Resolution::Overwrite {
        assert_eq!((report.replaced, report.kept_both), (1, 0), "{case}");
        assert_eq!(after["thing.x"], wanted, "{case}");
        assert_eq!(after.len(), 2, "{case}");
    } else {
        assert_eq!(report.replaced + report.kept_both, 0, "{case}");
        assert!(report.skipped > 0, "{case}");
        assert_eq!(after["thing.x"], before, "{case}");
    }
}

/// Equal content is no conflict, however old it is; different content is one, however it looks.
#[test]
fn only_what_differs_is_a_conflict() {
    let lab = Lab::new();
    lab.write("same", noise(3 << 20, 1));
    lab.write("looks-same", noise(2 << 20, 2));
    lab.write("tiny", b"abc");
    symlink("there", lab.src("link")).expect("links");
    let snapshot = lab.backup();
    lab.restore_well(&snapshot, &lab.options());
    let touch = |name: &str| fs::File::options().write(true).open(lab.out(name)).expect("opens");
    touch("same").set_modified(std::time::SystemTime::UNIX_EPOCH).expect("sets");
    let time = fs::metadata(lab.out("looks-same")).expect("there").modified().expect("has one");
    let file = touch("looks-same");
    std::os::unix::fs::FileExt::write_all_at(&file, b"rot", 1 << 20).expect("writes");
    file.set_modified(time).expect("sets");
    let asked = Arc::new(Mutex::new(Vec::new()));
    let note = Arc::clone(&asked);
    let ask = Asker::new(move |conflict| {
        note.lock().push(String::from_utf8_lossy(&conflict.path).into_owned());
        assert_eq!((conflict.found.size, conflict.stored.size), (2 << 20, 2 << 20));
        Ok(Resolution::Overwrite)
    });
    let options = RestoreOptions { ask: Some(ask), ..mode(&lab, Overwrite::Ask) };
    let report = lab.restore_well(&snapshot, &options);
    assert_eq!(asked.lock().len(), 1);
    assert!(asked.lock()[0].ends_with("looks-same"));
    assert_eq!((report.replaced, report.unchanged), (1, 3));
    lab.assert_identical();
}

/// In the order of the manifest, on the thread that restores, until somebody has had enough.
#[test]
fn an_answer_can_end_it_all() {
    let lab = Lab::new();
    for name in ["a", "b", "c", "d"] {
        lab.write(name, name);
    }
    let snapshot = lab.backup();
    fs::create_dir_all(lab.out("")).expect("a folder");
    for name in ["a", "b", "c", "d"] {
        fs::write(lab.out(name), "old").expect("writes");
    }
    let asked = Arc::new(Mutex::new(Vec::new()));
    let note = Arc::clone(&asked);
    let ask = Asker::new(move |conflict| {
        let name = conflict.path.last().copied().unwrap_or_default();
        note.lock().push(name);
        match name {
            b'c' => Err(Error::Cancelled { signal: None }),
            _ => Ok(Resolution::KeepBoth),
        }
    });
    let options = RestoreOptions { ask: Some(ask), ..mode(&lab, Overwrite::Ask) };
    let error = restore(&lab.repository, &snapshot, &options, &lab.runtime).expect_err("ends");
    assert!(matches!(error, Error::Cancelled { .. }), "{error}");
    assert_eq!(*asked.lock(), b"abc");
    for name in ["a", "b", "c", "d"] {
        assert_eq!(fs::read(lab.out(name)).expect("there"), b"old");
    }
    // Nobody to ask is an error before anything happens, and in a dry run a number.
    let nobody = mode(&lab, Overwrite::Ask);
    let error = restore(&lab.repository, &snapshot, &nobody, &lab.runtime).expect_err("refuses");
    assert!(matches!(error, Error::Usage { .. }), "{error}");
    let dry = lab.restore_well(&snapshot, &RestoreOptions { dry_run: true, ..nobody });
    assert_eq!((dry.undecided, dry.skipped, dry.replaced), (4, 0, 0));
}

/// Hard links of the snapshot stay links of each other, whatever of them had to go elsewhere.
#[test]
fn hard_links_are_kept_together_beside_what_is_there() {
    let lab = Lab::new();
    lab.write("a", noise(100_000, 1));
    fs::hard_link(lab.src("a"), lab.src("b")).expect("links");
    fs::hard_link(lab.src("a"), lab.src("c")).expect("links");
    let snapshot = lab.backup();
    fs::create_dir_all(lab.out("")).expect("a folder");
    fs::write(lab.out("a"), "mine").expect("writes");
    fs::write(lab.out("c"), "mine too").expect("writes");
    let options = RestoreOptions { verify: true, ..mode(&lab, Overwrite::KeepBoth) };
    for run in 0..3 {
        let report = lab.restore_well(&snapshot, &options);
        assert_eq!(report.kept_both, if run == 0 { 2 } else { 0 });
        let names = listing(&lab.out(""));
        assert_eq!(names.len(), 5, "{:?}", names.keys());
        let inode = fs::metadata(lab.out("b")).expect("there").ino();
        let beside: Vec<_> = names.keys().filter(|name| name.contains("(restored")).collect();
        assert_eq!(beside.len(), 2);
        for name in beside {
            assert_eq!(fs::metadata(lab.out(name)).expect("there").ino(), inode, "{name}");
        }
        assert_eq!(fs::read(lab.out("a")).expect("there"), b"mine");
        assert_eq!(fs::read(lab.out("c")).expect("there"), b"mine too");
    }
}

/// A folder that is restored beside a file takes everything in it along; deletions leave alone
/// what was put beside, and names that the snapshot needs are not used up.
#[test]
fn copies_beside_are_numbered_kept_and_out_of_the_way() {
    let lab = Lab::new();
    lab.write("work/deep/file", b"deep");
    lab.write("f.txt", b"snapshot's");
    let first = lab.backup();
    fs::create_dir_all(lab.out("")).expect("a folder");
    fs::write(lab.out("work"), "in the way").expect("writes");
    fs::write(lab.out("f.txt"), "mine").expect("writes");
    fs::write(lab.out("extra"), "not in the snapshot").expect("writes");
    let options = RestoreOptions { delete: true, verify: true, ..mode(&lab, Overwrite::KeepBoth) };
    lab.restore_well(&first, &options);
    let names = listing(&lab.out(""));
    assert_eq!(names.len(), 4, "{names:?}");
    let folder = names.keys().find(|name| name.starts_with("work (")).expect("a folder");
    assert_eq!(fs::read(lab.out(folder).join("deep/file")).expect("there"), b"deep");
    let beside = names.keys().find(|name| name.starts_with("f (")).expect("a copy").clone();
    // Somebody changes the copy: the next one is numbered.
    fs::write(lab.out(&beside), "changed").expect("writes");
    lab.restore_well(&first, &RestoreOptions { delete: false, ..options.clone() });
    let numbered = beside.replace(").txt", " 2).txt");
    assert_eq!(fs::read(lab.out(&numbered)).expect("there"), b"snapshot's");
    assert_eq!(fs::read(lab.out(&beside)).expect("there"), b"changed");
    // A snapshot that has a file of that name itself.
    lab.write(&beside, b"a file of its own");
    let second = lab.backup();
    let stamp = |name: &str| name.split('(').nth(1).map(str::to_owned);
    let report = lab.restore_well(&second, &RestoreOptions { delete: false, ..options });
    assert_eq!(fs::read(lab.out(&beside)).expect("there"), b"changed");
    assert!(report.kept_both >= 1);
    assert!(stamp(&beside).is_some());
}
