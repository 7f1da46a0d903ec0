//! What the operating system has to say: rights, full and read-only disks, protected files.

use std::fs::{self, File};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::Path;
use std::process::Command;

use larder::error::Error;
use larder::restore::{Overwrite, OwnerPolicy, RestoreOptions, SparsePolicy, restore};

use crate::support::{Lab, describe, noise};

/// A file system in memory. `None` if we may not mount one.
struct Mount<'p>(&'p Path);

impl<'p> Mount<'p> {
    fn new(at: &'p Path, options: &str) -> Option<Self> {
        fs::create_dir_all(at).expect("makes");
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", options, "tmpfs"])
            .arg(at)
            .output()
            .is_ok_and(|output| output.status.success());
        mounted.then_some(Self(at))
    }
}

impl Drop for Mount<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.0).status();
    }
}

fn is_root() -> bool {
    larder::fsmeta::is_root()
}

#[test]
fn a_full_disk_stops_early_and_names_the_path() {
    let lab = Lab::new();
    for n in 0..50 {
        lab.write(&format!("{n}"), noise(200_000, n));
    }
    let snapshot = lab.backup();
    let out = lab.out("");
    let Some(_mount) = Mount::new(&out, "size=2m") else { return };
    let options = RestoreOptions { ignore_room: true, ..lab.options() };
    let failed = restore(&lab.repository, &snapshot, &options, &lab.runtime);
    let Err(Error::Local { path, source, .. }) = &failed else { panic!("{failed:?}") };
    assert!(path.starts_with(&out), "{}", path.display());
    assert_eq!(source.kind(), std::io::ErrorKind::StorageFull);
    assert_eq!(failed.expect_err("failed").exit_code(), 1);
}

/// Before anything is written; and what is there already, holes, and what is not asked for count
/// nothing.
#[test]
fn a_target_without_room_is_refused_at_once() {
    let lab = Lab::new();
    for n in 0..10 {
        lab.write(&format!("{n}"), noise(300_000, n));
    }
    let hollow = fs::File::create(lab.src("hollow")).expect("creates");
    hollow.set_len(1 << 40).expect("grows");
    let snapshot = lab.backup();
    let out = lab.out("");
    let Some(_mount) = Mount::new(&out, "size=2m") else { return };
    let failed = restore(&lab.repository, &snapshot, &lab.options(), &lab.runtime);
    let Err(error @ Error::Local { path, source, .. }) = &failed else { panic!("{failed:?}") };
    assert!(path.starts_with(&out), "{}", path.display());
    assert_eq!(source.kind(), std::io::ErrorKind::StorageFull);
    assert!(source.to_string().contains("are needed and 2.00 MiB are free"), "{source}");
    assert!(error.hint().is_some());
    assert_eq!(fs::read_dir(&out).expect("lists").count(), 0);
    // A part of it fits, and with that there so does the next part.
    for names in [&["0", "1", "2", "3"][..], &["0", "1", "2", "3", "4", "5", "hollow"]] {
        let source = lab.options().subtree.expect("a folder");
        let path = |name: &&str| [&source[..], b"/", name.as_bytes()].concat();
        let paths = names.iter().map(path).collect();
        let report = lab.restore_well(&snapshot, &RestoreOptions { paths, ..lab.options() });
        assert_eq!(report.files, names.len() as u64);
    }
    let dry = RestoreOptions { dry_run: true, ..lab.options() };
    assert_eq!(lab.restore_well(&snapshot, &dry).files, 11);
    // What stays makes no room for a copy beside it, and takes none if there is no copy.
    for name in ["0", "1", "2", "3"] {
        fs::write(lab.out(name), vec![1; 250_000]).expect("writes");
    }
    let source = lab.options().subtree.expect("a folder");
    let paths = (0..4).map(|n| [&source[..], format!("/{n}").as_bytes()].concat()).collect();
    let never = RestoreOptions { paths, overwrite: Overwrite::Never, ..lab.options() };
    assert_eq!(lab.restore_well(&snapshot, &never).skipped, 4);
    let both = RestoreOptions { overwrite: Overwrite::KeepBoth, ..never };
    let failed = restore(&lab.repository, &snapshot, &both, &lab.runtime);
    assert!(matches!(&failed, Err(Error::Local { .. })), "{failed:?}");
}

