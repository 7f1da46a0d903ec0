//! Archives in: our own come back as they were, and those of other programs as they made them.

use super::*;
use larder::manager::{IMPORTED_TAG, ImportFormat, ImportReport, ImportRequest};
use larder::repository::Snapshot;

use crate::support::Body;

/// Imports a file, below the source's path.
pub(super) fn import(shop: &Shop, path: &Path) -> ImportReport {
    let (report, issues) = import_with(shop, path, |_| {});
    assert!(report.is_complete(), "{issues:?}");
    report
}

pub(super) fn import_with(
    shop: &Shop,
    path: &Path,
    change: impl FnOnce(&mut ImportRequest),
) -> (ImportReport, Vec<Issue>) {
    let (ran, issues) = try_import(shop, path, change);
    (ran.expect("imports"), issues)
}

pub(super) fn try_import(
    shop: &Shop,
    path: &Path,
    change: impl FnOnce(&mut ImportRequest),
) -> (Result<ImportReport, Error>, Vec<Issue>) {
    let (runtime, issues) = listening();
    let root = shop.source_in_snapshot();
    let mut request = ImportRequest { root, runtime, ..ImportRequest::new(path) };
    change(&mut request);
    let ran = shop.manager().import_backup_with(&request);
    let issues = issues.0.lock().clone();
    (ran, issues)
}

/// What a snapshot has below the source's path.
pub(super) fn copy_of(shop: &Shop, report: &ImportReport) -> TreeCopy {
    let manager = shop.manager();
    let repository = manager.repository();
    repository.load_index().expect("loads");
    TreeCopy::of_snapshot(repository, &report.snapshot, &shop.source()).expect("reads")
}

/// Everything in the repository can be read.
pub(super) fn check(shop: &Shop) {
    use larder::verify::{CheckOptions, ReadData, check};
    let all = CheckOptions { read_data: ReadData::All, ..CheckOptions::default() };
    let report = check(&shop.open(), &all, &shop.runtime()).expect("checks");
    assert!(report.is_clean(), "{report:?}");
}

fn root_of(shop: &Shop, id: BackupId) -> larder::model::PageId {
    shop.snapshot(&shop.open(), id).body.root
}

/// The way back is the same tree, to the last attribute, and nothing but pages is stored.
#[test]
fn a_tar_export_comes_back_as_it_was() {
    let house = House::new();
    let archive = house.export(ExportFormat::TarZst, |_| {});
    let report = import(&house.shop, &archive);
    assert_eq!(report.format, ImportFormat::TarZst);
    house.shop.live_copy().assert_same(&copy_of(&house.shop, &report), "the import");
    let restored = house.shop.restored(&house.shop.manager(), report.backup_id);
    house.shop.live_copy().assert_same(&restored, "restored");
    // Chunks are those that the backup made: only pages are new, as no archive has inode numbers.
    assert!(report.added.plain_bytes < 100_000, "{:?}", report.added);
    let again = import(&house.shop, &archive);
    assert_eq!(again.same_as, Some(report.backup_id));
    assert_eq!(again.added.chunks, 0);
    assert_eq!(root_of(&house.shop, again.backup_id), root_of(&house.shop, report.backup_id));
    check(&house.shop);
}

#[test]
fn a_snapshot_says_where_it_came_from() {
    let house = House::new();
    let archive = house.export(ExportFormat::Zip, |request| {
        request.path = Some(house.shop.path("some archive.zip"));
    });
    let (report, _) = import_with(&house.shop, &archive, |request| {
        request.root = Vec::new();
        request.host = Some("attic".into());
        request.tags = vec!["old".into()];
        request.time_ms = Some(1_500_000_000_000);
    });
    let Snapshot { host, body, .. } = &report.snapshot;
    assert_eq!((host.as_str(), body.start_ms), ("attic", 1_500_000_000_000));
    assert_eq!(body.tags, ["old", IMPORTED_TAG]);
    assert_eq!(body.description, "imported from some archive.zip");
    assert_eq!(body.roots[0].0, b"import:some archive.zip");
    assert!(!body.partial && body.parent.is_none());
    // The time that was given is believed.
    let list = house.shop.open().snapshots().expect("lists");
    let found = list.snapshots.iter().find(|s| s.id == report.backup_id).expect("is there");
    assert!(found.cleared_here);
    let id = house.shop.manager().import_backup(&archive).expect("imports");
    assert_ne!(id, report.backup_id);
}

/// A zip archive has no hard links, attributes and devices; all else comes back, times to 100 ns.
#[test]
fn a_zip_export_comes_back_but_for_what_zip_cannot_say() {
    let house = House::new();
    let archive = house.export(ExportFormat::Zip, |_| {});
    let report = import(&house.shop, &archive);
    let (want, found) = (house.shop.live_copy(), copy_of(&house.shop, &report));
    let in_zip = |kind| matches!(kind, FileKind::File | FileKind::Dir | FileKind::Symlink);
    for (path, want) in want.0.iter().filter(|(path, n)| !path.is_empty() && in_zip(n.kind)) {
        let found = found.get(path).unwrap_or_else(|| panic!("{path:?} is there"));
        assert_eq!((found.kind, found.mode, found.owner), (want.kind, want.mode, want.owner));
        let to_100_ns = Time { nanos: want.mtime.nanos / 100 * 100, ..want.mtime };
        assert_eq!(found.mtime, to_100_ns, "{path:?}");
        assert!(want.same_as.is_some() || found.body == want.body, "{path:?}");
    }
    check(&house.shop);
}

