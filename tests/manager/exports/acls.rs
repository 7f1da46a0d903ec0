//! Access control lists go out and come in as they are, whatever tar is on the other side; and who
//! does not restore them gives nobody more than they did.

use std::ffi::OsStr;

use larder::model::{ACL_ACCESS, ACL_DEFAULT, Acl};

use super::imports::{copy_of, import, import_with};
use super::*;

/// The mask, not the group's rights, stands in the mode of this one: 0674.
const ACCESS: &str = "user::rw-,user:0:-w-,user:1000:rwx,group::r--,mask::rwx,other::r--";
const FOLDER: &str = "user::rwx,group::r-x,group:12345:r--,mask::r-x,other::---";
const DEFAULT: &str = "user::rwx,user:1000:rwx,group::r-x,mask::rwx,other::---";

fn acl(text: &str) -> Acl {
    Acl::from_text(text.as_bytes(), |_, _| None).expect("a list").acl
}

/// A shop with lists, and a backup of it; `None` where the file system has none.
fn house() -> Option<House> {
    let shop = Shop::with(crate::shop::ShopOptions {
        suite: larder::crypto::Suite::None,
        ..Default::default()
    });
    let file = shop.write("file", "some text");
    shop.write("folder/in it", "more");
    let folder = shop.source().join("folder");
    for (path, name, text) in [
        (&file, ACL_ACCESS, ACCESS),
        (&folder, ACL_ACCESS, FOLDER),
        (&folder, ACL_DEFAULT, DEFAULT),
    ] {
        let (name, flags) = (OsStr::from_bytes(name), rustix::fs::XattrFlags::empty());
        if rustix::fs::setxattr(path, name, &acl(text).to_bytes(), flags).is_err() {
            return None;
        }
    }
    assert_eq!(mode(&file), 0o674);
    let id = backup(&shop);
    Some(House { shop, id })
}

fn mode(path: &Path) -> u32 {
    path.metadata().expect("is there").mode() & 0o7777
}

/// As it is without `.`, which bsdtar leaves alone.
fn without_root(mut copy: TreeCopy) -> TreeCopy {
    copy.0.remove(&b""[..]);
    copy
}

#[test]
fn lists_are_restored_by_gnu_tar_and_bsdtar() {
    let Some(house) = house() else { return };
    let archive = house.export(ExportFormat::TarZst, |_| {});
    let want = without_root(house.shop.live_copy());
    let lines: [(&str, &str, &[&str]); 3] = [
        ("acls", "tar", &["--zstd", "--acls", "-xpf"]),
        ("both", "tar", &["--zstd", "--acls", "--xattrs", "--xattrs-include=*", "-xpf"]),
        ("bsd", "bsdtar", &["-xpf"]),
    ];
    for (name, program, args) in lines {
        let folder = house.shop.path(name);
        fs::create_dir(&folder).expect("makes a folder");
        tool(&folder, program, &[args, &[text(&archive)]].concat());
        want.assert_same(&without_root(TreeCopy::of_folder(&folder)), name);
    }
}

#[test]
fn without_its_list_a_file_is_not_open_to_more() {
    let Some(house) = house() else { return };
    let tar = house.export(ExportFormat::TarZst, |_| {});
    let zip = house.export(ExportFormat::Zip, |_| {});
    let folder = house.shop.path("plain");
    fs::create_dir(&folder).expect("makes a folder");
    let all = ["--zstd", "--xattrs", "--xattrs-include=*", "-xpf"];
    for (program, args, archive) in [
        ("tar", &["--zstd", "-xpf"][..], &tar),
        // The list comes back as an attribute, and the mode after it makes its mask smaller.
        ("tar", &all, &tar),
        ("unzip", &["-qo"], &zip),
    ] {
        tool(&folder, program, &[args, &[text(archive)]].concat());
        assert_eq!(mode(&folder.join("file")), 0o644, "{program}");
        assert_eq!(mode(&folder.join("folder")), 0o750, "{program}");
        fs::remove_dir_all(&folder).expect("removes");
        fs::create_dir(&folder).expect("makes a folder");
    }
}

#[test]
fn lists_of_all_archives_are_imported() {
    let Some(house) = house() else { return };
    let want = house.shop.live_copy();
    let own = house.export(ExportFormat::TarZst, |_| {});
    let report = import(&house.shop, &own);
    want.assert_same(&copy_of(&house.shop, &report), "our own");
    let source = house.shop.source();
    let lines: [(&str, &[&str]); 5] = [
        ("tar", &["--format=pax", "--acls"]),
        ("tar", &["--format=pax", "--acls", "--numeric-owner"]),
        ("tar", &["--format=pax", "--acls", "--xattrs", "--xattrs-include=*"]),
        ("bsdtar", &["--format=pax"]),
        ("bsdtar", &["--format=pax", "--numeric-owner"]),
    ];
    for (program, args) in lines {
        let archive = house.shop.path("other.tar");
        tool(&source, program, &[args, &["-cf", text(&archive), "."]].concat());
        let report = import(&house.shop, &archive);
        let found = copy_of(&house.shop, &report);
        without_root(want.clone()).assert_same(&without_root(found), format!("{program} {args:?}"));
    }
}

#[test]
fn what_cannot_be_taken_over_of_lists_is_told() {
    let shop = Shop::new();
    let make = "import tarfile\n\
        t = tarfile.open('odd.tar', 'w', format=tarfile.PAX_FORMAT)\n\
        for name, key, text in [\n\
            ('known', 'access', 'user::rw-,user:no-such-user:rwx,group::r--,mask::rwx,other::---'),\n\
            ('broken', 'access', 'user::rw-,gr'), ('nfs', 'ace', 'owner@:rw:allow')]:\n\
        \x20   m = tarfile.TarInfo(name)\n\
        \x20   m.mode = 0o674\n\
        \x20   m.pax_headers = {'SCHILY.acl.' + key: text}\n\
        \x20   t.addfile(m)\n\
        t.close()\n";
    tool(&shop.path("."), "python3", &["-c", make]);
    let (report, issues) = import_with(&shop, &shop.path("odd.tar"), |_| {});
    let found = copy_of(&shop, &report);
    let mode = |name: &str| found.0[name.as_bytes()].mode;
    // Nobody is left whom the mask was for, but for the group, which may read.
    assert_eq!((mode("known"), mode("broken"), mode("nfs")), (0o670, 0o604, 0o674));
    for text in ["does not know", "cannot be read", "NFS 4"] {
        assert!(issues.iter().any(|issue| issue.message.contains(text)), "{text}: {issues:?}");
    }
}
