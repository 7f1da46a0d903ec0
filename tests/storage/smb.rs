//! SMB shares, with Samba: what is special to them.

use std::path::Path;
use std::time::{Duration, Instant};

use larder::error::StorageErrorKind;
use larder::storage::{self, Access, Connection, Location, PutMode};

use crate::servers::{RcloneMount, Samba, Server};
use crate::shares::{
    SmallDisk, full_disk_is_told, names, open, open_patiently, strangers_and_leftovers, told,
    writes_survive_a_restart,
};

fn with_password(password: &str) -> Connection {
    let secret = ("LARDER_SMB_PASSWORD".to_owned(), password.to_owned());
    Connection { access: Access::with([secret]), ..Connection::default() }
}

/// The same server for what only asks and fails.
#[test]
fn failures_on_smb_say_what_is_wrong() {
    let Some(mut server) = Samba::start() else { return };
    let connection = server.connection();
    let (user, port) = (server.user().to_owned(), server.port());

    let refused = open(&server.location("a"), &with_password("hunter2"));
    for _ in 0..2 {
        let (kind, text) = told(refused.get("repo", 9));
        assert_eq!(kind, StorageErrorKind::Denied, "{text}");
        assert!(text.contains(&user) && text.contains("LARDER_SMB_PASSWORD"), "{text}");
        assert!(!text.contains("hunter2"), "{text}");
    }
    let stranger = open(&format!("smb://nobody-here@127.0.0.1:{port}/share/a"), &connection);
    assert_eq!(told(stranger.get("repo", 9)).0, StorageErrorKind::Denied);
    let guest = open(&format!("smb://127.0.0.1:{port}/share/a?guest=true"), &connection);
    assert_eq!(told(guest.get("repo", 9)).0, StorageErrorKind::Denied);

    let nowhere = open(&server.on_share("nowhere", "a"), &connection);
    let (kind, text) = told(nowhere.list("", &mut |_| {}));
    assert_eq!(kind, StorageErrorKind::Unusable, "{text}");
    assert!(text.contains("no share `nowhere`") && text.contains("first part"), "{text}");

    let storage = open(&server.location("a"), &connection);
    storage.put("data/a", &[b"x"], PutMode::Content).expect("a put");
    let readonly = open(&server.on_share("readonly", "a"), &connection);
    assert_eq!(readonly.get("data/a", 1).expect("it can be read"), b"x");
    for name in ["data/a", "data/b", "other/b"] {
        let (kind, text) = told(readonly.put(name, &[b"y"], PutMode::Content));
        assert_eq!(kind, StorageErrorKind::Denied, "{text}");
    }
    assert_eq!(told(readonly.delete("data/a")).0, StorageErrorKind::Denied);

    server.kill();
    let (kind, text) = told(storage.get("data/a", 1));
    assert_eq!(kind, StorageErrorKind::Temporary, "{text}");
    let (kind, text) = told(open(&server.location("a"), &connection).get("data/a", 1));
    assert_eq!(kind, StorageErrorKind::Temporary, "{text}");
    assert!(text.contains("cannot be reached"), "{text}");
}

/// Signed messages are what a server may insist on. Encrypted ones are refused in plain words
/// where it does not offer them: Samba offers none to the client library.
#[test]
fn what_servers_insist_on_is_done_or_told() {
    let Some(server) = Samba::start_with("server signing = mandatory", None) else { return };
    let storage = open(&server.location("a"), &server.connection());
    storage.put("data/a", &[&vec![3; 2 << 20]], PutMode::Content).expect("a put");
    assert_eq!(storage.get("data/a", 2 << 20).expect("a get"), vec![3; 2 << 20]);
    let refused = open(&(server.location("a") + "?encrypt=required"), &server.connection());
    let (kind, text) = told(refused.put("data/a", &[b"x"], PutMode::Content));
    assert_eq!(kind, StorageErrorKind::Unusable, "{text}");
    assert!(text.contains("offers no encryption"), "{text}");
}

#[test]
fn strangers_on_a_share_are_left_alone() {
    let Some(server) = Samba::start() else { return };
    let storage = open(&server.location("a"), &server.connection());
    strangers_and_leftovers(&*storage, &server.data().join("a"));
}

#[test]
fn a_full_share_is_told() {
    let Some(disk) = SmallDisk::mount() else { return };
    let Some(server) = Samba::start_with("", Some(disk.path())) else { return };
    let storage = open(&server.on_share("other", ""), &server.connection());
    full_disk_is_told(&*storage, disk.path());
}

#[test]
fn a_share_may_go_away_in_mid_backup() {
    let Some(mut server) = Samba::start() else { return };
    let storage = open_patiently(&server.location("a"), &server.connection());
    writes_survive_a_restart(&*storage, || {
        server.kill();
        std::thread::sleep(Duration::from_millis(500));
        server.restart();
    });
    // Sessions that were idle meanwhile are made anew, without a repetition.
    let storage = open(&server.location("a"), &server.connection());
    storage.put("once", &[b"x"], PutMode::CreateOnce).expect("a put");
    server.kill();
    server.restart();
    storage.put("twice", &[b"x"], PutMode::CreateOnce).expect("a put on a new session");
}

/// Where a share is mounted already, its folder is a location like any other. The kernel of a
/// machine without SMB is helped by FUSE.
#[test]
fn a_mounted_share_is_a_folder_of_objects() {
    if !Path::new("/dev/fuse").exists() {
        println!("skipped: a mounted share because this machine has no /dev/fuse");
        return;
    }
    let Some(server) = Samba::start() else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let Some(mount) = RcloneMount::start(&server, folder.path()) else { return };
    let location = mount.path().join("repository").display().to_string();
    let connection = Connection::default();
    storage::create_with(&Location::parse(&location).unwrap(), &[], &connection).expect("a place");
    let storage = open(&location, &connection);
    let large = vec![5; 3 << 20];
    storage.put("data/00/a", &[&large], PutMode::Content).expect("a put");
    storage.put("once", &[b"x"], PutMode::CreateOnce).expect("a put");
    let (kind, _) = told(storage.put("once", &[b"y"], PutMode::CreateOnce));
    assert_eq!(kind, StorageErrorKind::Exists);
    storage.put("once", &[b"zz"], PutMode::Replace).expect("a put");
    assert!(storage.get("data/00/a", 4 << 20).expect("a get") == large);
    assert_eq!(storage.get("once", 9).expect("a get"), b"zz");
    assert_eq!(names(&*storage), ["data/00/a", "once"]);
    storage.delete("once").expect("a delete");
    assert_eq!(names(&*storage), ["data/00/a"]);

    // The same objects by the share itself, as soon as the mount has brought them there.
    let direct = open(&server.location("repository"), &server.connection());
    let end = Instant::now() + Duration::from_secs(30);
    while direct.head("data/00/a").map_or(0, |meta| meta.len) != large.len() as u64 {
        assert!(Instant::now() < end, "the mount writes what it was given");
        std::thread::sleep(Duration::from_millis(100));
    }
    assert_eq!(names(&*direct), ["data/00/a"]);
}
