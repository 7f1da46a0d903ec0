//! What is captured and applied elsewhere is captured again as the same.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::path::Path;

use proptest::prelude::*;
use rustix::fs::CWD;
use tempfile::TempDir;

use super::*;

/// Everything that a restored entry must have in common with the one that was backed up.
#[derive(Clone, Debug, PartialEq)]
struct Captured {
    kind: FileKind,
    mode: u32,
    owner: (u32, u32),
    times: (Time, Time),
    device: (u32, u32),
    xattrs: Vec<Xattr>,
    flags: u32,
    link: Option<Vec<u8>>,
}

fn open(dir: &Path) -> OwnedFd {
    open_dir_path_at(CWD, dir.as_os_str().as_bytes()).unwrap()
}

fn capture(dir: &OwnedFd, name: &[u8]) -> Captured {
    let stat = stat_at(dir, name).unwrap();
    let xattrs = read_xattrs_at(dir, name).unwrap();
    assert!(xattrs.unreadable.is_empty(), "{:?}", xattrs.unreadable);
    let flags = match stat.kind {
        FileKind::File => read_flags(open_file_at(dir, name).unwrap()).unwrap(),
        FileKind::Dir => read_flags(open_dir_at(dir, name, OpenDir::Read).unwrap()).unwrap(),
        _ => 0,
    };
    Captured {
        kind: stat.kind,
        mode: stat.mode,
        owner: (stat.uid, stat.gid),
        times: (stat.mtime, stat.atime),
        device: (stat.rdev_major, stat.rdev_minor),
        xattrs: xattrs.list,
        flags,
        link: (stat.kind == FileKind::Symlink).then(|| read_link_at(dir, name).unwrap()),
    }
}

fn make(dir: &OwnedFd, name: &[u8], like: &Captured) -> io::Result<()> {
    match like.kind {
        FileKind::File => create_file_at(dir, name).map(drop),
        FileKind::Dir => create_dir_at(dir, name),
        FileKind::Symlink => create_symlink_at(dir, name, like.link.as_ref().unwrap()),
        kind => create_special_at(dir, name, kind, like.device.0, like.device.1),
    }
}

fn metadata(of: &Captured) -> Metadata<'_> {
    Metadata {
        kind: of.kind,
        uid: Some(of.owner.0),
        gid: Some(of.owner.1),
        mode: of.mode,
        xattrs: Some(&of.xattrs),
        mtime: of.times.0,
        atime: Some(of.times.1),
        flags: Some(of.flags),
    }
}

/// Applies through a held entry, or through an open one.
fn apply_to(dir: &OwnedFd, name: &[u8], wanted: &Captured, held: bool) -> Vec<Unapplied> {
    let metadata = metadata(wanted);
    match wanted.kind {
        FileKind::File if !held => {
            apply(Target::open(&open_file_to_write_at(dir, name).unwrap()), &metadata)
        }
        FileKind::Dir if !held => {
            apply(Target::open(&open_dir_at(dir, name, OpenDir::Read).unwrap()), &metadata)
        }
        _ => apply(Target::path(&open_path_at(dir, name).unwrap()), &metadata),
    }
}

/// Makes an entry like `wanted`, captures it, makes another like that and compares.
fn round_trip(wanted: &Captured) {
    for held in [false, true] {
        let temp = TempDir::new().unwrap();
        let dir = open(temp.path());
        make(&dir, b"one", wanted).unwrap();
        assert_none(&apply_to(&dir, b"one", wanted, held));
        let one = capture(&dir, b"one");
        make(&dir, b"two", &one).unwrap();
        assert_none(&apply_to(&dir, b"two", &one, held));
        let two = capture(&dir, b"two");
        unprotect(&dir);
        assert_eq!(one, *wanted, "held: {held}");
        assert_eq!(two, one, "held: {held}");
    }
}

fn assert_none(unapplied: &[Unapplied]) {
    assert!(unapplied.is_empty(), "{unapplied:?}");
}

