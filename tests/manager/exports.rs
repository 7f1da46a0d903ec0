//! Archives out and in, checked by the programs that people open them with.

use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use larder::error::Error;
use larder::manager::{ExportFormat, ExportReport, ExportRequest};
use larder::model::{BackupId, FileKind, Time};
use larder::runtime::{Issue, IssueKind, Progress, Runtime};
use parking_lot::Mutex;

use crate::shop::Shop;
use crate::support::{LiveTree, TreeCopy};

/// A shop with all kinds of files in its source, and a backup of them.
struct House {
    shop: Shop,
    id: BackupId,
}

impl House {
    fn new() -> Self {
        let shop = Shop::with(crate::shop::ShopOptions {
            suite: larder::crypto::Suite::None,
            ..Default::default()
        });
        let mut tree = LiveTree::new(shop.source(), 7);
        tree.add_samples();
        tree.grow(60);
        remove_sockets(&shop.source());
        let id = backup(&shop);
        Self { shop, id }
    }

    fn export(&self, format: ExportFormat, change: impl FnOnce(&mut ExportRequest)) -> PathBuf {
        let mut request = ExportRequest {
            subtree: self.shop.source_in_snapshot(),
            ..ExportRequest::new(self.id, format)
        };
        change(&mut request);
        let report = self.shop.manager().export_backup_with(&request).expect("exports");
        assert_eq!(report.failed, 0);
        report.path.expect("a file")
    }
}

/// Backs up the source of a shop, as the engine does it.
fn backup(shop: &Shop) -> BackupId {
    let options = shop.manager_options().backup;
    let report = larder::archive::backup(&shop.open(), &options, &shop.runtime());
    report.expect("backs up").snapshot.expect("not a dry run").id
}

/// No archive has sockets.
fn remove_sockets(folder: &Path) {
    for entry in fs::read_dir(folder).expect("lists").flatten() {
        let kind = entry.file_type().expect("a type");
        if kind.is_socket() {
            fs::remove_file(entry.path()).expect("removes");
        } else if kind.is_dir() {
            remove_sockets(&entry.path());
        }
    }
    // Whoever looks at a folder must not find the time of the removal in it.
    larder_times(folder);
}

fn larder_times(folder: &Path) {
    crate::support::set_times(folder, 1_700_000_000, 123_456_700);
}

/// Runs a program that has to succeed, in `folder`.
fn tool(folder: &Path, program: &str, args: &[&str]) -> String {
    let output = Command::new(program)
        .current_dir(folder)
        .args(args)
        .env("LC_ALL", "C.UTF-8")
        .env("TZ", "UTC")
        .output()
        .unwrap_or_else(|error| panic!("{program} is not installed: {error}"));
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {args:?}: {errors}{said}");
    said
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a plain name")
}

#[derive(Default)]
struct Issues(Mutex<Vec<Issue>>);

impl Progress for Issues {
    fn issue(&self, issue: &Issue) {
        self.0.lock().push(issue.clone());
    }
}

/// A runtime that remembers what was said.
fn listening() -> (Runtime, Arc<Issues>) {
    let issues = Arc::new(Issues::default());
    (Runtime { progress: Arc::clone(&issues) as _, ..Runtime::default() }, issues)
}

#[test]
fn tar_brings_everything_back_through_gnu_tar_and_bsdtar() {
    let house = House::new();
    let archive = house.export(ExportFormat::TarZst, |_| {});
    let name = archive.file_name().and_then(|name| name.to_str()).expect("a plain name");
    assert!(name.starts_with("shop-2") && name.ends_with(".tar.zst"), "{name}");
    assert_eq!(archive.metadata().expect("is there").mode() & 0o777, 0o600);
    tool(house.shop.path(".").as_path(), "zstd", &["-qt", text(&archive)]);
    let programs: [(&str, &[&str]); 2] = [
        ("tar", &["--zstd", "--xattrs", "--xattrs-include=*", "--numeric-owner", "-xpf"]),
        ("bsdtar", &["--xattrs", "--numeric-owner", "-xpf"]),
    ];
    for (program, args) in programs {
        let folder = house.shop.path(program);
        fs::create_dir(&folder).expect("makes a folder");
        tool(&folder, program, &[args, &[text(&archive)]].concat());
        let (mut want, mut found) = (house.shop.live_copy(), TreeCopy::of_folder(&folder));
        if program == "bsdtar" {
            // It leaves `.` alone, and takes the fraction of a time before 1970 the wrong way round.
            for copy in [&mut want, &mut found] {
                copy.0.remove(&b""[..]);
                for node in copy.0.values_mut().filter(|node| node.mtime.secs < 0) {
                    node.mtime = Time::default();
                }
            }
        }
        want.assert_same(&found, program);
        let sparse = folder.join("samples/sparse").metadata().expect("is there");
        assert!(sparse.blocks() * 512 < sparse.size(), "{program} made holes");
    }
}