/// Every kind of tar that programs of this system make means the same.
#[test]
fn archives_of_other_programs_are_understood() {
    let house = House::new();
    let source = house.shop.source();
    // Long names, and a file with more holes than fit into one header.
    let long = format!("{}/{}", "folder".repeat(15), "file".repeat(30));
    house.shop.write(&long, "far down");
    let holes = house.shop.write("many holes", "");
    let file = fs::File::options().write(true).open(holes).expect("opens");
    for number in 0..40_u64 {
        let at = number * 131_072 + number * 100;
        std::os::unix::fs::FileExt::write_all_at(&file, b"some data", at).expect("writes");
    }
    file.set_len(10 << 20).expect("grows");
    std::os::unix::fs::symlink("t".repeat(150), source.join("long link")).expect("a link");
    let plain = house.shop.live_copy();
    let whole_seconds = |copy: &TreeCopy| {
        let mut copy = copy.clone();
        for node in copy.0.values_mut() {
            node.mtime.nanos = 0;
            node.xattrs.clear();
        }
        copy
    };
    let gnu = ["--xattrs", "--xattrs-include=*", "--numeric-owner", "-C", text(&source)];
    let pax = ["--format=pax", "--sparse"];
    let listed = format!("--listed-incremental={}", text(&house.shop.path("list")));
    let listed = listed.as_str();
    let kinds: [(&str, &[&str], bool); 9] = [
        ("pax.tar", &["--format=pax"], true),
        ("pax.tar.gz", &["--format=pax", "-z"], true),
        ("pax.tar.zst", &["--format=pax", "--zstd"], true),
        ("sparse10.tar", &pax, true),
        ("sparse01.tar", &["--format=pax", "--sparse", "--sparse-version=0.1"], true),
        ("sparse00.tar", &["--format=pax", "--sparse", "--sparse-version=0.0"], true),
        ("gnu.tar", &["--format=gnu", "--sparse"], false),
        ("oldgnu.tar", &["--format=oldgnu", "--sparse"], false),
        ("listed.tar", &["--format=gnu", listed], false),
    ];
    let home = house.shop.path(".");
    for (name, args, is_exact) in kinds {
        let archive = home.join(name);
        let extra: &[&str] = if is_exact { &gnu } else { &gnu[2..] };
        tool(&home, "tar", &[&["-cf", text(&archive)], args, extra, &["."]].concat());
        let report = import(&house.shop, &archive);
        let found = copy_of(&house.shop, &report);
        if is_exact {
            plain.assert_same(&found, name);
        } else {
            whole_seconds(&plain).assert_same(&whole_seconds(&found), name);
        }
        let restored = house.shop.restored(&house.shop.manager(), report.backup_id);
        found.assert_same(&restored, name);
    }
    check(&house.shop);
}