/// So that the folder can be removed.
fn unprotect(dir: &OwnedFd) {
    for name in [&b"one"[..], b"two"] {
        if let Ok(stat) = stat_at(dir, name) {
            match stat.kind {
                FileKind::File => clear_protection(&open_file_at(dir, name).unwrap()).unwrap(),
                FileKind::Dir => {
                    clear_protection(&open_dir_at(dir, name, OpenDir::Read).unwrap()).unwrap();
                }
                _ => {}
            }
        }
    }
}

fn own(kind: FileKind) -> Captured {
    Captured {
        kind,
        mode: if kind == FileKind::Symlink { 0o777 } else { 0o640 },
        owner: (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw()),
        times: (Time { secs: 1, nanos: 2 }, Time { secs: 3, nanos: 4 }),
        device: (0, 0),
        xattrs: Vec::new(),
        flags: 0,
        link: (kind == FileKind::Symlink).then(|| b"some/where".to_vec()),
    }
}

fn xattr(name: &str, value: &[u8]) -> Xattr {
    Xattr { name: name.into(), value: value.into() }
}

/// Whether the test can go on: what it is about is for root only.
fn is_root(what: &str) -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        println!("skipped without root: {what}");
    }
    root
}

const KINDS: [FileKind; 5] =
    [FileKind::File, FileKind::Dir, FileKind::Symlink, FileKind::Fifo, FileKind::Socket];

#[test]
fn every_kind_comes_back() {
    KINDS.into_iter().for_each(|kind| round_trip(&own(kind)));
}

#[test]
fn devices_come_back() {
    if is_root("device nodes") {
        for kind in [FileKind::CharDevice, FileKind::BlockDevice] {
            round_trip(&Captured { device: (241, 70_000), ..own(kind) });
        }
    }
}

#[test]
fn owners_come_back() {
    if is_root("owners") {
        for kind in KINDS {
            round_trip(&Captured { owner: (12_345, 4_000_000_000), ..own(kind) });
        }
    }
}

#[test]
fn all_mode_bits_come_back() {
    for mode in [0o0000, 0o0777, 0o1777, 0o2755, 0o4755, 0o6711, 0o7777, 0o7000] {
        for kind in [FileKind::File, FileKind::Dir, FileKind::Fifo] {
            // Without root, a mode of 0 cannot be captured by opening.
            if mode & 0o400 != 0 || is_root("unreadable modes") {
                round_trip(&Captured { mode, ..own(kind) });
            }
        }
    }
    if is_root("set-user-id of others") {
        round_trip(&Captured { mode: 0o6755, owner: (1, 1), ..own(FileKind::File) });
    }
}

#[test]
fn times_come_back_to_the_nanosecond_and_before_1970() {
    let times = [(-1, 999_999_999), (-2_000_000_000, 1), (0, 0), (4_000_000_000, 123_456_789)];
    for (secs, nanos) in times {
        for kind in KINDS {
            let (mtime, atime) = (Time { secs, nanos }, Time { secs: secs + 1, nanos });
            round_trip(&Captured { times: (mtime, atime), ..own(kind) });
        }
    }
    let half_before = Time { secs: -1, nanos: 500_000_000 };
    assert_eq!(half_before.as_ns(), -500_000_000);
}

#[test]
fn user_attributes_come_back_in_order() {
    let long = vec![7; 3000];
    let xattrs =
        vec![xattr("user.a", b""), xattr("user.b", &[0, 255, b'\n']), xattr("user.c", &long)];
    for kind in [FileKind::File, FileKind::Dir] {
        round_trip(&Captured { xattrs: xattrs.clone(), ..own(kind) });
    }
}

#[test]
fn a_file_that_ends_up_read_only_gets_its_attributes() {
    let xattrs = vec![xattr("user.a", b"1")];
    round_trip(&Captured { mode: 0o444, xattrs, ..own(FileKind::File) });
}

/// An ACL as the kernel keeps it: version 2, then (tag, permissions, id) for each line.
fn acl(lines: &[(u16, u16, u32)]) -> Vec<u8> {
    let mut bytes = 2_u32.to_le_bytes().to_vec();
    for (tag, permissions, id) in lines {
        bytes.extend(tag.to_le_bytes());
        bytes.extend(permissions.to_le_bytes());
        bytes.extend(id.to_le_bytes());
    }
    bytes
}