#[test]
fn zip_is_sound_to_unzip_python_and_7z() {
    let house = House::new();
    let (runtime, issues) = listening();
    let archive = house.export(ExportFormat::Zip, |request| request.runtime = runtime);
    let devices = issues.0.lock().iter().filter(|issue| !issue.path.is_empty()).count();
    assert!(devices >= 2, "a pipe and a device are left out");
    let folder = house.shop.path("unzipped");
    fs::create_dir(&folder).expect("makes a folder");
    let said = tool(&folder, "unzip", &["-tq", text(&archive)]);
    assert!(said.starts_with("No errors detected"), "{said}");
    let said = tool(&folder, "7z", &["t", "-bd", text(&archive)]);
    assert!(said.contains("Everything is Ok") && !said.contains("Warning"), "{said}");
    let test = "import sys, zipfile; print(zipfile.ZipFile(sys.argv[1]).testzip())";
    assert_eq!(tool(&folder, "python3", &["-c", test, text(&archive)]).trim(), "None");
    tool(&folder, "bsdtar", &["-xpf", text(&archive)]);
    let (want, mut found) = (house.shop.live_copy(), TreeCopy::of_folder(&folder));
    found.0.remove(&b""[..]);
    for (path, node) in &found.0 {
        let want = want.get(path).unwrap_or_else(|| panic!("{path:?} is there"));
        assert_eq!(node.kind, want.kind, "{path:?}");
        // It takes the 32 bits of a time for unsigned, and has no others.
        let is_known = (0..i64::from(i32::MAX)).contains(&want.mtime.secs);
        let is_same = !is_known || node.mtime.secs == want.mtime.secs;
        assert!(is_same, "{path:?}: {} {}", node.mtime.secs, want.mtime.secs);
        assert!(node.kind == FileKind::Symlink || node.mode == want.mode, "{path:?}");
        assert!(want.same_as.is_some() || node.body == want.body, "{path:?}");
    }
    let is_in_zip =
        |kind: FileKind| matches!(kind, FileKind::File | FileKind::Dir | FileKind::Symlink);
    let expected = want.0.iter().filter(|(path, n)| !path.is_empty() && is_in_zip(n.kind)).count();
    assert_eq!(found.len(), expected);
}

#[test]
fn an_export_never_replaces_a_file_and_leaves_nothing_behind_when_it_fails() {
    let house = House::new();
    let manager = house.shop.manager();
    let folder = house.shop.path("exports");
    let first = manager.export_backup(house.id, ExportFormat::Zip).expect("exports");
    let before = fs::read(&first).expect("reads");
    let error = manager.export_backup(house.id, ExportFormat::Zip).expect_err("is there");
    assert!(error.to_string().contains("already a file"), "{error}");
    assert!(error.hint().expect("a hint").contains("--force"));
    let again = house.export(ExportFormat::Zip, |request| {
        request.subtree = Vec::new();
        request.replace = true;
    });
    assert_eq!(again, first);
    assert!(fs::read(&first).expect("reads") == before, "exports are the same each time");

    for format in [ExportFormat::Zip, ExportFormat::TarZst] {
        let runtime = Runtime::default();
        runtime.cancel.cancel();
        let path = Some(folder.join("cancelled.archive"));
        let request = ExportRequest { path, runtime, ..ExportRequest::new(house.id, format) };
        let error = manager.export_backup_with(&request).expect_err("cancelled");
        assert!(matches!(error, Error::Cancelled { .. }), "{error}");
    }
    let missing = ExportRequest {
        subtree: b"no/such/path".to_vec(),
        path: Some(folder.join("missing.zip")),
        ..ExportRequest::new(house.id, ExportFormat::Zip)
    };
    assert!(matches!(manager.export_backup_with(&missing), Err(Error::NotFound { .. })));
    let nobody = BackupId([9; 16]);
    let error = manager.export_backup(nobody, ExportFormat::Zip).expect_err("unknown id");
    assert!(matches!(error, Error::NotFound { what: "snapshot", .. }), "{error}");
    let level =
        ExportRequest { level: Some(23), ..ExportRequest::new(house.id, ExportFormat::TarZst) };
    assert!(matches!(manager.export_backup_with(&level), Err(Error::Usage { .. })));
    let left: Vec<OsString> =
        fs::read_dir(&folder).expect("lists").flatten().map(|entry| entry.file_name()).collect();
    assert_eq!(left, [first.file_name().expect("a name")]);
}