#[test]
fn a_target_in_the_repository_is_refused() {
    let mut lab = Lab::new();
    lab.write("file", b"content");
    let repository = lab.out("../repository");
    lab.move_to(&repository);
    let snapshot = lab.backup();
    std::os::unix::fs::symlink(&repository, lab.out("../link")).expect("links");
    for target in ["../repository", "../repository/data", "../repository/new/x", "../link/x"] {
        for dry_run in [false, true] {
            let options = RestoreOptions { target: lab.out(target), dry_run, ..lab.options() };
            let error = restore(&lab.repository, &snapshot, &options, &lab.runtime);
            let error = error.expect_err("refuses");
            assert!(matches!(error, Error::Usage { .. }), "{target}: {error}");
            assert!(error.to_string().contains("lies in the repository"), "{error}");
        }
    }
    assert!(!repository.join("new").exists());
}

#[test]
fn a_read_only_target_is_one_clear_error() {
    let lab = Lab::new();
    lab.write("a/b", b"content");
    let snapshot = lab.backup();
    let out = lab.out("");
    let Some(_mount) = Mount::new(&out, "ro") else { return };
    let failed = restore(&lab.repository, &snapshot, &lab.options(), &lab.runtime);
    let error = failed.expect_err("cannot be written");
    assert!(matches!(&error, Error::Local { path, .. } if path.starts_with(&out)), "{error}");
    assert_eq!(error.exit_code(), 1);
}

#[test]
fn owners_devices_and_set_id_bits_come_back() {
    if !is_root() {
        return;
    }
    let lab = Lab::new();
    lab.write("dir/file", b"x");
    chown(lab.src("dir/file"), Some(1234), Some(5678)).expect("gives away");
    chown(lab.src("dir"), Some(4321), None).expect("gives away");
    fs::set_permissions(lab.src("dir/file"), fs::Permissions::from_mode(0o6755)).expect("sets");
    fs::set_permissions(lab.src("dir"), fs::Permissions::from_mode(0o3070)).expect("sets");
    let device = lab.src("null");
    let made = Command::new("mknod").arg(&device).args(["c", "1", "3"]).status().expect("runs");
    assert!(made.success());
    let snapshot = lab.backup();
    lab.restore_well(&snapshot, &lab.options());
    lab.assert_identical();
    let ours =
        RestoreOptions { owner: OwnerPolicy::Skip, target: lab.out("ours"), ..lab.options() };
    lab.restore_well(&snapshot, &ours);
    assert_eq!(fs::metadata(lab.out("ours/dir/file")).expect("is there").uid(), 0);
}

#[test]
fn without_root_the_rest_is_restored_and_summed_up() {
    if !is_root() {
        return;
    }
    let lab = Lab::new();
    lab.write("dir/file", noise(100_000, 1));
    lab.write("closed/file", b"x");
    fs::hard_link(lab.src("closed/file"), lab.src("linked")).expect("links");
    fs::set_permissions(lab.src("closed"), fs::Permissions::from_mode(0o000)).expect("sets");
    fs::set_permissions(lab.src("dir/file"), fs::Permissions::from_mode(0o4444)).expect("sets");
    let device = lab.src("null");
    Command::new("mknod").arg(&device).args(["c", "1", "3"]).status().expect("runs");
    let snapshot = lab.backup();
    fs::create_dir(lab.out("")).expect("makes");
    chown(lab.out(""), Some(65_534), Some(65_534)).expect("gives away");
    fs::set_permissions(lab.out("").join("../"), fs::Permissions::from_mode(0o755)).expect("sets");
    for round in 0..2 {
        let report = lab.restore_as_nobody(&snapshot, &lab.options());
        assert!(report.is_complete(), "{round}: {:?}", report.failures);
        let aspects: Vec<_> = report.unapplied.iter().map(|u| u.aspect.as_str()).collect();
        assert!(aspects.contains(&"owner") && aspects.contains(&"device node"), "{aspects:?}");
        let file = fs::metadata(lab.out("dir/file")).expect("is there");
        assert_eq!(
            (file.uid(), file.mode() & 0o7777),
            (65_534, 0o444),
            "not set-user-id of others"
        );
        assert_eq!(fs::metadata(lab.out("closed")).expect("is there").mode() & 0o7777, 0);
        assert_eq!(fs::metadata(lab.out("linked")).expect("is there").nlink(), 2);
        // The second round has to change a file that is there and read-only.
        fs::set_permissions(lab.out("dir/file"), fs::Permissions::from_mode(0o600)).expect("sets");
        File::options()
            .append(true)
            .open(lab.out("dir/file"))
            .expect("opens")
            .set_len(5)
            .expect("cuts");
        fs::set_permissions(lab.out("dir/file"), fs::Permissions::from_mode(0o400)).expect("sets");
    }
}