fn some_acl() -> Vec<u8> {
    const NOBODY: u32 = u32::MAX;
    // user::rw-, user:1000:r--, group::---, mask::r--, other::---
    acl(&[(1, 6, NOBODY), (2, 4, 1000), (4, 0, NOBODY), (0x10, 4, NOBODY), (0x20, 0, NOBODY)])
}

#[test]
fn access_control_lists_come_back() {
    let access = xattr("system.posix_acl_access", &some_acl());
    let default = xattr("system.posix_acl_default", &some_acl());
    // The mask shows as the group's bits.
    round_trip(&Captured { mode: 0o640, xattrs: vec![access.clone()], ..own(FileKind::File) });
    round_trip(&Captured { mode: 0o640, xattrs: vec![access, default], ..own(FileKind::Dir) });
}

/// A new file takes the default ACL of its folder; the restored one had none.
#[test]
fn attributes_that_a_folder_gives_to_new_files_are_removed() {
    let temp = TempDir::new().unwrap();
    let dir = open(temp.path());
    let with_default = Captured {
        mode: 0o700,
        xattrs: vec![xattr("system.posix_acl_default", &some_acl())],
        ..own(FileKind::Dir)
    };
    make(&dir, b"dir", &with_default).unwrap();
    assert_none(&apply_to(&dir, b"dir", &with_default, false));
    let inner = open_dir_at(&dir, b"dir", OpenDir::Path).unwrap();
    create_file_at(&inner, b"file").unwrap();
    assert!(!read_xattrs_at(&inner, b"file").unwrap().list.is_empty(), "it came with one");
    assert_none(&apply_to(&inner, b"file", &own(FileKind::File), false));
    assert_eq!(capture(&inner, b"file"), own(FileKind::File));
}