/// Formats with short names and old programs.
#[test]
fn old_and_odd_archives_are_understood() {
    let shop = Shop::with(crate::shop::ShopOptions {
        suite: larder::crypto::Suite::None,
        ..Default::default()
    });
    let source = shop.source();
    fs::hard_link(source.join("letter.txt"), source.join("copy.txt")).expect("links");
    let mut want = shop.live_copy();
    want.0.values_mut().for_each(|node| node.mtime.nanos = 0);
    let home = shop.path(".");
    let made: [(&str, &str, &[&str]); 7] = [
        ("v7.tar", "tar", &["--format=v7", "-cf"]),
        ("ustar.tar", "tar", &["--format=ustar", "-cf"]),
        ("b-ustar.tar", "bsdtar", &["--format=ustar", "-cf"]),
        ("b-pax.tar", "bsdtar", &["--format=pax", "-cf"]),
        ("b-gnu.tar", "bsdtar", &["--format=gnutar", "-cf"]),
        ("b-v7.tar", "bsdtar", &["--format=v7", "-cf"]),
        ("b-zip.zip", "bsdtar", &["--format=zip", "-cf"]),
    ];
    for (name, program, args) in made {
        let archive = home.join(name);
        tool(&home, program, &[args, &[text(&archive), "-C", text(&source), "."]].concat());
        let report = import(&shop, &archive);
        let mut found = copy_of(&shop, &report);
        found.0.values_mut().for_each(|node| node.mtime.nanos = 0);
        if name.ends_with(".zip") {
            let text = found.get(b"copy.txt").expect("is there").body.clone();
            assert_eq!(text, want.get(b"copy.txt").expect("text").body);
            continue;
        }
        want.assert_same(&found, name);
    }
    // Info-ZIP, Python and 7z.
    tool(&source, "zip", &["-qry", "../info.zip", "."]);
    tool(&source, "zip", &["-qry0", "../stored.zip", "."]);
    tool(&source, "7z", &["a", "-bd", "-snl", "../seven.zip", "."]);
    let make = "import zipfile, sys; z = zipfile.ZipFile('../py.zip', 'w', zipfile.ZIP_DEFLATED); \
                z.write('letter.txt'); z.writestr('new/gr\u{f6}\u{df}e.txt', 'x'); z.close()";
    tool(&source, "python3", &["-c", make]);
    for name in ["info.zip", "stored.zip", "seven.zip"] {
        let report = import(&shop, &home.join(name));
        let found = copy_of(&shop, &report);
        for (path, want) in want.0.iter().filter(|(path, _)| !path.is_empty()) {
            let found = found.get(path).unwrap_or_else(|| panic!("{name}: {path:?} is there"));
            assert_eq!((found.kind, found.mode), (want.kind, want.mode), "{name} {path:?}");
            assert_eq!(found.mtime.secs, want.mtime.secs, "{name} {path:?}");
            assert!(want.same_as.is_some() || found.body == want.body, "{name} {path:?}");
        }
    }
    let report = import(&shop, &home.join("py.zip"));
    let found = copy_of(&shop, &report);
    assert!(found.get("new/größe.txt".as_bytes()).is_some());
    assert_eq!((report.made_up > 0, report.failed), (true, 0));
    // What is known and not read says what to do.
    for (name, args) in [("x.tar.xz", "-cJf"), ("x.tar.bz2", "-cjf")] {
        tool(&home, "tar", &[args, name, "-C", text(&source), "."]);
        let (ran, _) = try_import(&shop, &home.join(name), |_| {});
        let hint = ran.expect_err("not read").hint().expect("a hint");
        assert!(hint.contains("| larder import -"), "{hint}");
    }
    tool(&home, "7z", &["a", "-bd", "x.7z", text(&source)]);
    assert!(try_import(&shop, &home.join("x.7z"), |_| {}).0.is_err());
    // An archive behind a program that would unpack it.
    let mut program = b"MZ some program ".to_vec();
    program.extend_from_slice(&fs::read(home.join("info.zip")).expect("reads"));
    fs::write(home.join("setup.exe"), program).expect("writes");
    import(&shop, &home.join("setup.exe"));
    check(&shop);
}

/// The last member of a name counts; a link means what had the name before.
#[test]
fn later_members_replace_earlier_ones() {
    let shop = Shop::new();
    let home = shop.path(".");
    let files = shop.path("files");
    fs::create_dir(&files).expect("makes a folder");
    let archive = home.join("appended.tar");
    fs::write(files.join("b"), "first").expect("writes");
    tool(&files, "tar", &["-cf", text(&archive), "b"]);
    fs::hard_link(files.join("b"), files.join("c")).expect("links");
    tool(&files, "tar", &["-rf", text(&archive), "b", "c"]);
    fs::remove_file(files.join("b")).expect("removes");
    fs::write(files.join("b"), "second").expect("writes");
    fs::write(files.join("a"), "aside").expect("writes");
    tool(&files, "tar", &["-rf", text(&archive), "b", "a"]);
    let report = import(&shop, &archive);
    let found = copy_of(&shop, &report);
    let len = |path: &[u8]| match &found.get(path).expect("is there").body {
        Body::Bytes { len, .. } => *len,
        other => panic!("{other:?}"),
    };
    assert_eq!((len(b"a"), len(b"b"), len(b"c")), (5, 6, 5));
    assert!(found.0.values().all(|node| node.same_as.is_none()));
}

/// A bundle that the manager made comes into another repository as any archive does.
#[test]
fn bundles_are_imported_by_the_same_call() {
    let house = House::new();
    let bundle = house.shop.manager().export_backup(house.id, ExportFormat::Larder);
    let bundle = bundle.expect("exports");
    let other = Shop::with(crate::shop::ShopOptions {
        suite: larder::crypto::Suite::None,
        ..Default::default()
    });
    let manager = other.manager();
    let id = manager.import_backup(&bundle).expect("imports");
    let snapshot = other.snapshot(manager.repository(), id);
    assert_eq!(snapshot.host, "shop");
    let found = TreeCopy::of_snapshot(manager.repository(), &snapshot, &house.shop.source());
    house.shop.live_copy().assert_same(&found.expect("reads"), "the bundle");
}

/// A program is an archive if one stands at its end, else it is none; it is not a damaged one.
#[test]
fn programs_are_archives_only_with_one_at_their_end() {
    let house = House::new();
    let archive = fs::read(house.export(ExportFormat::Zip, |_| {})).expect("reads");
    let program = house.shop.path("program");
    for head in [&b"MZ"[..], b"\x7fELF"] {
        let plain = [head, &[7; 5000]].concat();
        fs::write(&program, &plain).expect("writes");
        let error = try_import(&house.shop, &program, |_| {}).0.expect_err("no archive");
        assert!(error.to_string().contains("is no archive that can be imported"), "{error}");
        fs::write(&program, [&plain[..], &archive].concat()).expect("writes");
        assert_eq!(import(&house.shop, &program).format, ImportFormat::Zip);
    }
}