#[test]
fn exports_into_the_repository_are_refused() {
    let house = House::new();
    let manager = house.shop.manager();
    let inside = house.shop.repository_folder();
    let alias = house.shop.path("alias");
    std::os::unix::fs::symlink(&inside, &alias).expect("a link");
    for path in [inside.join("a.zip"), inside.join("new/folder/a.zip"), alias.join("data/a.zip")] {
        let request = ExportRequest {
            path: Some(path.clone()),
            ..ExportRequest::new(house.id, ExportFormat::Zip)
        };
        let error = manager.export_backup_with(&request).expect_err("is in the repository");
        assert!(error.to_string().contains("in the repository itself"), "{error}");
        assert!(!path.exists());
    }
    assert!(!inside.join("new").exists());
    let no_folder = house.shop.manager_with(|options| options.export_folder = None);
    let error = no_folder.export_backup(house.id, ExportFormat::Zip).expect_err("no folder");
    assert!(matches!(error, Error::Usage { .. }), "{error}");
}

/// A full disk names the file, and nothing is left of it.
#[test]
fn an_export_without_room_says_so() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let house = House::new();
    house.shop.write("large", crate::shop::noise(5, 3 << 20));
    let id = backup(&house.shop);
    let small = house.shop.path("small");
    fs::create_dir(&small).expect("makes a folder");
    let mounted = Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=1m", "tmpfs", text(&small)])
        .status();
    if !mounted.is_ok_and(|status| status.success()) {
        return;
    }
    let ran = [ExportFormat::Zip, ExportFormat::TarZst].map(|format| {
        let path = Some(small.join("export"));
        let request = ExportRequest { path, ..ExportRequest::new(id, format) };
        house.shop.manager().export_backup_with(&request)
    });
    let left = fs::read_dir(&small).expect("lists").count();
    tool(house.shop.path(".").as_path(), "umount", &[text(&small)]);
    for error in ran.map(|ran: Result<ExportReport, Error>| ran.expect_err("no room")) {
        assert!(error.to_string().contains("small/export"), "{error}");
        assert!(error.hint().expect("a hint").contains("free some space"), "{error}");
    }
    assert_eq!(left, 0);
}

/// What is damaged is named, and the rest is in the archive.
#[test]
fn damaged_files_are_named_and_the_rest_is_exported() {
    let house = House::new();
    house.shop.write("lost", crate::shop::noise(6, 2 << 20));
    let before = house.shop.stored();
    let id = backup(&house.shop);
    let added = house.shop.stored().into_iter().find(|(name, bytes)| {
        name.as_os_str().as_bytes().starts_with(b"data/")
            && !before.contains_key(name)
            && bytes.len() > 1 << 20
    });
    let (name, mut bytes) = added.expect("a pack");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    let pack = house.shop.repository_folder().join(name);
    let _ = fs::set_permissions(&pack, fs::Permissions::from_mode(0o600));
    fs::write(&pack, bytes).expect("writes");
    for format in [ExportFormat::Zip, ExportFormat::TarZst] {
        let (runtime, issues) = listening();
        let path = Some(house.shop.path(&format!("damaged.{format}")));
        let request = ExportRequest { path, runtime, ..ExportRequest::new(id, format) };
        let report = house.shop.manager().export_backup_with(&request).expect("goes on");
        assert_eq!(report.failed, 1);
        let issues = issues.0.lock();
        let failed: Vec<_> = issues.iter().filter(|i| i.kind == IssueKind::Failed).collect();
        assert!(failed.len() == 1 && failed[0].path.ends_with(b"/source/lost"), "{failed:?}");
        let folder = house.shop.path(&format!("read-{format}"));
        fs::create_dir(&folder).expect("makes a folder");
        tool(&folder, "bsdtar", &["-xpf", text(&report.path.expect("a file"))]);
        let lost = house.shop.source_below(&folder).join("lost");
        assert_eq!(fs::metadata(lost).expect("is there").len(), 2 << 20);
        let error = house.shop.manager().export_backup(id, format).expect_err("is damaged");
        assert!(matches!(error, Error::Damaged { .. }), "{error}");
    }
}

mod acls;
mod hostile;
mod imports;
mod metadata;