#[test]
fn capabilities_and_trusted_attributes_come_back() {
    if !is_root("capabilities and trusted attributes") {
        return;
    }
    // Version 2, effective; permitted: net_bind_service.
    let mut capability = 0x0200_0001_u32.to_le_bytes().to_vec();
    capability.extend([0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    let capability = xattr("security.capability", &capability);
    let trusted = xattr("trusted.larder", b"x");
    let both = vec![capability, trusted.clone()];
    // Another owner: setting it after the capability would clear that.
    round_trip(&Captured { owner: (1, 1), xattrs: both, ..own(FileKind::File) });
    for kind in KINDS {
        round_trip(&Captured { xattrs: vec![trusted.clone()], ..own(kind) });
    }
}

#[test]
fn inode_flags_come_back() {
    const NODUMP: u32 = 0x40;
    const NOATIME: u32 = 0x80;
    let temp = TempDir::new().unwrap();
    create_file_at(open(temp.path()), b"probe").unwrap();
    let probe = File::open(temp.path().join("probe")).unwrap();
    if rustix::fs::ioctl_getflags(&probe).is_err() {
        println!("skipped: the file system of temporary files has no inode flags");
        return;
    }
    for kind in [FileKind::File, FileKind::Dir] {
        round_trip(&Captured { flags: NODUMP | NOATIME, ..own(kind) });
        if is_root("immutable and append-only files") {
            round_trip(&Captured { flags: 0x10 | NODUMP, ..own(kind) });
            round_trip(&Captured { flags: 0x20, ..own(kind) });
        }
    }
}

#[test]
fn link_targets_come_back_whatever_their_length_and_bytes() {
    let every_byte: Vec<u8> = (1..=255).collect();
    let longest = b"x/".repeat(2048)[..4095].to_vec();
    for target in [every_byte, longest, b"/".to_vec()] {
        round_trip(&Captured { link: Some(target), ..own(FileKind::Symlink) });
    }
}

/// What a user without root asks for and does not get is told, and the rest is done.
#[test]
fn a_stranger_gets_what_the_system_permits_and_is_told_the_rest() {
    if rustix::process::geteuid().is_root() {
        println!("skipped as root: everything is permitted");
        return;
    }
    let temp = TempDir::new().unwrap();
    let dir = open(temp.path());
    let wanted = Captured {
        owner: (0, 0),
        mode: 0o4755,
        xattrs: vec![xattr("trusted.x", b"1"), xattr("user.x", b"1")],
        ..own(FileKind::File)
    };
    create_file_at(&dir, b"file").unwrap();
    let unapplied = apply_to(&dir, b"file", &wanted, false);
    let aspects: Vec<_> = unapplied.into_iter().map(|unapplied| unapplied.aspect).collect();
    assert_eq!(aspects, [Aspect::Owner, Aspect::Xattr(b"trusted.x".to_vec()), Aspect::Mode]);
    let got = capture(&dir, b"file");
    assert_eq!(got.mode, 0o755, "set-user-id of another user would now be ours");
    assert_eq!(got.xattrs, [xattr("user.x", b"1")]);
    assert_eq!(got.times, wanted.times);
}

proptest! {
    #[test]
    fn names_of_any_bytes_come_back(name in proptest::collection::vec(1..=255_u8, 1..=255)) {
        let name: Vec<u8> = name.into_iter().filter(|byte| *byte != b'/').collect();
        prop_assume!(!name.is_empty() && name != b"." && name != b"..");
        let temp = TempDir::new().unwrap();
        let dir = open(temp.path());
        create_file_at(&dir, &name).unwrap();
        let mut found = Vec::new();
        let reader = open_dir_at(&dir, b".", OpenDir::Read).unwrap();
        read_dir_names(&reader, &mut Vec::new(), |name, is_dir| {
            found.push((name.to_vec(), is_dir));
        }).unwrap();
        prop_assert_eq!(found.len(), 1);
        prop_assert_eq!(&found[0].0, &name);
        prop_assert_eq!(stat_at(&dir, &name).unwrap().kind, FileKind::File);
        prop_assert!(temp.path().join(OsStr::from_bytes(&name)).exists());
    }
}

#[test]
fn hard_links_share_their_inode_even_those_of_symbolic_links() {
    let temp = TempDir::new().unwrap();
    let dir = open(temp.path());
    create_file_at(&dir, b"file").unwrap();
    create_symlink_at(&dir, b"link", b"file").unwrap();
    for name in [&b"file"[..], b"link"] {
        hard_link_at(&dir, name, &dir, &[name, b"2"].concat()).unwrap();
        let (a, b) = (stat_at(&dir, name).unwrap(), stat_at(&dir, &[name, b"2"].concat()).unwrap());
        assert_eq!((a.inode, a.nlink, a.kind), (b.inode, 2, b.kind));
    }
}

#[test]
fn names_that_are_paths_are_refused() {
    let temp = TempDir::new().unwrap();
    let dir = open(temp.path());
    for name in [&b""[..], b".", b"..", b"a/b", b"/a", b"a\0b"] {
        let error = create_file_at(&dir, name).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        assert!(create_dir_at(&dir, name).is_err());
        assert!(create_symlink_at(&dir, name, b"x").is_err());
        assert!(remove_file_at(&dir, name).is_err());
    }
    for path in [&b"../x"[..], b"a/../b", b"a//b", b"/a", b"a/", b"."] {
        let error = make_dirs_beneath(&dir, path).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput, "{}", path.escape_ascii());
    }
}

#[test]
fn a_symbolic_link_in_the_way_is_never_followed() {
    let temp = TempDir::new().unwrap();
    let dir = open(temp.path());
    fs::create_dir(temp.path().join("outside")).unwrap();
    fs::create_dir(temp.path().join("target")).unwrap();
    std::os::unix::fs::symlink("../outside", temp.path().join("target/link")).unwrap();
    let target = open_dir_beneath(&dir, b"target", OpenDir::Path).unwrap();
    for path in [&b"link"[..], b"link/x"] {
        assert!(open_dir_beneath(&target, path, OpenDir::Path).is_err());
        assert!(make_dirs_beneath(&target, path).is_err());
    }
    assert!(create_file_at(&target, b"link").is_err());
    assert!(open_file_to_write_at(&target, b"link").is_err());
    assert!(fs::read_dir(temp.path().join("outside")).unwrap().next().is_none());
}

/// A path of 10,000 bytes, more than twice what the system takes in one call.
#[test]
fn paths_longer_than_the_system_allows_can_be_made_and_reached() {
    let temp = TempDir::new().unwrap();
    let dir = open(temp.path());
    let path = [&b"component/"[..]; 1000].concat();
    let path = &path[..path.len() - 1];
    let deep = make_dirs_beneath(&dir, path).unwrap();
    create_file_at(&deep, b"file").unwrap().write_all(b"deep").unwrap();
    let again = open_dir_beneath(&dir, path, OpenDir::Read).unwrap();
    assert_eq!(stat_at(&again, b"file").unwrap().size, 4);
    // `remove_dir_all` of the standard library works by directory too.
}

#[test]
fn a_fifo_in_the_place_of_a_file_does_not_make_us_wait() {
    let temp = TempDir::new().unwrap();
    let dir = open(temp.path());
    create_special_at(&dir, b"fifo", FileKind::Fifo, 0, 0).unwrap();
    let opened = open_file_at(&dir, b"fifo").unwrap();
    assert_eq!(stat_fd(&opened).unwrap().kind, FileKind::Fifo);
    assert!(open_file_to_write_at(&dir, b"fifo").is_err());
}

#[test]
fn a_huge_sparse_file_tells_where_its_data_is_at_once() {
    const TIB: u64 = 1 << 40;
    let temp = TempDir::new().unwrap();
    let file = create_file_at(open(temp.path()), b"sparse").unwrap();
    if set_len(&file, TIB).is_err() {
        println!("skipped: the file system of temporary files allows no file of 1 TiB");
        return;
    }
    for offset in [0, TIB / 2, TIB - 1] {
        file.write_all_at(b"x", offset).unwrap();
    }
    let stat = stat_fd(&file).unwrap();
    assert!(stat.may_have_holes());
    let ranges: Vec<_> = data_ranges(&file, stat.size).map(Result::unwrap).collect();
    assert_eq!(ranges.len(), 3);
    assert!(ranges.iter().map(|range| range.end - range.start).sum::<u64>() < 1 << 20);
    assert!(ranges[1].contains(&(TIB / 2)));
    assert_eq!(ranges[2].end, TIB);

    punch_hole(&file, TIB / 2 - (1 << 20), 2 << 20).unwrap();
    assert_eq!(data_ranges(&file, TIB).count(), 2);
    assert_eq!(stat_fd(&file).unwrap().size, TIB);
}

#[test]
fn a_file_without_holes_is_one_range_and_a_hole_none() {
    let temp = TempDir::new().unwrap();
    let file = create_file_at(open(temp.path()), b"file").unwrap();
    assert_eq!(data_ranges(&file, 0).count(), 0);
    file.write_all_at(b"data", 0).unwrap();
    let ranges: Vec<_> = data_ranges(&file, 4).map(Result::unwrap).collect();
    assert_eq!((ranges.len(), ranges[0].clone()), (1, 0..4));
    set_len(&file, 0).unwrap();
    set_len(&file, 1 << 30).unwrap();
    assert_eq!(data_ranges(&file, 1 << 30).count(), 0);
}

#[test]
fn owners_have_the_names_of_the_tables() {
    let names = OwnerNames::parse(
        b"root:x:0:0::/root:/bin/sh\n# no:x:7\n+::::::\nme:x:1000:100::/:\nalso:x:1000:1::/:\nbad:x:y:\n\xff:x:9:9\n",
        b"wheel:x:0:root,me\nstaff:x:50:\n",
    );
    assert_eq!(names.user(0).map(AsRef::as_ref), Some("root"));
    assert_eq!(names.user(1000).map(AsRef::as_ref), Some("me"), "the first line counts");
    assert_eq!(names.uid("also"), Some(1000));
    assert_eq!(names.user(9), None);
    assert_eq!(names.user(7), None);
    assert_eq!(names.group(50).map(AsRef::as_ref), Some("staff"));
    assert_eq!(names.gid("wheel"), Some(0));
    assert_eq!(names.gid("root"), None);
}