#[test]
fn protected_files_are_restored_and_restored_again() {
    if !is_root() {
        return;
    }
    let lab = Lab::new();
    lab.write("dir/immutable", b"content");
    lab.write("append", b"content");
    fs::hard_link(lab.src("append"), lab.src("linked")).expect("links");
    let chattr = |how: &str, path: &Path| {
        Command::new("chattr").arg(how).arg(path).output().is_ok_and(|out| out.status.success())
    };
    let protected = [("dir/immutable", "i"), ("append", "a"), ("dir", "i")];
    let set = |root: &Path, sign: &str| {
        protected.iter().all(|(path, flag)| chattr(&format!("{sign}{flag}"), &root.join(path)))
    };
    let free = || {
        for root in [lab.src(""), lab.out("")] {
            for path in ["dir", "dir/immutable", "append"] {
                chattr("-ia", &root.join(path));
            }
        }
    };
    if set(&lab.src(""), "+") {
        let snapshot = lab.backup();
        lab.restore_well(&snapshot, &lab.options());
        let first = (describe(&lab.src("")), describe(&lab.out("")));
        chattr("-i", &lab.out("dir"));
        chattr("-i", &lab.out("dir/immutable"));
        fs::write(lab.out("dir/immutable"), b"changed").expect("writes");
        chattr("+i", &lab.out("dir/immutable"));
        fs::write(lab.out("dir/extra"), b"extra").expect("writes");
        chattr("+i", &lab.out("dir/extra"));
        let options = RestoreOptions { delete: true, ..lab.options() };
        lab.restore_well(&snapshot, &options);
        let second = describe(&lab.out(""));
        free();
        assert_eq!(first.0, first.1);
        assert_eq!(first.0, second);
    }
    free();
}

/// ACLs that a folder hands down must not stay on what is restored into it.
#[test]
fn inherited_attributes_give_way_to_recorded_ones() {
    let lab = Lab::new();
    lab.write("dir/inner/file", b"x");
    lab.write("file", b"x");
    let snapshot = lab.backup();
    for at in ["", "dir"] {
        fs::create_dir_all(lab.out(at)).expect("makes");
        // As `setfacl -d -m u:1234:rwx` sets it.
        let entries: [(u16, u16, u32); 5] = [
            (0x01, 7, u32::MAX),
            (0x02, 7, 1234),
            (0x04, 5, u32::MAX),
            (0x10, 7, u32::MAX),
            (0x20, 5, u32::MAX),
        ];
        let mut acl = 2_u32.to_le_bytes().to_vec();
        for (tag, rights, id) in &entries {
            acl.extend_from_slice(&tag.to_le_bytes());
            acl.extend_from_slice(&rights.to_le_bytes());
            acl.extend_from_slice(&id.to_le_bytes());
        }
        let flags = rustix::fs::XattrFlags::empty();
        let out = lab.out(at);
        if rustix::fs::setxattr(&out, "system.posix_acl_default", &acl, flags).is_err() {
            return;
        }
        lab.restore_well(&snapshot, &lab.options());
        lab.assert_identical();
        fs::remove_dir_all(lab.out("")).expect("removes");
    }
}

#[test]
fn zeros_become_what_was_asked_for() {
    let lab = Lab::new();
    lab.write("zeros", vec![0; 4 << 20]);
    let snapshot = lab.backup();
    let sparse = RestoreOptions { sparse: SparsePolicy::Always, ..lab.options() };
    lab.restore_well(&snapshot, &sparse);
    assert_eq!(fs::metadata(lab.out("zeros")).expect("is there").blocks(), 0);
    lab.assert_identical();
}
